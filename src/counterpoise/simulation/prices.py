"""What the loop over history needs from prices and that no policy can change, computed once.

The price before a tick, the worst mark since then, what a unit of short is paid, what an order's
size costs. Missing bars stay missing; nothing is filled.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class MarketArrays(NamedTuple):
    """A market by tick; shapes (T,) and (T, V), see docs/simulation.md."""

    spot: Floats
    perp: Floats
    mark_high: Floats
    funding_settled: Floats
    funding_mark: Floats
    sigma_day: Floats
    volume_day_eth: Floats
    exposure_eth: Floats
    bucket: NDArray[np.int64]


class Prices(NamedTuple):
    """A market as the loop reads it; shapes (T,) and (T, V).

    Attributes
    ----------
    priced : bool (T,)
        Spot and every perpetual have a price.
    marks : bool (T,)
        Priced, and there was a price before.
    ends : bool (T,)
        A bucket ends.
    calm : bool (T + 1,)
        Marks, and it is not the run's first tick; False beyond the last.
    spot, perp
        Closes; NaN where missing.
    spot_before, perp_before
        Last known close before the tick.
    spot_last, perp_last
        Last known close, the tick's included.
    high : float64 (T, V)
        Worst price of a short since the last priced tick: its highest mark, at least the close.
    funding : float64 (T, V)
        Received per ETH of short at a settlement: USD, or ETH of an inverse contract; 0 if none.
    impact : float64 (T, V)
        Daily volatility over the root of the daily volume, 1/√ETH.
    """

    priced: Flags
    marks: Flags
    ends: Flags
    calm: Flags
    spot: Floats
    perp: Floats
    spot_before: Floats
    perp_before: Floats
    spot_last: Floats
    perp_last: Floats
    high: Floats
    funding: Floats
    impact: Floats


@njit
def prices_of(market: MarketArrays, inverse: bool) -> Prices:
    """Prices of a market and its buckets; ``inverse`` contracts settle funding in ETH."""
    ticks, venues = market.perp.shape
    priced = np.zeros(ticks, dtype=np.bool_)
    marks = np.zeros(ticks, dtype=np.bool_)
    ends = np.zeros(ticks, dtype=np.bool_)
    calm = np.zeros(ticks + 1, dtype=np.bool_)
    spot_before = np.full(ticks, np.nan)
    spot_last = np.full(ticks, np.nan)
    perp_before = np.full((ticks, venues), np.nan)
    perp_last = np.full((ticks, venues), np.nan)
    high = np.full((ticks, venues), np.nan)
    funding = np.zeros((ticks, venues))
    impact = np.zeros((ticks, venues))
    last_spot = np.nan
    last_perp = np.full(venues, np.nan)
    worst = np.zeros(venues)
    for t in range(ticks):
        spot = market.spot[t]
        known = np.isfinite(spot)
        for v in range(venues):
            known = known and np.isfinite(market.perp[t, v])
            if np.isfinite(market.mark_high[t, v]):
                worst[v] = max(worst[v], market.mark_high[t, v])
        priced[t] = known
        marks[t] = known and np.isfinite(last_spot)
        spot_before[t] = last_spot
        for v in range(venues):
            perp_before[t, v] = last_perp[v]
            impact[t, v] = market.sigma_day[t] / np.sqrt(market.volume_day_eth[t, v])
        if known:
            last_spot = spot
            for v in range(venues):
                last_perp[v] = market.perp[t, v]
                high[t, v] = max(worst[v], last_perp[v])
                worst[v] = 0.0
        spot_last[t] = last_spot
        ends[t] = t == ticks - 1 or market.bucket[t + 1] != market.bucket[t]
        calm[t] = marks[t] and t > 0
        for v in range(venues):
            perp_last[t, v] = last_perp[v]
            rate = market.funding_settled[t, v]
            price = market.funding_mark[t, v]
            if not np.isfinite(price):
                price = last_perp[v]
            if np.isfinite(rate) and np.isfinite(last_perp[v]):
                funding[t, v] = rate * last_perp[v] / price if inverse else rate * price
    return Prices(
        priced,
        marks,
        ends,
        calm,
        market.spot,
        market.perp,
        spot_before,
        perp_before,
        spot_last,
        perp_last,
        high,
        funding,
        impact,
    )
