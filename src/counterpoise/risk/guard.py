"""The risk guard: what of an intent may stand, given what was lost, gained, paid and announced.

One compiled function, :func:`look`, runs inside every decision. It knows no intent and no order; it
keeps peaks, floors and cool-downs in a vector of its own, and says from which hedge ratio on a
decision may go, or which ratio it must go to. Specification: docs/risk.md.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.risk.guard_rules import (
    AT_COST,
    BASE,
    BINDS,
    CHEAPER,
    DRAWDOWN,
    EARNED_TOP,
    EATEN,
    FIRED_AT,
    FLOOR,
    FORCED,
    FUNDING_COST,
    HOURS_LEFT,
    KEPT,
    LEAST,
    LEVEL,
    LOCK,
    NOW,
    ON,
    PEAK,
    PORTFOLIO,
    REARMED,
    REARMED_AT,
    REFERENCE,
    SHORT_EQUITY,
    SHORT_MARK,
    SINCE,
    SPOT,
    STANDBY,
    STOP,
    STOPPED,
    STOPS,
    TO_VENUE,
    TOO_EXPENSIVE,
    TOP,
    UNTIL,
    VENUE,
    WHY,
    GuardRules,
    Seen,
)

Floats = NDArray[np.float64]

#: A floor so near to the full hedge is the full hedge: the last of a cushion is kept for its costs.
SNAP = 0.9
#: Ratios closer than this are equal.
TINY = 1e-12


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
