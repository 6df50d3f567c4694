"""Limits and rules of the settings as plain numbers, and what the guard needs to know by the hour.

It reads settings and a timeline; it decides nothing.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.moment import Limits
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import compute
from counterpoise.market.calendar import CLASSES
from counterpoise.market.event_clock import names_of
from counterpoise.market.timeline import Timeline
from counterpoise.risk.guard_rules import NO_GUARD, Four, GuardRules
from counterpoise.risk.leverage import adverse_move, dynamic_leverage
from counterpoise.risk.margin import maintenance_margin
from counterpoise.risk_settings import EventRule, StopSettings
from counterpoise.units import HOURS_PER_DAY
from counterpoise.venues.contract import Contract, stack

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _or_none(limit: float | None) -> float:
    """A limit, infinite where there is none."""
    return math.inf if limit is None else limit


def limits_of(settings: Settings) -> Limits:
    """Limits of the settings."""
    orders = settings.risk.orders
    return Limits(
        max_ratio=settings.hedge.max_ratio,
        fallback_ratio=settings.hedge.base_ratio,
        grace_ticks=float(settings.safety.signal_grace_h),
        venue_usd=_or_none(orders.venue_usd),
        total_usd=_or_none(orders.total_usd),
        order_usd=_or_none(orders.order_usd),
        minute_usd=_or_none(orders.minute_usd),
        collar=orders.collar,
        fat_finger=orders.fat_finger,
        min_interval_h=orders.min_interval_s / 3600.0,
        keep_alive=settings.risk.keep_alive,
        mark_max_age_s=settings.risk.mark_max_age_s,
    )


def guard_rules(settings: Settings) -> GuardRules:
    """Rules of the guard; inactive where the settings switch none on."""
    risk, stops = settings.risk, settings.risk.stops
    four = (stops.portfolio, stops.spot, stops.short, stops.short_equity)
    full = min(settings.hedge.max_ratio, 1.0)

    def ratio(stop: StopSettings) -> float:
        cut = full if stop.to_ratio is None else stop.to_ratio
        return {"full_hedge": full, "flatten": 0.0, "cut": cut}[stop.action]

    def each(values: list[float]) -> Four:
        portfolio, spot, short, short_equity = values
        return portfolio, spot, short, short_equity

    rules = GuardRules(
        active=True,
        drawdown_limit=_or_none(risk.drawdown.limit),
        gap=risk.drawdown.gap,
        reserve=risk.drawdown.reserve,
        rerisk_h=float(risk.drawdown.rerisk_h),
        lock_step=_or_none(risk.profit_lock.step),
        lock_keep=risk.profit_lock.keep,
        stop_distance=each([_or_none(stop.distance) for stop in four]),
        stop_trailing=each([float(stop.follow == "trailing") for stop in four]),
        stop_ratio=each([ratio(stop) for stop in four]),
        stop_cooldown_h=each([float(stop.cooldown_h) for stop in four]),
        funding_limit=_or_none(risk.funding.limit),
        funding_release=risk.funding.release,
        funding_keep=risk.funding.keep or 0.0,
        switch_gain=risk.funding.switch_gain,
    )
    asked = (
        rules.drawdown_limit < math.inf
        or rules.lock_step < math.inf
        or any(distance < math.inf for distance in rules.stop_distance)
        or rules.funding_limit < math.inf
        or rules.funding_keep > 0.0
        or any(rule.hedge_floor > 0.0 for rule in event_rules(settings).values())
    )
    return rules if asked else NO_GUARD


def event_rules(settings: Settings) -> dict[str, EventRule]:
    """Rule of each class of the calendar."""
    return {kind: getattr(settings.risk.events, kind.replace("-", "_")) for kind in CLASSES}


class Windows(NamedTuple):
    """Windows around events at each tick, as announced by then; of several the strictest counts.

    Attributes
    ----------
    floor : float64 (T,)
        Hedge floor, 0 outside of windows.
    kind : float64 (T,)
        Place among ``calendar.CLASSES`` of the class with that floor, NaN without one.
    leverage_cap : float64 (T,)
        Infinite where there is none.
    quiet : bool (T,)
        Only floors, stops and caps move the hedge.
    """

    floor: Floats
    kind: Floats
    leverage_cap: Floats
    quiet: Flags


def event_windows(timeline: Timeline, settings: Settings) -> Windows:
    """Windows of the settings' event rules.

    Raises
    ------
    NotEnoughData
        A rule is set and the timeline has no calendar: it would do nothing and say nothing.
    """
    ticks = len(timeline.ts_ms)
    floor, kinds, cap = np.zeros(ticks), np.full(ticks, np.nan), np.full(ticks, np.inf)
    quiet = np.zeros(ticks, dtype=np.bool_)
    for place, (kind, rule) in enumerate(event_rules(settings).items()):
        if rule == EventRule(before_h=rule.before_h, after_h=rule.after_h):
            continue
        ahead, behind = (timeline.events.get(name) for name in names_of(kind))
        if ahead is None or behind is None:
            raise NotEnoughData(
                f"risk.events.{kind.replace('-', '_')} is set, but the lake has no calendar of "
                "events. Next: counterpoise data fetch events, or take the rule out."
            )
        inside = (ahead <= rule.before_h) | (behind <= rule.after_h)
        higher = inside & (rule.hedge_floor > floor)
        floor[higher], kinds[higher] = rule.hedge_floor, float(place)
        if rule.leverage_cap is not None:
            cap[inside] = np.minimum(cap[inside], rule.leverage_cap)
        if rule.new_orders == "none":
            quiet |= inside
    return Windows(floor, kinds, cap, quiet)


def alive_ratio(settings: Settings, contracts: list[Contract], notional_usd: float) -> float:
    """Margin ÷ notional below which a short is cut, above the maintenance of a full hedge.

    Parameters
    ----------
    settings : Settings
    contracts : list of Contract
        One per venue.
    notional_usd : float
        Of the largest short there can be.

    Returns
    -------
    float
        ``risk.keep_alive``, or twice the maintenance rate of the largest short where that is more,
        but below the margin that a top-up restores; 0 is off.
    """
    asked = settings.risk.keep_alive
    if asked == 0.0:
        return 0.0
    rules = stack(contracts)
    for v, contract in enumerate(contracts):
        tiers = (rules.tier_cap[v], rules.tier_rate[v], rules.tier_amount[v])
        if contract.linear:
            asked = max(asked, 2.0 * maintenance_margin(notional_usd, *tiers) / notional_usd)
    return min(asked, 0.9 / settings.capital.leverage_max)


def refuse_caps_below_floors(settings: Settings, full_usd: float) -> None:
    """Refuse caps of notional under which a floor of the guard cannot be reached.

    Parameters
    ----------
    settings : Settings
    full_usd : float
        Notional of a full hedge, USD.

    Raises
    ------
    FixConfig
        With both settings and their values.
    """
    risk, orders = settings.risk, settings.risk.orders
    most = _or_none(orders.total_usd)
    if orders.venue_usd is not None:
        most = min(most, orders.venue_usd * len(settings.venue.names))
    cap = "risk.orders.total_usd" if most == orders.total_usd else "risk.orders.venue_usd"
    floors = {
        "risk.drawdown.limit": 1.0 if risk.drawdown.limit is not None else 0.0,
        "risk.profit_lock.step": 1.0 if risk.profit_lock.step is not None else 0.0,
    }
    for kind, rule in event_rules(settings).items():
        floors[f"risk.events.{kind.replace('-', '_')}.hedge_floor"] = rule.hedge_floor
    for key, floor in floors.items():
        if floor * full_usd > most:
            raise settings.contradiction(
                (cap, key), f"room for {floor * full_usd:,.0f} USD, the hedge that it may ask for"
            )


def funding_cost(timeline: Timeline, horizon_h: int) -> Floats:
    """Expected funding cost of a short over a horizon, as known at each tick.

    The mean of the last two settled rates goes on: nothing this project tried forecasts funding of
    a week better (SCIENCE §3).

    Parameters
    ----------
    timeline : Timeline
    horizon_h : int

    Returns
    -------
    float64 (T, V)
        Fraction of notional; positive costs the short, NaN is unknown.
    """
    settled = timeline.funding_settled
    cost = np.full(settled.shape, np.nan)
    for v in range(settled.shape[1]):
        at = np.flatnonzero(np.isfinite(settled[:, v]))
        if len(at) < 2:
            continue
        rates = settled[at, v]
        means = np.full(len(at), np.nan)
        means[1:] = (rates[1:] + rates[:-1]) / 2.0
        place = np.searchsorted(at, np.arange(len(settled)), side="right") - 1
        known = place >= 0
        per_hour = means[place[known]] / timeline.funding_interval_h[known, v]
        cost[known, v] = -per_hour * horizon_h
        # A feed that fell silent says nothing about next week.
        silent = np.arange(len(settled)) - at[np.maximum(place, 0)] > HOURS_PER_DAY
        cost[silent, v] = np.nan
    return cost


def leverage_path(
    timeline: Timeline, settings: Settings, contracts: list[Contract], exposure_eth: Floats
) -> tuple[Floats, Floats]:
    """Leverage after a top-up and the one that asks for it, by ``capital.leverage_mode``.

    Dynamic: the worst rise is expected from the geometric mean of the realised volatilities of a
    day and of a week (docs/margin.md), over the hours that a transfer takes and the one until it is
    asked for, against the tiers of a full hedge on one venue; the most careful venue counts.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
    contracts : list of Contract
        One per venue.
    exposure_eth : float64 (T,)

    Returns
    -------
    leverage, leverage_max : float64 (T,)
        Notional ÷ margin equity.
    """
    capital = settings.capital
    ticks = len(timeline.ts_ms)
    if capital.leverage_mode == "fixed":
        return np.full(ticks, capital.leverage), np.full(ticks, capital.leverage_max)
    found = compute(timeline, ("log_rv_24h", "log_rv_168h"))
    volatility = np.exp(0.5 * (found["log_rv_24h"] + found["log_rv_168h"]))
    rules = stack(contracts)
    lowest = capital.leverage_min
    leverage, leverage_max = np.full(ticks, np.inf), np.full(ticks, np.inf)
    for v, contract in enumerate(contracts):
        close = timeline.perp.close[:, v]
        high = np.fmax(timeline.mark_high[:, v], close)
        adverse = adverse_move(
            high, close, volatility, capital.transfer_h + 1, capital.adverse_quantile
        )
        size = settings.hedge.max_ratio * exposure_eth
        after, asks = dynamic_leverage(
            adverse,
            size * close if contract.linear else size,
            (rules.tier_cap[v], rules.tier_rate[v], rules.tier_amount[v]),
            lowest,
            capital.leverage_max,
            capital.headroom,
            fallback=(lowest, lowest * capital.headroom),
            inverse=not contract.linear,
        )
        leverage, leverage_max = np.minimum(leverage, after), np.minimum(leverage_max, asks)
    return leverage, leverage_max
