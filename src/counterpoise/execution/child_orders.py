"""The orders of a schedule from sending to end: what is known of them, never what is hoped."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Self

from counterpoise.execution.events import OrderUpdate, Status
from counterpoise.execution.plan import Filters
from counterpoise.execution.records import OrderSent, OrderState

#: An order ends in one of these, and what it filled is final then.
ENDED: frozenset[Status] = frozenset({"filled", "canceled", "rejected", "expired", "missing"})
#: Binance: a post-only order would have taken.
WOULD_TAKE = -5022
#: Binance: a client id is in use by an open order, so the order is there.
DUPLICATE = -4116
#: A venue refuses an order that arrives later than this (recvWindow). One that is not known so long
#: after it was not known before will never be. It is not counted from the sending: our clock, the
#: time of the events, may run behind.
NEVER_LATER_NS = 5_000_000_000


@dataclass(slots=True)
class ChildOrder:
    """An order of a schedule; sizes in whole steps, price in whole ticks.

    Attributes
    ----------
    filled : int
        Cumulative, of updates and fills whichever is ahead; never falls.
    booked : int
        Sum of the fills seen.
    mid : float
        When it was sent, USD.
    canceling : bool
        A cancel was sent.
    asked_ns : int
        When the venue was last sent anything about it.
    questions : int
        Queries since the venue last answered.
    not_found_ns : int
        When the venue first did not know it; 0 before.
    """

    client_id: str
    slice: int
    steps: int
    ticks: int
    passive: bool
    sent_ns: int
    mid: float
    status: Status = "pending"
    code: int = 0
    filled: int = 0
    booked: int = 0
    canceling: bool = False
    asked_ns: int = 0
    questions: int = 0
    not_found_ns: int = 0
    trades: set[str] = field(default_factory=set)

    @property
    def live(self) -> bool:
        """Whether it may still fill."""
        return self.status not in ENDED

    @property
    def settled(self) -> bool:
        """Whether it has ended and every fill of it was seen."""
        return not self.live and self.booked >= self.filled

    @property
    def rejected(self) -> bool:
        """Refused for another reason than that it would have taken."""
        return self.status == "rejected" and self.code != WOULD_TAKE

    def update(self, event: OrderUpdate, filled: int) -> bool:
        """Take in what the venue says; ``filled`` is cumulative, in steps.

        Returns
        -------
        bool
            Whether anything was learned.
        """
        before = self.status, self.filled
        self.filled = max(self.filled, filled)
        # What ended does not live again: such an update was overtaken on its way.
        if self.live:
            status = event.status
            if status == "missing":
                self.not_found_ns = self.not_found_ns or event.ts_ns
                if event.ts_ns - self.not_found_ns < NEVER_LATER_NS:
                    status = "unknown"
            elif status == "rejected" and event.code == DUPLICATE:
                status = "unknown"
            if status == "filled":
                self.filled = self.steps
            # An acknowledgement that arrives after an update is old news.
            if status != "pending" or self.status == "unknown":
                self.status = status
            self.code = event.code
        if self.status != "unknown":
            self.questions = 0
        return before != (self.status, self.filled)

    def fill(self, trade_id: str, steps: int) -> bool:
        """Take in a fill, once per trade; whether it was new."""
        if trade_id in self.trades:
            return False
        self.trades.add(trade_id)
        self.booked += steps
        self.filled = max(self.filled, self.booked)
        if self.live and self.filled >= self.steps:
            self.status = "filled"
        elif self.status in {"pending", "unknown"}:
            self.status = "open"
        return True


class ChildOrders:
    """All orders of a schedule, oldest first; ``filled`` is their sum in whole steps."""

    def __init__(self) -> None:
        self._orders: dict[str, ChildOrder] = {}
        self.filled = 0
        #: Those that live, or of which fills are still to be seen.
        self.unsettled: list[ChildOrder] = []
        #: The one that may still fill; there is never a second one.
        self.live: ChildOrder | None = None

    @classmethod
    def resume(
        cls, sent: Iterable[OrderSent], states: Iterable[OrderState], filters: Filters
    ) -> Self:
        """Orders as the journal knows them; what had not ended is of unknown fate."""
        orders = cls()
        for row in sent:
            orders.add(
                ChildOrder(
                    row.client_id,
                    int(row.client_id.split("-")[-2]),
                    filters.steps(row.size),
                    filters.ticks(row.price),
                    passive=row.kind == "post_only",
                    sent_ns=row.ts_ns,
                    mid=row.arrival_mid,
                    status="unknown",
                )
            )
        for state in states:
            order = orders._orders[state.client_id]
            order.status = state.status if state.status in ENDED else "unknown"
            order.code = state.code
            order.filled = max(order.filled, filters.steps(state.filled_eth))
        orders._count()
        return orders

    def __iter__(self) -> Iterator[ChildOrder]:
        return iter(self._orders.values())

    def __len__(self) -> int:
        return len(self._orders)

    def get(self, client_id: str) -> ChildOrder | None:
        """The order of that id, if it is one of these."""
        return self._orders.get(client_id)

    def add(self, order: ChildOrder) -> None:
        """Take up an order that is about to be sent."""
        self._orders[order.client_id] = order
        self._count()

    def update(self, order: ChildOrder, event: OrderUpdate, filled: int) -> bool:
        """As :meth:`ChildOrder.update`."""
        learned = order.update(event, filled)
        self._count()
        return learned

    def fill(self, order: ChildOrder, trade_id: str, steps: int) -> bool:
        """As :meth:`ChildOrder.fill`."""
        new = order.fill(trade_id, steps)
        self._count()
        return new

    def _count(self) -> None:
        self.filled = sum(order.filled for order in self)
        self.unsettled = [order for order in self if not order.settled]
        self.live = next((order for order in self.unsettled if order.live), None)

    @property
    def last(self) -> ChildOrder | None:
        """The latest."""
        return next(reversed(self._orders.values()), None)

    @property
    def next_slice(self) -> int:
        """Number of the first slice that has seen no order, nor a later one."""
        return 1 + max((order.slice for order in self), default=-1)

    @property
    def refusals(self) -> int:
        """Orders refused in a row up to now, those that would have taken not counted."""
        count = 0
        for order in reversed(self._orders.values()):
            if not order.rejected:
                break
            count += 1
        return count

    def of_slice(self, number: int) -> list[ChildOrder]:
        """Those sent in the latest slice that has any, if it is this one; newest first."""
        newest_first = reversed(self._orders.values())
        return list(takewhile(lambda order: order.slice == number, newest_first))
