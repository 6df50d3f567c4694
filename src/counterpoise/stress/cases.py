"""What a hedge is put through: days that hurt somebody, and shocks on calm days. Data and edits.

A historical case is whole UTC days, both ends included. A shock is an edited copy of the market of
calm days; spot, perpetual, marks and funding stay consistent. Nothing is simulated here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.limits import funding_cost
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.arena import Arena, contracts_of
from counterpoise.units import DAY_MS, HOURS_PER_DAY, Collateral

Floats = NDArray[np.float64]

#: A shock is looked at for so many days, and happens so many hours after they begin.
SHOCK_DAYS, SHOCK_AT_H = 9, 48
#: Calm days are looked for in so many last days of the lake.
CALM_AMONG_DAYS = 90
#: Haircut beyond which ETH would be worth nothing as margin.
MOST_HAIRCUT = 0.95
_GAP, _RALLY, _BELOW_SPOT = 0.20, 0.60, 0.05
_RALLY_H, _FUNDING_H, _BELOW_H = 48, 72, 24
#: The day on which the venue is down: its rise, the share of it in its fastest hours (in logs), and
#: when they begin.
_RISE, _FASTEST_SHARE, _FASTEST_AT_H, _DOWN_H = 0.15, 0.6, 9, 6


@dataclass(frozen=True)
class Historical:
    """Days of the history.

    Attributes
    ----------
    name, label : str
        Key, and the same in a few words.
    kind : str
        ``rally`` or ``fall``.
    first, last : date
        UTC days, both included.
    """

    name: str
    label: str
    kind: str
    first: date
    last: date


HISTORICAL = (
    Historical("rally_2021_01", "first above 1,000", "rally", date(2021, 1, 2), date(2021, 1, 4)),
    Historical(
        "rally_2021_05", "after the May fall", "rally", date(2021, 5, 23), date(2021, 5, 26)
    ),
    Historical("rally_2024_05", "news of the ETF", "rally", date(2024, 5, 20), date(2024, 5, 23)),
    Historical("rally_2025_05", "Pectra", "rally", date(2025, 5, 7), date(2025, 5, 10)),
    Historical("fall_2020_03", "pandemic", "fall", date(2020, 3, 12), date(2020, 3, 12)),
    Historical("fall_2021_05", "May fall", "fall", date(2021, 5, 19), date(2021, 5, 19)),
    Historical("merge_2022_09", "Merge week", "fall", date(2022, 9, 12), date(2022, 9, 18)),
    Historical("ftx_2022_11", "FTX week", "fall", date(2022, 11, 7), date(2022, 11, 13)),
    Historical("usdc_2023_03", "USDC off its peg", "fall", date(2023, 3, 11), date(2023, 3, 11)),
    Historical("yen_2024_08", "yen carry unwound", "fall", date(2024, 8, 5), date(2024, 8, 5)),
)


@dataclass(frozen=True)
class Calm:
    """Calm days that a shock is put on.

    Attributes
    ----------
    where : Arena
        Positions are opened at its first tick.
    at : int
        Tick of ``where`` whose bar the shock begins with.
    timeline : Timeline
    settings : Settings
        Those of ``where``.
    """

    where: Arena
    at: int
    timeline: Timeline
    settings: Settings


@dataclass(frozen=True)
class Shock:
    """A change of calm days.

    Attributes
    ----------
    name, label : str
    change : callable
        The arena with the shock in it.
    collateral : str, optional
        What margins the short in this case, whatever the settings say.
    """

    name: str
    label: str
    change: Callable[[Calm], Arena]
    collateral: Collateral | None = None


def scaled(where: Arena, spot: Floats, perp: Floats) -> Arena:
    """Multiply the prices of an arena; a bar opens where the last one closed.

    Parameters
    ----------
    where : Arena
    spot, perp : float64 (T,)
        Factors of spot, and of everything that is a price of the perpetual.
    """
    market = where.market
    close = market.perp * perp[:, None]
    high = market.mark_high * perp[:, None]
    # In a bar that falls, the worst mark of a short is where it opened.
    falls = np.flatnonzero(np.diff(perp, prepend=perp[0]) < 0.0)
    high[falls] = np.fmax(high[falls], close[falls - 1])
    changed = market._replace(
        spot=market.spot * spot,
        perp=close,
        mark_high=high,
        funding_mark=market.funding_mark * perp[:, None],
    )
    return replace(where, market=changed)


def _moved(calm: Calm, by: float, hours: int) -> Arena:
    """Prices move by a fraction, evenly in logs, over some bars, and stay there."""
    since = np.arange(len(calm.where.ts_ms)) - calm.at + 1.0
    factor = (1.0 + by) ** np.clip(since / hours, 0.0, 1.0)
    return scaled(calm.where, factor, factor)


def _gap_up(calm: Calm) -> Arena:
    return _moved(calm, _GAP, 1)


def _gap_down(calm: Calm) -> Arena:
    return _moved(calm, -_GAP, 1)


def _rally(calm: Calm) -> Arena:
    return _moved(calm, _RALLY, _RALLY_H)


def _basis_down(calm: Calm) -> Arena:
    ticks = len(calm.where.ts_ms)
    below = np.ones(ticks)
    below[calm.at : calm.at + _BELOW_H] = 1.0 - _BELOW_SPOT
    return scaled(calm.where, np.ones(ticks), below)


def _funding_at_cap(calm: Calm) -> Arena:
    """Every settlement of three days at the cap, against the short; schedules stay as they are."""
    where, during = calm.where, slice(calm.at, calm.at + _FUNDING_H)
    market = where.market
    settled = market.funding_settled.copy()
    contracts = contracts_of(calm.settings, int(where.ts_ms[calm.at]))
    for v, contract in enumerate(contracts):
        part = settled[during, v]
        part[np.isfinite(part)] = -contract.funding.cap
    whole = calm.timeline.funding_settled.copy()
    whole[where.first : where.last] = settled
    cost = funding_cost(
        replace(calm.timeline, funding_settled=whole), calm.settings.risk.funding.horizon_h
    )
    return replace(
        where,
        market=market._replace(funding_settled=settled),
        watch=where.watch._replace(cost=np.ascontiguousarray(cost[where.first : where.last])),
    )


def _haircut_doubled(calm: Calm) -> Arena:
    """Count ETH at the doubled haircut from the first tick on, and post coins as for the single.

    The loop knows one value of a coin. Until the shock its margin is asked for at a leverage that
    is higher by the ratio of the two values, which posts the very coins the single haircut asks
    for; from the shock on leverage is what it was, and the coins count for less.
    """
    where, account = calm.where, calm.where.account
    haircut = min(2.0 * (1.0 - account.coin_value), MOST_HAIRCUT)
    before = np.arange(len(where.ts_ms)) < calm.at
    factor = np.where(before, account.coin_value / (1.0 - haircut), 1.0)
    watch = where.watch
    return replace(
        where,
        account=account._replace(coin_value=1.0 - haircut),
        watch=watch._replace(
            leverage=watch.leverage * factor, leverage_max=watch.leverage_max * factor
        ),
    )


def _venue_down(calm: Calm) -> Arena:
    """Take no order and no transfer in the fastest six hours of a day that rises by 15 %."""
    hours = np.full(HOURS_PER_DAY, (1.0 - _FASTEST_SHARE) / (HOURS_PER_DAY - _DOWN_H))
    hours[_FASTEST_AT_H : _FASTEST_AT_H + _DOWN_H] = _FASTEST_SHARE / _DOWN_H
    where = calm.where
    steps = np.zeros(len(where.ts_ms))
    steps[calm.at : calm.at + HOURS_PER_DAY] = hours * np.log1p(_RISE)
    factor = np.exp(np.cumsum(steps))
    is_open = where.watch.is_open.copy()
    is_open[calm.at + _FASTEST_AT_H : calm.at + _FASTEST_AT_H + _DOWN_H] = False
    risen = scaled(where, factor, factor)
    return replace(risen, watch=where.watch._replace(is_open=is_open))


SHOCKS = (
    Shock("gap_up_20", "+20 % within one bar", _gap_up),
    Shock("gap_down_20", "-20 % within one bar", _gap_down),
    Shock("rally_60", "+60 % over two days", _rally),
    Shock("funding_cap", "funding at its cap for 3 days", _funding_at_cap),
    Shock("basis_down_5", "perpetual 5 % below spot, 24 h", _basis_down),
    Shock("haircut_double", "haircut of posted ETH doubled", _haircut_doubled, "eth"),
    Shock("venue_down", "venue down for 6 h of a +15 % day", _venue_down),
)


def calm_days(timeline: Timeline, days: int) -> int | None:
    """First tick of the calmest whole UTC days among the last 90 of a timeline.

    Parameters
    ----------
    timeline : Timeline
    days : int
        How many in a row.

    Returns
    -------
    int or None
        Of all stretches that begin at midnight and have every price, the one with the smallest sum
        of squared hourly returns of spot, the earliest of equals; None where there is none.
    """
    hours = days * HOURS_PER_DAY
    ticks = len(timeline.ts_ms)
    known = np.isfinite(timeline.spot.close) & np.all(np.isfinite(timeline.perp.close), axis=1)
    squares = np.diff(np.log(timeline.spot.close), prepend=np.nan) ** 2
    best: int | None = None
    lowest = np.inf
    earliest = max(0, ticks - 1 - CALM_AMONG_DAYS * HOURS_PER_DAY)
    midnights = np.flatnonzero(timeline.ts_ms % DAY_MS == 0)
    for first in midnights[(midnights >= earliest) & (midnights + hours < ticks)]:
        rows = slice(int(first), int(first) + hours + 1)
        moved = float(squares[rows][1:].sum())
        if known[rows].all() and moved < lowest:
            best, lowest = int(first), moved
    return best
