"""Journal and venue agree at a start, or no risk is added."""

from counterpoise.execution.commands import Cancel, Place, QueryOrder
from counterpoise.execution.events import Operator, OrderUpdate, Wake
from counterpoise.execution.order_states import WAKE as WAKE_ORDERS
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.reconcile import JournalState, Reconciler
from counterpoise.execution.records import AccountSeen, FillBooked, Mode, OrderState
from tests.execution.account import (
    PREFIX,
    RUN,
    SECOND,
    START_NS,
    STEP,
    Account,
    alarms,
    booked,
    only,
    sent,
    started,
)

WAIT_NS = RUN.unknown_wait_ms * 1_000_000


def test_a_start_in_agreement_is_ready_and_fresh() -> None:
    reconciler, out = started(JournalState(short_eth=5.0), Account(short=5.0))
    assert reconciler.halted is None
    assert reconciler.ready
    assert reconciler.fresh(START_NS + 14 * SECOND)
    assert not reconciler.fresh(START_NS + 16 * SECOND)
    assert [record.counted_eth for record in only(AccountSeen, out.records)] == [5.0]


def test_a_new_journal_takes_the_position_as_it_is_and_its_old_fills_as_counted() -> None:
    account = Account(short=0.0)
    account.trade("cp-old", "sell", 5.0, START_NS - 60 * SECOND, stranger=True)
    reconciler, out = started(JournalState(), account)
    assert reconciler.counted_eth == 5.0
    assert only(FillBooked, out.records) == []
    assert alarms(out, "adopted")


def test_fills_the_journal_lacks_are_booked_once() -> None:
    account = Account(short=4.0)
    account.do(Place("cp-1-0-0", "sell", 2.0, 2_000.0, True, False), START_NS - 50 * SECOND)
    first = account.trade("cp-1-0-0", "sell", 0.5, START_NS - 40 * SECOND)
    account.trade("cp-1-0-0", "sell", 1.5, START_NS - 30 * SECOND)
    order = sent("cp-1-0-0", "sell", 2.0, START_NS - 50 * SECOND)
    known = JournalState(4.5, (order,), (), (booked(first, 4.5),))
    reconciler, out = started(known, account)
    lacking = only(FillBooked, out.records)
    assert [(fill.size, fill.schedule_id, fill.short_eth) for fill in lacking] == [(1.5, 7, 6.0)]
    assert reconciler.halted is None
    # It does not rest and the journal does not know how it ended.
    assert QueryOrder("cp-1-0-0") in out.commands
    assert not reconciler.ready
    again = Outbox()
    for event in account.do(QueryOrder("cp-1-0-0"), START_NS + SECOND):
        reconciler.handle(event, again)
    assert only(FillBooked, again.records) == []
    assert [state.status for state in only(OrderState, again.records)] == ["filled"]
    assert reconciler.ready
    assert reconciler.counted_eth == 6.0


def test_a_resting_child_is_cancelled_and_counted_before_anything_resumes() -> None:
    account = Account(short=4.0)
    account.do(Place("cp-1-0-0", "sell", 2.0, 2_000.0, True, False), START_NS - 50 * SECOND)
    reconciler, out = started(JournalState(4.0, (sent("cp-1-0-0", "sell", 2.0),)), account)
    assert Cancel("cp-1-0-0") in out.commands
    assert not reconciler.ready
    # It fills a part before the cancel arrives, and the venue tells of the end first.
    fill = account.trade("cp-1-0-0", "sell", 0.3, START_NS + SECOND)
    out = Outbox()
    (end,) = account.do(Cancel("cp-1-0-0"), START_NS + 2 * SECOND)
    reconciler.handle(end, out)
    assert not reconciler.ready
    reconciler.handle(fill, out)
    assert reconciler.ready
    assert reconciler.counted_eth == 4.3


def test_a_cancel_that_was_lost_is_sent_again() -> None:
    account = Account(short=4.0)
    account.do(Place("cp-1-0-0", "sell", 2.0, 2_000.0, True, False), START_NS - 50 * SECOND)
    reconciler, _ = started(JournalState(4.0, (sent("cp-1-0-0", "sell", 2.0),)), account)
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    assert Cancel("cp-1-0-0") in out.commands


def test_strangers_are_left_alone_and_reported_once() -> None:
    account = Account(short=4.0)
    account.do(Place("web_abc", "buy", 2.0, 1_500.0, True, False), START_NS)
    account.do(Place("cp-9-0-0", "sell", 1.0, 2_500.0, True, False), START_NS)
    reconciler, out = started(JournalState(4.0), account)
    assert only(Cancel, out.commands) == []
    assert "cp-9-0-0" in alarms(out, "same-prefix")[0].text
    assert [seen.strangers for seen in only(AccountSeen, out.records)] == [2]
    out = Outbox()
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    account.do(Place("web_def", "buy", 2.0, 1_500.0, True, False), START_NS)
    reconciler.handle(account.snapshot(START_NS + 10 * SECOND), out)
    told = alarms(out, "strangers")
    assert len(told) == 1
    assert "web_def" in told[0].text
    assert "web_abc" not in told[0].text


def test_an_order_is_missing_only_after_the_second_answer_a_wait_apart() -> None:
    reconciler, out = started(
        JournalState(4.0, (sent("cp-1-0-0", "sell", 2.0),)), Account(short=4.0)
    )
    assert only(QueryOrder, out.commands) == [QueryOrder("cp-1-0-0")]
    out = Outbox()
    for seconds in (1, 2, 3):  # the same answer however often it comes
        gone = OrderUpdate(START_NS + seconds * SECOND, "cp-1-0-0", "missing")
        reconciler.handle(gone, out)
    reconciler.handle(Wake(START_NS + 5 * SECOND, WAKE_ORDERS), out)
    assert only(QueryOrder, out.commands) == []
    assert reconciler.orders["cp-1-0-0"].status == "unknown"
    reconciler.handle(Wake(START_NS + WAIT_NS, WAKE_ORDERS), out)
    assert only(QueryOrder, out.commands) == [QueryOrder("cp-1-0-0")]
    reconciler.handle(OrderUpdate(START_NS + WAIT_NS + SECOND, "cp-1-0-0", "missing"), out)
    assert [state.status for state in only(OrderState, out.records)] == ["missing"]
    assert reconciler.ready


def test_an_order_that_arrives_after_it_was_given_up_is_cancelled() -> None:
    reconciler, _ = started(JournalState(4.0, (sent("cp-1-0-0", "sell", 2.0),)), Account(short=4.0))
    out = Outbox()
    reconciler.handle(OrderUpdate(START_NS + SECOND, "cp-1-0-0", "missing"), out)
    reconciler.handle(Wake(START_NS + WAIT_NS, WAKE_ORDERS), out)
    reconciler.handle(OrderUpdate(START_NS + WAIT_NS + SECOND, "cp-1-0-0", "missing"), out)
    out = Outbox()
    reconciler.handle(OrderUpdate(START_NS + 2 * WAIT_NS, "cp-1-0-0", "open"), out)
    assert Cancel("cp-1-0-0") in out.commands
    assert alarms(out, "late-order")
    assert not reconciler.ready


def test_a_difference_at_start_halts_at_once_with_both_numbers() -> None:
    reconciler, out = started(JournalState(short_eth=5.0), Account(short=4.25))
    (mode,) = only(Mode, out.records)
    assert (mode.mode, mode.by) == ("halted", "reconciler")
    (alarm,) = alarms(out, "position-mismatch")
    assert alarm.severity == "critical"
    assert "4.2500" in alarm.text
    assert "5.0000" in alarm.text
    assert "resume" in alarm.next_step
    assert not reconciler.fresh(START_NS)


def test_at_start_an_order_of_unknown_fate_explains_what_it_could_have_filled() -> None:
    account = Account(short=4.0)
    account.do(Place("cp-1-0-0", "sell", 2.0, 2_000.0, True, False), START_NS - 50 * SECOND)
    account.trade("cp-1-0-0", "sell", 2.0, START_NS - 30 * SECOND)
    reconciler, out = Reconciler(PREFIX, STEP, RUN), Outbox()
    order = sent("cp-1-0-0", "sell", 2.0)
    reconciler.start(JournalState(4.0, (order,)), account.snapshot(START_NS, fills=False), out)
    assert reconciler.halted is None
    assert not reconciler.fresh(START_NS)
    for event in account.do(QueryOrder("cp-1-0-0"), START_NS + SECOND):
        reconciler.handle(event, out)
    reconciler.handle(account.snapshot(START_NS + 5 * SECOND), out)
    assert reconciler.halted is None
    assert reconciler.fresh(START_NS + 5 * SECOND)


def test_a_halt_outlives_a_restart_until_an_operator_resumes() -> None:
    account = Account(short=4.0)
    reconciler, _ = started(JournalState(5.0, halted="someone else traded"), account)
    assert reconciler.halted == "someone else traded"
    out = Outbox()
    reconciler.handle(Operator(START_NS + SECOND, "resume"), out)
    assert reconciler.halted is not None  # not before the account was looked at
    reconciler.handle(account.snapshot(START_NS + 2 * SECOND), out)
    assert reconciler.halted is None
    assert reconciler.counted_eth == 4.0
    assert reconciler.fresh(START_NS + 3 * SECOND)
    assert [mode.mode for mode in only(Mode, out.records)] == ["resumed"]
    assert only(AccountSeen, out.records)[-1].counted_eth == 4.0
