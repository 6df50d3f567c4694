"""Windows of a series that a service gives in pages: how they are cut, kept and read back.

The content of a window is its pages as they came, one JSON document a line, so that reading is pure
and quarantine keeps what the service said.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.row_checks import SETTLEMENT_JITTER_MS
from counterpoise.sources.contract import Unit
from counterpoise.units import HOUR_MS, MINUTE_MS, from_ms

AGAIN = "fetch it again; if it stays so, the service has changed or is damaged"
#: Beginning of the year 3000, which no time of a market is after.
END_MS = 32_503_680_000_000


def on_one_line(content: bytes) -> bytes:
    """A JSON document without line breaks, which are only white space in it."""
    return content.replace(b"\r", b" ").replace(b"\n", b" ")


def documents(content: bytes, name: str) -> Iterator[Any]:
    """Pages of a window, numbers with a point as the text they were sent as.

    Raises
    ------
    RejectData
        Naming the page that is no JSON.
    """
    for number, line in enumerate(content.splitlines()):
        try:
            yield json.loads(line, parse_float=str)
        except (ValueError, RecursionError):
            shown = line[:60].decode("utf-8", "replace")
            raise RejectData(name, f"page {number}", shown, "a JSON document", AGAIN) from None


def rows_of(page: Any, key: str, wanted: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Rows under a key of a page, each with the fields that are wanted.

    Parameters
    ----------
    page : JSON value
    key : str
        Under which the rows are; empty where the page is the list itself.
    wanted : sequence of str
    name : str
        Of the unit, for messages.
    """
    rows = page if not key else page.get(key) if isinstance(page, dict) else None
    if not isinstance(rows, list):
        raise RejectData(name, "page", str(page)[:80], f"a list of rows under {key or 'it'}", AGAIN)
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not set(wanted) <= set(row):
            expected = f"fields {', '.join(wanted)}"
            raise RejectData(name, f"row {number} of a page", str(row)[:80], expected, AGAIN)
    return rows


def field_of(told: Any, field: str, name: str) -> Any:
    """Value of a field of an object.

    Raises
    ------
    RejectData
        When it is no object, or has no such field.
    """
    if not isinstance(told, dict) or field not in told:
        raise RejectData(name, "reply", str(told)[:80], f"an object with {field}", AGAIN)
    return told[field]


def moment_ms(value: Any, place: str, name: str) -> int:
    """A time in milliseconds that a service gave, as a number or as text.

    Raises
    ------
    RejectData
        When it is none, or of no year that can be.
    """
    try:
        at = round(float(value))
    except (TypeError, ValueError, OverflowError):
        at = -1
    if isinstance(value, bool) or not 0 <= at < END_MS:
        raise RejectData(name, place, value, "a time in ms since 1970", AGAIN)
    return at


def windows(
    prefix: str, key: DatasetKey, first_ms: int, last_ms: int, length_ms: int, settled_ms: int
) -> Iterator[Unit]:
    """Windows of one length on one grid, whatever span is asked for; the last one ends early.

    Parameters
    ----------
    prefix : str
        Of the units' names.
    key : DatasetKey
    first_ms, last_ms : int
        Span that is wanted; whole windows are fetched at its beginning.
    length_ms : int
    settled_ms : int
        Before this nothing changes any more at the source.
    """
    for begin in range(first_ms // length_ms * length_ms, last_ms, length_ms):
        end = begin + length_ms
        if end <= last_ms and end <= settled_ms:
            yield Unit(f"{prefix}/{_text(begin)}", key, begin, end, final=True)
        else:
            end = min(end, last_ms)
            name = f"{prefix}/{_text(begin)}-{_text(end)}"
            yield Unit(name, key, begin, end, final=False)


def _text(ms: int) -> str:
    return from_ms(ms).strftime("%Y%m%dT%H%M%S")


def settlement_times(stamps: pl.Series, name: str) -> pl.Series:
    """Settlements at their hour, without the milliseconds of their bookkeeping; ``ts``, int64.

    Raises
    ------
    RejectData
        A stamp more than a minute after a whole hour.
    """
    late = stamps % HOUR_MS > SETTLEMENT_JITTER_MS
    if late.any():
        row = int(late.arg_true()[0])
        expected = f"at most {SETTLEMENT_JITTER_MS // MINUTE_MS} minute after a whole hour"
        raise RejectData(name, f"row {row}, settlement time", stamps[row], expected, AGAIN)
    return (stamps - stamps % HOUR_MS).alias("ts")
