"""Money: margin, funding, liquidation against the documents' numbers, and what always adds up."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import Settlement, Trade
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.orders import Refused
from counterpoise.rehearsal.reports import AccountUpdate, MarginCall, OrderUpdate
from counterpoise.venues import venues
from tests.rehearsal.conftest import SYMBOL, T0, D, depth, mark, order

RULES = rules_of(venues["binance"][-1])
FREE = replace(RULES, maker_fee=D(0), taker_fee=D(0))


def short_of_the_document(leverage: int, *, isolated: bool = True) -> Exchange:
    """727.934 ETH short at 1800, no fees."""
    venue = Exchange([FREE], wallet=D(2_000_000))
    venue.on(mark("1800"))
    venue.on(depth([("1800", "1000")], [("1800.01", "1000")], fresh=True))
    venue.account.set_leverage(SYMBOL, leverage, T0)
    if isolated:
        venue.account.set_margin_type(SYMBOL, isolated=True)
    venue.place(order(quantity="727.934"), T0)
    return venue


@pytest.mark.parametrize(("leverage", "price"), [(5, "2147.35"), (3, "2385.80")])
def test_liquidation_price_of_the_documents(leverage, price) -> None:
    venue = short_of_the_document(leverage)
    report = venue.account.positions()[0]
    assert report.liquidation.quantize(D("0.01")) == D(price)
    venue.on(mark(str(D(price) - D("0.01")), T0 + 1))
    assert venue.account.positions()[0].amount == D("-727.934")
    venue.drain()
    venue.on(mark(str(D(price) + D("0.01")), T0 + 2))
    assert venue.account.positions()[0].amount == 0
    kinds = [(e.execution, e.order.status) for e in venue.drain() if isinstance(e, OrderUpdate)]
    assert kinds == [("NEW", "NEW"), ("CALCULATED", "FILLED")]
    # The fee (1.25 %) exceeds the maintenance rate: all of the isolated margin is gone, no more.
    assert venue.account.wallet.quantize(D("0.01")) == 2_000_000 - (
        D("727.934") * 1800 / leverage
    ).quantize(D("0.01"))


def test_a_gap_past_bankruptcy_takes_no_more_than_the_isolated_margin() -> None:
    venue = short_of_the_document(5)
    venue.on(mark("3000", T0 + 1))
    assert venue.account.wallet == 2_000_000 - D("727.934") * 360
    assert venue.account.incomes[-1].type == "INSURANCE_CLEAR"


def test_a_cross_short_dies_with_the_whole_wallet_and_its_orders_go_first() -> None:
    venue = short_of_the_document(5, isolated=False)
    venue.place(order("BUY", "1", "1790"), T0)
    dies = venue.account.positions()[0].liquidation
    assert dies > 4000
    venue.on(mark(str(dies.quantize(D("0.01")) - 1), T0 + 1))
    calls = [event for event in venue.drain() if isinstance(event, MarginCall)]
    assert len(calls) == 1
    venue.on(mark(str(dies.quantize(D("0.01")) + 1), T0 + 2))
    updates = [event for event in venue.drain() if isinstance(event, OrderUpdate)]
    assert [update.execution for update in updates] == ["CANCELED", "NEW", "CALCULATED"]
    assert venue.account.wallet == 0


def test_a_margin_call_goes_out_once_until_margin_is_better() -> None:
    venue = short_of_the_document(5)
    for price, calls in (("2145", 1), ("2146", 0), ("1900", 0), ("2145", 1)):
        venue.on(mark(price, T0 + 1))
        assert sum(isinstance(event, MarginCall) for event in venue.drain()) == calls


@pytest.mark.parametrize(("rate", "usd"), [("0.0001", "0.9"), ("-0.0002", "-1.8")])
def test_funding_of_a_positive_rate_pays_the_short(exchange, rate, usd) -> None:
    exchange.place(order(quantity="3"), T0)
    before = exchange.account.wallet
    exchange.drain()
    exchange.on(Settlement(T0 + 5, SYMBOL, D(rate), D(3000)))
    assert exchange.account.wallet - before == D(usd)
    told = exchange.drain()
    assert [(event.reason, event.balance_change) for event in told] == [("FUNDING_FEE", D(usd))]
    assert exchange.account.incomes[-1].type == "FUNDING_FEE"


def test_funding_without_a_position_moves_nothing(exchange) -> None:
    exchange.on(Settlement(T0 + 5, SYMBOL, D("0.01"), D(3000)))
    assert (exchange.account.wallet, exchange.drain()) == (10_000, [])


def test_realised_profit_of_a_flip_is_that_of_the_closed_part(exchange) -> None:
    exchange.place(order(quantity="2"), T0)
    exchange.on(depth([("2900", "9")], [("2901", "9")], T0 + 1, fresh=True))
    exchange.on(mark("2900", T0 + 1))
    trade = exchange.place(order("BUY", "3"), T0 + 2)
    assert exchange.account.trades[-1].realised == 2 * (2999 - 2901)
    position = exchange.account.positions()[0]
    assert (position.amount, position.entry, trade.status) == (1, 2901, "FILLED")


def test_margin_limits_what_can_be_sold(exchange) -> None:
    exchange.account.set_leverage(SYMBOL, 2, T0)
    with pytest.raises(Refused, match="-2019"):
        exchange.place(order(quantity="7"), T0)
    exchange.place(order(quantity="6"), T0)
    balance = exchange.account.balance()
    assert balance.position_margin == 9000
    assert balance.available == balance.cross_wallet + balance.unrealised - 9000
    exchange.place(order("BUY", "6", "2998"), T0)  # closes: needs no margin
    with pytest.raises(Refused, match="-2019"):
        exchange.place(order(quantity="1", price="3002"), T0)


def test_open_orders_hold_margin_until_they_go(exchange) -> None:
    exchange.account.set_leverage(SYMBOL, 1, T0)
    exchange.place(order(quantity="3", price="3010", client_id="a"), T0)
    assert exchange.account.balance().order_margin == 9030
    exchange.cancel(SYMBOL, T0, client_id="a")
    assert exchange.account.balance().available == 10_000


def test_transfers_move_what_is_free_and_no_more(exchange) -> None:
    with pytest.raises(Refused, match="-5013"):
        exchange.account.transfer(D(5_001), T0)
    exchange.account.transfer(D(5_000), T0)
    assert (exchange.account.wallet, exchange.account.outside) == (15_000, 0)
    exchange.place(order(quantity="5"), T0)
    free = exchange.account.balance().withdrawable
    with pytest.raises(Refused, match="-5013"):
        exchange.account.transfer(-free - 1, T0)
    exchange.account.transfer(-free, T0)
    assert exchange.account.balance().withdrawable == 0


def test_leverage_is_refused_where_the_position_is_too_large_or_the_margin_too_small() -> None:
    venue = short_of_the_document(50, isolated=False)
    for leverage, code in ((126, -4028), (0, -4028), (125, -2027)):
        with pytest.raises(Refused, match=str(code)):
            venue.account.set_leverage(SYMBOL, leverage, T0)
    poor = Exchange([FREE], wallet=D(1_000))
    poor.on(mark("3000"))
    poor.on(depth([("3000", "9")], [("3001", "9")], fresh=True))
    poor.place(order(quantity="3"), T0)
    with pytest.raises(Refused, match="-2028"):
        poor.account.set_leverage(SYMBOL, 5, T0)
    assert poor.account.leverage[SYMBOL] == 20


def test_isolated_leverage_goes_up_but_not_down_under_a_position() -> None:
    venue = short_of_the_document(5)
    with pytest.raises(Refused, match="-4161"):
        venue.account.set_leverage(SYMBOL, 4, T0)
    venue.account.set_leverage(SYMBOL, 10, T0)


def test_margin_type_and_position_mode_want_an_empty_account(exchange) -> None:
    account = exchange.account
    with pytest.raises(Refused, match="-4046"):
        account.set_margin_type(SYMBOL, isolated=False)
    with pytest.raises(Refused, match="-4059"):
        account.set_position_mode(hedge=False)
    exchange.place(order(quantity="1", price="3010", client_id="a"), T0)
    with pytest.raises(Refused, match="-4047"):
        account.set_margin_type(SYMBOL, isolated=True)
    with pytest.raises(Refused, match="-4067"):
        account.set_position_mode(hedge=True)
    exchange.cancel(SYMBOL, T0, client_id="a")
    exchange.place(order(quantity="1"), T0)
    with pytest.raises(Refused, match="-4048"):
        account.set_margin_type(SYMBOL, isolated=True)
    with pytest.raises(Refused, match="-4068"):
        account.set_position_mode(hedge=True)


def test_somebody_elses_change_of_the_position_is_told_to_nobody(exchange) -> None:
    exchange.place(order(quantity="2"), T0)
    exchange.drain()
    exchange.account.adjust(SYMBOL, D("0.5"))
    assert (exchange.drain(), exchange.account.positions()[0].amount) == ([], D("-1.5"))
    exchange.account.adjust(SYMBOL, D("2.5"))
    turned = exchange.account.positions()[0]
    assert (turned.amount, turned.entry, exchange.drain()) == (1, 3000, [])


def test_isolated_margin_is_released_with_its_part_of_the_position() -> None:
    venue = short_of_the_document(5)
    position = venue.account.position(SYMBOL)
    held = position.isolated_wallet
    assert held == D("727.934") * 360
    venue.on(Settlement(T0 + 1, SYMBOL, D("-0.001"), D(1800)))
    paid = D("727.934") * D("1.8")
    assert position.isolated_wallet == held - paid
    venue.place(order("BUY", "363.967"), T0 + 2)
    assert position.isolated_wallet == (held - paid) / 2
    venue.place(order("BUY", "363.967"), T0 + 3)
    assert position.isolated_wallet == 0


def test_break_even_repays_the_commission(exchange) -> None:
    exchange.place(order(quantity="4"), T0)
    report = exchange.account.positions()[0]
    commission = exchange.account.trades[0].commission
    assert 4 * (report.entry - report.break_even) == commission > 0
    exchange.place(order("BUY", "4"), T0)
    assert exchange.account.positions()[0].break_even == 0


def test_an_order_below_the_mark_needs_its_loss_too(exchange) -> None:
    exchange.account.set_leverage(SYMBOL, 1, T0)
    margin = exchange.account.balance().available
    quantity = (margin / 2900).quantize(D("0.001"), rounding="ROUND_DOWN")
    with pytest.raises(Refused, match="-2019"):
        exchange.place(order(quantity=str(quantity), price="2900"), T0)
    exchange.place(order("BUY", str(quantity), "2900"), T0)


def test_orders_that_reduce_hold_no_margin(exchange) -> None:
    exchange.place(order(quantity="1"), T0)
    before = exchange.account.balance()
    exchange.place(order("BUY", "1", "2990", reduce_only=True), T0)
    report = exchange.account.positions()[0]
    assert (report.bid_notional, exchange.account.balance()) == (0, before)


def test_two_sides_liquidated_together_pay_fees_out_of_one_equity() -> None:
    venue = Exchange([FREE], wallet=D(1_000))
    venue.on(mark("3000"))
    venue.on(depth([("3000", "9")], [("3000.01", "9")], fresh=True))
    venue.account.set_position_mode(hedge=True)
    venue.place(order("BUY", "3", position_side="LONG"), T0)
    venue.place(order("SELL", "3", position_side="SHORT"), T0)
    venue.on(Settlement(T0 + 1, SYMBOL, D(0), D(3000)))
    venue.account.book("TRANSFER", "", -venue.account.wallet + 50, T0 + 2)
    venue.on(mark("3000", T0 + 3))
    assert venue.account.held() == []
    assert venue.account.wallet == 0
    assert all(income.type != "INSURANCE_CLEAR" for income in venue.account.incomes)


def a_day(seed: int, actions: int) -> Iterator[tuple]:
    """Random actions, dense enough that most days see fills, closes and a liquidation threat."""
    rng = random.Random(seed)
    middle = 300_000
    for _ in range(actions):
        middle += rng.choice([-400, -50, 0, 0, 50, 400])
        near, side = middle + rng.randint(-150, 150), rng.choice(["BUY", "SELL"])
        quote = ("quote", middle, rng.randint(1, 60))
        size = D(rng.choice([20, 500, 1_000, 4_000])) / 1000
        kind = rng.choice(["GTC", "GTC", "GTX", "IOC", "FOK"])
        limit = rng.choice([None, near, near])
        wanted = ("order", side, size, limit, kind, rng.random() < 0.3)
        yield rng.choice(
            [
                quote,
                quote,
                wanted,
                wanted,
                wanted,
                ("mark", middle + rng.choice([0, 0, 0, -12_000, 12_000])),
                ("trade", near, rng.randint(1, 9_000), side),
                ("trade", near, rng.randint(1, 9_000), side),
                ("cancel",) if rng.random() < 0.2 else quote,
                ("fund", rng.randint(-30, 30)),
            ]
        )


def act(venue: Exchange, now_ms: int, action: str, *details) -> None:
    if action == "quote":
        middle, spread = details
        bids = [(str(D(middle - spread - 100 * k) / 100), "1.5") for k in range(4)]
        asks = [(str(D(middle + spread + 100 * k) / 100), "1.5") for k in range(4)]
        venue.on(depth(bids, asks, now_ms, fresh=True))
    elif action == "mark":
        venue.on(mark(str(D(details[0]) / 100), now_ms))
    elif action == "trade":
        venue.on(Trade(now_ms, SYMBOL, 1, *details))
    elif action == "fund":
        venue.on(Settlement(now_ms, SYMBOL, D(details[0]) / 10_000, venue.account.marks[SYMBOL]))
    elif action == "cancel":
        venue.cancel_all(SYMBOL, now_ms)
    else:
        side, quantity, limit, kind, reduces = details
        price = None if limit is None else str(D(limit) / 100)
        how: dict = {"time_in_force": kind if price else "GTC"}
        if venue.account.hedge_mode:
            how["position_side"] = "LONG" if (side == "BUY") != reduces else "SHORT"
        else:
            how["reduce_only"] = reduces
        wanted = order(side, str(quantity), price, **how)
        with suppress(Refused):
            venue.place(wanted, now_ms)


@settings(max_examples=40)
@given(st.integers(0, 2**40), st.booleans(), st.booleans(), st.sampled_from([2, 20, 50]))
def test_the_account_adds_up(seed, isolated, hedge, leverage) -> None:
    venue = Exchange([RULES], wallet=D(20_000))
    venue.on(mark("3000"))
    if isolated:
        venue.account.set_margin_type(SYMBOL, isolated=True)
    if hedge:
        venue.account.set_position_mode(hedge=True)
    venue.account.set_leverage(SYMBOL, leverage, T0)
    act(venue, T0, "quote", 300_000, 1)
    told: list = []
    for step, action in enumerate(a_day(seed, 60), start=1):
        act(venue, T0 + step, *action)
        told += venue.drain()
    account = venue.account
    # The wallet is what was booked.
    assert account.wallet == 20_000 + sum(income.usd for income in account.incomes)
    # A position is what was traded; its P&L is the cash flow and what it is worth.
    price = account.marks[SYMBOL]
    for side in account.sides():
        position = account.position(SYMBOL, side)
        fills = [trade for trade in account.trades if trade.position_side == side]
        signed = [t.quantity if t.side == "BUY" else -t.quantity for t in fills]
        assert position.amount == sum(signed)
        flow = -sum(q * t.price for q, t in zip(signed, fills, strict=True))
        profit = sum(t.realised for t in fills) + position.unrealised(price)
        assert abs(profit - flow - position.amount * price) < D("1e-6")
        assert position.amount * {"LONG": 1, "SHORT": -1, "BOTH": 0}[side] >= 0
        assert position.isolated_wallet == 0 or (isolated and position.amount)
    # Every order is filled as its trades say, and what is open is in the book.
    for entry in venue.all_orders():
        fills = [t.quantity for t in account.trades if t.order_id == entry.order_id]
        assert entry.executed == sum(fills, D(0)) <= entry.quantity
        assert (entry.status == "FILLED") == (entry.executed == entry.quantity)
    book = venue.books[SYMBOL]
    resting = {r.order_id: r.steps for side in ("BUY", "SELL") for r in book.resting[side]}
    assert resting == {o.order_id: int(o.remaining * 1000) for o in venue.open_orders()}
    # An event a change, in order, and the last word on the wallet is the wallet.
    updates = [event for event in told if isinstance(event, AccountUpdate)]
    if updates and not any(i.type == "INSURANCE_CLEAR" for i in account.incomes):
        assert updates[-1].balance.wallet == account.wallet
    assert account.balance().available >= 0
    assert account.wallet >= 0
