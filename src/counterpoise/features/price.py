"""Returns, trend and volume of the spot market, in units of their own usual size.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import (
    KNOWN_SHARE,
    SHARED,
    Floats,
    Memory,
    Shared,
    add,
    newest_weight,
)

#: Span, in hours, of the variance that scales returns and momentum.
SCALE_SPAN_H = 168.0
SCALE_MIN_RETURNS = 24.0

_NAN = float("nan")


@njit
def log_price(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Natural logarithm of a price. ``x`` = (price,); no state."""
    for t in range(out.shape[0]):
        out[t] = np.log(x[0][t])


SHARED.add("log_price", Shared(("spot.close",), log_price, Memory()))


@njit
def hourly_variance(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """EWMA of squared hourly log returns: the scale of returns and momentum.

    ``x`` = (log price,); head = [variance, returns seen, last log price]. A return needs a price
    at both of its ends; where there is none the variance stands.

    Formula: σ² = EWMA₁₆₈ of r², a plain mean until the span is full; NaN before the 24th return.
    Unit: squared fraction per hour.
    Pitfall: a half-life of 58 hours is slow in a crash.
    Source: J.P. Morgan, RiskMetrics Technical Document (1996), with a decay of its own.
    """
    variance, seen, last = state[0], state[1], state[2]
    for t in range(out.shape[0]):
        step = x[0][t] - last
        last = x[0][t]
        if not np.isnan(step):
            seen += 1.0
            variance += newest_weight(SCALE_SPAN_H, seen) * (step * step - variance)
        out[t] = variance if seen >= SCALE_MIN_RETURNS else np.nan
    state[0], state[1], state[2] = variance, seen, last


SHARED.add(
    "hourly_variance", Shared(("shared.log_price",), hourly_variance, Memory((0.0, 0.0, _NAN)))
)


@njit
def scaled_return(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log return over the ring's length h, in standard deviations of such a return.

    ``x`` = (log price, hourly variance); head = [position]; the ring holds log prices. A gap
    enters the ring: a return needs a price at both of its ends.

    Formula: ln(S_t / S_{t−h}) / √(h·σ²).
    Unit: standard deviations.
    Pitfall: the newest return is inside its own scale, so a shock is capped near √84.
    Source: the usual volatility scaling, as in Moskowitz, Ooi and Pedersen (2012).
    """
    log_price, variance = x
    ring = state[1:]
    window = ring.shape[0]
    position = int(state[0])
    for t in range(out.shape[0]):
        before = ring[position]
        ring[position] = log_price[t]
        position += 1
        if position == window:
            position = 0
        if variance[t] > 0.0:
            out[t] = (log_price[t] - before) / np.sqrt(variance[t] * window)
        else:
            out[t] = np.nan
    state[0] = position


for _hours in (1, 4, 24, 2, 3, 6, 8, 12, 16, 36, 48, 72, 168):
    add(
        f"return_{_hours}h",
        "shared.log_price shared.hourly_variance",
        scaled_return,
        Memory((0.0,), _hours),
        warm_up=max(24, _hours),
        unit="std deviations",
        known_at="bar close",
        formula=f"ln(S_t / S_(t-{_hours}h)) / (σ_1h·√{_hours}), σ_1h² an EWMA of r², span 168 h",
        pitfall="the newest return is inside its own scale, so shocks are capped near √84",
    )


@njit
def scaled_momentum(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Fast minus slow EWMA of the log price, in standard deviations over the fast span.

    ``x`` = (log price, hourly variance); head = [fast span, slow span, fast mean, slow mean, prices
    seen, returns seen, last log price]. A gap leaves the means alone; the return across it is
    dropped. Speaks once returns of a slow span were seen.

    Formula: (EWMA_f ln S − EWMA_s ln S) / (σ·√f).
    Unit: standard deviations.
    Pitfall: trends in ETH decayed after 2021; a slow feature has few independent values.
    Source: moving-average crossover scaled by volatility, as in Baz et al. (2015).
    """
    log_price, variance = x
    fast_span, slow_span, fast, slow = state[0], state[1], state[2], state[3]
    prices, returns, last = state[4], state[5], state[6]
    for t in range(out.shape[0]):
        now = log_price[t]
        if not np.isnan(now - last):
            returns += 1.0
        last = now
        out[t] = np.nan
        if np.isnan(now):
            continue
        prices += 1.0
        fast += newest_weight(fast_span, prices) * (now - fast)
        slow += newest_weight(slow_span, prices) * (now - slow)
        if returns >= slow_span and variance[t] > 0.0:
            out[t] = (fast - slow) / np.sqrt(variance[t] * fast_span)
    state[2], state[3], state[4], state[5], state[6] = fast, slow, prices, returns, last


add(
    "momentum_24h_168h",
    "shared.log_price shared.hourly_variance",
    scaled_momentum,
    Memory((24.0, 168.0, 0.0, 0.0, 0.0, 0.0, _NAN)),
    warm_up=168,
    unit="std deviations",
    known_at="bar close",
    formula="(EWMA_24 ln S − EWMA_168 ln S) / (σ_1h·√24)",
    pitfall="trends decayed after 2021; a slow feature has few independent values",
)


@njit
def scaled_mean_gap(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log price minus its EWMA, in standard deviations over the span.

    ``x`` = (log price, hourly variance); head = [span, mean, prices seen]. The newest price is in
    the mean. Speaks once a span of prices was seen.

    Formula: (ln S_t − EWMA_n ln S up to t) / (σ·√n).
    Unit: standard deviations.
    Pitfall: the newest price is inside its own mean and its own scale: a short span is little more
    than the last return.
    Source: moving-average crossover scaled by volatility, as in Baz et al. (2015), fast span 1.
    """
    log_price, variance = x
    span, mean, seen = state[0], state[1], state[2]
    for t in range(out.shape[0]):
        out[t] = np.nan
        now = log_price[t]
        if np.isnan(now):
            continue
        seen += 1.0
        mean += newest_weight(span, seen) * (now - mean)
        if seen >= span and variance[t] > 0.0:
            out[t] = (now - mean) / np.sqrt(variance[t] * span)
    state[1], state[2] = mean, seen


for _hours in (4, 8, 12, 24, 48, 168):
    add(
        f"mean_gap_{_hours}h",
        "shared.log_price shared.hourly_variance",
        scaled_mean_gap,
        Memory((float(_hours), 0.0, 0.0)),
        warm_up=max(24, _hours - 1),
        unit="std deviations",
        known_at="bar close",
        formula=f"(ln S − EWMA_{_hours} ln S) / (σ_1h·√{_hours}), this hour's price in the EWMA",
        pitfall="the newest price is in its own mean; spans overlap, so the six move together",
    )


@njit
def log_surprise(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log of a positive quantity minus the EWMA of that log before it.

    ``x`` = (quantity,); head = [span, mean, values seen]. Zero, an hour without a trade, counts as
    a gap.

    Formula: ln V_t − EWMA_span of ln V up to t − 1.
    Unit: natural log of a ratio.
    Pitfall: of volume it has the hour of the day and the weekend in it.
    Source: none; abnormal volume as commonly used.
    """
    span, mean, seen = state[0], state[1], state[2]
    for t in range(out.shape[0]):
        out[t] = np.nan
        if np.isnan(x[0][t]) or x[0][t] <= 0.0:
            continue
        log_value = np.log(x[0][t])
        if seen >= span:
            out[t] = log_value - mean
        seen += 1.0
        mean += newest_weight(span, seen) * (log_value - mean)
    state[1], state[2] = mean, seen


add(
    "volume_surprise",
    "spot.volume",
    log_surprise,
    Memory((168.0, 0.0, 0.0)),
    warm_up=168,
    unit="log ratio",
    known_at="bar close",
    formula="ln V − EWMA_168 ln V of before this hour",
    pitfall="has the hour of the day in it",
)


@njit
def log_positive(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Natural logarithm; NaN where the value is not above 0. ``x`` = (value,); no state."""
    for t in range(out.shape[0]):
        out[t] = np.log(x[0][t]) if x[0][t] > 0.0 else np.nan


@njit
def rolling_mean(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Mean of the values in the ring.

    ``x`` = (value,), which may be ``out`` itself; head = [position, sum, values known]. One
    addition and one subtraction per hour; the sum is taken afresh each time the ring wraps, so
    rounding cannot build up. A gap enters the ring.

    Formula: Σx/n, n the values known, at least 5/6 of the window and the newest among them.
    Unit: that of the value.
    Pitfall: overlapping windows: neighbouring hours share all but one value.
    Source: none; a moving average.
    """
    ring = state[3:]
    window = ring.shape[0]
    position, total, known = int(state[0]), state[1], state[2]
    for t in range(out.shape[0]):
        value, leaving = x[0][t], ring[position]
        ring[position] = value
        if not np.isnan(leaving):
            total -= leaving
            known -= 1.0
        if not np.isnan(value):
            total += value
            known += 1.0
        position += 1
        if position == window:
            position = 0
            total = 0.0
            for i in range(window):
                if not np.isnan(ring[i]):
                    total += ring[i]
        if np.isnan(value) or known < KNOWN_SHARE * window:
            out[t] = np.nan
        else:
            out[t] = total / known
    state[0], state[1], state[2] = position, total, known


@njit
def difference(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """First minus second, of two logarithms. ``x`` = (first, second); no state.

    Formula: mean of ln V over n hours − mean of ln V over 168 hours; ln S_ETH − ln S_BTC.
    Unit: natural log of a ratio.
    Pitfall: of volume, a window that is no whole number of days has the hour of the day in it, one
    of less than a week the weekend.
    Source: none; abnormal volume and relative prices as commonly used.
    """
    for t in range(out.shape[0]):
        out[t] = x[0][t] - x[1][t]


SHARED.add("log_volume", Shared(("spot.volume",), log_positive, Memory()))
for _hours in (6, 24, 168):
    SHARED.add(
        f"mean_log_volume_{_hours}h",
        Shared(("shared.log_volume",), rolling_mean, Memory((0.0, 0.0, 0.0), _hours)),
    )
for _hours, _pitfall in (
    (6, "has the hour of the day and the weekend in it"),
    (24, "has the weekend in it"),
):
    add(
        f"volume_ratio_{_hours}h",
        f"shared.mean_log_volume_{_hours}h shared.mean_log_volume_168h",
        difference,
        Memory(),
        warm_up=139,
        unit="log ratio",
        known_at="bar close",
        formula=f"mean of ln V over {_hours} h − mean of ln V over 168 h, hours with V > 0",
        pitfall=_pitfall,
    )
