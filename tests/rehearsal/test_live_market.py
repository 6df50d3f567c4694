"""A listener bridges a venue's public streams into an exchange, whatever happens to the wires."""

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey
from counterpoise.rehearsal import live_market
from counterpoise.rehearsal.binance_venue import Venue
from counterpoise.rehearsal.clock import MarketClock
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import BookTicker, MarkPrice, Settlement, Trade
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.history import History
from counterpoise.rehearsal.live_market import LiveMarket
from counterpoise.units import from_ms
from counterpoise.venues import contract_at, venues
from tests.rehearsal.conftest import SYMBOL, D, depth, mark, order

RULES = rules_of(venues["binance"][-1])
NOW_MS = round(time.time() * 1000)


class Bridged:
    """A venue whose market the test makes, and an exchange that hears of it."""

    def __init__(self, source: Venue, market: LiveMarket) -> None:
        self.source, self.market = source, market
        self.exchange = Exchange([RULES], D(10_000))
        self.heard: list[object] = []
        self._id = 10

    def take(self, event) -> None:
        self.heard.append(event)
        self.exchange.on(event)

    def show(self, bid: str, ask: str, *, fresh: bool = False) -> None:
        self._id += 1
        change = depth([(bid, "5")], [(ask, "5")], _now(), fresh=fresh)
        self.source.take(change._replace(last_id=self._id))

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not true():
                await asyncio.sleep(0.01)

    def same(self) -> bool:
        return self.exchange.depth(SYMBOL)[1:] == self.source.exchange.depth(SYMBOL)[1:]


def _now() -> int:
    return round(time.time() * 1000)


@asynccontextmanager
async def bridged(history: History | None = None):
    contract = contract_at("binance", NOW_MS)
    clock = MarketClock(NOW_MS, NOW_MS / 1000, 1.0)
    source = Venue(Exchange([RULES]), (), clock, contract, [], history or History({}))
    source.take(mark("3000", _now())._replace(next_funding_ms=_now() + 3_600_000))
    async with source, LiveMarket(RULES, source.url_http, source.url_ws) as market:
        found = Bridged(source, market)
        found.show("2999", "3001", fresh=True)
        yield found


@asynccontextmanager
async def listening(history: History | None = None):
    async with bridged(history) as found:
        found.market.settled_ms = _now()
        found.take(await found.market.opening())
        task = asyncio.create_task(found.market.run(found.take))
        await found.until(lambda: len(found.source.streams.listeners) == 2)
        # The first difference asks for the first snapshot.
        found.show("2999.5", "3001")
        await found.until(lambda: found.market.snapshots and found.same())
        yield found
        assert not task.done() or task.result() is None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_what_happens_there_happens_here() -> None:
    async def body() -> None:
        async with listening() as found:
            found.show("2999.7", "3000.5")
            quote = BookTicker(_now(), SYMBOL, 0, 299_970, 5000, 300_050, 5000)
            found.source.take(quote)
            found.source.take(Trade(_now(), SYMBOL, 77, 300_050, 200, "BUY"))
            told = mark("3000.25", _now())._replace(next_funding_ms=_now() + 3_600_000)
            found.source.take(told)
            await found.until(lambda: {type(one) for one in found.heard} >= {Trade, BookTicker})
            await found.until(lambda: found.exchange.marks[SYMBOL].mark == D("3000.25"))
            assert found.same()
            done = found.exchange.place(order("SELL", "1"), _now())
            assert (done.executed, done.average) == (1, D("2999.7"))

    asyncio.run(body())


def test_a_gap_fetches_the_book_anew(monkeypatch) -> None:
    monkeypatch.setattr(live_market, "SNAPSHOT_S", 0.05)

    async def body() -> None:
        async with listening() as found:
            before = found.market.snapshots
            found.source.exchange.on(depth([("2990", "7")], [("3010", "7")], _now()))
            found.source.skip_ids()  # a change that nobody heard of
            async with asyncio.timeout(15):
                while found.market.snapshots == before or not found.same():
                    found.show("2999.6", "3000.9")
                    await asyncio.sleep(0.06)
            assert found.exchange.books[SYMBOL].bids.size[299_000] == 7000

    asyncio.run(body())


def test_a_lost_connection_is_opened_again_and_nothing_stands_until_then(monkeypatch) -> None:
    monkeypatch.setattr(live_market, "FIRST_WAIT_S", 0.3)
    monkeypatch.setattr(live_market, "SNAPSHOT_S", 0.05)

    async def body() -> None:
        async with listening() as found:
            before = found.market.snapshots
            found.source.abort_connections()
            await found.until(lambda: found.exchange.depth(SYMBOL)[1:] == ([], []))
            await found.until(lambda: len(found.source.streams.listeners) == 2)
            found.show("2998", "3002")
            await found.until(lambda: found.market.snapshots > before and found.same())

    asyncio.run(body())


def test_a_silent_connection_counts_as_lost(monkeypatch) -> None:
    monkeypatch.setattr(live_market, "SILENT_S", 0.3)
    monkeypatch.setattr(live_market, "FIRST_WAIT_S", 0.05)

    async def body() -> None:
        async with listening() as found:
            await found.until(lambda: found.exchange.depth(SYMBOL)[1:] == ([], []))

    asyncio.run(body())


def test_funding_is_settled_once_with_the_last_rate() -> None:
    async def body() -> None:
        async with listening() as found:
            found.exchange.place(order("SELL", "1"), _now())
            due = _now() + 400
            for rate, ts_ms, following in (
                ("0.0003", due - 300, due),
                ("0.0005", due - 100, due),
                ("0.0001", due + 50, due + 3_600_000),
                ("0.0001", due + 60, due + 3_600_000),
            ):
                told = MarkPrice(ts_ms, SYMBOL, D(3000), D(3000), D(rate), following)
                found.source.take(told)
            await found.until(lambda: found.exchange.marks[SYMBOL].ts_ms == due + 60)
            (paid,) = [one for one in found.heard if isinstance(one, Settlement)]
            assert paid == Settlement(due, SYMBOL, D("0.0005"), D(3000))
            assert found.market.settled_ms == due
            assert found.exchange.account.incomes[-1].usd == D("1.5")

    asyncio.run(body())


def test_funding_that_was_missed_is_settled_as_the_venue_has_it() -> None:
    key = DatasetKey("funding", "binance", SYMBOL, "8h")
    hours = [NOW_MS // 3_600_000 * 3_600_000 - k * 8 * 3_600_000 for k in (3, 2, 1)]
    table = pl.DataFrame(
        {
            "ts": [from_ms(ts_ms + 7) for ts_ms in hours],  # the venue stamps it late
            "funding_rate": [0.0001, 0.0002, -0.0003],
            "mark_price": [2900.0, 3000.0, None],
        }
    )

    async def body() -> None:
        async with bridged(History({key: table})) as found:
            found.market.settled_ms = hours[0]
            found.take(await found.market.opening())
            await found.market.settle_missed(found.take)
            await found.market.settle_missed(found.take)
            paid = [one for one in found.heard if isinstance(one, Settlement)]
            assert paid == [
                Settlement(hours[1], SYMBOL, Decimal("0.0002"), D(3000)),
                Settlement(hours[2], SYMBOL, Decimal("-0.0003"), D(3000)),
            ]

    asyncio.run(body())


def test_who_cannot_be_reached_or_is_another_is_said() -> None:
    async def nobody() -> None:
        async with LiveMarket(RULES, "http://127.0.0.1:9", "ws://127.0.0.1:9") as market:
            await market.opening()

    with pytest.raises(RetryLater, match=r"127.0.0.1:9 cannot be reached.*sources.binance"):
        asyncio.run(nobody())

    async def other(path: str) -> None:
        async with (
            bridged() as found,
            LiveMarket(RULES, found.source.url_http + path, "ws://127.0.0.1:9") as lost,
        ):
            await lost.opening()

    with pytest.raises(RetryLater, match="status 404"):
        asyncio.run(other("/elsewhere"))


def test_a_tick_that_changed_is_refused_before_anything_trades() -> None:
    async def body() -> None:
        async with bridged() as found:
            older = replace(RULES, tick=D("0.1"))
            async with LiveMarket(older, found.source.url_http, found.source.url_ws) as market:
                await market.opening()

    with pytest.raises(FixConfig, match=r"tick of ETHUSDT = 0.1: expected 0.01"):
        asyncio.run(body())


def test_a_price_off_the_grid_ends_the_listening() -> None:
    async def body() -> None:
        async with bridged() as found:
            found.market._book._rules = replace(RULES, tick=D("1"))
            task = asyncio.create_task(found.market.run(found.take))
            await found.until(lambda: len(found.source.streams.listeners) == 2)
            found.show("2999.5", "3001")
            async with asyncio.timeout(10):
                await task

    with pytest.raises(RejectData, match="a difference"):
        asyncio.run(body())
