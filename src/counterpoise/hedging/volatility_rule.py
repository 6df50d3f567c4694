"""The volatility rule: leave less unhedged when more volatility is expected.

The unhedged share is the user's own, 1 - β, scaled by reference volatility over expected
volatility, so the risk left open is steadier than with a constant ratio. It times risk; it does
not forecast returns. Whose expectation it is, is the policies' choice.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation

Floats = NDArray[np.float64]


def reference_volatility(volatility: Floats) -> Floats:
    """Harmonic mean of all past values, so that the mean of reference/volatility is 1.

    Parameters
    ----------
    volatility : float64 (T,)
        Annualised; NaN where unknown.

    Returns
    -------
    float64 (T,)
        At t, from values up to and including t; NaN before the first.
    """
    known = np.isfinite(volatility) & (volatility > 0)
    inverse = np.where(known, 1.0 / np.where(known, volatility, 1.0), 0.0)
    count = np.cumsum(known)
    total = np.cumsum(inverse)
    return np.where(count > 0, count / np.where(total > 0, total, 1.0), np.nan)


def inverse_volatility_ratio(situation: Situation, volatility: Floats) -> Intent:
    """Intent ``h = 1 - clip((1 - β)·σ_ref/σ, 0, max_unhedged)`` with the configured band.

    Parameters
    ----------
    situation : Situation
    volatility : float64 (T,)
        Forecast or trailing volatility, annualised; NaN gives an unknown intent.
    """
    hedge = situation.settings.hedge
    scale = reference_volatility(volatility) / volatility
    unhedged = np.clip((1.0 - hedge.base_ratio) * scale, 0.0, hedge.max_unhedged)
    return situation.around(1.0 - unhedged, hedge.band)
