"""Where the spot price stands in the range it has been in, and how wide its bars were.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import HOURS_PER_YEAR, KNOWN_SHARE, Floats, Memory, add
from counterpoise.features.price import rolling_mean
from counterpoise.features.volatility import log_parkinson_volatility, to_log_volatility


@njit
def with_newest(
    values: Floats, ticks: Floats, held: int, first: int, tick: float, value: float
) -> tuple[int, int]:
    """Put a value into the queue whose first is the largest of the last n; its new held and first.

    ``values`` and their ``ticks`` are n slots in a circle, ``held`` of them from ``first`` on in
    use: largest and oldest first, each smaller and newer than the one before. A value enters and
    leaves once, so a tick costs the same whatever n is. A NaN only passes time.
    """
    window = values.shape[0]
    if held > 0 and ticks[first] <= tick - window:
        held -= 1
        first = first + 1 if first + 1 < window else 0
    if np.isnan(value):
        return held, first
    newest = first + held if first + held < window else first + held - window
    while held > 0:
        before = newest - 1 if newest > 0 else window - 1
        if values[before] > value:
            break
        newest = before
        held -= 1
    values[newest], ticks[newest] = value, tick
    return held + 1, first


@njit
def range_position(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Place of the price in the range of the last n bars: −½ at the low, ½ at the high.

    ``x`` = (high, low, close); head = [tick, position, bars known, held and first of the queue of
    highs, the same of the queue of lows]; the fifths of the ring hold 1 for every bar of the window
    that is known, and the queues (:func:`with_newest`) of highs, their ticks, lows below 0, their
    ticks. A bar is known with all three of its prices, and only such bars count.

    Formula: (S − L)/(H − L) − ½, H and L over the window, this bar included; 0 where H = L. At
    least 5/6 of the bars known, this one among them.
    Unit: share, −½ to ½.
    Pitfall: a single false print sets the range for a whole window; in a trend it stays at an end.
    Source: Lane (1984), the stochastic oscillator %K.
    """
    high, low, close = x
    n = (state.shape[0] - 7) // 5
    flags, ring = state[7 : 7 + n], state[7 + n :]
    highs, high_ticks, lows, low_ticks = (
        ring[:n],
        ring[n : 2 * n],
        ring[2 * n : 3 * n],
        ring[3 * n :],
    )
    tick, position, known = state[0], int(state[1]), state[2]
    held_high, first_high = int(state[3]), int(state[4])
    held_low, first_low = int(state[5]), int(state[6])
    for t in range(out.shape[0]):
        whole = not np.isnan(high[t] + low[t] + close[t])
        flag = 1.0 if whole else 0.0
        known += flag - flags[position]
        flags[position] = flag
        position = position + 1 if position + 1 < n else 0
        held_high, first_high = with_newest(
            highs, high_ticks, held_high, first_high, tick, high[t] if whole else np.nan
        )
        held_low, first_low = with_newest(
            lows, low_ticks, held_low, first_low, tick, -low[t] if whole else np.nan
        )
        tick += 1.0
        top, bottom = highs[first_high], -lows[first_low]
        if not whole or known < KNOWN_SHARE * n:
            out[t] = np.nan
        elif top > bottom:
            out[t] = (close[t] - bottom) / (top - bottom) - 0.5
        else:
            out[t] = 0.0
    state[0], state[1], state[2] = tick, position, known
    state[3], state[4], state[5], state[6] = held_high, first_high, held_low, first_low


for _hours in (4, 8, 12, 24, 48, 168):
    add(
        f"range_position_{_hours}h",
        "spot.high spot.low spot.close",
        range_position,
        Memory((0.0,) * 7, 5 * _hours, 0.0),
        warm_up=-(-5 * _hours // 6) - 1,
        unit="share, −½ to ½",
        known_at="bar close",
        formula=f"(S − L)/(H − L) − ½, H high and L low of the last {_hours} h; 0 where H = L",
        pitfall="one false print sets the range for a whole window; in a trend it stays at an end",
    )


@njit
def log_parkinson_running(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """As ``volatility.log_parkinson_volatility``, with a running sum: for more than a day of bars.

    ``x`` = (high, low); state that of ``price.rolling_mean``.

    Formula: ½·ln(8760·mean of ln(high/low)² / (4·ln 2)), at least 5/6 of the bars known.
    Unit: natural log of a fraction per √year.
    Pitfall: a single false print is a range and stays for the whole window.
    Source: Parkinson (1980).
    """
    high, low = x
    for t in range(out.shape[0]):
        log_range = np.log(high[t] / low[t])
        out[t] = log_range * log_range
    rolling_mean(state, (out,), out)
    for t in range(out.shape[0]):
        out[t] = HOURS_PER_YEAR * out[t] / (4.0 * np.log(2.0)) if out[t] > 0.0 else np.nan
    to_log_volatility(out)


for _hours, _pitfall in (
    (1, "one bar: mostly noise, and nothing where the bar has no range"),
    (6, "a single false print is a range; has the hour of the day in it"),
    (72, "a single false print is a range; suspect bars must come as NaN"),
    (168, "a single false print is a range; suspect bars must come as NaN"),
    (720, "a single false print is a range; slow: neighbouring days share 29 of 30"),
):
    _long = _hours > 24
    add(
        f"log_parkinson_{_hours}h",
        "spot.high spot.low",
        log_parkinson_running if _long else log_parkinson_volatility,
        Memory((0.0, 0.0, 0.0), _hours) if _long else Memory((0.0, 0.0), 2 * _hours, 0.0),
        warm_up=-(-5 * _hours // 6) - 1,
        unit="log vol/year",
        known_at="bar close",
        formula=f"½·ln(8760·mean of ln(high/low)² / (4·ln 2)) over {_hours} h",
        pitfall=_pitfall,
    )
