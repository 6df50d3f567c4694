"""Whatever the venue and the connection do: never too much, never twice, never forgotten."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from counterpoise.execution.child_orders import ENDED, NEVER_LATER_NS, WOULD_TAKE
from counterpoise.execution.commands import Cancel, Place, QueryOrder, WakeAt
from counterpoise.execution.events import Event, Fill, OrderUpdate, Quote, Trade, Wake
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.plan import SECOND_NS, plan_schedule
from counterpoise.execution.records import FillBooked, OrderSent, OrderState, Plan, Shortfall
from counterpoise.execution.twap import Twap
from counterpoise.run_settings import TwapSettings
from tests.execution.random_venue import GRID, RandomVenue

SETTINGS = TwapSettings(slice_s=5, patience=1, repegs=3, repeg_bps=0.0, protection_bps=3.0)
START = 1_700_000_000 * SECOND_NS


def remembered(twap: Twap) -> dict[str, object]:
    """What must survive a crash; an order that has not ended is of unknown fate after one."""
    return {
        "plan": twap.plan,
        "size": twap._schedule.size,
        "filled": twap._orders.filled,
        "remaining": twap.remaining_eth,
        "fills": twap._fills,
        "orders": [
            (
                *(order.client_id, order.slice, order.steps, order.ticks, order.passive),
                *(order.sent_ns, order.mid, order.filled, order.booked, sorted(order.trades)),
                (order.status, order.code) if order.status in ENDED else "unknown",
            )
            for order in twap._orders
        ],
    }


class FaultyVenue(RuleBasedStateMachine):
    """A schedule, a venue, and between them a connection that delays, repeats and loses."""

    @initialize(
        side=st.sampled_from(["sell", "buy"]),
        steps=st.sampled_from([3, 8, 30, 1_000, 20_000, 400_000]),
        urgency=st.sampled_from([0.0, 0.5, 1.0]),
        seed=st.integers(0, 2**32),
    )
    def begin(self, side, steps, urgency, seed):
        self.now, self.bid, self.spread = START, 300_000, 1
        self.venue = RandomVenue()
        self.to_venue: list[tuple[int, object]] = []
        self.to_us: list[Event] = []
        self.wakes: dict[str, int] = {}
        self.journal: dict[type, list] = {
            kind: [] for kind in (Plan, OrderSent, OrderState, FillBooked, Shortfall)
        }
        self.largest = steps
        plan = plan_schedule(
            7,
            3,
            side,
            GRID.eth(steps),
            self.quote(),
            self.now,
            urgency=urgency,
            sigma_day=0.04,
            volume_day_eth=2e6,
            filters=GRID,
            settings=SETTINGS,
            seed=seed,
        )
        self.journal[Plan].append(plan)
        self.twap = Twap(plan, GRID, SETTINGS, "cp")
        self.give(self.quote())

    # The world

    def quote(self) -> Quote:
        return Quote(self.now, GRID.usd(self.bid), 5.0, GRID.usd(self.bid + self.spread), 5.0)

    def mid(self) -> float:
        return self.quote().mid

    def keep(self, out: Outbox, sent: bool = True) -> None:
        for record in out.records:
            self.journal[type(record)].append(record)
        if not sent:
            return
        for command in out.commands:
            if isinstance(command, WakeAt):
                self.wakes[command.name] = command.ts_ns
            elif isinstance(command, Place | Cancel | QueryOrder):
                if isinstance(command, Place):
                    self.check(command)
                self.to_venue.append((self.now, command))

    def check(self, place: Place) -> None:
        """Every order is one the venue takes, at a price that is protected."""
        assert len(place.client_id) <= 36
        for value, grid in ((place.size, "0.001"), (place.price, "0.01")):
            assert Decimal(repr(value)) % Decimal(grid) == 0
        assert place.side == self.twap.side
        assert place.reduce_only == (place.side == "buy")
        assert place.reduce_only or place.size * place.price >= GRID.min_notional_usd
        if not place.post_only:
            bps = 100 if self.twap.plan.plan["hurry"] is not None else SETTINGS.protection_bps
            assert abs(place.price / self.mid() - 1) <= bps * 1e-4 + 1e-12

    def give(self, event: Event, sent: bool = True) -> None:
        if isinstance(event, Fill) and event.client_id in {
            row.client_id for row in self.journal[OrderSent]
        }:
            self.book(event)
        out = Outbox()
        self.twap.handle(event, out)
        self.keep(out, sent)

    def book(self, fill: Fill) -> None:
        """What whoever counts the position journals."""
        if fill.trade_id in {row.trade_id for row in self.journal[FillBooked]}:
            return
        self.journal[FillBooked].append(
            FillBooked(
                fill.ts_ns,
                fill.client_id,
                fill.trade_id,
                7,
                fill.side,
                fill.price,
                fill.size,
                fill.fee_usd,
                fill.maker,
                self.seen_mid(fill.client_id),
                0.0,
            )
        )

    def seen_mid(self, client_id: str) -> float:
        if self.twap._quote is not None:
            return self.twap._quote.mid
        return next(r.arrival_mid for r in self.journal[OrderSent] if r.client_id == client_id)

    def resumed(self) -> Twap:
        return Twap.resume(
            self.journal[Plan][-1],
            self.journal[OrderSent],
            self.journal[OrderState],
            self.journal[FillBooked],
            filters=GRID,
            settings=SETTINGS,
            client_id_prefix="cp",
        )

    # What may happen

    @rule(ms=st.integers(1, 8_000), move=st.integers(-30, 30), spread=st.integers(1, 20))
    def market_moves(self, ms, move, spread):
        self.now += ms * 1_000_000
        self.bid += move
        self.spread = spread
        self.give(self.quote())

    @rule(size=st.floats(0.001, 500))
    def market_trades(self, size):
        self.give(Trade(self.now, self.mid(), size, "buy"))

    @rule(ms=st.sampled_from([1, 500, 2_100, 6_000, 20_000]))
    def time_passes(self, ms):
        self.now += ms * 1_000_000
        for name, moment in list(self.wakes.items()):
            if moment <= self.now:
                del self.wakes[name]
                self.give(Wake(self.now, name))

    @rule(ms=st.integers(50, 4_000), eighths=st.integers(0, 8))
    def all_goes_well(self, ms, eighths):
        """Everything arrives; what is alive fills to some part."""
        self.now += ms * 1_000_000
        sent, self.to_venue = self.to_venue, []
        for sent_ns, command in sent:
            self.to_us += self.arrive(sent_ns, command, 0)
        for order in self.venue.alive():
            self.to_us += self.venue.trade(order, order.steps * eighths // 8, self.now)
            if not order.place.post_only:
                self.to_us += self.venue.expire(order, self.now)
        self.all_is_told()
        self.time_passes(1)

    def all_is_told(self):
        told, self.to_us = self.to_us, []
        for event in told:
            self.give(event)

    @precondition(lambda self: len(self.to_venue) > 1)
    @rule()
    def a_question_overtakes_an_order(self):
        sent_ns, command = self.to_venue.pop()
        self.to_us += self.arrive(sent_ns, command, 0)
        self.all_is_told()

    @precondition(lambda self: self.to_venue)
    @rule(
        which=st.integers(0, 5),
        code=st.sampled_from([0, 0, 0, 0, WOULD_TAKE, -2019]),
        lost=st.sampled_from([False, False, False, True]),
    )
    def reaches_the_venue(self, which, code, lost):
        sent_ns, command = self.to_venue.pop(which % len(self.to_venue))
        if not lost:
            self.to_us += self.arrive(sent_ns, command, code)

    def arrive(self, sent_ns: int, command: object, code: int) -> list[Event]:
        if isinstance(command, Place):
            if self.now - sent_ns >= NEVER_LATER_NS:
                code = -1021
            elif code == WOULD_TAKE and not command.post_only:
                code = 0
            return self.venue.arrive(command, self.now, code)
        if isinstance(command, Cancel):
            return self.venue.cancel(command, self.now)
        return self.venue.query(command, self.now)

    @precondition(lambda self: self.to_us)
    @rule(
        which=st.integers(0, 5),
        fate=st.sampled_from(["told", "told", "told", "told twice", "lost"]),
    )
    def reaches_us(self, which, fate):
        event = self.to_us[which % len(self.to_us)]
        if fate != "told twice":
            self.to_us.remove(event)
        if fate != "lost":
            self.give(event)

    @precondition(lambda self: any(isinstance(c, Place) for _, c in self.to_venue))
    @rule()
    def answer_times_out(self):
        place = next(c for _, c in self.to_venue if isinstance(c, Place))
        self.give(OrderUpdate(self.now, place.client_id, "unknown"))

    @precondition(lambda self: self.venue.alive())
    @rule(steps=st.integers(1, 200_000), all_of_it=st.booleans())
    def venue_fills(self, steps, all_of_it):
        order = self.venue.alive()[0]
        self.to_us += self.venue.trade(order, order.steps if all_of_it else steps, self.now)

    @precondition(lambda self: self.venue.alive())
    @rule()
    def venue_ends_an_order(self):
        self.to_us += self.venue.expire(self.venue.alive()[0], self.now)

    @rule(what=st.sampled_from(["before", "after"]))
    def we_crash(self, what):
        """Before or after what was committed was sent; what was on its way to us is lost."""
        self.now += 1_000_000
        if what == "before":
            self.give(self.quote(), sent=False)
        self.to_us = []
        self.wakes = {}
        if not self.twap.finished:
            self.twap = self.resumed()
            self.give(self.quote())

    @precondition(lambda self: self.twap.plan.status == "working")
    @rule(quarters=st.integers(0, 6), fewer=st.integers(0, 9))
    def target_changes(self, quarters, fewer):
        steps = max(self.twap._schedule.size * quarters // 4 - fewer, 0)
        out = Outbox()
        self.twap.replan(GRID.eth(steps), self.now, out)
        self.largest = max(self.largest, steps)
        self.keep(out)

    @precondition(lambda self: self.twap.plan.status == "working")
    @rule(word=st.sampled_from(["hurry", "stop"]), surely=st.sampled_from([False, False, True]))
    def emergency(self, word, surely):
        if surely:
            out = Outbox()
            getattr(self.twap, word)(out)
            self.keep(out)

    # What always holds

    @invariant()
    def never_too_much(self):
        asked = sum(
            GRID.steps(command.size)
            for sent_ns, command in self.to_venue
            if isinstance(command, Place) and self.now - sent_ns < NEVER_LATER_NS
        )
        alive = sum(order.steps - order.filled for order in self.venue.alive())
        assert self.venue.filled + alive + asked <= self.largest

    @invariant()
    def never_two_orders(self):
        asked = sum(
            isinstance(command, Place) and self.now - sent_ns < NEVER_LATER_NS
            for sent_ns, command in self.to_venue
        )
        assert len(self.venue.alive()) + asked <= 1

    @invariant()
    def nothing_is_forgotten(self):
        """A crash at this very moment would lose nothing that matters."""
        assert remembered(self.resumed()) == remembered(self.twap)

    @invariant()
    def wakes_while_it_works(self):
        assert self.twap.finished or self.wakes

    def teardown(self):
        """A venue that behaves from now on brings every schedule to its end."""
        for turn in range(600):
            if self.twap.finished:
                break
            self.now += (3 if turn < 300 else 30) * SECOND_NS
            sent, self.to_venue = self.to_venue, []
            for sent_ns, command in sent:
                self.to_us += self.arrive(sent_ns, command, 0)
                for order in self.venue.alive():
                    if not order.place.post_only:
                        self.to_us += self.venue.trade(order, order.steps, self.now)
            self.all_is_told()
            self.time_passes(1)
            self.give(self.quote())
        assert self.twap.finished
        assert self.twap._orders.filled == self.venue.filled
        plan = self.journal[Plan][-1]
        assert plan.status != "working"
        assert GRID.steps(plan.size) == self.venue.filled or plan.plan["why"]
        (cost,) = self.journal[Shortfall]
        assert cost.filled_eth == GRID.eth(self.venue.filled)
        fees = sum(fill.fee_usd for order in self.venue.orders.values() for fill in order.fills)
        assert abs(cost.fee_usd - fees) < 1e-6
        parts = cost.spread_usd + cost.impact_usd + cost.delay_usd + cost.fee_usd
        assert parts + cost.opportunity_usd == cost.total_usd


FaultyVenue.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestFaultyVenue = FaultyVenue.TestCase
