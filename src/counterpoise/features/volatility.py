"""How much the spot price moved: realised variance, its halves, its jumps, and the range.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``. Windows of a day are summed afresh every hour: 24 additions cost less
than a logarithm or two and leave no rounding behind.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import (
    HOURS_PER_YEAR,
    KNOWN_SHARE,
    SHARED,
    Floats,
    Memory,
    Shared,
    add,
)

_NAN = float("nan")


@njit
def summed(slots: Floats) -> float:
    """Sum of the slots, added one after the other."""
    total = 0.0
    for i in range(slots.shape[0]):
        total += slots[i]
    return total


@njit
def to_log_volatility(out: Floats) -> None:
    """Turn annualised variances into logs of volatilities, in place.

    In a pass of its own: without calls the loop over a window is several ticks ahead of itself.
    """
    for t in range(out.shape[0]):
        out[t] = 0.5 * np.log(out[t])


@njit
def known_or_zero(value: float) -> tuple[float, float]:
    """A value and 1, or 0 and 0 where it is NaN: a sum and a count need no further test."""
    if np.isnan(value):
        return 0.0, 0.0
    return value, 1.0


@njit
def log_realised_volatility(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log of the annualised root mean square of the hourly log returns in the ring.

    ``x`` = (log price,); head = [position, sum of squares, squares known, last log price]. One
    addition and one subtraction per hour; the sum is taken afresh each time the ring wraps, so
    rounding cannot build up.

    Formula: ½·ln(8760·Σr²/n), n the returns known, at least 5/6 of the window.
    Unit: natural log of a fraction per √year.
    Pitfall: a gap costs two returns; hourly closes miss what happened inside the hour.
    Source: Andersen, Bollerslev, Diebold and Labys (2003).
    """
    log_price = x[0]
    ring = state[4:]
    window = ring.shape[0]
    position, total, known, last = int(state[0]), state[1], state[2], state[3]
    for t in range(out.shape[0]):
        step = log_price[t] - last
        last = log_price[t]
        square = step * step
        leaving = ring[position]
        ring[position] = square
        if not np.isnan(leaving):
            total -= leaving
            known -= 1.0
        if not np.isnan(square):
            total += square
            known += 1.0
        position += 1
        if position == window:
            position = 0
            total = 0.0
            for i in range(window):
                if not np.isnan(ring[i]):
                    total += ring[i]
        if np.isnan(last) or known < KNOWN_SHARE * window or total <= 0.0:
            out[t] = np.nan
        else:
            out[t] = HOURS_PER_YEAR * total / known
    to_log_volatility(out)
    state[0], state[1], state[2], state[3] = position, total, known, last


for _hours in (6, 24, 72, 168, 720):
    add(
        f"log_rv_{_hours}h",
        "shared.log_price",
        log_realised_volatility,
        Memory((0.0, 0.0, 0.0, _NAN), _hours),
        warm_up=-(-5 * _hours // 6),
        unit="log vol/year",
        known_at="bar close",
        formula=f"½·ln(8760·mean of r² over {_hours} h), at least 5/6 of the returns known",
        pitfall="a gap costs two returns; hourly closes miss what happened inside the hour",
    )


@njit
def semivolatility(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Annualised volatility from the returns of one sign only.

    ``x`` = (log price,); head = [sign, position, returns known, last log price]; half of the ring
    holds the squares of returns of that sign, the other half 1 for every return known.

    Formula: √(8760·Σr²·1(sign·r > 0)/n), n all returns known, at least 5/6 of the window.
    Unit: fraction per √year. The squares of the two signs add up to the realised variance.
    Pitfall: one large hour decides it; over a day it follows the sign of the return.
    Source: Barndorff-Nielsen, Kinnebrock and Shephard (2010), realised semivariance.
    """
    log_price = x[0]
    window = (state.shape[0] - 4) // 2
    squares, flags = state[4 : 4 + window], state[4 + window :]
    sign, position, known, last = state[0], int(state[1]), state[2], state[3]
    for t in range(out.shape[0]):
        step = log_price[t] - last
        last = log_price[t]
        square, flag = known_or_zero(step * step)
        squares[position] = square if sign * step > 0.0 else 0.0
        known += flag - flags[position]
        flags[position] = flag
        position += 1
        if position == window:
            position = 0
        if np.isnan(last) or known < KNOWN_SHARE * window:
            out[t] = np.nan
        else:
            out[t] = np.sqrt(HOURS_PER_YEAR * summed(squares) / known)
    state[1], state[2], state[3] = position, known, last


for _name, _sign, _side in (("upside", 1.0, ">"), ("downside", -1.0, "<")):
    add(
        f"{_name}_volatility_24h",
        "shared.log_price",
        semivolatility,
        Memory((_sign, 0.0, 0.0, _NAN), 2 * 24, 0.0),
        warm_up=20,
        unit="vol per year",
        known_at="bar close",
        formula=f"√(8760·Σr²·1(r {_side} 0) / n) over the n known returns of 24 h",
        pitfall="one large hour decides it; it says little that the day's return does not",
    )


@njit
def downside_share(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the ring's squared hourly log returns that fell.

    ``x`` = (log price,); head = [position, returns known, last log price]; the thirds of the ring
    hold squares of returns, squares of falls, and 1 for every return known.

    Formula: Σr²·1(r < 0) / Σr², at least 5/6 of the returns known.
    Unit: share, 0 to 1.
    Pitfall: one large hour decides it.
    Source: Barndorff-Nielsen, Kinnebrock and Shephard (2010).
    """
    log_price = x[0]
    window = (state.shape[0] - 3) // 3
    squares, falls = state[3 : 3 + window], state[3 + window : 3 + 2 * window]
    flags = state[3 + 2 * window :]
    position, known, last = int(state[0]), state[1], state[2]
    for t in range(out.shape[0]):
        step = log_price[t] - last
        last = log_price[t]
        square, flag = known_or_zero(step * step)
        squares[position] = square
        falls[position] = square if step < 0.0 else 0.0
        known += flag - flags[position]
        flags[position] = flag
        position += 1
        if position == window:
            position = 0
        total = summed(squares)
        if np.isnan(last) or known < KNOWN_SHARE * window or total <= 0.0:
            out[t] = np.nan
        else:
            out[t] = summed(falls) / total
    state[0], state[1], state[2] = position, known, last


add(
    "downside_share_24h",
    "shared.log_price",
    downside_share,
    Memory((0.0, 0.0, _NAN), 3 * 24, 0.0),
    warm_up=20,
    unit="share, 0 to 1",
    known_at="bar close",
    formula="Σr²·1(r < 0) / Σr² over 24 h",
    pitfall="one large hour decides it",
)


@njit
def bipower_variance(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Variance per hour without jumps, from products of neighbouring returns in the ring.

    ``x`` = (log price,); head = [position, returns known, products known, last log price, last
    |return|]; the quarters of the ring hold the products |r_i||r_{i−1}| twice, so that a window is
    in one piece from wherever it begins, and 1 for every return and product known.

    Formula: (π/2)·mean of |r_i||r_{i−1}| over known pairs, at least 5/6 of the returns known.
    Unit: squared fraction per hour.
    Pitfall: hourly returns are coarse for it: noisy, and biased down by returns of zero.
    Source: Barndorff-Nielsen and Shephard (2004).
    """
    log_price = x[0]
    ring = state[5:]
    window = ring.shape[0] // 4
    products = ring[: 2 * window]
    returns, paired = ring[2 * window : 3 * window], ring[3 * window :]
    position, known, pairs, last, before = int(state[0]), state[1], state[2], state[3], state[4]
    for t in range(out.shape[0]):
        size = abs(log_price[t] - last)
        last = log_price[t]
        _, flag = known_or_zero(size)
        known += flag - returns[position]
        returns[position] = flag
        product, flag = known_or_zero(size * before)
        products[position] = products[position + window] = product
        pairs += flag - paired[position]
        paired[position] = flag
        before = size
        position += 1
        if position == window:
            position = 0
        # The oldest product is with a return that has left the window.
        inside = pairs - paired[position]
        if np.isnan(last) or known < KNOWN_SHARE * window or inside == 0.0:
            out[t] = np.nan
        else:
            total = summed(products[position + 1 : position + window])
            out[t] = 0.5 * np.pi * (total / inside)
    state[0], state[1], state[2], state[3], state[4] = position, known, pairs, last, before


SHARED.add(
    "bipower_24h",
    Shared(
        ("shared.log_price",),
        bipower_variance,
        Memory((0.0, 0.0, 0.0, _NAN, _NAN), 4 * 24, 0.0),
    ),
)


@njit
def log_volatility(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log of the annualised volatility of an hourly variance. ``x`` = (variance,); no state.

    Formula: ½·ln(8760·σ²), NaN at a variance of 0.
    Unit: natural log of a fraction per √year.
    Pitfall: that of the variance it is given.
    Source: SCIENCE §6.
    """
    for t in range(out.shape[0]):
        out[t] = HOURS_PER_YEAR * x[0][t] if x[0][t] > 0.0 else np.nan
    to_log_volatility(out)


add(
    "log_bipower_24h",
    "shared.bipower_24h",
    log_volatility,
    Memory(),
    warm_up=20,
    unit="log vol/year",
    known_at="bar close",
    formula="½·ln(8760·(π/2)·mean|r_i||r_(i-1)|) over 24 h",
    pitfall="hourly returns are coarse for bipower variance: noisy, biased down by zero returns",
)


@njit
def jump_share(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of variance that came in jumps: what bipower variance leaves of realised variance.

    ``x`` = (log price, bipower variance over the same window); head = [position, returns known,
    last log price]; the thirds of the ring hold squares of returns twice, summed from the oldest,
    and 1 for every return known. Both variances are per known term, so that a gap biases neither.

    Formula: max(0, 1 − BV / mean of r²).
    Unit: share, 0 to 1.
    Pitfall: hourly returns are coarse for bipower variance: noisy, biased down by zero returns.
    Source: Barndorff-Nielsen and Shephard (2004).
    """
    log_price, without_jumps = x
    ring = state[3:]
    window = ring.shape[0] // 3
    squares, flags = ring[: 2 * window], ring[2 * window :]
    position, known, last = int(state[0]), state[1], state[2]
    for t in range(out.shape[0]):
        step = log_price[t] - last
        last = log_price[t]
        square, flag = known_or_zero(step * step)
        squares[position] = squares[position + window] = square
        known += flag - flags[position]
        flags[position] = flag
        position += 1
        if position == window:
            position = 0
        total = summed(squares[position : position + window])
        if np.isnan(without_jumps[t]) or total <= 0.0:
            out[t] = np.nan
        else:
            out[t] = max(0.0, 1.0 - without_jumps[t] / (total / known))
    state[0], state[1], state[2] = position, known, last


add(
    "jump_share_24h",
    "shared.log_price shared.bipower_24h",
    jump_share,
    Memory((0.0, 0.0, _NAN), 3 * 24, 0.0),
    warm_up=20,
    unit="share, 0 to 1",
    known_at="bar close",
    formula="max(0, 1 − (π/2)·mean|r_i||r_(i-1)| / mean r²) over 24 h",
    pitfall="hourly returns are coarse for bipower variance: noisy, biased down by zero returns",
)


@njit
def log_parkinson_volatility(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log of the annualised volatility read off the ranges of the bars in the ring.

    ``x`` = (high, low); head = [position, ranges known]; half of the ring holds squares of log
    ranges, the other half 1 for every range known.

    Formula: ½·ln(8760·mean of ln(high/low)² / (4·ln 2)), at least 5/6 of the bars known.
    Unit: natural log of a fraction per √year.
    Pitfall: a single false print is a range, so suspect bars must come as NaN; it assumes trading
    without pauses and no drift inside the hour.
    Source: Parkinson (1980).
    """
    high, low = x
    window = (state.shape[0] - 2) // 2
    squares, flags = state[2 : 2 + window], state[2 + window :]
    position, known = int(state[0]), state[1]
    for t in range(out.shape[0]):
        out[t] = np.log(high[t] / low[t])
    for t in range(out.shape[0]):
        log_range = out[t]
        squares[position], flag = known_or_zero(log_range * log_range)
        known += flag - flags[position]
        flags[position] = flag
        position += 1
        if position == window:
            position = 0
        total = summed(squares)
        if np.isnan(log_range) or known < KNOWN_SHARE * window or total <= 0.0:
            out[t] = np.nan
        else:
            out[t] = HOURS_PER_YEAR * total / known / (4.0 * np.log(2.0))
    to_log_volatility(out)
    state[0], state[1] = position, known


add(
    "log_parkinson_24h",
    "spot.high spot.low",
    log_parkinson_volatility,
    Memory((0.0, 0.0), 2 * 24, 0.0),
    warm_up=19,
    unit="log vol/year",
    known_at="bar close",
    formula="½·ln(8760·mean of ln(high/low)² / (4·ln 2)) over 24 h",
    pitfall="a single false print is a range; suspect bars must come as NaN",
)
