"""Files nobody should take: each one a way in which a download, a tool or a hand went wrong."""

import gzip
import io
import zipfile
from datetime import timedelta

import polars as pl

from tests.market.small_tables import MIDNIGHT, bars

SPOT_CSV = "klines/binance_spot_ethusdt_1h.csv"
SPOT_PARQUET = "klines/binance_spot_ethusdt_1h.parquet"
FUNDING_CSV = "funding/binance_ethusdt_8h.csv"


def text(frame):
    """A frame as a CSV file has it, with UTC stamps."""
    return frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z")


GOOD = text(bars(range(2_000, 2_024)))
LINES = GOOD.splitlines(keepends=True)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8


def with_cell(row, column, value):
    """The good CSV file with one field changed."""
    lines = GOOD.splitlines()
    fields = lines[row + 1].split(",")
    fields[lines[0].split(",").index(column)] = value
    return "\n".join([*lines[: row + 1], ",".join(fields), *lines[row + 2 :]]) + "\n"


def zipped(content):
    """A zip archive with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    return buffer.getvalue()


def parquet(frame):
    """A frame as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def restamped(convert):
    """Bars whose stamps went through a conversion, as Parquet."""
    return parquet(bars([2_000, 2_001]).with_columns(convert(pl.col("ts")).alias("ts")))


#: What a CSV file of spot bars holds, and the words of its refusal.
BAD_CSV = {
    "nothing": ("", ("whole file", "got '0 bytes'")),
    "empty lines": ("\n\n\n", ("first line", "column names separated by commas")),
    "only a heading": (LINES[0], ("got 'no rows'", "at least one row")),
    "words for a number": (with_cell(5, "close", "soon"), ("row 5, column close", "'soon'")),
    "a picture": (PNG, ("first line", "no UTF-8 text")),
    "an archive": (zipped(GOOD), ("first line", "no UTF-8 text")),
    "semicolons": (GOOD.replace(",", ";"), ("first line", "separated by commas")),
    "tabs": (GOOD.replace(",", "\t"), ("first line", "separated by commas")),
    "decimal commas": (
        GOOD.replace(",", ";").replace(".", ","),
        ("first line", "save the table with commas as separators"),
    ),
    "quoted thousands": (with_cell(5, "close", '"2,005.0"'), ("row 5, column close", "2,005.0")),
    "bare thousands": (with_cell(5, "close", "2,005.0"), ("row 5", "7 fields", "thousands")),
    "underscores in a number": (with_cell(5, "close", "2_005"), ("row 5, column close", "2_005")),
    "digits of another script": (with_cell(5, "close", "٢٠٠٥"), ("row 5, column close",)),
    "no time zone": (GOOD.replace("+00:00", ""), ("row 0, column ts", "a time with its zone")),
    "a zone in letters": (GOOD.replace("+00:00", " UTC"), ("row 0, column ts", "with its zone")),
    "a day for a time": (with_cell(3, "ts", "2024-03-01"), ("row 3, column ts", "with its zone")),
    "seconds": (
        text(bars([2_000]).with_columns(ts=pl.col("ts").dt.epoch("s"))),
        ("row 0, column ts", "1709251200", "milliseconds", "10 are seconds"),
    ),
    "microseconds": (
        text(bars([2_000]).with_columns(ts=pl.col("ts").dt.epoch("us"))),
        ("row 0, column ts", "1709251200000000", "16 microseconds"),
    ),
    "nanoseconds": (
        text(bars([2_000]).with_columns(ts=pl.col("ts").dt.epoch("ns"))),
        ("row 0, column ts", "1709251200000000000", "19 nanoseconds"),
    ),
    "a stamp beyond any clock": (
        text(bars([2_000]).with_columns(ts=pl.lit("9" * 30))),
        ("row 0, column ts", "9" * 30),
    ),
    "another century": (GOOD.replace("2024-", "2204-"), ("row 0, column ts", "1990 and 2060")),
    "the year zero of computers": (GOOD.replace("2024-", "1970-"), ("row 0, column ts", "1990")),
    "off the hour": (with_cell(5, "ts", "2024-03-01T05:07:00Z"), ("row 5", "a multiple of 1h")),
    "negative volume": (with_cell(5, "volume", "-1"), ("row 5, column volume", "0 or more")),
    "high below low": (with_cell(5, "high", "1999"), ("row 5, column high", "high >= low")),
    "close above high": (
        with_cell(5, "close", "2009"),
        ("row 5, column high", ">= open and close"),
    ),
    "open below low": (with_cell(5, "open", "1990"), ("row 5, column low", "<= open and close")),
    "NaN": (with_cell(5, "close", "NaN"), ("row 5, column close", "a finite number")),
    "infinity": (with_cell(5, "high", "inf"), ("row 5, column high", "a finite number")),
    "a number no machine holds": (with_cell(5, "high", "1e400"), ("row 5, column high", "finite")),
    "a price in wei": (with_cell(5, "volume", "1e27"), ("row 5, column volume", "check its unit")),
    "no price": (with_cell(5, "close", ""), ("row 5, column close", "a value in every row")),
    "a price of nothing": (with_cell(5, "low", "0"), ("row 5, column low", "more than 0")),
    "the same row twice": (
        "".join([*LINES[:6], *LINES[5:]]),
        ("rows 4 and 5, column ts", "the two rows are the same: remove one"),
    ),
    "one time with two values": (
        "".join([*LINES[:6], LINES[5].replace("10.0", "11.0"), *LINES[6:]]),
        ("rows 4 and 5, column ts", "differ in volume (10.0 and 11.0)"),
    ),
    "rows swapped": ("".join([*LINES[:6], LINES[7], LINES[6], *LINES[8:]]), ("row 6", "sort")),
    "newest first": ("".join([LINES[0], *LINES[:0:-1]]), ("row 1", "23 rows go back in time")),
    "cut in a number": (GOOD[:-2], ("last line", "may have been cut short")),
    "cut between fields": ("".join(LINES[:-1]) + "2024-03-01T23:00:00Z,2023\n", ("2 fields",)),
    "a field too many": ("".join([*LINES[:5], LINES[5].strip() + ",9\n"]), ("row 4", "7 fields")),
    "an empty line": (GOOD + "\n", ("row 24", "an empty line")),
    "a quote that stays open": (with_cell(5, "close", '"2005'), ("row 5", "balanced quotes")),
    "other names": (
        GOOD.replace("ts,open,high,low,close,volume", "time,o,h,l,c,v"),
        ("column ts", "time, o, h, l, c, v", "rename or add the column"),
    ),
    "names in capitals": (
        GOOD.replace("close", "Close", 1),
        ("column close", "rename 'Close' to close"),
    ),
    "names after blanks": (GOOD.replace(",low", ", low", 1), ("rename ' low' to low",)),
    "one column less": (text(bars([2_000]).drop("low")), ("column low", "1 missing: low")),
    "one name twice": (GOOD.replace("volume", "close", 1), ("column close twice",)),
    "a comment on top": ("# of the venue\n" + GOOD, ("column ts", "# of the venue")),
    "a web page": ("<html>404 not found</html>\n", ("column ts", "<html>")),
    "an error of the venue": ('{"code":-1121,"msg":"Invalid symbol."}\n', ("first line", "-1121")),
    "two bytes a letter": (GOOD.encode("utf-16"), ("first line", "no UTF-8 text")),
    "bytes that are no text": (
        GOOD.encode().replace(b"2005.0", b"20\xff5.0", 1),
        ("line 6", "0xff", "UTF-8"),
    ),
    "zeros at the end": (GOOD.encode() + bytes(100), ("no UTF-8 text",)),
    "half a gzip file": (gzip.compress(GOOD.encode())[:-30], ("an end in the middle", "again")),
    "a spoilt gzip file": (
        gzip.compress(GOOD.encode())[:-8] + b"\0\0\0\0\0\0\0\0",
        ("whole file", "a readable csv file"),
    ),
    "no whole first line": ("t" * 70_000, ("first line",)),
    "a name that would clear the screen": (
        "\x1b[2J" + GOOD,
        ("column ts", r"\x1b[2Jts"),
    ),
}

FUNDING = "ts,funding_rate\n2024-03-01T00:00:00Z,0.0001\n2024-03-01T08:00:00Z,{}\n"
#: What a CSV file of funding holds, and the words of its refusal.
BAD_FUNDING = {
    "six percent": (FUNDING.format("0.06"), ("row 1, column funding_rate", "divide by 100")),
    "minus six percent": (FUNDING.format("-0.06"), ("row 1, column funding_rate", "a fraction")),
    "no rate": (FUNDING.format(""), ("row 1, column funding_rate", "a value in every row")),
    "one settlement stamped twice": (
        FUNDING.format("0.0001") + "2024-03-01T08:00:00.004Z,0.0001\n",
        ("row 2, column ts", "keep one stamp of each settlement"),
    ),
}

_WHOLE = parquet(bars(range(2_000, 2_100)))
#: What a Parquet file of spot bars holds, and the words of its refusal.
BAD_PARQUET = {
    "nothing": (b"", ("whole file", "got '0 bytes'")),
    "a picture": (PNG, ("whole file", "a readable parquet file")),
    "a CSV file": (GOOD.encode(), ("whole file", "a readable parquet file")),
    "its first half": (_WHOLE[: len(_WHOLE) // 2], ("whole file", "a readable parquet file")),
    "its last half": (_WHOLE[len(_WHOLE) // 2 :], ("whole file", "a readable parquet file")),
    "a footer beyond the file": (
        _WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1",
        ("whole file", "a readable parquet file"),
    ),
    "pages of zeros": (
        _WHOLE[:4] + bytes(len(_WHOLE) // 2) + _WHOLE[4 + len(_WHOLE) // 2 :],
        ("whole file", "a readable parquet file"),
    ),
    "no rows": (parquet(bars([2_000]).head(0)), ("no rows", "at least one row")),
    "no time zone": (
        restamped(lambda ts: ts.dt.replace_time_zone(None)),
        ("column ts", "a time with its zone", "replace_time_zone('UTC')"),
    ),
    "days for times": (
        restamped(lambda ts: ts.dt.date()),
        ("column ts", "days without a time", "write midnights"),
    ),
    "fractions for times": (
        restamped(lambda ts: ts.dt.epoch("ms").cast(pl.Float64)),
        ("column ts", "Float64"),
    ),
    "milliseconds stored as microseconds": (
        restamped(lambda ts: ts.dt.epoch("ms").cast(pl.Datetime("us", "UTC"))),
        ("row 0, column ts", "1970-01-20", "check the unit"),
    ),
    "microseconds stored as milliseconds": (
        restamped(lambda ts: ts.dt.epoch("us").cast(pl.Datetime("ms", "UTC"))),
        ("row 0, column ts", "1709251200000000", "check the unit"),
    ),
    "stamps no integer of ours holds": (
        parquet(bars([2_000]).with_columns(ts=pl.lit(2**63 + 5, dtype=pl.UInt64))),
        ("row 0, column ts", str(2**63 + 5)),
    ),
    "lists of prices": (
        parquet(bars([2_000]).with_columns(close=pl.concat_list("close", "open"))),
        ("column close", "List(Float64)", "store close as numbers"),
    ),
    "bytes for prices": (
        parquet(bars([2_000]).with_columns(close=pl.lit(b"2000"))),
        ("column close", "Binary"),
    ),
    "the next century": (
        parquet(bars([2_000], start=MIDNIGHT + timedelta(days=36_500))),
        ("row 0, column ts", "1990 and 2060"),
    ),
}
