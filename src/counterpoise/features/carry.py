"""Basis, premium and funding of the perpetual: what holding a short pays or costs.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import Floats, Memory, add, newest_weight

FAST_SETTLEMENTS = 3.0
SLOW_SETTLEMENTS = 21.0


@njit
def relative_gap(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """First over second, minus one. ``x`` = (perpetual, spot); no state.

    Formula: F/S − 1.
    Unit: fraction of spot.
    Pitfall: last trades of two books, not quotes: a basis point or two is noise. The venue's own
    premium compares impact prices with an index of several venues.
    Source: SCIENCE §6.
    """
    perp, spot = x
    for t in range(out.shape[0]):
        out[t] = perp[t] / spot[t] - 1.0


add(
    "basis",
    "perp.close spot.close",
    relative_gap,
    Memory(),
    warm_up=0,
    unit="fraction",
    known_at="bar close",
    formula="perpetual close / spot close − 1",
    pitfall="last trades of two books, not quotes: a basis point or two is noise",
)


@njit
def surprise_in_deviations(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Distance of a value from its EWMA, in exponentially weighted standard deviations.

    ``x`` = (value,); head = [span, mean, variance, values seen]. Mean and deviation are those of
    before this value; speaks once a span of values was seen.

    Formula: (x_t − EWMA_{t−1}) / √EWMVar_{t−1}.
    Unit: standard deviations.
    Pitfall: calm weeks make small moves look large.
    Source: Finch (2009) for the variance recursion.
    """
    span, mean, variance, seen = state[0], state[1], state[2], state[3]
    for t in range(out.shape[0]):
        out[t] = np.nan
        value = x[0][t]
        if np.isnan(value):
            continue
        off = value - mean
        if seen >= span and variance > 0.0:
            out[t] = off / np.sqrt(variance)
        seen += 1.0
        weight = newest_weight(span, seen)
        mean += weight * off
        variance = (1.0 - weight) * (variance + weight * off * off)
    state[1], state[2], state[3] = mean, variance, seen


add(
    "basis_zscore",
    "feature.basis",
    surprise_in_deviations,
    Memory((168.0, 0.0, 0.0, 0.0)),
    warm_up=168,
    unit="std deviations",
    known_at="bar close",
    formula="(basis − EWMA_168) / √EWMVar_168, both of before this hour",
    pitfall="calm weeks make small moves look large",
)


@njit
def change(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Value minus the value as many ticks ago as the ring is long.

    ``x`` = (value,); head = [position]. A gap enters the ring.

    Formula: x_t − x_{t−h}.
    Unit: that of the value.
    Pitfall: of a noisy level it is mostly noise, negatively correlated with the change before it.
    Source: SCIENCE §6.
    """
    ring = state[1:]
    window = ring.shape[0]
    position = int(state[0])
    for t in range(out.shape[0]):
        out[t] = x[0][t] - ring[position]
        ring[position] = x[0][t]
        position += 1
        if position == window:
            position = 0
    state[0] = position


for _hours, _pitfall in (
    (1, "twice the noise of the basis: bounces between two books"),
    (24, "overlapping windows: neighbouring hours share 23 of 24"),
):
    add(
        f"basis_change_{_hours}h",
        "feature.basis",
        change,
        Memory((0.0,), _hours),
        warm_up=_hours,
        unit="fraction",
        known_at="bar close",
        formula=f"basis_t − basis_(t-{_hours}h)",
        pitfall=_pitfall,
    )


@njit
def rate_per_8h(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Rate of any interval as a rate per 8 h. ``x`` = (rate, interval in hours); no state.

    Formula: F·8/N.
    Unit: fraction per 8 h; positive pays the short.
    Pitfall: about a third of ETH settlements are exactly the default 0.0001.
    Source: SCIENCE §4.
    """
    rate, interval_h = x
    for t in range(out.shape[0]):
        out[t] = rate[t] * 8.0 / interval_h[t]


add(
    "funding_last",
    "funding_last funding_interval_h",
    rate_per_8h,
    Memory(),
    warm_up=0,
    unit="per 8 h",
    known_at="settlement",
    formula="last settled rate · 8 / interval in hours",
    pitfall="about a third of settlements are exactly the default 0.0001",
)


@njit
def funding_momentum(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Fast minus slow EWMA of the settled rate per 8 h, over settlements.

    ``x`` = (rate seen settled, interval in hours); head = [fast, slow, settlements seen]. NaN means
    that nothing was seen settled in the hour: the last value stands.

    Formula: EWMA₃ − EWMA₂₁, from the 21st settlement on.
    Unit: fraction per 8 h.
    Pitfall: spans count settlements; when a venue goes hourly they cover an eighth of the time.
    Source: SCIENCE §6.
    """
    rate, interval_h = x
    fast, slow, seen = state[0], state[1], state[2]
    for t in range(out.shape[0]):
        per_8h = rate[t] * 8.0 / interval_h[t]
        if not np.isnan(per_8h):
            seen += 1.0
            fast += newest_weight(FAST_SETTLEMENTS, seen) * (per_8h - fast)
            slow += newest_weight(SLOW_SETTLEMENTS, seen) * (per_8h - slow)
        out[t] = fast - slow if seen >= SLOW_SETTLEMENTS else np.nan
    state[0], state[1], state[2] = fast, slow, seen


add(
    "funding_momentum",
    "funding_seen funding_interval_h",
    funding_momentum,
    Memory((0.0, 0.0, 0.0)),
    warm_up=160,
    unit="per 8 h",
    known_at="settlement",
    formula="EWMA_3 − EWMA_21 over settlements of the rate per 8 h",
    pitfall="spans count settlements: when a venue goes hourly they cover an eighth of the time",
)


@njit
def interval_elapsed(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the funding interval that has gone. ``x`` = (hours since 1970, interval); no state.

    Formula: (clock mod N)/N, 0 at a settlement.
    Unit: share, 0 to 1.
    Pitfall: settlements are taken to be at multiples of the interval, UTC; a venue that settles at
    04, 12 and 20 h is half an interval off.
    Source: Binance, "Introduction to Binance Futures Funding Rates".
    """
    clock_h, interval_h = x
    for t in range(out.shape[0]):
        gone = clock_h[t] / interval_h[t]
        out[t] = gone - np.floor(gone)


add(
    "funding_elapsed",
    "clock_h funding_interval_h",
    interval_elapsed,
    Memory(),
    warm_up=0,
    unit="share, 0 to 1",
    known_at="settlement",
    formula="(hours since 1970 mod N) / N, N the interval of the last settlement",
    pitfall="settlements are taken to be at multiples of N in UTC; KuCoin's are not",
)


@njit
def elapsed_premium(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Time-weighted mean premium of the running funding interval, from hourly closes.

    ``x`` = (premium, hours since 1970, interval in hours); head = [weighted sum, sum of weights].
    The k-th hour weighs k; the interval's first sample is the close at which it began. Without an
    interval nothing is known and the mean starts again.

    Formula: P̄ = Σ k·P_k / Σ k, k = 1 … hours gone + 1.
    Unit: fraction of the index.
    Pitfall: coarse. The venue samples impact prices every 5 s against an index of several venues;
    here are at most N closes of two books. In the interval's first hour it is one print.
    Source: Binance, "Introduction to Binance Futures Funding Rates" (time-weighted average).
    """
    premium, clock_h, interval_h = x
    total, weights = state[0], state[1]
    for t in range(out.shape[0]):
        gone_h = clock_h[t] - interval_h[t] * np.floor(clock_h[t] / interval_h[t])
        if not gone_h > 0.0:
            total = 0.0
            weights = 0.0
        weight = gone_h + 1.0
        if np.isnan(premium[t] * weight):
            out[t] = np.nan
            continue
        total += weight * premium[t]
        weights += weight
        out[t] = total / weights
    state[0], state[1] = total, weights


add(
    "premium_elapsed",
    "feature.basis clock_h funding_interval_h",
    elapsed_premium,
    Memory((0.0, 0.0)),
    warm_up=0,
    unit="fraction",
    known_at="bar close",
    formula="Σk·basis_k / Σk over the hours k = 1, 2 … of the running funding interval",
    pitfall="coarse: hourly closes, not 5-second impact prices; one print after a settlement",
)


@njit
def predicted_rate(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Funding the running interval would settle at if its mean premium stayed as it is.

    ``x`` = (mean premium, interval in hours, default rate per 8 h, damper per 8 h, cap per
    interval); no state. A NaN damper means that the venue adds the default rate to the premium.

    Formula: P̄ + clamp(I − P̄, ±D), or P̄ + I without a damper; then within ±cap·8/N.
    Unit: fraction per 8 h; positive pays the short.
    Pitfall: never the settled value, and as coarse as P̄ from hourly closes; early in the interval
    it is hardly more than the last basis.
    Source: the venue's dated rule (``venues``), SCIENCE §4.
    """
    premium, interval_h, interest, damper, cap = x
    for t in range(out.shape[0]):
        if np.isnan(damper[t]):
            rate = premium[t] + interest[t]
        else:
            rate = min(max(interest[t], premium[t] - damper[t]), premium[t] + damper[t])
        limit = cap[t] * 8.0 / interval_h[t]
        out[t] = min(max(rate, -limit), limit)
        if np.isnan(premium[t] + interest[t] + limit):
            out[t] = np.nan


add(
    "predicted_funding",
    "feature.premium_elapsed funding_interval_h rule.interest_8h rule.damper_8h rule.cap",
    predicted_rate,
    Memory(),
    warm_up=0,
    unit="per 8 h",
    known_at="bar close",
    formula="P̄ + clamp(default − P̄, ±damper) within ±cap, P̄ = premium_elapsed, rule by date",
    pitfall="coarse P̄ from hourly bars; never the settled value; early in an interval mostly noise",
)
