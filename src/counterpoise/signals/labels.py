"""What the forecasts are about: outcomes over a stated horizon, seen from each tick.

A label looks ahead by definition; ``horizon_h`` says how far, and the walk-forward purges by it.
An outcome that cannot be measured, at a gap or at the end of history, is NaN, never a guess.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.timeline import Timeline
from counterpoise.units import HOURS_PER_YEAR

Floats = NDArray[np.float64]

DIRECTION_HORIZON_H = 4
VOLATILITY_HORIZON_H = 24
VOLATILITY_MIN_RETURNS = 20
#: Longest wait for the next settlement of any venue.
FUNDING_HORIZON_H = 8


@dataclass(frozen=True)
class Label:
    """Outcome of the ``horizon_h`` hours after each tick.

    Attributes
    ----------
    name : str
    horizon_h : int
        The label of tick t is known at t + ``horizon_h``, not before.
    values : float64 (T,)
        NaN where the outcome cannot be measured.
    """

    name: str
    horizon_h: int
    values: Floats


def ahead(values: Floats, hours: int) -> Floats:
    """Values ``hours`` ticks later; NaN at the end. Shape (T,) in and out.

    Examples
    --------
    >>> ahead(np.array([1.0, 2.0, 3.0]), 1)
    array([ 2.,  3., nan])
    """
    later = np.full(len(values), np.nan)
    later[: max(len(values) - hours, 0)] = values[hours:]
    return later


def direction(timeline: Timeline) -> Label:
    """1 where spot closes higher in 4 h, 0 where it does not (a tie is not a rise).

    Horizon 4 h; NaN where either close is missing.
    """
    close = timeline.spot.close
    later = ahead(close, DIRECTION_HORIZON_H)
    known = np.isfinite(close) & np.isfinite(later)
    values = np.where(known, (later > close).astype(float), np.nan)
    return Label("direction", DIRECTION_HORIZON_H, values)


def hedge_pays(timeline: Timeline, round_trip_cost: Floats) -> Label:
    """1 where a unit of short on the first venue earns more than its round trip over 4 h.

    The unit earns minus the perpetual's simple return plus the rates settled in (t, t + 4 h].
    Horizon 4 h; NaN where a close is missing or no funding has been seen yet.

    Parameters
    ----------
    timeline : Timeline
    round_trip_cost : float64 (T,)
        Cost of opening and closing at each tick, fraction of notional.
    """
    close = timeline.perp.close[:, 0]
    settled = np.concatenate([[0.0], np.cumsum(np.nan_to_num(timeline.funding_settled[:, 0]))])[1:]
    funding = ahead(settled, DIRECTION_HORIZON_H) - settled
    gain = 1.0 - ahead(close, DIRECTION_HORIZON_H) / close + funding - round_trip_cost
    known = np.isfinite(gain) & np.isfinite(timeline.funding_last[:, 0])
    return Label("hedge_pays", DIRECTION_HORIZON_H, np.where(known, (gain > 0) * 1.0, np.nan))


def log_variance(timeline: Timeline) -> Label:
    """Log of the annualised realised variance of the next 24 hourly spot log returns.

    Horizon 24 h; the mean square of the returns known, times 8760; NaN where fewer than 20 are
    known or nothing moved.
    """
    log_close = np.log(timeline.spot.close)
    squares = np.diff(log_close, prepend=np.nan) ** 2
    seen = np.isfinite(squares)
    # Sums over windows, not differences of running sums: those would drift along history.
    padded = np.concatenate([np.where(seen, squares, 0.0), np.zeros(VOLATILITY_HORIZON_H)])
    counted = np.concatenate([seen * 1.0, np.zeros(VOLATILITY_HORIZON_H)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, VOLATILITY_HORIZON_H)
    known = np.lib.stride_tricks.sliding_window_view(counted, VOLATILITY_HORIZON_H)
    total, count = windows[1:].sum(axis=1), known[1:].sum(axis=1)
    inside = np.arange(len(squares)) + VOLATILITY_HORIZON_H < len(squares)
    good = inside & (count >= VOLATILITY_MIN_RETURNS) & (total > 0)
    values = np.full(len(squares), np.nan)
    values[good] = np.log(HOURS_PER_YEAR * total[good] / count[good])
    return Label("volatility", VOLATILITY_HORIZON_H, values)


def next_funding(timeline: Timeline) -> Label:
    """Rate of the first settlement after each tick on the first venue, per interval.

    Horizon 8 h; NaN where nothing settles within it, at a gap or at the end.
    """
    settled = timeline.funding_settled[:, 0]
    values = np.full(len(settled), np.nan)
    for hours in range(FUNDING_HORIZON_H, 0, -1):
        later = ahead(settled, hours)
        values = np.where(np.isfinite(later), later, values)
    return Label("funding", FUNDING_HORIZON_H, values)
