"""Bars of a second from every trade: Binance's aggregated trades, and trades of any venue.

A second without a trade has no bar: nothing is filled. Quantities are added as whole numbers of
10^-8, so that a volume does not depend on the order or the grouping of the trades.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import RejectData
from counterpoise.sources.contract import Read
from counterpoise.sources.zipped_rows import (
    DECIMALS,
    Bytes,
    decimal,
    integer,
    place_of,
    to_fixed,
    to_float,
    whole_lines,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COMMA, _NEWLINE, _RETURN = 44, 10, 13
_MICROSECONDS = 100_000_000_000_000
#: Slots of the state: what was seen, then the second that is being added up.
_ROWS, _ID, _TIME, _UNIT, _SECOND, _BARS, _HOLES, _HOLE_ROW, _COLUMNS, _PLACE = range(10)
_VOLUME, _TAKER, _TRADES = 10, 11, 12
_INTS = 13
_OPEN, _HIGH, _LOW, _CLOSE, _QUOTE, _TAKER_QUOTE = range(6)
#: Columns of the bars, beside ts, in their order.
_OUT = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_base",
    "taker_buy_quote",
)
_NAMES = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
    "is_best_match",
)
#: What is wrong with a row, as the scanner says it: column, and what was expected.
_FAULTS = {
    1: (0, "a whole number"),
    2: (0, "more than the one before it: a trade is repeated or out of order"),
    3: (1, "a price above 0"),
    4: (2, "a quantity above 0 of at most 8 decimals"),
    5: (3, "a whole number"),
    6: (4, "a whole number, not less than first_trade_id"),
    7: (5, "a time in milliseconds or microseconds, one unit in the whole file"),
    8: (5, "not before the time of the row before it"),
    9: (5, "a time within the file's own day"),
    10: (6, "true or false"),
    11: (7, "as many columns as the first row"),
}
_SCALE = 10.0**DECIMALS


@njit
def _flush(state: Ints, bar: Floats, ts_ms: Ints, out: Floats) -> None:
    """Write the second that is complete."""
    n = state[_BARS]
    ts_ms[n] = state[_SECOND] * 1000
    out[n, 0] = bar[_OPEN]
    out[n, 1] = bar[_HIGH]
    out[n, 2] = bar[_LOW]
    out[n, 3] = bar[_CLOSE]
    out[n, 4] = state[_VOLUME] / _SCALE
    out[n, 5] = bar[_QUOTE]
    out[n, 6] = state[_TRADES]
    out[n, 7] = state[_TAKER] / _SCALE
    out[n, 8] = bar[_TAKER_QUOTE]
    state[_BARS] = n + 1


@njit
def _add(
    state: Ints,
    bar: Floats,
    second: int,
    price: float,
    size: float,
    fixed: int,
    taker_buys: bool,
    count: int,
    ts_ms: Ints,
    out: Floats,
) -> None:
    """One trade into its second."""
    if second != state[_SECOND]:
        if state[_SECOND] >= 0:
            _flush(state, bar, ts_ms, out)
        state[_SECOND] = second
        state[_VOLUME], state[_TAKER], state[_TRADES] = 0, 0, 0
        bar[_OPEN], bar[_HIGH], bar[_LOW] = price, price, price
        bar[_QUOTE], bar[_TAKER_QUOTE] = 0.0, 0.0
    bar[_HIGH] = max(bar[_HIGH], price)
    bar[_LOW] = min(bar[_LOW], price)
    bar[_CLOSE] = price
    value = price * size
    bar[_QUOTE] += value
    state[_VOLUME] += fixed
    state[_TRADES] += count
    if taker_buys:
        state[_TAKER] += fixed
        bar[_TAKER_QUOTE] += value


@njit
def _truth(text: Bytes, at: int) -> tuple[int, int]:
    """1 for true, 0 for false, -1 for neither, and the place after it; any case."""
    letter = text[at] | 32
    if letter == 116:  # t
        end = at + 4
        good = end < text.shape[0] and text[at + 1] | 32 == 114 and text[at + 3] | 32 == 101
        return (1 if good and text[at + 2] | 32 == 117 else -1), end
    if letter == 102:  # f
        end = at + 5
        good = end < text.shape[0] and text[at + 1] | 32 == 97 and text[at + 2] | 32 == 108
        return (0 if good and text[at + 3] | 32 == 115 and text[at + 4] | 32 == 101 else -1), end
    return -1, at


@njit
def _scan(
    text: Bytes, state: Ints, bar: Floats, first_ms: int, last_ms: int, ts_ms: Ints, out: Floats
) -> int:
    """Rows of one piece into bars; 0, or the fault of the row that begins at ``state[_PLACE]``."""
    at, stop = 0, text.shape[0]
    while at < stop:
        state[_PLACE] = at
        number, at = integer(text, at)
        if number < 0 or text[at] != _COMMA:
            return 1
        if number <= state[_ID]:
            return 2
        if state[_ID] >= 0 and number != state[_ID] + 1:
            if state[_HOLES] == 0:
                state[_HOLE_ROW] = state[_ROWS]
            state[_HOLES] += number - state[_ID] - 1
        state[_ID] = number
        value, places, at = decimal(text, at + 1)
        if value <= 0 or text[at] != _COMMA:
            return 3
        price = to_float(value, places)
        value, places, at = decimal(text, at + 1)
        fixed = to_fixed(value, places) if value > 0 else -1
        if fixed <= 0 or text[at] != _COMMA:
            return 4
        size = to_float(value, places)
        first, at = integer(text, at + 1)
        if first < 0 or text[at] != _COMMA:
            return 5
        last, at = integer(text, at + 1)
        if last < first or text[at] != _COMMA:
            return 6
        time, at = integer(text, at + 1)
        unit = 1000 if time >= _MICROSECONDS else 1
        if time < 0 or text[at] != _COMMA or (state[_UNIT] > 0 and unit != state[_UNIT]):
            return 7
        state[_UNIT] = unit
        if time < state[_TIME]:
            return 8
        state[_TIME] = time
        second = time // (unit * 1000)
        if time // unit < first_ms or time // unit >= last_ms:
            return 9
        maker, at = _truth(text, at + 1)
        if maker < 0 or at >= stop:
            return 10
        columns = 7
        if text[at] == _COMMA:
            columns = 8
            best, at = _truth(text, at + 1)
            if best < 0 or at >= stop:
                return 11
        if text[at] == _RETURN and at + 1 < stop:
            at += 1
        if text[at] != _NEWLINE or (state[_COLUMNS] > 0 and columns != state[_COLUMNS]):
            return 11
        state[_COLUMNS] = columns
        at += 1
        _add(state, bar, second, price, size, fixed, maker == 0, last - first + 1, ts_ms, out)
        state[_ROWS] += 1
    return 0


def _fresh() -> tuple[Ints, Floats]:
    state = np.zeros(_INTS, np.int64)
    state[[_ID, _TIME, _SECOND]] = -1
    return state, np.zeros(6)


def _table(state: Ints, ts_ms: Ints, out: Floats) -> pl.DataFrame:
    rows = int(state[_BARS])
    columns = {name: out[:rows, place].copy() for place, name in enumerate(_OUT)}
    table = pl.DataFrame({"ts": ts_ms[:rows].copy()} | columns)
    return table.with_columns(pl.col("trades").cast(pl.Int64))


def read_agg_trades(content: bytes, unit_name: str, first_ms: int, last_ms: int) -> Read:
    """Bars of a second from a zip of Binance's aggregated trades.

    Parameters
    ----------
    content : bytes
        The zip: agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time,
        is_buyer_maker and, for spot, is_best_match; with or without a header; times in ms or µs.
    unit_name : str
        For messages.
    first_ms, last_ms : int
        Span of the file, half open.

    Returns
    -------
    Read
        Columns of the bar tables, one row per second with a trade; ``trades`` counts single trades.
        Ids that are missing in between are noted.

    Raises
    ------
    RejectData
        A row that is none, repeated, out of order or outside the span, with its place.
    """
    seconds = (last_ms - first_ms) // 1000 + 1
    ts_ms, out = np.empty(seconds, np.int64), np.empty((seconds, len(_OUT)))
    state, bar = _fresh()
    for piece in whole_lines(content, unit_name, _NAMES[0]):
        fault = _scan(piece, state, bar, first_ms, last_ms, ts_ms, out)
        if fault:
            column, expected = _FAULTS[fault]
            raise RejectData(
                unit_name,
                f"row {state[_ROWS]}, column {_NAMES[column]}",
                place_of(piece, int(state[_PLACE])),
                expected,
                "fetch it again; if it stays so, the file is damaged at the source",
            )
    _flush(state, bar, ts_ms, out)
    notes = []
    if state[_HOLES]:
        notes.append(
            f"{state[_HOLES]:,} ids of aggregated trades are missing, the first before row "
            f"{state[_HOLE_ROW]}"
        )
    return Read(_table(state, ts_ms, out), tuple(notes))


@njit
def _gather(
    ts: Ints, price: Floats, size: Floats, taker_buys: NDArray[np.bool_], ts_ms: Ints, out: Floats
) -> int:
    state, bar = np.zeros(_INTS, np.int64), np.zeros(6)
    state[_SECOND] = -1
    for n in range(ts.shape[0]):
        fixed = int(np.round(size[n] * _SCALE))
        _add(state, bar, ts[n] // 1000, price[n], size[n], fixed, taker_buys[n], 1, ts_ms, out)
    if ts.shape[0]:
        _flush(state, bar, ts_ms, out)
    return int(state[_BARS])


def bars_of_trades(
    ts_ms: Ints, price: Floats, size: Floats, taker_buys: NDArray[np.bool_]
) -> pl.DataFrame:
    """Bars of a second from single trades.

    Parameters
    ----------
    ts_ms : int64 (N,)
        In ascending order.
    price : float64 (N,)
    size : float64 (N,)
        Base units; of at most 8 decimals.
    taker_buys : bool (N,)
        Whether the taker bought.

    Returns
    -------
    DataFrame (M, 10)
        As of :func:`read_agg_trades`.
    """
    held, out = np.empty(len(ts_ms), np.int64), np.empty((len(ts_ms), len(_OUT)))
    state = np.zeros(_INTS, np.int64)
    state[_BARS] = _gather(ts_ms, price, size, taker_buys, held, out)
    return _table(state, held, out)
