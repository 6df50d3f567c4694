"""What a decision is made of: its reasons, limits, moment, book of venues and memory.

Plain numbers and layouts of arrays that the compiled step, the drivers and the wording share.
Nothing is decided here.
"""

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.risk import guard_rules

Floats = NDArray[np.float64]

#: Differences of ratios below this are rounding.
RATIO_TOLERANCE = 1e-12
#: Total deviation of venue weights at which the short is moved between venues.
SWITCH_TOLERANCE = 0.1
#: A size below this part of the venue's step is rounding, not a position.
DUST = 1e-9


class Reason(enum.IntFlag):
    """Why a target is what it is; flags of one decision are or-ed."""

    IN_BAND = 1
    RAISE = 2
    LOWER = 4
    CAPPED = 8
    SWITCH = 16
    HELD = 32
    FALLBACK = 64
    BELOW_MINIMUM = 128
    TOP_UP = 256
    RELEASE = 512
    UNFUNDED = 1024
    DRAWDOWN = guard_rules.DRAWDOWN
    LOCK = guard_rules.LOCK
    STOP = guard_rules.STOP
    FUNDING_COST = guard_rules.FUNDING_COST
    EVENT = guard_rules.EVENT
    REARMED = guard_rules.REARMED
    WAIT = 1 << 17
    VENUE_CAP = 1 << 18
    ORDER_CAP = 1 << 19
    COLLAR = 1 << 20
    FAT_FINGER = 1 << 21
    AWAITING = 1 << 22
    KEPT_ALIVE = 1 << 23
    CLOSED = 1 << 24
    HALTED = 1 << 25
    NO_POSITION = 1 << 26
    STALE_MARK = 1 << 27
    CLOCK_BACK = 1 << 28
    BAD_INPUT = 1 << 29


class Limits(NamedTuple):
    """Limits of one account, as plain numbers for the compiled step; infinity is none.

    Attributes
    ----------
    max_ratio, fallback_ratio, grace_ticks : float
        Cap of the hedge ratio; floor without a signal, and for how long the last intent is held.
    venue_usd, total_usd : float
        Most notional on one venue, and on all.
    order_usd, minute_usd : float
        Most of one order, and of all orders within one minute.
    collar : float
        How far from the index a perpetual may be to take an order, a fraction.
    fat_finger : float
        An order of more than this share of the exposure is a mistake and is not sent.
    min_interval_h : float
        Hours between two moves of the hedge that the guard does not ask for.
    keep_alive : float
        Margin ÷ notional below which a short is cut; 0 is off.
    mark_max_age_s : float
        Age of a mark from which on nothing moves.
    """

    max_ratio: float
    fallback_ratio: float
    grace_ticks: float
    venue_usd: float = np.inf
    total_usd: float = np.inf
    order_usd: float = np.inf
    minute_usd: float = np.inf
    collar: float = np.inf
    fat_finger: float = np.inf
    min_interval_h: float = 0.0
    keep_alive: float = 0.0
    mark_max_age_s: float = np.inf


class Moment(NamedTuple):
    """What a decision reads that is not a venue's.

    Attributes
    ----------
    now : float
        Hours, from any beginning; never falls.
    mark_age_s : float
        Age of the oldest price, seconds.
    exposure_eth : float
        Long ETH; where nothing is left of it, every short is closed.
    spot, mark : float
        Spot price, and mark of the first venue, USD.
    equity, flow, pnl, earned : float
        Of the holder, for the guard; see ``risk.guard_rules.Seen``. Read where a rule is active.
    event_floor, event_class : float
        Hedge floor of an event window, 0 without one; and its place among ``calendar.CLASSES``, NaN
        without one.
    quiet : bool
        Only the guard may move the hedge.
    leverage, leverage_max : float
        Notional ÷ equity after a top-up, and the one that asks for it.
    available : float
        What can still be posted, in units of USDT or of ETH; may be infinite.
    waits : bool
        Collateral takes time to arrive, so only what has arrived carries a larger short.
    """

    now: float
    mark_age_s: float
    exposure_eth: float
    spot: float
    mark: float
    equity: float
    flow: float
    pnl: float
    earned: float
    event_floor: float
    event_class: float
    quiet: bool
    leverage: float
    leverage_max: float
    available: float
    waits: bool


#: Rows of a book: one number per venue each. What a decision reads: short (ETH), price, margin
#: equity, margin on its way, debt behind ETH collateral (USD), share of the intent, size step
#: (ETH), smallest order (USD), margin that a unit of collateral gives (USD), expected funding cost
#: (fraction).
SHORT, PRICE, EQUITY, ON_WAY, DEBT, SHARE, STEP, MINIMUM, UNIT, COST = range(10)
#: What it writes: short to hold (ETH), margin to hold before the cost of trading (USD); and what
#: the first round of funding asked for.
TARGET, COLLATERAL, ASKED_FOR, DECISION_ROWS = range(10, 14)

#: Memory of a decision: band of the last known intent and its age in ticks; hour of the last move
#: of the hedge; minute of the last order and what was traded in it, USD; hour of the last decision;
#: then the weights of that intent and the last targets, one per venue each.
(
    STATE_LO,
    STATE_HI,
    STATE_TO_LO,
    STATE_TO_HI,
    STATE_AGE,
    STATE_MOVED,
    STATE_MINUTE,
    STATE_SPENT,
    STATE_NOW,
    STATE_WEIGHTS,
) = range(10)

#: Numbers behind a decision, in the order of :data:`CHAIN`.
(
    ASKED,
    LEAST_RATIO,
    FORCED_RATIO,
    GOAL,
    GUARDED_USD,
    KEPT_USD,
    HELD_RATIO,
    STOP_KIND,
    STOP_LEVEL,
    FUNDING_AT,
    MOST_LEVERAGE,
    DISTANCE,
    EVENT_FLOOR,
    EVENT_CLASS,
    QUIET_HOUR,
    STOP_HOURS,
    FUNDING_WHY,
    VENUE_CHOSEN,
    LINKS,
) = range(19)
#: Their names: the hedge ratio that the intent asked for, the floor and the forced ratio of the
#: guard, what was left to do before the venue's rules; the equity that is guarded, what of it
#: is kept; the ratio held before; the stop that forces a ratio (0 to 3) and the level it fired
#: at; the expected funding cost, a fraction of notional; the leverage that asks for a top-up;
#: the largest distance of a perpetual to the index; the floor of an event window and its class;
#: whether only the guard may move the hedge; hours that the stop still acts; why the funding
#: guard is on (1: too expensive, 2: what was earned is being eaten) and the venue it takes, -1
#: without one.
CHAIN = (
    "asked",
    "floor",
    "forced",
    "goal",
    "guarded_usd",
    "kept_usd",
    "held",
    "stop",
    "stop_level",
    "funding_cost",
    "leverage_max",
    "distance",
    "event_floor",
    "event_class",
    "quiet",
    "stop_hours",
    "funding_why",
    "venue",
)


@njit
def initial_state(venues: int) -> Floats:
    """Memory of a decision before any intent was seen; shape (9 + 2·V,)."""
    state = np.full(STATE_WEIGHTS + 2 * venues, np.nan)
    state[STATE_AGE] = state[STATE_SPENT] = 0.0
    state[STATE_MOVED] = state[STATE_NOW] = state[STATE_MINUTE] = -np.inf
    state[STATE_WEIGHTS:] = 0.0
    state[STATE_WEIGHTS] = 1.0
    return state
