"""A recorded market: websocket bytes of Binance USD-M as a replay, parsed once.

One message a line, ``receive_time_ns message``, gzipped: depth differences, best quotes, trades and
one REST snapshot of the book. Everything is put on the venue's clock (``T``), which is not the
clock of the receiver; where two things happened in the same millisecond trades come first, because
the book that follows already shows them, then books by update id.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from counterpoise.errors import FixConfig, RejectData
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
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.units import HOUR_MS

FUNDING_MS = 8 * HOUR_MS
MARK_EVERY_MS = 1000


@dataclass(frozen=True)
class Recording:
    """A parsed recording; iterate over it as often as wanted.

    Attributes
    ----------
    symbol : str
    events : tuple of MarketEvent
        From the snapshot of the book on, in the order of their time; a mark first.
    before : int
        Messages before the snapshot, which no book can be built from.
    """

    symbol: str
    events: tuple[MarketEvent, ...]
    before: int

    def __iter__(self) -> Iterator[MarketEvent]:
        return iter(self.events)

    @property
    def first_ms(self) -> int:
        """Time of the first event, ms UTC."""
        return self.events[0].ts_ms

    @property
    def last_ms(self) -> int:
        """Time of the last event, ms UTC."""
        return self.events[-1].ts_ms


def read_recording(
    file: Path, rules: SymbolRules, funding_rate: Decimal = Decimal("0.0001")
) -> Recording:
    """Parse a recording.

    Parameters
    ----------
    file : Path
    rules : SymbolRules
        Of the symbol that was recorded; prices and sizes must lie on its grid.
    funding_rate : Decimal
        Fraction per 8 h. A recording has no marks: from its first event on, once a second, mark
        and index are the middle of the best quotes, with this running rate, which is settled at 00,
        08 and 16 h UTC.

    Raises
    ------
    FixConfig
        No such file.
    RejectData
        A line that is no message, no snapshot, a gap in the update ids, a price off the grid.
    """
    reader = _Reader(file, rules)
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                reader.take(number, line)
    except FileNotFoundError:
        raise FixConfig("recording", str(file), "a file", "name an existing recording") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as damage:
        raise reader.reject("file", str(damage), "a whole gzip file") from None
    return reader.recording(funding_rate)


class _Reader:
    """Lines in, a recording out."""

    def __init__(self, file: Path, rules: SymbolRules) -> None:
        self.file = file
        self.rules = rules
        self.price_digits = _digits(rules.tick)
        self.size_digits = _digits(rules.step)
        self.line = 0
        self.snapshot: Depth | None = None
        self.depths: list[tuple[int, Depth]] = []
        self.others: list[tuple[int, int, int, MarketEvent]] = []

    def reject(self, place: str, value: object, expected: str) -> RejectData:
        return RejectData(str(self.file), place, value, expected, "record it again")

    def take(self, number: int, line: str) -> None:
        self.line = number
        try:
            message = json.loads(line.partition(" ")[2])
            body = message.get("data", message)
            if body.get("s", self.rules.symbol) != self.rules.symbol:
                raise self.reject(f"line {number}", body["s"], self.rules.symbol)
            self._take(body)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self.reject(
                f"line {number}", line[:80], "a receive time and a depth, quote or trade message"
            ) from None

    def _take(self, body: dict[str, Any]) -> None:
        kind, ts_ms, symbol = body.get("e"), body["T"], self.rules.symbol
        if kind == "bookTicker":
            ticker = BookTicker(
                ts_ms,
                symbol,
                body["u"],
                self._ticks(body["b"]),
                self._steps(body["B"]),
                self._ticks(body["a"]),
                self._steps(body["A"]),
            )
            self.others.append((ts_ms, 1, ticker.update_id, ticker))
        elif kind == "depthUpdate":
            bids, asks = self._levels(body["b"]), self._levels(body["a"])
            depth = Depth(ts_ms, symbol, body["U"], body["u"], body["pu"], bids, asks)
            self.depths.append((self.line, depth))
        elif kind == "trade":
            # Only MARKET ones went through the book; others are transfers to the insurance fund.
            if body["X"] == "MARKET":
                price, size = self._ticks(body["p"]), self._steps(body["q"])
                taker: Side = "SELL" if body["m"] else "BUY"
                trade = Trade(ts_ms, symbol, body["t"], price, size, taker)
                self.others.append((ts_ms, 0, trade.trade_id, trade))
        elif "lastUpdateId" in body:
            if self.snapshot is not None:
                raise self.reject(f"line {self.line}", "a second snapshot", "one snapshot")
            last = body["lastUpdateId"]
            bids, asks = self._levels(body["bids"]), self._levels(body["asks"])
            self.snapshot = Depth(ts_ms, symbol, last, last, last, bids, asks, fresh=True)
        else:
            raise KeyError(kind)

    def _levels(self, rows: list[list[str]]) -> tuple[Level, ...]:
        return tuple([(self._ticks(price), self._steps(size)) for price, size in rows])

    def _ticks(self, text: str) -> int:
        return self._scaled(text, self.price_digits)

    def _steps(self, text: str) -> int:
        return self._scaled(text, self.size_digits)

    def _scaled(self, text: str, digits: int) -> int:
        """A decimal text as a whole number of 10 to the minus ``digits``."""
        whole, _, fraction = text.partition(".")
        if len(fraction) == digits:
            return int(whole + fraction)
        kept = fraction.rstrip("0")
        if len(kept) > digits:
            raise self.reject(f"line {self.line}", text, f"at most {digits} decimals")
        return int(whole + kept.ljust(digits, "0"))

    def recording(self, funding_rate: Decimal) -> Recording:
        snapshot = self.snapshot
        if snapshot is None:
            raise self.reject("file", "no snapshot of the book", "one REST snapshot")
        synced = self._synced(snapshot)
        rows = [
            row
            for row in self.others
            if row[0] >= snapshot.ts_ms and (row[1] == 0 or row[2] > snapshot.last_id)
        ]
        before = len(self.others) - len(rows) + len(self.depths) - len(synced)
        rows += [(depth.ts_ms, 1, depth.last_id, depth) for depth in synced]
        rows.sort(key=lambda row: row[:3])
        if not rows:
            raise self.reject("file", "nothing after the snapshot", "messages after the snapshot")
        events = [snapshot, *(row[3] for row in rows)]
        marked = _with_marks(events, self.rules, funding_rate)
        return Recording(self.rules.symbol, tuple(marked), before)

    def _synced(self, snapshot: Depth) -> list[Depth]:
        """Differences that follow the snapshot without a gap, by the venue's own rules."""
        synced: list[Depth] = []
        for line, depth in self.depths:
            if depth.last_id < snapshot.last_id:
                continue
            if not synced and not depth.first_id <= snapshot.last_id:
                found = f"update ids {depth.first_id} to {depth.last_id}"
                raise self.reject(f"line {line}", found, f"to contain {snapshot.last_id}")
            if synced and depth.previous_id != synced[-1].last_id:
                expected = f"{synced[-1].last_id}: an update is missing"
                raise self.reject(f"line {line}, pu", depth.previous_id, expected)
            synced.append(depth)
        return synced


def _digits(unit: Decimal) -> int:
    exponent = unit.normalize().as_tuple().exponent
    return -int(exponent)


def _with_marks(
    events: list[MarketEvent], rules: SymbolRules, rate: Decimal
) -> Iterator[MarketEvent]:
    """The events with a mark every second and the settlements that are due."""
    bid, ask = 0, 0
    due_ms = 0
    next_funding_ms = (events[0].ts_ms // FUNDING_MS + 1) * FUNDING_MS
    for event in events:
        if due_ms and event.ts_ms >= due_ms:
            middle = rules.price(bid + ask) / 2
            if event.ts_ms >= next_funding_ms:
                yield Settlement(next_funding_ms, rules.symbol, rate, middle)
                next_funding_ms += FUNDING_MS
            due_ms = event.ts_ms // MARK_EVERY_MS * MARK_EVERY_MS
            yield MarkPrice(due_ms, rules.symbol, middle, middle, rate, next_funding_ms)
            due_ms += MARK_EVERY_MS
        if isinstance(event, BookTicker):
            bid, ask = event.bid, event.ask
        elif isinstance(event, Depth) and event.fresh:
            bid, ask = max(event.bids)[0], min(event.asks)[0]
            middle = rules.price(bid + ask) / 2
            yield MarkPrice(event.ts_ms, rules.symbol, middle, middle, rate, next_funding_ms)
            due_ms = (event.ts_ms // MARK_EVERY_MS + 1) * MARK_EVERY_MS
        yield event
