"""Loans against ETH collateral: when the lender liquidates, and what is left.

A loan is a debt in USD (stablecoins) or in ETH against collateral counted in ETH, liquidated when
debt = threshold × collateral. Nothing here knows tokens, rates or time.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def liquidation_price_usd(
    debt_usd: Floats | float, collateral_eth: Floats | float, threshold: float
) -> Floats:
    """ETH price at which a stablecoin debt is threshold × the value of its collateral, USD.

    Notes
    -----
    The health factor collateral·P·threshold ÷ debt falls to 1 (Aave, "Liquidations",
    aave.com/docs), so P = debt ÷ (threshold · collateral).

    Examples
    --------
    >>> round(float(liquidation_price_usd(1_000_000.0, 1000.0, 0.83)), 4)
    1204.8193
    """
    return np.asarray(debt_usd / (threshold * np.asarray(collateral_eth)))


def liquidation_ratio(
    debt_eth: Floats | float, collateral_eth: Floats | float, threshold: float
) -> Floats:
    """Share of the rate ``collateral_eth`` was counted at, at which a debt in ETH is liquidated.

    The ETH price cancels: only the exchange rate between token and ETH can liquidate such a loan.
    At 0.91 a rate 9 % lower does; 1 or more is past it.

    Examples
    --------
    >>> round(float(liquidation_ratio(850.0, 1000.0, 0.93)), 5)
    0.91398
    """
    return np.asarray(debt_eth / (threshold * np.asarray(collateral_eth)))


def after_liquidation(
    collateral_eth: float, debt_eth: float, penalty: float
) -> tuple[float, float]:
    """What is left of the collateral when all debt is repaid from it, and what that cost; ETH.

    Parameters
    ----------
    collateral_eth, debt_eth : float
        Both at the price of the liquidation; a stablecoin debt is debt_usd ÷ price.
    penalty : float
        Fraction of the debt paid on top of it.

    Returns
    -------
    left_eth : float
        collateral - debt·(1 + penalty), not below 0.
    lost_eth : float
        Equity before minus after: the penalty, or less where the collateral does not cover it.
        What lies beyond the collateral is the lender's loss.

    Notes
    -----
    The collateral taken is debt · (1 + bonus) ÷ price (Aave, "Liquidations", aave.com/docs). There
    half of a debt may be repaid at first; here all of it is, which leaves the least exposure.

    Examples
    --------
    >>> [round(part, 6) for part in after_liquidation(1000.0, 830.0, 0.05)]
    [128.5, 41.5]
    """
    left = max(collateral_eth - debt_eth * (1.0 + penalty), 0.0)
    return left, max(collateral_eth - debt_eth, 0.0) - left
