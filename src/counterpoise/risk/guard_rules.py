"""What the risk guard obeys, looks at, remembers and leaves: rules, and layouts of its vectors.

Plain numbers; nothing is decided here. Specification: docs/risk.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

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
