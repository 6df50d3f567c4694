"""The volatility rule: leave less unhedged when more volatility is expected.

The unhedged share is the user's own, 1 - β, scaled by reference volatility over expected
volatility, so the risk left open is steadier than with a constant ratio. It times risk; it does
not forecast returns. Whose expectation it is, is the policies' choice.
"""

from bisect import insort
from math import isnan

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]

#: The registered rule leaves 0.15·σ_ref/σ unhedged for β = 0.8: three quarters of 1 - β, because
#: the mean of σ_ref/σ is above 1.
SHARE_OF_OPEN = 0.75


def reference_volatility(daily: Floats, day: NDArray[np.int64]) -> Floats:
    """Median over all days so far of the volatility each day was decided on.

    Parameters
    ----------
    daily : float64 (T,)
        Annualised volatility, constant through each day; NaN where unknown.
    day : int64 (T,)
        Non-decreasing day number of each tick.

    Returns
    -------
    float64 (T,)
        From days up to and including each tick's own; NaN before the first.
    """
    begins = np.flatnonzero(np.diff(day, prepend=day[:1] - 1))
    rows = np.where(np.isfinite(daily), np.arange(len(daily)), len(daily))
    first = np.minimum.reduceat(rows, begins)
    known = np.append(daily, np.nan)[first].tolist()
    reference = []
    seen: list[float] = []
    for value in known:
        if not isnan(value):
            insort(seen, value)
        middle = len(seen) // 2
        reference.append((seen[middle] + seen[~middle]) / 2.0 if seen else np.nan)
    return np.repeat(reference, np.diff(begins, append=len(daily)))


def inverse_volatility_ratio(situation: Situation, volatility: Floats) -> Intent:
    """Intent ``h = 1 - clip(0.75·(1 - β)·σ_ref/σ, 0, max_unhedged)``, decided once a day.

    Parameters
    ----------
    situation : Situation
    volatility : float64 (T,)
        Forecast or trailing volatility, annualised; the day's first known value counts. NaN gives
        an unknown intent.

    Notes
    -----
    Source: SCIENCE §3 (registered with 0.15 for β = 0.8, 0.7 and a band of 0.05). It leaves the
    reference open; the expanding median was chosen on data to 2023-12 (docs/trials.md).
    """
    hedge = situation.settings.hedge
    daily = situation.daily(volatility)
    reference = reference_volatility(daily, situation.timeline.ts_ms // DAY_MS)
    open_share = SHARE_OF_OPEN * (1.0 - hedge.base_ratio) * reference / daily
    return situation.around(1.0 - np.clip(open_share, 0.0, hedge.max_unhedged), hedge.band)
