"""What of a goal becomes orders: the venue's filters, then the limits of the account.

The last thing before an order. Specification: docs/simulation.md, decision.step, 5 and 6.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place
from counterpoise.decision.moment import (
    DUST,
    MINIMUM,
    PRICE,
    SHARE,
    SHORT,
    STEP,
    TARGET,
    Limits,
    Reason,
)

Floats = NDArray[np.float64]

#: Part of an amount that is rounding.
ROUNDING = 1e-12

_BELOW_MINIMUM = int(Reason.BELOW_MINIMUM)
_VENUE_CAP = int(Reason.VENUE_CAP)
_ORDER_CAP = int(Reason.ORDER_CAP)
_COLLAR = int(Reason.COLLAR)
_FAT_FINGER = int(Reason.FAT_FINGER)


@njit_in_place
def steps_of(usd: float, price: float, step_eth: float) -> float:
    """Largest size of whole steps that an amount buys, ETH."""
    return float(np.floor(usd / price / step_eth + DUST) * step_eth)


@njit_in_place
def keep_shorts(book: Floats) -> None:
    """Make what is held the target on every venue."""
    for v in range(book.shape[1]):
        book[TARGET, v] = book[SHORT, v]


@njit_in_place
def round_orders(book: Floats, total_eth: float, over_cap: bool, between_venues: bool) -> int:
    """Split a total over the venues and round each order by its venue's filters.

    Parameters
    ----------
    book : float64 (rows, V)
        ``TARGET`` is written.
    total_eth : float
        Short on all venues together; negative leaves every position as it is.
    over_cap : bool
        What is held exceeds the cap of the hedge ratio: reductions are rounded up.
    between_venues : bool
        The total does not change: one leg must not go without the other.

    Returns
    -------
    reasons : int
    """
    if total_eth < 0.0:
        keep_shorts(book)
    blocked = False
    for v in range(book.shape[1]):
        now = book[SHORT, v]
        wanted = now if total_eth < 0.0 else book[SHARE, v] * total_eth
        if wanted <= DUST * book[STEP, v]:
            book[TARGET, v] = 0.0
            continue
        book[TARGET, v] = now
        if wanted == now:
            continue
        steps = abs(wanted - now) / book[STEP, v]
        # Under the cap an order never overshoots; over it, it never falls short.
        steps = np.ceil(steps - DUST) if over_cap and wanted < now else np.floor(steps + DUST)
        size = steps * book[STEP, v]
        if wanted < now:
            book[TARGET, v] = max(0.0, now - size)
        elif size * book[PRICE, v] >= book[MINIMUM, v]:
            book[TARGET, v] = now + size
        elif steps > 0.0:
            # Only orders that add need the minimum; reduce-only ones are exempt.
            blocked = True
    if blocked and between_venues:
        keep_shorts(book)
    return _BELOW_MINIMUM if blocked else 0


@njit_in_place
def limit_orders(
    book: Floats,
    exposure_eth: float,
    wanted_eth: float,
    limits: Limits,
    index: float,
    room_usd: float,
    over_cap: bool,
) -> int:
    """Apply the caps of venues and of orders to the targets.

    Parameters
    ----------
    book : float64 (rows, V)
        ``TARGET`` is read and written.
    exposure_eth, wanted_eth : float
        And the total short that the decision goes to; negative where it does not move.
    limits : Limits
    index : float
        Price that the collar is measured from, USD.
    room_usd : float
        What may still be traded in this minute.
    over_cap : bool
        What is held exceeds the cap of the hedge ratio: no reduction is a mistake.

    Returns
    -------
    reasons : int
    """
    reasons = 0
    total = 0.0
    room_usd = max(room_usd, 0.0)
    to_open = to_close = 0.5 * room_usd
    adds = reduces = False
    for v in range(book.shape[1]):
        adds = adds or book[TARGET, v] > book[SHORT, v]
        reduces = reduces or book[TARGET, v] < book[SHORT, v]
    for v in range(book.shape[1]):
        price, now = book[PRICE, v], book[SHORT, v]
        most = min(limits.venue_usd, max(limits.total_usd - total, 0.0))
        if book[TARGET, v] * price > most:
            book[TARGET, v] = steps_of(most, price, book[STEP, v])
            reasons |= _VENUE_CAP
            added = book[TARGET, v] - now
            if added > 0.0 and added * price < book[MINIMUM, v]:
                book[TARGET, v] = now
        opens = book[TARGET, v] > now
        room = room_usd
        if adds and reduces:
            room = to_open if opens else to_close
        if book[TARGET, v] == now:
            pass
        elif abs(price / index - 1.0) > limits.collar:
            book[TARGET, v] = now
            reasons |= _COLLAR
        else:
            reasons |= _cut_order(book, v, limits, room)
            size = abs(book[TARGET, v] - now)
            mistake = exposure_eth > 0.0 and size > limits.fat_finger * exposure_eth
            if mistake and (opens or not over_cap):
                book[TARGET, v] = now
                reasons |= _FAT_FINGER
        used = abs(book[TARGET, v] - now) * price
        total += book[TARGET, v] * price
        room_usd -= used
        if opens:
            to_open -= used
        else:
            to_close -= used
    if reasons != 0:
        _match_legs(book, wanted_eth, limits)
        for v in range(book.shape[1]):
            if book[TARGET, v] <= DUST * book[STEP, v]:
                book[TARGET, v] = 0.0
    return reasons


@njit_in_place
def _match_legs(book: Floats, wanted_eth: float, limits: Limits) -> None:
    """Take back what would carry the total beyond both what is held and what is wanted.

    Where one leg of a change was cut, the other goes only as far: no hedge is lost because a venue
    takes no order, and none is doubled.
    """
    held = total = held_usd = total_usd = 0.0
    for v in range(book.shape[1]):
        held += book[SHORT, v]
        held_usd += book[SHORT, v] * book[PRICE, v]
        total += book[TARGET, v]
        total_usd += book[TARGET, v] * book[PRICE, v]
    wanted = held if wanted_eth < 0.0 else wanted_eth
    excess = total - max(held, wanted)
    excess_usd = total_usd - max(limits.total_usd, held_usd)
    for v in range(book.shape[1]):
        added, step = book[TARGET, v] - book[SHORT, v], book[STEP, v]
        # What one venue could not give up takes room from the others under the cap of all.
        over = max(excess, excess_usd / book[PRICE, v])
        if added <= 0.0 or over <= DUST * step:
            continue
        back = np.ceil(over / step - DUST) * step
        if (added - back) * book[PRICE, v] < book[MINIMUM, v]:
            back = added
        book[TARGET, v] = book[SHORT, v] if back >= added else book[TARGET, v] - back
        excess -= back
        excess_usd -= back * book[PRICE, v]
        total -= back
    lacking = min(held, wanted) - total
    room_usd = limits.total_usd
    for v in range(book.shape[1]):
        room_usd -= book[TARGET, v] * book[PRICE, v]
    for v in range(book.shape[1]):
        taken, step = book[SHORT, v] - book[TARGET, v], book[STEP, v]
        price = book[PRICE, v]
        forced = book[SHORT, v] * price > limits.venue_usd
        if taken <= 0.0 or lacking <= DUST * step or forced:
            continue
        back = min(np.ceil(lacking / step - DUST) * step, taken)
        if back * price > room_usd:
            back = min(steps_of(max(room_usd, 0.0), price, step), back)
        book[TARGET, v] = book[SHORT, v] if back == taken else book[TARGET, v] + back
        lacking -= back
        room_usd -= back * price


@njit_in_place
def _cut_order(book: Floats, v: int, limits: Limits, room_usd: float) -> int:
    """Cut one venue's order to what an order and this minute may be."""
    price, now = book[PRICE, v], book[SHORT, v]
    size = abs(book[TARGET, v] - now)
    most = min(limits.order_usd, max(room_usd, 0.0))
    if size * price <= most * (1.0 + ROUNDING):
        return 0
    part = steps_of(most, price, book[STEP, v])
    if book[TARGET, v] < now:
        book[TARGET, v] = max(now - part, 0.0)
    elif part * price < book[MINIMUM, v]:
        book[TARGET, v] = now
    else:
        book[TARGET, v] = now + part
    return _ORDER_CAP
