"""Recognising foreign files by where they lie and what they are called, and reading them.

This room knows names and shapes of files, not what makes a value right (``tables``) nor how rows
are kept (``lake``). What it does not recognise is listed with the reason, never guessed at.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.columns import Defects, read_moments, read_values
from counterpoise.market.releases import RELEASES
from counterpoise.market.tables import SPECS, TableSpec, check_order, validate

MAX_DEPTH = 3
MAX_FILES = 20_000

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


#: Where the network-wide daily tables are kept.
ONCHAIN = DatasetKey("onchain_daily", "ethereum", "ETH", "1d")
VALIDATORS = DatasetKey("validators_daily", "ethereum", "ETH", "1d")
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
    'not a .parquet or .csv file'
    """
    if path.suffix not in (".parquet", ".csv"):
        return "not a .parquet or .csv file"
    stem = path.stem.lower()
    if stem in _BY_STEM:
        return _BY_STEM[stem]
    if match := _KLINES.fullmatch(stem):
        return DatasetKey(
            f"{match['kind']}_bars", match["venue"], match["symbol"].upper(), match["interval"]
        )
    # The pattern of funding files is loose, so the folder has to agree.
    if path.parent.name == "funding" and (match := _FUNDING.fullmatch(stem)):
        return DatasetKey("funding", match["venue"], match["symbol"].upper(), match["interval"])
    return "its name is none of the known ones"


def scan(folder: Path) -> tuple[list[Recognised], list[Skipped]]:
    """Walk a folder, at most three levels deep, and sort its files into known and skipped.

    Raises
    ------
    FixConfig
        When the folder does not exist, is a file, or holds more files than an import should.
    RejectData
        When nothing in it is known.
    """
    if not folder.is_dir():
        problem = "a file" if folder.exists() else "nothing there"
        raise FixConfig("folder", f"{folder} ({problem})", "an existing folder", "check the path")
    folder = folder.resolve()
    known: list[Recognised] = []
    skipped: list[Skipped] = []
    seen = 0

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), error.strerror or "cannot be read"))

    for top, folders, files in os.walk(folder, onerror=unreadable):
        depth = len(Path(top).relative_to(folder).parts)
        kept = []
        for name in sorted(folders):
            inside = str((Path(top) / name).relative_to(folder))
            if name.startswith((".", "table=")):
                skipped.append(Skipped(inside, "hidden folder or part of a lake"))
            elif depth + 1 >= MAX_DEPTH:
                skipped.append(Skipped(inside, f"deeper than {MAX_DEPTH} levels"))
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                raise FixConfig(
                    "folder", str(folder), f"at most {MAX_FILES} files", "name a smaller folder"
                )
            path = Path(top) / name
            inside = str(path.relative_to(folder))
            found = recognise(path)
            if isinstance(found, str):
                skipped.append(Skipped(inside, found))
            else:
                known.append(Recognised(path, inside, found))
    if not known:
        raise RejectData(
            str(folder),
            f"{len(skipped)} entries",
            ", ".join(entry.path for entry in skipped[:3]) or "an empty folder",
            "files named like klines/binance_perp_ethusdt_1h.parquet, "
            "funding/binance_ethusdt_8h.parquet, onchain/ethereum_daily.csv, macro/fred_daily.csv",
            "rename the files to this layout, or name the folder that holds them",
        )
    return known, skipped


def _read(path: Path, name: str) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, hive_partitioning=False)
        # Text throughout: a column's type must not depend on its first rows.
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise RejectData(
            name,
            "whole file",
            str(broken).strip().splitlines()[0] if str(broken).strip() else type(broken).__name__,
            f"a readable {path.suffix[1:]} file",
            "download it again",
        ) from None


def _long_macro(wide: pl.DataFrame, name: str) -> pl.DataFrame:
    """One row per published observation; a holiday's blank is not an observation."""
    series = [column for column in wide.columns if column in RELEASES]
    if not series or "ts" not in wide.columns:
        raise RejectData(
            name,
            "columns",
            ", ".join(wide.columns),
            f"ts and at least one of {', '.join(RELEASES)}",
            "rename the columns",
        )
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


def read_table(file: Recognised) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read and validate one recognised file.

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
    raw = _read(file.path, file.name)
    if "ts" not in raw.columns and "effective_at" in raw.columns:
        raw = raw.rename({"effective_at": "ts"})
    ignored = _ignored(raw, spec)
    if spec.name == "macro_daily" and "series" not in raw.columns:
        raw = _long_macro(raw, file.name)
    return validate(raw, spec, file.name, interval=file.key.interval), ignored


def _ignored(raw: pl.DataFrame, spec: TableSpec) -> tuple[str, ...]:
    known = {"ts", "known_at"}
    for column in spec.columns:
        known |= {column.name, *column.aliases}
    if spec.name == "macro_daily" and "series" not in raw.columns:
        known |= set(RELEASES)
    return tuple(name for name in raw.columns if name not in known)
