"""Series that change within the day, as known at each tick: flow, interest, book, fee, bitcoin.

But for the bars of the reference coin they are taken from the tables a fetch brings and an import
of bars usually lacks. A series the lake does not hold is NaN throughout. Slower series are in
``asof``, prices and funding in ``assemble``.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.asof import as_of
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import GAS, DatasetKey
from counterpoise.market.timeline import Floats
from counterpoise.units import HOUR_MS, MINUTE_MS

Millis = NDArray[np.int64]

#: Ages beyond which a reading says nothing about the hour that just ended.
METRICS_STALE_MS = HOUR_MS
BOOK_STALE_MS = 10 * MINUTE_MS
#: Known a minute after its hour, so the newest at a tick is of the hour before the last.
GAS_STALE_MS = 3 * HOUR_MS
#: Band of the order book whose two sides are compared, in percent from the mid.
BOOK_BAND_PCT = 1.0

METRICS = ("open_interest_eth", "open_interest_usd", "accounts_ratio", "top_positions_ratio")
BASE_FEES = ("base_fee_mean_wei", "gas_used_ratio")
BOOK = ("bid_depth_eth", "ask_depth_eth")
TAKER = "taker_buy_base"
#: The coin the rest of the market follows, and what its spot bars are called here.
REFERENCE_COIN = "BTC"
REFERENCE = {"btc_close": "close", "btc_high": "high", "btc_low": "low"}
#: Every series, whether the lake holds it or not.
NAMES = (*METRICS, *BOOK, TAKER, *BASE_FEES, *REFERENCE)


def hourly_series(
    lake: Lake, venue: str, symbols: set[str], reference: DatasetKey, ts_ms: Millis
) -> dict[str, Floats]:
    """Every series of this room at each tick, by ``known_at``.

    Parameters
    ----------
    lake : Lake
    venue : str
        Whose open interest and book are meant.
    symbols : set of str
        Spellings of the market at that venue.
    reference : DatasetKey
        Spot bars of the reference coin.
    ts_ms : int64 (T,)

    Returns
    -------
    dict of str to float64 (T,)
        Keys :data:`NAMES`; NaN before the first value and where the last is too old to speak.
    """
    found = {name: np.full(len(ts_ms), np.nan) for name in NAMES}
    for key in lake.datasets():
        ours = key.venue == venue and key.symbol in symbols
        if key.table == "futures_metrics" and ours:
            table = _recent(lake, key, ts_ms, METRICS_STALE_MS)
            found |= {name: as_of(table, name, ts_ms, METRICS_STALE_MS) for name in METRICS}
        elif key.table == "book_depth" and ours:
            table = _recent(lake, key, ts_ms, BOOK_STALE_MS)
            for name, band in zip(BOOK, (-BOOK_BAND_PCT, BOOK_BAND_PCT), strict=True):
                side = table.filter(pl.col("band_pct") == band)
                found[name] = as_of(side, "depth_eth", ts_ms, BOOK_STALE_MS)
        elif key.table == "perp_bars" and key.interval == "1h" and ours:
            # Of the bar that closed at the tick and no other: age 0.
            table = _recent(lake, key, ts_ms, HOUR_MS)
            found |= {TAKER: as_of(table, TAKER, ts_ms, 0)}
        elif key == reference:
            table = _recent(lake, key, ts_ms, HOUR_MS)
            found |= {name: as_of(table, part, ts_ms, 0) for name, part in REFERENCE.items()}
        elif key == GAS:
            table = _recent(lake, key, ts_ms, GAS_STALE_MS)
            found |= {name: as_of(table, name, ts_ms, GAS_STALE_MS) for name in BASE_FEES}
    return found


def _recent(lake: Lake, key: DatasetKey, ts_ms: Millis, stale_ms: int) -> pl.DataFrame:
    """Rows that any tick can still know of."""
    return lake.read_span(key, int(ts_ms[0]) - stale_ms - HOUR_MS, int(ts_ms[-1]) + HOUR_MS)
