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
_BARS = frozenset(_PLACES)
_INTERVALS = (
    *("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"),
    *("3d", "1w"),
)
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
    """

    def __init__(
        self, tables: Mapping[DatasetKey, pl.DataFrame], *, venue: str = "binance"
    ) -> None:
        self._tables = {key: table for key, table in tables.items() if key.venue == venue}

    @classmethod
    def of_lake(cls, lake: Lake, *, venue: str = "binance") -> "History":
        """The bars and funding a lake holds of a venue."""
        keys = [
            key
            for key in lake.datasets()
            if key.venue == venue and (key.table in _BARS or key.table == "funding")
        ]
        return cls({key: lake.read_key(key) for key in keys}, venue=venue)

    def first_ms(self, symbol: str) -> int | None:
        """Open of the oldest bar of a symbol's perpetual; None without one."""
        firsts = [
            int(table["ts"].dt.epoch("ms")[0])
            for key, table in self._tables.items()
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
        if interval not in _INTERVALS:
            raise Denied(-1120, "Invalid interval.")
        step = _WEEK_MS if interval == "1w" else interval_ms(interval)
        first, last = span_ms
        shift = _MONDAY_MS if interval == "1w" else 0
        rows = self._bars(table, symbol, step, shift, now_ms)
        stamps = pl.col("ts_ms")
        if first is not None:
            rows = rows.filter(stamps >= first)
        if last is not None:
            rows = rows.filter(stamps <= last)
        rows = rows.head(limit) if first is not None else rows.tail(limit)
        prices, sizes = _PLACES[table]
        return [_kline(row, step, prices, sizes) for row in rows.iter_rows(named=True)]

    def _bars(self, table: str, symbol: str, step: int, shift: int, now_ms: int) -> pl.DataFrame:
        """Bars of a length, from the coarsest stored ones that make it up."""
        fitting = {
            interval_ms(key.interval): stored
            for key, stored in self._tables.items()
            if key.table == table and key.symbol == symbol and step % interval_ms(key.interval) == 0
        }
        if not fitting:
            return pl.DataFrame(schema={"ts_ms": pl.Int64})
        finest = max(fitting)
        known = fitting[finest].with_columns(ts_ms=pl.col("ts").dt.epoch("ms"))
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
            for key, table in self._tables.items()
            if key.table == "funding" and key.symbol == symbol
        ]
        if not tables:
            return []
        first, last = span_ms
        rows = tables[0].with_columns(ts_ms=pl.col("ts").dt.epoch("ms"))
        rows = rows.filter(pl.col("ts_ms") <= min(now_ms, now_ms if last is None else last))
        if first is not None:
            rows = rows.filter(pl.col("ts_ms") >= first)
        rows = rows.head(limit) if first is not None else rows.tail(limit)
        return [
            {
                "symbol": symbol,
                "fundingTime": row["ts_ms"],
                "fundingRate": f"{row['funding_rate']:.8f}",
                "markPrice": "" if row.get("mark_price") is None else f"{row['mark_price']:.8f}",
            }
            for row in rows.iter_rows(named=True)
        ]


_FLOWS = ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


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
