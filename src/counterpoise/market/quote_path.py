"""Quotes inside bars: a deterministic path through open, extremes and close.

Bars do not say what happened inside them. The path is one that is consistent with a bar and never
better than it: it starts from the open, touches the extreme against the bar's direction first, then
the other one, and ends at the close. It serves the local venue and the event-driven backtest.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.units import BPS, HOUR_MS

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

#: Median displayed at the best price, per side, of ETHUSDT on 2024-08-08 23:54 to 24:00 UTC.
TOP_ETH = 17.0


class Quotes(NamedTuple):
    """Best bid and ask over time; all (N,), prices USD, sizes ETH."""

    ts_ms: Longs
    bid: Floats
    bid_size: Floats
    ask: Floats
    ask_size: Floats


def quotes_per_bar(every_s: int, interval_ms: int = HOUR_MS) -> int:
    """Quotes a bar is divided into; refuses what does not divide it, and 2.

    Raises
    ------
    FixConfig
        Not one quote a bar, nor at least three (open to extreme, extreme, close).
    """
    count, rest = divmod(interval_ms, 1000 * every_s) if every_s > 0 else (0, 1)
    if rest or count == 2:
        expected = f"seconds that divide a bar of {interval_ms // 1000} s into 1, 3 or more parts"
        raise FixConfig("every_s", every_s, expected, "choose 1, 5, 10, 60, 300, 900 or 3600")
    return count


def quote_times(bars: pl.DataFrame, every_s: int, interval_ms: int = HOUR_MS) -> Longs:
    """Moments of the quotes, ms UTC (N,): one millisecond before each end of ``every_s``."""
    count = quotes_per_bar(every_s, interval_ms)
    ends = every_s * 1000 * np.arange(1, count + 1, dtype=np.int64) - 1
    opens = bars["ts"].dt.epoch("ms").to_numpy()
    return (opens[:, None] + ends).ravel()


def middle_path(bars: pl.DataFrame, every_s: int, tick: float, interval_ms: int = HOUR_MS) -> Longs:
    """Middle of the quotes in whole ticks (N,), through open, both extremes and close.

    Notes
    -----
    A rising bar goes open, low, high, close; a falling one open, high, low, close; straight in
    between, the extremes at a third and two thirds. With one quote a bar there is only the close.
    """
    count = quotes_per_bar(every_s, interval_ms)
    knots = np.rint(bars.select("open", "high", "low", "close").to_numpy() / tick)
    if count == 1:
        return knots[:, 3].astype(np.int64)
    rising = knots[:, 3] >= knots[:, 0]
    first = np.where(rising, knots[:, 2], knots[:, 1])
    second = np.where(rising, knots[:, 1], knots[:, 2])
    legs = np.stack([knots[:, 0], first, second, knots[:, 3]], axis=1)
    third, two_thirds = -(-count // 3) - 1, -(-2 * count // 3) - 1
    at = np.array([-1, third, two_thirds, count - 1])
    share = np.stack([np.interp(np.arange(count), at, unit) for unit in np.eye(4)])
    return np.rint(legs @ share).astype(np.int64).ravel()


def quote_path(
    bars: pl.DataFrame,
    every_s: int,
    half_spread_bps: float,
    *,
    tick: float = 0.01,
    top_eth: float = TOP_ETH,
    interval_ms: int = HOUR_MS,
) -> Quotes:
    """Quotes every so many seconds of every bar; no quotes where a bar is missing.

    Parameters
    ----------
    bars : DataFrame (B, ...)
        ``ts`` (open of the bar), ``open``, ``high``, ``low``, ``close``, as the lake has them.
    every_s : int
        Seconds between quotes; divides the bar into 1, 3 or more parts.
    half_spread_bps : float
        Distance of bid and ask from the middle; at least one tick.
    tick : float
        USD.
    top_eth : float
        Size on either side, ETH.
    interval_ms : int
        Length of a bar.

    Returns
    -------
    Quotes
        N = B · quotes per bar. The last quote of a bar is one millisecond before its end, and its
        middle is exactly the close (rounded to the tick).

    Raises
    ------
    FixConfig
        A spread, size or number of seconds out of range.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from counterpoise.market.columns import TS
    >>> bars = pl.DataFrame(
    ...     {
    ...         "ts": pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]).cast(TS),
    ...         "open": [2000.0], "high": [2030.0], "low": [1990.0], "close": [2010.0],
    ...     }
    ... )
    >>> quotes = quote_path(bars, 600, 1.0)
    >>> ((quotes.bid + quotes.ask) / 2).tolist()
    [1995.0, 1990.0, 2010.0, 2030.0, 2020.0, 2010.0]
    >>> quotes.bid[-1].item(), quotes.ask[-1].item(), (quotes.ts_ms[-1] % HOUR_MS).item()
    (2009.8, 2010.2, 3599999)
    """
    if not 0 <= half_spread_bps <= 100:
        raise FixConfig("half_spread_bps", half_spread_bps, "0 to 100", "choose a half spread")
    if not top_eth > 0:
        raise FixConfig("top_eth", top_eth, "more than 0", "choose a size")
    middle = middle_path(bars, every_s, tick, interval_ms)
    half = half_spread_ticks(middle, half_spread_bps)
    size = np.full(len(middle), top_eth)
    return Quotes(
        quote_times(bars, every_s, interval_ms),
        in_usd(middle - half, tick),
        size,
        in_usd(middle + half, tick),
        size.copy(),
    )


def half_spread_ticks(middle: Longs, half_spread_bps: float) -> Longs:
    """Half spread around a middle, both in ticks (N,); at least one."""
    return np.maximum(np.rint(middle * half_spread_bps * BPS), 1).astype(np.int64)


def in_usd(ticks: Longs, tick: float) -> Floats:
    """Ticks as the floats nearest to their decimals."""
    per_usd = round(1 / tick)
    exact = per_usd > 0 and abs(per_usd * tick - 1) < 1e-9
    usd: Floats = ticks / np.float64(per_usd) if exact else ticks * np.float64(tick)
    return usd
