"""Margin behind the targets: what to post, what to take back, what to do where it is too little.

Specification: docs/simulation.md, decision.step, 7 to 9.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.moment import (
    ASKED_FOR,
    COLLATERAL,
    DEBT,
    DUST,
    EQUITY,
    MINIMUM,
    ON_WAY,
    PRICE,
    SHARE,
    SHORT,
    STEP,
    TARGET,
    UNIT,
    Limits,
    Moment,
    Reason,
)
from counterpoise.decision.orders import steps_of

Floats = NDArray[np.float64]

#: Margin that stands ready is topped up to this many times what is needed.
AMPLE = 1.25

_TOP_UP = int(Reason.TOP_UP)
_RELEASE = int(Reason.RELEASE)
_UNFUNDED = int(Reason.UNFUNDED)
_AWAITING = int(Reason.AWAITING)
_KEPT_ALIVE = int(Reason.KEPT_ALIVE)


@njit_in_place
def ready_usd(book: Floats, v: int, moment: Moment, standby: float) -> float:
    """Margin that a venue should hold for a hedge that may be asked for next, USD."""
    if not moment.waits or standby <= 0.0:
        return 0.0
    exposure_usd = max(moment.exposure_eth, 0.0) * book[PRICE, v]
    return float(standby * exposure_usd * book[SHARE, v] / moment.leverage_max)


@njit_in_place
def fund(book: Floats, moment: Moment, standby: float) -> tuple[int, bool, float]:
    """Margin the targets; where the money ends or is on its way, cut what was to be added.

    Where collateral takes time, margin also stands ready for the hedge ratio ``standby``.

    Parameters
    ----------
    book : float64 (rows, V)
        ``COLLATERAL`` is written, ``TARGET`` may be lowered.
    moment : Moment
    standby : float
        Hedge ratio, at the present price.

    Returns
    -------
    reasons : int
    cut : bool
        Whether a target was lowered.
    spare : float
        What is left to post, in units of collateral.
    """
    venues = book.shape[1]
    reasons = 0
    spare = moment.available
    most = moment.leverage_max
    for v in range(venues):
        notional = max(book[TARGET, v] * book[PRICE, v], book[DEBT, v])
        have = book[EQUITY, v] + book[ON_WAY, v]
        book[COLLATERAL, v] = have
        if book[TARGET, v] == 0.0:
            book[COLLATERAL, v] = 0.0
        elif have <= 0.0 or notional > most * have or notional * most < moment.leverage**2 * have:
            book[COLLATERAL, v] = notional / moment.leverage
        ready = ready_usd(book, v, moment, standby)
        if have < ready:
            book[COLLATERAL, v] = max(book[COLLATERAL, v], AMPLE * ready)
        elif ready > 0.0:
            book[COLLATERAL, v] = max(book[COLLATERAL, v], min(have, AMPLE * ready))
        change = book[COLLATERAL, v] - have
        if abs(change) <= DUST * (abs(have) + book[COLLATERAL, v]):
            book[COLLATERAL, v] = have
        elif change > 0.0 and (book[TARGET, v] > 0.0 or ready > 0.0):
            reasons |= _TOP_UP
        elif change < 0.0 and book[TARGET, v] > 0.0:
            reasons |= _RELEASE
        if book[COLLATERAL, v] < have:
            # Margin on its way cannot be called back.
            spare += max(book[EQUITY, v] - book[COLLATERAL, v], 0.0) / book[UNIT, v]
    spare = max(spare, 0.0)
    cut = False
    for v in range(venues):
        have = book[EQUITY, v] + book[ON_WAY, v]
        ready = ready_usd(book, v, moment, standby)
        if book[COLLATERAL, v] <= have or (book[TARGET, v] == 0.0 and ready == 0.0):
            continue
        need = (book[COLLATERAL, v] - have) / book[UNIT, v]
        if need <= spare:
            spare -= need
            continue
        reasons |= _UNFUNDED
        book[COLLATERAL, v] = have + spare * book[UNIT, v]
        if book[TARGET, v] > book[SHORT, v]:
            cut = _carry(book, v, book[COLLATERAL, v] * most) or cut
        if book[TARGET, v] == 0.0 and ready == 0.0:
            book[COLLATERAL, v] = 0.0
        else:
            spare = 0.0
    if moment.waits:
        for v in range(venues):
            adds = book[TARGET, v] > book[SHORT, v]
            if adds and book[TARGET, v] * book[PRICE, v] > most * book[EQUITY, v]:
                cut = _carry(book, v, max(book[EQUITY, v], 0.0) * most) or cut
                reasons |= _AWAITING
    return reasons, cut, spare


@njit_in_place
def _carry(book: Floats, v: int, notional_usd: float) -> bool:
    """Lower a growing target to the short that margin carries; returns whether it fell."""
    now, price = book[SHORT, v], book[PRICE, v]
    steps = np.floor((notional_usd / price - now) / book[STEP, v] + DUST)
    size = steps * book[STEP, v]
    carried = now
    if steps > 0.0 and size * price >= book[MINIMUM, v]:
        carried = now + size
    if carried >= book[TARGET, v]:
        return False
    book[TARGET, v] = carried
    return True


@njit_in_place
def give_what_was_asked(book: Floats, spare: float) -> None:
    """Send the collateral that the first round asked for ahead of a move between venues."""
    for v in range(book.shape[1]):
        more = min(book[ASKED_FOR, v] - book[COLLATERAL, v], spare * book[UNIT, v])
        if more > 0.0:
            book[COLLATERAL, v] += more
            spare -= more / book[UNIT, v]


@njit_in_place
def stay_alive(book: Floats, moment: Moment, limits: Limits, room_usd: float) -> int:
    """Cut a short whose margin is nearly used up to what the margin carries twice over.

    The rest stays a hedge; liquidated, nothing would. Its collateral stays as it was asked for.

    Parameters
    ----------
    book : float64 (rows, V)
        ``TARGET`` may be lowered.
    moment : Moment
    limits : Limits
    room_usd : float
        What may be traded in this minute, the orders so far included.

    Returns
    -------
    reasons : int
    """
    if limits.keep_alive <= 0.0:
        return 0
    for v in range(book.shape[1]):
        room_usd -= abs(book[TARGET, v] - book[SHORT, v]) * book[PRICE, v]
    reasons = 0
    for v in range(book.shape[1]):
        price, target = book[PRICE, v], book[TARGET, v]
        at_hand = book[EQUITY, v] if moment.waits else book[COLLATERAL, v]
        if book[SHORT, v] <= 0.0 or at_hand >= limits.keep_alive * target * price:
            continue
        if abs(price / moment.spot - 1.0) > limits.collar:
            continue
        room_usd += abs(target - book[SHORT, v]) * price
        carried = steps_of(max(at_hand, 0.0) / (2.0 * limits.keep_alive), price, book[STEP, v])
        most = steps_of(min(limits.order_usd, max(room_usd, 0.0)), price, book[STEP, v])
        carried = max(carried, book[SHORT, v] - most)
        if carried < target:
            book[TARGET, v] = carried
            reasons |= _KEPT_ALIVE
        room_usd -= abs(book[TARGET, v] - book[SHORT, v]) * price
    return reasons
