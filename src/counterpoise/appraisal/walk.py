"""The walk-forward of an audit: refits from labels known by then, every third month.

The programme that policies read refits every month; an audit asks other questions of the same
seam, and a model refitted less often answers them as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.exam import Exam
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.signals.model import Model
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import stamp

Floats = NDArray[np.float64]

#: Out-of-sample forecasts (T,) from features (T, F) and outcomes (T,): what a walk-forward does.
Pipeline = Callable[[Floats, Floats], Floats]

#: Months between two refits of an audit.
MONTHS_APART = 3
#: Fewest hours that a refit of its own forecasts.
SHORTEST_H = 28 * 24


@dataclass(frozen=True)
class Walk:
    """A model refitted at some splits: a :data:`Pipeline`.

    Attributes
    ----------
    model : Model
    splits : tuple of Split
        In order.
    seed : int
        Of every fit.
    """

    model: Model
    splits: tuple[Split, ...]
    seed: int

    def __call__(self, X: Floats, y: Floats) -> Floats:
        """Out-of-sample forecasts, NaN outside the splits; refits after the end are left out."""
        out = np.full(len(X), np.nan)
        for split in self.splits:
            rows = slice(split.predict.start, min(split.predict.stop, len(X)))
            if rows.stop > rows.start:
                fitted = self.model.fit(*learned_from(X, y, split), self.seed)
                out[rows] = fitted.predict(X[: rows.stop], rows)
        return out

    def at(self, row: int) -> "Walk":
        """Only the refit whose forecasts hold a row.

        Raises
        ------
        ValueError
            No refit does.
        """
        for split in self.splits:
            if split.predict.start <= row < split.predict.stop:
                return replace(self, splits=(split,))
        raise ValueError(f"no refit forecasts row {row}")


def learned_from(X: Floats, y: Floats, split: Split) -> tuple[Floats, Floats]:
    """What a model gets to learn from at a split: all hours to the end of its training rows.

    Returns
    -------
    float64 (N, F), float64 (N,)
        Outcomes before the first training row are NaN.
    """
    known = y[: split.train.stop].copy()
    known[: split.train.start] = np.nan
    return X[: split.train.stop], known


def refits(
    exam: Exam, *, embargo_h: int, min_train_days: int, months_apart: int = MONTHS_APART
) -> tuple[Split, ...]:
    """Splits of an audit: those of the walk-forward, several months of forecasts each.

    Parameters
    ----------
    exam : Exam
    embargo_h, min_train_days : int
        As of the settings (``signals``).
    months_apart : int

    Raises
    ------
    NotEnoughData
        The history is too short for a single one.
    """
    labelled = np.flatnonzero(np.isfinite(exam.y))
    monthly = list(
        splits(
            exam.ts_ms,
            horizon_h=exam.horizon_h,
            embargo_h=embargo_h,
            min_train_days=min_train_days,
            first_row=int(labelled[0]) if len(labelled) else len(exam.y),
        )
    )
    if not monthly:
        raise NotEnoughData(
            f"{exam.name}: {len(labelled)} labelled hours hold no month start {min_train_days} "
            "days after the first. Next: import a longer history or lower signals.min_train_days."
        )
    groups = [
        monthly[first : first + months_apart] for first in range(0, len(monthly), months_apart)
    ]
    # History ends somewhere in a month: a rest of days is forecast by the refit before it.
    if len(groups) > 1 and groups[-1][-1].predict.stop - groups[-1][0].predict.start < SHORTEST_H:
        groups[-2:] = [groups[-2] + groups[-1]]
    return tuple(
        Split(group[0].train, slice(group[0].predict.start, group[-1].predict.stop))
        for group in groups
    )


def refuse_short_purge(exam: Exam, given: Sequence[Split]) -> int:
    """Refuse splits that learn from outcomes which were not known at the refit.

    Returns
    -------
    int
        Fewest hours between the last known outcome and the refit: what is left of the embargo.

    Raises
    ------
    FixConfig
        The purge is shorter than the horizon of the outcomes.
    """
    closest = min(given, key=lambda split: split.predict.start - split.train.stop)
    purge = closest.predict.start - closest.train.stop + 1
    if purge < exam.horizon_h:
        refit = stamp(int(exam.ts_ms[closest.predict.start]))
        raise FixConfig(
            f"horizon of {exam.name}",
            f"{exam.horizon_h} h",
            f"at most the purge of {purge} h between the last training row and the refit of "
            f"{refit}: the last {exam.horizon_h - purge} h of outcomes were not known then",
            f"purge at least {exam.horizon_h} h",
        )
    return int(purge - exam.horizon_h)
