"""What one dataset shows by itself: holes, frozen feeds, leaps, queues in the wrong unit.

A look takes a dataset's key and table and says what it found. What needs a second dataset is in
``pairs``, and what only funding has in ``settlements``.
"""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.asof import DAILY_STALE_MS, spans_of
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.releases import RELEASES
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms
from counterpoise.quality.findings import MOST_ROWS, Finding, finding
from counterpoise.quality.inventory import Hole, holes_of, stamps_of
from counterpoise.units import DAY_MS, HOUR_MS, stamp

Floats = NDArray[np.float64]
Look = Callable[[DatasetKey, pl.DataFrame], Iterator[Finding]]

#: More short holes than this are told as one.
MANY_HOLES = 50
#: Bars without any movement: so many, and so long, are a feed that stood still.
FROZEN_ROWS = 3
FROZEN_MS = HOUR_MS
#: Days a network-wide total may repeat itself exactly, and a count of validators.
FROZEN_DAYS = 3
FROZEN_VALIDATOR_DAYS = 7
#: Observations a market's daily series may repeat exactly.
FROZEN_OBSERVATIONS = 10
#: A daily value this many times its neighbours, or a macro series', is worth a look.
JUMP = 10.0
MACRO_JUMP = 3.0
#: Share of a weekday series' observations on weekends beyond which its days are off.
WEEKEND_SHARE = 0.05
#: Jumps of queues smaller than this are everyday business (about a day of churn in 2024).
QUEUE_FLOOR_ETH = 50_000.0
#: So many days in a row more ETH left than the exit queue held cannot be timing.
QUEUE_RUN_DAYS = 8

BARS = ("spot_bars", "perp_bars", "mark_bars")


def _duplicates(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    twice = table.filter(table.select(SPECS[key.table].key).is_duplicated())
    if twice.height:
        text = "rows repeat an identity, which the lake never writes"
        yield finding(key, "duplicate", "error", stamps_of(twice), text, "import into a new lake")


def _gaps(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    funding = key.table == "funding"
    kind = "missing settlement" if funding else "gap"
    most = DAILY_STALE_MS if key.interval == "1d" else DAY_MS
    treatment = (
        "nothing is paid there, and the last rate expires after a day"
        if funding
        else "the last value is used for up to 7 days, then none"
        if key.interval == "1d"
        else "the hours stay empty; nothing is filled"
    )
    holes = holes_of(key, table)
    short = [hole for hole in holes if hole.after_ms - hole.before_ms <= most]
    if len(short) > MANY_HOLES:
        at = [ms for hole in short[:MOST_ROWS] for ms in hole.missing_ms(MOST_ROWS)]
        rows = sum(hole.missing for hole in short)
        longest = max(short, key=lambda hole: hole.missing)
        text = (
            f"{len(short)} short holes, {rows} rows in all; the longest of {longest.missing} "
            f"begins {stamp(longest.missing_ms(1)[0])}"
        )
        span = (short[0].before_ms, short[-1].after_ms)
        yield finding(key, kind, "info", at, text, treatment, rows=rows, span=span)
        holes = [hole for hole in holes if hole not in short]
    for hole in holes:
        yield _gap(key, hole, kind, "warning" if hole not in short else "info", treatment)


def _gap(key: DatasetKey, hole: Hole, kind: str, severity: str, treatment: str) -> Finding:
    what = ("settlement" if key.table == "funding" else "row") + ("s" if hole.missing > 1 else "")
    where = f"between {stamp(hole.before_ms)} and {stamp(hole.after_ms)}"
    return finding(
        key,
        kind,
        "warning" if severity == "warning" else "info",
        hole.missing_ms(MOST_ROWS),
        f"{hole.missing} {what} missing {where}",
        treatment,
        rows=hole.missing,
        span=(hole.before_ms, hole.after_ms),
    )


def _stale_series(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    if key.table != "macro_daily":
        return
    for series, release in RELEASES.items():
        rows = table.filter(pl.col("series") == series)
        known, about = rows["known_at"].dt.epoch("ms").to_numpy(), stamps_of(rows)
        for row in np.flatnonzero(np.diff(known) > release.stale_days * DAY_MS):
            before, after = int(about[row]), int(about[row + 1])
            yield finding(
                key,
                "stale",
                "warning",
                [before, after],
                f"{series}: no observation between {stamp(before)} and {stamp(after)}",
                f"empty once the last value is {release.stale_days} days old",
                rows=0,
            )


def _frozen(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Runs of rows in which nothing moves, where something always does."""
    stamps = stamps_of(table)
    if key.table in BARS:
        close = table["close"].to_numpy()
        step = interval_ms(key.interval)
        flat = (table["high"] == table["low"]).to_numpy() & _repeats(close)
        flat &= np.diff(stamps, prepend=0) == step
        least = max(FROZEN_ROWS, -(-FROZEN_MS // step))
        yield from _runs(key, stamps, flat, least, "no bar moved at all", close)
    elif key.table == "futures_metrics":
        held = table["open_interest_eth"].to_numpy()
        flat = _repeats(held)
        least = FROZEN_MS // interval_ms(key.interval)
        yield from _runs(key, stamps, flat, least, "open_interest_eth did not move", held)
    elif key.table in ("onchain_daily", "validators_daily"):
        days = FROZEN_DAYS if key.table == "onchain_daily" else FROZEN_VALIDATOR_DAYS
        moving = {"gas_used", "avg_gas_price_wei", "tx_count", "active_validators"}
        for name in sorted(moving & set(table.columns)):
            values = table[name].cast(pl.Float64).to_numpy()
            flat = _repeats(values) & (values > 0)
            yield from _runs(key, stamps, flat, days, f"{name} did not move", values)
    elif key.table == "macro_daily":
        for series, rows in _daily_series(table):
            values, about = rows["value"].to_numpy(), stamps_of(rows)
            flat = _repeats(values)
            # A policy rate stands still for weeks; an index never does.
            if flat.mean() < 0.1:
                text = f"{series} did not move"
                yield from _runs(key, about, flat, FROZEN_OBSERVATIONS, text, values)


def _runs(
    key: DatasetKey,
    stamps: NDArray[np.int64],
    flat: NDArray[np.bool_],
    least: int,
    text: str,
    values: Floats,
) -> Iterator[Finding]:
    for first, last in spans_of(flat):
        if last - first + 1 >= least:
            yield finding(
                key,
                "frozen",
                "warning",
                stamps[first : last + 1],
                f"{text} for {last - first + 1} rows: {values[first]:g}",
                "used as stored; leave these rows out of any conclusion",
            )


def _jumps(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Daily values that leap far beyond both neighbours."""
    if SPECS[key.table].known == "after the day":
        for column in SPECS[key.table].columns:
            values = table[column.name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            queue = "queue" in column.name
            floor = QUEUE_FLOOR_ETH if queue else 0.0
            yield from _leaps(key, column.name, stamps_of(table), values, JUMP, floor, not queue)
    elif key.table == "macro_daily":
        for series, rows in _daily_series(table):
            values = rows["value"].to_numpy()
            if (values > 0).all() and np.quantile(np.abs(np.diff(np.log(values))), 0.95) < 0.3:
                yield from _leaps(key, series, stamps_of(rows), values, MACRO_JUMP, 0.0, True)
    elif key.table == "futures_metrics":
        values = table["open_interest_eth"].to_numpy()
        least = MACRO_JUMP
        yield from _leaps(key, "open_interest_eth", stamps_of(table), values, least, 0.0, True)


def _leaps(
    key: DatasetKey,
    name: str,
    stamps: NDArray[np.int64],
    values: Floats,
    factor: float,
    floor: float,
    downward: bool,
) -> Iterator[Finding]:
    """One finding for all rows of a column that lie far from both neighbours."""
    middle, before, after = values[1:-1], values[:-2], values[2:]
    near = stamps[2:] - stamps[:-2] <= 2 * max(interval_ms(key.interval), 2 * DAY_MS)
    if key.table != "macro_daily":
        near = stamps[2:] - stamps[:-2] == 2 * interval_ms(key.interval)
    leapt = near & (middle > factor * np.maximum(before, after)) & (middle > floor)
    if downward:
        leapt |= near & (middle * factor < np.minimum(before, after))
    rows = np.flatnonzero(leapt) + 1
    if len(rows):
        worst = rows[int(np.argmax(values[rows]))]
        yield finding(
            key,
            "jump",
            "info",
            stamps[rows],
            f"{name}: {len(rows)} rows more than {factor:g} times away from both neighbours, the "
            f"largest {values[worst]:g} on {stamp(int(stamps[worst]))}",
            "kept as published; features on it should be robust to single days",
        )


def _weekends(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Series of working days that have observations on weekends: their days are off."""
    if key.table != "macro_daily":
        return
    for series, rows in _daily_series(table):
        day = rows["ts"].dt.weekday()
        weekend = (day >= 6).to_numpy()
        counts = [int((day == number).sum()) for number in range(1, 8)]
        # Seven-day series have all days alike; a slip empties one working day.
        if weekend.mean() > WEEKEND_SHARE and min(counts) < 0.2 * max(counts):
            yield finding(
                key,
                "time zone slip",
                "warning",
                stamps_of(rows)[weekend],
                f"{series}: {int(weekend.sum())} of {rows.height} observations of a series of "
                "working days are dated on weekends",
                "used as stored: their release is taken a day off. Import it anew with UTC dates",
            )


def _daily_series(table: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for (series,), rows in table.group_by("series", maintain_order=True):
        if rows.height >= 60 and float(np.median(np.diff(stamps_of(rows)))) == DAY_MS:
            yield str(series), rows


def _queues(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Validators that leave must have queued: a drop beyond the queue, for days, is a wrong queue.

    A single day may be timing (the queue is read once a day), so only long runs count. A run begins
    earlier where the queue ceased to be a whole number of validators' 32 ETH shortly before it.
    """
    if key.table != "validators_daily":
        return
    stamps = stamps_of(table)
    active = table["active_validators"].to_numpy()
    queue = table["exit_queue_eth"].fill_null(float("nan")).to_numpy()
    left_eth = -np.diff(active) * 32.0
    held_eth = np.maximum(queue[:-1], queue[1:])
    beyond = (left_eth > 2 * held_eth) & (np.diff(stamps) == DAY_MS)
    for first, last in spans_of(beyond):
        if last - first + 1 >= QUEUE_RUN_DAYS:
            before = queue[max(first + 1 - QUEUE_RUN_DAYS, 0) : first + 1]
            whole = np.flatnonzero(before % 32.0 == 0.0)
            earlier = len(before) - 1 - int(whole[-1]) if len(whole) else 0
            yield finding(
                key,
                "implausible",
                "warning",
                stamps[first + 1 - earlier : last + 2],
                f"exit_queue_eth: on {last - first + 1} days running more than twice the queue "
                "left the active set"
                + (f", and the {earlier} before it hold no whole validators" if earlier else "")
                + "; the column may be in validators (32 ETH) there",
                "kept as published; leave the queues of these days out of any conclusion",
            )


def _blocks(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """Numbers that skip, and base fees that do not follow from the parent (EIP-1559)."""
    if key.table != "blocks" or table.height < 2:
        return
    stamps, number = stamps_of(table), table["number"].to_numpy()
    skipped = np.flatnonzero(np.diff(number) != 1)
    if len(skipped):
        missing = int((np.diff(number) - 1)[skipped].sum())
        at = stamps[skipped + 1]
        text = f"{missing} blocks missing before the rows named"
        yield finding(key, "gap", "warning", at, text, "nothing is filled", rows=missing)
    fee = table["base_fee_wei"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    target = table["gas_limit"].to_numpy() / 2.0
    due = fee * (1.0 + (table["gas_used"].to_numpy() / target - 1.0) / 8.0)
    # Integer division and the smallest step of 1 wei leave a difference of a wei or two.
    off = np.abs(fee[1:] - due[:-1]) > np.maximum(2.0, 1e-9 * due[:-1])
    rows = np.flatnonzero(off & (np.diff(number) == 1)) + 1
    if len(rows):
        yield finding(
            key,
            "implausible",
            "warning",
            stamps[rows],
            f"base_fee_wei of {len(rows)} blocks does not follow from the block before",
            "used as stored; the rows may be of another chain",
        )


def _depth(key: DatasetKey, table: pl.DataFrame) -> Iterator[Finding]:
    """A wider band holds at least what a narrower one does."""
    if key.table != "book_depth":
        return
    ordered = table.with_columns(
        side=pl.col("band_pct").sign(), width=pl.col("band_pct").abs()
    ).sort("ts", "side", "width")
    shrinks = (pl.col("depth_eth").diff().over("ts", "side") < 0).fill_null(False)
    wrong = ordered.filter(shrinks).sort("ts")
    if wrong.height:
        yield finding(
            key,
            "implausible",
            "warning",
            stamps_of(wrong),
            f"{wrong.height} bands hold less than a narrower one of the same moment",
            "used as stored; the bands may be mixed up there",
        )


def _repeats(values: Floats) -> NDArray[np.bool_]:
    """Whether each value is that of the row before; never for the first row."""
    return np.concatenate(([False], values[1:] == values[:-1]))


LOOKS: tuple[Look, ...] = (
    _duplicates,
    _gaps,
    _stale_series,
    _frozen,
    _jumps,
    _weekends,
    _queues,
    _blocks,
    _depth,
)
