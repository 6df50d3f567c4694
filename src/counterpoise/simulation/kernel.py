"""The compiled loop over history. Specification: docs/simulation.md, step by step.

It marks, liquidates, pays funding, decides, executes and records; it allocates nothing per tick.
Oracle: tests/simulation/oracle.py.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.decision.step import STATE_AGE, Limits, initial_state, step
from counterpoise.risk.margin import liquidation_price_linear, maintenance_margin
from counterpoise.units import HOURS_PER_YEAR
from counterpoise.venues.contract import VenueRules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DELTA, BASIS, FUNDING, FEES, SLIPPAGE, CAPITAL, LIQUIDATION = range(7)


class MarketArrays(NamedTuple):
    """What the loop reads at each tick; shapes (T,) and (T, V), see docs/simulation.md."""

    spot: Floats
    perp: Floats
    mark_high: Floats
    funding_settled: Floats
    funding_mark: Floats
    sigma_day: Floats
    volume_day_eth: Floats
    exposure_eth: Floats
    bucket: Integers


class IntentArrays(NamedTuple):
    """One policy's intent: (T,) bands and urgency, (T, V) weights."""

    lo: Floats
    hi: Floats
    to_lo: Floats
    to_hi: Floats
    weights: Floats
    urgency: Floats


class CostRules(NamedTuple):
    """Execution and capital cost, as fractions."""

    taker_share: float
    half_spread: float
    impact_coefficient: float
    capital_cost_per_year: float


class Record(NamedTuple):
    """What the loop writes, per bucket; shapes as in ``SimulatedPath``."""

    pnl: Floats
    short_eth: Floats
    equity: Floats
    traded_eth: Floats
    lo: Floats
    hi: Floats
    reasons: Integers
    exposure_eth: Floats
    spot: Floats
    spot_open: Floats


def empty_record(buckets: int, venues: int) -> Record:
    """Zeroed record of B buckets and V venues; prices and bands start unknown."""
    unknown = [np.full(buckets, np.nan) for _ in range(4)]
    return Record(
        np.zeros((buckets, 7)),
        np.zeros((buckets, venues)),
        np.zeros((buckets, venues)),
        np.zeros(buckets),
        unknown[0],
        unknown[1],
        np.zeros(buckets, dtype=np.int64),
        np.zeros(buckets),
        unknown[2],
        unknown[3],
    )


@njit
def run(
    market: MarketArrays,
    intent: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    record: Record,
) -> int:
    """Simulate one intent over T ticks and fill ``record``.

    Returns
    -------
    int
        Number of liquidations.
    """
    ticks, venues = market.perp.shape
    short = np.zeros(venues)
    equity = np.zeros(venues)
    target = np.zeros(venues)
    collateral = np.zeros(venues)
    last_perp = np.full(venues, np.nan)
    gap_high = np.zeros(venues)
    last_spot = np.nan
    lo_in_force = np.nan
    hi_in_force = np.nan
    liquidations = 0
    state = initial_state(venues)
    open_bucket = np.int64(-1)

    for t in range(ticks):
        b = market.bucket[t]
        pnl = record.pnl[b]
        spot = market.spot[t]
        if b != open_bucket:
            open_bucket = b
            record.spot_open[b] = last_spot

        if t > 0:
            posted = 0.0
            for v in range(venues):
                posted += max(equity[v], 0.0)
            pnl[CAPITAL] -= costs.capital_cost_per_year * posted / HOURS_PER_YEAR

        priced = np.isfinite(spot)
        for v in range(venues):
            priced = priced and np.isfinite(market.perp[t, v])

        for v in range(venues):
            high = market.mark_high[t, v]
            if np.isfinite(high):
                gap_high[v] = max(gap_high[v], high)
        if not priced:
            state[STATE_AGE] += 1.0

        if priced:
            if np.isfinite(last_spot):
                moved = spot - last_spot
                pnl[DELTA] += market.exposure_eth[t - 1] * moved
                for v in range(venues):
                    q = short[v]
                    if q <= 0.0:
                        continue
                    high = max(gap_high[v], market.perp[t, v])
                    needed = maintenance_margin(
                        q * high, venue.tier_cap[v], venue.tier_rate[v], venue.tier_amount[v]
                    )
                    if equity[v] - q * (high - last_perp[v]) <= needed:
                        price = liquidation_price_linear(
                            equity[v],
                            q,
                            last_perp[v],
                            venue.tier_cap[v],
                            venue.tier_rate[v],
                            venue.tier_amount[v],
                        )
                        price = max(price, last_perp[v])
                        loss = q * (price - last_perp[v])
                        left = equity[v] - loss
                        fee = min(venue.liquidation_fee[v] * q * price, max(left, 0.0))
                        pnl[DELTA] -= loss
                        pnl[LIQUIDATION] -= fee
                        equity[v] = left - fee
                        short[v] = 0.0
                        liquidations += 1
                    else:
                        perp_moved = market.perp[t, v] - last_perp[v]
                        pnl[DELTA] -= q * moved
                        pnl[BASIS] -= q * (perp_moved - moved)
                        equity[v] -= q * perp_moved
            elif not np.isfinite(record.spot_open[b]):
                record.spot_open[b] = spot
            last_spot = spot
            for v in range(venues):
                last_perp[v] = market.perp[t, v]
                gap_high[v] = 0.0

        for v in range(venues):
            rate = market.funding_settled[t, v]
            if np.isfinite(rate) and short[v] > 0.0:
                price = market.funding_mark[t, v]
                if not np.isfinite(price):
                    price = last_perp[v]
                if np.isfinite(price):
                    cash = short[v] * price * rate
                    pnl[FUNDING] += cash
                    equity[v] += cash

        if priced:
            reasons, lo_in_force, hi_in_force = step(
                state,
                short,
                last_perp,
                equity,
                market.exposure_eth[t],
                intent.lo[t],
                intent.hi[t],
                intent.to_lo[t],
                intent.to_hi[t],
                intent.weights[t],
                limits,
                venue.step_eth,
                venue.min_notional_usd,
                target,
                collateral,
            )
            record.reasons[b] |= reasons
            urgency = intent.urgency[t]
            if not np.isfinite(urgency):
                urgency = 0.0
            taker = costs.taker_share + (1.0 - costs.taker_share) * urgency
            for v in range(venues):
                size = abs(target[v] - short[v])
                fee = 0.0
                slip = 0.0
                if size > 0.0:
                    notional = size * market.perp[t, v]
                    fee = notional * (
                        taker * venue.taker_fee[v] + (1.0 - taker) * venue.maker_fee[v]
                    )
                    impact = (
                        costs.impact_coefficient
                        * market.sigma_day[t]
                        * np.sqrt(size / market.volume_day_eth[t, v])
                    )
                    slip = notional * (taker * costs.half_spread + impact)
                    pnl[FEES] -= fee
                    pnl[SLIPPAGE] -= slip
                    record.traded_eth[b] += size
                    short[v] = target[v]
                # A closed position leaves no account; its last cost comes out of what is freed.
                equity[v] = collateral[v] - fee - slip if target[v] > 0.0 else 0.0

        for v in range(venues):
            record.short_eth[b, v] = short[v]
            record.equity[b, v] = equity[v]
        record.lo[b] = lo_in_force
        record.hi[b] = hi_in_force
        record.exposure_eth[b] = market.exposure_eth[t]
        record.spot[b] = last_spot
    return liquidations
