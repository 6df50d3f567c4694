"""Orders, account and events of the venue on a small book, by hand."""

import pytest

from counterpoise.rehearsal.feed import Trade
from counterpoise.rehearsal.orders import Refused
from counterpoise.rehearsal.reports import OrderUpdate
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, mark, order, stop


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


def statuses(exchange) -> list[tuple[str, str]]:
    return [(e.execution, e.order.status) for e in exchange.drain() if isinstance(e, OrderUpdate)]


def test_events_tell_a_fill_as_it_was_then(exchange) -> None:
    exchange.drain()
    exchange.place(order(quantity="6"), T0)
    told = exchange.drain()
    assert [type(event).__name__ for event in told] == [
        "OrderUpdate",
        "AccountUpdate",
        "OrderUpdate",
        "AccountUpdate",
        "OrderUpdate",
    ]
    orders = [event.order for event in told if isinstance(event, OrderUpdate)]
    assert [(o.status, o.executed) for o in orders] == [
        ("NEW", 0),
        ("PARTIALLY_FILLED", 5),
        ("FILLED", 6),
    ]
    prices = [e.trade.price for e in told if isinstance(e, OrderUpdate) and e.trade]
    assert prices == [2999, 2998]
    assert exchange.drain() == []


def test_immediate_or_cancel_takes_what_its_limit_allows(exchange) -> None:
    exchange.drain()
    done = exchange.place(order(quantity="8", price="2999", time_in_force="IOC"), T0)
    assert (done.status, done.executed) == ("EXPIRED", 5)
    assert statuses(exchange) == [
        ("NEW", "NEW"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("EXPIRED", "EXPIRED"),
    ]


def test_fill_or_kill_takes_all_or_nothing(exchange) -> None:
    killed = exchange.place(order(quantity="8", price="2999", time_in_force="FOK"), T0)
    assert (killed.status, killed.executed) == ("EXPIRED", 0)
    filled = exchange.place(order(quantity="8", price="2998", time_in_force="FOK"), T0)
    assert (filled.status, filled.executed) == ("FILLED", 8)


def test_a_limit_order_takes_then_rests(exchange) -> None:
    rests = exchange.place(order(quantity="8", price="2999"), T0)
    assert (rests.status, rests.executed) == ("PARTIALLY_FILLED", 5)
    exchange.on(Trade(T0 + 1, SYMBOL, 1, 299_900, 9_000, "BUY"))
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "FILLED"
    makers = [(trade.maker, trade.quantity) for trade in exchange.account.trades]
    assert makers == [(False, 5), (True, 3)]
    assert exchange.account.trades[1].commission == 3 * 2999 * D("0.0002")


def test_a_market_order_larger_than_the_band_expires_with_what_it_got(exchange) -> None:
    exchange.on(depth([("2999", "1"), ("2849", "50")], [("3000", "5")], T0, fresh=True))
    done = exchange.place(order(quantity="3"), T0)
    assert (done.status, done.executed, done.average) == ("EXPIRED", 1, 2999)


def test_reduce_only_never_turns_a_position(exchange) -> None:
    exchange.place(order(quantity="2"), T0)
    done = exchange.place(order("BUY", "3", reduce_only=True), T0)
    assert (done.status, done.executed) == ("EXPIRED", 2)
    assert exchange.account.positions()[0].amount == 0
    assert exchange.books[SYMBOL].asks.left(300_000) == 3_000


def test_a_resting_reduce_only_order_fills_no_more_than_there_is(exchange) -> None:
    exchange.place(order(quantity="1"), T0)
    rests = exchange.place(order("BUY", "3", "2999.5", reduce_only=True), T0)
    exchange.on(Trade(T0 + 1, SYMBOL, 1, 299_900, 9_000, "SELL"))
    ended = exchange.query(SYMBOL, order_id=rests.order_id)
    assert (ended.status, ended.executed) == ("EXPIRED", 1)
    assert exchange.account.positions()[0].amount == 0


def test_resting_reduce_only_orders_go_when_nothing_is_left_to_reduce(exchange) -> None:
    exchange.place(order(quantity="2"), T0)
    rests = exchange.place(order("BUY", "2", "2990", reduce_only=True), T0)
    exchange.place(order("BUY", "2"), T0)
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "EXPIRED"


def test_a_resting_fill_takes_what_others_would_have_reduced(exchange) -> None:
    exchange.place(order(quantity="1"), T0)
    exchange.place(order("BUY", "1", "2999.5"), T0)
    exchange.place(order("BUY", "1", "2990", reduce_only=True, client_id="late"), T0)
    exchange.on(Trade(T0 + 1, SYMBOL, 1, 299_950, 1_000, "SELL"))
    assert exchange.query(SYMBOL, client_id="late").status == "EXPIRED"


def test_our_own_resting_order_is_not_traded_with(exchange) -> None:
    rests = exchange.place(order(price="2999.5"), T0)
    with pytest.raises(Refused, match="-5022"):
        exchange.place(order("BUY", "1", "2999.5", time_in_force="GTX"), T0)
    exchange.place(order("BUY", "1", "2999.7"), T0)
    assert exchange.query(SYMBOL, order_id=rests.order_id).status == "EXPIRED_IN_MATCH"
    assert exchange.account.trades == []


def test_our_own_order_stays_where_another_one_does_not_reach_it(exchange) -> None:
    exchange.place(order(price="3000.5", client_id="mine"), T0)
    exchange.place(order("BUY", "4", "3001"), T0)
    assert exchange.query(SYMBOL, client_id="mine").status == "NEW"
    exchange.place(order("BUY", "4"), T0)
    assert exchange.query(SYMBOL, client_id="mine").status == "EXPIRED_IN_MATCH"


def test_a_changed_order_goes_to_the_end_of_the_queue(exchange) -> None:
    rests = exchange.place(order(price="3000", time_in_force="GTX", client_id="a"), T0)
    exchange.on(Trade(T0 + 1, SYMBOL, 1, 300_000, 5_000, "BUY"))
    changed = exchange.modify(SYMBOL, D(2), D(3000), T0 + 2, client_id="a")
    assert (changed.order_id, changed.quantity, changed.status) == (rests.order_id, 2, "NEW")
    exchange.on(Trade(T0 + 3, SYMBOL, 2, 300_000, 5_000, "BUY"))
    assert exchange.account.trades == []
    with pytest.raises(Refused, match="-5027"):
        exchange.modify(SYMBOL, D(2), D(3000), T0 + 4, client_id="a")
    with pytest.raises(Refused, match="-5022"):
        exchange.modify(SYMBOL, D(2), D(2999), T0 + 4, client_id="a")
    with pytest.raises(Refused, match="-2019"):
        exchange.modify(SYMBOL, D(90), D(3000), T0 + 4, client_id="a")
    assert exchange.query(SYMBOL, client_id="a").quantity == 2


def test_a_countdown_cancels_orders_unless_told_again_and_leaves_stops(exchange) -> None:
    exchange.place(order(price="3010", client_id="a"), T0)
    exchange.algos.place(stop("3100"), T0)
    exchange.countdown(SYMBOL, 1_000, T0)
    exchange.countdown(SYMBOL, 1_000, T0 + 900)
    exchange.advance(T0 + 1_899)
    assert len(exchange.open_orders()) == 1
    exchange.on(mark("3000", T0 + 1_900))
    assert exchange.open_orders() == []
    assert len(exchange.algos.open()) == 1


def test_a_countdown_can_be_ended(exchange) -> None:
    exchange.place(order(price="3010"), T0)
    exchange.countdown(SYMBOL, 1_000, T0)
    exchange.countdown(SYMBOL, 0, T0)
    exchange.advance(T0 + 10_000)
    assert len(exchange.open_orders()) == 1


def test_an_order_good_till_a_date_expires_then(exchange) -> None:
    exchange.place(order(price="3010", time_in_force="GTD", good_till_ms=T0 + 600_000), T0)
    exchange.advance(T0 + 599_999)
    assert len(exchange.open_orders()) == 1
    exchange.advance(T0 + 600_000)
    assert exchange.all_orders()[0].status == "EXPIRED"


def test_depth_is_what_the_replay_displays(exchange) -> None:
    exchange.place(order(quantity="5"), T0)
    last_id, bids, asks = exchange.depth(SYMBOL, 1)
    assert (last_id, bids, asks) == (2, [(299_900, 5_000)], [(300_000, 5_000)])
