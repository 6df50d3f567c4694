"""ρ of the hedge-ratio formula: how funding moves with the price of ETH.

One estimate per UTC day from daily changes, shrunk towards the long-run correlation because thirty
days say little (standard error about 0.15). Nothing here decides what ρ is used for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.timeline import Timeline
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]

#: Fewest days of a window that give a correlation.
MIN_DAYS = 10


@dataclass(frozen=True)
class FundingCorrelation:
    """Correlation of daily funding changes and daily log returns.

    Attributes
    ----------
    raw : float64 (T,)
        Over the window; NaN before there are ten days and where a day is not known.
    shrunk : float64 (T,)
        ``raw`` drawn towards the correlation of all days so far.
    """

    raw: Floats
    shrunk: Floats


def daily_changes(timeline: Timeline) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Change of daily funding and log return of each complete UTC day.

    Day D holds the settlements of the first venue stamped in [D 00:00, D + 1 00:00) and the spot
    return from its first midnight to the next.

    Returns
    -------
    end_row : int64 (D,)
        Row of the midnight that ends the day, when both are known.
    change : float64 (D,)
        Daily sum of settled funding minus that of the day before; NaN where either is unknown.
    log_return : float64 (D,)
        NaN where a midnight close is missing.
    """
    midnights = np.flatnonzero(timeline.ts_ms % DAY_MS == 0)
    empty = np.empty(0)
    if len(midnights) < 2:
        return np.empty(0, np.int64), empty, empty
    first, last = midnights[0], midnights[-1]
    settled = timeline.funding_settled[first:last, 0].reshape(-1, 24)
    any_settled = np.isfinite(settled).any(axis=1)
    daily = np.where(any_settled, np.nansum(settled, axis=1), np.nan)
    change = np.diff(daily, prepend=np.nan)
    log_return = np.diff(np.log(timeline.spot.close[midnights]))
    return midnights[1:].astype(np.int64), change, log_return


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float(np.clip((a * b).sum() / scale, -1.0, 1.0)) if scale > 0 else float("nan")


def funding_correlation(
    timeline: Timeline, *, window_days: int, prior_days: float
) -> FundingCorrelation:
    """Estimate ρ once per UTC day, known at 00:00 of the next and held for that day only.

    Series: Δ of the daily sum of settled funding (first venue) against the daily spot log return.
    Window: the last ``window_days`` calendar days. With n known days in it, the shrunk value is
    w·ρ_window + (1 − w)·ρ_all, w = n / (n + ``prior_days``), ρ_all over every day so far.

    Parameters
    ----------
    timeline : Timeline
    window_days : int
    prior_days : float
        Weight of the long-run correlation, in days of data.

    Returns
    -------
    FundingCorrelation
    """
    ticks = len(timeline.ts_ms)
    raw, shrunk = np.full(ticks, np.nan), np.full(ticks, np.nan)
    rows, change, log_return = daily_changes(timeline)
    known = np.isfinite(change) & np.isfinite(log_return)
    for d, row in enumerate(rows):
        window = slice(max(d + 1 - window_days, 0), d + 1)
        inside = known[window]
        n = int(inside.sum())
        if n < MIN_DAYS:
            continue
        recent = _correlation(change[window][inside], log_return[window][inside])
        so_far = known[: d + 1]
        long_run = _correlation(change[: d + 1][so_far], log_return[: d + 1][so_far])
        weight = n / (n + prior_days)
        raw[row : row + 24] = recent
        shrunk[row : row + 24] = weight * recent + (1.0 - weight) * long_run
    return FundingCorrelation(raw, shrunk)
