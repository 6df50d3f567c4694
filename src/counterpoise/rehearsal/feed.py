"""What happens on a market: the events a replay yields and the exchange takes in.

Prices are whole ticks and sizes whole steps of the symbol (``filters.SymbolRules`` turns them into
decimals), so nothing between a recording and a fill is a binary float. Times are ms UTC of the
market's clock.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

#: (price in ticks, size in steps); size 0 removes the level.
Level = tuple[int, int]
Side = Literal["BUY", "SELL"]


class Depth(NamedTuple):
    """Changed levels of the book, the way a depth stream tells them.

    Attributes
    ----------
    ts_ms : int
    symbol : str
    first_id, last_id, previous_id : int
        Update ids: ``U``, ``u`` and ``pu`` of the wire.
    bids, asks : tuple of Level
    fresh : bool
        True where every standing level is a new one (a first snapshot, makers that quote anew):
        what we took of the old ones is forgotten. Levels that are gone are listed with size 0.
    """

    ts_ms: int
    symbol: str
    first_id: int
    last_id: int
    previous_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    fresh: bool = False


class BookTicker(NamedTuple):
    """Best bid and ask with their sizes, as of ``update_id``."""

    ts_ms: int
    symbol: str
    update_id: int
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Trade(NamedTuple):
    """A public trade; ``taker`` is the side that took."""

    ts_ms: int
    symbol: str
    trade_id: int
    price: int
    size: int
    taker: Side


class MarkPrice(NamedTuple):
    """Mark and index price (USD), running funding rate (fraction per interval) and its end."""

    ts_ms: int
    symbol: str
    mark: Decimal
    index_price: Decimal
    rate: Decimal
    next_funding_ms: int


class Settlement(NamedTuple):
    """Funding that is paid now: ``rate`` of the position's value at ``mark``, longs to shorts."""

    ts_ms: int
    symbol: str
    rate: Decimal
    mark: Decimal


MarketEvent = Depth | BookTicker | Trade | MarkPrice | Settlement


class Market(Protocol):
    """A market that can be replayed: every iteration starts again at the beginning."""

    def __iter__(self) -> Iterator[MarketEvent]:
        """Events in the order of their time."""
        ...
