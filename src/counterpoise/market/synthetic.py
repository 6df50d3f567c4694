"""A generated ETH market: hourly spot, perpetual, mark, funding, and the slow series beside them.

Its volatility clusters and has memory, its returns have fat tails and jumps, and its funding
follows the venue's own rule on its own premium, so every part of the product has something true to
find. It proves plumbing, not edge: nothing measured on it says anything about the real market.
``docs/synthetic.md`` holds what it was fitted to and what it lacks.
"""

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.market.columns import TS
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.synthetic_daily import (
    LEAD_DAYS,
    gas_memory,
    gas_signal,
    generate_daily,
)
from counterpoise.market.synthetic_perpetual import (
    Perpetual,
    generate_perpetual,
    mark_bars,
    settlements,
    shared_mood,
)
from counterpoise.market.synthetic_planted import NOTHING, Planted, signal_of_hours
from counterpoise.market.synthetic_spot import Spot, generate_spot
from counterpoise.units import DAY_MS, HOUR_MS, to_ms

Floats = NDArray[np.float64]

LONGEST_DAYS = 20 * 365
#: Trades per ETH of spot volume.
TRADES_PER_ETH = 6.5

START = datetime(2021, 1, 1, tzinfo=UTC)


def _bars(market: Spot | Perpetual, ts_ms: NDArray[np.int64]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series(ts_ms).cast(TS),
            "open": market.open,
            "high": market.high,
            "low": market.low,
            "close": market.close,
            "volume": market.volume,
        }
    )


def _spot_bars(spot: Spot) -> pl.DataFrame:
    middle = (spot.open + spot.close) / 2
    return _bars(spot, spot.ts_ms).with_columns(
        quote_volume=spot.volume * middle,
        trades=np.ceil(spot.volume * TRADES_PER_ETH).astype(np.int64),
        taker_buy_base=spot.volume * spot.flow,
        taker_buy_quote=spot.volume * spot.flow * middle,
    )


def _without(bars: pl.DataFrame, rows: NDArray[np.intp]) -> pl.DataFrame:
    keep = np.ones(bars.height, dtype=np.bool_)
    keep[rows] = False
    return bars.filter(pl.Series(keep))


def generate(
    seed: int = 1,
    start: datetime = START,
    days: int = 365,
    *,
    venues: tuple[str, ...] = ("binance",),
    symbol: str = "ETHUSDT",
    first_price: float = 1500.0,
    with_gaps: bool = True,
    planted: Planted = NOTHING,
) -> dict[DatasetKey, pl.DataFrame]:
    """A synthetic market, ready for ``Lake.write(tables, synthetic=True)``.

    Parameters
    ----------
    seed : int
        The same seed gives the same tables, to the last bit.
    start : datetime
        Open of the first bar, with a zone; midnight UTC.
    days : int
        Days of hourly bars; at least 2.
    venues : tuple of str
        Venues with perpetual, mark and funding. Spot is always on ``binance``. Funding follows
        the rule of the venue's contract in force (``dydx`` pays by the hour); a venue without a
        registered contract follows binance's.
    symbol : str
    first_price : float
        First spot open, USD.
    with_gaps : bool
        Leave out bars as real venues do: per 60 days one perpetual bar of each venue and, per 120
        days, spot maintenance of three hours. Funding is complete.
    planted : Planted
        What is forecastable. By default volatility is, and the price is a martingale: the next
        return of spot is unrelated to everything known.

    Returns
    -------
    dict of DatasetKey to DataFrame
        Spot, perpetual and mark bars, funding, on-chain, validators and macro; the daily series
        begin 120 days before ``start``.

    Raises
    ------
    FixConfig
        A start without a zone or not at midnight, or days or price out of range.
    """
    if start.tzinfo is None or to_ms(start) % DAY_MS:
        raise FixConfig("start", start.isoformat(), "midnight UTC with a zone", "mend start")
    if not 2 <= days <= LONGEST_DAYS:
        raise FixConfig("days", days, f"2 to {LONGEST_DAYS}", "choose days in that range")
    if not 0 < first_price < 1e6:
        raise FixConfig("first_price", first_price, "0 to 1,000,000 USD", "mend first_price")
    # Each part has its own stream: a richer market does not reshuffle the others.
    streams = np.random.SeedSequence(seed).spawn(7 + len(venues))
    spot_rng, mood_rng, gap_rng, gas_rng, onchain_rng, validator_rng, macro_rng = (
        np.random.default_rng(stream) for stream in streams[:7]
    )
    signal = gas_signal(gas_rng, days)
    ts_ms = to_ms(start) + HOUR_MS * np.arange(days * 24, dtype=np.int64)
    spot = generate_spot(
        spot_rng,
        ts_ms,
        first_price,
        signal_of_hours(signal, LEAD_DAYS),
        planted.hourly_share(gas_memory()),
        clustering=planted.clustering,
    )
    spot_bars = _spot_bars(spot)
    if with_gaps:
        maintenance = gap_rng.integers(1, len(ts_ms) - 4, size=days // 120)
        spot_bars = _without(spot_bars, (maintenance[:, None] + np.arange(3)).ravel())
    tables = {DatasetKey("spot_bars", "binance", symbol, "1h"): spot_bars}
    mood = shared_mood(mood_rng, spot)
    for venue, stream in zip(venues, streams[7:], strict=True):
        perp = generate_perpetual(np.random.default_rng(stream), spot, mood)
        perp_bars, mark = _bars(perp, ts_ms), mark_bars(spot, perp)
        if with_gaps:
            perp_bars = _without(perp_bars, gap_rng.integers(1, len(ts_ms) - 1, size=days // 60))
        settled = settlements(venue, ts_ms, perp.premium, mark["close"].to_numpy())
        every = f"{settled['interval_h'][0]:.0f}h"
        tables[DatasetKey("perp_bars", venue, symbol, "1h")] = perp_bars
        tables[DatasetKey("mark_bars", venue, symbol, "1h")] = mark
        tables[DatasetKey("funding", venue, symbol, every)] = settled
    by_day = spot.log_return.reshape(days, 24)
    day_close = spot.close.reshape(days, 24)[:, -1]
    return tables | generate_daily(
        onchain_rng, validator_rng, macro_rng, to_ms(start), by_day, day_close, signal
    )
