"""Reading what Binance publishes: the CSV files in its archive, and the pages of its REST answers.

Both become the columns of the lake's tables as text, so that no digit is lost before validation.
What is fetched from where is in ``binance``.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.sources.contract import Read
from counterpoise.sources.pages import documents, rows_of, settlement_times
from counterpoise.sources.zipped_rows import BROKEN, only_file
from counterpoise.units import MINUTE_MS

#: Uncompressed bytes of the largest file read whole here: a month of minutes is 6 MB.
MOST_BYTES = 512 << 20
#: Epochs at or above are microseconds: in milliseconds it would be the year 5138.
_MICROSECONDS = 100_000_000_000_000

_BARS = ("open", "high", "low", "close", "volume")
_KLINE = (
    "open_time",
    *_BARS,
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_base",
    "taker_buy_quote",
    "ignore",
)
#: Columns of a bar table, by whether its volumes mean anything.
_KEPT = {True: [*_BARS, *_KLINE[7:11]], False: list(_BARS[:4])}
_METRICS = {
    "sum_open_interest": "open_interest_eth",
    "sum_open_interest_value": "open_interest_usd",
    "count_toptrader_long_short_ratio": "top_accounts_ratio",
    "sum_toptrader_long_short_ratio": "top_positions_ratio",
    "count_long_short_ratio": "accounts_ratio",
    "sum_taker_long_short_vol_ratio": "taker_ratio",
}
#: How far a reading of every five minutes may lie off its grid.
METRICS_JITTER_MS = MINUTE_MS
_DEPTH = {"percentage": "band_pct", "depth": "depth_eth", "notional": "notional_usd"}
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")

_AGAIN = "fetch it again; if it stays so, the file is damaged at the source"


def unzip(content: bytes, name: str, most: int = MOST_BYTES) -> bytes:
    """Return the one CSV file inside a zip of the archive.

    Parameters
    ----------
    content : bytes
    name : str
        Of the unit, for messages.
    most : int
        Largest size it may have uncompressed.

    Raises
    ------
    RejectData
        No zip, a damaged one, several files, or one beyond ``most``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(only_file(archive, name, most))
    except BROKEN as broken:
        raise RejectData(name, "whole zip", str(broken), "a zip of one file", _AGAIN) from None


def refuse_other_symbol(content: bytes, name: str, symbol: str) -> None:
    """Refuse a zip whose file is of another symbol; the archive names both alike.

    Raises
    ------
    RejectData
        Of another symbol, or no zip of one file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = only_file(archive, name, 1 << 62).filename
    except BROKEN as broken:
        raise RejectData(name, "whole zip", str(broken), "a zip of one file", _AGAIN) from None
    if not held.rpartition("/")[2].startswith(f"{symbol}-"):
        raise RejectData(name, "name of the file in the zip", held, f"a file of {symbol}", _AGAIN)


def table_of(text: bytes, name: str, columns: Sequence[str], *, named: bool) -> pl.DataFrame:
    """Rows of a CSV file as text; the header line, where there is one, is found by its first sign.

    Parameters
    ----------
    text : bytes
    name : str
        Of the unit, for messages.
    columns : sequence of str
        In the file's order; with ``named``, those the header must have in any order.
    named : bool
        The file always has a header.

    Raises
    ------
    RejectData
        Empty, another number of columns, another header, or a line that is no row.
    """
    first, _, _ = text.partition(b"\n")
    fields = [field.strip().strip('"') for field in first.decode("utf-8", "replace").split(",")]
    if not first.strip():
        raise RejectData(name, "whole file", "no rows", "at least one row", _AGAIN)
    headed = named or not re.match(r"-?\d", fields[0])
    expected = ", ".join(columns)
    if named and not set(columns) <= set(fields):
        raise RejectData(name, "header", ", ".join(fields), f"columns {expected}", _AGAIN)
    if not named and len(fields) != len(columns):
        raise RejectData(
            name, "first line", f"{len(fields)} columns", f"{len(columns)}: {expected}", _AGAIN
        )
    if headed and not named and fields[0].replace(" ", "_").lower() != columns[0]:
        raise RejectData(name, "header", ", ".join(fields), f"columns {expected}", _AGAIN)
    given = fields if named else list(columns)
    try:
        return pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            skip_rows=1 if headed else 0,
            schema=dict.fromkeys(given, pl.String),
            raise_if_empty=False,
        ).select(columns)
    except pl.exceptions.PolarsError as broken:
        raise RejectData(
            name, "whole file", str(broken).splitlines()[0], "a CSV file", _AGAIN
        ) from None


def _epochs(values: pl.Series, name: str, step_ms: int) -> pl.Series:
    """Milliseconds of epochs in milliseconds or, from 2025 on, microseconds; never both."""
    stamps = values.cast(pl.Int64, strict=False)
    unread = stamps.is_null()
    if unread.any():
        row = int(unread.arg_true()[0])
        place = f"row {row}, column {values.name}"
        raise RejectData(name, place, values[row], "a time in ms or µs since 1970", _AGAIN)
    fine = stamps >= _MICROSECONDS
    if fine.any() and not fine.all():
        row = int((fine != fine[0]).arg_true()[0])
        place = f"row {row}, column {values.name}"
        raise RejectData(name, place, values[row], "one unit of time in the whole file", _AGAIN)
    if not fine.any():
        return stamps
    parts = stamps % 1000
    if step_ms and (parts != parts[0]).any():
        row = int((parts != parts[0]).arg_true()[0])
        place = f"row {row}, column {values.name}"
        raise RejectData(name, place, values[row], "whole milliseconds", _AGAIN)
    return stamps // 1000


def bars_of(rows: pl.DataFrame, name: str, interval_ms: int, *, volumes: bool) -> Read:
    """Bars of klines as text, refusing those of another length.

    Parameters
    ----------
    rows : DataFrame (N, 12)
        Columns of :data:`_KLINE`.
    name : str
    interval_ms : int
    volumes : bool
        Whether the volumes mean anything: those of mark and premium are 0 by definition.
    """
    opened = _epochs(rows["open_time"], name, interval_ms)
    closed = _epochs(rows["close_time"], name, interval_ms)
    wrong = closed - opened != interval_ms - 1
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise RejectData(
            name,
            f"row {row}, column close_time",
            rows["close_time"][row],
            f"{interval_ms - 1} ms after the open time",
            "bars cut short by the venue or of another interval: leave the file out",
        )
    return Read(rows.select(_KEPT[volumes]).insert_column(0, opened.alias("ts")))


def read_klines(content: bytes, name: str, interval_ms: int, *, volumes: bool) -> Read:
    """Bars of an archive file of klines, mark or premium index."""
    rows = table_of(unzip(content, name), name, _KLINE, named=False)
    return bars_of(rows, name, interval_ms, volumes=volumes)


def read_kline_pages(content: bytes, name: str, interval_ms: int, *, volumes: bool) -> Read:
    """Bars of REST pages."""
    pages = list(documents(content, name))
    if not all(isinstance(page, list) for page in pages):
        raise RejectData(name, "page", str(pages)[:80], "a list of rows", _AGAIN)
    rows = [row for page in pages for row in page]
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(_KLINE):
            raise RejectData(name, f"row {number}", row, f"{len(_KLINE)} values", _AGAIN)
    columns = {
        column: [None if row[at] is None else str(row[at]) for row in rows]
        for at, column in enumerate(_KLINE)
    }
    frame = pl.DataFrame(columns, schema=dict.fromkeys(_KLINE, pl.String))
    if not rows:
        return Read(frame)
    return bars_of(frame, name, interval_ms, volumes=volumes)


def read_funding(content: bytes, name: str) -> Read:
    """Settled rates of an archive file of a month."""
    rows = table_of(unzip(content, name), name, _FUNDING, named=False)
    table = pl.DataFrame(
        {
            "ts": settlement_times(_epochs(rows["calc_time"], name, 0), name),
            "funding_rate": rows["last_funding_rate"],
            "interval_h": rows["funding_interval_hours"],
        }
    )
    return Read(table)


def read_funding_pages(content: bytes, name: str, symbol: str) -> Read:
    """Settled rates of REST pages; old rows have no mark price."""
    wanted = ("fundingTime", "fundingRate", "symbol")
    rows = [row for page in documents(content, name) for row in rows_of(page, "", wanted, name)]
    once: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        if row["symbol"] != symbol:
            raise RejectData(name, f"row {number}, symbol", row["symbol"], symbol, _AGAIN)
        # A page begins at the last stamp of the one before it.
        if once.setdefault(str(row["fundingTime"]), row) != row:
            expected = f"what another row of {row['fundingTime']} says"
            raise RejectData(name, f"row {number}", str(row)[:80], expected, _AGAIN)
    times = pl.Series("fundingTime", list(once), dtype=pl.String)
    table = pl.DataFrame(
        {
            "ts": settlement_times(_epochs(times, name, 0), name)
            if once
            else pl.Series([], dtype=pl.Int64),
            "funding_rate": [str(row["fundingRate"]) for row in once.values()],
            "mark_price": [str(row.get("markPrice") or "") for row in once.values()],
        }
    )
    return Read(table)


def _text_times(values: pl.Series, name: str) -> pl.Series:
    times = values.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False)
    unread = times.is_null()
    if unread.any():
        row = int(unread.arg_true()[0])
        expected = "a time like 2024-01-31 08:05:00 (UTC)"
        raise RejectData(name, f"row {row}, column {values.name}", values[row], expected, _AGAIN)
    return times.dt.epoch("ms").alias("ts")


def _once_in_order(table: pl.DataFrame, key: list[str]) -> Read:
    """Rows in order of time without repetitions, saying both; contradictions stay to be refused."""
    notes = []
    once = table.unique(maintain_order=True)
    if once.height < table.height:
        repeated = table.height - once.height
        rows = "1 repeated row" if repeated == 1 else f"{repeated} repeated rows"
        notes.append(f"{rows} left out, as the source has them")
    ordered = once.sort(key, maintain_order=True)
    moved = int((ordered["ts"] != once["ts"]).sum())
    if moved:
        notes.append(f"{moved} rows put in order of time, which the source does not keep")
    return Read(ordered, tuple(notes))


def read_metrics(content: bytes, name: str, interval_ms: int, symbol: str) -> Read:
    """Open interest and ratios of an archive file of a day: unsorted, with repeated rows."""
    columns = ["create_time", "symbol", *_METRICS]
    rows = table_of(unzip(content, name), name, columns, named=True)
    other = rows["symbol"].ne_missing(symbol)
    if other.any():
        row = int(other.arg_true()[0])
        raise RejectData(name, f"row {row}, column symbol", rows["symbol"][row], symbol, _AGAIN)
    times = _text_times(rows["create_time"], name)
    grid = (times + interval_ms // 2) // interval_ms * interval_ms
    off = (times - grid).abs() > METRICS_JITTER_MS
    if off.any():
        row = int(off.arg_true()[0])
        expected = (
            f"within {METRICS_JITTER_MS // 1000} s of a multiple of {interval_ms // 60_000} m"
        )
        place = f"row {row}, column create_time"
        raise RejectData(name, place, rows["create_time"][row], expected, _AGAIN)
    table = rows.select(list(_METRICS)).rename(_METRICS).insert_column(0, grid.alias("ts"))
    return _once_in_order(table, ["ts"])


def read_depth(content: bytes, name: str) -> Read:
    """Depth within bands around the mid, of an archive file of a day."""
    columns = ["timestamp", *_DEPTH]
    rows = table_of(unzip(content, name), name, columns, named=True)
    times = _text_times(rows["timestamp"], name)
    table = rows.select(list(_DEPTH)).rename(_DEPTH).insert_column(0, times)
    table = table.with_columns(pl.col("band_pct").cast(pl.Float64, strict=False))
    return _once_in_order(table, ["ts", "band_pct"])
