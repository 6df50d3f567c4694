"""What an order is expected to cost: fee, half spread and square-root impact."""

import math

from counterpoise.config import CostSettings
from counterpoise.units import BPS
from counterpoise.venues.contract import Contract


def one_way_cost(costs: CostSettings, contract: Contract) -> float:
    """Expected fee and half spread of one unit of notional, fraction; impact not included."""
    share = costs.taker_share
    fee = share * contract.taker_fee + (1 - share) * contract.maker_fee
    return fee + share * costs.half_spread_bps * BPS


def order_cost(
    size_eth: float,
    price: float,
    *,
    costs: CostSettings,
    contract: Contract,
    sigma_day: float,
    volume_day_eth: float,
) -> float:
    """Expected cost of an unhurried order in USD: fee, half spread and square-root impact.

    Parameters
    ----------
    size_eth, price : float
        Size (ETH, >= 0) and perpetual price (USD).
    costs, contract
        Cost model and fees.
    sigma_day, volume_day_eth : float
        Trailing daily volatility (fraction) and volume, ``market.liquidity``.

    Notes
    -----
    The simulator charges the same: docs/simulation.md, step 6, with urgency 0.
    """
    impact = costs.impact_coefficient * sigma_day * math.sqrt(size_eth / volume_day_eth)
    return size_eth * price * (one_way_cost(costs, contract) + impact)
