"""Hedges a person can follow with a calendar, a price and a calculator.

They are the rivals every model has to beat at the same cost. None of them reads a forecast.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation, first_of_period, policy
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]


@policy("unhedged", "no hedge", "bound")
def unhedged(situation: Situation) -> Intent:
    """Hold the coins and short nothing."""
    return situation.around(np.zeros(situation.ticks), 0.0)


@policy("full", "full hedge, constant ETH", "bound")
def full(situation: Situation) -> Intent:
    """Short every coin; never trades again unless the exposure changes."""
    return situation.around(np.ones(situation.ticks), 0.0)


@policy("static_eth", "base ratio, constant ETH", "manual")
def static_eth(situation: Situation) -> Intent:
    """Short β of the coins, as a constant quantity of ETH."""
    return situation.around(np.full(situation.ticks, situation.settings.hedge.base_ratio), 0.0)


def usd_notional_ratio(situation: Situation, ratio: Floats | float) -> Floats:
    """Ratio that keeps the USD notional fixed at the first of the month; shape (T,).

    ratio·P(first price of the month)/P(t): as the price rises, a USD-defined hedge covers fewer
    coins. NaN at gaps and until the month has a first price.
    """
    spot = situation.timeline.spot.close
    month = situation.timeline.ts_ms.astype("datetime64[ms]").astype("datetime64[M]")
    return np.asarray(ratio * first_of_period(spot, month.astype(np.int64)) / spot)


@policy("static_usd", "base ratio, constant USD, daily", "manual")
def static_usd(situation: Situation) -> Intent:
    """Short a USD notional fixed monthly at β, restored every midnight UTC."""
    ratio = usd_notional_ratio(situation, situation.settings.hedge.base_ratio)
    return situation.around(situation.daily(ratio), 0.0)


@policy("calendar", "base ratio in USD, every Monday", "manual")
def calendar(situation: Situation) -> Intent:
    """Short a USD notional fixed monthly at β, restored every Monday 00:00 UTC."""
    # 1970-01-01 was a Thursday: weeks counted from the Monday before it.
    week = (situation.timeline.ts_ms // DAY_MS + 3) // 7
    ratio = usd_notional_ratio(situation, situation.settings.hedge.base_ratio)
    return situation.around(first_of_period(ratio, week), 0.0)


@policy("threshold", "base ratio in USD, when off by the band", "manual")
def threshold(situation: Situation) -> Intent:
    """Short a USD notional fixed monthly at β, restored when the ratio is off by the band."""
    hedge = situation.settings.hedge
    ratio = usd_notional_ratio(situation, hedge.base_ratio)
    return situation.around(ratio, hedge.band, to_target=True)


@policy("manual_vol_24h", "volatility rule, last 24 h", "manual")
def manual_vol_24h(situation: Situation) -> Intent:
    """Hedge more when the last 24 h were volatile; no model."""
    return inverse_volatility_ratio(situation, situation.forecasts.rv_24h)


@policy("manual_vol_7d", "volatility rule, last 7 days", "manual")
def manual_vol_7d(situation: Situation) -> Intent:
    """Hedge more when the last 7 days were volatile; no model."""
    return inverse_volatility_ratio(situation, situation.forecasts.rv_168h)
