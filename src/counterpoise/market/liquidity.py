"""How volatile and how liquid the market was lately: what the cost of an order depends on."""

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.timeline import Timeline

Floats = NDArray[np.float64]

#: Trailing bars behind the cost model's volatility and volume, and the fewest that count.
COST_WINDOW_H, FEWEST_HOURS = 168, 48


def _trailing_mean(values: Floats, window: int) -> Floats:
    """Mean of the last ``window`` finite values, however long ago; NaN with too few of them."""
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(values[known])])
    end = np.cumsum(known)
    begin = np.maximum(end - window, 0)
    mean = (total[end] - total[begin]) / np.maximum(end - begin, 1)
    return np.where(end >= FEWEST_HOURS, mean, np.nan)


def liquidity(timeline: Timeline) -> tuple[Floats, Floats]:
    """Trailing daily volatility (T,) and daily volume in ETH (T, V) for the impact model.

    Both use the last 168 bars known at t, gaps left out; NaN until 48 were seen.
    """
    returns = np.diff(np.log(timeline.spot.close), prepend=np.nan)
    sigma_day = np.sqrt(24.0 * _trailing_mean(returns**2, COST_WINDOW_H))
    volume = [24.0 * _trailing_mean(column, COST_WINDOW_H) for column in timeline.perp.volume.T]
    return np.maximum(sigma_day, 1e-6), np.stack(volume, axis=1)
