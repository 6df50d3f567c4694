"""Conditional orders: what triggers them, and what then happens."""

from dataclasses import replace

import pytest

from counterpoise.rehearsal.feed import Trade
from counterpoise.rehearsal.orders import AlgoRequest, Refused
from counterpoise.rehearsal.reports import AlgoUpdate
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, mark, order, stop


def seen(exchange) -> list[str]:
    return [event.algo.status for event in exchange.drain() if isinstance(event, AlgoUpdate)]


def trade(price: int, ts_ms: int = T0 + 1) -> Trade:
    return Trade(ts_ms, SYMBOL, 1, price * 100, 1, "BUY")


def test_a_stop_on_the_mark_closes_the_short_when_the_mark_gets_there(exchange) -> None:
    exchange.place(order(quantity="2"), T0)
    placed = exchange.algos.place(stop("3050", client_id="guard", quantity=D(2)), T0)
    assert (placed.status, placed.algo_id) == ("NEW", exchange.algos.open()[0].algo_id)
    exchange.on(trade(3100))
    exchange.on(mark("3049.99", T0 + 2))
    assert exchange.algos.query(client_id="guard").status == "NEW"
    exchange.drain()
    exchange.on(mark("3050", T0 + 3))
    assert seen(exchange) == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    ended = exchange.algos.query(client_id="guard")
    assert (ended.trigger_ms, ended.order.status, ended.order.client_id) == (
        T0 + 3,
        "FILLED",
        "guard",
    )
    filled = exchange.query(SYMBOL, client_id="guard")
    assert (filled.type, filled.original_type, filled.stop_price) == ("MARKET", "STOP_MARKET", 3050)
    assert exchange.account.positions()[0].amount == 0


TRIGGERS = [
    ("BUY", "STOP_MARKET", 3050, 3049, 3051),
    ("SELL", "STOP_MARKET", 2950, 2951, 2949),
    ("BUY", "TAKE_PROFIT_MARKET", 2950, 2951, 2949),
    ("SELL", "TAKE_PROFIT_MARKET", 3050, 3049, 3051),
]


@pytest.mark.parametrize(("side", "kind", "trigger", "quiet", "fires"), TRIGGERS)
def test_stops_and_profits_trigger_on_their_side_of_the_last_price(
    exchange, side, kind, trigger, quiet, fires
) -> None:
    request = AlgoRequest(symbol=SYMBOL, side=side, type=kind, quantity=D(1), trigger=D(trigger))
    exchange.on(trade(fires))
    with pytest.raises(Refused, match="-2021"):
        exchange.algos.place(request, T0)
    exchange.on(trade(quiet))
    exchange.algos.place(request, T0)
    exchange.on(mark(str(fires), T0 + 2))
    exchange.on(trade(quiet, T0 + 3))
    assert exchange.algos.open() != []
    exchange.on(mark("3000", T0 + 4))
    exchange.on(trade(fires, T0 + 5))
    assert exchange.algos.open() == []
    assert abs(exchange.account.positions()[0].amount) == 1


def test_a_trailing_stop_follows_and_fires_on_the_way_back(exchange) -> None:
    exchange.place(order(quantity="1"), T0)
    exchange.on(trade(3000))
    request = AlgoRequest(
        symbol=SYMBOL,
        side="BUY",
        type="TRAILING_STOP_MARKET",
        quantity=D(1),
        trigger=D(2980),
        callback_pct=D(1),
        reduce_only=True,
    )
    exchange.algos.place(request, T0)
    for price in (3040, 2990, 2979, 2970, 2999):  # active from 2979 on; 2970 · 1.01 = 2999.7
        exchange.on(trade(price))
    assert exchange.algos.open() != []
    exchange.on(trade(3000))
    assert exchange.algos.open() == []
    assert exchange.account.positions()[0].amount == 0


def test_a_trailing_stop_whose_activation_has_passed_is_refused(exchange) -> None:
    exchange.on(trade(3000))
    request = AlgoRequest(
        symbol=SYMBOL,
        side="SELL",
        type="TRAILING_STOP_MARKET",
        quantity=D(1),
        trigger=D(2990),
        callback_pct=D(1),
    )
    with pytest.raises(Refused, match="-2021"):
        exchange.algos.place(request, T0)


def test_close_position_closes_what_there_is_then(exchange) -> None:
    exchange.place(order(quantity="1"), T0)
    exchange.algos.place(stop("3050", quantity=None, close_position=True), T0)
    exchange.place(order(quantity="2"), T0)
    exchange.on(mark("3060", T0 + 1))
    assert exchange.account.positions()[0].amount == 0


def test_a_stop_with_nothing_to_reduce_is_rejected_when_it_triggers(exchange) -> None:
    exchange.algos.place(stop("3050"), T0)
    exchange.drain()
    exchange.on(mark("3060", T0 + 1))
    assert seen(exchange) == ["TRIGGERING", "REJECTED"]
    assert exchange.algos.all()[0].reason == "ReduceOnly Order is rejected."


def test_a_close_of_no_position_is_rejected_when_it_triggers(exchange) -> None:
    exchange.algos.place(stop("3050", quantity=None, close_position=True), T0)
    exchange.on(mark("3060", T0 + 1))
    assert exchange.algos.all()[0].status == "REJECTED"


def test_a_stop_limit_is_finished_when_its_order_is(exchange) -> None:
    request = AlgoRequest(
        symbol=SYMBOL,
        side="SELL",
        type="STOP",
        quantity=D(1),
        trigger=D(2990),
        price=D(3002),
        client_id="sl",
        working_type="MARK_PRICE",
    )
    exchange.algos.place(request, T0)
    exchange.drain()
    exchange.on(mark("2990", T0 + 1))
    assert seen(exchange) == ["TRIGGERING", "TRIGGERED"]
    exchange.cancel(SYMBOL, T0 + 2, client_id="sl")
    assert seen(exchange) == ["FINISHED"]


def test_cancel_query_and_their_refusals(exchange) -> None:
    first = exchange.algos.place(stop("3050", client_id="a"), T0)
    with pytest.raises(Refused, match="-4116"):
        exchange.algos.place(stop("3060", client_id="a"), T0)
    exchange.algos.cancel(T0, algo_id=first.algo_id)
    assert exchange.algos.query(client_id="a").status == "CANCELED"
    with pytest.raises(Refused, match="-2011"):
        exchange.algos.cancel(T0, client_id="a")
    with pytest.raises(Refused, match="-2013"):
        exchange.algos.query(client_id="b")
    exchange.algos.place(stop("3050"), T0)
    exchange.algos.place(stop("3060"), T0)
    assert len(exchange.algos.cancel_all(SYMBOL, T0)) == 2
    exchange.on(depth([("2999", "5")], [("3000", "5")], T0 + 1))
    exchange.on(mark("3070", T0 + 2))
    assert exchange.all_orders() == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (-1121, {"symbol": "NOSUCH"}),
        (-1116, {"type": "LIMIT"}),
        (-4061, {"position_side": "LONG"}),
        (-1102, {"trigger": None}),
        (-4006, {"trigger": D(0)}),
        (-1111, {"trigger": D("3050.001")}),
        (-1102, {"type": "STOP", "price": None}),
        (-1102, {"quantity": None}),
        (-1106, {"close_position": True}),
        (-4164, {"quantity": D("0.001"), "reduce_only": False}),
        (-2007, {"type": "TRAILING_STOP_MARKET", "callback_pct": D(11)}),
        (-4015, {"client_id": "a b"}),
    ],
)
def test_refused_conditions(exchange, code, changes) -> None:
    with pytest.raises(Refused) as refusal:
        exchange.algos.place(replace(stop("3050"), **changes), T0)
    assert refusal.value.code == code
    assert exchange.algos.all() == []
