"""A rehearsal: the live run, unmodified, against a local venue that replays a market.

Only two things differ from live: the addresses, and the clock.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from counterpoise.config import Settings
from counterpoise.credentials import Credentials, Secret
from counterpoise.errors import NotEnoughData
from counterpoise.execution.records import Record
from counterpoise.exposure.now import exposure_now
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.rehearsal.at_venue import AtVenue
from counterpoise.rehearsal.stage import Script, Stage
from counterpoise.trading.binance_rest import Endpoints
from counterpoise.trading.live_feed import Past
from counterpoise.trading.node import Wires
from counterpoise.trading.run import Where, run
from counterpoise.units import HOUR_MS, MINUTE_MS, NS_PER_MS, from_ms

#: Seconds between two looks at whether the market is over.
LOOK_S = 0.2
#: Market time that a run goes on after the last hour, so that its schedule ends.
TAIL_MS = 55 * MINUTE_MS


class StageTime:
    """The stage's clock as a run reads it."""

    def __init__(self, stage: Stage, wall_s: Callable[[], float]) -> None:
        self._clock, self._wall_s = stage.clock, wall_s

    @property
    def speed(self) -> float:
        """Market seconds a second of the wall."""
        return self._clock.speed

    def now_ms(self) -> int:
        """The market's time."""
        return self._clock.market_ms(self._wall_s())

    def wall_ns(self, market_ns: int) -> int:
        """Wall time at which the market reaches a moment."""
        at_s = self._clock.wall_s(market_ns // NS_PER_MS)
        return round(at_s * 1e9) if abs(at_s) != float("inf") else round(self._wall_s() * 1e9)


def rehearsed_settings(settings: Settings, stage: Stage, state: Path) -> Settings:
    """Settings of the run: its own state and lake, and the stage's addresses."""
    sources = settings.sources
    binance = sources.binance.model_copy(
        update={
            "futures_url": stage.url_http,
            "spot_url": stage.url_http,
            "archive_url": stage.url_http,
            "weight_per_minute": 100_000.0,
        }
    )
    return settings.model_copy(
        update={
            "lake": state / "lake",
            "run": settings.run.model_copy(update={"mode": "paper", "state": state}),
            "journal": settings.journal.model_copy(update={"url": None}),
            "protection": settings.protection.model_copy(update={"transfers": "automatic"}),
            "sources": sources.model_copy(update={"binance": binance}),
        }
    )


async def rehearse(
    settings: Settings,
    script: Script,
    state: Path,
    *,
    tell: Callable[[str], None],
    watch: Callable[[Sequence[Record]], None] | None = None,
) -> AtVenue:
    """Play a script with the live run in it.

    Parameters
    ----------
    settings : Settings
    script : Script
    state : Path
        Folder of the run: journal, heartbeat, its own lake.
    tell, watch : callable
        As of ``trading.run.run``.

    Returns
    -------
    AtVenue
        The account as the venue has it in the end.
    """
    stage = Stage(script)
    try:
        own = rehearsed_settings(settings, stage, state)
        key = Credentials(Secret(script.key), Secret(script.secret), "made for this rehearsal")
        where = Where(
            Endpoints(stage.url_http, stage.url_http, stage.url_ws),
            Wires(False, stage.url_http, stage.url_ws, f"{stage.url_ws}/ws-fapi/v1"),
            StageTime(stage, time.time),
            Past(script.lake, served=False),
        )
        over = asyncio.Event()
        ending = asyncio.create_task(_end_of(stage, script, over))
        try:
            await run(own, key, where, tell=tell, until=over, begin=stage.begin, watch=watch)
        finally:
            ending.cancel()
            with suppress(asyncio.CancelledError):
                await ending
        return stage.account()
    finally:
        stage.close()


async def _end_of(stage: Stage, script: Script, over: asyncio.Event) -> None:
    """Set the end when the market is over."""
    while stage.clock.market_ms(time.time()) < script.last_ms:
        await asyncio.sleep(LOOK_S)
    over.set()


def script_of(
    settings: Settings,
    lake: Path,
    *,
    exposure_eth: float,
    first_ms: int,
    last_ms: int,
    speed: float,
    recording: Path | None = None,
    every_s: int = 10,
) -> Script:
    """A script over a span of a lake, with USDT enough for a full hedge.

    Raises
    ------
    NotEnoughData
        The lake has no perpetual bars there.
    """
    found = Lake(lake)
    exposure_usd = 2.0 * exposure_eth * _highest(found, settings, first_ms, last_ms)
    return Script(
        lake=lake,
        recording=recording,
        first_ms=first_ms,
        last_ms=last_ms,
        speed=speed,
        wallet_usd=0.0,
        outside_usd=exposure_usd,
        symbol=settings.venue.symbol,
        every_s=every_s,
        half_spread_bps=settings.costs.half_spread_bps,
    )


def exposure_of(settings: Settings, lake: Path, at_ms: int) -> float:
    """Long ETH that is hedged when a script begins: the setting, or the holdings' worth then."""
    if settings.exposure.eth is not None and not settings.exposure.holdings:
        return settings.exposure.eth
    timeline = build_timeline(
        Lake(lake), settings.venue.names, settings.venue.symbol, end=from_ms(at_ms)
    )
    return exposure_now(settings, timeline, len(timeline.ts_ms) - 1).exposure_eth


def _highest(lake: Lake, settings: Settings, first_ms: int, last_ms: int) -> float:
    """Highest price of the perpetual in a span, USD."""
    key = DatasetKey("perp_bars", settings.venue.names[0], settings.venue.symbol, "1h")
    bars = lake.read_span(key, first_ms - HOUR_MS, last_ms)
    highest = bars["high"].max()
    if not isinstance(highest, float):
        raise NotEnoughData(
            f"the lake {lake.path} has no hourly bars of {key.symbol} on {key.venue} at "
            f"{from_ms(first_ms):%Y-%m-%d %H:%M}. Next: import them, or begin at another --from."
        )
    return highest
