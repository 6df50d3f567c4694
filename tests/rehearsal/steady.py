"""A venue on a steady market for tests: 2999.99 / 3000.01, ten levels a side, a trade now and then.

The clock runs at the wall's speed and the market begins now, as clients of a live venue expect.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.binance_limits import Limits
from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.binance_venue import Venue
from counterpoise.rehearsal.clock import MarketClock
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import BookTicker, Depth, MarketEvent, MarkPrice, Trade
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.history import History
from counterpoise.units import HOUR_MS
from counterpoise.venues.contract import contract_at

KEY = ApiKey("test-key", "test-secret")
SYMBOL = "ETHUSDT"
BID, ASK = 299_999, 300_001
STEP_MS = 100


class Steady:
    """The market; ``first_ms`` is its first moment."""

    def __init__(self, first_ms: int) -> None:
        self.first_ms = first_ms

    def __iter__(self) -> Iterator[MarketEvent]:
        last_id = 1000
        for n in count():
            now = self.first_ms + n * STEP_MS
            size = 5000 + n % 7
            if n % 2 == 0:
                mark, funding = Decimal("3000.10"), now // (8 * HOUR_MS) * 8 * HOUR_MS + 8 * HOUR_MS
                yield MarkPrice(now, SYMBOL, mark, Decimal(3000), Decimal("0.0001"), funding)
            bids = tuple((BID - k, size + k) for k in range(10 if n == 0 else 2))
            asks = tuple((ASK + k, size + k) for k in range(10 if n == 0 else 2))
            previous, last_id = last_id, last_id + 5
            yield Depth(now, SYMBOL, previous + 1, last_id, previous, bids, asks, fresh=n == 0)
            yield BookTicker(now, SYMBOL, last_id, BID, size, ASK, size)
            if n % 3 == 2:
                buys = n % 2 == 0
                yield Trade(now, SYMBOL, n, ASK if buys else BID, 100, "BUY" if buys else "SELL")


def venue(
    *,
    keys: tuple[ApiKey, ...] = (KEY,),
    limits: Limits | None = None,
    history: History | None = None,
    now_ms: int | None = None,
    admin: bool = False,
) -> Venue:
    """A venue that is not started; its market begins a moment ago."""
    begin = round(time.time() * 1000) if now_ms is None else now_ms
    contract = contract_at("binance", begin)
    return Venue(
        Exchange([rules_of(contract)], Decimal(10_000), Decimal(5_000)),
        Steady(begin - 1),
        MarketClock(begin, time.time(), 1.0),
        contract,
        keys,
        history or History({}),
        limits=limits,
        admin=admin,
    )


def month() -> History:
    """A generated month of history, all of it past."""
    tables = generate(3, datetime(2024, 1, 1, tzinfo=UTC), 31, with_gaps=False)
    wanted = ("spot_bars", "perp_bars", "mark_bars", "funding")
    return History({key: table for key, table in tables.items() if key.table in wanted})


async def ready(venue: Venue) -> None:
    """Wait for the first trade of a venue that was started."""
    while not venue.boards[SYMBOL].trades:
        await asyncio.sleep(0.01)
