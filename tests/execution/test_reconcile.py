"""Positions are confirmed against the count of fills, all along, or no risk is added."""

from dataclasses import replace

import pytest

from counterpoise.execution.commands import Cancel, CancelStop, Place, PlaceStop, QueryOrder
from counterpoise.execution.events import Fill, Link, Mark, Operator, OrderUpdate, Quote, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.reconcile import WAKE_ACCOUNT, JournalState, Reconciler
from counterpoise.execution.records import AccountSeen, FillBooked
from tests.execution.account import (
    RUN,
    SECOND,
    START_NS,
    Account,
    alarms,
    only,
    sent,
    started,
)

WAIT_NS = RUN.unknown_wait_ms * 1_000_000


def running(short: float = 5.0) -> tuple[Reconciler, Account]:
    account = Account(short=short)
    return started(JournalState(short_eth=short), account)[0], account


def test_a_trade_by_hand_is_named_and_halts_with_the_second_snapshot() -> None:
    reconciler, account = running()
    fill = account.trade("web_xyz", "buy", 1.5, START_NS + SECOND, stranger=True)
    out = Outbox()
    reconciler.handle(fill, out)
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    assert reconciler.halted is None
    assert not reconciler.fresh(START_NS + 5 * SECOND)
    reconciler.handle(account.snapshot(START_NS + 10 * SECOND), out)
    assert "someone else traded" in (reconciler.halted or "")
    assert "web_xyz" in (reconciler.halted or "")


@pytest.mark.parametrize(
    ("client_id", "named"),
    [("autoclose-17000", "a liquidation"), ("adl_autoclose", "auto-deleveraging")],
)
def test_what_the_venue_closes_itself_halts_at_once(client_id: str, named: str) -> None:
    reconciler, account = running()
    order = sent("cp-1-0-0", "sell", 1.0, START_NS)
    reconciler.sent(order)
    out = Outbox()
    reconciler.handle(account.trade(client_id, "buy", 5.0, START_NS + SECOND, stranger=True), out)
    assert named in (reconciler.halted or "")
    assert Cancel("cp-1-0-0") in out.commands


def test_a_liquidation_nobody_told_of_is_guessed_from_the_mark() -> None:
    reconciler, account = running(50.0)
    account.wallet = 30_000.0
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), Outbox())
    price = account.liquidation
    reconciler.handle(Mark(START_NS + 6 * SECOND, price + 1.0, price, 0.0, 0), Outbox())
    account.short = 0.0
    for seconds in (10, 15):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
    assert "a liquidation" in (reconciler.halted or "")


def test_a_long_is_no_hedge() -> None:
    reconciler, account = running(0.0)
    account.short = -1.0
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    assert "long 1.0000 ETH" in (reconciler.halted or "")
    reconciler.handle(Operator(START_NS + 6 * SECOND, "resume"), out)
    reconciler.handle(account.snapshot(START_NS + 7 * SECOND), out)
    assert reconciler.halted is not None


def test_resuming_waits_for_what_is_in_the_air() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-1-0-0", "sell", 1.0, START_NS))
    account.do(Place("cp-1-0-0", "sell", 1.0, 2_000.0, True, False), START_NS)
    account.short = 7.0
    for seconds in (5, 10, 15, 20):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
    assert reconciler.halted is not None
    out = Outbox()
    reconciler.handle(Operator(START_NS + 21 * SECOND, "resume"), out)
    reconciler.handle(account.snapshot(START_NS + 22 * SECOND), out)
    assert reconciler.halted is not None
    assert alarms(out, "resume-waits")
    fill = account.trade("cp-1-0-0", "sell", 0.4, START_NS + 23 * SECOND)
    (end,) = account.do(Cancel("cp-1-0-0"), START_NS + 24 * SECOND)
    reconciler.handle(end, out)
    reconciler.handle(fill, out)
    reconciler.handle(account.snapshot(START_NS + 24 * SECOND), out)
    assert reconciler.halted is not None  # the fill is too young to know which side it is on
    reconciler.handle(account.snapshot(START_NS + 29 * SECOND), out)
    assert reconciler.halted is None
    assert reconciler.counted_eth == account.short == 7.4


def test_an_order_in_the_air_explains_a_difference_for_a_while_only() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-1-0-0", "sell", 3.0, START_NS))
    account.do(Place("cp-1-0-0", "sell", 3.0, 2_000.0, True, False), START_NS)
    account.short = 6.0  # by hand, less than the order could have filled
    halted = []
    for seconds in (5, 10, 15, 20):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
        halted.append(reconciler.halted is not None)
    assert halted == [False, False, False, True]


def test_a_difference_that_is_another_one_each_time_halts_as_well() -> None:
    reconciler, account = running()
    halted = []
    for seconds in (5, 10, 15, 20):
        account.short = round(account.short + 0.1, 9)
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
        halted.append(reconciler.halted is not None)
    assert halted == [False, False, False, True]


def test_a_stop_that_still_rests_explains_nothing() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-stop-1", "buy", 4.0, START_NS, trigger=2_300.0))
    account.do(PlaceStop("cp-stop-1", "buy", 4.0, 2_300.0, True), START_NS)
    account.short = 4.0
    out = Outbox()
    for seconds in (5, 10):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), out)
    assert reconciler.halted is not None
    assert only(CancelStop, out.commands) == []


def test_an_answer_from_before_the_operator_resumed_is_not_adopted() -> None:
    reconciler, account = running()
    account.short = 6.0
    for seconds in (5, 10):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
    before = account.snapshot(START_NS + 11 * SECOND)
    reconciler.handle(Operator(START_NS + 12 * SECOND, "resume"), Outbox())
    reconciler.handle(before, Outbox())
    assert reconciler.halted is not None
    reconciler.handle(account.snapshot(START_NS + 13 * SECOND), Outbox())
    assert reconciler.halted is None


def test_what_a_resting_order_filled_unseen_is_asked_for() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-1-0-0", "sell", 3.0, START_NS))
    account.do(Place("cp-1-0-0", "sell", 3.0, 2_000.0, True, False), START_NS)
    account.trade("cp-1-0-0", "sell", 1.0, START_NS + SECOND)  # and nobody told us
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND, fills=False), out)
    assert QueryOrder("cp-1-0-0") in out.commands
    for event in account.do(QueryOrder("cp-1-0-0"), START_NS + 6 * SECOND):
        reconciler.handle(event, out)
    assert reconciler.counted_eth == 6.0


def test_an_order_thought_to_have_ended_is_cancelled_where_it_rests() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-1-0-0", "sell", 3.0, START_NS))
    account.do(Place("cp-1-0-0", "sell", 3.0, 2_000.0, True, False), START_NS)
    reconciler.handle(OrderUpdate(START_NS + SECOND, "cp-1-0-0", "canceled"), Outbox())
    # Its own acknowledgement, overtaken by its end, does not bring it back.
    reconciler.handle(OrderUpdate(START_NS, "cp-1-0-0", "open"), Outbox())
    assert reconciler.orders["cp-1-0-0"].status == "canceled"
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    assert only(Cancel, out.commands) == []
    reconciler.handle(account.snapshot(START_NS + SECOND + WAIT_NS), out)
    assert only(Cancel, out.commands) == [Cancel("cp-1-0-0")]
    assert alarms(out, "late-order")


def test_a_stop_that_was_given_up_and_rests_after_all_is_left_to_its_keeper() -> None:
    reconciler, account = running()
    reconciler.sent(sent("cp-stop-1", "buy", 4.0, START_NS, trigger=2_300.0))
    for seconds in (15, 30):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), Outbox())
        gone = OrderUpdate(START_NS + (seconds + 1) * SECOND, "cp-stop-1", "missing")
        reconciler.handle(gone, Outbox())
    assert reconciler.orders["cp-stop-1"].status == "missing"
    account.do(PlaceStop("cp-stop-1", "buy", 4.0, 2_300.0, True), START_NS + 32 * SECOND)
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 45 * SECOND), out)
    assert reconciler.orders["cp-stop-1"].status == "open"
    assert only(CancelStop, out.commands) == []


def test_a_late_answer_does_not_undo_a_later_one() -> None:
    reconciler, account = running()
    old = account.snapshot(START_NS + 5 * SECOND)
    reconciler.sent(sent("cp-1-0-0", "sell", 1.0, START_NS))
    account.do(Place("cp-1-0-0", "sell", 1.0, 2_000.0, True, False), START_NS + 6 * SECOND)
    reconciler.handle(account.trade("cp-1-0-0", "sell", 1.0, START_NS + 7 * SECOND), Outbox())
    reconciler.handle(account.snapshot(START_NS + 10 * SECOND), Outbox())
    reconciler.handle(old, Outbox())
    assert reconciler.fresh(START_NS + 10 * SECOND)


def test_fills_that_arrive_between_question_and_answer_leave_the_position_confirmed() -> None:
    for answered_after in range(4):
        reconciler, account = running()
        reconciler.sent(sent("cp-1-0-0", "sell", 3.0, START_NS))
        account.do(Place("cp-1-0-0", "sell", 3.0, 2_000.0, True, False), START_NS)
        now, answer = START_NS + 10 * SECOND, account.snapshot(START_NS + 10 * SECOND)
        for number in range(3):
            fill = account.trade("cp-1-0-0", "sell", 1.0, now + (number + 1) * SECOND // 10)
            reconciler.handle(fill, Outbox())
            if number + 1 == answered_after:
                # The position was read after these fills, and before the others.
                answer = replace(answer, short_eth=account.short)
        reconciler.handle(answer, Outbox())
        assert reconciler.fresh(now)


def test_the_account_is_asked_for_at_intervals_and_when_its_stream_returns() -> None:
    reconciler, _ = running()
    out = Outbox()
    reconciler.handle(Wake(START_NS + 5 * SECOND, WAKE_ACCOUNT), out)
    reconciler.handle(Link(START_NS + 6 * SECOND, "account", up=True), out)
    assert [type(command).__name__ for command in out.commands] == [
        "QueryAccount",
        "WakeAt",
        "QueryAccount",
    ]


def test_a_quote_is_what_a_fill_is_measured_against() -> None:
    reconciler, _ = running()
    reconciler.sent(sent("cp-1-0-0", "sell", 1.0))
    out = Outbox()
    reconciler.handle(Quote(START_NS, 1_999.0, 1.0, 2_001.0, 1.0), out)
    fill = Fill(START_NS, "cp-1-0-0", "t", "sell", 2_001.0, 1.0, 0.4, True)
    reconciler.handle(fill, out)
    reconciler.handle(fill, out)
    (record,) = only(FillBooked, out.records)
    assert (record.mid, record.short_eth, record.fee_usd) == (2_000.0, 6.0, 0.4)


def test_snapshots_without_change_are_written_down_once_a_minute() -> None:
    reconciler, account = running()
    out = Outbox()
    for seconds in range(5, 125, 5):
        reconciler.handle(account.snapshot(START_NS + seconds * SECOND), out)
    assert len(only(AccountSeen, out.records)) == 2
