"""What a local venue shows of a symbol besides its book: last quote, mark and trades, and ids."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.feed import BookTicker, Depth, MarkPrice, Trade

#: Trades a board remembers.
MOST_TRADES = 1000


@dataclass
class Board:
    """The present of a symbol as the venue shows it.

    Attributes
    ----------
    last_id : int
        Of the newest change of the book; the stream's own, so that a gap can be made.
    """

    last_id: int = 1_000_000
    quote: BookTicker | None = None
    mark: MarkPrice | None = None
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=MOST_TRADES))

    def change(self, event: Depth) -> tuple[int, int, int]:
        """First, last and previous id of a change of the book; at least two ids long."""
        previous = self.last_id
        self.last_id += max(2, len(event.bids) + len(event.asks))
        return previous + 1, self.last_id, previous

    def quoted(self) -> BookTicker:
        """Last quote."""
        if self.quote is None:
            raise not_open()
        return self.quote

    def marked(self) -> MarkPrice:
        """Last mark price."""
        if self.mark is None:
            raise not_open()
        return self.mark

    def last_price(self) -> int:
        """Ticks of the last trade or, before the first, of the best bid."""
        return self.trades[-1].price if self.trades else self.quoted().bid

    def last_size(self) -> int:
        """Steps of the last trade; 0 before the first."""
        return self.trades[-1].size if self.trades else 0

    def newest(self, most: int) -> list[Trade]:
        """Newest trades, oldest first."""
        return list(islice(self.trades, max(0, len(self.trades) - most), None))


def not_open() -> Denied:
    """The reply before the market's first event."""
    return Denied(-1001, "The market has not begun yet; ask again.", status=503)
