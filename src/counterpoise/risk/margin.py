"""Maintenance margin and liquidation prices of a short, linear, inverse or ETH-collateralised.

Scalars in, scalars out, compiled; the simulator and the command line use the same functions. No
position, order or venue call lives here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_in_place

Floats = NDArray[np.float64]


@njit_in_place
def tier_of(notional: float, cap: Floats) -> int:
    """Position of the tier a notional falls in: the first whose cap holds it, or else the last.

    Examples
    --------
    >>> cap = np.array([50_000.0, 600_000.0])
    >>> tier_of(50_000.0, cap), tier_of(50_001.0, cap), tier_of(1e6, cap)
    (0, 1, 1)
    """
    k = 0
    while k < len(cap) - 1 and notional > cap[k]:
        k += 1
    return k


@njit_in_place
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
    k = tier_of(notional, cap)
    return float(rate[k] * notional - amount[k])


@njit_in_place
def maintenance_of_short(
    short_eth: float,
    last: float,
    price: float,
    inverse: bool,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Maintenance margin in USD of a short, at a price.

    Parameters
    ----------
    short_eth : float
        Size at ``last``, ETH.
    last, price : float
        Mark at which the size was taken, and at which the margin is asked for, USD.
    inverse : bool
        The contract is a fixed number of USD, so its size in ETH is ``short_eth · last / price``
        and its tiers are in ETH.
    cap, rate, amount : float64 (K,)
        Maintenance tiers.
    """
    if inverse:
        return price * maintenance_margin(short_eth * last / price, cap, rate, amount)
    return maintenance_margin(short_eth * price, cap, rate, amount)


@njit_in_place
def liquidation_price(
    cash: float,
    counted_coins: float,
    short_eth: float,
    price: float,
    inverse: bool,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Lowest mark, from ``price`` up, at which a short is liquidated; ``inf`` if no rise does it.

    The tier is the one the position has at the result. An account already at or below maintenance
    is liquidated at ``price`` itself. What a fall of the mark does to coins behind a debt is not
    looked at.

    Parameters
    ----------
    cash : float
        USD of the account at ``price``, unrealised P&L included; negative is a debt.
    counted_coins : float
        ETH of the account at ``price`` after the haircut; under an inverse contract all of its
        margin, unrealised P&L included.
    short_eth : float
        Size of the short at ``price``, ETH, > 0.
    price : float
        Mark at which the account was taken, USD.
    inverse : bool
        Coin-margined contract: P&L in ETH, tiers in ETH.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order. Where the amounts do not make maintenance continuous, a
        rise can meet it at the cap of a tier: that cap is the result.

    Notes
    -----
    Linear: solves cash + coins·p - Q·(p - price) = MMR·Q·p - amount, tier by tier. Without coins it
    is Binance's formula with side = -1, (WB + cum + Q·EP) / (Q·(1 + MMR)), where the equity at
    ``price`` stands for WB + Q·(EP - price). Inverse, N = Q·price: solves
    coins + N·(1/p - 1/price) = MMR·N/p - amount.
    """
    # A rise walks up the tiers of a linear short and down those of an inverse one. Each is entered
    # with equity above maintenance, or the entry is where the short dies.
    k = tier_of(short_eth if inverse else short_eth * price, cap)
    entered = price
    while True:
        if inverse:
            equity = counted_coins + short_eth * (price / entered - 1.0)
            needed = rate[k] * (short_eth * price / entered) - amount[k]
            owed = short_eth - counted_coins - amount[k]
            numerator = short_eth * price * (1.0 - rate[k])
            left_at = short_eth * price / cap[k - 1] if k > 0 else math.inf
        else:
            equity = cash + counted_coins * entered - short_eth * (entered - price)
            needed = rate[k] * (short_eth * entered) - amount[k]
            owed = short_eth * (1.0 + rate[k]) - counted_coins
            numerator = cash + short_eth * price + amount[k]
            left_at = cap[k] / short_eth if k < len(cap) - 1 else math.inf
        if equity <= needed:
            return float(entered)
        if owed > 0.0:
            result = numerator / owed
            if result <= left_at:
                return float(result)
        if not left_at < math.inf:
            return math.inf if owed <= 0.0 else math.nan
        entered = left_at
        k += -1 if inverse else 1
