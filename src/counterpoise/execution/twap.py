"""Works one order over time: rests at the touch, follows it, crosses what is overdue.

At most one order of a schedule is alive. One whose fate is unknown blocks the schedule until the
venue has said what became of it; nothing is ever sent twice. What the machine remembers is in the
journal: :meth:`Twap.resume` rebuilds it. The rules in words: docs/twap.md.
"""

from collections.abc import Iterable
from typing import Self

from counterpoise.errors import FixConfig
from counterpoise.execution.child_orders import WOULD_TAKE, ChildOrder, ChildOrders
from counterpoise.execution.commands import Alarm, Cancel, Place, QueryOrder, WakeAt
from counterpoise.execution.events import Event, Fill, OrderUpdate, Quote, Side, Trade, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.participation import Participation
from counterpoise.execution.plan import SECOND_NS, Filters, next_size
from counterpoise.execution.records import FillBooked, OrderSent, OrderState, Plan
from counterpoise.execution.schedule import Schedule
from counterpoise.execution.shortfall import PricedFill, shortfall
from counterpoise.run_settings import TwapSettings
from counterpoise.units import BPS

#: Longest client id a venue takes.
LONGEST_ID = 36
#: Shortest time between two crossing orders of one schedule.
RETRY_NS = SECOND_NS // 4
#: Refusals in a row after which a schedule is abandoned; each waits twice as long as the last.
MOST_REFUSALS = 5
#: Unanswered queries of an order after which a person is told.
MOST_QUESTIONS = 3


class Twap:
    """A schedule at work.

    Parameters
    ----------
    plan : Plan
        Of :func:`counterpoise.execution.plan.plan_schedule`; the caller journals it.
    filters, settings
        Those it was planned with.
    client_id_prefix : str
        What client ids begin with, ``[A-Za-z0-9_-]``.

    Notes
    -----
    Records left in the outbox: ``Plan`` when it changes, ``OrderSent``, ``OrderState`` and, once,
    ``Shortfall``: a schedule without one is to be resumed. ``FillBooked`` is the record of whoever
    counts the position. The clock is the time of the events, and late ones do not turn it back.
    """

    def __init__(
        self, plan: Plan, filters: Filters, settings: TwapSettings, client_id_prefix: str
    ) -> None:
        if len(f"{client_id_prefix}{plan.schedule_id}-9999-9999") > LONGEST_ID:
            raise FixConfig(
                "client_id_prefix", client_id_prefix, "a short one", "use at most 12 characters"
            )
        self.filters = filters
        self.settings = settings
        #: The shortfall was written: nothing more will come.
        self.finished = False
        self._prefix = client_id_prefix
        self._schedule = Schedule(plan, filters)
        self._orders = ChildOrders()
        self._fills: list[PricedFill] = []
        self._now = plan.ts_ns
        self._quote: Quote | None = None
        self._wake_ns: int | None = None
        self._wake_name = f"twap:{plan.schedule_id}:act"
        self._answer_ns = round(settings.answer_s * SECOND_NS)
        self._count_anew()

    @classmethod
    def resume(
        cls,
        plan: Plan,
        orders_sent: Iterable[OrderSent],
        order_states: Iterable[OrderState],
        fills: Iterable[FillBooked],
        *,
        filters: Filters,
        settings: TwapSettings,
        client_id_prefix: str,
    ) -> Self:
        """Rebuild a schedule from its journal, each kind of record in the order it was written.

        Every order that had not ended is of unknown fate: the first event has it queried. What the
        market traded is counted anew.

        Parameters
        ----------
        plan : Plan
            The latest of the schedule.
        orders_sent, order_states, fills
            All of the schedule.
        filters, settings, client_id_prefix
            As of the constructor.
        """
        twap = cls(plan, filters, settings, client_id_prefix)
        twap._orders = ChildOrders.resume(orders_sent, order_states, filters)
        for booked in fills:
            twap._book(booked, booked.mid)
            twap._now = max(twap._now, booked.ts_ns)
        twap._now = max(twap._now, *(order.sent_ns for order in twap._orders), 0)
        twap._count_anew()
        return twap

    def _count_anew(self) -> None:
        """Count participation from here."""
        volume = self.plan.plan["volume_day_eth"]
        most, ahead_s = self.settings.participation, self.settings.slice_s
        self._participation = Participation(most, volume, ahead_s, self._now)
        self._had = self._orders.filled

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self._schedule.plan

    @property
    def working(self) -> bool:
        """Whether an order is in flight or something remains to be done."""
        return not self.finished

    @property
    def filled_eth(self) -> float:
        """Filled so far by the schedule, ETH."""
        return self.filters.eth(self._orders.filled)

    @property
    def remaining_eth(self) -> float:
        """Not filled yet, ETH."""
        return self.filters.eth(max(self._schedule.size - self._orders.filled, 0))

    @property
    def side(self) -> Side:
        """Of the schedule."""
        return self.plan.side

    def handle(self, event: Event, out: Outbox, may_place: bool = True) -> None:
        """Take in an event; others than Quote, Trade, OrderUpdate, Fill and Wake only tell time.

        Parameters
        ----------
        event : Event
        out : Outbox
        may_place : bool
            False while no order may leave: cancels and queries still do.
        """
        self._now = max(self._now, event.ts_ns)
        match event:
            case Quote():
                if self._quote is None or event.ts_ns >= self._quote.ts_ns:
                    self._quote = event
            case Trade():
                self._participation.see(event)
            case OrderUpdate():
                self._hear(event, out)
            case Fill():
                self._book(event, self._quote.mid if self._quote else None)
            case Wake(name=name) if name == self._wake_name:
                self._wake_ns = None
        self._go_on(out, may_place)

    def replan(self, size: float, now_ns: int, out: Outbox) -> None:
        """Make ``size`` (ETH, on the grid) all that the schedule is to fill, counting what it has.

        No more than is filled means that there is nothing left to do in this direction: what rests
        is cancelled and the schedule ends as ``replaced``; what was filled beyond it is the
        caller's to bring back, with another schedule.
        """
        schedule, steps = self._schedule, max(self.filters.steps(size), 0)
        if not schedule.working or steps == schedule.size:
            return
        self._now = max(self._now, now_ns)
        if steps <= self._orders.filled:
            schedule.size = steps
            self._replaced(out)
        else:
            done, first = self._orders.filled, self._orders.next_slice
            mid = self._quote.mid if self._quote else self.plan.arrival_mid
            plan = schedule.resize(steps, done, first, mid, self._now, self.settings)
            out.records.append(plan)
        self._go_on(out, may_place=False)

    def hurry(self, out: Outbox) -> None:
        """Cancel what rests; from the next event on cross with the rest, wider each time.

        Neither the end of the schedule nor its part of the volume holds an emergency back.
        """
        if self._schedule.working and self._schedule.hurry is None:
            out.records.append(self._schedule.change(self._now, hurry=len(self._orders)))
            self._go_on(out, may_place=False)

    def stop(self, out: Outbox) -> None:
        """Cancel what rests and abandon the remainder."""
        if self._schedule.working:
            self._conclude("abandoned", "stopped", out)
            self._go_on(out, may_place=False)

    def _conclude(self, status: str, why: str, out: Outbox) -> None:
        """Send nothing more; the plan stays ``working`` until every order is settled."""
        plan = self._schedule.change(self._now, ending=status, why=why)
        if self._orders.unsettled:
            out.records.append(plan)

    def _replaced(self, out: Outbox) -> None:
        size = self.filters.eth(self._schedule.size)
        self._conclude("replaced", f"{size} ETH wanted, {self.filled_eth} ETH filled", out)

    def _hear(self, event: OrderUpdate, out: Outbox) -> None:
        order = self._orders.get(event.client_id)
        filled = self.filters.steps(event.filled_eth)
        if order is None or not self._orders.update(order, event, filled):
            return
        eth = self.filters.eth(order.filled)
        out.records.append(
            OrderState(self._now, order.client_id, order.status, eth, event.code, event.reason)
        )
        if order.status == "unknown":
            self._query(order, out)
        refusals = self._orders.refusals
        if refusals >= MOST_REFUSALS and self._schedule.working:
            why = f"the venue refused {refusals} orders in a row: {event.code} {event.reason}"
            self._conclude("abandoned", why, out)
            self._alarm("refused", why, "find out why the venue refuses the orders", out)

    def _book(self, fill: Fill | FillBooked, mid: float | None) -> None:
        order = self._orders.get(fill.client_id)
        if order and self._orders.fill(order, fill.trade_id, self.filters.steps(fill.size)):
            mid = order.mid if mid is None else mid
            self._fills.append(
                PricedFill(fill.price, fill.size, fill.fee_usd, fill.maker, order.mid, mid)
            )

    def _go_on(self, out: Outbox, may_place: bool) -> None:
        if self.finished:
            return
        if self._orders.live:
            self._supervise(self._orders.live, out)
        elif not self._schedule.working:
            self._finish(out)
        elif self._orders.filled > self._schedule.size:
            self._replaced(out)
            self._finish(out)
        elif self._orders.filled == self._schedule.size:
            self._conclude("done", "", out)
            self._finish(out)
        elif self._schedule.over(self._now):
            self._conclude("abandoned", f"{self.remaining_eth} ETH left when time was over", out)
            self._finish(out)
        elif may_place and self._quote and self._now >= self._not_before:
            self._place_next(self._quote, out)
        if not self.finished:
            self._ask_wake(out)

    def _supervise(self, order: ChildOrder, out: Outbox) -> None:
        """Cancel an order that is no longer wanted, and ask about one that does not answer."""
        if order.passive and order.status == "open" and not order.canceling:
            if self._unwanted(order):
                order.canceling, order.asked_ns = True, self._now
                out.commands.append(Cancel(order.client_id))
        elif self._now >= order.asked_ns + self._answer_ns:
            self._query(order, out)
            if order.canceling:
                # Either may have been lost on its way; cancelling twice does no harm.
                out.commands.append(Cancel(order.client_id))

    def _unwanted(self, order: ChildOrder) -> bool:
        # Another target begins a slice of its own, so that no order is larger than what is left.
        schedule = self._schedule
        if not schedule.working or schedule.hurry is not None:
            return True
        if order.slice != schedule.slice(self._now):
            return True
        if self._quote is None:
            return False
        sells = self.side == "sell"
        touch = self.filters.ticks(self._quote.ask if sells else self._quote.bid)
        away = order.ticks - touch if sells else touch - order.ticks
        far = self.settings.repeg_bps * BPS * self._quote.mid / self.filters.tick_usd
        followed = len(self._orders.of_slice(order.slice)) - 1
        return away >= max(far, 1.0) and followed < self.settings.repegs

    def _query(self, order: ChildOrder, out: Outbox) -> None:
        order.asked_ns = self._now
        order.questions += 1
        out.commands.append(QueryOrder(order.client_id))
        if order.questions == MOST_QUESTIONS:
            what = f"the venue does not say what became of order {order.client_id}"
            self._alarm("unknown", what, "look at the order on the venue's own page", out)

    def _alarm(self, about: str, text: str, next_step: str, out: Outbox) -> None:
        key = f"twap:{self.plan.schedule_id}:{about}"
        out.commands.append(Alarm("warning", key, text, next_step))

    @property
    def _not_before(self) -> int:
        """Until when a crossing order or a refusal keeps the next order back."""
        last = self._orders.last
        if last is None:
            return 0
        if last.rejected:
            return last.sent_ns + (SECOND_NS << self._orders.refusals - 1)
        return 0 if last.passive else last.sent_ns + RETRY_NS

    def _place_next(self, quote: Quote, out: Outbox) -> None:
        """Send what is due: crossing what is overdue first, then resting what is left."""
        schedule, filled = self._schedule, self._orders.filled
        left = schedule.size - filled
        least = self.filters.least_steps(quote.bid, schedule.reduce_only)
        if left < least:
            self._conclude("done", f"{self.remaining_eth} ETH is below the venue's minimum", out)
            self._finish(out)
            return
        if schedule.hurry is not None:
            doublings = min(len(self._orders) - schedule.hurry, 20)
            widened = self.settings.protection_bps * 2.0**doublings
            widest = self.settings.hurry_protection_bps
            self._cross(left, min(widened, widest), quote, out)
            return
        allowed = self.filters.whole_steps(self._participation.allowed_eth(self._now))
        allowed += self._had - filled
        mine = self._orders.of_slice(schedule.slice(self._now))
        sliced = schedule.sliced(self._now)
        overdue = schedule.due(self._now, 1 + self.settings.patience) if sliced else schedule.size
        size = next_size(min(overdue - filled, allowed), left, least)
        if size and not (sliced and any(not order.passive for order in mine)):
            self._cross(size, self.settings.protection_bps, quote, out)
        elif sliced and len(mine) <= self.settings.repegs:
            size = next_size(min(schedule.due(self._now) - filled, allowed), left, least)
            if size:
                self._rest(size, sum(order.code == WOULD_TAKE for order in mine), quote, out)

    def _cross(self, steps: int, protection_bps: float, quote: Quote, out: Outbox) -> None:
        """Take what is there up to a worst price."""
        ticks = self.filters.limit_ticks(self.side, quote.mid, protection_bps)
        self._send(steps, ticks, False, quote, out)

    def _rest(self, steps: int, back: int, quote: Quote, out: Outbox) -> None:
        """Join the touch, ``back`` ticks behind it."""
        bid, ask = self.filters.ticks(quote.bid), self.filters.ticks(quote.ask)
        ticks = max(ask, bid + 1) + back if self.side == "sell" else min(bid, ask - 1) - back
        self._send(steps, ticks, True, quote, out)

    def _send(self, steps: int, ticks: int, passive: bool, quote: Quote, out: Outbox) -> None:
        number = self._schedule.slice(self._now)
        attempt = len(self._orders.of_slice(number))
        client_id = f"{self._prefix}{self.plan.schedule_id}-{number}-{attempt}"
        order = ChildOrder(client_id, number, steps, ticks, passive, self._now, quote.mid)
        order.asked_ns = self._now
        self._orders.add(order)
        size, price = self.filters.eth(steps), self.filters.usd(ticks)
        reduce_only = self._schedule.reduce_only
        out.records.append(
            OrderSent(
                ts_ns=self._now,
                client_id=client_id,
                schedule_id=self.plan.schedule_id,
                decision_id=self.plan.decision_id,
                kind="post_only" if passive else "ioc",
                side=self.side,
                size=size,
                price=price,
                trigger=0.0,
                reduce_only=reduce_only,
                arrival_mid=quote.mid,
            )
        )
        out.commands.append(Place(client_id, self.side, size, price, passive, reduce_only))

    def _finish(self, out: Outbox) -> None:
        """Write the shortfall once every fill was seen; ask for those that were not."""
        late = self._orders.unsettled
        for order in late:
            if self._now >= order.asked_ns + self._answer_ns:
                self._query(order, out)
        if not late:
            mid = self._quote.mid if self._quote else self.plan.arrival_mid
            status = self.plan.plan["ending"] or self.plan.status
            out.records.append(self._schedule.change(self._now, status))
            out.records.append(shortfall(self.plan, self._fills, self.filled_eth, mid, self._now))
            self.finished = True

    def _ask_wake(self, out: Outbox) -> None:
        """Ask to be woken when something is due that no event may tell of."""
        late = self._orders.unsettled
        times = [order.asked_ns + self._answer_ns for order in late]
        if self._schedule.working:
            times.append(self._schedule.next_ns(self._now))
            if not late:
                times.append(self._now + SECOND_NS)
        soonest = max(min(times), self._now + RETRY_NS)
        if self._wake_ns is None or self._wake_ns <= self._now or soonest < self._wake_ns:
            self._wake_ns = soonest
            out.commands.append(WakeAt(soonest, self._wake_name))
