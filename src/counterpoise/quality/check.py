"""Every look at every dataset of a lake, in one list.

Checks only report. What a finding leads to is said in its treatment and done where the data is
used, the same way every time.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from counterpoise.market.assemble import SPOT_VENUE, base_asset
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.releases import RELEASES
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms
from counterpoise.quality import pairs, series, settlements
from counterpoise.quality.aggregate import coarser
from counterpoise.quality.findings import Finding, finding
from counterpoise.quality.inventory import stamps_of
from counterpoise.units import DAY_MS, MINUTE_MS, stamp

#: How much earlier than the rest of the lake a feed may end before that is said.
ENDED_MS = 2 * DAY_MS
ENDED_DAILY_MS = 7 * DAY_MS
#: What a clock or a market that is not the one it should be causes in its rows.
CAUSES = {"time zone slip", "misaligned", "other market"}
CAUSED = {"dislocation", "truncated bar", "suspect bar", "outlier", "premium"}


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
            finding(
                key,
                "damaged",
                "error",
                [file.first_ms, file.last_ms],
                f"{file.path} is missing or is not what was written",
                "every read of it is refused: import its source again into a new lake",
                rows=file.rows,
            )
        )
    order = list(lake.datasets())
    sound = {key: lake.read_key(key) for key in order if key not in broken}
    seen = set()
    for key, table in sound.items():
        for look in series.LOOKS:
            findings += look(key, table)
        if key.table in series.BARS:
            # What several references show is one finding.
            for one in _beside(key, sound):
                if (mark := (one.key, one.kind, one.at_ms)) not in seen:
                    seen.add(mark)
                    findings.append(one)
        if key.table == "funding":
            findings += _funding(key, sound)
        if key.table == "onchain_daily" and (spot := _spot(key, sound)) is not None:
            findings += pairs.days(key, table, spot, sound[spot])
    findings += _ended(sound)
    findings = _without_consequences(findings)
    return sorted(findings, key=lambda found: (order.index(found.key), found.first_ms, found.kind))


def _without_consequences(findings: list[Finding]) -> list[Finding]:
    """Leave out what a wrong clock or market of an asset causes in that span, itself or beside."""
    causes = [one for one in findings if one.kind in CAUSES]

    def caused(found: Finding) -> bool:
        return found.kind in CAUSED and any(
            (
                base_asset(found.symbol) == base_asset(cause.symbol)
                if cause.table in series.BARS
                else found.key == cause.key and cause.kind == "time zone slip"
            )
            and cause.first_ms - DAY_MS <= found.first_ms
            and found.last_ms <= cause.last_ms + DAY_MS
            for cause in causes
        )

    return [found for found in findings if not caused(found)]


def _beside(key: DatasetKey, held: Mapping[DatasetKey, pl.DataFrame]) -> Iterator[Finding]:
    """Bars held against a reference, and against shorter bars of their own."""
    table = held[key]
    if interval_ms(key.interval) >= MINUTE_MS:
        for reference in pairs.references_of(key, list(held)):
            other = coarser(reference.table, held[reference], reference.interval, key.interval)
            for look in (pairs.wicks, pairs.clocks, pairs.levels):
                yield from look(key, table, reference, other)
        others = [
            one
            for other, one in held.items()
            if other.table in series.BARS and other.interval == key.interval and other != key
        ]
        yield from pairs.spikes(key, table, others)
    for finer in held:
        same = (finer.table, finer.venue, finer.symbol) == (key.table, key.venue, key.symbol)
        step, other_step = interval_ms(key.interval), interval_ms(finer.interval)
        if same and other_step < step and step % other_step == 0:
            made = coarser(finer.table, held[finer], finer.interval, key.interval)
            yield from pairs.parts(key, table, finer, made)


def _funding(key: DatasetKey, held: Mapping[DatasetKey, pl.DataFrame]) -> Iterator[Finding]:
    funding = held[key]
    yield from settlements.grid(key, funding)
    yield from settlements.rates(key, funding)
    yield from settlements.own_premium(key, funding)
    bars = DatasetKey("perp_bars", key.venue, key.symbol, "1h")
    if bars in held:
        yield from settlements.prices(key, funding, held[bars])
    premium = _premium(key, held)
    if premium is not None:
        yield from settlements.against_premium(key, funding, premium)


def _spot(key: DatasetKey, held: Mapping[DatasetKey, pl.DataFrame]) -> DatasetKey | None:
    """Hourly spot of an asset at the largest venue."""
    return next(
        (
            one
            for one in held
            if (one.table, one.venue, one.interval) == ("spot_bars", SPOT_VENUE, "1h")
            and base_asset(one.symbol) == base_asset(key.symbol)
        ),
        None,
    )


def _premium(
    key: DatasetKey, held: Mapping[DatasetKey, pl.DataFrame]
) -> Mapping[str, np.ndarray] | None:
    """The premium of a market hour by hour: as published, else of its bars over spot."""
    published = DatasetKey("premium_bars", key.venue, key.symbol, "1h")
    if published in held:
        table = held[published]
        return {
            "known_ms": table["known_at"].dt.epoch("ms").to_numpy(),
            "value": table.select(pl.mean_horizontal("open", "high", "low", "close"))
            .to_series()
            .to_numpy(),
        }
    bars = DatasetKey("perp_bars", key.venue, key.symbol, "1h")
    spot = _spot(key, held)
    if bars not in held or spot is None:
        return None
    both = held[bars].join(held[spot], on="ts", suffix=":spot").sort("ts")
    return {
        "known_ms": both["known_at"].dt.epoch("ms").to_numpy(),
        "value": np.log(both["close"].to_numpy() / both["close:spot"].to_numpy()),
    }


def _ended(held: Mapping[DatasetKey, pl.DataFrame]) -> Iterator[Finding]:
    """Feeds that stopped while others went on."""
    live = {key: table for key, table in held.items() if key.table != "events" and table.height}
    if not live:
        return
    newest = max(int(stamps_of(table)[-1]) for table in live.values())
    for key, table in live.items():
        if SPECS[key.table].series == "series":
            for name, release in RELEASES.items():
                rows = table.filter(pl.col("series") == name)
                if rows.height:
                    slack = (release.stale_days + 7) * DAY_MS
                    yield from _stopped(key, rows, newest, slack, f"{name} ")
            continue
        slack = ENDED_DAILY_MS if key.interval == "1d" else ENDED_MS
        yield from _stopped(key, table, newest, slack, "")


def _stopped(
    key: DatasetKey, rows: pl.DataFrame, newest: int, slack: int, what: str
) -> Iterator[Finding]:
    last = int(stamps_of(rows)[-1])
    if newest - last > slack:
        yield finding(
            key,
            "ended",
            "info",
            [last],
            f"{what}ends {stamp(last)}, {(newest - last) / DAY_MS:,.0f} days before the newest "
            "row of the lake",
            "no value after it; fetch or import what is newer",
            rows=0,
        )
