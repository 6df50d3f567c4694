"""The reason of a decision in one sentence, from the numbers it was made on."""

import math

from counterpoise.decision.decide import Decision
from counterpoise.decision.moment import Reason
from counterpoise.hedging import Situation
from counterpoise.hedging.volatility_rule import reference_volatility
from counterpoise.units import DAY_MS

#: Policies that read a probability: words, forecast, and whether 1 - p is meant.
_CONFIDENCE = {
    "formula_literal": ("P(up) over 4 h", "p_up_4h", False),
    "formula_bearish": ("1 - P(up) over 4 h", "p_up_4h", True),
    "formula_hedge_value": ("P(hedge pays) over 4 h", "p_hedge_pays_4h", False),
}
#: Policies that read a volatility: words and series.
_VOLATILITY = {
    "volatility_timed": ("forecast for 24 h (LightGBM)", "vol_24h"),
    "volatility_har": ("forecast for 24 h (HAR)", "vol_24h_har"),
    "manual_vol_24h": ("of the last 24 h", "rv_24h"),
    "manual_vol_7d": ("of the last 7 days", "rv_168h"),
}


def movement(ratio: float, decision: Decision, traded_eth: float) -> str:
    """What happens to the short, and why the band asks for it."""
    lo, hi = decision.lo, decision.hi
    band = f"{lo:.1%}" if lo == hi else f"{lo:.1%} to {hi:.1%}"
    flags = decision.reasons
    if Reason.BELOW_MINIMUM in flags:
        return "Hold: the order would be below the venue's minimum"
    if traded_eth > 0:
        return f"Sell: {ratio:.1%} hedged is below {band}"
    if traded_eth < 0 and Reason.KEPT_ALIVE in flags:
        return f"Buy back: the margin does not carry {ratio:.1%}"
    if traded_eth < 0 and Reason.LOWER not in flags:
        return f"Buy back: {ratio:.1%} hedged is more than the caps allow"
    if traded_eth < 0:
        return f"Buy back: {ratio:.1%} hedged is above {band}"
    stopped = Reason.WAIT | Reason.COLLAR | Reason.FAT_FINGER | Reason.UNFUNDED | Reason.ORDER_CAP
    if flags & (stopped | Reason.VENUE_CAP):
        return f"Hold: {ratio:.1%} hedged against {band}, and no order is sent"
    if ratio < lo or ratio > hi:
        return f"Hold: {ratio:.1%} hedged is outside {band} by less than the smallest order"
    return f"Hold: {ratio:.1%} hedged is inside {band}"


def because(name: str, situation: Situation, tick: int, target: float, decision: Decision) -> str:
    """Why a policy wants its target at a tick.

    Parameters
    ----------
    name : str
        Policy.
    situation : Situation
    tick : int
    target : float
        What its rule asks for, before band and cap; NaN where a signal is missing.
    decision : Decision
    """
    if Reason.FALLBACK in decision.reasons:
        return (
            "a signal it needs is missing, so it falls back: the base ratio is the floor and "
            "nothing is reduced"
        )
    if Reason.HELD in decision.reasons or not math.isfinite(target):
        return "a signal it needs is missing, so the last intent is held for now"
    cap = situation.settings.hedge.max_ratio
    clipped = f", clipped to the cap of {cap:.0%}" if target > cap else ""
    forecasts = situation.forecasts
    if name in _CONFIDENCE:
        words, series, flip = _CONFIDENCE[name]
        value = float(getattr(forecasts, series)[tick])
        value = 1.0 - value if flip else value
        rho = float(forecasts.rho[tick])
        return f"C = {words} = {value:.2f} and ρ = {rho:+.2f} give S/L = {target:.1%}{clipped}"
    if name in _VOLATILITY:
        words, series = _VOLATILITY[name]
        upto = slice(0, tick + 1)
        day = situation.timeline.ts_ms[upto] // DAY_MS
        daily = situation.daily(getattr(forecasts, series))[upto]
        usual = float(reference_volatility(daily, day)[-1])
        return (
            f"volatility {words} was {daily[-1]:.0%} a year at the day's decision against "
            f"{usual:.0%} usually, so {1 - target:.0%} may stay unhedged"
        )
    if name == "full":
        return "every coin is hedged; what is left is basis, funding and cost"
    return f"its rule asks for {target:.1%}{clipped}"
