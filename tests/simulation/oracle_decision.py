"""The slow simulator's `decision.step`: one function per step of docs/simulation.md."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.risk.guard_oracle import GuardOracle, Look, Verdict

TOLERANCE = 1e-12  # of a hedge ratio

Band = tuple[float, float, float, float]  # lo, hi, to_lo, to_hi


@dataclass
class Memory:
    """What one decision leaves to the next (mutable: it is the state)."""

    weights: list[float]  # of the last known intent
    band: Band = (math.nan,) * 4  # of the last known intent
    known: bool = False
    age: int = 0  # ticks since it was known
    guard: GuardOracle | None = None  # None = inactive
    last_move: float = -math.inf  # hours
    minute: int | None = None
    spent: float = 0.0  # USD ordered in that minute


@dataclass(frozen=True)
class Limits:
    """What never changes during a run."""

    max_ratio: float
    fallback_ratio: float
    grace_ticks: int
    venue_usd: float
    total_usd: float
    order_usd: float
    minute_usd: float
    collar: float
    fat_finger: float
    min_interval_h: float
    keep_alive: float


@dataclass(frozen=True)
class Moment:
    """Everything a decision is taken on, one entry per venue in the lists."""

    short: list[float]
    price: list[float]
    equity: list[float]
    on_way: list[float]  # USD of margin
    debt: list[float]
    step: list[float]
    min_notional_usd: list[float]
    unit: list[float]  # USD of margin per USDT or ETH
    available: float  # USDT or ETH
    exposure: float
    index: float
    now: float  # hours
    quiet: bool
    takes_time: bool  # collateral, and this is not the first decision
    intent: Band
    weights: list[float]
    leverage: float
    leverage_max: float
    # Of the guard.
    value: float  # V
    flow: float
    profit: float  # P
    earned: float
    cost: list[float]
    event_floor: float

    @property
    def venues(self) -> range:
        return range(len(self.short))

    @property
    def have(self) -> list[float]:
        """Margin at the venue and on its way, USD."""
        return [equity + on_way for equity, on_way in zip(self.equity, self.on_way, strict=True)]

    def off_index(self, v: int, collar: float) -> bool:
        """Whether the perpetual is too far from the index to be traded."""
        return abs(self.price[v] / self.index - 1) > collar


@dataclass(frozen=True)
class Decision:
    """What decision.step answers."""

    target: list[float]
    collateral: list[float]
    lo: float
    hi: float
    chain: tuple[float, ...]  # asked, least, forced, goal, V, kept
    reasons: set[str]


@dataclass
class Plan:
    """Targets and margins while the steps change them."""

    target: list[float]
    collateral: list[float] = field(default_factory=list)
    spare: float = 0.0  # USDT or ETH nobody took
    lowered: bool = False  # whether step 8 cut a target


def decide(memory: Memory, at: Moment, limits: Limits) -> Decision:
    """Turn the intent's row into a target and a collateral per venue; updates the memory."""
    reasons: set[str] = set()

    # 1. Which band is in force.
    band = band_in_force(memory, at, limits, reasons)

    # 2. Where the hedge ratio should go, before and after the guard.
    held = sum(at.short)
    h = hedge_ratio(held, at.exposure)
    asked, _ = goal_of(band, h)
    weights = memory.weights
    least, forced, standby = 0.0, math.nan, 0.0
    value = kept = math.nan
    if memory.guard is not None:
        verdict = look(memory.guard, memory.weights, at)
        reasons |= verdict.reasons(band[0])
        band = verdict.band(*band)
        least, forced, standby = verdict.least, verdict.forced, verdict.standby
        value = at.value
        kept = math.nan if verdict.kept == -math.inf else verdict.kept
        if verdict.venue is not None:
            weights = [float(v == verdict.venue) for v in at.venues]
    goal, said = goal_of(band, h)
    reasons.add(said)

    # 3. The limits of the goal, and waiting.
    if goal > limits.max_ratio + TOLERANCE:
        goal = limits.max_ratio
        reasons.add("CAPPED")
    goal = max(goal, 0.0)
    waits = (
        (at.quiet or at.now - memory.last_move < limits.min_interval_h)
        and math.isnan(forced)
        and h <= limits.max_ratio + TOLERANCE
    )
    if waits:
        # The static ratio of the fallback counts as the guard's.
        raises = max(least, band[0]) if "FALLBACK" in reasons else least
        allowed = max(h, min(raises, limits.max_ratio))
        if abs(goal - allowed) > TOLERANCE:
            goal = allowed
            reasons.add("WAIT")
        if held > 0:
            weights = [short / held for short in at.short]

    # 4. Whether anything moves, and to where.
    moves = abs(goal - h) > TOLERANCE
    if not waits and held > 0:
        apart = sum(abs(weights[v] - at.short[v] / held) for v in at.venues)
        if apart > 0.1:
            moves = True
            reasons.add("SWITCH")
    wanted = [weights[v] * goal * at.exposure if moves else at.short[v] for v in at.venues]
    pure = moves and abs(goal - h) <= TOLERANCE  # between venues, at the same ratio

    # 5. What can be ordered.
    over_the_cap = h > limits.max_ratio + TOLERANCE
    plan = Plan(orderable(wanted, at, over_the_cap=over_the_cap, reasons=reasons))
    if "BELOW_MINIMUM" in reasons and pure:
        plan.target = list(at.short)

    # 6. Order limits.
    minute = math.floor(at.now * 60 + 1e-6)
    if minute != memory.minute:
        memory.minute = minute
        memory.spent = 0.0
    total = max(goal * at.exposure, 0.0) if moves else held
    reasons |= limit_orders(plan, at, limits, memory.spent, total, over_the_cap=over_the_cap)

    # 7. Collateral, and 8. paying for it.
    ready = [margin_ready(v, standby, weights, at) for v in at.venues]
    ask_for_margin(plan, at, ready, reasons)
    pay_for_it(plan, at, ready, reasons)
    if plan.lowered and pure:
        asked_for = plan.collateral
        plan = Plan(list(at.short))
        reasons |= limit_orders(plan, at, limits, memory.spent, held, over_the_cap=over_the_cap)
        ask_for_margin(plan, at, ready, reasons)
        pay_for_it(plan, at, ready, reasons)
        if at.takes_time:
            send_ahead(plan, at, asked_for)

    # 9. Staying alive.
    if limits.keep_alive > 0:
        stay_alive(plan, at, limits, memory.spent, reasons)

    # 10. What the next decision has to know.
    if plan.target != at.short and "ORDER_CAP" not in reasons:
        memory.last_move = at.now  # what is left of an order that was cut need not wait
    memory.spent += sum(used_by(v, plan, at) for v in at.venues)

    chain = (asked, least, forced, goal, value, kept)
    return Decision(plan.target, plan.collateral, band[0], band[1], chain, reasons)


# --- Steps 1 to 3 ---------------------------------------------------------------------------------


def band_in_force(memory: Memory, at: Moment, limits: Limits, reasons: set[str]) -> Band:
    """The intent's band, the last known one, or the fallback."""
    if all(math.isfinite(level) for level in at.intent):
        memory.band = at.intent
        memory.weights = list(at.weights)
        memory.known = True
        memory.age = 0
        return memory.band
    memory.age += 1
    if memory.known and memory.age <= limits.grace_ticks:
        reasons.add("HELD")
        return memory.band
    reasons.add("FALLBACK")
    lo = min(limits.fallback_ratio, limits.max_ratio)
    hi = max(limits.max_ratio, lo)
    return lo, hi, lo, hi


def hedge_ratio(held: float, exposure: float) -> float:
    """Short ÷ exposure; without an exposure anything held is infinitely much."""
    if exposure > 0:
        return held / exposure
    return math.inf if held > 0 else 0.0


def goal_of(band: Band, h: float) -> tuple[float, str]:
    """Where a band takes the ratio, and the reason it gives."""
    lo, hi, to_lo, to_hi = band
    if h < lo - TOLERANCE:
        return to_lo, "RAISE"
    if h > hi + TOLERANCE:
        return to_hi, "LOWER"
    return h, "IN_BAND"


def look(guard: GuardOracle, weights: list[float], at: Moment) -> Verdict:
    """Show the guard this moment."""
    return guard.look(
        Look(
            now=at.now,
            equity=at.value,
            flow=at.flow,
            spot=at.index,
            mark=at.price[0],
            profit=at.profit,
            earned=at.earned,
            exposure=at.exposure,
            short_eth=sum(at.short),
            cost=at.cost,
            weights=weights,
            event_floor=at.event_floor,
        )
    )


# --- Steps 5 and 6 --------------------------------------------------------------------------------


def orderable(
    wanted: list[float], at: Moment, *, over_the_cap: bool, reasons: set[str]
) -> list[float]:
    """Whole steps, and no order to add that is too small."""
    target: list[float] = []
    for v in at.venues:
        short, step = at.short[v], at.step[v]
        steps = abs(wanted[v] - short) / step
        reduces = wanted[v] < short
        hard = over_the_cap and reduces
        n = math.ceil(steps - 1e-9) if hard else math.floor(steps + 1e-9)
        if wanted[v] <= 1e-9 * step:
            target.append(0.0)
        elif n == 0:
            target.append(short)
        elif reduces:
            target.append(max(0.0, short - n * step))
        elif n * step * at.price[v] < at.min_notional_usd[v]:
            target.append(short)
            reasons.add("BELOW_MINIMUM")
        else:
            target.append(short + n * step)
    return target


def used_by(v: int, plan: Plan, at: Moment) -> float:
    """USD that the order of a venue is worth."""
    return abs(plan.target[v] - at.short[v]) * at.price[v]


def whole_steps(usd: float, v: int, at: Moment) -> float:
    """ETH, in whole steps, that so many USD are."""
    if math.isinf(usd):
        return math.inf
    return math.floor(usd / at.price[v] / at.step[v] + 1e-9) * at.step[v]


@dataclass(frozen=True)
class Rooms:
    """What the limits of an order and of a minute leave to the order of a venue."""

    limits: Limits
    spent: float  # USD, in this minute
    halves: bool  # some venues add and others reduce

    def of(self, v: int, others: Iterable[int], plan: Plan, at: Moment) -> float:
        """USD that the order of a venue may be worth beside those of the others."""
        left = self.limits.minute_usd - self.spent
        if self.halves:
            left = max(left, 0.0) / 2
            opens = plan.target[v] > at.short[v]
            others = [u for u in others if (plan.target[u] > at.short[u]) == opens]
        used = sum(used_by(u, plan, at) for u in others)
        return min(self.limits.order_usd, max(left - used, 0.0))


def limit_orders(
    plan: Plan,
    at: Moment,
    limits: Limits,
    spent: float,
    total: float,
    *,
    over_the_cap: bool,
) -> set[str]:
    """Venue by venue: caps on what is held, then on the order that gets there; the flags."""
    reasons: set[str] = set()
    changes = [plan.target[v] - at.short[v] for v in at.venues]
    rooms = Rooms(limits, spent, halves=min(changes) < 0 < max(changes))
    for v in at.venues:
        short, price = at.short[v], at.price[v]
        before = range(v)

        held_before = sum(plan.target[u] * at.price[u] for u in before)
        most = min(limits.venue_usd, max(limits.total_usd - held_before, 0.0))
        if plan.target[v] * price > most:
            plan.target[v] = whole_steps(most, v, at)
            reasons.add("VENUE_CAP")
            adds = plan.target[v] - short
            if adds > 0 and adds * price < at.min_notional_usd[v]:
                plan.target[v] = short

        if plan.target[v] == short:
            continue
        size = abs(plan.target[v] - short)
        needed = plan.target[v] < short and over_the_cap  # no reduction over the cap is a mistake
        room = rooms.of(v, before, plan, at)
        if at.off_index(v, limits.collar):
            plan.target[v] = short
            reasons.add("COLLAR")
            continue
        if size * price > (1 + 1e-12) * room:
            part = whole_steps(room, v, at)
            if plan.target[v] < short:
                plan.target[v] = max(short - part, 0.0)
            elif part * price < at.min_notional_usd[v]:
                plan.target[v] = short
            else:
                plan.target[v] = short + part
            reasons.add("ORDER_CAP")
        size = abs(plan.target[v] - short)
        if at.exposure > 0 and size > limits.fat_finger * at.exposure and not needed:
            plan.target[v] = short
            reasons.add("FAT_FINGER")
    if reasons:
        keep_legs_together(plan, at, limits, total)
        for v in at.venues:
            if plan.target[v] <= 1e-9 * at.step[v]:
                plan.target[v] = 0.0
    return reasons


def keep_legs_together(plan: Plan, at: Moment, limits: Limits, total: float) -> None:
    """Take back what carries the total past both what is held and what is wanted."""
    held = sum(at.short)

    excess = sum(plan.target) - max(held, total)
    worth = [sum(size[v] * at.price[v] for v in at.venues) for size in (plan.target, at.short)]
    excess_usd = worth[0] - max(limits.total_usd, worth[1])
    for v in at.venues:
        step = at.step[v]
        adds = plan.target[v] - at.short[v]
        over = max(excess, excess_usd / at.price[v])
        if adds > 0 and over > 1e-9 * step:
            back = math.ceil(over / step - 1e-9) * step
            if (adds - back) * at.price[v] < at.min_notional_usd[v]:
                back = adds
            plan.target[v] = at.short[v] if back >= adds else plan.target[v] - back
            excess -= back
            excess_usd -= back * at.price[v]

    lacking = min(held, total) - sum(plan.target)
    for v in at.venues:
        step, price = at.step[v], at.price[v]
        gone = at.short[v] - plan.target[v]
        if gone > 0 and lacking > 1e-9 * step and at.short[v] * price <= limits.venue_usd:
            fits = limits.total_usd - sum(plan.target[u] * at.price[u] for u in at.venues)
            back = min(gone, math.ceil(lacking / step - 1e-9) * step)
            if back * price > fits:
                back = min(back, whole_steps(max(fits, 0.0), v, at))
            plan.target[v] = at.short[v] if back == gone else plan.target[v] + back
            lacking -= back


# --- Steps 7 and 8 --------------------------------------------------------------------------------


def margin_ready(v: int, standby: float, weights: list[float], at: Moment) -> float:
    """USD of margin a venue holds for the hedge that may be asked for next."""
    if not (at.takes_time and standby > 0):
        return 0.0
    return standby * max(at.exposure, 0.0) * weights[v] * at.price[v] / at.leverage_max


def ask_for_margin(plan: Plan, at: Moment, ready: list[float], reasons: set[str]) -> None:
    """Margin each venue should hold for its target, if there is the money for it."""
    plan.collateral = []
    for v in at.venues:
        have = at.have[v]
        notional = max(plan.target[v] * at.price[v], at.debt[v])
        too_little = have <= 0 or notional > at.leverage_max * have
        too_much = notional * at.leverage_max < at.leverage**2 * have
        if plan.target[v] == 0:
            collateral = 0.0
        elif too_little or too_much:
            collateral = notional / at.leverage
        else:
            collateral = have
        if have < ready[v]:
            collateral = max(collateral, 1.25 * ready[v])
        elif ready[v] > 0:
            collateral = max(collateral, min(have, 1.25 * ready[v]))
        if abs(collateral - have) <= 1e-9 * (abs(have) + collateral):
            collateral = have
        plan.collateral.append(collateral)
        if collateral > have and (plan.target[v] > 0 or ready[v] > 0):
            reasons.add("TOP_UP")
        if collateral < have and plan.target[v] > 0:
            reasons.add("RELEASE")


def pay_for_it(plan: Plan, at: Moment, ready: list[float], reasons: set[str]) -> None:
    """Cut margins to what can be posted, and targets to what that carries."""
    have = at.have
    freed = sum(
        max(at.equity[v] - plan.collateral[v], 0.0) / at.unit[v]  # what is on its way is not there
        for v in at.venues
        if plan.collateral[v] < have[v]
    )
    plan.spare = max(at.available + freed, 0.0)  # what is overdrawn never takes margin back
    for v in at.venues:
        wants = plan.target[v] > 0 or ready[v] > 0
        if not (wants and plan.collateral[v] > have[v]):
            continue
        need = (plan.collateral[v] - have[v]) / at.unit[v]
        if need <= plan.spare:
            plan.spare -= need
            continue
        reasons.add("UNFUNDED")
        plan.collateral[v] = have[v] + plan.spare * at.unit[v]
        if plan.target[v] > at.short[v]:
            cut_to_what_is_carried(plan, v, plan.collateral[v], at)
        if plan.target[v] == 0 and ready[v] == 0:
            plan.collateral[v] = 0.0  # nothing to back, so the spare is there for the next venue
        else:
            plan.spare = 0.0

    # What has arrived carries.
    if at.takes_time:
        for v in at.venues:
            arrived = at.equity[v]
            too_much = plan.target[v] * at.price[v] > at.leverage_max * arrived
            if plan.target[v] > at.short[v] and too_much:
                cut_to_what_is_carried(plan, v, max(arrived, 0.0), at)
                reasons.add("AWAITING")


def cut_to_what_is_carried(plan: Plan, v: int, margin: float, at: Moment) -> None:
    """Lower a target that adds to whole steps that this margin carries."""
    short, price, step = at.short[v], at.price[v], at.step[v]
    n = math.floor((margin * at.leverage_max / price - short) / step + 1e-9)
    carried = short
    if n > 0 and n * step * price >= at.min_notional_usd[v]:
        carried = short + n * step
    if carried < plan.target[v]:
        plan.target[v] = carried
        plan.lowered = True


def send_ahead(plan: Plan, at: Moment, asked_for: list[float]) -> None:
    """A move that waits for its margin sends it, as far as it is there."""
    for v in at.venues:
        if asked_for[v] > plan.collateral[v]:
            more = min(asked_for[v] - plan.collateral[v], plan.spare * at.unit[v])
            plan.collateral[v] += more
            plan.spare -= more / at.unit[v]


# --- Step 9 ---------------------------------------------------------------------------------------


def stay_alive(plan: Plan, at: Moment, limits: Limits, spent: float, reasons: set[str]) -> None:
    """Cut a short whose margin is nearly used up to half the leverage that would be the end."""
    for v in at.venues:
        target, short, price = plan.target[v], at.short[v], at.price[v]
        if not (target > 0 and short > 0):
            continue
        at_hand = at.equity[v] if at.takes_time else plan.collateral[v]
        if at_hand >= limits.keep_alive * target * price or at.off_index(v, limits.collar):
            continue
        keep = whole_steps(max(at_hand, 0.0) / (2 * limits.keep_alive), v, at)
        # The room of step 6 that the other venues leave; an order of this one would be replaced.
        used = sum(used_by(u, plan, at) for u in at.venues if u != v)
        room = min(limits.order_usd, max(limits.minute_usd - spent - used, 0.0))
        least = short - whole_steps(room, v, at)
        plan.target[v] = min(target, max(keep, least))
        if plan.target[v] != target:
            reasons.add("KEPT_ALIVE")
