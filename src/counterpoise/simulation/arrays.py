"""What goes into the compiled loop besides prices, and what it writes: named tuples of arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.moment import LINKS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class IntentArrays(NamedTuple):
    """One policy's intent: (T,) bands and urgency, (T, V) weights."""

    lo: Floats
    hi: Floats
    to_lo: Floats
    to_hi: Floats
    weights: Floats
    urgency: Floats


class GuardArrays(NamedTuple):
    """What margin, guard and venues are at each tick.

    Attributes
    ----------
    leverage, leverage_max : float64 (T,)
        Notional ÷ equity after a top-up, and the one that asks for it.
    event_floor, event_class : float64 (T,)
        Hedge floor of an event window, 0 without one; its place among the classes of the calendar.
    quiet, is_open : bool (T,)
        Only the guard may move the hedge; the venues take orders and transfers.
    cost : float64 (T, V)
        Expected funding cost of a short over the guard's horizon, a fraction; NaN is unknown.
    """

    leverage: Floats
    leverage_max: Floats
    event_floor: Floats
    event_class: Floats
    quiet: NDArray[np.bool_]
    is_open: NDArray[np.bool_]
    cost: Floats


class CostRules(NamedTuple):
    """Execution cost and the cost of USDT and of ETH per year, as fractions."""

    taker_share: float
    half_spread: float
    impact_coefficient: float
    capital_cost_per_year: float
    eth_cost_per_year: float


class AccountRules(NamedTuple):
    """What margins the short.

    Attributes
    ----------
    coin_value : float
        USD of margin per USD of posted ETH: 0 without ETH, 1 less the haircut, or 1.
    inverse : bool
        P&L in ETH, contracts sized in USD.
    budget_usd : float
        Most USDT that can be paid in, net of what came back; may be infinite.
    transfer_ticks : int
        Ticks that collateral travels to a venue.
    transfer_usd : float
        What moving collateral costs, once.
    """

    coin_value: float
    inverse: bool
    budget_usd: float
    transfer_ticks: int = 0
    transfer_usd: float = 0.0


class Record(NamedTuple):
    """What the loop writes, per bucket; shapes as in ``SimulatedPath``."""

    pnl: Floats
    short_eth: Floats
    equity: Floats
    posted_eth: Floats
    coming: Floats
    paid_in: Floats
    margin_low: Floats
    traded_eth: Floats
    lo: Floats
    hi: Floats
    reasons: Integers
    exposure_eth: Floats
    exposure_mean: Floats
    spot: Floats
    spot_open: Floats
    chain: Floats


def empty_record(buckets: int, venues: int) -> Record:
    """Record of B buckets and V venues, to be written; the loop fills every field."""

    def levels(*shape: int) -> Floats:
        return np.full(shape, np.nan)

    return Record(
        pnl=levels(buckets, 7),
        short_eth=levels(buckets, venues),
        equity=levels(buckets, venues),
        posted_eth=levels(buckets, venues),
        coming=levels(buckets, venues),
        paid_in=levels(buckets),
        margin_low=levels(buckets),
        traded_eth=levels(buckets),
        lo=levels(buckets),
        hi=levels(buckets),
        reasons=np.zeros(buckets, dtype=np.int64),
        exposure_eth=levels(buckets),
        exposure_mean=levels(buckets),
        spot=levels(buckets),
        spot_open=levels(buckets),
        chain=levels(buckets, LINKS),
    )
