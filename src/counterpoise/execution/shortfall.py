"""What a schedule cost against the mid at its arrival, and the cost model that such costs imply.

A shortfall is split along the way a price went: from arrival to the sending of each order (delay),
from there to its fill (impact), from the mid to the price paid (spread). So the parts add up
exactly, whatever happened; what they mean, and what they cannot tell apart, is in docs/twap.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import NotEnoughData
from counterpoise.execution.records import Plan, Shortfall
from counterpoise.units import BPS

Floats = NDArray[np.float64]

#: Fewest schedules a cost model is fitted to.
FEWEST = 30
DRAWS = 2_000
SEED = 17


@dataclass(frozen=True, slots=True)
class PricedFill:
    """A fill with the mid when its order was sent and when it filled; USD and ETH."""

    price: float
    size: float
    fee_usd: float
    maker: bool
    mid_sent: float
    mid_filled: float


def shortfall(
    plan: Plan, fills: Iterable[PricedFill], filled_eth: float, mid: float, ts_ns: int
) -> Shortfall:
    """Implementation shortfall of a schedule that is over, positive when it cost.

    Parameters
    ----------
    plan : Plan
        The latest of the schedule.
    fills : iterable of PricedFill
        All of the schedule.
    filled_eth : float
        Their sum, on the venue's grid.
    mid : float
        At the end, USD: what was not filled is priced with it.
    ts_ns : int
    """
    sign = 1.0 if plan.side == "sell" else -1.0
    spread = impact = delay = fee = paid = by_maker = 0.0
    for fill in fills:
        delay += sign * (plan.arrival_mid - fill.mid_sent) * fill.size
        impact += sign * (fill.mid_sent - fill.mid_filled) * fill.size
        spread += sign * (fill.mid_filled - fill.price) * fill.size
        fee += fill.fee_usd
        paid += fill.price * fill.size
        by_maker += fill.size if fill.maker else 0.0
    opportunity = sign * (plan.arrival_mid - mid) * max(plan.size - filled_eth, 0.0)
    return Shortfall(
        ts_ns=ts_ns,
        schedule_id=plan.schedule_id,
        side=plan.side,
        size=plan.size,
        filled_eth=filled_eth,
        arrival_mid=plan.arrival_mid,
        average_price=paid / filled_eth if filled_eth else 0.0,
        spread_usd=spread,
        impact_usd=impact,
        delay_usd=delay,
        fee_usd=fee,
        opportunity_usd=opportunity,
        total_usd=spread + impact + delay + fee + opportunity,
        maker_share=by_maker / filled_eth if filled_eth else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted number, within what the settings take, and its 95 % interval, as it came out."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """The numbers of ``config.CostSettings`` as schedules of the past imply them."""

    half_spread_bps: Estimate
    taker_share: Estimate
    impact_coefficient: Estimate
    schedules: int


def calibrate(shortfalls: Sequence[Shortfall], plans: Iterable[Plan]) -> CostModel:
    """Fit the simulator's cost model to journalled shortfalls.

    Parameters
    ----------
    shortfalls : sequence of Shortfall
    plans : iterable of Plan
        Of the same schedules, the latest of each counts: urgency, volatility and volume.

    Returns
    -------
    CostModel
        Least squares weighted by notional, of the model the simulator charges (docs/simulation.md,
        step 6), each schedule with the share s that crossed, its urgency u and
        x = σ_day·√(filled/volume): s = taker_share + (1 - taker_share)·u;
        spread = s · half_spread; impact + delay = Y · x. Intervals by the bootstrap over schedules.

    Raises
    ------
    NotEnoughData
        Too few schedules, or none that tells a number apart; the message says which.
    """
    latest = {plan.schedule_id: plan for plan in plans}
    rows = [
        (
            cost.filled_eth * cost.average_price,
            1 - cost.maker_share,
            latest[cost.schedule_id].plan["urgency"],
            latest[cost.schedule_id].plan["sigma_day"]
            * (cost.filled_eth / latest[cost.schedule_id].plan["volume_day_eth"]) ** 0.5,
            cost.spread_usd,
            cost.impact_usd + cost.delay_usd,
        )
        for cost in shortfalls
        if cost.filled_eth > 0 and cost.schedule_id in latest
    ]
    if len(rows) < FEWEST:
        raise NotEnoughData(
            f"{len(rows)} schedules with a fill and a plan in the journal: expected {FEWEST} to "
            "fit a cost model. Next: keep the costs of the settings until more have been worked."
        )
    table = np.array(rows, dtype=np.float64)
    if not (table[:, 1] > 0).any():
        raise NotEnoughData(
            "no order of these schedules crossed: expected some, to fit the half spread. "
            "Next: keep costs.half_spread_bps until some have."
        )
    if not (table[:, 2] < 1).any():
        raise NotEnoughData(
            "every schedule had urgency 1: expected some below, to fit the share that crosses "
            "when unhurried. Next: keep costs.taker_share until some have been worked."
        )
    chance = np.random.default_rng(SEED)
    drawn = table[chance.integers(0, len(table), (DRAWS, len(table)))]
    values, draws = _fit(table[None])[0], _fit(drawn)
    low, high = np.nanquantile(draws, [0.025, 0.975], axis=0)
    bounds = ((0.0, 100.0), (0.0, 1.0), (0.0, 10.0))
    numbers = [
        Estimate(float(np.clip(values[k], *bounds[k])), float(low[k]), float(high[k]))
        for k in range(3)
    ]
    return CostModel(numbers[0], numbers[1], numbers[2], len(table))


def _fit(tables: Floats) -> Floats:
    """Half spread (bps), taker share and Y of each of B tables (B, N, 6), as (B, 3)."""
    notional, crossed, urgency, scale, spread, moved = np.moveaxis(tables, -1, 0)
    calm = 1 - urgency
    with np.errstate(invalid="ignore", divide="ignore"):
        half_spread = (crossed * spread).sum(-1) / (notional * crossed**2).sum(-1) / BPS
        share = (notional * calm * (crossed - urgency)).sum(-1) / (notional * calm**2).sum(-1)
        impact = (scale * moved).sum(-1) / (notional * scale**2).sum(-1)
    return np.stack([half_spread, share, impact], axis=-1)
