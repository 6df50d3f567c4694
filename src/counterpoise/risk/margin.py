"""Maintenance margin and liquidation prices of a short, linear, inverse or ETH-collateralised.

Scalars in, scalars out, compiled; the simulator and the command line use the same functions. No
position, order or venue call lives here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

Floats = NDArray[np.float64]


@njit
def maintenance_margin(notional: float, cap: Floats, rate: Floats, amount: Floats) -> float:
    """Maintenance margin of a notional under tiered rates, in the unit of the notional.

    Parameters
    ----------
    notional : float
        Position value at the mark.
    cap, rate, amount : float64 (K,)
        Tiers in rising order; the last one also serves what exceeds its cap.

    Returns
    -------
    float
        ``rate · notional - amount`` of the tier the notional falls in.

    Notes
    -----
    Source: Binance, "Leverage and Margin of USDⓈ-M Futures" (maintenance amount).
    """
    k = 0
    while k < len(cap) - 1 and notional > cap[k]:
        k += 1
    return float(rate[k] * notional - amount[k])


@njit
def liquidation_price_linear(
    equity: float, short_eth: float, price: float, cap: Floats, rate: Floats, amount: Floats
) -> float:
    """Mark at which a USD-margined short is liquidated, the tier re-selected at the result.

    Parameters
    ----------
    equity : float
        Margin equity at ``price``, USD, unrealised P&L included.
    short_eth : float
        Size of the short, ETH, > 0.
    price : float
        Mark at which ``equity`` was taken, USD.
    cap, rate, amount : float64 (K,)
        Maintenance tiers, USD.

    Notes
    -----
    Source: Binance liquidation formula, side = -1: (WB + cum + Q·EP) / (Q·(1 + MMR)). Equity at
    ``price`` stands for WB + Q·(EP - price).
    """
    for k in range(len(cap)):
        result = (equity + short_eth * price + amount[k]) / (short_eth * (1.0 + rate[k]))
        if short_eth * result <= cap[k] or k == len(cap) - 1:
            return float(result)
    return math.nan


@njit
def liquidation_price_eth_collateral(
    collateral_eth: float,
    haircut: float,
    short_eth: float,
    price: float,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Mark at which a linear short margined with ETH is liquidated; ``inf`` if never.

    Parameters
    ----------
    collateral_eth : float
        ETH posted, with no USD balance and no unrealised P&L at ``price``.
    haircut : float
        Fraction of the collateral's value that does not count.
    short_eth, price
        Size (ETH) and mark (USD) of the short.
    cap, rate, amount : float64 (K,)
        Maintenance tiers, USD.

    Notes
    -----
    Solves E·(1 - h)·p - Q·(p - price) = MMR·Q·p - cum for p, tier by tier.
    """
    for k in range(len(cap)):
        slope = short_eth * (1.0 + rate[k]) - collateral_eth * (1.0 - haircut)
        if slope <= 0.0:
            continue
        result = (short_eth * price + amount[k]) / slope
        if short_eth * result <= cap[k] or k == len(cap) - 1:
            return float(result)
    return math.inf


@njit
def liquidation_price_inverse(
    collateral_eth: float,
    notional_usd: float,
    price: float,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Mark at which a coin-margined short is liquidated; ``inf`` if fully collateralised.

    Parameters
    ----------
    collateral_eth : float
        ETH posted, no unrealised P&L at ``price``.
    notional_usd : float
        USD value of the contracts, which does not change with the price.
    price : float
        Mark, USD.
    cap, rate, amount : float64 (K,)
        Maintenance tiers, ETH.

    Notes
    -----
    P&L of the short in ETH is N·(1/p - 1/price). Solves
    B + N·(1/p - 1/price) = MMR·N/p - cum, tier by tier; a tier applies while N/p is within it.
    """
    for k in range(len(cap)):
        owed = notional_usd / price - collateral_eth - amount[k]
        if owed <= 0.0:
            continue
        result = notional_usd * (1.0 - rate[k]) / owed
        if notional_usd / result <= cap[k] or k == len(cap) - 1:
            return float(result)
    return math.inf
