"""Dynamic leverage: how much margin the moves of the next hours ask for, instead of a fixed ratio.

Forecasts the worst rise against a short as a quantile of past rises in units of volatility, and
turns a rise into the leverage that just survives it. No order and no top-up happens here.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.units import HOURS_PER_YEAR

Floats = NDArray[np.float64]

#: Hours between two refits of the quantile: a month.
REFIT_H = 720
#: Ninety days of known moves before the first quantile.
MIN_ROWS = 2160


def worst_rise(high: Floats, close: Floats, horizon_h: int) -> Floats:
    """Worst move against a short over the hours after each tick, a fraction of the close.

    Parameters
    ----------
    high, close : float64 (T,)
        Highest mark of the bar that closes at t, and its close; USD, NaN where missing.
    horizon_h : int
        Bars looked ahead, >= 1: the move of tick t is known at t + ``horizon_h``.

    Returns
    -------
    float64 (T,)
        max(high of the next bars) / close - 1, not below 0. NaN where the close or any of these
        highs is unknown, and at the end of history.

    Examples
    --------
    >>> worst_rise(np.array([10.0, 12.0, 9.0, 11.0]), np.array([10.0, 10.0, 8.0, 10.0]), 2)
    array([0.2, 0.1, nan, nan])
    """
    moves = np.full(len(close), np.nan)
    if len(close) > horizon_h:
        windows = np.lib.stride_tricks.sliding_window_view(high[1:], horizon_h)
        # A maximum with an unknown in it is unknown.
        moves[:-horizon_h] = np.maximum(windows.max(axis=1) / close[:-horizon_h] - 1.0, 0.0)
    return moves


def adverse_move(
    high: Floats,
    close: Floats,
    vol_per_year: Floats,
    horizon_h: int,
    quantile: float = 0.99,
    min_rows: int = MIN_ROWS,
) -> Floats:
    """Forecast quantile of the worst rise over the next hours, a fraction of the close.

    Realised worst rises are divided by the volatility that was forecast for their horizon; the
    quantile of all such ratios known by then, times the volatility forecast now, is the forecast.
    The quantile is taken again every 720 ticks from the first one on.

    Parameters
    ----------
    high, close : float64 (T,)
        Highest mark and close of the bar that closes at t, USD; NaN where missing.
    vol_per_year : float64 (T,)
        Volatility known at t, annualised fraction. Constant, it makes the forecast a static buffer:
        the quantile of all past rises.
    horizon_h : int
        Hours ahead, >= 1. A rise enters the quantile only once it is over.
    quantile : float
        In (0, 1).
    min_rows : int
        Known ratios before the first forecast, >= 1.

    Returns
    -------
    float64 (T,)
        >= 0. NaN before ``min_rows`` ratios are known, and where the volatility is unknown or 0:
        the caller needs a fallback.

    Notes
    -----
    Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999) of a maximum: the
    scale moves with volatility, the shape of the tail is that of the past.

    Examples
    --------
    Rises of 2 %, 4 % and 6 % at a volatility of 1 % an hour are 2, 4 and 6 of it; the median is
    known one hour after the third, and 2 % an hour from then on asks for twice as much.

    >>> close = np.full(5, 100.0)
    >>> high = np.array([100.0, 102.0, 104.0, 106.0, 100.0])
    >>> vol = np.array([0.01, 0.01, 0.01, 0.01, 0.02]) * np.sqrt(8760)
    >>> adverse_move(high, close, vol, 1, quantile=0.5, min_rows=3).round(6)
    array([ nan,  nan,  nan, 0.04, 0.08])
    """
    if horizon_h < 1:
        raise FixConfig("horizon_h", horizon_h, "at least 1 hour", "give whole hours ahead")
    if not 0.0 < quantile < 1.0:
        raise FixConfig("quantile", quantile, "a number inside (0, 1)", "give 0.99 for 99 %")
    if min_rows < 1:
        raise FixConfig("min_rows", min_rows, "at least 1", f"give {MIN_ROWS} for 90 days")
    scale = vol_per_year * np.sqrt(horizon_h / HOURS_PER_YEAR)
    scale = np.where(scale > 0.0, scale, np.nan)
    ratios = worst_rise(high, close, horizon_h) / scale
    known = np.flatnonzero(np.isfinite(ratios))
    forecast = np.full(len(close), np.nan)
    if len(known) < min_rows:
        return forecast
    for refit in range(int(known[min_rows - 1]) + horizon_h, len(close), REFIT_H):
        past = known[: np.searchsorted(known, refit - horizon_h, side="right")]
        until = refit + REFIT_H
        forecast[refit:until] = np.quantile(ratios[past], quantile) * scale[refit:until]
    return forecast


def leverage_for(
    adverse: Floats | float,
    notional: Floats | float,
    cap: Floats,
    rate: Floats,
    amount: Floats,
    *,
    inverse: bool = False,
) -> Floats:
    """Leverage at which a short that suffers a rise ends exactly at its maintenance margin.

    Parameters
    ----------
    adverse : float or float64 (T,)
        Rise of the mark, a fraction, >= 0.
    notional : float or float64 (T,)
        Size of the short before the rise, >= 0: USD of a linear contract, ETH of an inverse one.
    cap, rate, amount : float64 (K,)
        Maintenance tiers in rising order, in the unit of ``notional``; the one of the size after
        the rise counts.
    inverse : bool
        Coin-margined contract: its size and its losses in ETH shrink with the price.

    Returns
    -------
    float64 (T,)
        Notional ÷ margin equity, both before the rise. NaN where an input is.

    Notes
    -----
    With a = ``adverse`` and n = ``notional``, linear: equity n/l - n·a = M(n·(1 + a)), so
    l = 1 / (a + M(n·(1 + a))/n). Inverse, in ETH: n is left as n/(1 + a) and loses the rest, so
    l = 1 / (a/(1 + a) + M(n/(1 + a))/n). ETH that margins a linear contract gains in the rise: the
    result is then on the careful side.

    Examples
    --------
    100,000 USD that rise by 10 % need 10,000 for the loss and 0.5 % of 110,000 less 50:

    >>> tiers = np.array([50e3, 600e3]), np.array([0.004, 0.005]), np.array([0.0, 50.0])
    >>> round(float(leverage_for(0.1, 100e3, *tiers)), 4)  # 100,000 / 10,500
    9.5238
    """
    rise, size = np.asarray(adverse, dtype=np.float64), np.asarray(notional, dtype=np.float64)
    kept = 1.0 / (1.0 + rise) if inverse else 1.0 + rise
    after = np.asarray(size * kept)
    tier = np.minimum(np.searchsorted(cap, after, side="left"), len(cap) - 1)
    # A size of 0 pays the rate of its tier, an unknown one stays unknown.
    credit = np.divide(amount[tier], size, out=np.asarray(0.0 * after), where=after > 0.0)
    needed = (rise * kept if inverse else rise) + rate[tier] * kept - credit
    return np.asarray(1.0 / needed)


def dynamic_leverage(
    adverse: Floats,
    notional: Floats,
    tiers: tuple[Floats, Floats, Floats],
    lowest: float,
    highest: float,
    headroom: float = 1.25,
    *,
    fallback: tuple[float, float],
    inverse: bool = False,
) -> tuple[Floats, Floats]:
    """Leverage after a top-up, and the one that asks for it, from forecasts of the worst rise.

    Parameters
    ----------
    adverse : float64 (T,)
        Forecast worst rise until margin can have arrived, a fraction.
    notional : float64 (T,)
        USD of a linear contract, ETH of an inverse one.
    tiers : tuple of float64 (K,)
        ``cap``, ``rate`` and ``amount`` of the maintenance tiers.
    lowest, highest : float
        Least leverage topped up to, and most leverage run; ``lowest · headroom`` <= ``highest``.
    headroom : float
        Margin posted at a top-up is for this many forecast rises; > 1.
    fallback : tuple of float
        ``(leverage, leverage_max)`` where the rise or the notional is unknown.
    inverse : bool
        Coin-margined contract.

    Returns
    -------
    leverage : float64 (T,)
        Survives ``headroom`` times the rise, in [``lowest``, ``highest / headroom``], and is at
        most ``leverage_max / headroom``: a hair of price never asks for the next top-up.
    leverage_max : float64 (T,)
        Survives the rise, in [``lowest · headroom``, ``highest``]. Where that floor binds it does
        not: ``lowest`` is as much margin as the holder is ready to post.

    Raises
    ------
    FixConfig
        Limits or a fallback that leave no room between the two.

    Examples
    --------
    A forecast of 10 % on 100,000 USD is survived at 9.52×, so a top-up goes to 7.62×; 60 % asks for
    less than the floor allows, and an unknown one for the fallback.

    >>> tiers = np.array([50e3, 600e3]), np.array([0.004, 0.005]), np.array([0.0, 50.0])
    >>> after, asks = dynamic_leverage(
    ...     np.array([0.1, 0.6, np.nan]), np.full(3, 100e3), tiers, 2.0, 20.0, fallback=(2.0, 3.0)
    ... )
    >>> after.round(2), asks.round(2)
    (array([7.62, 2.  , 2.  ]), array([9.52, 2.5 , 3.  ]))
    """
    if not headroom > 1.0:
        raise FixConfig("headroom", headroom, "more than 1", "give 1.25 for a quarter more")
    if not 0.0 < lowest * headroom <= highest:
        raise FixConfig(
            "highest", highest, f"at least lowest · headroom = {lowest * headroom:g}", "raise it"
        )
    if not 0.0 < fallback[0] < fallback[1]:
        raise FixConfig("fallback", fallback, "0 < leverage < leverage_max", "give such a pair")
    one = leverage_for(adverse, notional, *tiers, inverse=inverse)
    several = leverage_for(headroom * adverse, notional, *tiers, inverse=inverse)
    most = np.clip(one, lowest * headroom, highest)
    after = np.maximum(np.minimum(several, most / headroom), lowest)
    unknown = ~(np.isfinite(one) & np.isfinite(several))
    return np.where(unknown, fallback[0], after), np.where(unknown, fallback[1], most)
