"""How a short gets to its liquidation, and what is left of its margin there.

Cross margin shared with other positions, funding that drains the margin, the bankruptcy price and
the venue's fee. The tiered price itself is ``margin.liquidation_price``; nothing here knows a
position, an order or a venue call.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.risk.margin import liquidation_price, maintenance_margin

Floats = NDArray[np.float64]


def cross_liquidation_price(
    wallet: float,
    counted_coins: float,
    other_maintenance: float,
    other_pnl: float,
    short_eth: float,
    entry: float,
    mark: float,
    inverse: bool,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Lowest mark, from ``mark`` up, that liquidates a short sharing its wallet; ``inf`` if none.

    The venue's other positions are held where they are: they take their maintenance margin out of
    the wallet and put their unrealised P&L in.

    Parameters
    ----------
    wallet : float
        Wallet balance WB without unrealised P&L: USD, or ETH under an inverse contract.
    counted_coins : float
        ETH after the haircut beside a wallet in USD; 0 under an inverse contract.
    other_maintenance, other_pnl : float
        Maintenance margin (TMM) and unrealised P&L (UPNL) of all other positions of the account,
        in the unit of ``wallet``; 0 and 0 is isolated margin.
    short_eth : float
        Size of the short, ETH at ``mark``, > 0.
    entry, mark : float
        Entry price EP and the mark now, USD.
    inverse : bool
        Coin-margined contract.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order.

    Notes
    -----
    (WB - TMM + UPNL + cum - side·Q·EP) / (Q·MMR - side·Q) with side = -1: Binance, "How to
    Calculate Liquidation Price of USDⓈ-M Futures Contracts". Inverse, N = Q·mark and all in ETH:
    N·(1 - MMR) / (N/EP - WB + TMM - UPNL - cum).

    Examples
    --------
    A short of 100 ETH from 2,000 with 40,000 USD, beside a position that needs 5,000 and is 3,000
    under water, in one tier of 1 %: (40,000 - 5,000 - 3,000 + 200,000) / 101.

    >>> tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    >>> mark = cross_liquidation_price(
    ...     40_000.0, 0.0, 5_000.0, -3_000.0, 100.0, 2_000.0, 2_100.0, False, *tiers
    ... )
    >>> round(mark, 2)
    2297.03
    """
    behind = wallet - other_maintenance + other_pnl
    if inverse:
        coins = counted_coins + behind + short_eth * (1.0 - mark / entry)
        return liquidation_price(0.0, coins, short_eth, mark, inverse, cap, rate, amount)
    cash = behind - short_eth * (mark - entry)
    return liquidation_price(cash, counted_coins, short_eth, mark, inverse, cap, rate, amount)


@njit
def liquidation_prices_after_funding(
    cash: float,
    counted_coins: float,
    short_eth: float,
    price: float,
    inverse: bool,
    funding_rate: Floats,
    funding_mark: Floats,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> Floats:
    """Liquidation price after each of N settlements that pay into the margin or out of it.

    Parameters
    ----------
    cash, counted_coins, short_eth, price, inverse
        The account at ``price``, as in ``margin.liquidation_price``.
    funding_rate : float64 (N,)
        Rate of each settlement; positive pays the short.
    funding_mark : float64 (N,)
        Mark price of each settlement, USD.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order.

    Returns
    -------
    float64 (N,)
        USD, not below ``price``; NaN from the first settlement whose mark was at or above the
        liquidation price before it: there is no short any more.

    Notes
    -----
    A settlement pays Q·mark·rate in USD, or N/mark·rate in ETH with N = Q·price of an inverse
    contract (Binance, "Introduction to Binance Futures Funding Rates").

    Examples
    --------
    Two settlements at -0.1 % of 200,000 USD take 200 USD each: 200 / 101 off the price.

    >>> tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    >>> paid, marks = np.array([-0.001, -0.001]), np.array([2_000.0, 2_000.0])
    >>> prices = liquidation_prices_after_funding(
    ...     40_000.0, 0.0, 100.0, 2_000.0, False, paid, marks, *tiers
    ... )
    >>> prices.round(2)
    array([2374.26, 2372.28])
    """
    prices = np.full(len(funding_rate), np.nan)
    dies = liquidation_price(cash, counted_coins, short_eth, price, inverse, cap, rate, amount)
    for i in range(len(funding_rate)):
        if dies <= funding_mark[i]:
            break
        if inverse:
            counted_coins += short_eth * price / funding_mark[i] * funding_rate[i]
        else:
            cash += short_eth * funding_mark[i] * funding_rate[i]
        dies = liquidation_price(cash, counted_coins, short_eth, price, inverse, cap, rate, amount)
        prices[i] = dies
    return prices


def hours_to_liquidation(
    cash: float,
    counted_coins: float,
    short_eth: float,
    price: float,
    inverse: bool,
    funding_rate: float,
    interval_h: float,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> float:
    """Hours until a constant funding rate, at a constant mark, drains the margin to maintenance.

    Parameters
    ----------
    cash, counted_coins, short_eth, price, inverse
        The account at ``price``, as in ``margin.liquidation_price``.
    funding_rate : float
        Rate per settlement; a negative one is paid by the short.
    interval_h : float
        Hours between settlements, the first one an interval from now.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order.

    Returns
    -------
    float
        Hours to the settlement that does it: 0 where equity is at or below maintenance already,
        ``inf`` where the rate is not negative, NaN where something is unknown.

    Examples
    --------
    38,000 USD above maintenance, 200 USD a settlement: the 190th.

    >>> tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    >>> hours_to_liquidation(40_000.0, 0.0, 100.0, 2_000.0, False, -0.001, 8.0, *tiers)
    1520.0
    """
    notional = short_eth if inverse else short_eth * price
    equity = counted_coins if inverse else cash + counted_coins * price
    above = equity - maintenance_margin(notional, cap, rate, amount)
    if above <= 0.0:
        return 0.0
    if funding_rate >= 0.0:
        return math.inf
    # A hair less than the quotient: its rounding must not ask for a settlement more.
    settlements = np.ceil(above / (notional * -funding_rate) * (1.0 - 1e-12))
    return float(settlements) * interval_h


def bankruptcy_price(
    cash: float, counted_coins: float, short_eth: float, price: float, inverse: bool
) -> float:
    """Mark at which a rise leaves a short no equity at all; ``inf`` where none does.

    Parameters
    ----------
    cash, counted_coins, short_eth, price, inverse
        The account at ``price``, as in ``margin.liquidation_price``.

    Notes
    -----
    Linear: (cash + Q·price) / (Q - coins). Inverse: Q·price / (Q - coins). An account without
    equity is bankrupt at ``price`` already.

    Examples
    --------
    >>> bankruptcy_price(40_000.0, 0.0, 100.0, 2_000.0, False)
    2400.0
    >>> bankruptcy_price(0.0, 20.0, 100.0, 2_000.0, True)
    2500.0
    """
    if (counted_coins if inverse else cash + counted_coins * price) <= 0.0:
        return price
    owed = short_eth - counted_coins
    if owed <= 0.0:
        return math.inf
    return (short_eth * price + (0.0 if inverse else cash)) / owed


class Liquidated(NamedTuple):
    """What a liquidation costs and leaves.

    Attributes
    ----------
    price_usd : float
        Mark of the liquidation; ``inf`` where no rise does it, and the rest is NaN.
    fee, left, lost : float
        What the venue takes, the margin equity left after it, and the loss of the short from the
        price of the account on with the fee; USD, or ETH under an inverse contract. The fee ends
        where the equity does.
    """

    price_usd: float
    fee: float
    left: float
    lost: float


def liquidated(
    cash: float,
    counted_coins: float,
    short_eth: float,
    price: float,
    inverse: bool,
    liquidation_fee: float,
    cap: Floats,
    rate: Floats,
    amount: Floats,
) -> Liquidated:
    """What is left of the margin when the venue closes the short at its liquidation price.

    Parameters
    ----------
    cash, counted_coins, short_eth, price, inverse
        The account at ``price``, as in ``margin.liquidation_price``.
    liquidation_fee : float
        Largest fee, fraction of the notional closed.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order.

    Notes
    -----
    Closed at the liquidation price itself: a market that gaps past it leaves less, and nothing from
    the bankruptcy price on. Where the fee exceeds the maintenance rate all of the margin goes.

    Examples
    --------
    At 240,000 / 101 the short is worth 237,623.76: 1 % of maintenance is left, half of it is fee.

    >>> tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    >>> end = liquidated(40_000.0, 0.0, 100.0, 2_000.0, False, 0.005, *tiers)
    >>> [round(part, 2) for part in end]
    [2376.24, 1188.12, 1188.12, 38811.88]
    """
    dies = liquidation_price(cash, counted_coins, short_eth, price, inverse, cap, rate, amount)
    if not math.isfinite(dies):
        return Liquidated(dies, math.nan, math.nan, math.nan)
    if inverse:
        size = short_eth * price / dies
        lost = short_eth - size
        equity = counted_coins - lost
    else:
        size = short_eth * dies
        lost = size - short_eth * price
        equity = cash + counted_coins * dies - lost
    fee = min(liquidation_fee * size, max(equity, 0.0))
    return Liquidated(dies, fee, equity - fee, lost + fee)
