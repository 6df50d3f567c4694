"""Orders, account and events of the venue on a small book, by hand."""

import pytest

from counterpoise.rehearsal.feed import Trade
from counterpoise.rehearsal.orders import Refused
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, order


def test_a_market_sell_walks_the_bids_and_pays_the_taker_fee(exchange) -> None:
    done = exchange.place(order(quantity="8"), T0)
    assert (done.status, done.quote) == ("FILLED", 5 * 2999 + 3 * 2998)
    fee = done.quote * D("0.0005")
    assert exchange.account.wallet == 10_000 - fee
    position = exchange.account.positions()[0]
    assert (position.amount, position.entry) == (-8, done.average)
    assert position.unrealised == done.quote - 8 * 3000


def test_what_was_taken_is_not_there_twice(exchange) -> None:
    exchange.place(order(quantity="5"), T0)
    assert exchange.place(order(quantity="1"), T0).average == 2998


def test_a_resting_order_fills_after_the_queue_ahead(exchange) -> None:
    rests = exchange.place(order(price="3000", time_in_force="GTX"), T0)
    exchange.on(Trade(T0 + 1, SYMBOL, 1, 300_000, 5_000, "BUY"))
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "NEW"
    exchange.on(Trade(T0 + 2, SYMBOL, 2, 300_000, 400, "BUY"))
    filled = exchange.query(SYMBOL, order_id=rests.order_id)
    assert (filled.status, filled.executed) == ("PARTIALLY_FILLED", D("0.4"))
    exchange.on(depth([("3000", "2")], [("3000", "0")], T0 + 3))
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "FILLED"
    assert exchange.account.trades[-1].price == 3000


def test_cancel_and_query(exchange) -> None:
    rests = exchange.place(order(price="3005", client_id="mine"), T0)
    exchange.cancel(SYMBOL, T0 + 1, client_id="mine")
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "CANCELED"
    assert exchange.open_orders() == []
    with pytest.raises(Refused, match="-2011"):
        exchange.cancel(SYMBOL, T0 + 2, client_id="mine")
