"""Where the spot price stands in the range it has been in, and how wide its bars were.

Each recursion stands above its entries. What ``x``, ``state`` and ``out`` are, and how gaps are
kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import HOURS_PER_YEAR, KNOWN_SHARE, Floats, Memory, add
from counterpoise.features.price import rolling_mean
from counterpoise.features.volatility import log_parkinson_volatility, to_log_volatility

#: Slots in the head of a queue of extremes: how many it holds, and where the oldest one stands.
_QUEUE_HEAD = 2


@njit
def extreme(queue: Floats, tick: float, value: float) -> float:
    """Largest value of the last n ticks, n the slots of the queue; a NaN value only passes time.

    ``queue`` = [held, first], then n values and their n ticks, in a circle: largest and oldest
    first, each smaller and newer than the one before. A value enters and leaves once, so a tick
    costs the same whatever n is. NaN where nothing is held.
    """
    window = (queue.shape[0] - _QUEUE_HEAD) // 2
    values, ticks = queue[_QUEUE_HEAD : _QUEUE_HEAD + window], queue[_QUEUE_HEAD + window :]
    held, first = int(queue[0]), int(queue[1])
    if held > 0 and ticks[first] <= tick - window:
        first = (first + 1) % window
        held -= 1
    if not np.isnan(value):
        while held > 0 and values[(first + held - 1) % window] <= value:
            held -= 1
        newest = (first + held) % window
        values[newest], ticks[newest] = value, tick
        held += 1
    queue[0], queue[1] = held, first
    return values[first] if held > 0 else np.nan


@njit
def range_position(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Place of the price in the range of the last n bars: −½ at the low, ½ at the high.

    ``x`` = (high, low, close); head = [window, tick, bars known]; then 1 for every bar of the
    window that is known, a queue of highs and one of lows (see :func:`extreme`). A bar is known
    with all three of its prices, and only such bars count.

    Formula: (S − L)/(H − L) − ½, H and L over the window, this bar included; 0 where H = L. At
    least 5/6 of the bars known, this one among them.
    Unit: share, −½ to ½.
    Pitfall: a single false print sets the range for a whole window; in a trend it stays at an end.
    Source: Lane (1984), the stochastic oscillator %K.
    """
    high, low, close = x
    window = int(state[0])
    flags = state[3 : 3 + window]
    middle = 3 + window + _QUEUE_HEAD + 2 * window
    highs, lows = state[3 + window : middle], state[middle:]
    tick, known = state[1], state[2]
    for t in range(out.shape[0]):
        whole = not np.isnan(high[t] + low[t] + close[t])
        position = int(tick) % window
        flag = 1.0 if whole else 0.0
        known += flag - flags[position]
        flags[position] = flag
        top = extreme(highs, tick, high[t] if whole else np.nan)
        bottom = -extreme(lows, tick, -low[t] if whole else np.nan)
        tick += 1.0
        if not whole or known < KNOWN_SHARE * window:
            out[t] = np.nan
        elif top > bottom:
            out[t] = (close[t] - bottom) / (top - bottom) - 0.5
        else:
            out[t] = 0.0
    state[1], state[2] = tick, known


for _hours in (4, 8, 12, 24, 48, 168):
    add(
        f"range_position_{_hours}h",
        "spot.high spot.low spot.close",
        range_position,
        Memory((float(_hours), 0.0, 0.0), _hours + 2 * (_QUEUE_HEAD + 2 * _hours), 0.0),
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
