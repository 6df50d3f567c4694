"""One run in a bad world, from a seed: what goes wrong, and what has to be in order in the end."""

import random
from decimal import Decimal

import pytest

from counterpoise.execution.records import Decision, FillBooked, OrderSent, Plan
from counterpoise.rehearsal.orders import OrderRequest
from counterpoise.units import NS_PER_S
from tests.execution.account import PREFIX, START_NS, STEP
from tests.execution.bad_wire import SYMBOL, BadWire, Clockwork, Faults
from tests.execution.mortal import EXPOSURE_ETH, Death, Listed, MortalRun, drawn_deaths, row

RATIOS = (0.0, 0.0, 0.3, 0.5, 0.8, 0.8, 1.0)
#: Seconds in which things go wrong, and until everything has to be in order.
BAD_S, GOOD_S = 200, 200
#: Longest that a short may be held by a living, seeing run without a buy stop, s.
BARE_S = 60
#: Until a new short has been seen by a look at the account, s.
SEEN_S = 20


class Schedule:
    """One run in a bad world, from a seed."""

    def __init__(self, seed: int, journal=None) -> None:
        rng = self.rng = random.Random(seed)
        self.clock = Clockwork()
        self.wire = BadWire(rng, self.clock, self.faults())
        self.wire.skew_ns = round(rng.gauss(0.0, 0.15) * NS_PER_S)
        self.bad_until = START_NS + BAD_S * NS_PER_S
        self.journal = Listed() if journal is None else journal
        self.run = MortalRun(self.wire, self.clock, self.journal, self.deaths())
        self.rows = 0
        self.ratio = 0.0
        self.bare_since: int | None = None
        self.rested = False
        self.held_since: int | None = None
        self.wire.watch = self.watch_stops
        self.strangers: list[str] = []
        self.tick(0)
        self.plan()
        self.clock.at(START_NS + NS_PER_S // 2, self.run.start)

    def faults(self) -> Faults:
        """How bad the wire is."""
        rng = self.rng
        worst = rng.choice((0.0, 0.02, 0.1))
        faults = Faults(*(rng.choice((0.0, worst)) for _ in range(4)))
        for _ in range(rng.choice((0, 0, 1, 2))):
            begin = START_NS + round(rng.random() * BAD_S * NS_PER_S)
            faults.cuts.append((begin, begin + round(rng.uniform(1, 25) * NS_PER_S)))
        return faults

    def deaths(self) -> list[Death]:
        """When the run dies."""
        return drawn_deaths(self.rng, self.bad_until, START_NS)

    def plan(self) -> None:
        """Rows of the bar clock, orders of strangers, and the kill switch."""
        rng, clock = self.rng, self.clock
        at_s = 3.0
        while at_s < BAD_S:
            ts_ns = START_NS + round(at_s * NS_PER_S)
            ratio, urgency = rng.choice(RATIOS), rng.choice((0.0, 0.5, 1.0))
            clock.at(ts_ns, lambda r=ratio, u=urgency: self.tell_row(r, u))
            at_s += rng.uniform(15.0, 90.0)
        if rng.random() < 0.3:
            clock.at(START_NS + NS_PER_S // 4, self.stranger)
        if rng.random() < 0.25:
            first = rng.uniform(20.0, 120.0)
            order = rng.choice(("halt", "flatten"))
            clock.at(START_NS + round(first * NS_PER_S), lambda: self.run.order(order))
            last = first + rng.uniform(1.0, 80.0)
            clock.at(START_NS + round(last * NS_PER_S), lambda: self.run.order("resume"))

    def tick(self, number: int) -> None:
        self.wire.tick(mark=number % 3 == 0)
        again = START_NS + (number + 1) * NS_PER_S
        self.clock.at(again, lambda: self.tick(number + 1))

    def tell_row(self, ratio: float, urgency: float) -> None:
        self.rows, self.ratio = self.rows + 1, ratio
        price = self.wire._mid * 0.01
        self.run.tell_row(row(self.wire.mine(), 480_000 + self.rows, ratio, price, urgency))

    def stranger(self) -> None:
        for side, price in (("BUY", 1_910), ("SELL", 2_090)):
            name = f"web-{side}"
            self.wire.exchange.place(
                OrderRequest(
                    symbol=SYMBOL,
                    side=side,
                    type="LIMIT",
                    quantity=Decimal("0.02"),
                    price=Decimal(price),
                    client_id=name,
                ),
                self.wire.now_ms,
            )
            self.strangers.append(name)

    def watch_stops(self) -> None:
        """Once a buy stop rests, one rests as long as a short is held, dead or alive."""
        rests, short = bool(self.wire.buy_stops()), self.wire.short_eth >= STEP
        now = self.clock.now
        self.held_since = (self.held_since or now) if short else None
        if rests or self.held_since is None:
            self.bare_since = None
            # One that is left over from an earlier short may go.
            self.rested = short and now - (self.held_since or now) > SEEN_S * NS_PER_S
            return
        if self.rested:
            orders = self.wire.exchange.all_orders(SYMBOL)
            assert any("stop-" in order.client_id for order in orders), "no stop under a short"
        if self.run.controller is None or self.clock.now < self.bad_until:
            self.bare_since = None
        elif self.bare_since is None:
            self.bare_since = self.clock.now
        else:
            assert self.clock.now - self.bare_since < BARE_S * NS_PER_S, "no stop rests"

    def play(self) -> None:
        self.clock.run(self.bad_until)
        self.run.deaths.clear()
        self.wire.faults = Faults()
        while self.run.controller is None:
            self.clock.run(self.clock.now + NS_PER_S)
        self.clock.run(self.clock.now + GOOD_S * NS_PER_S)
        self.check()

    def check(self) -> None:
        wire, run = self.wire, self.run
        controller = run.controller
        assert controller is not None
        assert controller.reconciler.halted is None, controller.reconciler.halted
        assert controller.mode == "trading"
        assert controller.blocked() == ""
        # No order twice, none unknown to the journal.
        sent = [order.client_id for order in self.journal.records(OrderSent)]
        assert len(sent) == len(set(sent))
        moves = {name for name in wire.arrived if "move" in name}
        assert set(wire.arrived) - moves <= set(sent)
        # Every fill of the venue is in the journal, once.
        ours = {
            (fill.client_id, fill.trade_id): fill.size
            for fill in wire.fills()
            if fill.client_id.startswith(PREFIX)
        }
        booked = self.journal.records(FillBooked)
        assert len(booked) == len(ours)
        assert {(fill.client_id, fill.trade_id): fill.size for fill in booked} == ours
        # Position: counted, journalled, held, and the target.
        short = wire.short_eth
        assert controller.short_eth == pytest.approx(short, abs=1e-9)
        assert controller.reconciler.counted_eth == pytest.approx(short, abs=1e-9)
        assert self.journal.counted_short() == pytest.approx(short, abs=1e-9)
        least = max(STEP, 20.0 / 1_900.0) if self.ratio * EXPOSURE_ETH > short else STEP
        assert abs(short - self.ratio * EXPOSURE_ETH) < least + 1e-9, (
            f"{short} held, {self.ratio * EXPOSURE_ETH} wanted"
        )
        # No schedule filled more than it was ever to fill.
        sizes: dict[int, float] = {}
        for plan in self.journal.records(Plan):
            sizes[plan.schedule_id] = max(sizes.get(plan.schedule_id, 0.0), plan.size)
        for fill in booked:
            if fill.schedule_id:
                sizes[fill.schedule_id] -= fill.size
        assert all(left > -1e-9 for left in sizes.values()), sizes
        numbers = [d.decision_id for d in self.journal.records(Decision)]
        assert numbers == list(range(1, len(numbers) + 1))
        # What rests: strangers' orders, and one buy stop over a short.
        resting = [order.client_id for order in wire.exchange.open_orders(SYMBOL)]
        assert sorted(resting) == sorted(self.strangers)
        assert len(wire.buy_stops()) == (1 if short >= STEP else 0)
