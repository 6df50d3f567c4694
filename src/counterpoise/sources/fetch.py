"""The engine that fetches from every source: in parallel, resumable, and the same bytes each time.

A unit is downloaded, kept, read, validated and committed; a bad one is set aside with its place and
the others go on. What a source is, ``contract`` says; how its bytes become rows, the source itself.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import sleep, time

import polars as pl

from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.lake import FileReport, Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.manifest import sha256
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import CLOCK_SLACK_MS, validate
from counterpoise.sources.contract import RefusedContent, Request, Source, Unit
from counterpoise.sources.fetch_report import Brought, FetchReport, Later, Missing, Refused
from counterpoise.sources.spool import (
    Left,
    Spool,
    Taken,
    load_ledger,
    load_left,
    save_ledger,
    save_left,
)
from counterpoise.units import DAY_MS

#: Rows that are held before they are committed.
BATCH_ROWS = 3_000_000
#: Units in a row that a service must fail before the rest is left for another time.
GIVE_UP_AFTER = 3
#: A file the source lacks so long after its span will not be published any more.
PUBLISHED_WITHIN_MS = 45 * DAY_MS

#: Waits for another process that writes into the lake, such as an import, before it is told.
LAKE_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)

#: Called with (units done, units in all, name).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Ready:
    """A unit whose rows are validated."""

    unit: Unit
    table: pl.DataFrame
    digest: str
    bytes: int
    notes: tuple[str, ...]


def fetch(
    lake: Lake,
    name: str,
    source: Source,
    request: Request,
    *,
    parallel: int,
    replace: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
    synthetic: bool = False,
) -> FetchReport:
    """Bring what a request asks for into the lake.

    Parameters
    ----------
    lake : Lake
    name : str
        Of the source.
    source : Source
    request : Request
    parallel : int
        Downloads at the same time.
    replace : bool
        Let fetched values win over stored ones that differ.
    verify : bool
        Ask the source for the checksum of every unit the ledger has, and fetch again what was
        published anew.
    progress : callable, optional
    synthetic : bool
        The source's market is made, and the lake is one of synthetic data.

    Returns
    -------
    FetchReport
        What could not be had is in it; the rest is in the lake.

    Raises
    ------
    FixConfig
        A request, address or lake that cannot be.
    RetryLater
        The source does not answer at all, or another process fetches into this lake.
    """
    if lake.synthetic and not synthetic:
        raise FixConfig(
            "lake",
            f"{lake.path} (holds synthetic data)",
            "a lake of real data: the two are never mixed",
            "name another lake",
        )
    spool = Spool(lake.path)
    with spool.held():
        now_ms = source.now_ms()
        report = FetchReport(name, now_ms, round(time() * 1000) - now_ms)
        if abs(report.skew_ms) > CLOCK_SLACK_MS:
            side = "ahead of" if report.skew_ms > 0 else "behind"
            report.notes.append(
                f"this machine's clock is {abs(report.skew_ms) / 1000:,.0f} s {side} that of "
                f"{name}; the latter was used. Next: set the clock."
            )
        planned = list(source.plan(request, now_ms))
        spool.forget_tails({unit.name: unit for unit in planned if not unit.final})
        run = _Run(lake, source, spool, report, load_ledger(lake.path), replace, synthetic)
        wanted = run.unknown(planned, verify=verify)
        with ThreadPoolExecutor(parallel) as pool:
            try:
                for done, total, ready in run.ready(wanted, pool, 2 * parallel):
                    if progress is not None:
                        progress(done, total, ready.unit.key.table if ready else "")
                    if ready is not None:
                        run.take(ready)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        run.commit()
        run.forget_beginnings()
    return report


class _Run:
    """One fetch under way."""

    def __init__(
        self,
        lake: Lake,
        source: Source,
        spool: Spool,
        report: FetchReport,
        ledger: dict[str, Taken],
        replace: bool,
        synthetic: bool,
    ) -> None:
        self.lake, self.source, self.spool, self.report = lake, source, spool, report
        self.ledger, self.replace, self.synthetic = ledger, replace, synthetic
        self.left = load_left(lake.path)
        self._held: list[_Ready] = []
        self._rows = 0
        self._brought: dict[DatasetKey, Brought] = {}

    def unknown(self, units: Sequence[Unit], *, verify: bool) -> list[Unit]:
        """Units that have to be fetched: not in the ledger, or published anew."""
        wanted = []
        for unit in units:
            taken = self.ledger.get(unit.name)
            if taken is None:
                wanted.append(unit)
                continue
            if verify and taken.sha256 is not None:
                try:
                    published = self.source.published(unit)
                except RejectData as bad:
                    self.report.notes.append(f"what was published anew is unknown: {bad}")
                    published = None
                if published is not None and published != taken.sha256:
                    self.report.notes.append(f"{unit.name} was published anew; fetched again")
                    self.spool.drop(unit)
                    wanted.append(unit)
                    continue
            # A run that was killed right after it wrote the ledger left its download behind.
            self.spool.drop(unit)
            self._settle(unit)
            self.report.known += 1
        return wanted

    def _leave(self, units: Sequence[Unit]) -> None:
        """Note units that were not had; before anything later than them is stored."""
        # A window that is not final is at the end, where the next fetch begins anyway.
        wanted = {unit.name: Left.of(unit) for unit in units if unit.final}
        if not wanted.items() <= self.left.items():
            self.left |= wanted
            save_left(self.lake.path, self.left)

    def _settle(self, unit: Unit) -> None:
        """Forget what was left of a unit's span: it was had after all, or never will be."""
        rest = {name: one for name, one in self.left.items() if not one.within(unit)}
        if len(rest) < len(self.left):
            self.left = rest
            save_left(self.lake.path, rest)

    def forget_beginnings(self) -> None:
        """Forget what was left of datasets without a row: whoever asks begins at the beginning."""
        held = self.lake.datasets()
        rest = {name: one for name, one in self.left.items() if one.key in held}
        if len(rest) < len(self.left):
            save_left(self.lake.path, rest)

    def ready(
        self, units: Sequence[Unit], pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[tuple[int, int, _Ready | None]]:
        """Validated units in the order of the plan, with how many are done and how many in all."""
        waiting = deque(units)
        under_way: deque[tuple[Unit, Future[_Ready | None]]] = deque()
        done, total, failed = 0, len(waiting), 0
        while waiting or under_way:
            while waiting and len(under_way) < ahead and failed < GIVE_UP_AFTER:
                unit = waiting.popleft()
                under_way.append((unit, pool.submit(self._bring, unit)))
            if not under_way:
                reason = "not asked for: the source did not answer before"
                self.report.later += [Later(unit.name, reason) for unit in waiting]
                self._leave(waiting)
                return
            unit, future = under_way.popleft()
            done += 1
            found = None
            try:
                found = future.result()
                others = list(self.source.instead(unit)) if found is None else []
                failed = 0
            except RetryLater as busy:
                failed += 1
                self.report.later.append(Later(unit.name, str(busy)))
                self._leave([unit])
            except RejectData as bad:
                failed = 0
                if isinstance(bad, RefusedContent):
                    self.spool.put(unit, bad.content)
                self._refuse(unit, str(bad))
            else:
                for other in reversed(self.unknown(others, verify=False)):
                    waiting.appendleft(other)
                total += len(others)
                if found is None and not others:
                    self._miss(unit)
            yield done, max(total, done), found

    def _miss(self, unit: Unit) -> None:
        self.report.missing.append(Missing(unit.key, unit.first_ms, unit.last_ms, unit.name))
        if self.report.now_ms - unit.last_ms < PUBLISHED_WITHIN_MS:
            self._leave([unit])
        else:
            self._settle(unit)

    def _bring(self, unit: Unit) -> _Ready | None:
        """Download, keep, read and validate one unit; runs beside others."""
        if not self.spool.has(unit):
            content = self.source.download(unit)
            if content is None:
                return None
            self.spool.put(unit, content)
        content = self.spool.get(unit)
        read = self.source.read(unit, content)
        spec = SPECS[unit.key.table]
        table = read.table
        if table.height:
            table = validate(
                table, spec, unit.name, interval=unit.key.interval, now_ms=self.report.now_ms
            )
            _refuse_outside(table, unit)
        return _Ready(unit, table, sha256(content), len(content), read.notes)

    def take(self, ready: _Ready) -> None:
        """Hold a unit until enough rows are held for a commit."""
        if self._rows + ready.table.height > BATCH_ROWS:
            self.commit()
        self._held.append(ready)
        self._rows += ready.table.height

    def commit(self) -> None:
        """Write what is held: tables, then the ledger; then forget the downloads."""
        held, self._held, self._rows = self._held, [], 0
        by_key: dict[DatasetKey, list[_Ready]] = {}
        for ready in held:
            by_key.setdefault(ready.unit.key, []).append(ready)
        for key, units in by_key.items():
            if not self._write(key, units):
                # Something contradicts what is stored: take the units one by one.
                for one in units:
                    self._write(key, [one], alone=True)

    def _write(self, key: DatasetKey, units: list[_Ready], *, alone: bool = False) -> bool:
        full = [one.table for one in units if one.table.height]
        brought = self._brought.get(key)
        if brought is None:
            brought = self._brought[key] = Brought(key)
            self.report.datasets.append(brought)
        if full:
            table = pl.concat(full).sort(SPECS[key.table].key, maintain_order=True)
            if self.source.revises and not self.replace:
                table, revised = self._without_revisions(key, table)
                brought.rows_revised += revised
            try:
                if table.height:
                    _count(brought, self._stored(key, table))
            except RejectData as contradiction:
                if alone:
                    self._refuse(units[0].unit, str(contradiction))
                return False
        for one in units:
            brought.units += 1
            brought.bytes += one.bytes
            self.report.notes += [f"{one.unit.name}: {note}" for note in one.notes]
            if one.unit.final:
                digest = one.digest if one.unit.checksum else None
                self.ledger[one.unit.name] = Taken(digest, one.table.height)
        if any(one.unit.final for one in units):
            save_ledger(self.lake.path, self.ledger)
        for one in units:
            self._settle(one.unit)
            self.spool.drop(one.unit)
            self.spool.release(one.unit)
        return True

    def _stored(self, key: DatasetKey, table: pl.DataFrame) -> FileReport:
        """Write into the lake, after whoever else writes just now."""

        def write() -> FileReport:
            return self.lake.write(
                {key: table}, synthetic=self.synthetic, replace=self.replace
            ).files[0]

        for wait_s in LAKE_WAITS_S:
            try:
                return write()
            except RetryLater:
                sleep(wait_s)
        return write()

    def _without_revisions(self, key: DatasetKey, table: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Rows that do not contradict stored ones: what was known first stays."""
        stamps = table["ts"].dt.epoch("ms")
        low, high = int(stamps.to_numpy().min()), int(stamps.to_numpy().max())
        spec = SPECS[key.table]
        values = [column.name for column in spec.columns if column.name not in spec.key]
        stored = self.lake.read_span(key, low, high + 1).select(*spec.key, *values)
        beside = table.join(
            stored, on=spec.key, how="left", suffix=":stored", maintain_order="left"
        )
        differs = pl.any_horizontal(
            (pl.col(name) != pl.col(f"{name}:stored")).fill_null(False) for name in values
        )
        kept = beside.filter(~differs).select(table.columns)
        return kept, table.height - kept.height

    def _refuse(self, unit: Unit, reason: str) -> None:
        content = self.spool.get(unit) if self.spool.has(unit) else b""
        path = self.spool.quarantine(unit, content, reason)
        self.report.refused.append(Refused(unit.name, str(path), reason))
        self._leave([unit])


def _refuse_outside(table: pl.DataFrame, unit: Unit) -> None:
    stamps = table["ts"].dt.epoch("ms")
    outside = ~stamps.is_between(unit.first_ms, unit.last_ms, "left")
    if outside.any():
        row = int(outside.arg_true()[0])
        raise RejectData(
            unit.name,
            f"row {row}, column ts",
            str(table["ts"][row]),
            f"a time within the unit's own span ({int(outside.sum())} rows are outside)",
            "the file is another one: look it up at the source",
        )


def _count(brought: Brought, wrote: FileReport) -> None:
    brought.rows_new += wrote.rows_new
    brought.rows_merged += wrote.rows_merged
    brought.rows_unchanged += wrote.rows_unchanged
    brought.first_ms = min(wrote.first_ms, brought.first_ms or wrote.first_ms)
    brought.last_ms = max(wrote.last_ms, brought.last_ms or wrote.last_ms)
