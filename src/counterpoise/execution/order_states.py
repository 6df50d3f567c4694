"""What is known of every order of ours, from sending to its end; unknown is queried, never re-sent.

An order is in the air until the venue said how it ended and all it filled is booked. An order that
the venue does not know is asked for again after a wait, because it may still be on its way: only
the second such answer makes it ``missing``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from counterpoise.execution.commands import Alarm, Cancel, QueryOrder, WakeAt
from counterpoise.execution.events import OpenOrder, OrderUpdate, Side, Status
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import FillBooked, OrderSent, OrderState

#: Statuses after which nothing more is expected of the venue.
ENDED: frozenset[Status] = frozenset({"filled", "canceled", "rejected", "expired", "missing"})
#: Name of the moment at which orders of unknown fate are asked for again.
WAKE = "unknown-orders"
#: Queries without an answer after which a person is told.
TOLD_AFTER = 5
_DUST = 1e-9


@dataclass(slots=True)
class KnownOrder:
    """Last known state of an order of ours.

    Attributes
    ----------
    sent : OrderSent
        As the journal has it.
    status : Status
    filled_eth : float
        Cumulative, as the venue says.
    booked_eth : float
        Of it, booked as fills.
    followed : bool
        A schedule of this run follows it and writes its states down; of others that is done here.
    asked_ns, not_found_ns : int or None
        Last query of it, and the first answer that the venue does not know it.
    asks : int
        Queries since the venue last said anything.
    since_ns : int
        When it was sent, or the venue last said something about it.
    """

    sent: OrderSent
    status: Status = "pending"
    filled_eth: float = 0.0
    booked_eth: float = 0.0
    since_ns: int = 0
    followed: bool = False
    asked_ns: int | None = None
    not_found_ns: int | None = None
    asks: int = 0

    @property
    def in_the_air(self) -> bool:
        """Whether it may still fill, or filled more than is booked."""
        return self.status not in ENDED or self.filled_eth > self.booked_eth + _DUST

    @property
    def stop(self) -> bool:
        """Whether it waits for a trigger."""
        return self.sent.trigger > 0.0


class OrderStates:
    """Orders of ours by client id.

    Parameters
    ----------
    unknown_wait_ns : int
        Between two queries of one order.
    """

    def __init__(self, unknown_wait_ns: int) -> None:
        self.known: dict[str, KnownOrder] = {}
        #: Those that changed since they were last seen to be over; a year has very many orders.
        self._open: dict[str, KnownOrder] = {}
        self._wait_ns = unknown_wait_ns

    def load(
        self,
        sent: Iterable[OrderSent],
        states: Iterable[OrderState],
        fills: Iterable[FillBooked],
    ) -> None:
        """Begin from the journal: orders sent, the last state of each, and what is booked."""
        for order in sent:
            known = KnownOrder(order, since_ns=order.ts_ns)
            self.known[order.client_id] = self._open[order.client_id] = known
        for state in states:
            known = self.known[state.client_id]
            known.status, known.filled_eth = state.status, state.filled_eth
            known.since_ns = state.ts_ns
        for fill in fills:
            if fill.client_id in self.known:
                self.booked(fill.client_id, fill.size)
        for known in self.known.values():
            if known.status not in ENDED and known.booked_eth >= known.sent.size - _DUST:
                # Its fills say so; the journal has no other word of it.
                known.status, known.filled_eth = "filled", known.booked_eth

    def sent(self, order: OrderSent) -> None:
        """Know an order that is about to leave; before its command does."""
        known = KnownOrder(order, since_ns=order.ts_ns, followed=order.schedule_id > 0)
        self.known[order.client_id] = self._open[order.client_id] = known

    def booked(self, client_id: str, size: float) -> None:
        """Know that so much of an order is booked."""
        order = self._open[client_id] = self.known[client_id]
        order.booked_eth += size

    def in_the_air(self) -> Iterator[KnownOrder]:
        """Orders that may fill or owe fills, stops that rest included."""
        self._open = {name: order for name, order in self._open.items() if order.in_the_air}
        return iter(self._open.values())

    def could_fill(self, side: Side, resting_stops: set[str]) -> float:
        """ETH that orders in the air could have filled without our knowing.

        Parameters
        ----------
        side : {"sell", "buy"}
        resting_stops : set of str
            Stops seen waiting for their trigger: those cannot have.
        """
        return sum(
            (order.filled_eth if order.status in ENDED else order.sent.size) - order.booked_eth
            for order in self.in_the_air()
            if order.sent.side == side and order.sent.client_id not in resting_stops
        )

    def update(self, event: OrderUpdate, out: Outbox) -> None:
        """Take what the venue says of an order; one that is not ours is nobody's here."""
        order = self.known.get(event.client_id)
        if order is None:
            return
        self._open[event.client_id] = order
        if event.status == "missing":
            self._not_found(order, event, out)
            return
        if event.status == "unknown":
            if order.status == "pending":
                self._become(order, event, out)
            self.ask(order, event.ts_ns, out)
            return
        if order.status == "missing" and not order.stop:
            self._late(order, event, out)
            return
        if order.status in ENDED and order.status != "missing" and event.status not in ENDED:
            return  # overtaken by its own end
        order.asked_ns = order.not_found_ns = None
        order.asks = 0
        self._become(order, event, out)

    def compare(
        self, asked_ns: int, seen: dict[str, OpenOrder], out: Outbox, *, at_start: bool
    ) -> None:
        """Ask for orders that a query of the account should have found and did not.

        Parameters
        ----------
        asked_ns : int
            When the account was asked.
        seen : dict of str to OpenOrder
            Orders and stops of ours that rest, by client id.
        out : Outbox
        at_start : bool
            Nothing is fresh: what does not rest is of unknown fate.
        """
        for client_id, resting in seen.items():
            order = self.known[client_id]
            settled = order.status in ENDED and asked_ns - order.since_ns >= self._wait_ns
            if settled:
                self._open[client_id] = order
                event = OrderUpdate(asked_ns, client_id, "open", resting.filled_eth)
                (self._become if order.stop else self._late)(order, event, out)
        for order in list(self.in_the_air()):
            found = seen.get(order.sent.client_id)
            if found is not None:
                if order.status in ("pending", "unknown") or found.filled_eth > order.filled_eth:
                    self.update(
                        OrderUpdate(asked_ns, found.client_id, "open", found.filled_eth), out
                    )
                if order.filled_eth > order.booked_eth + _DUST:
                    self.ask(order, asked_ns, out)
            elif at_start or asked_ns - order.since_ns >= self._wait_ns:
                if order.status in ("pending", "open"):
                    self._become(
                        order,
                        OrderUpdate(asked_ns, order.sent.client_id, "unknown", order.filled_eth),
                        out,
                    )
                self.ask(order, asked_ns, out)

    def wake(self, ts_ns: int, out: Outbox) -> None:
        """Ask again for orders of unknown fate whose wait is over."""
        for order in list(self.in_the_air()):
            if order.status == "unknown":
                self.ask(order, ts_ns, out)

    def ask(self, order: KnownOrder, ts_ns: int, out: Outbox) -> None:
        """Query an order unless that was done a moment ago; ask again when the wait is over."""
        if order.asked_ns is not None and ts_ns - order.asked_ns < self._wait_ns:
            return
        order.asked_ns = ts_ns
        order.asks += 1
        out.commands.append(QueryOrder(order.sent.client_id))
        out.commands.append(WakeAt(ts_ns + self._wait_ns, WAKE))
        if order.asks == TOLD_AFTER:
            out.commands.append(
                Alarm(
                    "warning",
                    "order-unknown",
                    f"What became of order {order.sent.client_id} is unknown after "
                    f"{TOLD_AFTER} queries.",
                    "look the order up on the venue; nothing is sent again meanwhile",
                )
            )

    def _late(self, order: KnownOrder, event: OrderUpdate, out: Outbox) -> None:
        """Cancel what is left of an order that was thought to have ended; stops have a keeper."""
        out.commands.append(Cancel(event.client_id))
        out.commands.append(
            Alarm(
                "critical",
                "late-order",
                f"Order {event.client_id} is {event.status} at the venue, and was thought to be "
                f"{order.status}.",
                "what rests of it is being cancelled; look at the venue's order history",
            )
        )
        order.asked_ns = order.not_found_ns = None
        order.asks = 0
        self._become(order, event, out)

    def _not_found(self, order: KnownOrder, event: OrderUpdate, out: Outbox) -> None:
        if order.status in ENDED or order.asked_ns is None:
            return
        if order.not_found_ns is None:
            order.not_found_ns = event.ts_ns
            out.commands.append(WakeAt(order.asked_ns + self._wait_ns, WAKE))
        elif order.not_found_ns <= order.asked_ns <= event.ts_ns:
            self._become(order, event, out)

    def _become(self, order: KnownOrder, event: OrderUpdate, out: Outbox) -> None:
        filled = max(order.filled_eth, event.filled_eth)
        changed = event.status != order.status or filled > order.filled_eth
        order.status, order.filled_eth, order.since_ns = event.status, filled, event.ts_ns
        if changed and not order.followed:
            out.records.append(
                OrderState(
                    event.ts_ns, event.client_id, event.status, filled, event.code, event.reason
                )
            )
