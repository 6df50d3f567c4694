"""How sure a difference between two policies is: the paired stationary bootstrap and Holm's rule.

Both policies are resampled on the same days, in blocks of random length, so that what they share
(the market) cancels and what they inherit from yesterday is kept. Nothing here chooses a policy.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from counterpoise.compiled import njit, njit_parallel
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.study.metrics import RETURN_METRICS
from counterpoise.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Metrics that are bootstrapped, in the order of the kernel's columns.
BOOTSTRAPPED = tuple(RETURN_METRICS)

MIN_DAYS = 30
MIN_BLOCKS = 10
#: Blocks of a test over those that estimate a variance with the least squared error: a test is
#: harmed more by the dependence that short blocks cut than by the noise of long ones (Sun, Phillips
#: & Jin 2008). Measured on generated markets in ``tests/study/test_false_alarms.py``.
TEST_BLOCKS = 2.0

# SplitMix64 (Steele, Lea & Flood 2014): its state is a plain counter, so that draw i has a stream
# of its own and the result does not depend on which thread computes it.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_CVAR_TAIL = 0.05


@dataclass(frozen=True)
class Difference:
    """Metric of policy A minus metric of policy B, its 95 % interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float


@njit
def _mix(state: np.uint64) -> np.uint64:
    z = (state ^ (state >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@njit
def _uniform(state: np.uint64) -> float:
    return (_mix(state) >> _S11) * (1.0 / 9007199254740992.0)


@njit
def _draw_days(days: int, restart: float, seed: np.uint64, draw: int) -> Indices:
    indices = np.empty(days, np.int64)
    state = _mix(seed + _GAMMA * np.uint64(draw + 1))
    at = 0
    for t in range(days):
        state += _GAMMA
        if t == 0 or _uniform(state) < restart:
            state += _GAMMA
            at = int(_uniform(state) * days)
        else:
            at += 1
            if at == days:
                at = 0
        indices[t] = at
    return indices


@njit
def _describe(
    daily: Floats, order: Indices, indices: Indices, counts: Indices
) -> tuple[float, float, float, float]:
    """Annual mean, annual variance, CVaR95 and max drawdown of the resampled days."""
    days = daily.shape[0]
    total = squares = equity = peak = deepest = 0.0
    for t in range(days):
        value = daily[indices[t]]
        total += value
        squares += value * value
        equity += value
        peak = max(peak, equity)
        deepest = min(deepest, equity - peak)
    variance = max(squares - total * total / days, 0.0) / (days - 1)
    # The days are sorted once, before all draws: how often each was drawn is all that changes.
    wanted = _CVAR_TAIL * days
    taken = tail = 0.0
    for day in order:
        weight = min(float(counts[day]), wanted - taken)
        tail += weight * daily[day]
        taken += weight
        if taken >= wanted:
            break
    return total / days * DAYS_PER_YEAR, variance * DAYS_PER_YEAR, -tail / wanted, deepest


@njit_parallel
def _differences(
    daily_a: Floats,
    daily_b: Floats,
    order_a: Indices,
    order_b: Indices,
    restart: float,
    seed: np.uint64,
    draws: int,
) -> Floats:
    out = np.empty((draws, 6))
    for draw in numba.prange(draws):
        indices = _draw_days(daily_a.shape[0], restart, seed, draw)
        counts = np.zeros(daily_a.shape[0], np.int64)
        for day in indices:
            counts[day] += 1
        mean_a, variance_a, cvar_a, deepest_a = _describe(daily_a, order_a, indices, counts)
        mean_b, variance_b, cvar_b, deepest_b = _describe(daily_b, order_b, indices, counts)
        mean, variance = mean_a - mean_b, variance_a - variance_b
        out[draw, 0] = mean
        out[draw, 1] = np.sqrt(variance_a) - np.sqrt(variance_b)
        out[draw, 2] = mean - 2.5 * variance
        out[draw, 3] = mean - 10.0 * variance
        out[draw, 4] = cvar_a - cvar_b
        out[draw, 5] = deepest_a - deepest_b
    return out


def stationary_indices(days: int, block_days: float, draws: int, seed: int) -> Indices:
    """Days drawn by the stationary bootstrap (Politis & Romano 1994); int64 (draws, days).

    Each row walks through the history day by day, wrapping at its end, and jumps to a random day
    with probability 1/``block_days``. These are the very draws of :func:`paired_bootstrap`.
    """
    restart = 1.0 / block_days
    return np.stack([_draw_days(days, restart, np.uint64(seed), draw) for draw in range(draws)])


def block_length(daily_a: Floats, daily_b: Floats) -> float:
    """Return the expected block length in days for comparing two policies.

    ``TEST_BLOCKS`` times the larger of the optimal lengths (Politis & White 2004, corrected by
    Patton, Politis & White 2009) of the differences of returns and of squared returns: the first
    carries what the mean inherits from yesterday, the second what vol, CVaR and CE inherit from
    volatility clusters. At most a tenth of the sample, so that a draw has some 10 blocks.
    """
    from arch.bootstrap import optimal_block_length

    longest = 1.0
    for series in (daily_a - daily_b, daily_a**2 - daily_b**2):
        # arch divides by the variance; a constant difference has nothing to keep together.
        if np.ptp(series) > 1e-12 * max(float(np.abs(series).max()), 1e-300):
            scaled = (series - series.mean()) / series.std()
            longest = max(longest, float(optimal_block_length(scaled)["stationary"].iloc[0]))
    return min(TEST_BLOCKS * longest, max(daily_a.size / MIN_BLOCKS, 1.0))


def few_blocks(days: int, block_days: float) -> float:
    """How much wider an interval is because its width rests on few blocks.

    The stationary bootstrap weighs the autocovariance of lag k by (1 - 1/block)^k (Politis & Romano
    1994, lemma 1). A variance so weighted has as many equivalent degrees of freedom as the sample
    has blocks, and a test takes Student's quantile with them (Lazarus, Lewis, Stock & Watson 2018).

    Returns
    -------
    float
        Student's over the normal 97.5 % quantile, above 1.

    Examples
    --------
    >>> round(few_blocks(1000, 100.0), 3), round(few_blocks(1000, 2.0), 3)
    (1.137, 1.002)
    """
    return float(stdtrit(days / block_days, 0.975) / ndtri(0.975))


def paired_bootstrap(
    daily_a: Floats, daily_b: Floats, draws: int = 10_000, seed: int = 11
) -> dict[str, Difference]:
    """Differences A − B in the metrics of ``BOOTSTRAPPED``, with intervals and p-values.

    Parameters
    ----------
    daily_a, daily_b : float64 (D,)
        Daily returns of the policy and of what it is held against, on the same days.
    draws : int
        Bootstrap draws.
    seed : int
        Seed of the generator; the same seed gives the same numbers on any number of cores.

    Returns
    -------
    dict of str to Difference
        The draws, centred on the difference found, stand for its distribution where there is
        none. The p-value is two-sided, p = (1 + draws at least as far out)/(1 + draws); the
        interval is the symmetric one (Hall 1988), the difference ± the distance that 95 % of the
        centred draws stay within. It inverts that very test, so it excludes 0 exactly when
        p ≤ 0.05. Basic intervals were tried and reject three times too often for the drawdown,
        whose bootstrap is biased; percentile intervals do not match a centred test. Distances of
        the draws are stretched by :func:`few_blocks`.

    Notes
    -----
    On generated markets whose volatility clusters as ETH's does, two equally useless hedges are
    told apart at p ≤ 0.05 about as often as they should be (``tests/study/test_false_alarms.py``),
    except in the drawdown, where it happens too rarely. Where volatility clusters for longer than
    that, the p-values of vol and CVaR are too small
    (``test_a_useless_timing_rule_is_rarely_called_significant``). A circular-shift placebo has no
    such bias: read the two together.

    Raises
    ------
    NotEnoughData
        Fewer than 30 days.
    FixConfig
        ``draws`` under 100 or ``seed`` outside [0, 2⁶³).
    ValueError
        Shapes differ, or a return is not finite.
    """
    if daily_a.ndim != 1 or daily_a.shape != daily_b.shape:
        raise ValueError(f"daily returns must share one shape: {daily_a.shape}, {daily_b.shape}")
    if not (np.isfinite(daily_a).all() and np.isfinite(daily_b).all()):
        raise ValueError("daily returns must be finite")
    if daily_a.size < MIN_DAYS:
        raise NotEnoughData(
            f"a bootstrap needs at least {MIN_DAYS} days, got {daily_a.size}. "
            f"Next: widen study.start .. study.end."
        )
    if draws < 100:
        raise FixConfig("study.draws", draws, "at least 100", "raise it; 10000 is the default")
    if not 0 <= seed < 2**63:
        raise FixConfig("study.seed", seed, "an integer in [0, 2^63)", "choose another seed")
    daily_a = np.ascontiguousarray(daily_a, np.float64)
    daily_b = np.ascontiguousarray(daily_b, np.float64)
    block_days = block_length(daily_a, daily_b)
    stretch = few_blocks(daily_a.size, block_days)
    sample = _differences(
        daily_a,
        daily_b,
        np.argsort(daily_a),
        np.argsort(daily_b),
        1.0 / block_days,
        np.uint64(seed),
        draws,
    )
    within = -(-19 * (draws + 1) // 20)  # order statistic that makes interval and p-value agree
    results: dict[str, Difference] = {}
    for column, (name, metric) in enumerate(RETURN_METRICS.items()):
        found = metric(daily_a) - metric(daily_b)
        distance = stretch * np.sort(np.abs(sample[:, column] - found))
        further = int(np.count_nonzero(distance >= abs(found)))
        half = float(distance[within - 1])
        results[name] = Difference(found, found - half, found + half, (1 + further) / (1 + draws))
    return results


def holm(pvalues: Iterable[float]) -> Floats:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979); float64 (K,).

    Raises
    ------
    ValueError
        A p-value is outside [0, 1] or NaN.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(list(pvalues), np.float64)
    if not np.all((given >= 0.0) & (given <= 1.0)):
        raise ValueError(f"p-values must lie in [0, 1]: {given.tolist()}")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
