"""The past a local venue tells of: bars and settled funding, up to the market's present moment."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.tables import interval_ms
from counterpoise.rehearsal.denied import Denied

#: Decimals of prices and of volumes, by table.
_PLACES = {"perp_bars": (2, 3), "spot_bars": (2, 4), "mark_bars": (8, 0), "premium_bars": (8, 0)}
_TABLES = frozenset((*_PLACES, "funding", "futures_metrics"))
#: Lengths of bars the venue has, besides ``1w``.
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
_WEEK_MS = 7 * 86_400_000
#: Weeks begin on Mondays; 1970 began on a Thursday.
_MONDAY_MS = 4 * 86_400_000


class History:
    """Bars and settlements of one venue.

    Parameters
    ----------
    tables : mapping of DatasetKey to DataFrame
        As the lake stores them.
    venue : str
        Rows of other venues are left alone.

    Attributes
    ----------
    tables : dict of DatasetKey to DataFrame
        Of the venue, with ``ts_ms``: ``ts`` as ms since 1970.
    """

    def __init__(
        self, tables: Mapping[DatasetKey, pl.DataFrame], *, venue: str = "binance"
    ) -> None:
        self.tables = {
            key: table.with_columns(ts_ms=pl.col("ts").dt.epoch("ms"))
            for key, table in tables.items()
            if key.venue == venue
        }

    @classmethod
    def of_lake(cls, lake: Lake, *, venue: str = "binance") -> "History":
        """What a lake holds of a venue."""
        keys = [key for key in lake.datasets() if key.venue == venue and key.table in _TABLES]
        return cls({key: lake.read_key(key) for key in keys}, venue=venue)

    def first_ms(self, symbol: str) -> int | None:
        """Open of the oldest bar of a symbol's perpetual; None without one."""
        firsts = [
            int(table["ts_ms"][0])
            for key, table in self.tables.items()
            if key.symbol == symbol and key.table == "perp_bars" and table.height
        ]
        return min(firsts, default=None)

    def klines(
        self,
        table: str,
        symbol: str,
        interval: str,
        span_ms: tuple[int | None, int | None],
        limit: int,
        now_ms: int,
    ) -> list[list[Any]]:
        """Closed bars as the venue writes them, oldest first.

        Parameters
        ----------
        table : str
            ``perp_bars``, ``spot_bars``, ``mark_bars`` or ``premium_bars``.
        symbol, interval : str
        span_ms : tuple
            First and last open, both inclusive; the newest bars without a first one.
        limit : int
        now_ms : int
            No bar that closes later is told.

        Raises
        ------
        Denied
            -1120 for an interval there is none of.
        """
        if interval not in (*INTERVALS, "1w"):
            raise Denied(-1120, "Invalid interval.")
        step = _WEEK_MS if interval == "1w" else interval_ms(interval)
        shift = _MONDAY_MS if interval == "1w" else 0
        closed = self._bars(table, symbol, step, shift, now_ms)
        rows = _span(closed, span_ms, limit, now_ms)
        prices, sizes = _PLACES[table]
        return [_kline(row, step, prices, sizes) for row in rows.iter_rows(named=True)]

    def _bars(self, table: str, symbol: str, step: int, shift: int, now_ms: int) -> pl.DataFrame:
        """Bars of a length, from the coarsest stored ones that make it up."""
        fitting = {
            interval_ms(key.interval): stored
            for key, stored in self.tables.items()
            if key.table == table and key.symbol == symbol and step % interval_ms(key.interval) == 0
        }
        if not fitting:
            return pl.DataFrame(schema={"ts_ms": pl.Int64})
        finest = max(fitting)
        known = fitting[finest]
        if finest == step:
            return known.filter(pl.col("ts_ms") + step <= now_ms)
        whole = (now_ms - shift) // step * step + shift
        flows = [name for name in known.columns if name in _FLOWS]
        return (
            known.filter(pl.col("ts_ms") < whole)
            .group_by((pl.col("ts_ms") - shift) // step * step + shift, maintain_order=True)
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col(flows).sum(),
            )
        )

    def funding(
        self,
        symbol: str,
        span_ms: tuple[int | None, int | None],
        limit: int,
        now_ms: int,
    ) -> list[dict[str, Any]]:
        """Settled rates, oldest first; the newest ones without a first moment."""
        tables = [
            table
            for key, table in self.tables.items()
            if key.table == "funding" and key.symbol == symbol
        ]
        if not tables:
            return []
        rows = _span(tables[0], span_ms, limit, now_ms)
        return [
            {
                "symbol": symbol,
                "fundingTime": row["ts_ms"],
                "fundingRate": f"{row['funding_rate']:.8f}",
                "markPrice": "" if row.get("mark_price") is None else f"{row['mark_price']:.8f}",
            }
            for row in rows.iter_rows(named=True)
        ]

    def open_interest(
        self,
        symbol: str,
        period: str,
        span_ms: tuple[int | None, int | None],
        limit: int,
        now_ms: int,
    ) -> list[dict[str, Any]]:
        """Readings of open interest, oldest first; the newest ones without a first moment."""
        if period not in INTERVALS[2:]:
            raise Denied(-1130, "Data sent for parameter 'period' is not valid.")
        tables = [
            table
            for key, table in self.tables.items()
            if key.table == "futures_metrics" and key.symbol == symbol
        ]
        if not tables:
            return []
        readings = tables[0]
        readings = readings.filter(pl.col("ts_ms") % interval_ms(period) == 0)
        rows = _span(readings, span_ms, limit, now_ms)
        return [
            {
                "symbol": symbol,
                "sumOpenInterest": f"{row['open_interest_eth']:.8f}",
                "sumOpenInterestValue": f"{row['open_interest_usd']:.8f}",
                "CMCCirculatingSupply": "0",
                "timestamp": row["ts_ms"],
            }
            for row in rows.iter_rows(named=True)
        ]


_FLOWS = ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


def _span(
    rows: pl.DataFrame, span_ms: tuple[int | None, int | None], limit: int, now_ms: int
) -> pl.DataFrame:
    """The oldest rows from a first moment on or, without one, the newest; none after ``now_ms``."""
    first, last = span_ms
    stamps = pl.col("ts_ms")
    rows = rows.filter(stamps <= (now_ms if last is None else min(now_ms, last)))
    if first is None:
        return rows.tail(limit)
    return rows.filter(stamps >= first).head(limit)


def _kline(row: Mapping[str, Any], step: int, prices: int, sizes: int) -> list[Any]:
    def size(name: str, places: int) -> str:
        return f"{row.get(name) or 0.0:.{places}f}" if sizes else "0"

    return [
        row["ts_ms"],
        *(f"{row[name]:.{prices}f}" for name in ("open", "high", "low", "close")),
        size("volume", sizes),
        row["ts_ms"] + step - 1,
        size("quote_volume", 5),
        int(row.get("trades") or 0),
        size("taker_buy_base", sizes),
        size("taker_buy_quote", 5),
        "0",
    ]
