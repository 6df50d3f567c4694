"""Size and trigger of the buy stop that keeps a short from being liquidated as a whole.

Just below the liquidation price a part of the short is bought back, as little as lets the rest
survive a further rise. Linear contracts margined in USD; nothing is placed here.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.risk.margin import liquidation_price, maintenance_margin

Floats = NDArray[np.float64]
Tiers = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Short:
    """A short and the margin behind it.

    Attributes
    ----------
    size_eth, mark : float
        Size and the mark at which the margin was taken, ETH > 0 and USD.
    margin_usd : float
        Equity behind it at ``mark``, unrealised P&L included.
    tiers : tuple of float64 (K,)
        ``cap``, ``rate`` and ``amount`` of the maintenance tiers in rising order.
    """

    size_eth: float
    mark: float
    margin_usd: float
    tiers: Tiers

    @property
    def liquidation(self) -> float:
        """Lowest mark that liquidates it, USD; ``inf`` if none does."""
        return float(
            liquidation_price(self.margin_usd, 0.0, self.size_eth, self.mark, False, *self.tiers)
        )

    def at(self, mark: float) -> "Short":
        """Return the same short after a move of the mark."""
        margin = self.margin_usd - self.size_eth * (mark - self.mark)
        return Short(self.size_eth, mark, margin, self.tiers)

    def after_stop(self, trigger: float, size_eth: float, slippage: float) -> float:
        """Liquidation price, USD, of what is left when a stop bought back ``size_eth``.

        Parameters
        ----------
        trigger : float
            Mark at which it bought, USD.
        size_eth : float
            At most the size of the short; ``inf`` results where nothing is left.
        slippage : float
            Paid beyond the trigger, fees included, a fraction.
        """
        there = self.at(trigger)
        left = self.size_eth - size_eth
        if left <= 1e-9:
            return math.inf
        margin = there.margin_usd - size_eth * trigger * slippage
        return Short(left, trigger, margin, self.tiers).liquidation


def margin_behind(
    short_eth: float, mark: float, equity_usd: float, venues_liquidation: float, tiers: Tiers
) -> float:
    """Margin equity behind a short, USD: the account's, or less where the venue says so.

    Under isolated margin, or beside other positions, less than the account's equity stands behind
    the short; the liquidation price that the venue states tells how much.

    Parameters
    ----------
    short_eth, mark : float
        ETH, > 0, and USD.
    equity_usd : float
        Of the account, unrealised P&L included.
    venues_liquidation : float
        As the venue states it, USD; 0 where it states none.
    tiers : tuple of float64 (K,)

    Examples
    --------
    A short of 100 ETH that is liquidated at 2,376.24 by 1 % maintenance has 40,000 behind it at
    2,000, whatever else is in the account:

    >>> tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    >>> round(margin_behind(100.0, 2_000.0, 90_000.0, 240_000 / 101, tiers), 6)
    40000.0
    """
    if venues_liquidation <= 0.0:
        return equity_usd
    needed = maintenance_margin(short_eth * venues_liquidation, *tiers)
    return min(equity_usd, short_eth * (venues_liquidation - mark) + needed)


def stop_size(
    short: Short, trigger: float, survive: float, slippage: float, step_eth: float
) -> float:
    """Smallest stop, ETH on the size grid, after which the rest outlives a mark.

    Parameters
    ----------
    short : Short
    trigger : float
        Mark at which the stop buys, USD.
    survive : float
        Mark at which the rest must not yet be liquidated, USD, > ``trigger``.
    slippage : float
        Paid beyond the trigger, fees included, a fraction.
    step_eth : float
        Size step.

    Returns
    -------
    float
        At most the size of the short.

    Notes
    -----
    Each ETH bought back saves its loss up to ``survive`` and its maintenance there, so more never
    hurts where the slippage is smaller than that rise; where it is larger, only all of it helps.

    Examples
    --------
    727.934 ETH from 1,800 at 5× die at 2,147.35. A stop 2 % below buys back 70 % of it to let the
    rest survive 5 % beyond:

    >>> tiers = np.array([6e5, 3e6]), np.array([0.005, 0.0065]), np.array([50.0, 950.0])
    >>> short = Short(727.934, 1_800.0, 727.934 * 1_800 / 5, tiers)
    >>> size = stop_size(short, 2_104.40, 2_254.71, 0.005, 0.001)
    >>> size, round(short.after_stop(2_104.40, size, 0.005), 2)
    (510.382, 2254.71)
    """
    steps = math.floor(short.size_eth / step_eth + 1e-9)
    enough, too_few = steps, 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if short.after_stop(trigger, round(middle * step_eth, 9), slippage) > survive:
            enough = middle
        else:
            too_few = middle
    if enough == steps:
        return short.size_eth
    return round(enough * step_eth, 9)
