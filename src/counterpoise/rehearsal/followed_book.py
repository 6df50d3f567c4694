"""Binance's stream messages of one symbol as events of ``feed``, and the rules of a followed book.

No I/O: who listens hands in what came, and fetches a snapshot when ``needs_snapshot`` says so.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from counterpoise.errors import RejectData
from counterpoise.rehearsal.feed import BookTicker, Depth, Level, MarkPrice, Trade
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import Refused

Message = Mapping[str, Any]
#: What a message that is not as it should be raises while it is read.
_WRONG = (KeyError, ValueError, TypeError, InvalidOperation, Refused)


class FollowedBook:
    """A book that is followed by differences from a snapshot on.

    Parameters
    ----------
    rules : SymbolRules
        Prices and sizes must lie on its grid.

    Attributes
    ----------
    needs_snapshot : bool
        Nothing is known yet, or a difference is missing.

    Raises
    ------
    RejectData
        Every method that reads a message: it is none, or a price or size is off the grid.
    """

    def __init__(self, rules: SymbolRules) -> None:
        self.needs_snapshot = True
        self._rules = rules
        self._last_id = 0
        self._continues = False
        self._quote: BookTicker | None = None
        self._bids: set[int] = set()
        self._asks: set[int] = set()

    def snapshot(self, body: Message, now_ms: int) -> Depth:
        """A whole book, as the REST call tells it; levels that are gone have size 0."""
        try:
            last_id = int(body["lastUpdateId"])
            bids, asks = self._levels(body["bids"]), self._levels(body["asks"])
            ts_ms = int(body.get("T", now_ms))
        except _WRONG as wrong:
            raise self._reject("a snapshot", body, wrong) from None
        self.needs_snapshot, self._continues, self._last_id = False, False, last_id
        return self._replaced(ts_ms, last_id, bids, asks)

    def forgotten(self, now_ms: int) -> Depth:
        """The book when nobody tells it any more: nothing stands in it."""
        self.needs_snapshot, self._quote = True, None
        return self._replaced(now_ms, self._last_id, (), ())

    def difference(self, body: Message) -> list[Depth | BookTicker]:
        """Changed levels; nothing where the snapshot has them already, or where one is missing.

        A best quote that is newer than the difference stays in force.
        """
        try:
            first, last, before = int(body["U"]), int(body["u"]), int(body["pu"])
            bids, asks = self._levels(body["b"]), self._levels(body["a"])
            depth = Depth(int(body["T"]), self._rules.symbol, first, last, before, bids, asks)
        except _WRONG as wrong:
            raise self._reject("a difference", body, wrong) from None
        if self.needs_snapshot or last < self._last_id:
            return []
        overlaps = not self._continues and first <= self._last_id
        if before != self._last_id and not overlaps:
            self.needs_snapshot = True
            return []
        self._continues, self._last_id = True, last
        for shown, levels in ((self._bids, bids), (self._asks, asks)):
            shown.difference_update(price for price, size in levels if not size)
            shown.update(price for price, size in levels if size)
        if self._quote is not None and self._quote.update_id > last:
            return [depth, self._quote._replace(ts_ms=depth.ts_ms)]
        return [depth]

    def quote(self, body: Message) -> BookTicker | None:
        """The best quote; None where the book is not known or newer."""
        try:
            told = BookTicker(
                int(body["T"]),
                self._rules.symbol,
                int(body["u"]),
                self._ticks(body["b"]),
                self._steps(body["B"]),
                self._ticks(body["a"]),
                self._steps(body["A"]),
            )
        except _WRONG as wrong:
            raise self._reject("a best quote", body, wrong) from None
        if self.needs_snapshot or told.update_id < self._last_id:
            return None
        self._quote = told
        return told

    def trade(self, body: Message) -> Trade | None:
        """A public trade; None where it did not go through the book."""
        try:
            if body["X"] != "MARKET":
                return None
            return Trade(
                int(body["T"]),
                self._rules.symbol,
                int(body["t"]),
                self._ticks(body["p"]),
                self._steps(body["q"]),
                "SELL" if body["m"] else "BUY",
            )
        except _WRONG as wrong:
            raise self._reject("a trade", body, wrong) from None

    def mark(self, body: Message) -> MarkPrice:
        """A mark with the running funding rate, of the stream or of ``premiumIndex``."""
        try:
            if "e" in body:
                ts_ms, names, next_ms = body["E"], ("p", "i", "r"), body["T"]
            else:
                ts_ms, next_ms = body["time"], body["nextFundingTime"]
                names = ("markPrice", "indexPrice", "lastFundingRate")
            mark, index, rate = (Decimal(body[name]) for name in names)
            return MarkPrice(int(ts_ms), self._rules.symbol, mark, index, rate, int(next_ms))
        except _WRONG as wrong:
            raise self._reject("a mark", body, wrong) from None

    def _replaced(
        self, ts_ms: int, last_id: int, bids: tuple[Level, ...], asks: tuple[Level, ...]
    ) -> Depth:
        new_bids, new_asks = {price for price, _ in bids}, {price for price, _ in asks}
        gone_bids = tuple((price, 0) for price in sorted(self._bids - new_bids))
        gone_asks = tuple((price, 0) for price in sorted(self._asks - new_asks))
        self._bids, self._asks = new_bids, new_asks
        return Depth(
            ts_ms,
            self._rules.symbol,
            last_id,
            last_id,
            last_id,
            gone_bids + bids,
            gone_asks + asks,
            fresh=True,
        )

    def _levels(self, rows: list[list[str]]) -> tuple[Level, ...]:
        return tuple((self._ticks(price), self._steps(size)) for price, size in rows)

    def _ticks(self, price: str) -> int:
        return self._rules.ticks(Decimal(price))

    def _steps(self, size: str) -> int:
        return self._rules.steps(Decimal(size))

    def _reject(self, kind: str, body: Message, wrong: Exception) -> RejectData:
        return RejectData(
            f"the live market of {self._rules.symbol}",
            kind,
            str(body)[:120],
            f"{kind} on the grid of the contract ({wrong})",
            "compare the venue's tick and step with the contract, then run the same command again",
        )
