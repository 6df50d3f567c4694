"""Compiled recursions: one ``update(state, x) -> value`` per kind of feature.

History is a recursion scanned over an array; live is the same recursion called once per event, so
the two cannot disagree. Nothing here knows where its inputs come from or what a feature is called:
that is the catalog's. A recursion mutates ``state`` in place and never looks ahead.

Every recursion states the head of its state; the rest of the state, where there is any, is a ring
whose length is the window. Unless a docstring says otherwise a NaN input returns NaN and leaves
the state alone. Windows move with the clock, so in a ring a gap takes its place as NaN.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

Floats = NDArray[np.float64]

HOURS_PER_YEAR = 8760.0
#: Share of a window that must be known before it says anything (20 of 24 hours).
KNOWN_SHARE = 5.0 / 6.0
#: Span, in hours, of the variance that scales returns and momentum.
SCALE_SPAN_H = 168.0
SCALE_MIN_RETURNS = 24.0
FUNDING_FAST_SPAN = 3.0
FUNDING_SLOW_SPAN = 21.0
#: Blocks of a full day at one per 12 s.
BLOCKS_PER_DAY = 7200.0


@njit
def _weight(span: float, count: float) -> float:
    """Weight of the newest of ``count`` values: an EWMA that starts as a plain mean."""
    return max(2.0 / (span + 1.0), 1.0 / count)


@njit
def scaled_return(state: Floats, x: Floats) -> float:
    """Log return over the ring's length, over its standard deviation σ_1h·√h.

    ``x`` = [price]; head = [position, hourly variance, returns seen, last log price]. A gap enters
    the ring: a return needs a price at both of its ends.
    """
    head = 4
    window = state.shape[0] - head
    log_price = np.log(x[0])
    step = log_price - state[3]
    state[3] = log_price
    if not np.isnan(step):
        state[2] += 1.0
        state[1] += _weight(SCALE_SPAN_H, state[2]) * (step * step - state[1])
    position = int(state[0])
    before = state[head + position]
    state[head + position] = log_price
    state[0] = (position + 1) % window
    if state[2] < SCALE_MIN_RETURNS or state[1] <= 0.0:
        return np.nan
    return float((log_price - before) / np.sqrt(state[1] * window))


@njit
def scaled_momentum(state: Floats, x: Floats) -> float:
    """Fast minus slow EWMA of the log price, over σ_1h·√(fast span).

    ``x`` = [price]; head = [fast span, slow span, fast mean, slow mean, hourly variance, returns
    seen, last log price, prices seen]. A gap leaves means and variance alone; the return across it
    is dropped.
    """
    log_price = np.log(x[0])
    step = log_price - state[6]
    state[6] = log_price
    if np.isnan(log_price):
        return np.nan
    if not np.isnan(step):
        state[5] += 1.0
        state[4] += _weight(SCALE_SPAN_H, state[5]) * (step * step - state[4])
    state[7] += 1.0
    state[2] += _weight(state[0], state[7]) * (log_price - state[2])
    state[3] += _weight(state[1], state[7]) * (log_price - state[3])
    if state[5] < state[1] or state[4] <= 0.0:
        return np.nan
    return float((state[2] - state[3]) / np.sqrt(state[4] * state[0]))


@njit
def log_realised_volatility(state: Floats, x: Floats) -> float:
    """Log of the annualised root mean square of the hourly log returns in the ring.

    ``x`` = [price]; head = [position, sum of squares, squares known, last log price]. One addition
    and one subtraction per hour; the sum is taken afresh each time the ring wraps, so rounding
    cannot build up.
    """
    head = 4
    window = state.shape[0] - head
    log_price = np.log(x[0])
    step = log_price - state[3]
    state[3] = log_price
    square = step * step
    position = int(state[0])
    leaving = state[head + position]
    state[head + position] = square
    if not np.isnan(leaving):
        state[1] -= leaving
        state[2] -= 1.0
    if not np.isnan(square):
        state[1] += square
        state[2] += 1.0
    position += 1
    if position == window:
        position = 0
        state[1] = 0.0
        for i in range(head, head + window):
            if not np.isnan(state[i]):
                state[1] += state[i]
    state[0] = position
    if np.isnan(log_price) or state[2] < KNOWN_SHARE * window or state[1] <= 0.0:
        return np.nan
    return float(0.5 * np.log(HOURS_PER_YEAR * state[1] / state[2]))


@njit
def downside_share(state: Floats, x: Floats) -> float:
    """Share of the ring's squared hourly log returns that fell: Σr²·1(r < 0) / Σr².

    ``x`` = [price]; head = [position, last log price].
    """
    head = 2
    window = state.shape[0] - head
    log_price = np.log(x[0])
    position = int(state[0])
    state[head + position] = log_price - state[1]
    state[1] = log_price
    state[0] = (position + 1) % window
    total = 0.0
    down = 0.0
    known = 0
    for i in range(head, head + window):
        step = state[i]
        if not np.isnan(step):
            known += 1
            total += step * step
            if step < 0.0:
                down += step * step
    if np.isnan(log_price) or known < KNOWN_SHARE * window or total <= 0.0:
        return np.nan
    return float(down / total)


@njit
def jump_share(state: Floats, x: Floats) -> float:
    """Share of variance that came in jumps: max(0, 1 − bipower / realised variance).

    ``x`` = [price]; head = [position, last log price]. Bipower variance is
    (π/2)·Σ|r_i||r_{i−1}| (Barndorff-Nielsen and Shephard 2004); both are taken per known term.
    """
    head = 2
    window = state.shape[0] - head
    log_price = np.log(x[0])
    position = int(state[0])
    state[head + position] = log_price - state[1]
    state[1] = log_price
    position = (position + 1) % window
    state[0] = position
    total = 0.0
    known = 0
    bipower = 0.0
    pairs = 0
    before = np.nan
    for i in range(window):
        step = abs(state[head + (position + i) % window])
        if not np.isnan(step):
            known += 1
            total += step * step
            if not np.isnan(before):
                pairs += 1
                bipower += step * before
        before = step
    if np.isnan(log_price) or known < KNOWN_SHARE * window or total <= 0.0 or pairs == 0:
        return np.nan
    return max(0.0, 1.0 - 0.5 * np.pi * (bipower / pairs) / (total / known))


@njit
def log_parkinson_volatility(state: Floats, x: Floats) -> float:
    """Log of the annualised range volatility: mean of ln(high/low)² / (4·ln 2).

    ``x`` = [high, low]; head = [position]. Source: Parkinson (1980).
    """
    head = 1
    window = state.shape[0] - head
    log_range = np.log(x[0] / x[1])
    position = int(state[0])
    state[head + position] = log_range * log_range
    state[0] = (position + 1) % window
    total = 0.0
    known = 0
    for i in range(head, head + window):
        if not np.isnan(state[i]):
            known += 1
            total += state[i]
    if np.isnan(log_range) or known < KNOWN_SHARE * window or total <= 0.0:
        return np.nan
    return float(0.5 * np.log(HOURS_PER_YEAR * total / known / (4.0 * np.log(2.0))))


@njit
def relative_gap(state: Floats, x: Floats) -> float:
    """First over second, minus one: the basis of a perpetual. ``x`` = [perp, spot]; no state."""
    return float(x[0] / x[1] - 1.0)


@njit
def relative_gap_zscore(state: Floats, x: Floats) -> float:
    """Distance of the basis from its EWMA, in exponentially weighted standard deviations.

    ``x`` = [perp, spot]; head = [span, mean, variance, values seen]. Mean and deviation are those
    of before this value.
    """
    gap = x[0] / x[1] - 1.0
    if np.isnan(gap):
        return np.nan
    off = gap - state[1]
    score = np.nan
    if state[3] >= state[0] and state[2] > 0.0:
        score = off / np.sqrt(state[2])
    state[3] += 1.0
    weight = _weight(state[0], state[3])
    state[1] += weight * off
    state[2] = (1.0 - weight) * (state[2] + weight * off * off)
    return score


@njit
def rate_per_8h(state: Floats, x: Floats) -> float:
    """Rate of any interval as a rate per 8 h. ``x`` = [rate, interval in hours]; no state."""
    return float(x[0] * 8.0 / x[1])


@njit
def funding_momentum(state: Floats, x: Floats) -> float:
    """EWMA₃ − EWMA₂₁ over settlements of the settled rate, per 8 h.

    ``x`` = [settled rate, interval in hours]; head = [fast, slow, settlements seen]. NaN means
    that nothing was settled in the hour: the last value stands.
    """
    rate = x[0] * 8.0 / x[1]
    if not np.isnan(rate):
        state[2] += 1.0
        state[0] += _weight(FUNDING_FAST_SPAN, state[2]) * (rate - state[0])
        state[1] += _weight(FUNDING_SLOW_SPAN, state[2]) * (rate - state[1])
    if state[2] < FUNDING_SLOW_SPAN:
        return np.nan
    return float(state[0] - state[1])


@njit
def log_surprise(state: Floats, x: Floats) -> float:
    """Log of a positive quantity minus the EWMA of that log before it.

    ``x`` = [quantity]; head = [span, mean, values seen]. Zero, an hour without a trade, counts as
    a gap.
    """
    if np.isnan(x[0]) or x[0] <= 0.0:
        return np.nan
    log_value = np.log(x[0])
    surprise = np.nan
    if state[2] >= state[0]:
        surprise = log_value - state[1]
    state[2] += 1.0
    state[1] += _weight(state[0], state[2]) * (log_value - state[1])
    return surprise


@njit
def gas_over_target(state: Floats, x: Floats) -> float:
    """Gas used over a day's gas limit, minus ½. ``x`` = [gas used per day, limit per block]."""
    return float(x[0] / (x[1] * BLOCKS_PER_DAY) - 0.5)


@njit
def published_change(state: Floats, x: Floats) -> float:
    """Last published value minus the different one before it.

    ``x`` = [series as of now]; head = [last value, last change]. A publication that repeats the
    value before it cannot be told from none, and leaves the change as it was.
    """
    value = x[0]
    if np.isnan(value):
        return np.nan
    if np.isnan(state[0]):
        state[0] = value
    elif value != state[0]:
        state[1] = value - state[0]
        state[0] = value
    return float(state[1])


@njit
def published_log_change(state: Floats, x: Floats) -> float:
    """As :func:`published_change`, of ln(1 + value): for quantities that may be zero."""
    value = np.log1p(x[0])
    if np.isnan(value):
        return np.nan
    if np.isnan(state[0]):
        state[0] = value
    elif value != state[0]:
        state[1] = value - state[0]
        state[0] = value
    return float(state[1])


@njit
def cycle_sine(state: Floats, x: Floats) -> float:
    """Sine of the clock on a cycle. ``x`` = [hours since epoch]; head = [period, offset] (h)."""
    return float(np.sin(2.0 * np.pi * ((x[0] + state[1]) % state[0]) / state[0]))


@njit
def cycle_cosine(state: Floats, x: Floats) -> float:
    """Cosine of the clock on a cycle; as :func:`cycle_sine`."""
    return float(np.cos(2.0 * np.pi * ((x[0] + state[1]) % state[0]) / state[0]))
