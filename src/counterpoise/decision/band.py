"""What the guard leaves of a band, what a band asks for, and the numbers behind it.

Compiled into ``step``; nothing is ordered here.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.moment import (
    ASKED,
    DISTANCE,
    EVENT_CLASS,
    EVENT_FLOOR,
    FORCED_RATIO,
    FUNDING_AT,
    FUNDING_WHY,
    GOAL,
    GUARDED_USD,
    HELD_RATIO,
    KEPT_USD,
    LEAST_RATIO,
    MOST_LEVERAGE,
    PRICE,
    QUIET_HOUR,
    RATIO_TOLERANCE,
    STOP_HOURS,
    STOP_KIND,
    STOP_LEVEL,
    VENUE_CHOSEN,
    Limits,
    Moment,
    Reason,
)
from counterpoise.risk.guard import look
from counterpoise.risk.guard_rules import (
    AT_COST,
    BINDS,
    CHEAPER,
    FLOOR,
    FORCED,
    HOURS_LEFT,
    KEPT,
    LEAST,
    LEVEL,
    STOPPED,
    TO_VENUE,
    WHY,
    GuardRules,
    Seen,
)

Floats = NDArray[np.float64]

_EVENT = int(Reason.EVENT)


@njit_in_place
def watch(
    memory: Floats,
    rules: GuardRules,
    limits: Limits,
    moment: Moment,
    held: float,
    weights: Floats,
    cost: Floats,
    bound: Floats,
) -> int:
    """Let the guard look, where any of its rules is on."""
    if not rules.active:
        return 0
    seen = Seen(
        moment.now,
        moment.equity,
        moment.flow,
        moment.spot,
        moment.mark,
        moment.pnl,
        moment.earned,
        moment.exposure_eth,
        held,
        moment.event_floor,
        moment.waits,
    )
    return look(memory, rules, seen, min(limits.max_ratio, 1.0), weights, cost, bound)


@njit_in_place
def bound_floors(memory: Floats, moment: Moment, bound: Floats, lo: float) -> int:
    """Flags of the floors that lie above the low edge of a band."""
    flags = 0
    own = memory[FLOOR] if bound[KEPT] > -np.inf else 0.0
    if own > lo + RATIO_TOLERANCE:
        flags |= int(bound[BINDS])
    if moment.event_floor > max(own, lo) + RATIO_TOLERANCE:
        flags |= _EVENT
    return flags


@njit_in_place
def bounded(
    lo: float, hi: float, to_lo: float, to_hi: float, bound: Floats
) -> tuple[float, float, float, float]:
    """Return the band that the guard leaves of an intent's."""
    least = bound[LEAST]
    if np.isfinite(bound[FORCED]):
        forced = max(bound[FORCED], least)
        return forced, forced, forced, forced
    if bound[CHEAPER] > 0.0:
        hi = to_hi = to_lo = lo
    return max(lo, least), max(hi, least), max(to_lo, least), max(to_hi, least)


@njit_in_place
def asked(ratio: float, lo: float, hi: float, to_lo: float, to_hi: float) -> float:
    """Ratio that a band asks for at a ratio."""
    if ratio < lo - RATIO_TOLERANCE:
        return to_lo
    return to_hi if ratio > hi + RATIO_TOLERANCE else ratio


@njit_in_place
def note(
    asks: float,
    ratio: float,
    goal: float,
    book: Floats,
    moment: Moment,
    rules: GuardRules,
    bound: Floats,
    chain: Floats,
) -> None:
    """Write the numbers behind a decision: asked for, held, the goal, and what bound."""
    chain[ASKED], chain[HELD_RATIO], chain[GOAL] = asks, ratio, goal
    chain[LEAST_RATIO], chain[FORCED_RATIO] = bound[LEAST], bound[FORCED]
    chain[GUARDED_USD] = moment.equity if rules.active else np.nan
    chain[KEPT_USD] = bound[KEPT] if bound[KEPT] > -np.inf else np.nan
    chain[STOP_KIND], chain[STOP_LEVEL] = bound[STOPPED], bound[LEVEL]
    chain[STOP_HOURS] = bound[HOURS_LEFT]
    chain[FUNDING_AT], chain[MOST_LEVERAGE] = bound[AT_COST], moment.leverage_max
    chain[FUNDING_WHY], chain[VENUE_CHOSEN] = bound[WHY], bound[TO_VENUE]
    chain[EVENT_FLOOR], chain[EVENT_CLASS] = moment.event_floor, moment.event_class
    chain[QUIET_HOUR] = 1.0 if moment.quiet else 0.0
    distance = 0.0
    for v in range(book.shape[1]):
        distance = max(distance, abs(book[PRICE, v] / moment.spot - 1.0))
    chain[DISTANCE] = distance
