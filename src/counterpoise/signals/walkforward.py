"""Which rows a model may learn from, and which rows it then forecasts.

Expanding window, one refit at each UTC month start, purged by the label's horizon and kept apart
by an embargo on top. Only row numbers: nothing here sees a feature or a label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from counterpoise.units import DAY_MS, HOUR_MS


@dataclass(frozen=True)
class Split:
    """One refit.

    Attributes
    ----------
    train : slice
        Rows whose label was known ``embargo_h`` before the refit.
    predict : slice
        Rows from the refit to the next one, or to the end of history.
    """

    train: slice
    predict: slice


def month_starts(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the first tick of each calendar month (UTC) that begins inside the clock."""
    months = ts_ms.astype("datetime64[ms]").astype("datetime64[M]")
    return np.asarray(np.flatnonzero(np.diff(months) != np.timedelta64(0, "M")) + 1)


def splits(
    ts_ms: NDArray[np.int64],
    *,
    horizon_h: int,
    embargo_h: int,
    min_train_days: int,
    first_row: int = 0,
) -> Iterator[Split]:
    """Refits of an expanding walk-forward, in order.

    Parameters
    ----------
    ts_ms : int64 (T,)
        Consecutive hours.
    horizon_h : int
        The label of row t ends at t + ``horizon_h``: the purge.
    embargo_h : int
        Hours between the end of the last training label and the refit.
    min_train_days : int
        Days from ``first_row`` to the first refit.
    first_row : int
        First row with a label.

    Yields
    ------
    Split
        Prediction slices touch, do not overlap, and end with the clock.

    Raises
    ------
    ValueError
        A clock with holes: rows could not be counted as hours.
    """
    if np.any(np.diff(ts_ms) != HOUR_MS):
        raise ValueError("the walk-forward needs a clock of consecutive hours")
    if first_row >= len(ts_ms):
        return
    earliest = ts_ms[first_row] + min_train_days * DAY_MS
    refits = [int(row) for row in month_starts(ts_ms) if ts_ms[row] >= earliest]
    for refit, until in pairwise([*refits, len(ts_ms)]):
        stop = refit - horizon_h - embargo_h + 1
        if stop > first_row:
            yield Split(slice(first_row, stop), slice(refit, until))
