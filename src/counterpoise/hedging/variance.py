"""Minimum-variance hedge ratio by ordinary least squares on daily returns."""

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation, policy
from counterpoise.market.timeline import Timeline
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]

#: Days of daily returns behind each estimate, and the fewest of them.
WINDOW_DAYS, FEWEST_DAYS = 180, 60


def daily_returns(timeline: Timeline) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Daily spot return and cost of one unit short, from midnight to midnight UTC.

    Returns
    -------
    row : int64 (D,)
        Tick of the midnight that ends each day.
    spot : float64 (D,)
        Simple spot return; NaN across gaps.
    short_cost : float64 (D,)
        Perpetual return of the first venue minus the funding settled in the day (x = r_F - F).
    """
    rows = np.flatnonzero(timeline.ts_ms % DAY_MS == 0)
    spot = timeline.spot.close[rows]
    perp = timeline.perp.close[rows, 0]
    paid = np.cumsum(np.nan_to_num(timeline.funding_settled[:, 0]))[rows]
    return rows[1:], spot[1:] / spot[:-1] - 1.0, perp[1:] / perp[:-1] - 1.0 - np.diff(paid)


def minimum_variance_ratio(spot: Floats, short_cost: Floats) -> float:
    """``Cov(r_S, x) / Var(x)`` over the days both are known; NaN with fewer than 60.

    Examples
    --------
    >>> x = np.linspace(-0.05, 0.05, 80)
    >>> round(minimum_variance_ratio(0.9 * x + 0.01, x), 12)
    0.9
    """
    known = np.isfinite(spot) & np.isfinite(short_cost)
    if known.sum() < FEWEST_DAYS:
        return float("nan")
    x = short_cost[known] - short_cost[known].mean()
    return float(x @ spot[known] / (x @ x))


@policy("minimum_variance", "minimum variance (OLS, 180 days)", "estimate")
def minimum_variance(situation: Situation) -> Intent:
    """Rolling OLS ratio, estimated each midnight; re-hedged to it when off by the user's band."""
    rows, spot, short_cost = daily_returns(situation.timeline)
    target = np.full(situation.ticks, np.nan)
    ends = np.append(rows[1:], situation.ticks)
    for day, (begin, end) in enumerate(zip(rows, ends, strict=True)):
        window = slice(max(0, day + 1 - WINDOW_DAYS), day + 1)
        target[begin:end] = minimum_variance_ratio(spot[window], short_cost[window])
    return situation.around(target, situation.settings.hedge.band, to_target=True)
