"""Bring every feed a configuration needs up to now, and say which of them are.

A source that fails is told and does not stop the others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from counterpoise.config import Settings
from counterpoise.errors import CounterpoiseError, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS, MACRO
from counterpoise.market.releases import RELEASES
from counterpoise.sources.contract import SOURCES, Request, Source
from counterpoise.sources.fetch import fetch
from counterpoise.sources.fetch_report import FetchReport
from counterpoise.sources.needs import INTERVAL, Feed, feeds
from counterpoise.sources.spool import load_left
from counterpoise.units import DAY_MS, stamp

#: Called with (what is fetched, units done, units in all).
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Freshness:
    """How a feed stands after an update.

    Attributes
    ----------
    feed : Feed
    fresh : bool
    newest_ms : int or None
        When the newest row became known; None where the lake has none.
    rows_new : int
        That this update brought.
    reason : str
        Why it is not fresh, or what is worth knowing; else empty.
    refused : bool
        Something of it was set aside.
    later : bool
        Something of it did not come, be it older than the newest row, and is asked for next time.
    """

    feed: Feed
    fresh: bool
    newest_ms: int | None
    rows_new: int
    reason: str
    refused: bool
    later: bool

    @property
    def whole(self) -> bool:
        """Whether all that was asked for came."""
        return not (self.refused or self.later)


def update(
    settings: Settings,
    first_ms: int,
    now_ms: int,
    progress: Progress | None = None,
    *,
    wanted: Callable[[Feed], bool] = lambda feed: True,
    synthetic: bool = False,
) -> list[Freshness]:
    """Fetch what is newer than the lake's newest row of each feed, one feed after the other.

    What an earlier fetch did not get is asked for again, however old it is.

    Parameters
    ----------
    settings : Settings
    first_ms : int
        Where a feed begins that the lake has nothing of.
    now_ms : int
        The present by this machine's clock; a source that has a clock of its own uses that.
    progress : callable, optional
    wanted : callable, optional
        Which feeds; all of them by default.
    synthetic : bool
        What answers is a rehearsal's venue, and its market is made: it goes into a synthetic lake.

    Raises
    ------
    FixConfig
        A lake that cannot be.
    """
    lake = Lake(settings.lake)
    asked = [feed for feed in feeds(settings, lake) if wanted(feed)]

    def bring(feed: Feed, source: Source) -> FetchReport:
        return _fetch(settings, lake, feed, source, first_ms, progress, synthetic=synthetic)

    return list(_updated(settings, lake, asked, now_ms, bring))


def standing(settings: Settings, now_ms: int) -> list[Freshness]:
    """How every feed stands without fetching anything.

    Parameters
    ----------
    settings : Settings
    now_ms : int
        The present by this machine's clock.
    """
    lake = Lake(settings.lake)
    return [_standing(lake, feed, None, "", now_ms) for feed in feeds(settings, lake)]


def _updated(
    settings: Settings,
    lake: Lake,
    asked: list[Feed],
    now_ms: int,
    bring: Callable[[Feed, Source], FetchReport],
) -> Iterator[Freshness]:
    made: dict[str, Source] = {}
    for feed in asked:
        report, reason = None, "" if feed.source else feed.why
        if feed.source:
            try:
                if feed.source not in made:
                    made[feed.source] = SOURCES[feed.source](settings.sources)
                report = bring(feed, made[feed.source])
            except CounterpoiseError as failed:
                reason = str(failed)
        yield _standing(lake, feed, report, reason, now_ms)


def _fetch(
    settings: Settings,
    lake: Lake,
    feed: Feed,
    source: Source,
    first_ms: int,
    progress: Progress | None,
    *,
    synthetic: bool,
) -> FetchReport:
    held = lake.datasets().get(feed.key)
    if held is not None:
        newest = max(file.last_ms for file in held.files)
        # A series of the macro table may be months behind another one.
        first_ms = max(first_ms, newest - 400 * DAY_MS) if feed.key == MACRO else newest
        left = [one.first_ms for one in load_left(lake.path).values() if one.key == feed.key]
        first_ms = min([first_ms, *left])
    told = None
    if progress is not None:
        call = progress

        def told(done: int, total: int, _table: str) -> None:
            call(str(feed.key), done, total)

    interval = feed.key.interval if feed.key.table.endswith("_bars") else INTERVAL
    kinds = feed.kinds or tuple(source.default_kinds)
    request = Request(
        feed.symbol, kinds, interval if interval != "1s" else INTERVAL, first_ms, 1 << 53
    )
    return fetch(
        lake,
        feed.source,
        source,
        request,
        parallel=settings.sources.parallel,
        progress=told,
        synthetic=synthetic,
    )


def _standing(
    lake: Lake, feed: Feed, report: FetchReport | None, reason: str, now_ms: int
) -> Freshness:
    """Compare a feed's newest row with the clock, and gather why it is not newer."""
    if report is not None:
        now_ms = max(report.now_ms, now_ms) if feed.source != "ethereum" else now_ms
        told = [one.reason for one in report.refused] + [one.reason for one in report.later]
        reason = told[0] + (f" (and {len(told) - 1} more)" if len(told) > 1 else "") if told else ""
    rows_new = sum(one.rows_new for one in report.datasets) if report else 0
    refused, later = bool(report and report.refused), bool(report and report.later)
    newest = _newest_ms(lake, feed, now_ms)
    if newest is None:
        reason = reason or "nothing was ever fetched"
        return Freshness(feed, False, None, rows_new, reason, refused, later)
    fresh = feed.key == EVENTS or now_ms - newest <= feed.fresh_ms
    if feed.key == MACRO and (late := _late_series(lake, now_ms)):
        fresh, reason = False, reason or f"no newer release of {', '.join(late)}"
    if not fresh and not reason:
        reason = f"the source has nothing after {stamp(newest)}"
    if fresh and not reason and report is not None and report.missing:
        one = report.missing[0]
        reason = f"the source has nothing from {stamp(one.first_ms)} to {stamp(one.last_ms)}"
    return Freshness(feed, fresh, newest, rows_new, reason, refused, later)


def _newest_ms(lake: Lake, feed: Feed, now_ms: int) -> int | None:
    """When the newest row became known that is known by now."""
    held = lake.datasets().get(feed.key)
    if held is None:
        return None
    if feed.key in (MACRO, EVENTS):
        # Small tables, in which the newest row is not the one that became known last.
        rows = lake.read_key(feed.key)
    else:
        last = max(held.files, key=lambda file: file.last_ms)
        rows = lake.read_span(feed.key, last.last_ms, last.last_ms + 1)
    known = rows["known_at"].dt.epoch("ms").to_numpy()
    by_now = known[known <= now_ms]
    return int((by_now if len(by_now) else known).max())


def _late_series(lake: Lake, now_ms: int) -> list[str]:
    """Series of the macro table whose newest value is too old to speak."""
    table = lake.read_key(MACRO)
    late = []
    for name, release in RELEASES.items():
        known = table.filter(pl.col("series") == name)["known_at"].dt.epoch("ms").to_numpy()
        newest = int(np.max(known)) if len(known) else 0
        if now_ms - newest > release.stale_days * DAY_MS:
            late.append(name)
    return late


def exit_code(found: list[Freshness]) -> int:
    """0 when all is fresh and whole; else the code of refused data, or of what to try again."""
    if any(one.refused for one in found):
        return RejectData.exit_code
    # What no source brings is told, and no reason to try again.
    good = all(one.fresh and not one.later for one in found if one.feed.source)
    return 0 if good else RetryLater.exit_code
