"""The slow guard: "The guard, exactly" of docs/risk.md again, one function per numbered step.

It exists to disagree with the compiled guard when that one is wrong, so it was written from the
page alone and shares no code with the package. It is not fast and checks no input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

TOLERANCE = 1e-12  # of a hedge ratio
NEVER = -math.inf

PORTFOLIO, SPOT, SHORT, SHORT_EQUITY = range(4)


@dataclass(frozen=True)
class GuardRules:
    """The rules; what is off has an infinite distance, limit or step, ``funding_keep`` is 0."""

    drawdown_limit: float = math.inf
    gap: float = 0.15
    reserve: float = 0.0
    rerisk_h: float = math.inf
    lock_step: float = math.inf
    lock_keep: float = 0.5
    # Portfolio, spot, short, short_equity.
    stop_distance: Sequence[float] = (math.inf,) * 4
    stop_trailing: Sequence[bool] = (False,) * 4
    stop_ratio: Sequence[float] = (1.0,) * 4
    stop_cooldown_h: Sequence[float] = (0.0,) * 4
    funding_limit: float = math.inf
    funding_release: float = 1.0
    funding_keep: float = 0.0
    switch_gain: float = math.inf


@dataclass(frozen=True)
class Look:
    """What the guard sees of one moment."""

    now: float  # hours
    equity: float  # V, USD
    flow: float  # V after deposits and withdrawals ÷ V without them
    spot: float  # S, USD
    mark: float  # M, USD
    profit: float  # P, of the hedge, USD
    earned: float  # funding received since the beginning, USD
    exposure: float  # L, ETH
    short_eth: float
    cost: Sequence[float]  # per venue, expected, of notional; NaN = unknown
    weights: Sequence[float]  # of the intent in force
    event_floor: float


@dataclass(frozen=True)
class Verdict:
    """What binds."""

    least: float
    forced: float  # NaN without an active stop
    cheaper: bool  # the funding guard takes the hedge to the low edge of the band
    venue: int | None  # where all of the short has to be
    kept: float  # USD of equity the floor keeps; −∞ for none
    standby: float  # hedge ratio that margin stands ready for
    # What the reasons are told from.
    floor: float
    event_floor: float
    locked: bool
    on: bool
    rearmed: bool

    def band(
        self, lo: float, hi: float, to_lo: float, to_hi: float
    ) -> tuple[float, float, float, float]:
        """The band the intent's (or the fallback's) becomes: lo, hi, to_lo, to_hi."""
        if not math.isnan(self.forced):
            ratio = max(self.forced, self.least)
            return ratio, ratio, ratio, ratio
        if self.cheaper:
            hi = to_hi = to_lo = lo
        return (
            max(lo, self.least),
            max(hi, self.least),
            max(to_lo, self.least),
            max(to_hi, self.least),
        )

    def reasons(self, lo: float) -> set[str]:
        """Names of what it did to a band with this low edge."""
        reasons = set()
        if not math.isnan(self.forced):
            reasons.add("STOP")
        if self.on:
            reasons.add("FUNDING_COST")
        if self.floor > lo + TOLERANCE:
            reasons.add("LOCK" if self.locked else "DRAWDOWN")
        if self.event_floor > max(self.floor, lo) + TOLERANCE:
            reasons.add("EVENT")
        if self.rearmed:
            reasons.add("REARMED")
        return reasons


@dataclass
class GuardOracle:
    """Rules and memory of one guard (mutable: it is the memory)."""

    rules: GuardRules
    full: float  # min(max_ratio, 1)

    seen: bool = False
    peak: float = 0.0  # USD, as the next two
    base: float = 0.0
    top: float = 0.0
    floor: float = 0.0
    since: float = NEVER
    rearmed: float = NEVER
    reference: list[float] = field(default_factory=lambda: [0.0] * 4)
    until: list[float] = field(default_factory=lambda: [NEVER] * 4)
    on: bool = False
    by_limit: bool = False  # what turned it on
    venue: int | None = None
    earned_top: float = 0.0

    def look(self, at: Look) -> Verdict:
        """Steps 1 to 5."""
        if not self._remember(at):
            return Verdict(
                least=at.event_floor,
                forced=math.nan,
                cheaper=False,
                venue=None,
                kept=NEVER,
                standby=0.0,
                floor=0.0,
                event_floor=at.event_floor,
                locked=False,
                on=False,
                rearmed=False,
            )
        kept, locked = self._raise_floor(at)
        forced = self._stops(at)
        cheaper = self._funding(at)
        return Verdict(
            least=max(self.floor, at.event_floor),
            forced=forced,
            cheaper=cheaper,
            venue=self.venue,
            kept=kept,
            standby=self._standby(at, kept),
            floor=self.floor,
            event_floor=at.event_floor,
            locked=locked,
            on=self.on,
            rearmed=self.rearmed == at.now,
        )

    # 1. First look, and deposits.
    def _remember(self, at: Look) -> bool:
        """Begin, or scale with deposits; answers whether there is anything to guard."""
        if at.flow <= 0:
            self.seen = False  # nothing of before can be scaled
        if not self.seen:
            if at.equity <= 0:
                return False  # put off
            self.seen = True
            self.peak = self.base = self.top = at.equity
            self.reference = self._watched(at)
            self.until = [NEVER] * 4
            self.floor = 0.0
            self.since = at.now
            self.earned_top = at.earned
            self.rearmed = NEVER
            self.on = self.by_limit = False
            self.venue = None
        elif at.flow != 1:
            self.peak *= at.flow
            self.base *= at.flow
            self.top *= at.flow
            self.reference[PORTFOLIO] *= at.flow
        return True

    # 2. Floor.
    def _raise_floor(self, at: Look) -> tuple[float, bool]:
        """Move the floor; answers kept (USD) and whether the profit lock set it."""
        rules = self.rules
        new = at.equity >= self.peak * (1 - 1e-12)
        self.peak = max(self.peak, at.equity)
        self.top = max(self.top, at.equity)
        if math.isinf(rules.drawdown_limit) and math.isinf(rules.lock_step):
            self.floor = 0.0
            return -math.inf, False

        kept, locked = self._kept()
        need = self._need(kept, at)
        if new or need > self.floor:
            self.floor = need
            self.since = at.now
        elif self.floor > 0 and at.now - self.since >= rules.rerisk_h:
            self.since = self.rearmed = at.now
            if need >= self.full - TOLERANCE:
                # The cushion is used up; a new one begins here.
                self.peak = self.base = self.top = at.equity
                kept, locked = self._kept()
                need = self._need(kept, at)
            self.floor = need
        return kept, locked

    def _standby(self, at: Look, kept: float) -> float:
        """Floor after one more gap, or at the first step of the lock, as of the present price."""
        rules, coins = self.rules, at.exposure * at.spot
        if coins <= 0 or at.equity <= 0:
            return 0.0
        ready = 0.0
        if kept > -math.inf:
            h = min(max(at.short_eth / at.exposure, self.floor), self.full)
            fallen = replace(
                at,
                equity=at.equity - rules.gap * (1 - h) * coins,
                spot=at.spot * (1 - rules.gap),
            )
            ready = self._need(kept, fallen) * (1 - rules.gap)
        if math.isfinite(rules.lock_step):
            first_step = self.base * (1 + rules.lock_step)
            if self.top < first_step and at.equity >= (1 - rules.gap) * first_step:
                risen = replace(at, equity=first_step, spot=at.spot * first_step / at.equity)
                locked = self.base * (1 + rules.lock_keep * rules.lock_step)
                ready = max(ready, self._need(locked, risen) * first_step / at.equity)
        return ready

    def _kept(self) -> tuple[float, bool]:
        rules = self.rules
        by_drawdown = by_lock = -math.inf
        if math.isfinite(rules.drawdown_limit):
            by_drawdown = (1 - rules.drawdown_limit) * self.peak
        gained = self.top - self.base
        if math.isfinite(rules.lock_step) and gained >= rules.lock_step * self.base:
            by_lock = self.base + rules.lock_keep * gained
        return max(by_drawdown, by_lock), by_lock > by_drawdown

    def _need(self, kept: float, at: Look) -> float:
        if kept == -math.inf:
            return 0.0
        if at.equity <= 0:
            return self.full
        cushion = (1 - self.rules.reserve) * at.equity - kept
        can_be_lost = self.rules.gap * at.exposure * at.spot
        if cushion >= can_be_lost:
            return 0.0
        if can_be_lost == 0:
            return self.full
        need = self.full * min(1 - cushion / can_be_lost, 1.0)
        if need >= 0.9 * self.full:
            return self.full
        return 0.0 if need < TOLERANCE else need

    # 3. Stops.
    @staticmethod
    def _watched(at: Look) -> list[float]:
        return [at.equity, at.spot, at.mark, at.profit]

    def _stops(self, at: Look) -> float:
        """Largest ratio of the active stops, NaN without one."""
        active: list[float] = []
        for k, x in enumerate(self._watched(at)):
            if math.isinf(self.rules.stop_distance[k]):
                continue
            if self._stop_is_active(k, x, at):
                active.append(self.rules.stop_ratio[k])
        return max(active, default=math.nan)

    def _stop_is_active(self, k: int, x: float, at: Look) -> bool:
        distance = self.rules.stop_distance[k]
        if self.until[k] > NEVER:
            if at.now < self.until[k]:
                return True
            self.reference[k] = x
            self.until[k] = NEVER
            return False
        if k in {SHORT, SHORT_EQUITY} and not at.short_eth > 0:
            self.reference[k] = x
            return False
        if self.rules.stop_trailing[k]:
            better = min if k == SHORT else max
            self.reference[k] = better(self.reference[k], x)
        reference = self.reference[k]
        if k == SHORT:
            fired = x >= (1 + distance) * reference
        elif k == SHORT_EQUITY:
            fired = x <= reference - distance * at.exposure * at.spot
        else:
            fired = x <= (1 - distance) * reference
        if fired:
            self.until[k] = at.now + self.rules.stop_cooldown_h[k]
        return fired

    # 4. Funding.
    def _funding(self, at: Look) -> bool:
        """Turn the funding guard on and off, choose its venue; answers `cheaper`."""
        rules = self.rules
        self.earned_top = max(self.earned_top, at.earned)
        pairs = [(w, c) for w, c in zip(at.weights, at.cost, strict=True) if not math.isnan(c)]
        known = sum(weight for weight, _ in pairs)
        c = sum(weight * cost for weight, cost in pairs) / known if known > 0 else math.nan

        if self.on:
            released = self.by_limit and c < rules.funding_release * rules.funding_limit
            if not c > 0 or released:  # an unknown cost falls towards the hedge
                self.on = False
                self.venue = None
                self.earned_top = at.earned
        elif c > rules.funding_limit:
            self.on = self.by_limit = True
        elif rules.funding_keep > 0 and self.earned_top > 0 and c > 0:
            self.on = at.earned < rules.funding_keep * self.earned_top
            self.by_limit = False

        if self.on and len(at.cost) > 1:
            told = [v for v, cost in enumerate(at.cost) if not math.isnan(cost)]
            cheapest = min(told, key=lambda v: at.cost[v])  # the first of equals
            x = c if self.venue is None else at.cost[self.venue]
            if math.isnan(x) or x - at.cost[cheapest] > rules.switch_gain:
                self.venue = cheapest
        bearable = rules.funding_limit if math.isfinite(rules.funding_limit) else 0.0
        paid_less = self.venue is not None and at.cost[self.venue] <= bearable
        return self.on and not paid_less
