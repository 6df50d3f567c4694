"""What no decision may ever do, over random walks through the compiled step.

A case is a short life of an account: prices that jump, marks that age, clocks that slip, deposits,
funding, events, every rule of the guard and every limit at random. Its orders are carried out as a
driver would, and each decision is held to what the product promises.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision import moment as rows
from counterpoise.decision.decide import Desk
from counterpoise.decision.moment import Limits, Reason
from counterpoise.risk import guard_rules
from counterpoise.risk.guard_rules import NO_GUARD, STOPS, GuardRules
from tests.simulation.test_oracle import guard_of, maybe

NAN = math.nan
STEPS = 25
STEP_ETH, MINIMUM_USD = 0.001, 20.0


def limits_at_random(rng: np.random.Generator, scale: float = 1.0) -> Limits:
    limits = Limits(
        max_ratio=float(rng.choice([0.7, 1.0, 1.2])),
        fallback_ratio=0.7,
        grace_ticks=2.0,
        venue_usd=maybe(rng, 60_000.0, 120_000.0),
        total_usd=maybe(rng, 90_000.0, 180_000.0),
        order_usd=maybe(rng, 20_000.0, 60_000.0),
        minute_usd=maybe(rng, 20_000.0, 60_000.0),
        collar=maybe(rng, 0.002, 0.01),
        fat_finger=maybe(rng, 0.3, 1.0),
        min_interval_h=float(rng.choice([0.0, 0.5, 3.0])),
        keep_alive=float(rng.choice([0.0, 0.02, 0.1])),
        mark_max_age_s=60.0,
    )
    return limits._replace(
        venue_usd=limits.venue_usd * scale,
        total_usd=limits.total_usd * scale,
        order_usd=limits.order_usd * scale,
        minute_usd=limits.minute_usd * scale,
    )


class Life:
    """One account and its driver, of a seed; everything that has a size times ``scale``."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        self.scale = scale
        self.rng = rng = np.random.default_rng(seed)
        self.venues = venues = int(rng.integers(1, 4))
        self.limits = limits_at_random(rng, scale)
        fields = guard_of(rng, 0, 1)
        rules = GuardRules(**{name: fields[name] for name in GuardRules._fields})
        self.rules = rules if rng.integers(4) else NO_GUARD
        self.desk = Desk(venues, self.limits, self.rules)
        self.exposure, self.spot, self.now = 100.0 * scale, 2_000.0, 0.0
        self.short, self.cash = np.zeros(venues), np.zeros(venues)
        self.paid_in, self.earned = 0.0, 0.0
        self.wild = float(rng.choice([0.002, 0.02, 0.08]))
        self.budget = maybe(rng, 5_000.0, 60_000.0) * scale
        self.waits = bool(rng.integers(2))

    def prepare(self) -> None:
        """Write what the next decision reads; some of it is broken at times."""
        rng, desk, book = self.rng, self.desk, self.desk.book
        before = self.spot
        self.spot *= math.exp(rng.standard_t(3) * self.wild)
        self.cash -= self.short * (self.spot - before)
        funding = self.short.sum() * self.spot * rng.normal(0.0, 3e-4)
        self.cash[0] += funding
        self.earned += funding
        flow = 1.0
        equity = self.exposure * self.spot + self.cash.sum() - self.paid_in
        if rng.uniform() < 0.05:
            added = float(rng.uniform(-0.4, 0.6)) * self.exposure
            self.exposure += added
            after = equity + added * self.spot
            flow, equity = (after / equity if equity > 0.0 else 0.0), after
        self.now += float(rng.choice([1e-4, 0.3, 1.0, 7.0]))
        price = self.spot * (1.0 + rng.normal(0.0, 0.003, self.venues))
        book[rows.SHORT], book[rows.PRICE], book[rows.EQUITY] = self.short, price, self.cash
        weights = rng.uniform(0.05, 1.0, self.venues)
        book[rows.SHARE] = weights / weights.sum()
        book[rows.STEP], book[rows.MINIMUM], book[rows.UNIT] = (
            self.scale * STEP_ETH,
            self.scale * MINIMUM_USD,
            1.0,
        )
        book[rows.ON_WAY], book[rows.DEBT] = 0.0, 0.0
        book[rows.COST] = rng.normal(0.0, 0.01, self.venues)
        book[rows.COST, rng.uniform(size=self.venues) < 0.2] = NAN
        lo, hi = np.sort(rng.uniform(0.0, 1.2, 2))
        inside = np.sort(rng.uniform(lo, hi, 2))
        desk.intent[:4] = lo, hi, inside[0], inside[1]
        if rng.uniform() < 0.15:
            desk.intent[int(rng.integers(4))] = NAN
        most = float(rng.uniform(1.5, 8.0))
        pnl = self.cash.sum() - self.paid_in
        event = float(rng.choice([0.0, 0.0, 0.9]))
        quiet = float(rng.uniform() < 0.15)
        desk.moment[:] = (
            *(self.now, float(rng.choice([0.0, 59.0, 61.0], p=[0.8, 0.15, 0.05]))),
            *(self.exposure, self.spot, price[0], equity, flow, pnl, self.earned),
            *(event, NAN, quiet, most / 1.4, most, self.budget - self.paid_in, self.waits),
        )
        if rng.uniform() < 0.08:
            self.spoil()

    def spoil(self) -> None:
        """Break one number of the moment or of the book, whichever it is."""
        rng, desk = self.rng, self.desk
        value = float(rng.choice([NAN, math.inf, -math.inf]))
        if rng.integers(2):
            # The class of an event is only told; a switch is none or one.
            fields = [place for place in range(14) if place not in {10, 11}]
            desk.moment[int(rng.choice(fields))] = value
        else:
            row = int(rng.choice(list(range(rows.COST))))
            desk.book[row, int(rng.integers(self.venues))] = value

    def carry_out(self, reasons: Reason) -> None:
        """Trade and transfer, unless the decision is none."""
        if Reason.HALTED in reasons:
            return
        moved = self.desk.book[rows.COLLATERAL] - self.cash
        self.paid_in += moved.sum()
        self.cash += moved
        self.short = self.desk.book[rows.TARGET].copy()


def live(seed: int) -> set[str]:
    """Go through one life and hold every decision to its promises; returns the reasons seen."""
    life, seen = Life(seed), set()
    desk, limits, rules = life.desk, life.limits, life.rules
    fired = np.full(STOPS, -math.inf)
    floor = 0.0
    for _ in range(STEPS):
        life.prepare()
        before = {name: getattr(desk, name).copy() for name in ("book", "moment", "memory")}
        reasons = Reason(desk.decide())
        seen |= {flag.name or "" for flag in reasons}
        target, collateral = desk.book[rows.TARGET], desk.book[rows.COLLATERAL]
        short, price = before["book"][rows.SHORT], before["book"][rows.PRICE]
        now, exposure, spot = before["moment"][0], before["moment"][2], before["moment"][3]

        # No number is made up, and nothing moves on ground that cannot be trusted.
        assert np.isfinite(target).all()
        assert np.isfinite(collateral).all()
        assert (target >= 0.0).all()
        read = [*range(4), *range(12, 14)]
        trusted = np.isfinite(before["moment"][read]).all()
        trusted = trusted and np.isfinite(before["book"][: rows.COST]).all()
        if Reason.HALTED in reasons:
            known = np.isfinite(short)
            np.testing.assert_array_equal(target[known], short[known])
            assert np.array_equal(desk.memory, before["memory"], equal_nan=True)
            life.carry_out(reasons)
            continue
        assert trusted

        # Caps hold: what is above one is there already, and an order could not be sent.
        refused = Reason.COLLAR | Reason.FAT_FINGER | Reason.ORDER_CAP
        rounding = STEP_ETH * life.venues
        if not reasons & refused:
            cap = max(limits.max_ratio * exposure, 0.0)
            assert target.sum() <= cap + rounding
            assert (target * price <= limits.venue_usd + 1e-6).all()
            assert (target * price).sum() <= limits.total_usd + 1e-6
        assert ((target <= short) | (target * price <= limits.venue_usd + 1e-6)).all()
        grown = target.sum() > short.sum() + rounding
        held_usd, total_usd = (short * price).sum(), (target * price).sum()
        assert total_usd <= max(held_usd, limits.total_usd) + (price * STEP_ETH).sum() + 1e-6
        assert not grown or target.sum() <= limits.max_ratio * exposure + rounding

        # No order past a collar, none larger than allowed, none below the venue's minimum.
        order = target - short
        outside = np.abs(price / spot - 1.0) > limits.collar
        assert (order[outside] == 0.0).all()
        if not math.isinf(limits.order_usd):
            # A position over the cap of its venue is cut whatever an order may be.
            assert (np.abs(order) * price <= limits.order_usd + STEP_ETH * price + 1e-6).all()
        adds = order > 1e-9
        assert (order[adds] * price[adds] >= MINIMUM_USD - 1e-6).all()
        assert (order[adds] <= limits.fat_finger * exposure + 1e-9).all()

        # Margin is enough for the stated move, or the decision says that none could make it so.
        most = desk.moment[13]
        enough = collateral * most >= target * price * (1.0 - 1e-9)
        assert enough.all() or Reason.UNFUNDED in reasons
        if life.waits:
            there = before["book"][rows.EQUITY] * most >= target * price * (1.0 - 1e-9)
            assert there[adds].all()

        # A stop fires once, then acts until its cool-down is over.
        until, was = (
            desk.memory[guard_rules.UNTIL : guard_rules.UNTIL + STOPS],
            before["memory"][guard_rules.UNTIL :],
        )
        for k in range(STOPS):
            if rules.active and until[k] > -math.inf and until[k] != was[k]:
                assert now - fired[k] >= rules.stop_cooldown_h[k] - 1e-9
                fired[k] = now

        # The floor never falls while the drawdown guard is active: only a peak or a stated new look
        # lets go.
        if rules.active and not math.isnan(desk.memory[guard_rules.PEAK]):
            new_peak = before["moment"][5] >= desk.memory[guard_rules.PEAK] * (1.0 - 1e-9)
            begun = math.isnan(before["memory"][guard_rules.PEAK]) or before["moment"][6] <= 0.0
            lets_go = new_peak or begun or Reason.REARMED in reasons
            assert desk.memory[guard_rules.FLOOR] >= floor or lets_go
            floor = desk.memory[guard_rules.FLOOR]
        life.carry_out(reasons)
    return seen


def scales(seed: int) -> None:
    """An account eight times the size decides eight times the size, to the last bit.

    No tier enters a decision, so it is always within one; and eight is a power of two, so that no
    product is rounded differently. The venue's filters are scaled away with the rest.
    """
    small, large = Life(seed), Life(seed, 8.0)
    for _ in range(STEPS):
        for life in (small, large):
            life.prepare()
        reasons = [Reason(life.desk.decide()) for life in (small, large)]
        assert reasons[0] == reasons[1]
        for row in (rows.TARGET, rows.COLLATERAL):
            one, eight = small.desk.book[row], large.desk.book[row]
            np.testing.assert_array_equal(8.0 * one, eight)
        for life in (small, large):
            life.carry_out(reasons[0])


@settings(max_examples=3_000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scaling_the_exposure_scales_every_decision_under_the_guard(seed: int) -> None:
    scales(seed)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scaling_scales_a_hundred_thousand_lives(seed: int) -> None:
    scales(seed)


@settings(max_examples=3_000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_decision_breaks_a_promise(seed: int) -> None:
    live(seed)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_decision_breaks_a_promise_in_a_hundred_thousand_lives(seed: int) -> None:
    live(seed)


def test_the_lives_see_every_reason_but_those_of_a_simulation() -> None:
    seen = set().union(*(live(seed) for seed in range(600)))
    assert seen == {flag.name for flag in Reason} - {"CLOSED"}
