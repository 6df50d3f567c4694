"""A run that dies and starts again, between its journal and the exchange, on simulated time.

It does what ``trading.run`` and ``trading.shell`` do: commit, then send; from the journal and one
look at the account after every death. When it dies is drawn: at a moment, or between two steps of
one outbox.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from counterpoise.config import Settings
from counterpoise.execution.child_orders import ENDED
from counterpoise.execution.commands import Alarm, Place, WakeAt
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import Event, Operator, Signals, Snapshot, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import (
    AccountSeen,
    Decision,
    FillBooked,
    OrderSent,
    OrderState,
    Plan,
    Record,
)
from counterpoise.journal.restart import remembered
from counterpoise.units import NS_PER_S
from tests.execution.account import CONTRACT, PREFIX
from tests.execution.bad_wire import BadWire, Clockwork

EXPOSURE_ETH = 20.0
SETTINGS = Settings.model_validate(
    {
        "twap": {"horizon_min_s": 20, "horizon_max_s": 60, "slice_s": 3},
        "protection": {"transfers": "automatic", "transfer_cooldown_s": 30},
        "exposure": {"eth": EXPOSURE_ETH},
        "capital": {"leverage": 3.0, "leverage_max": 5.0},
    }
)


class Listed:
    """A journal that is a list; reads as ``reading.Reader`` does."""

    def __init__(self) -> None:
        self.rows: list[Record] = []

    def commit(self, records: Sequence[Record]) -> None:
        decisions = len(self.records(Decision))
        for record in records:
            if isinstance(record, Decision):
                decisions += 1
                assert record.decision_id == decisions, "decisions are numbered without a gap"
            elif isinstance(record, OrderSent):
                assert record.client_id not in {o.client_id for o in self.records(OrderSent)}
            elif isinstance(record, Plan):
                working = {plan.schedule_id for plan in self.working_plans()}
                assert working <= {record.schedule_id}, "one schedule at a time"
        self.rows += records

    def records(self, kind: type, since_ns: int = 0, newest: int | None = None) -> list[Any]:
        found = [row for row in self.rows if type(row) is kind and row.ts_ns >= since_ns]
        return found if newest is None else found[-newest:]

    def fills(self, since_ns: int) -> list[FillBooked]:
        return self.records(FillBooked, since_ns)

    def last_decision(self) -> Decision | None:
        return next(iter(self.records(Decision, newest=1)), None)

    def after_decision(self, kind: type) -> list[Any]:
        at = max((n for n, row in enumerate(self.rows) if type(row) is Decision), default=-1)
        return [row for row in self.rows[at + 1 :] if type(row) is kind]

    def working_plans(self) -> list[Plan]:
        latest = {plan.schedule_id: plan for plan in self.records(Plan)}
        return [plan for plan in latest.values() if plan.status == "working"]

    def unsettled_orders(self) -> list[OrderSent]:
        ended = {s.client_id for s in self.records(OrderState) if s.status in ENDED}
        filled: dict[str, float] = {}
        for fill in self.records(FillBooked):
            filled[fill.client_id] = filled.get(fill.client_id, 0.0) + fill.size
        return [
            order
            for order in self.records(OrderSent)
            if order.client_id not in ended and filled.get(order.client_id, 0.0) < order.size - 1e-9
        ]

    def orders_of(self, schedule_id: int) -> list[OrderSent]:
        return [o for o in self.records(OrderSent) if o.schedule_id == schedule_id]

    def about(self, kind: type, orders: Any) -> list[Any]:
        return [one for one in self.records(kind) if one.client_id in orders]

    def last_stop(self) -> OrderSent | None:
        return next((o for o in reversed(self.records(OrderSent)) if o.trigger > 0.0), None)

    def counted_short(self) -> float | None:
        for row in reversed(self.rows):
            if isinstance(row, FillBooked):
                return row.short_eth
            if isinstance(row, AccountSeen):
                return row.counted_eth
        return None


@dataclass
class Death:
    """When the run dies.

    Attributes
    ----------
    after_ns : int
        Not before this moment.
    about : str
        Name of a class of command or record that the fatal outbox has; empty is any moment.
    sent : int
        Commands of it that still leave; -1 dies before the commit.
    down_ns : int
        Until the next start.
    """

    after_ns: int
    about: str
    sent: int
    down_ns: int


class Died(Exception):
    """The process is gone."""


class MortalRun:
    """Lives of one run.

    Parameters
    ----------
    wire : BadWire
    clock : Clockwork
    journal : Listed, or what commits and reads
    deaths : list of Death
        In the order of their moments.
    """

    def __init__(self, wire: BadWire, clock: Clockwork, journal: Any, deaths: list[Death]) -> None:
        self.wire, self.clock, self.journal, self.deaths = wire, clock, journal, deaths
        self.controller: Controller | None = None
        self.life = 0
        self.row: Signals | None = None
        self.standing: Operator | None = None
        self.alarms: list[str] = []
        self.phases: list[str] = []
        self.look: Callable[[], None] = lambda: None
        self._wakes: dict[str, int] = {}
        self._told_row = False

    # --- life and death ----------------------------------------------------------------------

    def start(self) -> None:
        """Look at the account, then go on from the journal."""
        self.life += 1
        life = self.life

        def begin(snapshot: Snapshot) -> None:
            if life == self.life:
                self._begin(snapshot)

        self.wire.account(begin, sure=True)

    def _begin(self, snapshot: Snapshot) -> None:
        known = self.remembered()
        if self.standing is not None:
            known = replace(known, halted=f"{self.standing.order} by hand")
        controller = Controller(
            SETTINGS, CONTRACT, PREFIX, exposure_eth=EXPOSURE_ETH, price=2_000.0
        )
        self._wakes.clear()
        self._told_row = False
        life = self.life
        self.wire.tell = lambda event: self._give(event, life)
        self.wire.unclaimed = set(self.wire.arrived) if self.wire.rng.random() < 0.5 else set()
        try:
            self.controller = controller
            self._carry_out(controller.start(known, snapshot))
            if known.moving is not None:
                self.wire.follow(known.moving.client_id, known.moving.usd)
            if self.standing is not None and self.standing.order == "flatten":
                self.give(replace(self.standing, ts_ns=self.wire.mine()))
        except Died:
            pass

    def remembered(self) -> Any:
        return remembered(self.journal, self.wire.mine())

    def die(self, down_ns: int, phase: str) -> None:
        self.controller, self.wire.tell = None, None
        self.life += 1
        self.phases.append(phase)
        self.clock.at(self.clock.now + down_ns, self.start)

    # --- what it does ------------------------------------------------------------------------

    def _give(self, event: Event, life: int) -> None:
        if life == self.life:
            self.give(event)

    def give(self, event: Event) -> None:
        """An event, if somebody is there to hear it; the hour's row follows the first prices."""
        if self.controller is None:
            return
        if self.deaths and not self.deaths[0].about and self.clock.now >= self.deaths[0].after_ns:
            self.die(self.deaths.pop(0).down_ns, "at a moment")
            return
        try:
            self._carry_out(self.controller.handle(event))
            if not self._told_row and self.row is not None and self.controller.quote is not None:
                self._told_row = True
                self._carry_out(self.controller.handle(self.row))
        except Died:
            pass

    def tell_row(self, row: Signals) -> None:
        self.row, self._told_row = row, False

    def order(self, order: str) -> None:
        """The kill switch is set or taken back."""
        told = Operator(self.wire.mine(), order, "by hand")  # type: ignore[arg-type]
        self.standing = None if order == "resume" else told
        self.give(told)

    def _carry_out(self, out: Outbox) -> None:
        assert self.controller is not None
        death = self._death_in(out)
        if death is not None and death.sent < 0:
            self.die(death.down_ns, f"before the commit of {death.about}")
            raise Died
        if out.records:
            self.journal.commit(out.records)
        for number, command in enumerate(out.commands):
            if death is not None and number >= death.sent:
                self.die(death.down_ns, f"{death.about} committed, {number} commands sent")
                raise Died
            if isinstance(command, Place):
                assert not self.controller.blocked(), self.controller.blocked()
                standing = self.standing
                assert standing is None or standing.order == "flatten", "halted by hand"
            if isinstance(command, WakeAt):
                self._wake_at(command)
            elif isinstance(command, Alarm):
                self.alarms.append(f"{command.key}: {command.text}")
            else:
                self.wire.take(command)
        if death is not None:
            self.die(death.down_ns, f"{death.about} sent")
            raise Died
        self.look()

    def _death_in(self, out: Outbox) -> Death | None:
        if not self.deaths or not self.deaths[0].about:
            return None
        death = self.deaths[0]
        names = {type(one).__name__ for one in (*out.commands, *out.records)}
        if self.clock.now < death.after_ns or death.about not in names:
            return None
        return self.deaths.pop(0)

    def _wake_at(self, command: WakeAt) -> None:
        """A later one of the same name replaces it."""
        self._wakes[command.name] = command.ts_ns
        life = self.life

        def wake() -> None:
            if life == self.life and self._wakes.get(command.name) == command.ts_ns:
                del self._wakes[command.name]
                self.give(Wake(self.wire.mine(), command.name))

        self.clock.at(command.ts_ns - self.wire.skew_ns, wake)


def row(ts_ns: int, tick: int, ratio: float, price: float, urgency: float) -> Signals:
    """A row that wants a ratio exactly."""
    return Signals(
        ts_ns,
        tick,
        lo=ratio,
        hi=ratio,
        to_lo=ratio,
        to_hi=ratio,
        urgency=urgency,
        target=ratio,
        spot=price,
        perp=price,
        sigma_day=0.04,
        volume_day_eth=2_000_000.0,
        leverage=3.0,
        leverage_max=5.0,
        event_floor=0.0,
        event_class=float("nan"),
        quiet=False,
        funding_cost=0.0,
    )


ABOUT = (
    *("Place", "Place", "Cancel", "PlaceStop", "CancelStop", "Transfer", "QueryOrder"),
    *("FillBooked", "FillBooked", "Decision", "Plan", "OrderState", "WakeAt", "SetLeverage"),
)


def drawn_deaths(rng: random.Random, until_ns: int, now_ns: int) -> list[Death]:
    """Some deaths at any moment and some inside an outbox."""
    deaths = []
    for _ in range(rng.randint(1, 5)):
        about = "" if rng.random() < 0.4 else rng.choice(ABOUT)
        down = rng.choice((0.05, 0.5, 2.0, 5.0, 8.0, 30.0, 90.0)) * rng.uniform(0.5, 1.5)
        after = now_ns + round(rng.random() * (until_ns - now_ns))
        deaths.append(Death(after, about, rng.choice((-1, 0, 0, 1, 2, 99)), round(down * NS_PER_S)))
    return sorted(deaths, key=lambda death: death.after_ns)
