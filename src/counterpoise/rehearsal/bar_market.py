"""A market made of bars: quotes through each bar, marks, and funding at its settled moments.

It stands in where no recording exists: years of the lake, or the generated market. Makers quote
anew at every step; how deep they quote was read from a recording and can be set. Between the quotes
nothing is known, so nothing measured on it says how well orders are executed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import polars as pl

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.quote_path import (
    Longs,
    half_spread_ticks,
    middle_path,
    quote_times,
    quotes_per_bar,
)
from counterpoise.market.synthetic import START, generate
from counterpoise.rehearsal.feed import (
    BookTicker,
    Depth,
    Level,
    MarketEvent,
    MarkPrice,
    Settlement,
    Side,
    Trade,
)
from counterpoise.rehearsal.filters import SymbolRules, exact
from counterpoise.units import BPS, HOUR_MS

#: Distance from the best price (bps) and ETH there, per side: medians of ETHUSDT perpetual on
#: 2024-08-08 23:54 to 24:00 UTC, when 92,000 ETH an hour were traded.
RECORDED_DEPTH = (
    (0, 17.0),
    (1, 17.0),
    (2, 56.0),
    (5, 480.0),
    (10, 900.0),
    (20, 1670.0),
    (50, 3650.0),
)
FUNDING_MS = 8 * HOUR_MS
FIRST_RATE = Decimal("0.0001")


@dataclass(frozen=True, kw_only=True)
class Quoting:
    """How the makers of a market of bars quote.

    Attributes
    ----------
    every_s : int
        Seconds between quotes; divides an hour into 1, 3 or more parts.
    half_spread_bps : float
        At least one tick.
    depth : tuple of (float, float)
        By rising distance from the best price (bps): ETH standing there, per side.
    """

    every_s: int = 5
    half_spread_bps: float = 0.05
    depth: tuple[tuple[float, float], ...] = RECORDED_DEPTH

    def __post_init__(self) -> None:
        quotes_per_bar(self.every_s)
        distances = [distance for distance, _ in self.depth]
        if not self.depth or distances != sorted(set(distances)) or distances[0] != 0:
            raise FixConfig("depth", self.depth, "rising distances from 0", "mend the depth")


@dataclass(frozen=True, kw_only=True)
class BarMarket:
    """Events of hourly bars, made while it is iterated; see :func:`from_bars`."""

    rules: SymbolRules
    quoting: Quoting
    perp: pl.DataFrame
    mark: pl.DataFrame
    spot: pl.DataFrame
    funding: pl.DataFrame

    def __iter__(self) -> Iterator[MarketEvent]:
        """Events in the order of their time; a mark first."""
        funding = _Funding(self.rules, self.funding, self.first_ms)
        makers = _Makers(self.rules, self.quoting)
        marks, spots = _by_open(self.mark), _by_open(self.spot)
        for open_ms, bar in _by_open(self.perp).items():
            middle = self._path(bar)
            marked = self._path(marks[open_ms]) if open_ms in marks else middle
            index = self._path(spots[open_ms]) if open_ms in spots else marked
            ts = quote_times(bar, self.quoting.every_s)
            volume = float(bar["volume"][0]) / len(ts)
            steps = zip(ts.tolist(), middle.tolist(), marked.tolist(), index.tolist(), strict=True)
            for ts_ms, mid, mark, spot in steps:
                if not makers.quoting:
                    yield funding.mark(ts_ms, mark, spot)
                yield from funding.due(ts_ms)
                yield from makers.quote(ts_ms, mid)
                yield funding.mark(ts_ms, mark, spot)
                yield from makers.sell_to_takers(ts_ms, volume)

    @property
    def first_ms(self) -> int:
        """Open of the first bar, ms UTC."""
        return int(self.perp["ts"].dt.epoch("ms")[0])

    @property
    def last_ms(self) -> int:
        """Close of the last bar, ms UTC."""
        return int(self.perp["ts"].dt.epoch("ms")[-1]) + HOUR_MS

    def _path(self, bar: pl.DataFrame) -> Longs:
        return middle_path(bar, self.quoting.every_s, float(self.rules.tick))


def from_bars(
    rules: SymbolRules,
    perp: pl.DataFrame,
    *,
    mark: pl.DataFrame | None = None,
    spot: pl.DataFrame | None = None,
    funding: pl.DataFrame | None = None,
    quoting: Quoting | None = None,
) -> BarMarket:
    """A market of hourly bars.

    Parameters
    ----------
    rules : SymbolRules
    perp : DataFrame (B, ...)
        Hourly bars of the perpetual as the lake has them, in time order.
    mark, spot : DataFrame, optional
        Bars of the mark and of spot, which is the index; where one is missing the mark is the
        middle of the quotes, and the index is the mark.
    funding : DataFrame, optional
        Settled funding; paid at its timestamps, at its ``mark_price`` or else the mark of the path.
        Until a settlement the running rate is that of the one before.
    quoting : Quoting, optional

    Raises
    ------
    NotEnoughData
        No bars.
    """
    if perp.is_empty():
        raise NotEnoughData("No perpetual bars in that span. Next: widen the span.")
    none = perp.clear()
    return BarMarket(
        rules=rules,
        quoting=quoting or Quoting(),
        perp=perp,
        mark=none if mark is None else mark,
        spot=none if spot is None else spot,
        funding=pl.DataFrame() if funding is None else funding,
    )


def from_lake(
    lake: Lake,
    rules: SymbolRules,
    first_ms: int,
    last_ms: int,
    *,
    venue: str = "binance",
    quoting: Quoting | None = None,
) -> BarMarket:
    """The market the lake holds, for bars that open in [first_ms, last_ms).

    Raises
    ------
    NotEnoughData
        The lake holds no perpetual bars of that span.
    """
    tables = {
        table: lake.read_span(DatasetKey(table, venue, rules.symbol, "1h"), first_ms, last_ms)
        for table in ("perp_bars", "mark_bars", "spot_bars")
    }
    paid = [
        lake.read_span(key, first_ms, last_ms + 1)
        for key in lake.datasets()
        if (key.table, key.venue, key.symbol) == ("funding", venue, rules.symbol)
    ]
    return from_bars(
        rules,
        tables["perp_bars"],
        mark=tables["mark_bars"],
        spot=tables["spot_bars"],
        funding=paid[0] if paid else None,
        quoting=quoting,
    )


def synthetic(
    rules: SymbolRules,
    *,
    seed: int = 1,
    start: datetime = START,
    days: int = 30,
    quoting: Quoting | None = None,
) -> BarMarket:
    """The generated market (``market.synthetic.generate``), without missing bars."""
    tables = generate(seed, start, days, symbol=rules.symbol, with_gaps=False)
    found = {key.table: table for key, table in tables.items() if key.symbol == rules.symbol}
    return from_bars(
        rules,
        found["perp_bars"],
        mark=found["mark_bars"],
        spot=found["spot_bars"],
        funding=found["funding"],
        quoting=quoting,
    )


def _by_open(bars: pl.DataFrame) -> dict[int, pl.DataFrame]:
    opens = bars["ts"].dt.epoch("ms").to_list()
    return {open_ms: bars[row : row + 1] for row, open_ms in enumerate(opens)}


class _Funding:
    """Settlements in their order, and marks that say the running rate."""

    def __init__(self, rules: SymbolRules, table: pl.DataFrame, first_ms: int) -> None:
        self._rules = rules
        self._rate = FIRST_RATE
        self._mark = Decimal(0)
        self._ahead: list[tuple[int, Decimal, Decimal | None]] = []
        if not table.is_empty():
            columns = table.select(pl.col("ts").dt.epoch("ms"), "funding_rate", "mark_price")
            self._ahead = [
                (ts_ms, exact(rate), None if mark is None else exact(mark))
                for ts_ms, rate, mark in columns.reverse().iter_rows()
                if ts_ms > first_ms
            ]

    def due(self, ts_ms: int) -> Iterator[MarketEvent]:
        """Settlements up to a moment."""
        while self._ahead and self._ahead[-1][0] <= ts_ms:
            paid_ms, self._rate, mark = self._ahead.pop()
            yield Settlement(paid_ms, self._rules.symbol, self._rate, mark or self._mark)

    def mark(self, ts_ms: int, mark: int, index: int) -> MarkPrice:
        """Mark and index given in ticks."""
        self._mark = self._rules.price(mark)
        following = self._ahead[-1][0] if self._ahead else (ts_ms // FUNDING_MS + 1) * FUNDING_MS
        return MarkPrice(
            ts_ms,
            self._rules.symbol,
            self._mark,
            self._rules.price(index),
            self._rate,
            following,
        )


class _Makers:
    """Quotes around a middle, and the trades takers make against them."""

    def __init__(self, rules: SymbolRules, quoting: Quoting) -> None:
        self._rules = rules
        self._quoting = quoting
        self._sizes = [rules.steps_near(size) for _, size in quoting.depth]
        self._bids: list[Level] = []
        self._asks: list[Level] = []
        self._id = self._trade_id = 0
        self._middle = 0
        self._side: Side = "BUY"

    @property
    def quoting(self) -> bool:
        """They have quoted."""
        return bool(self._bids)

    def quote(self, ts_ms: int, middle: int) -> tuple[Depth, BookTicker]:
        """Every maker leaves and quotes anew."""
        half = int(half_spread_ticks(np.array([middle]), self._quoting.half_spread_bps)[0])
        bids, asks = self._levels(middle - half, -1, middle), self._levels(middle + half, 1, middle)
        before, self._id = self._id, self._id + 1
        depth = Depth(
            ts_ms,
            self._rules.symbol,
            self._id,
            self._id,
            before,
            _replacing(self._bids, bids),
            _replacing(self._asks, asks),
            fresh=True,
        )
        self._bids, self._asks = bids, asks
        if middle != self._middle:
            self._side = "BUY" if middle > self._middle else "SELL"
        self._middle = middle
        return depth, BookTicker(ts_ms, self._rules.symbol, self._id, *bids[0], *asks[0])

    def sell_to_takers(self, ts_ms: int, volume_eth: float) -> Iterator[Trade]:
        """One trade at the touch, on the side the market moved to."""
        steps = self._rules.steps_near(volume_eth)
        if steps:
            self._trade_id += 1
            price = self._asks[0][0] if self._side == "BUY" else self._bids[0][0]
            symbol = self._rules.symbol
            yield Trade(ts_ms, symbol, self._trade_id, price, steps, self._side)

    def _levels(self, best: int, sign: int, middle: int) -> list[Level]:
        """Best first; every level at least a tick from the one before."""
        levels: list[Level] = []
        for (distance, _), steps in zip(self._quoting.depth, self._sizes, strict=True):
            price = best + sign * round(distance * BPS * middle)
            if levels and sign * (price - levels[-1][0]) <= 0:
                price = levels[-1][0] + sign
            levels.append((price, steps))
        return levels


def _replacing(old: list[Level], new: list[Level]) -> tuple[Level, ...]:
    """New levels, and those that are gone with size 0."""
    standing = dict(new)
    return (*((price, 0) for price, _ in old if price not in standing), *new)
