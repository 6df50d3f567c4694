"""NautilusTrader's own Binance adapter, unmodified, signs with Ed25519 and trades against it."""

import asyncio
import time
from decimal import Decimal

import pytest

from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.orders import AlgoRequest, OrderRequest
from tests.rehearsal.driven import drive
from tests.rehearsal.key_pairs import PAIRS
from tests.rehearsal.steady import SYMBOL, ready, venue

pytest.importorskip("nautilus_trader")


def test_a_node_connects_reconciles_trades_and_cancels() -> None:
    async def run() -> None:
        private, public = PAIRS["ed25519"]
        async with venue(keys=(ApiKey("test-key", public),)) as binance:
            await ready(binance)
            now = round(time.time() * 1000)
            resting = OrderRequest(
                symbol=SYMBOL,
                side="SELL",
                type="LIMIT",
                quantity=Decimal("0.2"),
                price=Decimal(3150),
                client_id="left-from-before",
            )
            binance.exchange.place(resting, now)
            sold = OrderRequest(symbol=SYMBOL, side="SELL", type="MARKET", quantity=Decimal("1.0"))
            binance.exchange.place(sold, now)
            stop = AlgoRequest(
                symbol=SYMBOL,
                side="BUY",
                type="STOP_MARKET",
                quantity=Decimal("1.0"),
                trigger=Decimal(3300),
                reduce_only=True,
                working_type="MARK_PRICE",
                client_id="stop-from-before",
            )
            binance.exchange.algos.place(stop, now)
            seen = await drive(
                "nautilus_node.py", binance.url_http, key=ApiKey("test-key", private)
            )
            left = [order.client_id for order in binance.exchange.open_orders()]
            stops = [algo.client_id for algo in binance.exchange.algos.open()]
            held = binance.exchange.account.position(SYMBOL).amount

        start = seen["at_start"]
        assert start["orders"]["left-from-before"] == "ACCEPTED"
        assert start["orders"]["stop-from-before"] == "ACCEPTED"
        assert start["position"] == ["-1.0"]
        assert seen["quote"] == ["2999.99", "3000.01"]
        assert seen["quotes"] > 5
        assert seen["funding"] == "0.00010000"
        life: dict[str, list[str]] = {}
        for name, event in seen["events"]:
            life.setdefault(name, []).append(event.removeprefix("Order"))
        sent = ["Initialized", "Submitted"]
        gone = [*sent, "Accepted", "PendingCancel", "Canceled"]
        assert life["maker"] == life["limit"] == life["stop"] == gone
        assert life["taker"] == [*sent, "Accepted", "Filled"]
        assert life["would take"] == [*sent, "Rejected"]
        assert seen["position"] == ["-1.5"]
        assert (left, stops) == (["left-from-before"], ["stop-from-before"])
        assert held == Decimal("-1.5")

    asyncio.run(run())
