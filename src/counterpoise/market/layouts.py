"""Recognising foreign files by where they lie and what they are called, and reading them.

This room knows names and shapes of files, not what makes a value right (``tables``) nor how rows
are kept (``lake``). What it does not recognise is listed with the reason, never guessed at.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoise.errors import FixConfig, RejectData, printable
from counterpoise.market.columns import Defects, read_moments, read_values
from counterpoise.market.foreign_files import (
    PARQUET,
    TEXT,
    columns_of,
    read_columns,
    refuse_unfit,
)
from counterpoise.market.parquet_guard import ParquetGuard
from counterpoise.market.releases import RELEASES
from counterpoise.market.row_checks import check_order
from counterpoise.market.schemas import SPECS, TableSpec
from counterpoise.market.tables import refuse_missing_columns, validate

MAX_DEPTH = 3
#: Files and folders; an import has dozens, so a folder with more is another one.
MAX_ENTRIES = 20_000
#: Bytes of all recognised files together: they are held in memory until all of them are sound.
MAX_BYTES = 4 << 30

_KLINES = re.compile(
    r"(?P<venue>[a-z0-9_]+)_(?P<kind>spot|perp|mark)_(?P<symbol>[a-z0-9]+)_"
    r"(?P<interval>[1-9]\d*[smhd])(?:_[a-z0-9_]+)?"
)
_FUNDING = re.compile(r"(?P<venue>[a-z0-9_]+)_(?P<symbol>[a-z0-9]+)_(?P<interval>[1-9]\d*[hd])")


@dataclass(frozen=True, order=True)
class DatasetKey:
    """What one series of rows is: table, where it is from, what it is about, how fine."""

    table: str
    venue: str
    symbol: str
    interval: str

    def __str__(self) -> str:
        return f"{self.table} {self.venue} {self.symbol} {self.interval}"


#: Where the network-wide tables are kept.
ONCHAIN = DatasetKey("onchain_daily", "ethereum", "ETH", "1d")
VALIDATORS = DatasetKey("validators_daily", "ethereum", "ETH", "1d")
GAS = DatasetKey("gas_hourly", "ethereum", "ETH", "1h")
BLOCKS = DatasetKey("blocks", "ethereum", "ETH", "1h")
MACRO = DatasetKey("macro_daily", "fred", "US", "1d")
EVENTS = DatasetKey("events", "calendar", "ETH", "1d")

_BY_STEM = {
    "ethereum_daily": ONCHAIN,
    "validators_daily": VALIDATORS,
    "fred_daily": MACRO,
    "events": EVENTS,
}


@dataclass(frozen=True)
class Recognised:
    """A file whose name says what it holds."""

    path: Path
    name: str
    key: DatasetKey


@dataclass(frozen=True)
class Skipped:
    """A file that was left alone, and why."""

    path: str
    reason: str


def recognise(path: Path) -> DatasetKey | str:
    """Say which dataset a file belongs to, or why it belongs to none.

    Examples
    --------
    >>> str(recognise(Path("klines/bybit_perp_ethusdt_1h.parquet")))
    'perp_bars bybit ETHUSDT 1h'
    >>> recognise(Path("l2/depth.jsonl.gz"))
    'not a .parquet, .csv or .csv.gz file'
    """
    plain = path.name.lower()
    ending = next((end for end in (PARQUET, *TEXT) if plain.endswith(end)), None)
    if ending is None:
        return "not a .parquet, .csv or .csv.gz file"
    stem = plain.removesuffix(ending)
    if stem in _BY_STEM:
        return _BY_STEM[stem]
    if match := _KLINES.fullmatch(stem):
        return DatasetKey(
            f"{match['kind']}_bars", match["venue"], match["symbol"].upper(), match["interval"]
        )
    # The pattern of funding files is loose, so the folder has to agree.
    if path.parent.name.lower() == "funding" and (match := _FUNDING.fullmatch(stem)):
        return DatasetKey("funding", match["venue"], match["symbol"].upper(), match["interval"])
    return "its name is none of the known ones"


def scan(folder: Path) -> tuple[list[Recognised], list[Skipped]]:
    """Walk a folder, at most three levels deep, and sort its files into known and skipped.

    Nothing is opened. Links to folders are not followed.

    Raises
    ------
    FixConfig
        When the folder does not exist, is a file, or holds more than an import should.
    RejectData
        When nothing in it is known, a folder in it cannot be read, or what has the name of a table
        is no regular file of a size that fits.
    """
    try:
        kind = folder.stat().st_mode
        problem = None if stat.S_ISDIR(kind) else "a file"
    except OSError as refused:
        problem = refused.strerror
    if problem is not None:
        raise FixConfig("folder", f"{folder} ({problem})", "an existing folder", "check the path")
    folder = folder.resolve()
    known: list[Recognised] = []
    skipped: list[Skipped] = []
    for path, reason in _walk(folder):
        inside = printable(str(path.relative_to(folder)))
        found = reason or recognise(path)
        if isinstance(found, str):
            skipped.append(Skipped(inside, found))
        else:
            known.append(Recognised(path, inside, found))
    if not known:
        seen = [f"{entry.path} ({entry.reason})" for entry in skipped[:3]]
        raise RejectData(
            str(folder),
            f"{len(skipped)} entries",
            ", ".join(seen) or "an empty folder",
            "files named like klines/binance_perp_ethusdt_1h.parquet, "
            "funding/binance_ethusdt_8h.parquet, onchain/ethereum_daily.csv, macro/fred_daily.csv",
            "rename the files to this layout, or name the folder that holds them",
        )
    total = sum(refuse_unfit(file.path, file.name) for file in known)
    if total > MAX_BYTES:
        raise FixConfig(
            "folder",
            f"{folder} ({total:,} bytes in {len(known)} tables)",
            f"at most {MAX_BYTES:,} bytes at once",
            "import its folders one by one",
        )
    return known, skipped


def _walk(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Entries of a folder by name, files before folders, with the reason where one is skipped."""
    seen = 0

    def entries(top: Path) -> list[os.DirEntry[str]]:
        nonlocal seen
        held: list[os.DirEntry[str]] = []
        try:
            with os.scandir(top) as listing:
                for entry in listing:
                    seen += 1
                    if seen > MAX_ENTRIES:
                        raise FixConfig(
                            "folder",
                            str(folder),
                            f"at most {MAX_ENTRIES:,} files and folders",
                            "name a smaller folder",
                        )
                    held.append(entry)
        except OSError as refused:
            where, told = str(top), refused.strerror
            fix = "change its permissions, or name a folder beside it"
            raise RejectData(where, "whole folder", told, "a readable folder", fix) from None
        return sorted(held, key=lambda entry: entry.name)

    def inside(top: Path, depth: int) -> Iterator[tuple[Path, str | None]]:
        found = entries(top)
        folders = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                linked = entry.is_symlink() and Path(entry.path).is_dir()
                yield Path(entry.path), "a link to a folder" if linked else None
        for entry in folders:
            path = Path(entry.path)
            if entry.name.startswith((".", "table=")):
                yield path, "hidden folder or part of a lake"
            elif not isinstance(recognise(path), str):
                # A folder of parts with the name of a table: taken as a file, it is refused as one.
                yield path, None
            elif depth + 1 >= MAX_DEPTH:
                yield path, f"deeper than {MAX_DEPTH} levels"
            else:
                yield from inside(path, depth + 1)

    return inside(folder, 0)


def _long_macro(wide: pl.DataFrame, name: str) -> pl.DataFrame:
    """One row per published observation; a holiday's blank is not an observation."""
    series = [column for column in wide.columns if column in RELEASES]
    defects = Defects(name)
    columns = {"ts": read_moments(wide["ts"], name)}
    for column in series:
        values = wide[column]
        if isinstance(values.dtype, pl.String):
            # FRED's own files write a dot where there is no observation.
            values = values.set(values == ".", None)
        columns[column] = read_values(values, pl.Float64(), "number", True, defects)
    defects.refuse()
    parsed = pl.DataFrame(columns)
    check_order(parsed, ["ts"], None, name)
    return parsed.unpivot(index="ts", variable_name="series", value_name="value").filter(
        pl.col("value").is_not_null()
    )


def refuse_other_columns(files: Sequence[Recognised], guard: ParquetGuard) -> None:
    """Refuse files whose columns are not those of their table, before a row of any is read.

    Raises
    ------
    RejectData
        Naming the first such file and what it lacks.
    """
    for file in files:
        columns = _renamed(columns_of(file.path, file.name, guard))
        if not _is_wide_macro(file, columns):
            refuse_missing_columns(columns, SPECS[file.key.table], file.name)
        elif not set(columns) & set(RELEASES) or "ts" not in columns:
            raise RejectData(
                file.name,
                "columns",
                ", ".join(columns),
                f"ts and at least one of {', '.join(RELEASES)}",
                "rename the columns",
            )


def read_table(
    file: Recognised, guard: ParquetGuard, *, now_ms: int | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read and validate one recognised file.

    Parameters
    ----------
    file : Recognised
        Of a table whose columns :func:`refuse_other_columns` has seen.
    guard : ParquetGuard
    now_ms : int, optional
        The present, as for ``tables.validate``.

    Returns
    -------
    table : DataFrame
        In its stored form.
    ignored : tuple of str
        Columns of the file the schema has no place for.

    Raises
    ------
    RejectData
        Naming file, row, column and value.
    """
    spec = SPECS[file.key.table]
    there = columns_of(file.path, file.name, guard)
    wide = _is_wide_macro(file, there)
    known = _places(spec) | (set(RELEASES) if wide else set())
    named = _renamed(there)
    columns = [was for was, now in zip(there, named, strict=True) if now in known]
    raw = read_columns(file.path, file.name, columns, guard)
    raw = raw.rename(dict(zip(columns, _renamed(columns), strict=True)))
    if wide:
        raw = _long_macro(raw, file.name)
    ignored = tuple(printable(now) for now in named if now not in known)
    return validate(raw, spec, file.name, interval=file.key.interval, now_ms=now_ms), ignored


def _renamed(columns: Sequence[str]) -> list[str]:
    """Columns with the moment an event takes effect called ts, as everywhere."""
    if "ts" in columns:
        return list(columns)
    return ["ts" if column == "effective_at" else column for column in columns]


def _is_wide_macro(file: Recognised, columns: Sequence[str]) -> bool:
    """Whether a macro file has one column a series, as FRED's do."""
    return file.key.table == "macro_daily" and "series" not in columns


def _places(spec: TableSpec) -> set[str]:
    """Columns a table has a place for, by every name."""
    return {"ts", "known_at"} | {
        name for column in spec.columns for name in (column.name, *column.aliases)
    }
