"""ccxt, async and pro, unmodified: REST, streams, and what it makes of each fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from counterpoise.rehearsal.binance_venue import Venue
from tests.rehearsal.pointed import pointed
from tests.rehearsal.steady import SYMBOL, month, ready, venue

ccxt = pytest.importorskip("ccxt")
ETH = "ETH/USDT:USDT"


@asynccontextmanager
async def rest(**given: Any) -> AsyncIterator[tuple[Venue, Any]]:
    import ccxt.async_support as module

    async with asyncio.timeout(20), venue(**given) as binance:
        await ready(binance)
        client = pointed(module.binanceusdm, binance)
        try:
            yield binance, client
        finally:
            await client.close()


@asynccontextmanager
async def pro() -> AsyncIterator[tuple[Venue, Any]]:
    import ccxt.pro as module

    async with asyncio.timeout(20), venue() as binance:
        await ready(binance)
        client = pointed(module.binanceusdm, binance)
        try:
            yield binance, client
        finally:
            await client.close()


def test_rules_prices_and_history() -> None:
    async def run() -> None:
        async with rest(history=month()) as (_, client):
            market = (await client.load_markets())[ETH]
            assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.01)
            assert market["limits"]["cost"]["min"] == 20.0
            book = await client.fetch_order_book(ETH, 5)
            assert (book["bids"][0][0], book["asks"][0][0]) == (2999.99, 3000.01)
            funding = await client.fetch_funding_rate(ETH)
            assert (funding["fundingRate"], funding["markPrice"]) == (0.0001, 3000.1)
            ticker = await client.fetch_ticker(ETH)
            assert (ticker["bid"], ticker["ask"]) == (None, None)
            assert ticker["last"] in (2999.99, 3000.01)
            bars = await client.fetch_ohlcv(ETH, "1h", since=1_704_067_200_000, limit=24)
            assert len(bars) == 24
            assert bars[0][0] == 1_704_067_200_000
            past = await client.fetch_funding_rate_history(ETH, since=1_704_067_200_000, limit=9)
            assert len(past) == 9
            tiers = (await client.fetch_leverage_tiers([ETH]))[ETH]
            assert tiers[0]["maintenanceMarginRate"] == 0.004

    asyncio.run(run())


def test_an_order_of_each_kind() -> None:
    async def run() -> None:
        async with rest() as (binance, client):
            assert (await client.fetch_balance())["USDT"]["free"] == 10_000.0
            assert (await client.set_leverage(5, ETH))["leverage"] == 5
            maker = await client.create_order(
                ETH, "limit", "sell", 0.5, 3100, {"timeInForce": "GTX", "clientOrderId": "a-1"}
            )
            assert (maker["status"], maker["clientOrderId"]) == ("open", "a-1")
            assert (await client.fetch_order(maker["id"], ETH))["price"] == 3100.0
            assert [one["id"] for one in await client.fetch_open_orders(ETH)] == [maker["id"]]
            with pytest.raises(ccxt.ExchangeError, match="-4116"):
                await client.create_order(ETH, "limit", "sell", 0.5, 3101, {"clientOrderId": "a-1"})
            changed = await client.edit_order(maker["id"], ETH, "limit", "sell", 0.4, 3110)
            assert (changed["amount"], changed["price"]) == (0.4, 3110.0)
            assert (await client.cancel_order(maker["id"], ETH))["status"] == "canceled"
            both = [
                {"symbol": ETH, "type": "limit", "side": "sell", "amount": 0.1, "price": price}
                for price in (3100, 3101)
            ]
            ids = [order["id"] for order in await client.create_orders(both)]
            canceled = await client.cancel_orders(ids, ETH)
            assert [order["status"] for order in canceled] == ["canceled", "canceled"]
            taker = await client.create_order(ETH, "market", "sell", 0.5)
            assert (taker["status"], taker["average"], taker["filled"]) == ("closed", 2999.99, 0.5)
            ioc = await client.create_order(
                ETH, "limit", "buy", 0.2, 3000.05, {"timeInForce": "IOC", "reduceOnly": True}
            )
            assert (ioc["status"], ioc["average"]) == ("closed", 3000.01)
            held = (await client.fetch_positions([ETH]))[0]
            assert (held["side"], held["contracts"]) == ("short", 0.3)
            assert held["markPrice"] == 3000.1
            fills = await client.fetch_my_trades(ETH)
            assert [(one["side"], one["amount"]) for one in fills] == [("sell", 0.5), ("buy", 0.2)]
            assert fills[0]["fee"]["cost"] == 0.7499975
            stop = await client.create_order(
                ETH, "STOP_MARKET", "buy", 0.3, None, {"stopPrice": 3300, "reduceOnly": True}
            )
            assert (stop["status"], stop["triggerPrice"], stop["reduceOnly"]) == (
                "open",
                3300.0,
                True,
            )
            trigger = {"trigger": True}
            assert (await client.fetch_order(stop["id"], ETH, trigger))["status"] == "open"
            assert (await client.cancel_order(stop["id"], ETH, trigger))["id"] == stop["id"]
            await client.transfer("USDT", 100, "spot", "linear")
            wallet = binance.exchange.account.wallet
            assert wallet > Decimal(10_090)

    asyncio.run(run())


REFUSALS = {
    "too-many": ("DDoSProtection", 1),
    "banned": ("DDoSProtection", 1),
    "clock": ("InvalidNonce", 1),
    "lost": ("ExchangeError", 1),
    "timeout": ("RequestTimeout", 2),
    "unavailable": ("OperationFailed", 2),
    "cut": ("NetworkError", 2),
}


def test_what_it_makes_of_faults_and_what_became_of_the_orders() -> None:
    async def run() -> None:
        async with rest() as (binance, client):
            await client.load_markets()
            for fault, (error, orders) in REFUSALS.items():
                before = len(binance.exchange.open_orders())
                binance.faults.arm(fault, "/fapi/v1/order", method="POST")
                with pytest.raises(ccxt.BaseError) as caught:
                    await client.create_order(ETH, "limit", "sell", 0.1, 3100)
                assert getattr(ccxt, error) in type(caught.value).__mro__, (fault, caught.value)
                assert len(binance.exchange.open_orders()) - before == orders - 1, fault

    asyncio.run(run())


async def watched(client: Any, times: int) -> Any:
    """The book after so many changes."""
    for _ in range(times):
        book = await client.watch_order_book(ETH)
    return book


def test_streams() -> None:
    async def run() -> None:
        async with pro() as (binance, client):
            book = await watched(client, 3)
            assert (book["bids"][0][0], book["asks"][0][0]) == (2999.99, 3000.01)
            assert (await client.watch_mark_price(ETH))["markPrice"] == 3000.1
            quote = (await client.watch_bids_asks([ETH]))[ETH]
            assert (quote["bid"], quote["ask"]) == (2999.99, 3000.01)
            assert (await client.watch_ticker(ETH))["last"] in (2999.99, 3000.01)
            assert (await client.watch_trades(ETH))[0]["price"] in (2999.99, 3000.01)
            client.options["watchPositions"]["fetchPositionsSnapshot"] = False
            orders = asyncio.create_task(client.watch_orders())
            positions = asyncio.create_task(client.watch_positions([ETH]))
            while not binance.streams.heard(binance.listen_keys.key):
                await asyncio.sleep(0.01)
            await client.create_order(ETH, "market", "buy", 0.1)
            assert (await orders)[0]["symbol"] == ETH
            position = (await positions)[0]
            assert (position["side"], position["contracts"]) == ("long", 0.1)

    asyncio.run(run())


def test_a_gap_in_the_book_and_a_cut_connection_are_noticed() -> None:
    async def run() -> None:
        async with pro() as (binance, client):
            await client.watch_order_book(ETH)
            snapshots = binance.calls["GET /fapi/v1/depth"]
            binance.skip_ids()
            with pytest.raises(ccxt.ChecksumError):
                await watched(client, 20)
            await client.watch_order_book(ETH)
            assert binance.calls["GET /fapi/v1/depth"] == snapshots + 1
            binance.abort_connections()
            with pytest.raises(ccxt.NetworkError):
                await watched(client, 20)
            book = await client.watch_order_book(ETH)
            assert book["nonce"] > binance.boards[SYMBOL].last_id - 100

    asyncio.run(run())


def test_an_expired_listen_key_is_silent_in_ccxt() -> None:
    """The reason why a live node keeps a watchdog: no error, and no further event."""

    async def run() -> None:
        async with pro() as (binance, client):
            waiting = asyncio.create_task(client.watch_orders())
            while not binance.streams.heard(binance.listen_keys.key):
                await asyncio.sleep(0.01)
            binance.expire_listen_key()
            await client.create_order(ETH, "market", "buy", 0.1)
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done
            waiting.cancel()

    asyncio.run(run())
