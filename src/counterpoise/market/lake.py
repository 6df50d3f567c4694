"""The lake: validated tables as Hive-partitioned Parquet, with one atomic commit point.

An import is all or nothing, repeating it changes nothing, and rows that contradict stored ones are
refused unless replacement is asked for. The lake does not fetch, and it does not join
(``assemble``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.market.layouts import (
    DatasetKey,
    Skipped,
    read_table,
    refuse_other_columns,
    scan,
)
from counterpoise.market.manifest import (
    FILE,
    DatasetEntry,
    LiveFile,
    Manifest,
    load_manifest,
    remove_orphans,
    save_manifest,
    writing,
)
from counterpoise.market.merge import Merged, merge
from counterpoise.market.parquet_guard import ParquetGuard
from counterpoise.market.parts import by_period, read_file, store
from counterpoise.market.schemas import SPECS
from counterpoise.market.settlement import settlement_interval_h
from counterpoise.market.tables import empty, validate
from counterpoise.units import stamp

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class FileReport:
    """What one file brought into the lake.

    Attributes
    ----------
    file : str
    table, venue, symbol, interval : str
    rows_new : int
        Rows the lake did not have.
    rows_merged : int
        Rows it had, that gained or (with replacement) changed a value.
    rows_unchanged : int
    first_ms, last_ms : int
        First and last ``ts`` of the file.
    ignored_columns : tuple of str
        Columns the schema has no place for.
    """

    file: str
    table: str
    venue: str
    symbol: str
    interval: str
    rows_new: int
    rows_merged: int
    rows_unchanged: int
    first_ms: int
    last_ms: int
    ignored_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What an import did; ``changed`` is False when the lake already held all of it."""

    files: tuple[FileReport, ...]
    skipped: tuple[Skipped, ...]
    changed: bool


@dataclass(frozen=True)
class _Incoming:
    file: str
    key: DatasetKey
    table: pl.DataFrame
    ignored: tuple[str, ...] = ()


class Lake:
    """Tables on disk under one folder.

    Parameters
    ----------
    path : Path or str
        The lake's folder; it is created by the first write.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def datasets(self) -> dict[DatasetKey, DatasetEntry]:
        """Every dataset and its live files, in order of their keys."""
        return load_manifest(self.path)

    @property
    def synthetic(self) -> bool:
        """True when the lake's tables came from the generator."""
        return any(entry.synthetic for entry in self.datasets().values())

    def rows(self, key: DatasetKey) -> int:
        """Rows the lake holds of a dataset; 0 where it has none."""
        entry = self.datasets().get(key)
        return sum(file.rows for file in entry.files) if entry else 0

    def read(self, table: str, *, venue: str, symbol: str, interval: str) -> pl.DataFrame:
        """One dataset in time order.

        Returns
        -------
        DataFrame (N, ...)
            The stored columns of the table; funding comes with ``interval_h`` complete.

        Raises
        ------
        NotEnoughData
            When the lake does not hold it; the message lists what it holds.
        RejectData
            When a live file is missing or damaged.
        """
        return self.read_key(DatasetKey(table, venue, symbol, interval))

    def read_key(self, key: DatasetKey) -> pl.DataFrame:
        """As :meth:`read`, by the dataset's key."""
        manifest = self.datasets()
        if key not in manifest:
            raise self.absence(key)
        try:
            frame = self._read_entry(manifest[key])
        except RejectData:
            # A writer may have replaced the files between the two reads; then the new ones count.
            fresh = self.datasets().get(key)
            if fresh is None or fresh == manifest[key]:
                raise
            frame = self._read_entry(fresh)
        return settlement_interval_h(frame, key.interval) if key.table == "funding" else frame

    def read_span(self, key: DatasetKey, first_ms: int, last_ms: int) -> pl.DataFrame:
        """Rows of one dataset whose ``ts`` lies in [first_ms, last_ms), reading only their files.

        Returns
        -------
        DataFrame (N, ...)
            The stored columns, in time order; N = 0 where the lake holds none of the span.

        Raises
        ------
        RejectData
            When a live file is missing or damaged.
        """
        entry = self.datasets().get(key)
        within = pl.col("ts").dt.epoch("ms").is_between(first_ms, last_ms, "left")
        frames = [
            read_file(self.path, key, file).filter(within)
            for file in (entry.files if entry else ())
            if file.first_ms < last_ms and file.last_ms >= first_ms
        ]
        return pl.concat(frames) if frames else empty(SPECS[key.table])

    def absence(self, key: DatasetKey) -> NotEnoughData:
        """Return the error for a dataset that is not here, saying what is."""
        return NotEnoughData(
            f"{self.path} has no {key}. It has: {_listing(self.datasets(), key.table)}. "
            "Next: import it with `counterpoise data import FOLDER`."
        )

    def _read_entry(self, entry: DatasetEntry) -> pl.DataFrame:
        return pl.concat([read_file(self.path, entry.key, file) for file in entry.files])

    def damaged(self) -> list[tuple[DatasetKey, LiveFile]]:
        """Live files whose content is not what was written."""
        found = []
        for key, entry in self.datasets().items():
            for file in entry.files:
                try:
                    read_file(self.path, entry.key, file)
                except RejectData:
                    found.append((key, file))
        return found

    def import_folder(
        self,
        folder: Path | str,
        *,
        replace: bool = False,
        progress: Progress | None = None,
        now_ms: int | None = None,
    ) -> ImportReport:
        """Take in every file of a folder whose name is known, all or nothing.

        Parameters
        ----------
        folder : Path or str
        replace : bool
            Let the files' values win over stored ones that differ.
        progress : callable, optional
            Called with (files done, files in all, name) before each file is read.
        now_ms : int, optional
            The present, which no row may be ahead of; default: this machine's clock.

        Raises
        ------
        FixConfig
            No such folder, a lake of synthetic data, or one that cannot be written.
        RejectData
            A file breaks its table's contract or contradicts what is stored.
        RetryLater
            Another process is writing.
        """
        known, skipped = scan(Path(folder))
        present = round(time.time() * 1000) if now_ms is None else now_ms
        incoming = []
        with ParquetGuard() as guard:
            refuse_other_columns(known, guard)
            for done, file in enumerate(known):
                if progress is not None:
                    progress(done, len(known), file.name)
                table, ignored = read_table(file, guard, now_ms=present)
                incoming.append(_Incoming(file.name, file.key, table, ignored))
        return self._commit(incoming, tuple(skipped), synthetic=False, replacing=replace)

    def write(
        self,
        tables: Mapping[DatasetKey, pl.DataFrame],
        *,
        synthetic: bool = False,
        replace: bool = False,
    ) -> ImportReport:
        """Validate and store tables that are in memory, all or nothing.

        Parameters
        ----------
        tables : mapping of DatasetKey to DataFrame
        synthetic : bool
            Mark the datasets as generated. A lake is either synthetic or real.
        replace : bool
            Let these values win over stored ones that differ.

        Raises
        ------
        FixConfig, RejectData, RetryLater
            As :meth:`import_folder`.
        """
        incoming = [
            _Incoming(
                str(key),
                key,
                validate(table, SPECS[key.table], str(key), interval=key.interval),
            )
            for key, table in tables.items()
        ]
        return self._commit(incoming, (), synthetic=synthetic, replacing=replace)

    def _commit(
        self,
        incoming: list[_Incoming],
        skipped: tuple[Skipped, ...],
        *,
        synthetic: bool,
        replacing: bool,
    ) -> ImportReport:
        with writing(self.path):
            before = self.datasets()
            self._refuse_mixture(before, synthetic)
            _refuse_quarrels(incoming)
            tables: dict[DatasetKey, pl.DataFrame] = {}
            reports = []
            for item in incoming:
                stored = tables.get(item.key)
                if stored is None and item.key in before:
                    stored = self._touched(before[item.key], incoming)
                merged = merge(stored, item.table, item.key, item.file, replacing=replacing)
                tables[item.key] = merged.table
                reports.append(_report(item, merged))
            if not before and not (self.path / FILE).exists():
                # From here on files without a manifest are a lost manifest, not a first import.
                save_manifest(self.path, {})
            after = dict(before)
            for key, table in tables.items():
                after[key] = store(self.path, key, table, before.get(key), synthetic=synthetic)
            changed = after != before
            if changed:
                save_manifest(self.path, after)
            remove_orphans(self.path, after)
        return ImportReport(tuple(reports), skipped, changed)

    def _touched(self, entry: DatasetEntry, incoming: list[_Incoming]) -> pl.DataFrame | None:
        """Stored rows of the periods that new rows fall in; the others stay as they are.

        All of them for funding: settlements are checked across the end of a year.
        """
        rows = [item.table for item in incoming if item.key == entry.key]
        periods = {name for table in rows for name in by_period(entry.key, table)}
        files = [
            file for file in entry.files if entry.key.table == "funding" or file.period in periods
        ]
        frames = [read_file(self.path, entry.key, file) for file in files]
        return pl.concat(frames) if frames else None

    def _refuse_mixture(self, manifest: Manifest, synthetic: bool) -> None:
        kinds = {entry.synthetic for entry in manifest.values()}
        if kinds and synthetic not in kinds:
            held, given = ("real", "synthetic") if synthetic else ("synthetic", "real")
            raise FixConfig(
                "lake",
                f"{self.path} (holds {held} data)",
                f"a lake of {given} data: the two are never mixed",
                "name another lake",
            )


def _refuse_quarrels(incoming: list[_Incoming]) -> None:
    """Refuse files of one import that contradict each other: no order among them decides."""
    first: dict[DatasetKey, _Incoming] = {}
    for item in incoming:
        held = first.get(item.key)
        if held is None:
            first[item.key] = item
            continue
        both = merge(
            held.table, item.table, item.key, item.file, replacing=False, beside=held.file
        ).table
        first[item.key] = replace(held, file=f"{held.file} or {item.file}", table=both)


def _report(item: _Incoming, merged: Merged) -> FileReport:
    stamps = item.table["ts"].dt.epoch("ms")
    return FileReport(
        file=item.file,
        table=item.key.table,
        venue=item.key.venue,
        symbol=item.key.symbol,
        interval=item.key.interval,
        rows_new=merged.rows_new,
        rows_merged=merged.rows_merged,
        rows_unchanged=merged.rows_unchanged,
        first_ms=int(stamps.to_numpy().min()),
        last_ms=int(stamps.to_numpy().max()),
        ignored_columns=item.ignored,
    )


def _listing(manifest: Manifest, table: str) -> str:
    near = [key for key in manifest if key.table == table] or list(manifest)
    if not near:
        return "nothing yet"
    spans = [
        f"{key} ({stamp(manifest[key].files[0].first_ms)} to "
        f"{stamp(manifest[key].files[-1].last_ms)})"
        for key in sorted(near)[:8]
    ]
    more = f" and {len(near) - 8} more" if len(near) > 8 else ""
    return "; ".join(spans) + more
