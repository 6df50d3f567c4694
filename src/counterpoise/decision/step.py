"""The decision itself: where the short should be on each venue now, and why.

One compiled function, :func:`step`, lets the guard look, applies an intent to positions under
limits and margins what is left. The simulator calls it in its loop,
:mod:`counterpoise.decision.decide` wraps it for everybody else. It sends no order and reads no
clock. Specification: docs/simulation.md.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.band import asked, bound_floors, bounded, note, watch
from counterpoise.decision.collateral import fund, give_what_was_asked, ready_usd, stay_alive
from counterpoise.decision.ground import hold, untrusted
from counterpoise.decision.moment import (
    ASKED_FOR,
    COLLATERAL,
    COST,
    DEBT,
    DUST,
    EQUITY,
    ON_WAY,
    PRICE,
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
    SWITCH_TOLERANCE,
    TARGET,
    Limits,
    Moment,
    Reason,
)
from counterpoise.decision.orders import keep_shorts, limit_orders, round_orders
from counterpoise.risk.guard_rules import (
    FORCED,
    LEAST,
    LOOKED,
    SAID,
    STANDBY,
    TO_VENUE,
    GuardRules,
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
_ORDER_CAP = int(Reason.ORDER_CAP)
_HALTED = int(Reason.HALTED)


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
        said = watch(memory, rules, limits, moment, held, book[SHARE], book[COST], bound)
        bound[LOOKED], bound[SAID] = moment.now, said
        flags |= said
        if bound[TO_VENUE] >= 0.0:
            return -1
        flags |= bound_floors(memory, moment, bound, lo)
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
    memory : float64 (guard_rules.SIZE,)
        The guard's; replaced in place.
    book : float64 (at least ``moment.DECISION_ROWS``, V)
        A row per quantity, see ``moment``; ``TARGET`` and ``COLLATERAL`` are written.
    moment : Moment
    lo, hi, to_lo, to_hi : float
        The intent's row, with its weights in ``book[SHARE]``; NaN in any of the four means unknown.
    limits : Limits
    rules : GuardRules
    bound : float64 (guard_rules.BOUND_SIZE,)
        Room for what the guard leaves; as ``guard_rules.unbound`` makes it.
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
    reasons = untrusted(state, book, moment, limits, rules)
    if reasons != 0:
        hold(state, book, chain)
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
            reasons |= watch(memory, rules, limits, moment, held, book[SHARE], book[COST], bound)
        bound[LOOKED] = np.nan
        forced = np.isfinite(bound[FORCED])
        reasons |= bound_floors(memory, moment, bound, lo)
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
