"""Four things a person looks at before changing a hedge: funding, trend, volatility, drawdown.

Each is measured over a trailing window of the timeline, in the unit a trader quotes it in, and is
unknown (NaN) where more than a sixth of its window is. Nothing here decides anything.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.features.engine import seen_settlements
from counterpoise.market.timeline import Timeline
from counterpoise.units import BPS, HOURS_PER_YEAR

Floats = NDArray[np.float64]

#: Share of a window that has to be known, as for the features.
KNOWN_SHARE = 5 / 6


def trailing_sum(values: Floats, window: int) -> Floats:
    """Sum of the known values of the last ``window`` rows, each row's own included; shape (T,).

    Differences of one running sum, so that no row depends on a later one, to the last bit.
    """
    running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    end = np.arange(1, len(values) + 1)
    return np.asarray(running[end] - running[np.maximum(end - window, 0)])


def _where_known(values: Floats, seen: Floats, window: int) -> Floats:
    return np.where(seen >= KNOWN_SHARE * window, values, np.nan)


def funding_bps_per_8h(timeline: Timeline, hours: int) -> Floats:
    """Mean rate the first venue settled in the last ``hours``, in basis points per 8 h.

    Parameters
    ----------
    timeline : Timeline
    hours : int
        At least one settlement interval.

    Returns
    -------
    float64 (T,)
        A settlement counts from the tick at which a trader had seen it. NaN where the settlements
        seen cover under 5/6 of the window, and where the last one is a day old.
    """
    interval = timeline.funding_interval_h[:, 0]
    seen = seen_settlements(timeline) * 8.0 / interval
    known = np.isfinite(seen)
    count = trailing_sum(known.astype(np.float64), hours)
    covered = trailing_sum(np.where(known, interval, 0.0), hours)
    mean = trailing_sum(seen, hours) / np.maximum(count, 1.0) / BPS
    fresh = np.isfinite(timeline.funding_last[:, 0])
    return np.where(fresh, _where_known(mean, covered, hours), np.nan)


def trend_pct(timeline: Timeline, hours: int) -> Floats:
    """Change of the spot close over ``hours``, percent; shape (T,), NaN where an end is missing."""
    spot = timeline.spot.close
    change = np.full(len(spot), np.nan)
    change[hours:] = 100.0 * (spot[hours:] / spot[: max(len(spot) - hours, 0)] - 1.0)
    return change


def volatility_pct_per_year(timeline: Timeline, hours: int) -> Floats:
    """Root mean square of the hourly log returns of ``hours``, percent a year; shape (T,).

    NaN where under 5/6 of the returns, or this hour's price, are unknown.
    """
    spot = timeline.spot.close
    squares = np.diff(np.log(spot), prepend=np.nan) ** 2
    count = trailing_sum(np.isfinite(squares).astype(np.float64), hours)
    mean = np.maximum(trailing_sum(squares, hours), 0.0) / np.maximum(count, 1.0)
    known = np.where(np.isfinite(spot), count, 0.0)
    return _where_known(100.0 * np.sqrt(HOURS_PER_YEAR * mean), known, hours)


def drawdown_pct(timeline: Timeline, hours: int) -> Floats:
    """How far the spot close is below its highest one of the last ``hours``, percent >= 0.

    Returns
    -------
    float64 (T,)
        Of the market, not of a P&L: a policy has no memory of what it earned. Closes, not highs,
        so that one print cannot decide it. NaN where under 5/6 of the closes, or this one, are
        unknown.
    """
    spot = timeline.spot.close
    series = pl.Series(spot).fill_nan(None)
    high = series.rolling_max(hours, min_samples=1).to_numpy().astype(np.float64)
    count = trailing_sum(np.isfinite(spot).astype(np.float64), hours)
    return _where_known(100.0 * (1.0 - spot / high), count, hours)
