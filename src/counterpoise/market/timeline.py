"""The hourly decision clock and everything a trader could have known at each of its ticks.

A timeline is arrays, aligned on one consecutive hourly clock. A missing bar is NaN, never a copy
of the one before.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """Bars that closed at each tick; NaN where the bar is missing.

    All arrays share one shape: ``(T,)`` for spot, ``(T, V)`` for perpetuals of V venues.
    ``volume`` is in base units (ETH).
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True)
class Suspect:
    """A value that was seen, is not believed, and how it is treated."""

    ts_ms: int
    venue: str
    column: str
    value: float
    bound: float
    treatment: str


@dataclass(frozen=True)
class Timeline:
    """What was known at each tick of the decision clock.

    Attributes
    ----------
    ts_ms : int64 (T,)
        Consecutive hours, UTC. Tick t sees the bar [t - 1 h, t), known at its close.
    venues : tuple of str
        Names of the V venues, in the order of the second axes.
    spot, perp : Bars
        Spot (T,) and perpetual (T, V) bars. High and low of suspect bars are NaN.
    mark_high : float64 (T, V)
        Highest mark price of the bar, the worst moment of a short: from the mark-price table
        where there is one, else the perpetual's high bounded by the spot high and the basis.
    funding_settled : float64 (T, V)
        Rate settled in (t - 1 h, t], per settlement interval, paid on the position held into t;
        NaN where nothing was settled.
    funding_mark : float64 (T, V)
        Mark price at that settlement where the venue publishes it, else NaN.
    funding_last : float64 (T, V)
        Last settled rate known at t; NaN before the first and when the last is a day old.
    funding_interval_h : float64 (T, V)
        Hours between settlements, as of the last one.
    daily : dict of str to float64 (T,)
        On-chain and macro series as of t (``known_at`` <= t); NaN before the first value and when
        the last one is older than its series allows.
    suspects : tuple of Suspect
    notes : tuple of str
        Plain sentences on gaps and treatments, for the report.
    synthetic : bool
        True when any table came from the synthetic market.
    hourly : dict of str to float64 (T,)
        Open interest, taker flow, book depth and base fee as of t (``market.hourly``), of the first
        venue, and the spot bar of BTC that closed at t; NaN where the lake holds none.
    events : dict of str to float64 (T,)
        Hours to the next and since the last event of each class (``market.event_clock``), infinite
        where there is none; empty where the lake holds no calendar.
    """

    ts_ms: NDArray[np.int64]
    venues: tuple[str, ...]
    spot: Bars
    perp: Bars
    mark_high: Floats
    funding_settled: Floats
    funding_mark: Floats
    funding_last: Floats
    funding_interval_h: Floats
    daily: dict[str, Floats]
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...]
    synthetic: bool
    hourly: dict[str, Floats] = field(default_factory=dict)
    events: dict[str, Floats] = field(default_factory=dict)
