"""What the lake holds and what is wrong with it, in sentences an operator can act on.

Checks only report. Nothing is repaired here: what a finding leads to is said in its treatment and
done by ``assemble``, the same way every time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from counterpoise.market.asof import DAILY_STALE_MS, Millis, spans_of
from counterpoise.market.assemble import SPOT_VENUE, place_bars
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.releases import RELEASES
from counterpoise.market.schemas import SPECS
from counterpoise.market.settlement import settlement_gaps
from counterpoise.market.suspects import SUSPECT_SHARE, suspect_extremes
from counterpoise.market.tables import interval_ms
from counterpoise.units import DAY_MS, HOUR_MS, stamp

Severity = Literal["info", "warning", "error"]

#: A daily value this many times its neighbour is worth a look.
JUMP = 10.0
#: Jumps of queues smaller than this are everyday business (about a day of churn in 2024).
QUEUE_FLOOR_ETH = 50_000.0
#: So many days in a row more ETH left than the exit queue held cannot be timing.
QUEUE_RUN_DAYS = 8


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset in numbers.

    Attributes
    ----------
    table, venue, symbol, interval : str
    synthetic : bool
    rows : int
    first_ms, last_ms : int
        First and last ``ts``.
    expected_rows : int or None
        Rows a complete dataset of this span has; None for irregular ones (macro, events).
    gaps : int
        Number of holes.
    longest_gap_ms : int
        Time between the rows around the longest hole, 0 without holes.
    duplicates : int
        Rows that repeat an identity; the lake refuses them, so anything but 0 is damage.
    bytes : int
        Size on disk.
    """

    table: str
    venue: str
    symbol: str
    interval: str
    synthetic: bool
    rows: int
    first_ms: int
    last_ms: int
    expected_rows: int | None
    gaps: int
    longest_gap_ms: int
    duplicates: int
    bytes: int


@dataclass(frozen=True)
class Finding:
    """Something an operator should know about one dataset.

    Attributes
    ----------
    table, venue, symbol, interval : str
    kind : str
        ``damaged``, ``duplicate``, ``gap``, ``suspect bar``, ``missing settlement``, ``stale``,
        ``jump`` or ``implausible``.
    severity : {"info", "warning", "error"}
    first_ms, last_ms : int
        Span, by ``ts``.
    rows : int
        Rows concerned; for gaps and settlements, rows missing.
    text : str
        What was seen.
    treatment : str
        What the product does about it.
    """

    table: str
    venue: str
    symbol: str
    interval: str
    kind: str
    severity: Severity
    first_ms: int
    last_ms: int
    rows: int
    text: str
    treatment: str


@dataclass(frozen=True)
class _Hole:
    """Rows missing between two present ones."""

    before_ms: int
    after_ms: int
    missing: int


def _stamps(table: pl.DataFrame) -> Millis:
    return np.asarray(table["ts"].dt.epoch("ms").to_numpy(), dtype=np.int64)


def _holes(key: DatasetKey, table: pl.DataFrame) -> list[_Hole]:
    stamps = _stamps(table)
    if key.table == "funding":
        return [
            _Hole(int(stamps[row - 1]), int(stamps[row]), missing)
            for row, missing in settlement_gaps(stamps)
        ]
    if not SPECS[key.table].regular or SPECS[key.table].series is not None:
        return []
    step = interval_ms(key.interval)
    return [
        _Hole(
            int(stamps[row]), int(stamps[row + 1]), int((stamps[row + 1] - stamps[row]) // step) - 1
        )
        for row in np.flatnonzero(np.diff(stamps) > step)
    ]


def info(lake: Lake) -> list[DatasetInfo]:
    """Describe every dataset of a lake.

    Raises
    ------
    RejectData
        When a live file is missing or damaged.
    """
    described = []
    for key, entry in lake.datasets().items():
        table = lake.read_key(key)
        holes = _holes(key, table)
        spec = SPECS[key.table]
        complete = table.height + sum(hole.missing for hole in holes)
        countable = key.table == "funding" or (spec.regular and spec.series is None)
        described.append(
            DatasetInfo(
                table=key.table,
                venue=key.venue,
                symbol=key.symbol,
                interval=key.interval,
                synthetic=entry.synthetic,
                rows=table.height,
                first_ms=min(file.first_ms for file in entry.files),
                last_ms=max(file.last_ms for file in entry.files),
                expected_rows=complete if countable else None,
                gaps=len(holes),
                longest_gap_ms=max((hole.after_ms - hole.before_ms for hole in holes), default=0),
                duplicates=table.height - table.select(spec.key).n_unique(),
                bytes=sum(file.bytes for file in entry.files),
            )
        )
    return described


def check(lake: Lake) -> list[Finding]:
    """Look for everything known to go wrong with market data.

    Returns
    -------
    list of Finding
        By dataset, then time; an empty list means nothing was found.
    """
    findings = []
    broken = set()
    for key, file in lake.damaged():
        broken.add(key)
        findings.append(
            _finding(
                key,
                "damaged",
                "error",
                (file.first_ms, file.last_ms, file.rows),
                f"{file.path} is missing or is not what was written",
                "every read of it is refused: import its source again into a new lake",
            )
        )
    sound = [key for key in lake.datasets() if key not in broken]
    for key in sound:
        table = lake.read_key(key)
        for look in (_duplicates, _gaps, _stale_series, _jumps, _queues):
            findings += look(key, table)
        spot_key = DatasetKey("spot_bars", SPOT_VENUE, key.symbol, key.interval)
        if key.table == "perp_bars" and key.interval == "1h" and spot_key in sound:
            findings += _suspects(key, table, lake.read_key(spot_key))
    order = list(lake.datasets())
    return sorted(
        findings,
        key=lambda found: (
            order.index(DatasetKey(found.table, found.venue, found.symbol, found.interval)),
            found.first_ms,
        ),
    )


def _finding(
    key: DatasetKey,
    kind: str,
    severity: Severity,
    span: tuple[int, int, int],
    text: str,
    treatment: str,
) -> Finding:
    return Finding(
        key.table, key.venue, key.symbol, key.interval, kind, severity, *span, text, treatment
    )


def _duplicates(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    twice = table.filter(table.select(SPECS[key.table].key).is_duplicated())
    if twice.height:
        stamps = _stamps(twice)
        span = (int(stamps[0]), int(stamps[-1]), twice.height)
        text = "rows repeat an identity, which the lake never writes"
        yield _finding(key, "duplicate", "error", span, text, "import into a new lake")


def _gaps(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    funding = key.table == "funding"
    daily = key.interval == "1d"
    for hole in _holes(key, table):
        length = hole.after_ms - hole.before_ms
        long = length > (DAILY_STALE_MS if daily else DAY_MS)
        where = f"between {stamp(hole.before_ms)} and {stamp(hole.after_ms)}"
        what = ("settlement" if funding else "row") + ("s" if hole.missing > 1 else "")
        treatment = (
            "nothing is paid there, and the last rate expires after a day"
            if funding
            else "the last value is used for up to 7 days, then none"
            if daily
            else "the hours stay empty; nothing is filled"
        )
        yield _finding(
            key,
            "missing settlement" if funding else "gap",
            "warning" if long else "info",
            (hole.before_ms, hole.after_ms, hole.missing),
            f"{hole.missing} {what} missing {where}",
            treatment,
        )


def _suspects(key: DatasetKey, table: pl.DataFrame, spot_table: pl.DataFrame) -> Iterator[Finding]:
    closes = table["known_at"].dt.epoch("ms").to_numpy()
    clock = np.arange(closes[0], closes[-1] + HOUR_MS, HOUR_MS, dtype=np.int64)
    perp, spot = place_bars(table, clock), place_bars(spot_table, clock)
    for suspect in suspect_extremes(key.venue, perp, spot, clock)[1]:
        opened = suspect.ts_ms - HOUR_MS
        yield _finding(
            key,
            "suspect bar",
            "warning",
            (opened, opened, 1),
            f"{suspect.column} {suspect.value:g} lies more than {SUSPECT_SHARE:.0%} outside the "
            f"spot bar of that hour (bound {suspect.bound:g})",
            suspect.treatment,
        )


def _stale_series(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    if key.table != "macro_daily":
        return
    for series, release in RELEASES.items():
        rows = table.filter(pl.col("series") == series)
        known, about = rows["known_at"].dt.epoch("ms").to_numpy(), _stamps(rows)
        for row in np.flatnonzero(np.diff(known) > release.stale_days * DAY_MS):
            yield _finding(
                key,
                "stale",
                "warning",
                (int(about[row]), int(about[row + 1]), 0),
                f"{series}: no observation between {stamp(int(about[row]))} and "
                f"{stamp(int(about[row + 1]))}",
                f"empty once the last value is {release.stale_days} days old",
            )


def _jumps(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Values that leap more than tenfold within a day and leap back within the next."""
    if SPECS[key.table].known != "after the day":
        return
    stamps = _stamps(table)
    for column in SPECS[key.table].columns:
        values = table[column.name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        floor = QUEUE_FLOOR_ETH if "queue" in column.name else 0.0
        middle, around = values[1:-1], np.maximum(values[:-2], values[2:])
        daily = stamps[2:] - stamps[:-2] == 2 * DAY_MS
        leapt = daily & (middle > JUMP * around) & (middle > floor)
        rows = np.flatnonzero(leapt) + 1
        if len(rows):
            worst = rows[int(np.argmax(values[rows]))]
            yield _finding(
                key,
                "jump",
                "info",
                (int(stamps[rows[0]]), int(stamps[rows[-1]]), len(rows)),
                f"{column.name}: {len(rows)} days more than {JUMP:g} times both neighbours, the "
                f"largest {values[worst]:g} on {stamp(int(stamps[worst]))[:10]}",
                "kept as published; features on it should be robust to single days",
            )


def _queues(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Validators that leave must have queued: a drop beyond the queue, for days, is a wrong queue.

    A single day may be timing (the queue is read once a day), so only long runs count.
    """
    if key.table != "validators_daily":
        return
    stamps = _stamps(table)
    active = table["active_validators"].to_numpy()
    queue = table["exit_queue_eth"].fill_null(float("nan")).to_numpy()
    left_eth = -np.diff(active) * 32.0
    held_eth = np.maximum(queue[:-1], queue[1:])
    beyond = (left_eth > 2 * held_eth) & (np.diff(stamps) == DAY_MS)
    for first, last in spans_of(beyond):
        if last - first + 1 >= QUEUE_RUN_DAYS:
            span = (int(stamps[first + 1]), int(stamps[last + 1]), last - first + 1)
            yield _finding(
                key,
                "implausible",
                "warning",
                span,
                f"exit_queue_eth: on {span[2]} days running more than twice the queue left the "
                "active set; the column may be in validators (32 ETH) there",
                "kept as published; leave the queues of these days out of any conclusion",
            )
