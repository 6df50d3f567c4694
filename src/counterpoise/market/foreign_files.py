"""Opening foreign files: what is no file, too large, cut short or of another kind is refused.

Text is split by one strict parser and stays text, Parquet is tried out beforehand by
``parquet_guard``. What the columns mean is the business of ``layouts`` and ``tables``.
"""

import csv
import gzip
import io
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.parquet_guard import ParquetGuard, Undecodable

PARQUET, TEXT = ".parquet", (".csv", ".csv.gz")
#: A gigabyte holds ten years of one-minute bars in any layout; what is larger is something else.
MOST_BYTES = 1 << 30
MOST_ROWS = 20_000_000
#: The first line of a table is shorter; what is longer is no line.
MOST_LINE_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_CHUNK_ROWS = 50_000
_AGAIN = "download it again"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_unfit(path: Path, name: str) -> int:
    """Refuse what is no regular, readable file of a size that fits, without reading it.

    Parameters
    ----------
    path : Path
    name : str
        Name for messages.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    RejectData
    """
    place = "whole file"
    try:
        found = path.stat()
    except OSError as refused:
        told = "a link to nothing" if path.is_symlink() else refused.strerror
        raise RejectData(name, place, told, "a file", "mend or remove it") from None
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise RejectData(name, place, kind, "a regular file", "write the table as one file")
    if found.st_size > MOST_BYTES:
        raise RejectData(
            name,
            place,
            f"{found.st_size:,} bytes",
            f"at most {MOST_BYTES:,} bytes in one file",
            "check that it is the right file; a longer history can be split by year",
        )
    try:
        path.open("rb").close()
    except OSError as refused:
        told, fix = refused.strerror, "change its permissions"
        raise RejectData(name, place, told, "a readable file", fix) from None
    return found.st_size


def columns_of(path: Path, name: str, guard: ParquetGuard) -> list[str]:
    """Names of a file's columns, without reading its rows.

    Raises
    ------
    RejectData
        It is empty, neither CSV with commas nor Parquet, has more rows than fit, or two columns of
        one name.
    """
    if path.stat().st_size == 0:
        raise RejectData(name, "whole file", "0 bytes", "a table", _AGAIN)
    if path.name.lower().endswith(PARQUET):
        with _decoding(name):
            described = guard.describe(path)
        if described.rows > MOST_ROWS:
            raise RejectData(
                name,
                "whole file",
                f"{described.rows:,} rows",
                f"at most {MOST_ROWS:,} rows in one file",
                "split it by year",
            )
        return list(described.columns)
    with _opened(path, name) as stream:
        return _headings(stream.read(MOST_LINE_BYTES), name)


def read_columns(
    path: Path, name: str, columns: Sequence[str], guard: ParquetGuard
) -> pl.DataFrame:
    """Read some columns of a file; those of a CSV file are text.

    Parameters
    ----------
    path : Path
    name : str
        Name for messages.
    columns : sequence of str
        Columns wanted, all of which it has.
    guard : ParquetGuard

    Returns
    -------
    DataFrame (N, ...)
        In the order of ``columns``.

    Raises
    ------
    RejectData
        It is damaged or cut short, or a line has not as many fields as the first.
    """
    if path.name.lower().endswith(PARQUET):
        with _decoding(name):
            guard.decode(path, columns)
            content = io.BytesIO(path.read_bytes())
            return pl.read_parquet(content, columns=list(columns), hive_partitioning=False)
    with _opened(path, name) as stream:
        content_bytes = stream.read(MOST_BYTES + 1)
    if len(content_bytes) > MOST_BYTES:
        expected = f"at most {MOST_BYTES:,} bytes when unpacked"
        raise RejectData(name, "whole file", "more", expected, "split it by year")
    return _table(content_bytes, name, columns)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except (Undecodable, pl.exceptions.PolarsError, OSError) as broken:
        told = (str(broken).strip() or type(broken).__name__).splitlines()[0]
        raise RejectData(name, "whole file", told, "a readable parquet file", _AGAIN) from None


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """Bytes of a text file, unpacked where it is gzip."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            if not packed:
                yield plain
                return
            with gzip.open(plain) as unpacked:
                yield cast(BinaryIO, unpacked)
    except EOFError:
        told, expected = "an end in the middle", "a whole gzip file"
        raise RejectData(name, "whole file", told, expected, _AGAIN) from None
    except (gzip.BadGzipFile, zlib.error, OSError) as broken:
        raise RejectData(name, "whole file", str(broken), "a readable csv file", _AGAIN) from None


def _headings(begin: bytes, name: str) -> list[str]:
    """Columns named in the first line of a CSV file."""
    place, expected = "first line", "column names separated by commas"
    if b"\0" in begin:
        told = "bytes that are no UTF-8 text"
        raise RejectData(name, place, told, expected, "save the table as CSV in UTF-8")
    line = begin.splitlines()[0] if begin.strip() else b""
    try:
        text = line.decode("utf-8-sig")
        names = next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as broken:
        raise RejectData(name, place, line[:60], f"{expected} ({broken})", _AGAIN) from None
    if len(line) >= MOST_LINE_BYTES or not any(names):
        raise RejectData(name, place, text, expected, _AGAIN)
    if len(names) == 1 and any(other in text for other in ";\t|"):
        raise RejectData(name, place, text, expected, "save the table with commas as separators")
    twice = [column for column in names if names.count(column) > 1]
    if twice:
        told = f"column {twice[0]} twice"
        raise RejectData(name, place, told, "each column once", "remove one of the two")
    return names


def _table(content: bytes, name: str, columns: Sequence[str]) -> pl.DataFrame:
    """Split the lines of a CSV file; every field is text, and every line is whole."""
    if not content.endswith((b"\n", b"\r")):
        last = content[-60:].splitlines()[-1]
        raise RejectData(
            name,
            "last line",
            last.decode("utf-8", "replace"),
            "a line that ends: this one may have been cut short",
            "download it again, or end its last line if it is whole",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = content[: broken.start].count(b"\n") + 1
        told = f"byte 0x{content[broken.start]:02x}"
        raise RejectData(name, f"line {line}", told, "UTF-8 text", "save it in UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    parts: list[pl.DataFrame] = []
    rows: list[list[str]] = []
    count = 0
    names: list[str] = []

    def collect() -> None:
        fields = list(zip(*rows, strict=True)) or [()] * len(names)
        parts.append(
            pl.DataFrame(
                {
                    column: pl.Series(fields[names.index(column)], dtype=pl.String())
                    for column in columns
                }
            )
        )
        rows.clear()

    try:
        names = next(lines)
        for fields in lines:
            if len(fields) != len(names):
                told = f"{len(fields)} fields" if fields else "an empty line"
                expected = f"{len(names)} fields, as in the first line"
                fix = "mend or remove the line; numbers have no thousands separators"
                raise RejectData(name, f"row {count}", told, expected, fix)
            rows.append(fields)
            count += 1
            if len(rows) == _CHUNK_ROWS:
                collect()
            if count > MOST_ROWS:
                raise RejectData(
                    name, f"row {count}", "more rows", f"at most {MOST_ROWS:,}", "split it by year"
                )
    except csv.Error as broken:
        told, expected = str(broken), "CSV with balanced quotes"
        raise RejectData(name, f"row {count}", told, expected, _AGAIN) from None
    collect()
    return pl.concat(parts)
