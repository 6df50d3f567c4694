"""What the settlements of the last days had in common: mean, median, spread, share of the default.

All are of the rate per 8 h, count settlements instead of hours, and stand between two of them. They
are NaN before enough settlements were seen, and once one is overdue by a whole interval. Each
recursion stands above its entries. What ``x``, ``state`` and ``out`` are is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import Floats, Memory, Update, add, median, newest_weight
from counterpoise.features.volatility import summed

DEFAULT_RATE_8H = 0.0001
DEFAULT_TOLERANCE = 1e-9
#: Head of those with a ring: position, settlements seen, hours since the last one, the value.
_HEAD = (0.0, 0.0, 0.0, float("nan"))


@njit
def settled(state: Floats, ring: Floats, rate_8h: float) -> bool:
    """Take an hour in; whether a settlement came with it and the ring is full of them."""
    state[2] += 1.0
    if np.isnan(rate_8h):
        return False
    ring[int(state[0])] = rate_8h
    state[0] = (state[0] + 1.0) % ring.shape[0]
    state[1] += 1.0
    state[2] = 0.0
    return bool(state[1] >= ring.shape[0])


@njit
def unless_overdue(value: float, age_h: float, interval_h: float) -> float:
    """The value while the next settlement is overdue by less than an interval, NaN afterwards."""
    return value if age_h < 2.0 * interval_h else np.nan


@njit
def settled_mean(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Mean rate of the settlements in the ring.

    ``x`` = (rate seen settled, interval in hours); head = [position, settlements seen, hours since
    the last, mean].

    Formula: Σ F·8/N / k over the last k settlements.
    Unit: fraction per 8 h.
    Pitfall: windows count settlements; when a venue goes hourly they cover an eighth of the time.
    Source: Corsi (2009), means over a short, a middle and a long window, here of funding.
    """
    rate, interval_h = x
    ring = state[4:]
    for t in range(out.shape[0]):
        if settled(state, ring, rate[t] * 8.0 / interval_h[t]):
            state[3] = summed(ring) / ring.shape[0]
        out[t] = unless_overdue(state[3], state[2], interval_h[t])


@njit
def settled_median(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Median rate of the settlements in the ring.

    ``x`` and head as of :func:`settled_mean`; half of the ring is space to sort.

    Formula: median of F·8/N over the last k settlements, k odd.
    Unit: fraction per 8 h.
    Pitfall: in calm months exactly the default 0.0001 for weeks on end.
    Source: SCIENCE §6; the median as in Hampel (1974).
    """
    rate, interval_h = x
    count = (state.shape[0] - 4) // 2
    ring, scratch = state[4 : 4 + count], state[4 + count :]
    for t in range(out.shape[0]):
        if settled(state, ring, rate[t] * 8.0 / interval_h[t]):
            state[3] = median(ring, scratch)
        out[t] = unless_overdue(state[3], state[2], interval_h[t])


@njit
def settled_deviation(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Population standard deviation of the settlements in the ring.

    ``x`` and head as of :func:`settled_mean`.

    Formula: √(Σ(f − mean f)²/k), f = F·8/N over the last k settlements.
    Unit: fraction per 8 h.
    Pitfall: 0 while every settlement is the default; one liquidation cascade fills it for a week.
    Source: SCIENCE §6.
    """
    rate, interval_h = x
    ring = state[4:]
    for t in range(out.shape[0]):
        if settled(state, ring, rate[t] * 8.0 / interval_h[t]):
            # Counted from one of them: equal rates then have a deviation of exactly 0.
            mean, total = 0.0, 0.0
            for i in range(ring.shape[0]):
                mean += (ring[i] - ring[0]) / ring.shape[0]
            for i in range(ring.shape[0]):
                off = ring[i] - ring[0] - mean
                total += off * off
            state[3] = np.sqrt(total / ring.shape[0])
        out[t] = unless_overdue(state[3], state[2], interval_h[t])


@njit
def default_share(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the settlements in the ring that were exactly the default rate.

    ``x`` and head as of :func:`settled_mean`.

    Formula: Σ 1(|F·8/N − 0.0001| ≤ 1e-9) / k over the last k settlements.
    Unit: share, 0 to 1.
    Pitfall: 0.0001 is the default of Binance and those that copied it; elsewhere it is always 0.
    Source: Binance, "Introduction to Binance Futures Funding Rates" (interest rate, damper).
    """
    rate, interval_h = x
    ring = state[4:]
    for t in range(out.shape[0]):
        if settled(state, ring, rate[t] * 8.0 / interval_h[t]):
            count = 0.0
            for i in range(ring.shape[0]):
                if np.abs(ring[i] - DEFAULT_RATE_8H) <= DEFAULT_TOLERANCE:
                    count += 1.0
            state[3] = count / ring.shape[0]
        out[t] = unless_overdue(state[3], state[2], interval_h[t])


@njit
def settled_ewma(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """EWMA of the settled rate, over settlements.

    ``x`` as of :func:`settled_mean`; head = [span, settlements seen, hours since the last, mean].

    Formula: EWMA_k of F·8/N, from the k-th settlement on.
    Unit: fraction per 8 h.
    Pitfall: spans count settlements; when a venue goes hourly they cover an eighth of the time.
    Source: SCIENCE §6.
    """
    rate, interval_h = x
    span, seen, age_h, mean = state[0], state[1], state[2], state[3]
    for t in range(out.shape[0]):
        rate_8h = rate[t] * 8.0 / interval_h[t]
        age_h += 1.0
        if not np.isnan(rate_8h):
            seen += 1.0
            age_h = 0.0
            mean += newest_weight(span, seen) * (rate_8h - mean)
        out[t] = unless_overdue(mean if seen >= span else np.nan, age_h, interval_h[t])
    state[1], state[2], state[3] = seen, age_h, mean


def _add(
    name: str, count: int, update: Update, memory: Memory, formula: str, pitfall: str, unit: str
) -> None:
    add(
        name,
        "funding_seen funding_interval_h",
        update,
        memory,
        warm_up=8 * (count - 1),
        unit=unit,
        known_at="settlement",
        formula=formula,
        pitfall=pitfall,
    )


_COUNTED = "counts settlements: when a venue goes hourly it covers an eighth of the time"
for _count in (2, 3, 9, 21, 63):
    _add(
        f"funding_mean_{_count}",
        _count,
        settled_mean,
        Memory(_HEAD, _count),
        f"mean rate per 8 h of the last {_count} settlements",
        _COUNTED,
        "per 8 h",
    )
for _count in (9, 21):
    _add(
        f"funding_median_{_count}",
        _count,
        settled_median,
        Memory(_HEAD, 2 * _count),
        f"median rate per 8 h of the last {_count} settlements",
        "in calm months exactly the default 0.0001 for weeks on end",
        "per 8 h",
    )
for _count in (4, 9, 21):
    _add(
        f"funding_ewma_{_count}",
        _count,
        settled_ewma,
        Memory((float(_count), 0.0, 0.0, 0.0)),
        f"EWMA_{_count} over settlements of the rate per 8 h",
        _COUNTED,
        "per 8 h",
    )
_add(
    "funding_deviation_21",
    21,
    settled_deviation,
    Memory(_HEAD, 21),
    "√(mean of (f − mean f)²), f the rate per 8 h of the last 21 settlements",
    "0 while every settlement is the default; one cascade of liquidations fills it for a week",
    "per 8 h",
)
_add(
    "funding_default_share_21",
    21,
    default_share,
    Memory(_HEAD, 21),
    "share of the last 21 settlements with a rate per 8 h of 0.0001 ± 1e-9",
    "the default of Binance and those that copied it; 0 elsewhere, whatever their default",
    "share, 0 to 1",
)
