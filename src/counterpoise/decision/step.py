"""The decision itself: where the short should be on each venue now, and why.

One compiled function, :func:`step`, applies an intent to positions under limits; the simulator
calls it in its loop and :func:`decide` wraps it for the backtest, the live controller and the
command line. It sends no order and reads no clock. Specification: docs/simulation.md.
"""

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit, njit_in_place
from counterpoise.config import Settings

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


_IN_BAND = int(Reason.IN_BAND)
_RAISE = int(Reason.RAISE)
_LOWER = int(Reason.LOWER)
_CAPPED = int(Reason.CAPPED)
_SWITCH = int(Reason.SWITCH)
_HELD = int(Reason.HELD)
_FALLBACK = int(Reason.FALLBACK)
_BELOW_MINIMUM = int(Reason.BELOW_MINIMUM)
_TOP_UP = int(Reason.TOP_UP)
_RELEASE = int(Reason.RELEASE)
_UNFUNDED = int(Reason.UNFUNDED)


class Limits(NamedTuple):
    """Limits of one account, as plain numbers for the compiled step."""

    max_ratio: float
    fallback_ratio: float
    grace_ticks: float
    leverage: float
    leverage_max: float


def limits_of(settings: Settings) -> Limits:
    """Guard limits of the settings."""
    return Limits(
        max_ratio=settings.hedge.max_ratio,
        fallback_ratio=settings.hedge.base_ratio,
        grace_ticks=float(settings.safety.signal_grace_h),
        leverage=settings.capital.leverage,
        leverage_max=settings.capital.leverage_max,
    )


#: Layout of the guard's state vector: lo, hi, to_lo, to_hi, age, then one weight per venue.
STATE_LO, STATE_HI, STATE_TO_LO, STATE_TO_HI, STATE_AGE, STATE_WEIGHTS = range(6)


@njit
def initial_state(venues: int) -> Floats:
    """State of a guard that has seen no intent yet; shape (5 + venues,)."""
    state = np.full(STATE_WEIGHTS + venues, np.nan)
    state[STATE_AGE] = 0.0
    state[STATE_WEIGHTS:] = 0.0
    state[STATE_WEIGHTS] = 1.0
    return state


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
    short_eth: Floats,
    price: Floats,
    equity: Floats,
    exposure_eth: float,
    lo: float,
    hi: float,
    to_lo: float,
    to_hi: float,
    weights: Floats,
    limits: Limits,
    step_eth: Floats,
    debt_usd: Floats,
) -> bool:
    """Whether :func:`step` would leave every position and collateral as it is, by its band.

    It says so without a division, for drivers that ask often; ``False`` promises nothing. What
    step would then return is ``Reason.IN_BAND``; the caller remembers the intent.

    Parameters are those of :func:`step`.
    """
    if not np.isfinite(lo + hi + to_lo + to_hi):
        return False
    held = 0.0
    for v in range(len(short_eth)):
        held += short_eth[v]
    highest = min(hi, limits.max_ratio) + RATIO_TOLERANCE
    if not (held > 0.0 and (lo - RATIO_TOLERANCE) * exposure_eth <= held <= highest * exposure_eth):
        return False
    deviation = 0.0
    for v in range(len(short_eth)):
        deviation += abs(weights[v] * held - short_eth[v])
        if short_eth[v] <= DUST * step_eth[v]:
            if short_eth[v] != 0.0 or equity[v] != 0.0:
                return False
            continue
        notional = max(short_eth[v] * price[v], debt_usd[v])
        most = limits.leverage_max * equity[v]
        if notional > most or notional * limits.leverage_max < limits.leverage**2 * equity[v]:
            return False
    return deviation <= SWITCH_TOLERANCE * held


@njit_in_place
def _fund(
    short_eth: Floats,
    price: Floats,
    equity: Floats,
    limits: Limits,
    step_eth: Floats,
    min_notional_usd: Floats,
    debt_usd: Floats,
    available: float,
    unit_usd: Floats,
    target_eth: Floats,
    collateral_usd: Floats,
) -> tuple[int, bool]:
    """Margin the targets; where the money ends, cut what was to be added (steps 6 and 7).

    Returns
    -------
    reasons : int
    cut : bool
        Whether a target was lowered.
    """
    venues = len(short_eth)
    reasons = 0
    spare = available
    for v in range(venues):
        notional = max(target_eth[v] * price[v], debt_usd[v])
        collateral_usd[v] = equity[v]
        if target_eth[v] == 0.0:
            collateral_usd[v] = 0.0
        elif equity[v] <= 0.0 or notional > limits.leverage_max * equity[v]:
            collateral_usd[v] = notional / limits.leverage
            reasons |= _TOP_UP
        elif notional * limits.leverage_max < limits.leverage**2 * equity[v]:
            collateral_usd[v] = notional / limits.leverage
            reasons |= _RELEASE
        if collateral_usd[v] < equity[v]:
            spare += (equity[v] - collateral_usd[v]) / unit_usd[v]
    spare = max(spare, 0.0)
    cut = False
    for v in range(venues):
        if target_eth[v] == 0.0 or collateral_usd[v] <= equity[v]:
            continue
        need = (collateral_usd[v] - equity[v]) / unit_usd[v]
        if need <= spare:
            spare -= need
            continue
        reasons |= _UNFUNDED
        collateral_usd[v] = equity[v] + spare * unit_usd[v]
        if target_eth[v] > short_eth[v]:
            carried = collateral_usd[v] * limits.leverage_max / price[v]
            steps = np.floor((carried - short_eth[v]) / step_eth[v] + DUST)
            size = steps * step_eth[v]
            enough = steps > 0.0 and size * price[v] >= min_notional_usd[v]
            affordable = short_eth[v] + size if enough else short_eth[v]
            cut = cut or affordable < target_eth[v]
            target_eth[v] = min(target_eth[v], affordable)
        if target_eth[v] == 0.0:
            collateral_usd[v] = 0.0
        else:
            spare = 0.0
    return reasons, cut


@njit_in_place
def step(
    state: Floats,
    short_eth: Floats,
    price: Floats,
    equity: Floats,
    exposure_eth: float,
    lo: float,
    hi: float,
    to_lo: float,
    to_hi: float,
    weights: Floats,
    limits: Limits,
    step_eth: Floats,
    min_notional_usd: Floats,
    debt_usd: Floats,
    available: float,
    unit_usd: Floats,
    target_eth: Floats,
    collateral_usd: Floats,
) -> tuple[int, float, float]:
    """Decide targets and collateral of one moment; allocation-free.

    Parameters
    ----------
    state : float64 (5 + V,)
        Guard state, see :func:`initial_state`; replaced in place by the next state.
    short_eth, price, equity : float64 (V,)
        Position (ETH, positive short), perpetual price and margin equity (USD) per venue.
    exposure_eth : float
        Long ETH; where nothing is left of it, every short is closed.
    lo, hi, to_lo, to_hi, weights
        The intent's row; NaN in any of the four means unknown.
    limits : Limits
    step_eth, min_notional_usd : float64 (V,)
        Venue filters.
    debt_usd : float64 (V,)
        USD owed to the venue behind ETH collateral: margin is not released from under it.
    available : float
        What can still be posted, in units of USDT or of ETH; may be infinite.
    unit_usd : float64 (V,)
        Margin that one such unit gives on the venue, USD.
    target_eth, collateral_usd : float64 (V,)
        Written: short to hold, and margin equity to hold before the cost of trading.

    Returns
    -------
    reasons : int
        Flags of :class:`Reason`.
    lo, hi : float
        The band in force.
    """
    venues = len(short_eth)
    reasons = 0
    held = 0.0
    for v in range(venues):
        held += short_eth[v]
    if np.isfinite(lo + hi + to_lo + to_hi):
        remember(state, lo, hi, to_lo, to_hi, weights)
    else:
        state[STATE_AGE] += 1.0
        lo, hi = state[STATE_LO], state[STATE_HI]
        to_lo, to_hi = state[STATE_TO_LO], state[STATE_TO_HI]
        if np.isnan(lo) or state[STATE_AGE] > limits.grace_ticks:
            reasons |= _FALLBACK
            lo = to_lo = min(limits.fallback_ratio, limits.max_ratio)
            hi = to_hi = max(limits.max_ratio, lo)
        else:
            reasons |= _HELD

    ratio = 0.0
    if held > 0.0:
        ratio = held / exposure_eth if exposure_eth > 0.0 else np.inf
    goal = ratio
    if ratio < lo - RATIO_TOLERANCE:
        goal = to_lo
        reasons |= _RAISE
    elif ratio > hi + RATIO_TOLERANCE:
        goal = to_hi
        reasons |= _LOWER
    else:
        reasons |= _IN_BAND
    if goal > limits.max_ratio + RATIO_TOLERANCE:
        goal = limits.max_ratio
        reasons |= _CAPPED
    goal = max(goal, 0.0)

    resized = abs(goal - ratio) > RATIO_TOLERANCE
    moves = resized
    if held > 0.0:
        deviation = 0.0
        for v in range(venues):
            deviation += abs(state[STATE_WEIGHTS + v] * held - short_eth[v])
        if deviation > SWITCH_TOLERANCE * held:
            moves = True
            reasons |= _SWITCH

    over_cap = ratio > limits.max_ratio + RATIO_TOLERANCE
    blocked = False
    for v in range(venues):
        now = short_eth[v]
        wanted = state[STATE_WEIGHTS + v] * goal * exposure_eth if moves else now
        if wanted <= DUST * step_eth[v]:
            target_eth[v] = 0.0
            continue
        target_eth[v] = now
        if wanted == now:
            continue
        steps = abs(wanted - now) / step_eth[v]
        # Under the cap an order never overshoots; over it, it never falls short.
        steps = np.ceil(steps - DUST) if over_cap and wanted < now else np.floor(steps + DUST)
        size = steps * step_eth[v]
        if wanted < now:
            target_eth[v] = max(0.0, now - size)
        elif size * price[v] >= min_notional_usd[v]:
            target_eth[v] = now + size
        elif steps > 0.0:
            # Only orders that add need the minimum; reduce-only ones are exempt.
            reasons |= _BELOW_MINIMUM
            blocked = True
    if blocked and not resized:
        # A move between venues that cannot open one leg must not close the other.
        for v in range(venues):
            target_eth[v] = short_eth[v]

    flags, cut = _fund(
        short_eth,
        price,
        equity,
        limits,
        step_eth,
        min_notional_usd,
        debt_usd,
        available,
        unit_usd,
        target_eth,
        collateral_usd,
    )
    reasons |= flags
    if cut and not resized:
        # As above: without the money for one leg the other stays, and is margined where it is.
        for v in range(venues):
            target_eth[v] = short_eth[v]
        flags, _ = _fund(
            short_eth,
            price,
            equity,
            limits,
            step_eth,
            min_notional_usd,
            debt_usd,
            available,
            unit_usd,
            target_eth,
            collateral_usd,
        )
        reasons |= flags
    return reasons, lo, hi


@dataclass(frozen=True)
class Decision:
    """Outcome of one step.

    Attributes
    ----------
    target_eth, collateral_usd : float64 (V,)
        Short and margin equity to hold on each venue.
    lo, hi : float
        Band in force.
    reasons : Reason
    state : float64 (5 + V,)
        The guard's next state.
    """

    target_eth: Floats
    collateral_usd: Floats
    lo: float
    hi: float
    reasons: Reason
    state: Floats


def decide(
    state: Floats,
    *,
    short_eth: Floats,
    price: Floats,
    equity: Floats,
    exposure_eth: float,
    band: tuple[float, float, float, float],
    weights: Floats,
    limits: Limits,
    step_eth: Floats,
    min_notional_usd: Floats,
) -> Decision:
    """Pure form of :func:`step`: inputs stay as they are, the next state is returned.

    Parameters are those of :func:`step`, with ``band = (lo, hi, to_lo, to_hi)``; as much USDT as it
    takes can be posted.

    Raises
    ------
    ValueError
        Exposure not positive and finite, or a position, price or equity that is not finite: a
        decision on unknown ground is not made.
    """
    if not (np.isfinite(exposure_eth) and exposure_eth > 0):
        raise ValueError(f"exposure_eth = {exposure_eth}: expected a positive number of ETH")
    for name, values in (("short_eth", short_eth), ("price", price), ("equity", equity)):
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} = {values}: expected finite numbers; confirm the position")
    following = state.copy()
    target_eth = np.empty_like(short_eth)
    collateral_usd = np.empty_like(short_eth)
    flags, lo, hi = step(
        following,
        short_eth,
        price,
        equity,
        exposure_eth,
        *band,
        weights,
        limits,
        step_eth,
        min_notional_usd,
        np.zeros_like(price),
        math.inf,
        np.ones_like(price),
        target_eth,
        collateral_usd,
    )
    return Decision(target_eth, collateral_usd, lo, hi, Reason(flags), following)
