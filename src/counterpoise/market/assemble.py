"""Building the timeline: every table of the lake, placed on one hourly clock by when it was known.

Bars are placed exactly and missing ones stay NaN; slow series are as-of joins on ``known_at`` with
a limit to their age. Nothing is interpolated, and nothing after a tick can change what is at it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.asof import Notes, daily_series
from counterpoise.market.event_clock import event_clock
from counterpoise.market.hourly import REFERENCE_COIN, hourly_series
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS, DatasetKey
from counterpoise.market.row_checks import SETTLEMENT_JITTER_MS
from counterpoise.market.schemas import SPECS
from counterpoise.market.settlement import settlement_gaps
from counterpoise.market.suspects import SUSPECT_SHARE, suspect_extremes, without_strangers
from counterpoise.market.timeline import Bars, Floats, Suspect, Timeline
from counterpoise.units import DAY_MS, HOUR_MS, stamp, to_ms

Millis = NDArray[np.int64]

#: The venue whose spot price the exposure is valued at.
SPOT_VENUE = "binance"
#: Age of a settled rate beyond which it says nothing about now; no venue settles less often.
FUNDING_STALE_MS = DAY_MS

_BAR = "1h"
_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "PERP")


def base_asset(symbol: str) -> str:
    """Asset a symbol is about, whatever it is quoted in.

    Examples
    --------
    >>> base_asset("ETHUSDT"), base_asset("ETH-USD"), base_asset("ETH")
    ('ETH', 'ETH', 'ETH')
    """
    plain = symbol.replace("-", "").replace("/", "").upper()
    for quote in _QUOTES:
        if plain.endswith(quote) and len(plain) > len(quote):
            return plain.removesuffix(quote)
    return plain


def reference_bars(symbol: str) -> DatasetKey:
    """Spot bars of the reference coin, quoted as a symbol is.

    Examples
    --------
    >>> str(reference_bars("ETHUSDT"))
    'spot_bars binance BTCUSDT 1h'
    """
    other = symbol.upper().replace(base_asset(symbol), REFERENCE_COIN, 1)
    return DatasetKey("spot_bars", SPOT_VENUE, other, _BAR)


def build_timeline(
    lake: Lake,
    venues: Sequence[str] = ("binance",),
    symbol: str = "ETHUSDT",
    start: datetime | None = None,
    end: datetime | None = None,
) -> Timeline:
    """What was known at each hour, from the first perpetual bar to the last.

    Parameters
    ----------
    lake : Lake
    venues : sequence of str
        Venues V of the perpetual, first the default one. Symbols may differ between venues as
        long as they are about the same base asset.
    symbol : str
        Spot and perpetual symbol.
    start, end : datetime, optional
        First and last tick wanted, with a zone. Clipping does not change what is known at a tick.

    Returns
    -------
    Timeline
        ``funding_settled`` is cash, paid at the tick its settlement belongs to (a stamp up to
        60 s late counts as on time); ``funding_last`` is knowledge, strictly by ``known_at``.

    Raises
    ------
    NotEnoughData
        A needed table is absent, or the span does not overlap it.
    FixConfig
        No or repeated venues, ``start`` not before ``end``, or a moment without a zone.
    """
    names = tuple(venues)
    if not names or len(set(names)) != len(names):
        raise FixConfig("venue.names", list(names), "distinct venue names", "edit venue.names")
    if base_asset(symbol) != "ETH":
        raise FixConfig(
            "venue.symbol", symbol, "a market of ETH: the exposure is ETH", "use ETHUSDT"
        )
    sources = [_Source(lake, venue, symbol) for venue in names]
    perps = [source.bars("perp_bars") for source in sources]
    spot_table = lake.read("spot_bars", venue=SPOT_VENUE, symbol=symbol.upper(), interval=_BAR)
    ts_ms = _clock(perps, start, end)

    notes = Notes([])
    # One tick more in front: the bound on the first mark price needs the close before it.
    clock = np.concatenate(([ts_ms[0] - HOUR_MS], ts_ms))
    spot = place_bars(spot_table, clock)
    notes.missing(f"{SPOT_VENUE} spot bars", ts_ms, np.isnan(spot.close[1:]))
    columns = [
        _venue_columns(source, perp, spot, clock, notes)
        for source, perp in zip(sources, perps, strict=True)
    ]

    def stack(pick: Callable[[_VenueColumns], Floats]) -> Floats:
        return np.stack([pick(column) for column in columns], axis=1)

    return Timeline(
        ts_ms=ts_ms,
        venues=names,
        spot=_without_first(spot),
        perp=Bars(
            open=stack(lambda column: column.perp.open),
            high=stack(lambda column: column.perp.high),
            low=stack(lambda column: column.perp.low),
            close=stack(lambda column: column.perp.close),
            volume=stack(lambda column: column.perp.volume),
        ),
        mark_high=stack(lambda column: column.mark_high),
        funding_settled=stack(lambda column: column.settled),
        funding_mark=stack(lambda column: column.settlement_mark),
        funding_last=stack(lambda column: column.last),
        funding_interval_h=stack(lambda column: column.interval_h),
        daily=daily_series(lake, ts_ms, notes),
        suspects=tuple(suspect for column in columns for suspect in column.suspects),
        notes=tuple(notes.lines),
        synthetic=lake.synthetic,
        events=event_clock(lake.read_key(EVENTS), ts_ms) if EVENTS in lake.datasets() else {},
        hourly=hourly_series(lake, names[0], sources[0].symbols(), reference_bars(symbol), ts_ms),
    )


@dataclass(frozen=True)
class _Source:
    """Where the tables of one venue are."""

    lake: Lake
    venue: str
    symbol: str

    def find(self, table: str) -> list[DatasetKey]:
        """Datasets of the venue about the same base asset, the wanted symbol first."""
        wanted = self.symbol.upper()
        keys = [
            key
            for key in self.lake.datasets()
            if key.table == table
            and key.venue == self.venue
            and base_asset(key.symbol) == base_asset(wanted)
        ]
        return sorted(keys, key=lambda key: (key.symbol != wanted, key))

    def symbols(self) -> set[str]:
        """Spellings under which the lake holds the market at this venue."""
        return {key.symbol for table in SPECS for key in self.find(table)}

    def bars(self, table: str) -> pl.DataFrame:
        """Hourly bars; refuses when the venue has none."""
        keys = [key for key in self.find(table) if key.interval == _BAR]
        chosen = keys[0].symbol if keys else self.symbol.upper()
        return self.lake.read(table, venue=self.venue, symbol=chosen, interval=_BAR)


def _bound(name: str, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise FixConfig(name, moment.isoformat(), "a moment with a zone", "append +00:00 for UTC")
    return to_ms(moment)


def _clock(perps: list[pl.DataFrame], start: datetime | None, end: datetime | None) -> Millis:
    """Consecutive hours from the first perpetual bar close of any venue to the last."""
    closes = [perp["known_at"].dt.epoch("ms") for perp in perps]
    first = min(int(stamps[0]) for stamps in closes)
    last = max(int(stamps[-1]) for stamps in closes)
    low, high = _bound("start", start), _bound("end", end)
    if low is not None and high is not None and low >= high:
        raise FixConfig(
            "start", stamp(low), f"a moment before end = {stamp(high)}", "swap or mend the two"
        )
    # Ticks are whole hours: the first not before the start, the last not after the end.
    begin = max(first, -(-low // HOUR_MS) * HOUR_MS) if low is not None else first
    finish = min(last, high // HOUR_MS * HOUR_MS) if high is not None else last
    if begin > finish:
        asked = f"{stamp(low) if low else 'the beginning'} to {stamp(high) if high else 'the end'}"
        raise NotEnoughData(
            f"no perpetual bars from {asked}: the lake has them from {stamp(first)} to "
            f"{stamp(last)}. Next: choose a span inside that, or import more."
        )
    return np.arange(begin, finish + HOUR_MS, HOUR_MS, dtype=np.int64)


def _at_ticks(stamps: Millis, ts_ms: Millis) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows whose stamp is a tick, and those ticks."""
    position = np.asarray((stamps - ts_ms[0]) // HOUR_MS)
    rows = np.flatnonzero((position >= 0) & (position < len(ts_ms)))
    return rows, position[rows]


def place_bars(bars: pl.DataFrame, ts_ms: Millis) -> Bars:
    """Bars at the tick they became known; NaN elsewhere.

    Parameters
    ----------
    bars : DataFrame (N, ...)
        A stored bar table; mark bars have no volume, which stays NaN.
    ts_ms : int64 (T,)
        Consecutive hours.

    Returns
    -------
    Bars
        Arrays of shape (T,).
    """
    rows, ticks = _at_ticks(bars["known_at"].dt.epoch("ms").to_numpy(), ts_ms)

    def column(name: str) -> Floats:
        out = np.full(len(ts_ms), np.nan)
        if name in bars.columns:
            out[ticks] = bars[name].to_numpy()[rows]
        return out

    return Bars(*(column(name) for name in ("open", "high", "low", "close", "volume")))


@dataclass(frozen=True)
class _VenueColumns:
    """One venue's share of the timeline, every array (T,)."""

    perp: Bars
    mark_high: Floats
    settled: Floats
    settlement_mark: Floats
    last: Floats
    interval_h: Floats
    suspects: list[Suspect]


def _venue_columns(
    source: _Source, table: pl.DataFrame, spot: Bars, clock: Millis, notes: Notes
) -> _VenueColumns:
    """One venue on the clock; ``spot`` and ``clock`` have the extra tick in front."""
    ts_ms = clock[1:]
    with_first = place_bars(table, clock)
    raw = _without_first(with_first)
    raw, strangers, left_out = without_strangers(
        f"{source.venue} {source.symbol}", raw, _without_first(spot), ts_ms
    )
    notes.lines += left_out
    notes.missing(f"{source.venue} perpetual bars", ts_ms, np.isnan(raw.close))
    mark_high = _mark_bound(with_first, spot)[1:]
    marked = np.zeros(len(ts_ms), dtype=np.bool_)
    if any(key.interval == _BAR for key in source.find("mark_bars")):
        published = place_bars(source.bars("mark_bars"), ts_ms).high
        marked = np.isfinite(published)
        mark_high = np.where(marked, published, mark_high)
    if not marked.all():
        notes.lines.append(
            f"{source.venue} mark price: {int(marked.sum())} of {len(ts_ms)} hours from mark bars; "
            "the rest is the perpetual high, at most the spot high raised by the basis"
        )
    mark_high = np.where(strangers & ~marked, np.nan, mark_high)
    doubted, suspects = suspect_extremes(source.venue, raw, _without_first(spot), ts_ms)
    high, low = (np.where(doubted, np.nan, values) for values in (raw.high, raw.low))
    perp = Bars(raw.open, high, low, raw.close, raw.volume)
    for suspect in suspects:
        notes.lines.append(
            f"{source.venue} perpetual {suspect.column} {suspect.value:g} of the bar that opened "
            f"{stamp(suspect.ts_ms - HOUR_MS)} lies more than {SUSPECT_SHARE:.0%} outside the spot "
            f"bar (bound {suspect.bound:g}): {suspect.treatment}"
        )
    settled, settlement_mark, last, interval_h = _funding(source, ts_ms, notes)
    return _VenueColumns(perp, mark_high, settled, settlement_mark, last, interval_h, suspects)


def _without_first(bars: Bars) -> Bars:
    return Bars(bars.open[1:], bars.high[1:], bars.low[1:], bars.close[1:], bars.volume[1:])


def _mark_bound(perp: Bars, spot: Bars) -> Floats:
    """Highest mark price a bar can have had, where the venue's own is not at hand.

    The mark is a median of two index-anchored prices and the last price: it cannot follow a wick
    that the index did not make. Without a spot bar there is no bound, and the prices that surely
    were marks within reach, open and close, stand in for the high.
    """
    basis = perp.close / spot.close - 1
    raised = np.fmax(0.0, np.fmax(basis, np.concatenate(([np.nan], basis[:-1]))))
    bounded = np.minimum(perp.high, spot.high * (1 + raised))
    return np.where(np.isnan(spot.high), np.maximum(perp.open, perp.close), bounded)


def _funding(source: _Source, ts_ms: Millis, notes: Notes) -> tuple[Floats, Floats, Floats, Floats]:
    """Settled rate, its mark, last known rate and its interval, each (T,)."""
    keys = source.find("funding")
    if not keys:
        wanted = DatasetKey("funding", source.venue, source.symbol.upper(), "of any interval")
        raise source.lake.absence(wanted)
    rows_of = {key: source.lake.rows(key) for key in keys if key.symbol == keys[0].symbol}
    chosen = max(rows_of, key=lambda key: rows_of[key])
    for other in rows_of.keys() - {chosen}:
        notes.lines.append(f"{other} is not used: {chosen} has more rows")
    table = source.lake.read(
        "funding", venue=chosen.venue, symbol=chosen.symbol, interval=chosen.interval
    )
    stamps = table["ts"].dt.epoch("ms").to_numpy()
    rate = table["funding_rate"].to_numpy()
    interval_h = table["interval_h"].to_numpy()

    # Rounded up to the hour it is paid at, a late stamp counting as on time.
    due = -(-(stamps - SETTLEMENT_JITTER_MS) // HOUR_MS) * HOUR_MS
    rows, ticks = _at_ticks(due, ts_ms)
    cash = np.zeros(len(ts_ms))
    np.add.at(cash, ticks, rate[rows])
    settled = np.full(len(ts_ms), np.nan)
    settled[ticks] = cash[ticks]
    settlement_mark = np.full(len(ts_ms), np.nan)
    settlement_mark[ticks] = table["mark_price"].to_numpy()[rows]

    known = table["known_at"].dt.epoch("ms").to_numpy()
    found = np.searchsorted(known, ts_ms, side="right") - 1
    fresh = (found >= 0) & (ts_ms - known[found] <= FUNDING_STALE_MS)
    last = np.where(fresh, rate[found], np.nan)
    _note_settlements(source.venue, stamps, ts_ms, notes)
    return settled, settlement_mark, last, np.where(fresh, interval_h[found], np.nan)


def _note_settlements(venue: str, stamps: Millis, ts_ms: Millis, notes: Notes) -> None:
    if stamps[0] > ts_ms[0] + DAY_MS or stamps[-1] < ts_ms[-1] - DAY_MS:
        notes.lines.append(
            f"{venue} funding covers {stamp(int(stamps[0]))} to {stamp(int(stamps[-1]))} only; "
            "outside it nothing is settled"
        )
    for after, missing in settlement_gaps(stamps):
        if ts_ms[0] < stamps[after] and stamps[after - 1] < ts_ms[-1]:
            notes.lines.append(
                f"{venue} funding: {missing} missing between "
                f"{stamp(int(stamps[after - 1]))} and {stamp(int(stamps[after]))}, paid as nothing"
            )
