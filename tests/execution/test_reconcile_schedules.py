"""What the reconciler promises, whatever is late, lost or lied about."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.execution.commands import Cancel, CancelStop, Place, QueryOrder
from counterpoise.execution.events import Wake
from counterpoise.execution.order_states import WAKE as WAKE_ORDERS
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.reconcile import JournalState, Reconciler
from counterpoise.execution.records import AccountSeen, FillBooked, Mode, OrderSent, OrderState
from tests.execution.account import (
    PREFIX,
    RUN,
    SECOND,
    START_NS,
    STEP,
    Account,
    only,
    sent,
    started,
)

KINDS = (
    *("send", "fill", "cancel", "look", "query", "ask"),
    *("lose", "stranger", "one", "all", "crash"),
)
#: What happens next, how many milliseconds later, and how much of it.
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "send",
                "fill",
                "cancel",
                "look",
                "query",
                "ask",
                "lose",
                "stranger",
                "one",
                "all",
                "crash",
            ]
        ),
        st.integers(1, 4_000),
        st.integers(1, 50),
    ),
    min_size=15,
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
        self.orders: list[OrderSent] = []
        self.journal: list = []
        self.take(out)

    def take(self, out: Outbox) -> None:
        """Carry commands out, answers are late; only our own orders may be touched."""
        self.journal += out.records
        for command in out.commands:
            assert not isinstance(command, Place), "the reconciler never sends an order"
            assert not isinstance(command, CancelStop)
            if isinstance(command, Cancel | QueryOrder):
                assert command.client_id in self.sent_ids
            self.late += self.account.do(command, self.now)

    def give(self, event: object) -> None:
        if isinstance(event, tuple):
            sent_ns, place = event
            if self.now - sent_ns <= 5 * SECOND:  # recvWindow: later it is refused
                self.late += self.account.do(place, self.now)
            return
        out = Outbox()
        self.reconciler.handle(event, out)  # type: ignore[arg-type]
        self.take(out)

    def restart(self, fills: bool) -> None:
        """Begin again from the journal; what was late is lost."""
        self.late.clear()
        states = {state.client_id: state for state in only(OrderState, self.journal)}
        counted = [5.0]
        for record in self.journal:
            if isinstance(record, FillBooked):
                counted.append(record.short_eth)
            elif isinstance(record, AccountSeen):
                counted.append(record.counted_eth)
        modes = only(Mode, self.journal)
        known = JournalState(
            counted[-1],
            tuple(self.orders),
            tuple(states.values()),
            tuple(only(FillBooked, self.journal)),
            modes[-1].why if modes and modes[-1].mode == "halted" else None,
        )
        self.reconciler, out = Reconciler(PREFIX, STEP, RUN), Outbox()
        snapshot = self.account.snapshot(self.now, fills=self.fills or fills)
        self.reconciler.start(known, snapshot, out)
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
            self.orders.append(sent(client_id, side, size * STEP, self.now))
            self.reconciler.sent(self.orders[-1])
            place = Place(client_id, side, size * STEP, 2_000.0, True, False)
            if size % 3:
                self.late += self.account.do(place, self.now)
            else:
                self.late.append((self.now, place))
        elif what == "fill" and mine:
            order = mine[size % len(mine)]
            part = min(round(order.size - order.filled, 9), max(size // 2, 1) * STEP)
            self.late.append(self.account.trade(order.client_id, order.side, part, self.now))
            self.late.append(order.update(self.now))
        elif what == "cancel" and mine:
            self.late += self.account.do(Cancel(mine[size % len(mine)].client_id), self.now)
        elif what == "look":
            self.give(self.account.snapshot(self.now, fills=self.fills or bool(size % 2)))
        elif what == "crash":
            self.restart(bool(size % 2))
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
@settings(max_examples=100)
def test_our_own_orders_never_halt_however_late_their_messages(happenings: list) -> None:
    schedule = Schedule(fills=True)
    for happening in happenings:
        schedule.step(*happening)
        assert schedule.reconciler.halted is None


@given(HAPPENINGS)
@settings(max_examples=100)
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
        known, order = schedule.reconciler.orders[client_id], schedule.account.orders.get(client_id)
        assert known.status == (order.status if order else "missing")
        assert known.booked_eth == pytest.approx(order.filled if order else 0.0)


@given(HAPPENINGS, st.integers(1, 10_000), st.booleans())
@settings(max_examples=100)
def test_a_mismatch_halts_within_two_snapshots(happenings: list, size: int, buys: bool) -> None:
    schedule = Schedule(fills=True)
    for happening in happenings:
        schedule.step(*happening)
    # Nothing of ours is in flight: all messages arrived, all orders ended.
    schedule.deliver()
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
