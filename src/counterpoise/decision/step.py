"""The decision itself: where the short should be on each venue now, and why.

One compiled function, :func:`step`, lets the guard look, applies an intent to positions under
limits and margins what is left. The simulator calls it in its loop,
:mod:`counterpoise.decision.decide` wraps it for everybody else. It sends no order and reads no
clock. Specification: docs/simulation.md.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.collateral import fund, give_what_was_asked, ready_usd, stay_alive
from counterpoise.decision.moment import (
    ASKED,
    ASKED_FOR,
    COLLATERAL,
    COST,
    DEBT,
    DISTANCE,
    DUST,
    EQUITY,
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
    MINIMUM,
    MOST_LEVERAGE,
    ON_WAY,
    PRICE,
    QUIET_HOUR,
    RATIO_TOLERANCE,
    SHARE,
    SHORT,
    STATE_AGE,
    STATE_HI,
    STATE_LO,
    STATE_MINUTE,
    STATE_MOVED,
    STATE_NOW,
    STATE_SPENT,
    STATE_TO_HI,
    STATE_TO_LO,
    STATE_WEIGHTS,
    STEP,
    STOP_HOURS,
    STOP_KIND,
    STOP_LEVEL,
    SWITCH_TOLERANCE,
    TARGET,
    UNIT,
    VENUE_CHOSEN,
    Limits,
    Moment,
    Reason,
)
from counterpoise.decision.orders import keep_shorts, limit_orders, round_orders
from counterpoise.risk.guard import (
    AT_COST,
    BINDS,
    CHEAPER,
    FLOOR,
    FORCED,
    HOURS_LEFT,
    KEPT,
    LEAST,
    LEVEL,
    LOOKED,
    SAID,
    STANDBY,
    STOPPED,
    TO_VENUE,
    WHY,
    GuardRules,
    Seen,
    look,
)

Floats = NDArray[np.float64]

_IN_BAND = int(Reason.IN_BAND)
_RAISE = int(Reason.RAISE)
_LOWER = int(Reason.LOWER)
_CAPPED = int(Reason.CAPPED)
_SWITCH = int(Reason.SWITCH)
_HELD = int(Reason.HELD)
_FALLBACK = int(Reason.FALLBACK)
_WAIT = int(Reason.WAIT)
_EVENT = int(Reason.EVENT)
_BAD_INPUT = int(Reason.BAD_INPUT)
_ORDER_CAP = int(Reason.ORDER_CAP)
_HALTED = int(Reason.HALTED)
_NO_POSITION = int(Reason.NO_POSITION)
_STALE_MARK = int(Reason.STALE_MARK)
_CLOCK_BACK = int(Reason.CLOCK_BACK)


@njit_in_place
def remember(
    state: Floats, lo: float, hi: float, to_lo: float, to_hi: float, weights: Floats
) -> None:
    """Make an intent whose row is known the last known one."""
    state[STATE_LO], state[STATE_HI] = lo, hi
    state[STATE_TO_LO], state[STATE_TO_HI] = to_lo, to_hi
    state[STATE_AGE] = 0.0
    for v in range(len(weights)):
        state[STATE_WEIGHTS + v] = weights[v]


@njit_in_place
def _watch(
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
def _bound_floors(memory: Floats, moment: Moment, bound: Floats, lo: float) -> int:
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


@njit_in_place
def rests(
    memory: Floats,
    book: Floats,
    moment: Moment,
    lo: float,
    hi: float,
    to_lo: float,
    to_hi: float,
    limits: Limits,
    rules: GuardRules,
    bound: Floats,
) -> int:
    """Reasons of :func:`step` where it would leave every position and collateral as it is, else -1.

    It answers without a division where the guard is off, for drivers that ask often; -1 promises
    nothing. The guard looks, and :func:`step` with the same ``bound`` does not look at this moment
    again: between the two nothing else may change. The caller remembers the intent.

    Parameters are those of :func:`step`.
    """
    if not np.isfinite(lo + hi + to_lo + to_hi):
        return -1
    venues = book.shape[1]
    held = notional_usd = 0.0
    for v in range(venues):
        if book[ON_WAY, v] != 0.0:
            return -1
        held += book[SHORT, v]
        usd = book[SHORT, v] * book[PRICE, v]
        notional_usd += usd
        if usd > limits.venue_usd:
            return -1
    flags = _IN_BAND
    if rules.active:
        said = _watch(memory, rules, limits, moment, held, book[SHARE], book[COST], bound)
        bound[LOOKED], bound[SAID] = moment.now, said
        flags |= said
        if bound[TO_VENUE] >= 0.0:
            return -1
        flags |= _bound_floors(memory, moment, bound, lo)
        lo, hi, to_lo, to_hi = bounded(lo, hi, to_lo, to_hi, bound)
    exposure = moment.exposure_eth
    highest = min(hi, limits.max_ratio) + RATIO_TOLERANCE
    if not (held > 0.0 and notional_usd <= limits.total_usd):
        return -1
    if held < (lo - RATIO_TOLERANCE) * exposure:
        if not _too_small(book, held, to_lo, moment, limits):
            return -1
        flags += _RAISE - _IN_BAND
    elif held > highest * exposure:
        if hi > limits.max_ratio or not _too_small(book, held, to_hi, moment, limits):
            return -1
        flags += _LOWER - _IN_BAND
    deviation = 0.0
    for v in range(venues):
        deviation += abs(book[SHARE, v] * held - book[SHORT, v])
        if book[SHORT, v] <= DUST * book[STEP, v]:
            if book[SHORT, v] != 0.0 or book[EQUITY, v] != 0.0:
                return -1
            continue
        if not _margined(book, v, moment, limits, bound[STANDBY]):
            return -1
    return flags if deviation <= SWITCH_TOLERANCE * held else -1


@njit_in_place
def _too_small(book: Floats, held: float, goal: float, moment: Moment, limits: Limits) -> bool:
    """Whether a move to a goal is less than a step of the one venue, so that no order follows."""
    if book.shape[1] > 1 or goal > limits.max_ratio or moment.quiet or limits.min_interval_h > 0.0:
        return False
    wanted = goal * moment.exposure_eth
    step = book[STEP, 0]
    return bool(wanted > step and np.floor(abs(wanted - held) / step + DUST) == 0.0)


@njit_in_place
def _margined(book: Floats, v: int, moment: Moment, limits: Limits, standby: float) -> bool:
    """Whether the collateral of a held short stays as it is."""
    notional = max(book[SHORT, v] * book[PRICE, v], book[DEBT, v])
    equity, most = book[EQUITY, v], moment.leverage_max
    return bool(
        notional <= most * equity
        and notional * most >= moment.leverage**2 * equity
        and limits.keep_alive * notional <= equity
        and ready_usd(book, v, moment, standby) <= equity
    )


@njit_in_place
def step(
    state: Floats,
    memory: Floats,
    book: Floats,
    moment: Moment,
    lo: float,
    hi: float,
    to_lo: float,
    to_hi: float,
    limits: Limits,
    rules: GuardRules,
    bound: Floats,
    chain: Floats,
) -> tuple[int, float, float]:
    """Decide targets and collateral of one moment; allocation-free.

    Parameters
    ----------
    state : float64 (9 + 2·V,)
        See ``moment.initial_state``; replaced in place by the next state.
    memory : float64 (guard.SIZE,)
        The guard's; replaced in place.
    book : float64 (at least ``moment.DECISION_ROWS``, V)
        A row per quantity, see ``moment``; ``TARGET`` and ``COLLATERAL`` are written.
    moment : Moment
    lo, hi, to_lo, to_hi : float
        The intent's row, with its weights in ``book[SHARE]``; NaN in any of the four means unknown.
    limits : Limits
    rules : GuardRules
    bound : float64 (guard.BOUND_SIZE,)
        Room for what the guard leaves; as ``guard.unbound`` makes it.
    chain : float64 (LINKS,)
        Written: the numbers behind the decision, see ``moment.CHAIN``.

    Returns
    -------
    reasons : int
        Flags of ``Reason``.
    lo, hi : float
        The band in force.
    """
    venues = book.shape[1]
    reasons = _ground(state, book, moment, limits, rules)
    if reasons != 0:
        _hold(state, book, chain)
        return reasons | _HALTED, state[STATE_LO], state[STATE_HI]
    state[STATE_NOW] = moment.now
    exposure = moment.exposure_eth
    held = 0.0
    for v in range(venues):
        held += book[SHORT, v]
    if np.isfinite(lo + hi + to_lo + to_hi) and lo <= hi:
        remember(state, lo, hi, to_lo, to_hi, book[SHARE])
    else:
        state[STATE_AGE] += 1.0
        lo, hi = state[STATE_LO], state[STATE_HI]
        to_lo, to_hi = state[STATE_TO_LO], state[STATE_TO_HI]
        for v in range(venues):
            book[SHARE, v] = state[STATE_WEIGHTS + v]
        if np.isnan(lo) or state[STATE_AGE] > limits.grace_ticks:
            reasons |= _FALLBACK
            lo = to_lo = min(limits.fallback_ratio, limits.max_ratio)
            hi = to_hi = max(limits.max_ratio, lo)
        else:
            reasons |= _HELD

    ratio = 0.0
    if held > 0.0:
        ratio = held / exposure if exposure > 0.0 else np.inf
    asks = asked(ratio, lo, hi, to_lo, to_hi)
    forced = False
    if rules.active:
        if bound[LOOKED] == moment.now:
            reasons |= int(bound[SAID])
        else:
            reasons |= _watch(memory, rules, limits, moment, held, book[SHARE], book[COST], bound)
        bound[LOOKED] = np.nan
        forced = np.isfinite(bound[FORCED])
        reasons |= _bound_floors(memory, moment, bound, lo)
        lo, hi, to_lo, to_hi = bounded(lo, hi, to_lo, to_hi, bound)
        if bound[TO_VENUE] >= 0.0:
            for v in range(venues):
                book[SHARE, v] = 1.0 if v == int(bound[TO_VENUE]) else 0.0

    goal = asked(ratio, lo, hi, to_lo, to_hi)
    if ratio < lo - RATIO_TOLERANCE:
        reasons |= _RAISE
    else:
        reasons |= _LOWER if ratio > hi + RATIO_TOLERANCE else _IN_BAND
    if goal > limits.max_ratio + RATIO_TOLERANCE:
        goal = limits.max_ratio
        reasons |= _CAPPED
    goal = max(goal, 0.0)
    over_cap = ratio > limits.max_ratio + RATIO_TOLERANCE
    waits = moment.quiet or moment.now - state[STATE_MOVED] < limits.min_interval_h
    waits = waits and not forced and not over_cap
    if waits:
        # Only what the guard itself asks for moves the hedge, and it stays where it is held.
        floor = max(bound[LEAST], lo) if reasons & _FALLBACK else bound[LEAST]
        allowed = max(ratio, min(floor, limits.max_ratio))
        if abs(goal - allowed) > RATIO_TOLERANCE:
            goal = allowed
            reasons |= _WAIT
        if held > 0.0:
            for v in range(venues):
                book[SHARE, v] = book[SHORT, v] / held
    note(asks, ratio, goal, book, moment, rules, bound, chain)

    resized = abs(goal - ratio) > RATIO_TOLERANCE
    moves = resized
    if held > 0.0 and not waits:
        deviation = 0.0
        for v in range(venues):
            deviation += abs(book[SHARE, v] * held - book[SHORT, v])
        if deviation > SWITCH_TOLERANCE * held:
            moves = True
            reasons |= _SWITCH

    minute = np.floor(moment.now * 60.0 + 1e-6)
    if minute != state[STATE_MINUTE]:
        state[STATE_MINUTE], state[STATE_SPENT] = minute, 0.0
    room = limits.minute_usd - state[STATE_SPENT]
    total_eth = max(goal * exposure, 0.0) if moves else -1.0
    reasons |= round_orders(book, total_eth, over_cap, moves and not resized)
    reasons |= limit_orders(book, exposure, total_eth, limits, moment.spot, room, over_cap)
    reasons |= _margin(book, moment, limits, bound[STANDBY], room, over_cap, resized)
    reasons |= stay_alive(book, moment, limits, room)
    traded = 0.0
    for v in range(venues):
        traded += abs(book[TARGET, v] - book[SHORT, v]) * book[PRICE, v]
        state[STATE_WEIGHTS + venues + v] = book[TARGET, v]
    if traded > 0.0:
        if reasons & _ORDER_CAP == 0:
            state[STATE_MOVED] = moment.now
        state[STATE_SPENT] += traded
    return reasons, lo, hi


@njit_in_place
def _margin(
    book: Floats,
    moment: Moment,
    limits: Limits,
    standby: float,
    room: float,
    over_cap: bool,
    resized: bool,
) -> int:
    """Margin the targets, and the shorts instead where a move between venues lacks the money."""
    reasons, cut, _ = fund(book, moment, standby)
    if not cut or resized:
        return reasons
    # Without the money for one leg the other stays, and is margined where it is.
    for v in range(book.shape[1]):
        book[ASKED_FOR, v] = book[COLLATERAL, v]
    keep_shorts(book)
    reasons |= limit_orders(book, moment.exposure_eth, -1.0, limits, moment.spot, room, over_cap)
    again, _, spare = fund(book, moment, standby)
    if moment.waits:
        give_what_was_asked(book, spare)
    return reasons | again


@njit_in_place
def _ground(state: Floats, book: Floats, moment: Moment, limits: Limits, rules: GuardRules) -> int:
    """Flags of what cannot be trusted about a moment; 0 where all can."""
    flags = 0
    known = bool(np.isfinite(moment.exposure_eth))
    priced = np.isfinite(moment.spot) and moment.spot > 0.0
    sound = np.isfinite(moment.event_floor) and not np.isnan(moment.available)
    sound = sound and 0.0 < moment.leverage < moment.leverage_max < np.inf
    for v in range(book.shape[1]):
        known = known and np.isfinite(book[SHORT, v] + book[EQUITY, v] + book[ON_WAY, v])
        known = known and book[SHORT, v] >= 0.0 and book[ON_WAY, v] >= 0.0
        priced = priced and np.isfinite(book[PRICE, v]) and book[PRICE, v] > 0.0
        sound = sound and np.isfinite(book[SHARE, v] + book[MINIMUM, v] + book[DEBT, v])
        sound = sound and book[SHARE, v] >= 0.0 and 0.0 < book[STEP, v] < np.inf
        sound = sound and 0.0 < book[UNIT, v] < np.inf
    if not sound:
        flags |= _BAD_INPUT
    if rules.active:
        known = known and np.isfinite(moment.equity + moment.flow + moment.pnl + moment.earned)
        priced = priced and np.isfinite(moment.mark)
    if not known:
        flags |= _NO_POSITION
    # A mark from the future is as doubtful as one from the past.
    fresh = np.isfinite(moment.mark_age_s) and abs(moment.mark_age_s) <= limits.mark_max_age_s
    if not (priced and fresh):
        flags |= _STALE_MARK
    if not (np.isfinite(moment.now) and moment.now >= state[STATE_NOW]):
        flags |= _CLOCK_BACK
    return flags


@njit_in_place
def _hold(state: Floats, book: Floats, chain: Floats) -> None:
    """Keep what is held; what is unknown keeps its last target, and no number is made up."""
    venues = book.shape[1]
    for v in range(venues):
        short, margin = book[SHORT, v], book[EQUITY, v] + book[ON_WAY, v]
        known = np.isfinite(short)
        book[TARGET, v] = short if known else state[STATE_WEIGHTS + venues + v]
        book[COLLATERAL, v] = margin if np.isfinite(margin) else 0.0
    for link in range(len(chain)):
        chain[link] = np.nan
