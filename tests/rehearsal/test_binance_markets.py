"""The venue on markets of bars and on a recording: funding, stops, and the book a client keeps."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoise.errors import FixConfig
from counterpoise.rehearsal.bar_market import Quoting, from_bars
from counterpoise.rehearsal.binance_venue import Venue
from counterpoise.rehearsal.boards import Board
from counterpoise.rehearsal.clock import MarketClock
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import Depth, Market, MarketEvent
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.history import History
from counterpoise.rehearsal.recorded import Recording, read_recording
from counterpoise.units import HOUR_MS
from counterpoise.venues.contract import contract_at
from tests.rehearsal.desk import Desk, next_data
from tests.rehearsal.steady import KEY, SYMBOL, venue

aiohttp = pytest.importorskip("aiohttp")
FIRST = 1_704_067_200_000
CONTRACT = contract_at("binance", FIRST)
RULES = rules_of(CONTRACT)


def bars(*rows: tuple[float, float, float, float]) -> pl.DataFrame:
    """Hourly bars from open, high, low and close."""
    ts = [FIRST + n * HOUR_MS for n in range(len(rows))]
    frame = pl.DataFrame(rows, schema=["open", "high", "low", "close"], orient="row")
    return frame.with_columns(
        ts=pl.Series(ts).cast(pl.Datetime("ms", "UTC")), volume=pl.lit(3600.0)
    )


def on(market: Market, first_ms: int, speed: float) -> Venue:
    clock = MarketClock(first_ms, time.time(), speed)
    return Venue(Exchange([RULES], Decimal(10_000)), market, clock, CONTRACT, [KEY], History({}))


def test_a_day_of_bars_pays_funding_and_triggers_a_stop() -> None:
    perp = bars(*[(3000.0, 3010.0, 2990.0, 3000.0)] * 9, (3000.0, 3120.0, 2995.0, 3110.0))
    eight = pl.DataFrame(
        {"ts": [FIRST + 8 * HOUR_MS], "funding_rate": [0.0002], "mark_price": [None]}
    )
    funding = eight.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    market = from_bars(RULES, perp, funding=funding, quoting=Quoting(every_s=60))

    async def run() -> list[dict[str, Any]]:
        binance = on(market, FIRST, 20_000.0)
        async with asyncio.timeout(30), binance, aiohttp.ClientSession() as session:
            client = Desk(binance, session)
            key = binance.listen_keys.open()
            async with client.socket(f"/private/ws?listenKey={key}") as socket:
                sold = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "2"}
                status, _, _ = await client.ask("POST", "/fapi/v1/order", KEY, **sold)
                assert status == 200
                stop = {
                    "symbol": SYMBOL,
                    "side": "BUY",
                    "type": "STOP_MARKET",
                    "algoType": "CONDITIONAL",
                    "triggerPrice": "3100",
                    "closePosition": "true",
                    "workingType": "MARK_PRICE",
                    "clientAlgoId": "stop",
                }
                status, _, _ = await client.ask("POST", "/fapi/v1/algoOrder", KEY, **stop)
                assert status == 200
                got = []
                while not got or got[-1]["e"] != "ALGO_UPDATE" or got[-1]["o"]["X"] != "FINISHED":
                    got.append(await next_data(socket))
            assert not binance.ended
            await binance.finished()
            assert binance.ended
            found = {"clientAlgoId": "stop"}
            _, algo, _ = await client.ask("GET", "/fapi/v1/algoOrder", KEY, **found)
            assert (algo["algoStatus"], algo["actualOrderId"] != "") == ("FINISHED", True)
            _, held, _ = await client.ask("GET", "/fapi/v2/positionRisk", KEY)
            assert held[0]["positionAmt"] == "0.000"
        return got

    got = asyncio.run(run())
    (paid,) = [one for one in got if one["e"] == "ACCOUNT_UPDATE" and one["a"]["m"] != "ORDER"]
    assert paid["T"] == FIRST + 8 * HOUR_MS
    assert paid["a"]["m"] == "FUNDING_FEE"
    change = Decimal(paid["a"]["B"][0]["bc"])
    assert change == pytest.approx(Decimal("0.0002") * 2 * 3000, rel=Decimal("0.001"))
    life = [one["o"]["X"] for one in got if one["e"] == "ALGO_UPDATE"]
    assert life == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    closed = [one["o"] for one in got if one["e"] == "ORDER_TRADE_UPDATE"][-1]
    assert (closed["c"], closed["ot"], closed["cp"]) == ("stop", "STOP_MARKET", True)
    assert Decimal(closed["L"]) >= 3100


class Ended(Exception):
    """A market that breaks."""


def test_a_taken_port_is_told() -> None:
    async def run() -> None:
        async with venue() as one:
            with pytest.raises(FixConfig, match=r"port = .*name another"):
                await venue().start(one.port)

    asyncio.run(run())


def test_a_market_that_breaks_is_not_swallowed() -> None:
    class Broken:
        def __iter__(self) -> Iterator[MarketEvent]:
            raise Ended

    async def run() -> None:
        binance = on(Broken(), FIRST, 1.0)
        await binance.start()
        with pytest.raises(Ended):
            await binance.finished()
        with pytest.raises(Ended):
            await binance.stop()

    asyncio.run(run())


@pytest.fixture(scope="module")
def recording(real_data: Path) -> Recording:
    return read_recording(real_data / "l2" / "binance_usdm_ethusdt_20240808_raw_ws.jsonl.gz", RULES)


def book_of(changes: Iterable[Depth]) -> list[dict[int, int]]:
    """Bids and asks after some changes of the book."""
    sides: list[dict[int, int]] = [{}, {}]
    for change in changes:
        for side, rows in zip(sides, (change.bids, change.asks), strict=True):
            side.update(rows)
    return sides


def best(sides: list[dict[int, int]], count: int) -> list[list[tuple[int, int]]]:
    bids, asks = ([(p, s) for p, s in sorted(side.items()) if s] for side in sides)
    return [bids[-count:], asks[:count]]


def test_a_client_keeps_the_recorded_book(recording: Recording) -> None:
    """Buffered changes, a snapshot, and changes after it give the book that was recorded."""
    changes = [event for event in recording if isinstance(event, Depth)]
    board = Board()
    ends = {board.change(change)[1]: count for count, change in enumerate(changes, start=1)}

    async def run() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        binance = on(recording, recording.first_ms, 40.0)
        async with asyncio.timeout(30), binance, aiohttp.ClientSession() as session:
            client = Desk(binance, session)
            async with client.socket("/public/ws/ethusdt@depth@100ms") as socket:
                events = [await next_data(socket) for _ in range(50)]
                asked = {"symbol": SYMBOL, "limit": 1000}
                _, snapshot, _ = await client.ask("GET", "/fapi/v1/depth", **asked)
                return snapshot, events + [await next_data(socket) for _ in range(200)]

    snapshot, events = asyncio.run(run())
    last = snapshot["lastUpdateId"]
    events = [event for event in events if event["u"] >= last]
    assert events[0]["U"] <= last <= events[0]["u"]
    assert all(two["pu"] == one["u"] for one, two in itertools.pairwise(events))

    def level(row: list[str]) -> tuple[int, int]:
        return RULES.ticks(Decimal(row[0])), RULES.steps(Decimal(row[1]))

    kept: list[dict[int, int]] = [{}, {}]
    for side, first, name in zip(kept, ("bids", "asks"), "ba", strict=True):
        side.update(map(level, snapshot[first]))
        for event in events:
            side.update(map(level, event[name]))
    recorded = book_of(changes[: ends[events[-1]["u"]]])
    assert best(kept, 100) == best(recorded, 100)
