"""Volatility timing on forecasts: the recommended policy and its linear baseline."""

from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation, policy
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio


@policy("volatility_har", "volatility-timed, HAR forecast", "model")
def volatility_har(situation: Situation) -> Intent:
    """Volatility timing on the linear baseline forecast."""
    return inverse_volatility_ratio(situation, situation.forecasts.vol_24h_har)


@policy("volatility_timed", "volatility-timed, LightGBM forecast", "model")
def volatility_timed(situation: Situation) -> Intent:
    """Volatility timing on the learned 24 h forecast: the recommended policy."""
    return inverse_volatility_ratio(situation, situation.forecasts.vol_24h)
