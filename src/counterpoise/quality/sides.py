"""What the two sides of a comparison may be: a dataset, a lake, a file, or a folder of files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoise.errors import FixConfig
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import (
    DatasetKey,
    Recognised,
    read_table,
    recognise,
    refuse_other_columns,
    scan,
)
from counterpoise.market.manifest import FILE
from counterpoise.market.parquet_guard import ParquetGuard
from counterpoise.market.schemas import SPECS

#: Each dataset of a side, and what reads it.
Side = Mapping[DatasetKey, Callable[[], pl.DataFrame]]

_FORMS = (
    "TABLE/VENUE/SYMBOL/INTERVAL of the lake, such as funding/binance/ETHUSDT/8h; a file or folder "
    "of tables; another lake; or LAKE:TABLE/VENUE/SYMBOL/INTERVAL"
)


@dataclass(frozen=True)
class Pair:
    """Two datasets to be compared, and what the sides call them."""

    named: tuple[str, str]
    a: tuple[DatasetKey, Callable[[], pl.DataFrame]]
    b: tuple[DatasetKey, Callable[[], pl.DataFrame]]


def resolve(text: str, lake: Lake) -> Side:
    """Datasets that a side of a comparison names.

    Raises
    ------
    FixConfig
        When it names nothing.
    RejectData
        When a file breaks the contract of its table.
    """
    path = Path(text)
    if path.is_dir():
        return _of_lake(Lake(path)) if (path / FILE).exists() else _of_files(path)
    if path.is_file():
        key = recognise(path.resolve())
        if isinstance(key, str):
            raise FixConfig("a file to compare", text, "a file named as for import", key)
        return _read([Recognised(path, str(path), key)])
    folder, found, name = text.rpartition(":")
    if found:
        if not (Path(folder) / FILE).exists():
            raise FixConfig("a lake to compare", folder, "the folder of a lake", _FORMS)
        lake = Lake(Path(folder))
    held = _of_lake(lake)
    parts = name.split("/")
    if len(parts) == 4 and (wanted := DatasetKey(*parts)) in held:
        return {wanted: held[wanted]}
    near = [str(key).replace(" ", "/") for key in held if parts[0] in (key.table, key.venue)]
    listed = "; ".join(near[:6]) or "nothing of that table"
    raise FixConfig("a side to compare", text, _FORMS, f"the lake {lake.path} has {listed}")


def paired(named: tuple[str, str], a: Side, b: Side) -> tuple[list[Pair], list[DatasetKey]]:
    """Datasets of the two sides that belong together, and those of A that have no counterpart.

    Two single datasets belong together whatever they are called; else those of one key do.
    """
    if len(a) == len(b) == 1:
        return [Pair(named, next(iter(a.items())), next(iter(b.items())))], []
    pairs = [
        Pair((f"{named[0]} {key}", f"{named[1]} {key}"), (key, read), (key, b[key]))
        for key, read in a.items()
        if key in b
    ]
    if not pairs:
        raise FixConfig("B", named[1], f"datasets that {named[0]} has too", "name two datasets")
    return pairs, [key for key in a if key not in b]


def _of_lake(lake: Lake) -> Side:
    def reader(key: DatasetKey) -> Callable[[], pl.DataFrame]:
        return lambda: lake.read_key(key)

    return {key: reader(key) for key in lake.datasets()}


def _of_files(folder: Path) -> Side:
    return _read(scan(folder)[0])


def _read(files: list[Recognised]) -> Side:
    found: dict[DatasetKey, list[pl.DataFrame]] = {}
    with ParquetGuard() as guard:
        refuse_other_columns(files, guard)
        for file in files:
            found.setdefault(file.key, []).append(read_table(file, guard)[0])

    def reader(key: DatasetKey, tables: list[pl.DataFrame]) -> Callable[[], pl.DataFrame]:
        # Several files of one dataset may overlap: the first one speaks.
        spec = SPECS[key.table]
        return lambda: (
            pl.concat(tables, how="diagonal")
            .unique(spec.key, keep="first", maintain_order=True)
            .sort(spec.key)
        )

    return {key: reader(key, tables) for key, tables in found.items()}
