"""The bar clock as events: what the simulator reads at a tick, as rows for the machines.

History and the live feed give their rows here, so a number that reaches a machine is the number
the simulator would have read at that hour, to the last bit. Nothing is decided, filled or fetched.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.execution.events import Exposure, Signals
from counterpoise.hedging.intent import Intent
from counterpoise.market.liquidity import liquidity
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.arena import Arena, contracts_of, watch_of
from counterpoise.simulation.arrays import GuardArrays
from counterpoise.units import HOUR_MS, NS_PER_MS

Floats = NDArray[np.float64]
Column = Floats | NDArray[np.bool_]


def rows_of(where: Arena, intent: Intent) -> list[Signals]:
    """Rows of history: what the simulator reads at each tick of an arena.

    Parameters
    ----------
    where : Arena
        Of one venue.
    intent : Intent
        Rows on the timeline's clock; one for every tick of the arena.

    Returns
    -------
    list of Signals
        One per tick.

    Raises
    ------
    FixConfig
        More than one venue.
    """
    market = where.market
    refuse_more_venues(market.perp.shape[1])
    prices = (market.spot, market.perp[:, 0], market.sigma_day, market.volume_day_eth[:, 0])
    # An intent that arrives in a gap is not seen.
    seen = np.isfinite(market.spot) & np.isfinite(market.perp[:, 0])
    asked = tuple(
        np.where(seen, column, np.nan)
        for column in _of_intent(intent, slice(where.first, where.last))
    )
    return _rows(where.ts_ms, asked, prices, _of_guard(where.watch, slice(None)))


def exposures_of(where: Arena) -> list[Exposure]:
    """The exposure at each tick of an arena, to be told before the row of the same tick."""
    return [
        Exposure(ts_ms * NS_PER_MS, eth)
        for ts_ms, eth in zip(where.ts_ms.tolist(), where.market.exposure_eth.tolist(), strict=True)
    ]


def newest_row(
    timeline: Timeline, settings: Settings, intent: Intent, exposure_eth: float
) -> Signals:
    """Row of the last tick of a timeline, under the contract in force then.

    Parameters
    ----------
    timeline : Timeline
        Of one venue, at least one tick.
    settings : Settings
    intent : Intent
        A row for every tick.
    exposure_eth : float
        Long ETH that is hedged at the last tick.

    Raises
    ------
    FixConfig
        More than one venue, or one that does not take the collateral.
    NotEnoughData
        A rule on events is set, and the timeline has no calendar.
    """
    refuse_more_venues(len(timeline.venues))
    ticks = len(timeline.ts_ms)
    last = slice(ticks - 1, ticks)
    contracts = contracts_of(settings, int(timeline.ts_ms[-1]))
    whole = watch_of(timeline, settings, contracts, np.full(ticks, exposure_eth))
    sigma_day, volume_day = liquidity(timeline)
    prices = (
        timeline.spot.close[last],
        timeline.perp.close[last, 0],
        sigma_day[last],
        volume_day[last, 0],
    )
    return _rows(timeline.ts_ms[last], _of_intent(intent, last), prices, _of_guard(whole, last))[0]


def unknown_row(settings: Settings, ts_ms: int, why: str, before: Signals | None) -> Signals:
    """Row of an hour of which the market or the policy is not known.

    Prices, intent and funding cost are NaN. What the guard held to stays in force: a floor must
    not fall, nor leverage rise, because a feed is silent. Without a row before, the most careful
    leverage of the settings.

    Parameters
    ----------
    settings : Settings
    ts_ms : int
        The tick.
    why : str
        What is missing, in words.
    before : Signals or None
        The last row that was known.
    """
    if before is None:
        before = _most_careful(settings)
    nothing = math.nan
    return replace(
        before,
        ts_ns=ts_ms * NS_PER_MS,
        tick=ts_ms // HOUR_MS,
        lo=nothing,
        hi=nothing,
        to_lo=nothing,
        to_hi=nothing,
        urgency=nothing,
        target=nothing,
        spot=nothing,
        perp=nothing,
        funding_cost=nothing,
        why=why,
    )


def _most_careful(settings: Settings) -> Signals:
    """A row of which nothing is known but the settings."""
    capital = settings.capital
    after, asks = capital.leverage, capital.leverage_max
    if capital.leverage_mode == "dynamic":
        after, asks = capital.leverage_min, capital.leverage_min * capital.headroom
    unknown = (math.nan,) * 10
    return Signals(0, 0, *unknown, after, asks, 0.0, math.nan, False, math.nan)


def refuse_more_venues(count: int) -> None:
    """Refuse a hedge that is spread over venues: one machine trades one venue.

    Raises
    ------
    FixConfig
    """
    if count != 1:
        raise FixConfig(
            "venue.names", f"{count} venues", "one venue to trade on", "leave one in venue.names"
        )


def _of_intent(intent: Intent, span: slice) -> tuple[Floats, ...]:
    """Columns of an intent in the order of a row."""
    names = ("lo", "hi", "to_lo", "to_hi", "urgency", "target")
    return tuple(getattr(intent, name)[span] for name in names)


def _of_guard(watch: GuardArrays, span: slice) -> tuple[Column, ...]:
    """Columns of the guard in the order of a row."""
    return (
        watch.leverage[span],
        watch.leverage_max[span],
        watch.event_floor[span],
        watch.event_class[span],
        watch.quiet[span],
        watch.cost[span, 0],
    )


def _rows(
    ts_ms: NDArray[np.int64],
    intent: tuple[Floats, ...],
    prices: tuple[Floats, ...],
    guard: tuple[Column, ...],
) -> list[Signals]:
    """Rows from columns; numpy's numbers become Python's, the same to the last bit."""
    columns = [values.tolist() for values in (ts_ms, *intent, *prices, *guard)]
    return [
        Signals(when * NS_PER_MS, when // HOUR_MS, *row)
        for when, *row in zip(*columns, strict=True)
    ]
