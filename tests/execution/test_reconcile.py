"""Journal and venue agree, or no risk is added: at start and all along."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.execution.commands import Alarm, Cancel, CancelStop, Place, QueryOrder
from counterpoise.execution.events import (
    Fill,
    Link,
    Mark,
    Operator,
    OrderUpdate,
    Quote,
    Wake,
)
from counterpoise.execution.order_states import WAKE as WAKE_ORDERS
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.reconcile import WAKE_ACCOUNT, JournalState, Reconciler
from counterpoise.execution.records import AccountSeen, FillBooked, Mode, OrderState
from counterpoise.run_settings import RunSettings
from tests.execution.account import PREFIX, SECOND, START_NS, STEP, Account, booked, sent

RUN = RunSettings()
WAIT_NS = RUN.unknown_wait_ms * 1_000_000


def alarms(out: Outbox, key: str) -> list[Alarm]:
    return [
        command for command in out.commands if isinstance(command, Alarm) and command.key == key
    ]


def only(kind: type, items: list) -> list:
    return [item for item in items if isinstance(item, kind)]


def started(known: JournalState, account: Account) -> tuple[Reconciler, Outbox]:
    reconciler, out = Reconciler(PREFIX, STEP, RUN), Outbox()
    reconciler.start(known, account.snapshot(START_NS), out)
    return reconciler, out


def running(short: float = 5.0) -> tuple[Reconciler, Account]:
    account = Account(short=short)
    return started(JournalState(short_eth=short), account)[0], account


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


#: What happens next, and how many seconds later.
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            ["send", "fill", "cancel", "look", "query", "ask", "lose", "stranger", "one", "all"]
        ),
        st.integers(1, 4_000),
        st.integers(1, 50),
    ),
    max_size=60,
)


class Schedule:
    """A reconciler and an account between which messages are late or lost, in random order."""

    def __init__(self, fills: bool) -> None:
        self.account = Account(short=5.0)
        self.fills = fills
        self.now = START_NS
        self.reconciler, out = started(JournalState(short_eth=5.0), self.account)
        self.late: list = []
        self.sent_ids: list[str] = []
        self.questions = 0
        self.take(out)

    def take(self, out: Outbox) -> None:
        """Carry commands out, answers are late; only our own orders may be touched."""
        for command in out.commands:
            assert not isinstance(command, Place), "the reconciler never sends an order"
            assert not isinstance(command, CancelStop)
            if isinstance(command, Cancel | QueryOrder):
                assert command.client_id in self.sent_ids
            self.late += self.account.do(command, self.now)

    def give(self, event: object) -> None:
        out = Outbox()
        self.reconciler.handle(event, out)  # type: ignore[arg-type]
        self.take(out)

    def deliver(self) -> None:
        """Everything late arrives."""
        while self.late:
            self.give(self.late.pop(0))

    def step(self, what: str, after_ms: int, size: int) -> None:
        self.now += after_ms * 1_000_000
        live = [o for o in self.account.orders.values() if o.status == "open"]
        mine = [o for o in live if o.client_id in self.sent_ids]
        if what == "send":
            client_id = f"cp-1-{len(self.sent_ids)}-0"
            self.sent_ids.append(client_id)
            side = "sell" if size % 2 else "buy"
            self.reconciler.sent(sent(client_id, side, size * STEP, self.now))
            place = Place(client_id, side, size * STEP, 2_000.0, True, False)
            self.late += self.account.do(place, self.now)
        elif what == "fill" and mine:
            order = mine[size % len(mine)]
            part = min(round(order.size - order.filled, 9), max(size // 2, 1) * STEP)
            self.late.append(self.account.trade(order.client_id, order.side, part, self.now))
            self.late.append(order.update(self.now))
        elif what == "cancel" and mine:
            self.late += self.account.do(Cancel(mine[size % len(mine)].client_id), self.now)
        elif what == "look":
            self.give(self.account.snapshot(self.now, fills=self.fills or bool(size % 2)))
        elif what == "ask":
            self.give(Wake(self.now, WAKE_ORDERS))
        elif what == "lose" and self.late:
            self.late.pop(size % len(self.late))
        elif what == "stranger":
            self.account.do(Place(f"web{self.now}", "buy", 1.0, 1_900.0, True, False), self.now)
        elif what == "query":
            self.late.append(self.account.snapshot(self.now, fills=self.fills or bool(size % 2)))
        elif what == "one" and self.late:
            self.give(self.late.pop(size % len(self.late)))
        elif what == "all":
            self.deliver()


@given(HAPPENINGS)
@settings(max_examples=150)
def test_our_own_orders_never_halt_however_late_their_messages(happenings: list) -> None:
    schedule = Schedule(fills=True)
    for happening in happenings:
        schedule.step(*happening)
        assert schedule.reconciler.halted is None


@given(HAPPENINGS)
@settings(max_examples=150)
def test_the_count_meets_the_account_whatever_was_lost(happenings: list) -> None:
    schedule = Schedule(fills=False)
    for happening in happenings:
        schedule.step(*happening)
    for _ in range(4):
        schedule.now += 30 * SECOND
        schedule.give(schedule.account.snapshot(schedule.now))
        schedule.give(Wake(schedule.now, WAKE_ORDERS))
        schedule.deliver()
    assert schedule.reconciler.counted_eth == schedule.account.short
    assert schedule.reconciler.fresh(schedule.now)
    for client_id in schedule.sent_ids:
        known, order = schedule.reconciler.orders[client_id], schedule.account.orders[client_id]
        assert known.booked_eth == pytest.approx(order.filled)
        assert known.status == order.status


@given(HAPPENINGS, st.integers(1, 10_000), st.booleans())
@settings(max_examples=150)
def test_a_mismatch_halts_within_two_snapshots(happenings: list, size: int, buys: bool) -> None:
    schedule = Schedule(fills=True)
    for happening in happenings:
        schedule.step(*happening)
    # Nothing of ours is in flight: all messages arrived, all orders ended.
    for order in list(schedule.account.orders.values()):
        if order.client_id in schedule.sent_ids:
            schedule.late += schedule.account.do(Cancel(order.client_id), schedule.now)
    schedule.deliver()
    for _ in range(3):
        schedule.now += 30 * SECOND
        schedule.give(schedule.account.snapshot(schedule.now))
        schedule.deliver()
    change = -min(size * STEP, schedule.account.short) if buys else size * STEP
    if schedule.reconciler.halted is not None or abs(change) < STEP:
        return
    schedule.account.short = round(schedule.account.short + change, 9)
    for _ in range(2):
        schedule.now += 5 * SECOND
        schedule.give(schedule.account.snapshot(schedule.now))
        assert not schedule.reconciler.fresh(schedule.now)
    assert schedule.reconciler.halted is not None


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
