"""The risk guard: what of an intent may stand, given what was lost, gained, paid and announced.

One compiled function, :func:`look`, runs inside every decision. It knows no intent and no order; it
keeps peaks, floors and cool-downs in a vector of its own, and says from which hedge ratio on a
decision may go, or which ratio it must go to. Specification: docs/risk.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit, njit_in_place

Floats = NDArray[np.float64]

#: What bound, as flags of ``decision.moment.Reason``.
DRAWDOWN, LOCK, STOP, FUNDING_COST, EVENT, REARMED = (1 << bit for bit in range(11, 17))

#: The four stops: what each watches.
PORTFOLIO, SPOT, SHORT_MARK, SHORT_EQUITY, STOPS = range(5)

#: The guard's memory: hour of the last look; highest equity of this cushion, equity that gains are
#: counted from and the highest since, USD; the floor in force, the hour it last rose, the hour of
#: the last re-risk; whether funding costs too much, the venue it was moved to (-1: none), the most
#: funding earned, USD; then, for each stop, its reference, the end of its cool-down, and what it
#: watches when it fired.
NOW, PEAK, BASE, TOP, FLOOR, SINCE, REARMED_AT, ON, VENUE, EARNED_TOP, REFERENCE = range(11)
UNTIL = REFERENCE + STOPS
FIRED_AT = UNTIL + STOPS
SIZE = FIRED_AT + STOPS

#: What a look leaves: the floor of the hedge ratio; the ratio a stop asks for (NaN: none); whether
#: the low edge of the band is to be taken; the venue that takes all (-1: the intent's weights);
#: equity that is kept, USD (-inf: nothing); the flag to raise where the floor binds; the stop that
#: forces a ratio and the level it fired at (NaN: none); the funding cost of the intent's weights;
#: the hedge ratio that margin should stand ready for at the present price; why the funding guard is
#: on; hours that the stop still acts; the hour for which ``rests`` has looked
#: already, and what that look returned.
LEAST, FORCED, CHEAPER, TO_VENUE, KEPT, BINDS, STOPPED, LEVEL, AT_COST = range(9)
STANDBY, WHY, HOURS_LEFT, LOOKED, SAID, BOUND_SIZE = range(9, 15)

#: Why the funding guard is on: what is expected costs too much, or what was earned is being eaten.
TOO_EXPENSIVE, EATEN = 1.0, 2.0
#: A floor so near to the full hedge is the full hedge: the last of a cushion is kept for its costs.
SNAP = 0.9
#: Ratios closer than this are equal.
TINY = 1e-12

Four = tuple[float, float, float, float]


class GuardRules(NamedTuple):
    """Rules of one account as plain numbers; infinity switches a rule off.

    Attributes
    ----------
    active : bool
        Any rule is on.
    drawdown_limit : float
        Most of the peak equity that may be lost, a fraction.
    gap, reserve : float
        Fall between two decisions that the cushion must bear, and share of equity kept for costs.
    rerisk_h : float
        Hours after the floor last rose at which it is looked at anew.
    lock_step, lock_keep : float
        Gain, as a share of the base, from which on it is locked; share of the top that is kept.
    stop_distance, stop_trailing, stop_ratio, stop_cooldown_h : tuple of 4 float
        By stop: adverse change that fires it, whether (1.0) its reference follows the best price,
        the hedge ratio it goes to, and for how many hours.
    funding_limit, funding_release, funding_keep : float
        Expected cost over the horizon that is too much, a fraction of notional; share of it at
        which that ends; share of the funding earned that is kept, 0 is off.
    switch_gain : float
        Saving over the horizon that is worth moving to another venue, a fraction of notional.
    """

    active: bool
    drawdown_limit: float
    gap: float
    reserve: float
    rerisk_h: float
    lock_step: float
    lock_keep: float
    stop_distance: Four
    stop_trailing: Four
    stop_ratio: Four
    stop_cooldown_h: Four
    funding_limit: float
    funding_release: float
    funding_keep: float
    switch_gain: float


_OFF: Four = (np.inf, np.inf, np.inf, np.inf)
_ONES: Four = (1.0, 1.0, 1.0, 1.0)
#: Every rule off.
NO_GUARD = GuardRules(
    active=False,
    drawdown_limit=np.inf,
    gap=0.15,
    reserve=0.01,
    rerisk_h=168.0,
    lock_step=np.inf,
    lock_keep=0.5,
    stop_distance=_OFF,
    stop_trailing=_ONES,
    stop_ratio=_ONES,
    stop_cooldown_h=(24.0, 24.0, 24.0, 24.0),
    funding_limit=np.inf,
    funding_release=0.5,
    funding_keep=0.0,
    switch_gain=np.inf,
)


class Seen(NamedTuple):
    """What the guard looks at.

    Attributes
    ----------
    now : float
        Hours, from any beginning.
    equity, flow : float
        The holder's equity in USD: coins at spot, and the P&L of the hedge after all costs; and
        equity after deposits and withdrawals since the last look ÷ equity without them.
    spot, mark : float
        USD; the mark of the first venue.
    pnl, earned : float
        P&L of the hedge after all costs and funding received, since the beginning, USD.
    exposure_eth, short_eth : float
        Long, and short on all venues together, ETH.
    event_floor : float
        Hedge floor of an event window, 0 without one.
    waits : bool
        Collateral takes time, so that margin should stand ready.
    """

    now: float
    equity: float
    flow: float
    spot: float
    mark: float
    pnl: float
    earned: float
    exposure_eth: float
    short_eth: float
    event_floor: float
    waits: bool


@njit
def initial_memory() -> Floats:
    """Memory of a guard that has seen nothing; shape (``SIZE``,)."""
    memory = np.zeros(SIZE)
    memory[PEAK] = np.nan
    memory[NOW] = -np.inf
    return memory


@njit
def unbound() -> Floats:
    """What a look leaves where nothing binds; shape (``BOUND_SIZE``,)."""
    bound = np.zeros(BOUND_SIZE)
    bound[FORCED] = np.nan
    bound[TO_VENUE] = -1.0
    bound[KEPT] = -np.inf
    bound[STOPPED] = bound[LEVEL] = bound[AT_COST] = bound[HOURS_LEFT] = bound[LOOKED] = np.nan
    return bound


@njit_in_place
def look(
    memory: Floats,
    rules: GuardRules,
    seen: Seen,
    full: float,
    weights: Floats,
    cost: Floats,
    bound: Floats,
) -> int:
    """Update the guard's memory with one moment and say what binds; allocation-free.

    A second look at the same moment changes nothing.

    Parameters
    ----------
    memory : float64 (SIZE,)
        Replaced in place.
    rules : GuardRules
    seen : Seen
        All finite.
    full : float
        The full hedge, a ratio.
    weights, cost : float64 (V,)
        Of the intent in force; and the expected funding cost of a short over the horizon by venue,
        a fraction of notional, NaN where it is unknown.
    bound : float64 (BOUND_SIZE,)
        Written.

    Returns
    -------
    flags : int
        STOP, FUNDING_COST and REARMED, where they hold. ``bound[BINDS]`` is the flag of the floor.
    """
    if seen.flow <= 0.0:
        memory[PEAK] = np.nan
    if np.isnan(memory[PEAK]):
        if seen.equity <= 0.0:
            return _unseen(seen.event_floor, bound)
        memory[PEAK] = memory[BASE] = memory[TOP] = seen.equity
        memory[FLOOR] = 0.0
        memory[SINCE] = seen.now
        memory[REARMED_AT] = -np.inf
        memory[ON] = 0.0
        memory[VENUE] = -1.0
        memory[EARNED_TOP] = seen.earned
        memory[REFERENCE + PORTFOLIO] = seen.equity
        memory[REFERENCE + SPOT] = seen.spot
        memory[REFERENCE + SHORT_MARK] = seen.mark
        memory[REFERENCE + SHORT_EQUITY] = seen.pnl
        for k in range(STOPS):
            memory[UNTIL + k] = -np.inf
    elif seen.flow != 1.0 and seen.now > memory[NOW]:
        memory[PEAK] *= seen.flow
        memory[BASE] *= seen.flow
        memory[TOP] *= seen.flow
        memory[REFERENCE + PORTFOLIO] *= seen.flow
    memory[NOW] = seen.now
    exposure_usd = seen.exposure_eth * seen.spot
    flags = _floor(memory, rules, full, seen.now, seen.equity, exposure_usd, bound)
    if seen.waits:
        bound[STANDBY] = _standby(memory, rules, full, seen, exposure_usd, bound[KEPT])
    flags |= _stops(memory, rules, seen, bound)
    flags |= _funding(memory, rules, seen.earned, weights, cost, bound)
    bound[LEAST] = max(memory[FLOOR], seen.event_floor)
    return flags


@njit_in_place
def _unseen(event_floor: float, bound: Floats) -> int:
    """Bind nothing but the floor of an event: there is no equity to guard."""
    bound[LEAST], bound[BINDS] = event_floor, DRAWDOWN
    bound[WHY], bound[HOURS_LEFT] = 0.0, np.nan
    bound[FORCED] = bound[STOPPED] = bound[LEVEL] = bound[AT_COST] = np.nan
    bound[CHEAPER], bound[TO_VENUE], bound[KEPT], bound[STANDBY] = 0.0, -1.0, -np.inf, 0.0
    return 0


@njit_in_place
def _need(rules: GuardRules, full: float, kept: float, equity: float, exposure_usd: float) -> float:
    """Hedge ratio at which a fall of the coins by the gap leaves what is to be kept."""
    if kept == -np.inf:
        return 0.0
    if equity <= 0.0:
        return full
    cushion_usd = (1.0 - rules.reserve) * equity - kept
    at_risk_usd = rules.gap * exposure_usd
    if cushion_usd >= at_risk_usd:
        return 0.0
    need = full * min(1.0 - cushion_usd / at_risk_usd, 1.0)
    if need < TINY:
        return 0.0
    return full if need >= SNAP * full else need


@njit_in_place
def _floor(
    memory: Floats,
    rules: GuardRules,
    full: float,
    now: float,
    equity: float,
    exposure_usd: float,
    bound: Floats,
) -> int:
    """Cushion rule of the drawdown limit and the profit lock (docs/risk.md, 2)."""
    bound[KEPT] = -np.inf
    bound[BINDS] = DRAWDOWN
    if rules.drawdown_limit == np.inf and rules.lock_step == np.inf:
        return 0
    highest = equity >= memory[PEAK] * (1.0 - TINY)
    memory[PEAK] = max(memory[PEAK], equity)
    memory[TOP] = max(memory[TOP], equity)
    kept = (1.0 - rules.drawdown_limit) * memory[PEAK]
    gain = memory[TOP] - memory[BASE]
    if gain >= rules.lock_step * memory[BASE]:
        locked = memory[BASE] + rules.lock_keep * gain
        if locked > kept:
            kept = locked
            bound[BINDS] = LOCK
    need = _need(rules, full, kept, equity, exposure_usd)
    if highest or need > memory[FLOOR]:
        memory[FLOOR] = need
        memory[SINCE] = now
    elif memory[FLOOR] > 0.0 and now - memory[SINCE] >= rules.rerisk_h:
        memory[SINCE] = memory[REARMED_AT] = now
        if need >= full - TINY:
            memory[PEAK] = memory[BASE] = memory[TOP] = equity
            kept = (1.0 - rules.drawdown_limit) * equity
            bound[BINDS] = DRAWDOWN
            need = _need(rules, full, kept, equity, exposure_usd)
        memory[FLOOR] = need
    bound[KEPT] = kept
    return REARMED if memory[REARMED_AT] == now else 0


@njit_in_place
def _standby(
    memory: Floats,
    rules: GuardRules,
    full: float,
    seen: Seen,
    exposure_usd: float,
    kept: float,
) -> float:
    """Hedge ratio to keep margin ready for: the floor after one gap, or at a lock's first step."""
    if exposure_usd <= 0.0 or seen.equity <= 0.0:
        return 0.0
    ready = 0.0
    if kept > -np.inf:
        held = min(max(seen.short_eth / seen.exposure_eth, memory[FLOOR]), full)
        after = seen.equity - rules.gap * (1.0 - held) * exposure_usd
        price = 1.0 - rules.gap
        ready = _need(rules, full, kept, after, exposure_usd * price) * price
    if rules.lock_step < np.inf:
        step = memory[BASE] * (1.0 + rules.lock_step)
        if memory[TOP] < step and seen.equity >= (1.0 - rules.gap) * step:
            locked = memory[BASE] * (1.0 + rules.lock_keep * rules.lock_step)
            price = step / seen.equity
            first = _need(rules, full, locked, step, exposure_usd * price) * price
            ready = max(ready, first)
    return ready


@njit_in_place
def _stops(memory: Floats, rules: GuardRules, seen: Seen, bound: Floats) -> int:
    """Stops of the portfolio and of either leg (docs/risk.md, 3)."""
    bound[FORCED] = bound[STOPPED] = bound[LEVEL] = bound[HOURS_LEFT] = np.nan
    flags = 0
    for k in range(STOPS):
        distance = rules.stop_distance[k]
        if distance == np.inf:
            continue
        if k == PORTFOLIO:
            x = seen.equity
        elif k == SPOT:
            x = seen.spot
        elif k == SHORT_MARK:
            x = seen.mark
        else:
            x = seen.pnl
        rises = k == SHORT_MARK
        idle = k >= SHORT_MARK and seen.short_eth <= 0.0
        active = False
        if memory[UNTIL + k] > -np.inf:
            active = seen.now < memory[UNTIL + k]
            if not active:
                memory[UNTIL + k] = -np.inf
                memory[REFERENCE + k] = x
        elif idle:
            memory[REFERENCE + k] = x
        else:
            reference = memory[REFERENCE + k]
            if rules.stop_trailing[k] > 0.0:
                reference = min(reference, x) if rises else max(reference, x)
                memory[REFERENCE + k] = reference
            if rises:
                active = x >= (1.0 + distance) * reference
            elif k == SHORT_EQUITY:
                active = x <= reference - distance * seen.exposure_eth * seen.spot
            else:
                active = x <= (1.0 - distance) * reference
            if active:
                memory[UNTIL + k] = seen.now + rules.stop_cooldown_h[k]
                memory[FIRED_AT + k] = x
        if active:
            flags = STOP
            if not bound[FORCED] >= rules.stop_ratio[k]:
                bound[FORCED] = rules.stop_ratio[k]
                bound[STOPPED], bound[LEVEL] = float(k), memory[FIRED_AT + k]
                bound[HOURS_LEFT] = memory[UNTIL + k] - seen.now
    return flags


@njit_in_place
def _funding(
    memory: Floats, rules: GuardRules, earned: float, weights: Floats, cost: Floats, bound: Floats
) -> int:
    """Funding that costs too much, or eats what it earned (docs/risk.md, 4)."""
    bound[CHEAPER] = 0.0
    bound[TO_VENUE] = -1.0
    bound[WHY] = 0.0
    if rules.funding_limit == np.inf and rules.funding_keep == 0.0:
        return 0
    memory[EARNED_TOP] = max(memory[EARNED_TOP], earned)
    asked, known, best = 0.0, 0.0, -1
    for v in range(len(cost)):
        if np.isfinite(cost[v]):
            asked += weights[v] * cost[v]
            known += weights[v]
            if best < 0 or cost[v] < cost[best]:
                best = v
    # A venue whose funding is unknown counts like the rest; if all are, nothing is known.
    asked = asked / known if known > 0.0 else np.nan
    bound[AT_COST] = asked
    if memory[ON] > 0.0:
        # Unknown falls towards the hedge.
        expensive = memory[ON] == TOO_EXPENSIVE
        if not asked > 0.0 or (expensive and asked < rules.funding_release * rules.funding_limit):
            memory[ON] = 0.0
            memory[VENUE] = -1.0
            memory[EARNED_TOP] = earned
    elif asked > rules.funding_limit:
        memory[ON] = TOO_EXPENSIVE
    elif (
        rules.funding_keep > 0.0
        and memory[EARNED_TOP] > 0.0
        and asked > 0.0
        and earned < rules.funding_keep * memory[EARNED_TOP]
    ):
        memory[ON] = EATEN
    if memory[ON] == 0.0:
        return 0
    if len(cost) > 1:
        # Where it stands is looked at anew each time, with the gain as hysteresis.
        at = int(memory[VENUE])
        now = asked if at < 0 else cost[at]
        if now - cost[best] > rules.switch_gain or np.isnan(now):
            memory[VENUE] = float(best)
    bound[TO_VENUE] = memory[VENUE]
    bound[WHY] = memory[ON]
    chosen = int(memory[VENUE])
    most = rules.funding_limit if rules.funding_limit < np.inf else 0.0
    if chosen < 0 or not cost[chosen] <= most:
        bound[CHEAPER] = 1.0
    return FUNDING_COST
