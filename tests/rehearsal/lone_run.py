"""The live run as a process of its own, against a stage that somebody else holds; to be killed.

Everything is the real thing but the bar clock, whose rows swing between ratios every few minutes,
so that there is always something to trade. What it needs it finds in its environment.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from counterpoise.config import Settings, settings_without_file
from counterpoise.credentials import Credentials, Secret
from counterpoise.execution.events import Exposure, Signals
from counterpoise.rehearsal.clock import MarketClock
from counterpoise.trading import run as running
from counterpoise.trading.binance_rest import Endpoints
from counterpoise.trading.hour_desk import Hour
from counterpoise.trading.node import Wires
from counterpoise.units import NS_PER_MS

#: Where the environment has it.
GIVEN = "LONE_RUN"
EXPOSURE_ETH = 20.0
#: Market time between two rows.
ROW_MS = 300_000
RATIOS = (0.8, 0.3, 1.0, 0.0, 0.5, 0.9, 0.1)


def ratio_at(ts_ms: int) -> float:
    """Hedge ratio that is wanted from a moment on."""
    return RATIOS[ts_ms // ROW_MS % len(RATIOS)]


def settings_of(state: Path) -> Settings:
    """Settings of the run."""
    return settings_without_file(
        {
            "lake": state / "lake",
            "run": {"state": state},
            "exposure": {"eth": EXPOSURE_ETH},
            "capital": {"leverage": 3.0, "leverage_max": 5.0},
            "twap": {"horizon_min_s": 60, "horizon_max_s": 120, "slice_s": 10},
            "protection": {"transfers": "automatic", "transfer_cooldown_s": 60},
        }
    )


class Swings:
    """Rows of a bar clock that never waits for a worker."""

    def __init__(self, settings: Settings, *, past: object = None) -> None:
        self.settings = settings

    async def hour(self, ts_ms: int, *_: float) -> Hour:
        ratio, unknown = ratio_at(ts_ms), math.nan
        row = Signals(
            ts_ms * NS_PER_MS,
            ts_ms // ROW_MS,
            *(ratio,) * 4,
            urgency=0.5,
            target=ratio,
            spot=unknown,
            perp=unknown if ts_ms % 2 else 2_000.0,
            sigma_day=0.04,
            volume_day_eth=2_000_000.0,
            leverage=3.0,
            leverage_max=5.0,
            event_floor=0.0,
            event_class=unknown,
            quiet=False,
            funding_cost=0.0,
        )
        return Hour(row, Exposure(ts_ms * NS_PER_MS, EXPOSURE_ETH), False, (), {})

    async def hours(self, clock: "StageClock") -> AsyncIterator[Hour]:
        while True:
            now_ms = clock.now_ms()
            yield await self.hour(now_ms // ROW_MS * ROW_MS)
            left_ms = ROW_MS - clock.now_ms() % ROW_MS
            await asyncio.sleep((left_ms + 1) / 1000.0 / clock.speed)

    def close(self) -> None:
        """Nothing to end."""


class StageClock:
    """The stage's clock as the run reads it."""

    def __init__(self, origin_ms: int, begun_s: float, speed: float) -> None:
        self._clock = MarketClock(origin_ms, begun_s, speed)

    @property
    def speed(self) -> float:
        return self._clock.speed

    def now_ms(self) -> int:
        return max(self._clock.market_ms(time.time()), self._clock.origin_market_ms)

    def wall_ns(self, market_ns: int) -> int:
        return round(self._clock.wall_s(market_ns // NS_PER_MS) * 1e9)


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def main() -> None:
    given = json.loads(os.environ[GIVEN])
    http, stream = given["http"], given["stream"]
    where = running.Where(
        Endpoints(http, http, stream),
        Wires(False, http, stream, f"{stream}/ws-fapi/v1"),
        StageClock(given["origin_ms"], given["begun_s"], given["speed"]),
    )
    running.LiveFeed = Swings  # type: ignore[assignment,misc]
    keys = Credentials(Secret(given["key"]), Secret(given["secret"]), "of the stage")
    settings = settings_of(Path(given["state"]))
    await running.run(settings, keys, where, tell=tell, until=asyncio.Event())


if __name__ == "__main__":
    tell("imported")
    asyncio.run(main())
