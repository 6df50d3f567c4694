"""What the forecasts are about: outcomes over a stated horizon, seen from each tick.

A label looks ahead by definition; ``horizon_h`` says how far, and the walk-forward purges by it.
An outcome that cannot be measured, at a gap or at the end of history, is NaN, never a guess.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.timeline import Timeline
from counterpoise.risk.leverage import worst_rise
from counterpoise.units import HOURS_PER_YEAR

Floats = NDArray[np.float64]

DIRECTION_HORIZON_H = 4
VOLATILITY_HORIZON_H = 24
#: Share of the returns to come that must be known (20 of 24).
KNOWN_SHARE = 5.0 / 6.0
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


def direction(timeline: Timeline, horizon_h: int = DIRECTION_HORIZON_H) -> Label:
    """1 where spot closes higher after the horizon, 0 where it does not (a tie is not a rise).

    NaN where either close is missing.
    """
    close = timeline.spot.close
    later = ahead(close, horizon_h)
    known = np.isfinite(close) & np.isfinite(later)
    values = np.where(known, (later > close).astype(float), np.nan)
    return Label("direction", horizon_h, values)


def log_return(timeline: Timeline, horizon_h: int) -> Label:
    """Natural log of the spot close after the horizon over the close now; NaN where unknown."""
    log_close = np.log(timeline.spot.close)
    return Label("return", horizon_h, ahead(log_close, horizon_h) - log_close)


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


def log_variance(timeline: Timeline, horizon_h: int = VOLATILITY_HORIZON_H) -> Label:
    """Log of the annualised realised variance of the hourly spot log returns to come.

    The mean square of the returns known, times 8760; NaN where fewer than five sixths of them are
    known or nothing moved.
    """
    log_close = np.log(timeline.spot.close)
    squares = np.diff(log_close, prepend=np.nan) ** 2
    seen = np.isfinite(squares)
    # Sums over windows, not differences of running sums: those would drift along history.
    padded = np.concatenate([np.where(seen, squares, 0.0), np.zeros(horizon_h)])
    counted = np.concatenate([seen * 1.0, np.zeros(horizon_h)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, horizon_h)
    known = np.lib.stride_tricks.sliding_window_view(counted, horizon_h)
    total, count = windows[1:].sum(axis=1), known[1:].sum(axis=1)
    inside = np.arange(len(squares)) + horizon_h < len(squares)
    good = inside & (count >= KNOWN_SHARE * horizon_h) & (total > 0)
    values = np.full(len(squares), np.nan)
    values[good] = np.log(HOURS_PER_YEAR * total[good] / count[good])
    return Label("volatility", horizon_h, values)


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


def _per_8h(timeline: Timeline) -> Floats:
    """Settled rates of the first venue per 8 h, NaN where nothing is settled; shape (T,)."""
    return np.asarray(timeline.funding_settled[:, 0] * 8.0 / timeline.funding_interval_h[:, 0])


def running_funding(timeline: Timeline) -> Label:
    """The next settlement after each tick, per 8 h, whatever the venue's interval.

    Horizon 8 h; NaN where nothing settles within it, at a gap or at the end.
    """
    settled = _per_8h(timeline)
    values = np.full(len(settled), np.nan)
    for hours in range(FUNDING_HORIZON_H, 0, -1):
        later = ahead(settled, hours)
        values = np.where(np.isfinite(later), later, values)
    return Label("funding", FUNDING_HORIZON_H, values)


def mean_funding(timeline: Timeline, horizon_h: int) -> Label:
    """Mean of the rates settled over the horizon, per 8 h, seen from each settlement.

    NaN at ticks without a settlement, and where less than five sixths of the horizon is covered by
    settlements.
    """
    settled = _per_8h(timeline)
    seen = np.isfinite(settled)
    interval = np.where(seen, timeline.funding_interval_h[:, 0], 0.0)
    weighted = np.concatenate([np.where(seen, settled, 0.0) * interval, np.zeros(horizon_h)])
    covered = np.concatenate([interval, np.zeros(horizon_h)])
    windows = np.lib.stride_tricks.sliding_window_view(weighted, horizon_h)[1:].sum(axis=1)
    hours = np.lib.stride_tricks.sliding_window_view(covered, horizon_h)[1:].sum(axis=1)
    inside = np.arange(len(settled)) + horizon_h < len(settled)
    good = inside & seen & (hours >= KNOWN_SHARE * horizon_h)
    values = np.full(len(settled), np.nan)
    values[good] = windows[good] / hours[good]
    return Label("funding", horizon_h, values)


def adverse_move(timeline: Timeline, horizon_h: int) -> Label:
    """Worst rise of the first venue's mark over the horizon, fraction of the close, >= 0.

    NaN where the close or any mark of the horizon is missing.
    """
    moves = worst_rise(timeline.mark_high[:, 0], timeline.perp.close[:, 0], horizon_h)
    return Label("adverse_move", horizon_h, moves)
