"""A small market to trade on."""

from decimal import Decimal

import pytest

from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import Depth, MarkPrice
from counterpoise.rehearsal.filters import SymbolRules, rules_of
from counterpoise.rehearsal.orders import AlgoRequest, OrderRequest
from counterpoise.venues import venues

#: Programs of foreign clients, each run by an interpreter that has the client.
collect_ignore = ["clients"]

SYMBOL = "ETHUSDT"
T0 = 1_700_000_000_000
D = Decimal


def mark(price: str, ts_ms: int = T0) -> MarkPrice:
    return MarkPrice(ts_ms, SYMBOL, D(price), D(price), D("0.0001"), T0 + 8 * 3_600_000)


def levels(*rows: tuple[str, str]) -> tuple[tuple[int, int], ...]:
    """Levels from decimals: price 0.01, size 0.001."""
    return tuple((int(D(price) * 100), int(D(size) * 1000)) for price, size in rows)


def depth(bids, asks, ts_ms: int = T0, *, fresh: bool = False) -> Depth:
    return Depth(ts_ms, SYMBOL, 2, 2, 1, levels(*bids), levels(*asks), fresh)


def order(side="SELL", quantity="1", price=None, **more) -> OrderRequest:
    """A limit order, or a market order without a price."""
    return OrderRequest(
        symbol=SYMBOL,
        side=side,
        type="MARKET" if price is None else "LIMIT",
        quantity=D(quantity),
        price=None if price is None else D(price),
        **more,
    )


def stop(trigger: str, **more) -> AlgoRequest:
    """A reduce-only stop of one ETH above a short, on the mark."""
    wanted = {
        "symbol": SYMBOL,
        "side": "BUY",
        "type": "STOP_MARKET",
        "quantity": D(1),
        "trigger": D(trigger),
        "reduce_only": True,
        "working_type": "MARK_PRICE",
    }
    return AlgoRequest(**(wanted | more))


@pytest.fixture(scope="session")
def rules() -> SymbolRules:
    return rules_of(venues["binance"][-1])


@pytest.fixture
def exchange(rules) -> Exchange:
    """Bids 2999 and 2998, asks 3000 and 3001 with 5 and 10 ETH; mark 3000; 10,000 USDT."""
    venue = Exchange([rules], wallet=D(10_000), outside=D(5_000))
    venue.on(mark("3000"))
    venue.on(depth([("2999", "5"), ("2998", "10")], [("3000", "5"), ("3001", "10")], fresh=True))
    return venue
