"""How far fast numbers may move a band, and whether a move may wait a moment for a better price.

Both are off by default. Running funding shifts a whole band by what mean–variance gives for it,
within a bound. Order flow and microprice never touch the band: they only let a move that nothing
forces wait for some seconds, or have it hurry. What is unknown changes nothing.

What the data says (SCIENCE §3): moving the hedge for carry adds more price noise than carry, and
order flow explains the same second, not the next. Switch them on for reasons of your own.
"""

import math
from typing import Literal, NamedTuple

from counterpoise.config import Settings

#: ``lo hi to_lo to_hi`` of an intent.
Band = tuple[float, float, float, float]
_EIGHT_HOURS_PER_DAY = 3.0


class FastRule(NamedTuple):
    """What fast numbers may do.

    Attributes
    ----------
    carry_bound : float
        Most that a band moves, a ratio; 0 is off.
    risk_aversion : float
        λ of mean–variance.
    delay_s : float
        Longest wait of a move; 0 is off.
    flow : float
        Order flow from which it counts, in sizes at the touch.
    """

    carry_bound: float = 0.0
    risk_aversion: float = 20.0
    delay_s: float = 0.0
    flow: float = 3.0

    @property
    def active(self) -> bool:
        """Whether fast numbers may do anything."""
        return self.carry_bound > 0.0 or self.delay_s > 0.0


class Timing(NamedTuple):
    """When a move goes: ``wait`` now and look again at the next quote, or ``hurry``."""

    wait: bool
    hurry: bool


def fast_rule(settings: Settings) -> FastRule:
    """Rule of the settings."""
    fast = settings.fast
    return FastRule(fast.carry_bound, fast.risk_aversion, fast.delay_s, fast.flow)


def expected_funding_8h(funding_cost: float, horizon_h: float) -> float:
    """Rate per 8 h that a row of the bar clock expects; positive pays the short.

    Parameters
    ----------
    funding_cost : float
        Of a short over the horizon, a fraction; NaN is unknown.
    horizon_h : float
        ``risk.funding.horizon_h``.

    Examples
    --------
    >>> round(expected_funding_8h(-0.0021, 168), 9)
    0.0001
    """
    return -funding_cost * 8.0 / horizon_h


def moved_band(
    band: Band,
    *,
    running_8h: float,
    expected_8h: float,
    sigma_day: float,
    cap: float,
    rule: FastRule,
) -> Band:
    """Shift a band by the funding that the slow forecast did not know of.

    The shift is ΔF/(λ·σ²) over 8 hours, within ``±carry_bound``: h* of mean–variance is linear in
    the expected funding. No edge leaves [0, cap] by it.

    Parameters
    ----------
    band : tuple of 4 float
        Of the intent.
    running_8h, expected_8h : float
        Funding of the running interval, and the one the intent knew of; positive pays the short.
    sigma_day : float
        Daily volatility, a fraction.
    cap : float
        ``hedge.max_ratio``.
    rule : FastRule

    Returns
    -------
    tuple of 4 float
        The band itself where the rule is off or anything is unknown.

    Notes
    -----
    Source: SCIENCE §2, mean–variance with carry.

    Examples
    --------
    Three bps more than expected, at 3.3 % a day and λ = 20:

    >>> moved = moved_band(
    ...     (0.7, 0.8, 0.7, 0.8), running_8h=4e-4, expected_8h=1e-4, sigma_day=0.033, cap=1.0,
    ...     rule=FastRule(carry_bound=0.1),
    ... )
    >>> [round(edge, 3) for edge in moved]
    [0.741, 0.841, 0.741, 0.841]
    """
    variance = sigma_day * sigma_day / _EIGHT_HOURS_PER_DAY
    numbers = (*band, running_8h, expected_8h, variance)
    if rule.carry_bound <= 0.0 or not all(map(math.isfinite, numbers)) or variance <= 0.0:
        return band
    shift = (running_8h - expected_8h) / (rule.risk_aversion * variance)
    shift = min(max(shift, -rule.carry_bound), rule.carry_bound)

    def moved(edge: float) -> float:
        # An edge that is outside already stays where it is: the cap is the step's business.
        return min(max(edge + shift, min(edge, 0.0)), max(edge, cap))

    lo, hi, to_lo, to_hi = band
    return moved(lo), moved(hi), moved(to_lo), moved(to_hi)


def timing(
    side: Literal["sell", "buy"],
    *,
    flow: float,
    microprice_usd: float,
    waited_s: float,
    forced: bool,
    rule: FastRule,
) -> Timing:
    """Whether a move waits for a price that comes its way, or hurries from one that leaves.

    Parameters
    ----------
    side : {"sell", "buy"}
        Of the order: ``sell`` raises the short.
    flow, microprice_usd : float
        Order flow in sizes at the touch, and the microprice from the mid; they count where they
        agree.
    waited_s : float
        Since the move was first wanted.
    forced : bool
        The guard, a stop or the cap asks for it.
    rule : FastRule

    Examples
    --------
    >>> rule = FastRule(delay_s=10.0, flow=3.0)
    >>> timing(
    ...     "sell", flow=5.0, microprice_usd=0.1, waited_s=2.0, forced=False, rule=rule
    ... )
    Timing(wait=True, hurry=False)
    """
    if rule.delay_s <= 0.0 or forced or not waited_s >= 0.0:
        return Timing(False, False)
    comes = 1.0 if side == "sell" else -1.0
    leaning = comes * flow if comes * flow * comes * microprice_usd > 0.0 else 0.0
    return Timing(leaning >= rule.flow and waited_s < rule.delay_s, leaning <= -rule.flow)
