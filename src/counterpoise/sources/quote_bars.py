"""The last best bid and ask of each second, from Binance's files of every change of them.

Stamped by the matching engine's clock (``transaction_time``), which the trades share. A second
without a change has no row.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import RejectData
from counterpoise.sources.contract import Read
from counterpoise.sources.zipped_rows import (
    Bytes,
    decimal,
    integer,
    place_of,
    to_float,
    whole_lines,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COMMA, _NEWLINE, _RETURN = 44, 10, 13
_MICROSECONDS = 100_000_000_000_000
#: Slots of the state.
_ROWS, _ID, _TIME, _UNIT, _SECOND, _BARS, _REPEATED, _CROSSED, _PLACE, _UPDATES = range(10)
_OUT = ("bid", "bid_eth", "ask", "ask_eth", "updates")
_NAMES = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)
_FAULTS = {
    1: (0, "a whole number"),
    2: (0, "not less than the one before it: a row is out of order"),
    3: (1, "a number"),
    4: (2, "a number"),
    5: (3, "a number"),
    6: (4, "a number"),
    7: (5, "a time in milliseconds or microseconds, one unit in the whole file"),
    8: (5, "not before the time of the row before it"),
    9: (5, "a time within the file's own day"),
    10: (6, "a time, and the end of the row"),
}


@njit
def _scan(text: Bytes, state: Ints, first_ms: int, last_ms: int, ts_ms: Ints, out: Floats) -> int:
    """Rows of one piece into seconds; 0, or the fault of the row at ``state[_PLACE]``."""
    at, stop = 0, text.shape[0]
    quote = np.empty(4)
    while at < stop:
        state[_PLACE] = at
        number, at = integer(text, at)
        if number < 0 or text[at] != _COMMA:
            return 1
        if number < state[_ID]:
            return 2
        state[_REPEATED] += 1 if number == state[_ID] else 0
        state[_ID] = number
        for column in range(4):
            value, places, at = decimal(text, at + 1)
            if value < 0 or text[at] != _COMMA:
                return 3 + column
            quote[column] = to_float(value, places)
        time, at = integer(text, at + 1)
        unit = 1000 if time >= _MICROSECONDS else 1
        if time < 0 or text[at] != _COMMA or (state[_UNIT] > 0 and unit != state[_UNIT]):
            return 7
        state[_UNIT] = unit
        if time < state[_TIME]:
            return 8
        state[_TIME] = time
        if time // unit < first_ms or time // unit >= last_ms:
            return 9
        sent, at = integer(text, at + 1)
        if text[at] == _RETURN and at + 1 < stop:
            at += 1
        if sent < 0 or text[at] != _NEWLINE:
            return 10
        at += 1
        state[_ROWS] += 1
        if quote[0] >= quote[2] or quote[0] == 0.0:
            state[_CROSSED] += 1
            continue
        second = time // (unit * 1000)
        if second != state[_SECOND]:
            state[_SECOND] = second
            state[_BARS] += 1
            state[_UPDATES] = 0
            ts_ms[state[_BARS] - 1] = second * 1000
        state[_UPDATES] += 1
        row = state[_BARS] - 1
        for column in range(4):
            out[row, column] = quote[column]
        out[row, 4] = state[_UPDATES]
    return 0


def read_book_ticker(content: bytes, unit_name: str, first_ms: int, last_ms: int) -> Read:
    """Last quote of each second from a zip of Binance's changes of the best bid and ask.

    Parameters
    ----------
    content : bytes
        The zip: update_id, best_bid_price, best_bid_qty, best_ask_price, best_ask_qty,
        transaction_time, event_time; with or without a header; times in ms or µs.
    unit_name : str
        For messages.
    first_ms, last_ms : int
        Span of the file, half open.

    Returns
    -------
    Read
        Columns of ``quote_bars``; ``updates`` counts the changes of the second. Quotes whose bid is
        not below their ask are no market: they are left out and counted in a note, as are repeated
        ids.

    Raises
    ------
    RejectData
        A row that is none, out of order or outside the span, with its place.
    """
    seconds = (last_ms - first_ms) // 1000 + 1
    ts_ms, out = np.empty(seconds, np.int64), np.empty((seconds, len(_OUT)))
    state = np.zeros(10, np.int64)
    state[[_ID, _TIME, _SECOND]] = -1
    for piece in whole_lines(content, unit_name, _NAMES[0]):
        fault = _scan(piece, state, first_ms, last_ms, ts_ms, out)
        if fault:
            column, expected = _FAULTS[fault]
            raise RejectData(
                unit_name,
                f"row {state[_ROWS]}, column {_NAMES[column]}",
                place_of(piece, int(state[_PLACE])),
                expected,
                "fetch it again; if it stays so, the file is damaged at the source",
            )
    notes = []
    if state[_REPEATED]:
        notes.append(f"{state[_REPEATED]:,} rows repeat an update id; the last of each counts")
    if state[_CROSSED]:
        notes.append(f"{state[_CROSSED]:,} quotes with no bid below the ask left out")
    rows = int(state[_BARS])
    columns = {name: out[:rows, place].copy() for place, name in enumerate(_OUT)}
    table = pl.DataFrame({"ts": ts_ms[:rows].copy()} | columns)
    return Read(table.with_columns(pl.col("updates").cast(pl.Int64)), tuple(notes))
