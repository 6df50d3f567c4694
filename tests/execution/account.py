"""An account at a venue as the machines meet it: asked something, it answers later or never.

Independent of the machines: it keeps its own orders, stops, fills and position, answers queries
from them, and lets a test decide what reaches the machines and when.
"""

from dataclasses import dataclass, field

import numpy as np

from counterpoise.execution.commands import (
    Alarm,
    Cancel,
    CancelStop,
    Command,
    Countdown,
    Place,
    PlaceStop,
    QueryOrder,
)
from counterpoise.execution.events import (
    Event,
    Fill,
    OpenOrder,
    OrderUpdate,
    Side,
    Snapshot,
    Status,
)
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.reconcile import JournalState, Reconciler
from counterpoise.execution.records import FillBooked, OrderSent
from counterpoise.risk.protective_stop import Short
from counterpoise.run_settings import RunSettings
from counterpoise.venues import contract_at
from counterpoise.venues.contract import stack

CONTRACT = contract_at("binance", 1_735_689_600_000)
RULES = stack([CONTRACT])
TIERS = RULES.tier_cap[0], RULES.tier_rate[0], RULES.tier_amount[0]
STEP, SECOND = CONTRACT.step_eth, 1_000_000_000
START_NS = 1_750_000_000 * SECOND
PREFIX, RUN = "cp-", RunSettings()


def only(kind: type, items: list) -> list:
    """Items of a class."""
    return [item for item in items if isinstance(item, kind)]


def alarms(out: Outbox, key: str) -> list[Alarm]:
    """Alarms about something."""
    return [alarm for alarm in only(Alarm, out.commands) if alarm.key == key]


def sent(
    client_id: str, side: Side, size: float, ts_ns: int = START_NS, **more: float
) -> OrderSent:
    """An order of schedule 7 as the journal has it; of none where it has a trigger."""
    trigger = more.get("trigger", 0.0)
    return OrderSent(
        ts_ns,
        client_id,
        0 if trigger else 7,
        3,
        "stop" if trigger else "post_only",
        side,
        size,
        0.0 if trigger else 2_000.0,
        trigger,
        side == "buy",
        2_000.0,
    )


def booked(fill: Fill, short_eth: float) -> FillBooked:
    """A fill as the journal has it."""
    return FillBooked(
        fill.ts_ns,
        fill.client_id,
        fill.trade_id,
        7,
        fill.side,
        fill.price,
        fill.size,
        fill.fee_usd,
        fill.maker,
        2_000.0,
        short_eth,
    )


@dataclass
class Order:
    """An order or a stop at the venue."""

    client_id: str
    side: Side
    size: float
    trigger: float = 0.0
    filled: float = 0.0
    status: Status = "open"

    def as_seen(self) -> OpenOrder:
        return OpenOrder(
            self.client_id, self.side, self.size, self.filled, 2_000.0, False, self.trigger
        )

    def update(self, ts_ns: int) -> OrderUpdate:
        return OrderUpdate(ts_ns, self.client_id, self.status, round(self.filled, 9))


@dataclass
class Account:
    """One symbol of one account; a short of ``short`` ETH with ``wallet`` USD from ``entry``."""

    short: float = 0.0
    wallet: float = 100_000.0
    entry: float = 2_000.0
    mark: float = 2_000.0
    leverage: float = 20.0
    isolated: bool = False
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    countdown_ns: int | None = None

    @property
    def equity(self) -> float:
        return self.wallet - self.short * (self.mark - self.entry)

    @property
    def liquidation(self) -> float:
        if self.short < STEP:
            return 0.0
        price = Short(self.short, self.mark, self.equity, TIERS).liquidation
        return price if np.isfinite(price) else 0.0

    def do(self, command: Command, now_ns: int) -> list[Event]:
        """Carry a command out; returns what the venue answers."""
        match command:
            case Place(client_id=client_id, side=side, size=size):
                return self._arrive(Order(client_id, side, size), now_ns)
            case PlaceStop(client_id=client_id, side=side, size=size, trigger=trigger):
                return self._arrive(Order(client_id, side, size, trigger), now_ns)
            case Cancel(client_id=client_id) | CancelStop(client_id=client_id):
                order = self.orders.get(client_id)
                if order is None or order.status != "open":
                    return []
                order.status = "canceled"
                return [order.update(now_ns)]
            case QueryOrder(client_id=client_id):
                order = self.orders.get(client_id)
                if order is None:
                    return [OrderUpdate(now_ns, client_id, "missing")]
                own = [fill for fill in self.fills if fill.client_id == client_id]
                return [*own, order.update(now_ns)]
            case Countdown(ms=ms):
                self.countdown_ns = now_ns + ms * 1_000_000 if ms else None
        return []

    def _arrive(self, order: Order, now_ns: int) -> list[Event]:
        assert order.client_id not in self.orders, f"{order.client_id} was sent twice"
        self.orders[order.client_id] = order
        if order.trigger and (order.trigger > self.mark) == (order.side == "sell"):
            order.status = "rejected"
        return [order.update(now_ns)]

    def trade(
        self, client_id: str, side: Side, size: float, now_ns: int, *, stranger: bool = False
    ) -> Fill:
        """Fill an order, or change the position from outside."""
        change = size if side == "sell" else -size
        if change > 0.0:
            value = self.short * self.entry + change * self.mark
            self.entry = value / (self.short + change) if self.short + change else self.mark
        else:
            self.wallet -= size * (self.mark - self.entry)
        self.short = round(self.short + change, 9)
        fill = Fill(now_ns, client_id, f"t{len(self.fills)}", side, self.mark, size, 0.0, True)
        self.fills.append(fill)
        if not stranger:
            order = self.orders[client_id]
            order.filled = round(order.filled + size, 9)
            if order.filled >= order.size - 1e-9:
                order.status = "filled"
        return fill

    def snapshot(self, now_ns: int, *, fills: bool = True) -> Snapshot:
        """The account as a query sent now finds it."""
        resting = [order for order in self.orders.values() if order.status == "open"]
        return Snapshot(
            now_ns,
            self.short,
            self.entry,
            self.mark,
            self.liquidation,
            self.wallet,
            self.equity,
            self.equity - abs(self.short) * self.mark / self.leverage,
            self.leverage,
            self.isolated,
            tuple(order.as_seen() for order in resting if not order.trigger),
            tuple(order.as_seen() for order in resting if order.trigger),
            tuple(f for f in self.fills if f.client_id.startswith(PREFIX)) if fills else (),
        )


def started(known: JournalState, account: Account) -> tuple[Reconciler, Outbox]:
    """A reconciler after its start, and what that led to."""
    reconciler, out = Reconciler(PREFIX, STEP, RUN), Outbox()
    reconciler.start(known, account.snapshot(START_NS), out)
    return reconciler, out
