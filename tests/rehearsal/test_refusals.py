"""What the venue refuses, with the codes of the venue it stands for."""

from dataclasses import replace

import pytest

from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.orders import Refused
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, mark, order

REFUSED = [
    (-1121, order(price="3010"), {"symbol": "NOSUCH"}),
    (-4120, order(price="3010"), {"type": "STOP_MARKET"}),
    (-1116, order(price="3010"), {"type": "ICEBERG"}),
    (-4003, order(quantity="0"), {}),
    (-4003, order(quantity="-1"), {}),
    (-1111, order(quantity="0.0001"), {}),
    (-1111, order(price="3010.001"), {}),
    (-4005, order(quantity="10001", price="3010"), {}),
    (-4005, order(quantity="2001"), {}),
    (-1102, order(price="3010"), {"price": None}),
    (-1102, order(price="3010", time_in_force="GTD"), {}),
    (-4001, order(price="0"), {}),
    (-4002, order(price="400000"), {}),
    (-4016, order("BUY", price="3150.01"), {}),
    (-4024, order(price="2849.99"), {}),
    (-4164, order(quantity="0.006", price="3010"), {}),
    (-4164, order(quantity="0.006"), {}),
    (-4015, order(price="3010", client_id="x" * 37), {}),
    (-4015, order(price="3010", client_id="no spaces"), {}),
    (-4061, order(price="3010", position_side="SHORT"), {}),
    (-2022, order(price="3010", reduce_only=True), {}),
    (-5022, order(price="2999", time_in_force="GTX"), {}),
    (-4116, order(price="3010", client_id="taken"), {}),
    (-2019, order(quantity="70", price="3010"), {}),
    (-2027, order(quantity="100", price="3010"), {}),
]


@pytest.mark.parametrize(("code", "request_", "changes"), REFUSED)
def test_a_refused_order_leaves_nothing_behind(exchange, code, request_, changes) -> None:
    if code == -2027:
        exchange.account.set_leverage(SYMBOL, 125, T0)
    exchange.place(order(price="3020", client_id="taken"), T0)
    before = (exchange.open_orders(), exchange.account.balance(), exchange.all_orders())
    exchange.drain()
    with pytest.raises(Refused) as refusal:
        exchange.place(replace(request_, **changes), T0)
    assert refusal.value.code == code
    assert before == (exchange.open_orders(), exchange.account.balance(), exchange.all_orders())
    assert exchange.drain() == []


def test_a_price_between_ticks(rules) -> None:
    coarse = Exchange([replace(rules, tick=D("0.05"))])
    coarse.on(mark("3000"))
    with pytest.raises(Refused, match="-4014"):
        coarse.place(order(price="3000.03"), T0)


def test_a_market_order_without_a_counterparty_in_the_band(rules) -> None:
    venue = Exchange([rules])
    for event in (mark("3000"), depth([("2800", "5")], [("3000", "5")], fresh=True)):
        with pytest.raises(Refused, match="-4131"):
            venue.place(order(), T0)
        venue.on(event)
    with pytest.raises(Refused, match="-4131"):
        venue.place(order(), T0)


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_the_band_of_a_market_order_ends_inside_five_percent(rules, side) -> None:
    venue = Exchange([rules])
    venue.on(mark("3000.001"))
    venue.on(depth([("2850.00", "1")], [("3150.01", "1")], fresh=True))
    with pytest.raises(Refused, match="-4131"):
        venue.place(order(side), T0)
    venue.on(depth([("2850.01", "1")], [("3150.00", "1")], T0 + 1, fresh=True))
    assert venue.place(order(side), T0 + 1).status == "FILLED"


def test_the_client_id_of_an_order_that_ended_may_be_used_again(exchange) -> None:
    exchange.place(order(price="3010", client_id="again"), T0)
    exchange.cancel(SYMBOL, T0, client_id="again")
    second = exchange.place(order(price="3011", client_id="again"), T0)
    assert exchange.query(SYMBOL, client_id="again").order_id == second.order_id


def test_too_many_orders(rules) -> None:
    venue = Exchange([replace(rules, max_orders=1)])
    venue.on(mark("3000"))
    venue.place(order(price="3010"), T0)
    with pytest.raises(Refused, match="-2025"):
        venue.place(order(price="3010"), T0)


def test_a_query_for_nothing(exchange) -> None:
    for ask in ({"order_id": 5}, {"client_id": "none"}):
        with pytest.raises(Refused, match="-2013"):
            exchange.query(SYMBOL, **ask)
        with pytest.raises(Refused, match="-2011"):
            exchange.cancel(SYMBOL, T0, **ask)
        with pytest.raises(Refused, match="-2013"):
            exchange.modify(SYMBOL, D(1), D(3010), T0, **ask)


def test_hedge_mode_keeps_two_positions(exchange) -> None:
    exchange.account.set_position_mode(hedge=True)
    with pytest.raises(Refused, match="-4061"):
        exchange.place(order(), T0)
    with pytest.raises(Refused, match="-1106"):
        exchange.place(order(position_side="SHORT", reduce_only=True), T0)
    with pytest.raises(Refused, match="-2022"):
        exchange.place(order("BUY", position_side="SHORT"), T0)
    exchange.place(order(quantity="2", position_side="SHORT"), T0)
    exchange.place(order("BUY", "1", position_side="LONG"), T0)
    exchange.place(order("BUY", "0.5", position_side="SHORT"), T0)
    held = {p.position_side: p.amount for p in exchange.account.positions()}
    assert held == {"LONG": 1, "SHORT": D("-1.5")}
