"""The slow simulator's `decision.step`: one function per step of docs/simulation.md."""

import math
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
    transfers_take_time: bool  # d > 0


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
    least, forced = 0.0, math.nan
    value = kept = math.nan
    if memory.guard is not None:
        verdict = look(memory.guard, memory.weights, at)
        reasons |= verdict.reasons(band[0])
        band = verdict.band(*band)
        least, forced = verdict.least, verdict.forced
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
        allowed = max(h, min(least, limits.max_ratio))
        if abs(goal - allowed) > TOLERANCE:
            goal = allowed
            reasons.add("WAIT")

    # 4. Whether anything moves, and to where.
    moves = abs(goal - h) > TOLERANCE
    if not waits and held > 0:
        apart = sum(abs(weights[v] - at.short[v] / held) for v in at.venues)
        if apart > 0.1:
            moves = True
            reasons.add("SWITCH")
    wanted = [weights[v] * goal * at.exposure if moves else at.short[v] for v in at.venues]
    between_venues_only = abs(goal - h) <= TOLERANCE

    # 5. What can be ordered.
    over_the_cap = h > limits.max_ratio + TOLERANCE
    plan = Plan(orderable(wanted, at, over_the_cap=over_the_cap, reasons=reasons))
    if "BELOW_MINIMUM" in reasons and between_venues_only:
        plan.target = list(at.short)

    # 6. Order limits.
    minute = math.floor(at.now * 60 + 1e-6)
    if minute != memory.minute:
        memory.minute = minute
        memory.spent = 0.0
    limit_orders(plan, at, limits, memory.spent, reasons)
    if reasons & {"COLLAR", "FAT_FINGER"} and between_venues_only:
        plan.target = list(at.short)

    # 7. Collateral, and 8. paying for it.
    ask_for_margin(plan, at, reasons)
    pay_for_it(plan, at, limits, reasons)
    if plan.lowered and between_venues_only:
        asked_for = plan.collateral
        plan = Plan(list(at.short))
        ask_for_margin(plan, at, reasons)
        pay_for_it(plan, at, limits, reasons)
        if limits.transfers_take_time:
            send_ahead(plan, at, asked_for)

    # 9. Staying alive.
    if limits.keep_alive > 0:
        stay_alive(plan, at, limits, memory.spent, reasons)

    # 10. What the next decision has to know.
    if plan.target != at.short:
        memory.last_move = at.now
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
            short_held=sum(at.short) > 0,
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


def limit_orders(plan: Plan, at: Moment, limits: Limits, spent: float, reasons: set[str]) -> None:
    """Venue by venue: caps on what is held, then on the order that gets there."""
    for v in at.venues:
        short, price = at.short[v], at.price[v]
        before = range(v)

        held_before = sum(plan.target[u] * at.price[u] for u in before)
        most = min(limits.venue_usd, max(limits.total_usd - held_before, 0.0))
        if plan.target[v] * price > most:
            plan.target[v] = whole_steps(most, v, at)
            reasons.add("VENUE_CAP")

        if plan.target[v] == short:
            continue
        size = abs(plan.target[v] - short)
        used_before = sum(used_by(u, plan, at) for u in before)
        room = min(limits.order_usd, max(limits.minute_usd - spent - used_before, 0.0))
        if at.off_index(v, limits.collar):
            plan.target[v] = short
            reasons.add("COLLAR")
        elif at.exposure > 0 and size > limits.fat_finger * at.exposure:
            plan.target[v] = short
            reasons.add("FAT_FINGER")
        elif size * price > room:
            part = whole_steps(room, v, at)
            if plan.target[v] < short:
                plan.target[v] = max(short - part, 0.0)
            elif part * price < at.min_notional_usd[v]:
                plan.target[v] = short
            else:
                plan.target[v] = short + part
            reasons.add("ORDER_CAP")


# --- Steps 7 and 8 --------------------------------------------------------------------------------


def ask_for_margin(plan: Plan, at: Moment, reasons: set[str]) -> None:
    """Margin each venue should hold for its target, if there is the money for it."""
    plan.collateral = []
    for v in at.venues:
        have = at.have[v]
        notional = max(plan.target[v] * at.price[v], at.debt[v])
        if plan.target[v] == 0:
            plan.collateral.append(0.0)
        elif have <= 0 or notional > at.leverage_max * have:
            plan.collateral.append(notional / at.leverage)
            reasons.add("TOP_UP")
        elif notional * at.leverage_max < at.leverage**2 * have:
            plan.collateral.append(notional / at.leverage)
            reasons.add("RELEASE")
        else:
            plan.collateral.append(have)


def pay_for_it(plan: Plan, at: Moment, limits: Limits, reasons: set[str]) -> None:
    """Cut margins to what can be posted, and targets to what that carries."""
    have = at.have
    freed = sum(
        (have[v] - plan.collateral[v]) / at.unit[v]
        for v in at.venues
        if plan.collateral[v] < have[v]
    )
    plan.spare = max(at.available + freed, 0.0)  # what is overdrawn never takes margin back
    for v in at.venues:
        if not (plan.target[v] > 0 and plan.collateral[v] > have[v]):
            continue
        need = (plan.collateral[v] - have[v]) / at.unit[v]
        if need <= plan.spare:
            plan.spare -= need
            continue
        reasons.add("UNFUNDED")
        plan.collateral[v] = have[v] + plan.spare * at.unit[v]
        if plan.target[v] > at.short[v]:
            cut_to_what_is_carried(plan, v, plan.collateral[v], at)
        if plan.target[v] == 0:
            plan.collateral[v] = 0.0  # nothing to back, so the spare is there for the next venue
        else:
            plan.spare = 0.0

    # What has arrived carries.
    if limits.transfers_take_time:
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
        more = (asked_for[v] - plan.collateral[v]) / at.unit[v]
        if asked_for[v] > plan.collateral[v] and more <= plan.spare:
            plan.collateral[v] = asked_for[v]
            plan.spare -= more


# --- Step 9 ---------------------------------------------------------------------------------------


def stay_alive(plan: Plan, at: Moment, limits: Limits, spent: float, reasons: set[str]) -> None:
    """Cut a short whose margin is nearly used up to half the leverage that would be the end."""
    for v in at.venues:
        target, short, price = plan.target[v], at.short[v], at.price[v]
        if not (target > 0 and short > 0):
            continue
        at_hand = at.equity[v] if limits.transfers_take_time else plan.collateral[v]
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
