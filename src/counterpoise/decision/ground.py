"""Whether a moment can be trusted, and what holds where it cannot.

Compiled into ``step``. Specification: docs/simulation.md, decision.step, 0.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.moment import (
    COLLATERAL,
    DEBT,
    EQUITY,
    MINIMUM,
    ON_WAY,
    PRICE,
    SHARE,
    SHORT,
    STATE_NOW,
    STATE_WEIGHTS,
    STEP,
    TARGET,
    UNIT,
    Limits,
    Moment,
    Reason,
)
from counterpoise.risk.guard_rules import (
    GuardRules,
)

Floats = NDArray[np.float64]

_BAD_INPUT = int(Reason.BAD_INPUT)
_NO_POSITION = int(Reason.NO_POSITION)
_STALE_MARK = int(Reason.STALE_MARK)
_CLOCK_BACK = int(Reason.CLOCK_BACK)


@njit_in_place
def untrusted(
    state: Floats, book: Floats, moment: Moment, limits: Limits, rules: GuardRules
) -> int:
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
def hold(state: Floats, book: Floats, chain: Floats) -> None:
    """Keep what is held; what is unknown keeps its last target, and no number is made up."""
    venues = book.shape[1]
    for v in range(venues):
        short, margin = book[SHORT, v], book[EQUITY, v] + book[ON_WAY, v]
        known = np.isfinite(short)
        book[TARGET, v] = short if known else state[STATE_WEIGHTS + venues + v]
        book[COLLATERAL, v] = margin if np.isfinite(margin) else 0.0
    for link in range(len(chain)):
        chain[link] = np.nan
