"""Stops rest below the liquidation price, in step with the position, and never for a moment not."""

import pytest

from counterpoise.execution.commands import (
    Cancel,
    CancelStop,
    Countdown,
    Place,
    PlaceStop,
    QueryAccount,
    WakeAt,
)
from counterpoise.execution.events import Exposure, Link, Mark, OrderUpdate, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.protection import WAKE
from counterpoise.execution.records import OrderSent
from tests.execution.account import SECOND, START_NS, Account, only, sent
from tests.execution.protected import FULL_HEDGE, GOLDEN, Desk, golden, keys


def test_golden_stop() -> None:
    desk = Desk(golden())
    out = desk.start()
    # 2 % below 2,147.35, for the 510.39 ETH of the formula and a twentieth more.
    (stop,) = only(PlaceStop, out.commands)
    assert stop == PlaceStop("cp-stop-1", "buy", pytest.approx(535.9, abs=0.1), 2_104.40, True)
    (order,) = only(OrderSent, out.records)
    assert (order.client_id, order.kind, order.trigger) == ("cp-stop-1", "stop", 2_104.40)
    assert desk.protection.liquidation_stop is not None


def test_a_small_change_moves_nothing_and_a_large_one_replaces_before_it_cancels() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.wallet += 500.0
    assert only(PlaceStop, desk.look().commands) == []
    desk.account.wallet += 30_000.0
    out = desk.look()
    order = [command for command in out.commands if isinstance(command, PlaceStop | CancelStop)]
    assert [type(command) for command in order] == [PlaceStop, CancelStop]
    assert order[1] == CancelStop("cp-stop-1")
    assert desk.resting() == ["cp-stop-2"]


def test_a_replacement_that_is_refused_leaves_its_predecessor() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.wallet += 30_000.0
    desk.now += 5 * SECOND
    out = Outbox()
    desk.protection.handle(desk.account.snapshot(desk.now), out)
    (stop,) = only(PlaceStop, out.commands)
    out = Outbox()
    refusal = OrderUpdate(desk.now, stop.client_id, "rejected", 0.0, -4045, "max stop order limit")
    desk.protection.handle(refusal, out)
    assert keys(out) == ["stop-refused"]
    assert only(CancelStop, out.commands) == []
    assert desk.resting() == ["cp-stop-1"]
    assert only(PlaceStop, desk.look().commands) == []  # not at once again
    assert only(PlaceStop, desk.look(15).commands) != []


def test_a_stop_that_no_longer_rests_is_placed_again() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.orders["cp-stop-1"].status = "canceled"  # by somebody, and nobody told us
    out = desk.look()
    assert keys(out) == ["stop-missing"]
    assert desk.resting() == ["cp-stop-2"]


def test_a_stop_cancelled_at_the_venue_is_missed_at_once() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.orders["cp-stop-1"].status = "expired"
    out = desk.give(OrderUpdate(desk.now + SECOND, "cp-stop-1", "expired"))
    assert keys(out) == ["stop-missing"]
    assert only(QueryAccount, out.commands) != []


def test_a_triggered_stop_is_reported_once_and_the_next_follows() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.mark = 2_105.0
    size = desk.account.orders["cp-stop-1"].size
    fills = [desk.account.trade("cp-stop-1", "buy", part, desk.now) for part in (1.0, size - 1.0)]
    told = [key for fill in fills for key in keys(desk.give(fill))]
    told += keys(desk.give(desk.account.orders["cp-stop-1"].update(desk.now)))
    assert told == ["stop-triggered"]
    desk.look()
    (second,) = desk.resting()
    assert desk.account.orders[second].trigger > 2_200.0


def test_a_stop_that_does_not_come_to_rest_is_replaced_by_another_id() -> None:
    desk = Desk(golden())
    out = Outbox()
    desk.protection.start((), 0, desk.account.snapshot(desk.now), out)  # and nothing arrives
    late = only(PlaceStop, out.commands)[0]
    assert only(PlaceStop, desk.look().commands) == []
    out = desk.look(5)
    assert "stop-refused" in keys(out)
    assert desk.resting() == ["cp-stop-2"]
    # The first one arrives after all: two would buy back too much, so it goes.
    desk.account.do(late, desk.now)
    desk.look()
    assert desk.resting() == ["cp-stop-2"]


def test_an_extra_stop_stays_while_the_one_that_protects_is_out_of_sight() -> None:
    desk = Desk(golden())
    out = Outbox()
    desk.protection.start((), 0, desk.account.snapshot(desk.now), out)
    (late,) = only(OrderSent, out.records)
    desk.look(10)
    desk.ours[late.client_id] = late
    desk.account.do(only(PlaceStop, out.commands)[0], desk.now)
    assert sorted(desk.resting()) == ["cp-stop-1", "cp-stop-2"]
    desk.account.orders["cp-stop-2"].status = "canceled"
    assert only(CancelStop, desk.look(1).commands) == []
    assert desk.resting() == ["cp-stop-1"]


def test_a_predecessor_whose_cancel_was_lost_serves_while_nothing_else_rests() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.wallet += 30_000.0
    desk.look()
    assert desk.resting() == ["cp-stop-2"]
    desk.account.orders["cp-stop-1"].status = "open"  # the cancel never arrived
    desk.account.orders["cp-stop-2"].status = "canceled"
    out = desk.look()
    moves = [c for c in out.commands if isinstance(c, PlaceStop | CancelStop)]
    assert [type(move) for move in moves] == [PlaceStop, CancelStop]
    assert desk.resting() == ["cp-stop-3"]


def test_nothing_rests_where_nothing_can_be_liquidated() -> None:
    desk = Desk(Account(short=0.0))
    assert only(PlaceStop, desk.start().commands) == []
    desk = Desk(golden())
    desk.start()
    desk.account.short = 0.0
    assert only(CancelStop, desk.look().commands) == [CancelStop("cp-stop-1")]
    assert desk.resting() == []


def test_close_to_liquidation_the_stop_rests_between_mark_and_liquidation() -> None:
    account = golden()
    account.mark = 2_140.0
    desk = Desk(account)
    out = desk.start()
    assert "near-liquidation" in keys(out)
    (stop,) = only(PlaceStop, out.commands)
    assert 2_140.0 < stop.trigger < 2_147.35
    account.mark = 2_200.0
    assert only(PlaceStop, desk.look().commands) == []


def test_close_to_liquidation_a_stop_above_it_is_replaced() -> None:
    account = golden()
    account.mark = 2_050.0
    desk = Desk(account)
    desk.start()
    account.wallet -= 40_000.0  # liquidated at 2,092, below the stop at 2,104.40
    desk.look()
    (client_id,) = desk.resting()
    assert 2_050.0 < account.orders[client_id].trigger < account.liquidation < 2_104.40


def test_a_look_from_before_the_stop_came_to_rest_does_not_miss_it() -> None:
    desk = Desk(golden())
    out = Outbox()
    desk.protection.start((), 0, desk.account.snapshot(desk.now), out)
    before = desk.account.snapshot(desk.now + SECOND)
    desk.now += 2 * SECOND
    desk.carry(out)
    assert desk.resting() == ["cp-stop-1"]
    assert desk.give(before).commands == []


def test_a_stop_larger_than_the_short_is_replaced() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.short, desk.account.wallet = 300.0, 300.0 * 1_800.0 / 5.0
    desk.look()
    (client_id,) = desk.resting()
    assert desk.account.orders[client_id].size < 300.0


def test_stops_of_an_earlier_run_stay_and_numbers_go_on() -> None:
    first = Desk(golden())
    first.start()
    second = Desk(first.account)
    earlier = sent("cp-stop-1", "buy", 535.904, trigger=2_104.40)
    second.ours["cp-stop-1"] = earlier
    out = Outbox()
    second.protection.start((earlier,), 4, second.account.snapshot(second.now), out)
    assert only(PlaceStop, second.carry(out).commands) == []
    second.account.wallet += 30_000.0
    second.look()
    assert second.resting() == ["cp-stop-5"]


def test_the_margin_of_an_isolated_position_is_what_the_venue_liquidates_at() -> None:
    account = golden()
    lonely = account.liquidation
    seen = account.snapshot(START_NS)
    account.wallet = 2e6  # of which the position is given no more than before
    rich = Desk(account)
    out = Outbox()
    snapshot = type(seen)(
        **{
            name: getattr(account.snapshot(START_NS), name)
            for name in seen.__slots__
            if name not in ("liquidation", "isolated")
        },
        liquidation=lonely,
        isolated=True,
    )
    rich.protection.start((), 0, snapshot, out)
    (stop,) = only(PlaceStop, out.commands)
    assert stop.trigger == 2_104.40


def test_a_sell_stop_raises_the_short_to_the_exposure_and_follows_the_mark_up_only() -> None:
    desk = Desk(golden(), FULL_HEDGE)
    desk.give(Exposure(START_NS, 900.0))
    desk.start()
    (first,) = desk.resting("sell")
    stop = desk.account.orders[first]
    assert (round(stop.size, 3), stop.trigger) == (172.066, 1_620.0)
    desk.give(Mark(desk.now, 1_900.0, 1_900.0, 0.0, 0))
    desk.account.mark = 1_850.0
    desk.look()
    (second,) = desk.resting("sell")
    assert desk.account.orders[second].trigger == 1_710.0
    desk.account.mark = 1_750.0
    desk.look()
    assert desk.resting("sell") == [second]
    # Its predecessor goes first: twice it would hedge more than there is.
    desk.account.short = 850.0
    desk.account.wallet += 122.066 * 360.0  # the buy stop stays about where it is
    out = desk.look()
    stops = [c for c in out.commands if isinstance(c, CancelStop | PlaceStop)]
    sells = [stop for stop in stops if desk.ours[stop.client_id].side == "sell"]
    assert sells[0] == CancelStop(second)
    assert sells[1] == PlaceStop(sells[1].client_id, "sell", 50.0, 1_710.0, False)


def test_no_sell_stop_while_halted_and_none_beyond_what_margin_carries() -> None:
    desk = Desk(golden(), FULL_HEDGE)
    desk.give(Exposure(START_NS, 900.0))
    desk.start()
    assert desk.resting("sell")
    desk.look(halted=True)
    assert desk.resting("sell") == []
    assert desk.resting("buy")
    desk.account.leverage = 3.5
    desk.look()
    (stop,) = (desk.account.orders[client_id] for client_id in desk.resting("sell"))
    equity = GOLDEN.equity + GOLDEN.short * (1_800.0 - stop.trigger)
    assert (GOLDEN.short + stop.size) * stop.trigger <= 3.5 * equity
    assert stop.size < 172.0


def test_the_countdown_is_refreshed_while_healthy() -> None:
    desk = Desk(golden())
    out = desk.start()
    assert Countdown(60_000) in out.commands
    assert WakeAt(START_NS + 20 * SECOND, WAKE) in out.commands
    desk.look(20)
    assert Countdown(60_000) in desk.give(Wake(desk.now, WAKE)).commands
    desk.give(Link(desk.now, "orders", up=False))
    assert only(Countdown, desk.give(Wake(desk.now, WAKE)).commands) == []
    desk.give(Link(desk.now, "orders", up=True))
    desk.now += 20 * SECOND
    assert only(Countdown, desk.give(Wake(desk.now, WAKE)).commands) == []  # nothing seen for 20 s


def test_after_a_countdown_that_ended_the_account_is_looked_at_and_stops_placed_again() -> None:
    desk = Desk(golden())
    desk.start()
    desk.now += 70 * SECOND
    desk.account.orders["cp-stop-1"].status = "canceled"  # should the venue cancel stops as well
    assert desk.account.countdown_ns is not None
    assert desk.account.countdown_ns < desk.now
    out = desk.look(0)
    assert desk.resting() == ["cp-stop-2"]
    out = desk.give(Wake(desk.now, WAKE))
    assert only(QueryAccount, out.commands) != []
    assert Countdown(60_000) in out.commands


def test_no_countdown_while_it_would_cancel_a_strangers_order() -> None:
    desk = Desk(golden())
    desk.start()
    desk.account.do(Place("web_abc", "buy", 1.0, 1_500.0, True, False), desk.now)
    out = desk.look()
    assert Countdown(0) in out.commands
    assert keys(out) == ["no-countdown"]
    assert keys(desk.look()) == []
    # Told again and again: once may be lost, and an earlier run may have begun one.
    assert only(Countdown, desk.give(Wake(desk.now, WAKE)).commands) == [Countdown(0)]
    desk.account.do(Cancel("web_abc"), desk.now)
    desk.look()
    assert Countdown(60_000) in desk.give(Wake(desk.now, WAKE)).commands
    out = Outbox()
    desk.protection.end(out)
    assert out.commands == [Countdown(0)]


def test_a_countdown_of_an_earlier_run_is_ended_where_strangers_rest() -> None:
    desk = Desk(golden())
    desk.account.do(Place("web_abc", "buy", 1.0, 1_500.0, True, False), desk.now)
    assert only(Countdown, desk.start().commands)[-1] == Countdown(0)
    assert desk.account.countdown_ns is None


def test_of_two_stops_of_an_earlier_run_the_newer_one_stays() -> None:
    # It died between a replacement and its predecessor's cancel, which may still be on its way.
    first = Desk(golden())
    first.start()
    (old,) = first.resting()
    desk = Desk(first.account)
    newer = sent("cp-stop-2", "buy", 535.904, trigger=2_104.40)
    desk.account.do(PlaceStop("cp-stop-2", "buy", 535.904, 2_104.40, True), desk.now)
    out = Outbox()
    snapshot = desk.account.snapshot(desk.now)
    desk.protection.start((first.ours[old], newer), 2, snapshot, out)
    assert only(CancelStop, out.commands) == [CancelStop(old)]
    assert only(PlaceStop, out.commands) == []
