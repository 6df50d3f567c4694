"""What the protection promises, whatever is late, refused or taken away."""

from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.execution.commands import (
    Cancel,
    CancelStop,
    Command,
    Countdown,
    Place,
    PlaceStop,
)
from counterpoise.execution.events import OrderUpdate, Snapshot, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.protection import WAKE
from counterpoise.execution.records import OrderSent
from counterpoise.risk.protective_stop import Short
from tests.execution.account import SECOND, TIERS, only
from tests.execution.protected import BUY_ONLY, Desk, golden

KINDS = (
    *("look", "look", "all", "one", "refuse", "trade"),
    *("pay", "move", "take", "stranger", "wake"),
)
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "look",
                "look",
                "all",
                "one",
                "refuse",
                "trade",
                "pay",
                "move",
                "take",
                "stranger",
                "wake",
            ]
        ),
        st.integers(100, 12_000),
        st.integers(1, 1_000),
    ),
    min_size=15,
    max_size=50,
)


class Schedule:
    """A protection whose messages are late or refused, while position and margin change."""

    def __init__(self) -> None:
        self.desk = Desk(golden())
        self.late_commands: list[Command] = []
        self.late_events: list = []
        self.removed = self.strangers = False
        out = Outbox()
        self.desk.protection.start((), 0, self.desk.account.snapshot(self.desk.now), out)
        self.take(out)

    def take(self, out: Outbox) -> None:
        for order in only(OrderSent, out.records):
            self.desk.ours[order.client_id] = order
        for command in out.commands:
            if isinstance(command, Cancel | CancelStop):
                assert command.client_id in self.desk.ours, "a stranger's order"
            if isinstance(command, Countdown) and command.ms:
                assert not self.strangers, "it would cancel a stranger's order"
            if isinstance(command, PlaceStop | CancelStop | Countdown):
                self.late_commands.append(command)

    def give(self, event: object) -> None:
        if isinstance(event, Snapshot):
            self.strangers = len(event.open_orders) > 0
        out = Outbox()
        self.desk.protection.handle(event, out)  # type: ignore[arg-type]
        self.take(out)

    def step(self, what: str, after_ms: int, size: int) -> None:
        desk, account = self.desk, self.desk.account
        desk.now += after_ms * 1_000_000
        self.removed = False
        match what:
            case "look":
                self.give(account.snapshot(desk.now))
            case "all":
                self.deliver()
            case "one" if self.late_commands:
                self.late_events += account.do(self.late_commands.pop(0), desk.now)
            case "refuse" if self.late_commands and isinstance(self.late_commands[0], PlaceStop):
                refused = self.late_commands.pop(0).client_id
                self.late_events.append(OrderUpdate(desk.now, refused, "rejected", 0, -4045, "no"))
            case "trade":
                part = size / 1_000 * 200.0
                side = "sell" if size % 2 or account.short < 210.0 else "buy"
                account.trade("cp-1-0-0", side, round(part, 3), desk.now, stranger=True)
            case "pay":
                account.wallet += (size - 500) * 40.0
                account.wallet = max(account.wallet, 0.12 * account.short * account.entry)
            case "move":
                account.mark = min(account.mark * (0.98 + 0.04 * size / 1_000), 1_950.0)
            case "take":
                for client_id in desk.resting()[:1]:
                    account.orders[client_id].status = "canceled"
                    self.removed = True
            case "wake":
                self.give(Wake(desk.now, WAKE))
            case "stranger":
                place = Place(f"web{desk.now}", "buy", 1.0, 1_500.0, True, False)
                account.do(place, desk.now)
                stop = PlaceStop(f"web-stop{desk.now}", "buy", 1.0, 9_999.0, True)
                account.do(stop, desk.now)

    def deliver(self) -> None:
        while self.late_commands or self.late_events:
            if self.late_commands:
                self.late_events += self.desk.account.do(self.late_commands.pop(0), self.desk.now)
            else:
                self.give(self.late_events.pop(0))

    def settle(self) -> None:
        """Look until nothing is left to do."""
        for _ in range(4):
            self.desk.now += 20 * SECOND
            self.give(self.desk.account.snapshot(self.desk.now))
            self.deliver()


@given(HAPPENINGS)
@settings(max_examples=100)
def test_never_without_a_stop_once_one_was_confirmed(happenings: list) -> None:
    schedule = Schedule()
    desk, confirmed, blind = schedule.desk, False, False
    for happening in happenings:
        schedule.step(*happening)
        if schedule.removed:
            # What is on its way now was sent before anyone could know.
            confirmed, blind = False, True
        elif happening[0] == "look" and not schedule.late_events:
            blind = blind and any(isinstance(c, CancelStop) for c in schedule.late_commands)
        known = desk.protection.liquidation_stop is not None and bool(desk.resting())
        confirmed = confirmed or (known and not blind)
        if confirmed:
            assert desk.resting()


@given(HAPPENINGS)
@settings(max_examples=100)
def test_the_stop_is_below_liquidation_and_the_rest_survives_what_was_asked(
    happenings: list,
) -> None:
    schedule = Schedule()
    for happening in happenings:
        schedule.step(*happening)
    schedule.settle()
    account = schedule.desk.account
    (client_id,) = schedule.desk.resting()
    stop = account.orders[client_id]
    short = Short(account.short, account.mark, account.equity, TIERS)
    assert account.mark < stop.trigger < short.liquidation
    assert stop.size <= account.short + 1e-9
    left = short.after_stop(stop.trigger, stop.size, BUY_ONLY.stop_slippage)
    assert left >= short.liquidation * (1.0 + BUY_ONLY.stop_further) * (1.0 - 1e-12)
    strangers = [o for o in account.orders.values() if o.client_id.startswith("web")]
    assert all(order.status == "open" for order in strangers)


def test_random_schedules_do_settle_with_a_replaced_stop() -> None:
    schedule = Schedule()
    for size in (900, 950, 980):
        schedule.step("pay", 1_000, size)
        schedule.settle()
    assert int(schedule.desk.resting()[0].removeprefix("cp-stop-")) > 3
