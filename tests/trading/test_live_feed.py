"""The feed in its own process: every hour has a row, in time, and the loop never waits for it."""

import asyncio
import math
import multiprocessing
import time
from pathlib import Path

import pytest

from counterpoise.config import load_settings, settings_without_file
from counterpoise.errors import FixConfig
from counterpoise.market.assemble import build_timeline
from counterpoise.trading.hour_desk import Hour
from counterpoise.trading.live_feed import LiveFeed, Past
from counterpoise.units import HOUR_MS
from tests.trading.test_hour_desk import assert_same, history_of, settings_of

FIRST = 3000
SETTLED_MS = 6_000


class HandClock:
    """A market's clock that a test sets; its seconds take no time."""

    speed = 1e9

    def __init__(self, ts_ms: int) -> None:
        self.at_ms = ts_ms

    def now_ms(self) -> int:
        return self.at_ms


@pytest.fixture(scope="module")
def first_ms(generated_lake) -> int:
    return int(build_timeline(generated_lake).ts_ms[FIRST])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def feed(generated_lake, run):
    """A feed whose worker lives through the tests of this room."""
    feed = LiveFeed(settings_of(run / "lake"), past=Past(generated_lake.path, served=False))
    yield feed
    feed.close()
    assert multiprocessing.active_children() == []


def test_the_loop_goes_on_while_an_hour_is_worked_out(feed, first_ms) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async def one() -> Hour:
        heart = asyncio.create_task(beat())
        try:
            return await feed.hour(first_ms, within_s=120.0)
        finally:
            heart.cancel()

    began = time.monotonic()
    hour = asyncio.run(one())
    assert hour.signals.why == ""
    # A process that starts takes a second at the very least; a loop that waits has no beat in it.
    assert beats > 20 * (time.monotonic() - began)


def test_each_hour_of_a_clock_has_its_row_and_one_that_is_over_has_none(
    feed, first_ms, generated_lake, run
) -> None:
    clock = HandClock(first_ms + HOUR_MS + SETTLED_MS)

    async def five() -> list[Hour]:
        found = []
        async for hour in feed.hours(clock):
            found.append(hour)
            if len(found) == 2:
                clock.at_ms += 2 * HOUR_MS
            clock.at_ms += HOUR_MS
            if len(found) == 5:
                return found
        return found

    found = asyncio.run(five())
    ticks = [hour.signals.ts_ns // 1_000_000 for hour in found]
    assert ticks == [first_ms + k * HOUR_MS for k in range(1, 6)]
    rows, _ = history_of(
        generated_lake, settings_of(run / "lake"), first_ms, first_ms + 5 * HOUR_MS
    )
    for k, hour in enumerate(found, 1):
        if k in (3, 4, 5):
            assert "over before its turn" in hour.signals.why
            assert math.isnan(hour.signals.lo)
            assert hour.exposure is None
            # What the guard held to is that of the last hour that was known.
            assert hour.signals.leverage_max == rows[2].leverage_max
        else:
            assert_same(hour.signals, rows[k])


def test_an_hour_without_time_is_unknown_and_the_next_one_is_not(feed, first_ms) -> None:
    async def two() -> tuple[Hour, Hour]:
        early = await feed.hour(first_ms + 9 * HOUR_MS, within_s=1e-4)
        return early, await feed.hour(first_ms + 10 * HOUR_MS)

    early, known = asyncio.run(two())
    assert math.isnan(early.signals.lo)
    assert "no answer in time" in early.signals.why
    assert known.signals.why == ""
    assert math.isfinite(known.signals.lo)


def test_what_has_not_come_is_asked_for_until_the_time_is_up(feed, first_ms) -> None:
    newest = first_ms + 10_000 * HOUR_MS

    async def late() -> Hour:
        return await feed.hour(newest, within_s=1.5, retry_s=0.05)

    began = time.monotonic()
    hour = asyncio.run(late())
    assert 1.0 < time.monotonic() - began < 30.0
    assert hour.late
    assert "is not in the lake" in hour.signals.why


def test_a_worker_that_dies_is_followed_by_another(feed, first_ms) -> None:
    (worker,) = multiprocessing.active_children()

    async def after() -> Hour:
        worker.kill()
        return await feed.hour(first_ms + 11 * HOUR_MS, retry_s=0.01)

    hour = asyncio.run(after())
    assert hour.signals.why == ""
    assert multiprocessing.active_children() != [worker]


def test_what_cannot_trade_is_refused_before_it_does(tmp_path) -> None:
    with pytest.raises(FixConfig, match="one venue to trade on"):
        LiveFeed(settings_of(tmp_path, venue={"names": ("binance", "dydx")}))
    with pytest.raises(FixConfig, match="policy"):
        LiveFeed(settings_of(tmp_path, hedge={"policy": "volatility_tamed"}))


def test_settings_travel_whole(tmp_path) -> None:
    settings = load_settings(
        overrides={
            "lake": tmp_path,
            "exposure": {"holdings": [{"asset": "eth", "amount": 5, "as_of": "2024-01-01T00:00Z"}]},
            "study": {"end": "2025-07-01T00:00:00Z"},
            "risk": {"events": {"macro": {"hedge_floor": 0.9}}},
        }
    )
    assert settings_without_file(settings.model_dump()).model_dump() == settings.model_dump()
