"""How much a score owes to the one path history took, and to having tried many settings.

Combinatorial purged cross-validation (López de Prado 2018, ch. 12) scores a model on many paths
through the same history; combinatorially symmetric cross-validation (Bailey, Borwein, López de
Prado & Zhu 2017) asks how often the best of several settings in one half is below their median in
the other. Both learn from hours after those they score: they measure dispersion and overfitting,
never what a trader would have earned. That is the walk-forward's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from counterpoise.appraisal.exam import Exam
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.signals.model import Model

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Halves of more blocks than this would be over 40,000 combinations.
MOST_BLOCKS = 18


@dataclass(frozen=True)
class PurgedSplit:
    """One way to hold some groups out.

    Attributes
    ----------
    tested : tuple of int
        The groups held out, ascending.
    train : bool (T,)
        Rows to learn from: outside every test group, purged and embargoed on both its sides.
    """

    tested: tuple[int, ...]
    train: Flags


def group_bounds(ticks: int, groups: int) -> tuple[slice, ...]:
    """Consecutive groups of rows as equal as can be.

    Examples
    --------
    >>> group_bounds(7, 3)
    (slice(0, 3, None), slice(3, 5, None), slice(5, 7, None))
    """
    edges = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(ticks), groups))])
    return tuple(slice(int(a), int(b)) for a, b in pairwise(edges))


def purged_splits(
    ticks: int, *, groups: int, tested: int, horizon_h: int, embargo_h: int
) -> Iterator[PurgedSplit]:
    """Every way to hold ``tested`` of ``groups`` groups out.

    Parameters
    ----------
    ticks : int
        Rows T, consecutive hours.
    groups, tested : int
        0 < tested < groups.
    horizon_h : int
        The label of row t is about (t, t + ``horizon_h``]: no row whose window shares an hour with
        that of a tested row is learned from, before the group or after it.
    embargo_h : int
        Hours more on both sides.

    Yields
    ------
    PurgedSplit
        C(groups, tested) of them, in lexicographic order.

    Raises
    ------
    FixConfig
        Groups out of range, or a negative horizon or embargo.
    """
    if not 0 < tested < groups <= ticks:
        raise FixConfig(
            "groups, tested",
            (groups, tested),
            f"0 < tested < groups <= {ticks} rows",
            "test 2 groups of 6 for 5 paths",
        )
    if horizon_h < 0 or embargo_h < 0:
        raise FixConfig(
            "horizon_h, embargo_h", (horizon_h, embargo_h), "hours >= 0", "mend the negative one"
        )
    bounds = group_bounds(ticks, groups)
    apart = max(horizon_h - 1, 0) + embargo_h
    for chosen in combinations(range(groups), tested):
        train = np.ones(ticks, dtype=np.bool_)
        for group in chosen:
            train[max(bounds[group].start - apart, 0) : bounds[group].stop + apart] = False
        yield PurgedSplit(chosen, train)


@dataclass(frozen=True)
class CrossValidation:
    """Scores of one model over the paths through one history.

    Attributes
    ----------
    model, target : str
    fits : int
        C(groups, tested).
    forecasts : float64 (P, T)
        Forecasts of each path; P = C(groups - 1, tested - 1).
    scores : float64 (P,)
        Score of each path (see :func:`~counterpoise.appraisal.exam.score`).
    """

    model: str
    target: str
    fits: int
    forecasts: Floats
    scores: Floats

    @property
    def mean(self) -> float:
        """Mean score of the paths."""
        return float(self.scores.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the score over the paths; NaN with a single one."""
        return float(self.scores.std(ddof=1)) if len(self.scores) > 1 else float("nan")


def cross_validate(
    model: Model, exam: Exam, *, groups: int = 6, tested: int = 2, embargo_h: int = 24, seed: int
) -> CrossValidation:
    """Score a model on every path of a combinatorial purged cross-validation.

    Parameters
    ----------
    model : Model
        Learns C(groups, tested) times. What it may not learn from it does not see: outcomes there
        are NaN, and so are the features of the groups held out.
    exam : Exam
    groups, tested : int
        Groups of equal length, and how many are held out at a time.
    embargo_h : int
    seed : int
        Of every fit.

    Returns
    -------
    CrossValidation
        The j-th path takes each group from the j-th of the splits that hold it out, so every path
        covers the whole history once and no forecast is in two paths.

    Raises
    ------
    FixConfig
        As of :func:`purged_splits`.
    NotEnoughData
        A split leaves no labelled row to learn from.
    """
    ticks = len(exam.y)
    bounds = group_bounds(ticks, groups)
    paths = comb(groups - 1, tested - 1)
    forecasts = np.full((paths, ticks), np.nan)
    seen = [0] * groups
    splits = purged_splits(
        ticks, groups=groups, tested=tested, horizon_h=exam.horizon_h, embargo_h=embargo_h
    )
    for split in splits:
        learn = split.train & np.isfinite(exam.y)
        if not learn.any():
            raise NotEnoughData(
                f"holding out groups {split.tested} of {groups} leaves nothing to learn from. "
                "Next: take fewer groups, a shorter embargo or a longer history."
            )
        stop = int(np.flatnonzero(learn)[-1]) + 1
        X = exam.X[:stop].copy()
        for group in split.tested:
            X[bounds[group]] = np.nan
        fitted = model.fit(X, np.where(learn, exam.y, np.nan)[:stop], seed)
        for group in split.tested:
            rows = bounds[group]
            forecasts[seen[group], rows] = fitted.predict(exam.X[: rows.stop], rows)
            seen[group] += 1
    scores = np.array([exam.score(path, exam.y) for path in forecasts])
    return CrossValidation(model.name, exam.name, comb(groups, tested), forecasts, scores)


@dataclass(frozen=True)
class Overfitting:
    """How the best of several settings in one half did in the other.

    Attributes
    ----------
    probability : float
        Share of halvings in which it was at or below the median of the other half: about 0.5 where
        the choice is luck, near 0 where one setting is truly better.
    loss : float
        Share of halvings in which its performance in the other half was below 0.
    logits : float64 (C,)
        Log odds of its relative rank in the other half, C = C(blocks, blocks / 2).
    chosen : int64 (C,)
        Which setting it was.
    """

    probability: float
    loss: float
    logits: Floats
    chosen: NDArray[np.int64]


def overfitting(
    performance: Floats, *, blocks: int = 16, statistic: Literal["mean", "sharpe"] = "sharpe"
) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    Parameters
    ----------
    performance : float64 (N, K)
        Performance of K settings in N consecutive periods (daily returns, or minus the loss of a
        forecast); larger is better.
    blocks : int
        Even number of blocks the periods are cut into; the oldest periods that do not fill them
        are left out.
    statistic : str
        ``mean``, or ``sharpe``: mean over standard deviation. A setting that never varies has a
        Sharpe ratio of 0.

    Returns
    -------
    Overfitting
        Ties in rank share their mean.

    Raises
    ------
    FixConfig
        ``blocks`` odd or outside 2 .. 18, fewer than two settings, or a value that is not finite.
    NotEnoughData
        Fewer than two periods a block.
    """
    if blocks % 2 or not 2 <= blocks <= MOST_BLOCKS:
        raise FixConfig("blocks", blocks, f"an even number from 2 to {MOST_BLOCKS}", "use 16")
    if performance.ndim != 2 or performance.shape[1] < 2:
        raise FixConfig(
            "performance", performance.shape, "periods × two settings or more", "add settings"
        )
    if not np.isfinite(performance).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(performance))[0])
        raise FixConfig(
            f"performance, period {row}, setting {column}",
            float(performance[row, column]),
            "finite numbers",
            "keep the periods that all settings have",
        )
    length = len(performance) // blocks
    if length < 2:
        raise NotEnoughData(
            f"{len(performance)} periods do not fill {blocks} blocks of 2. "
            "Next: use fewer blocks or a longer history."
        )
    cut = performance[len(performance) - blocks * length :].reshape(blocks, length, -1)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    halves = np.zeros((comb(blocks, blocks // 2), blocks))
    for i, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        halves[i, chosen] = 1.0
    count = length * blocks // 2
    inside = _statistic(halves @ sums, halves @ squares, count, statistic)
    outside = _statistic((1 - halves) @ sums, (1 - halves) @ squares, count, statistic)
    best = inside.argmax(axis=1)
    every = np.arange(len(best))
    relative = rankdata(outside, axis=1)[every, best] / (performance.shape[1] + 1)
    logits = np.log(relative / (1.0 - relative))
    return Overfitting(
        probability=float((logits <= 0.0).mean()),
        loss=float((outside[every, best] < 0.0).mean()),
        logits=logits,
        chosen=best.astype(np.int64),
    )


def _statistic(
    sums: Floats, squares: Floats, count: int, statistic: Literal["mean", "sharpe"]
) -> Floats:
    mean = sums / count
    if statistic == "mean":
        return mean
    variance = squares / count - mean**2
    # Rounding leaves a trace of a variance where there is none.
    varies = variance > 1e-12 * squares / count
    return np.divide(mean, np.sqrt(np.where(varies, variance, 1.0))) * varies
