"""Our orders against a replayed book, price and time first, no liquidity used twice.

The replay does not react to us. What we took of a level is missing from it until the level shrinks
below that or is quoted anew; a resting order of ours stands behind what was displayed when it came.
One rule serves both: a level that shrinks loses its end first, which is what we did not take and
what stands behind us. So nobody's cancel moves us forward while it can have come from behind us.
docs/venue.md has it in full.
"""

from heapq import heappop, heappush
from typing import NamedTuple

from counterpoise.rehearsal.feed import BookTicker, Depth, Level, Side, Trade

#: Steps ahead of an order whose place in the queue is not known: the end of it.
UNKNOWN = 1 << 62


class Levels:
    """One side of the replayed book.

    ``sign`` is +1 of asks and -1 of bids: ``sign · price`` rises away from the best price.
    """

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.size: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self._best: list[int] = []

    def put(self, price: int, size: int) -> None:
        """Display so many steps at a price, 0 for none."""
        if size == 0:
            self.size.pop(price, None)
            if self.taken:
                self.taken.pop(price, None)
            return
        if price not in self.size:
            heappush(self._best, self.sign * price)
        self.size[price] = size
        if self.taken and self.taken.get(price, 0) > size:
            self.taken[price] = size

    def cut(self, price: int) -> None:
        """Nothing stands before this price any more."""
        edge = self.sign * price
        while self._best and self._best[0] < edge:
            gone = self.sign * heappop(self._best)
            self.size.pop(gone, None)
            self.taken.pop(gone, None)

    def clear(self) -> None:
        """Forget every level."""
        self.size.clear()
        self.taken.clear()
        self._best.clear()

    def displayed(self) -> int | None:
        """Best price the replay displays."""
        while self._best:
            price = self.sign * self._best[0]
            if price in self.size:
                return price
            heappop(self._best)
        return None

    def left(self, price: int) -> int:
        """Steps at a price that we have not taken."""
        return self.size.get(price, 0) - self.taken.get(price, 0)

    def best(self) -> int | None:
        """Best price at which something is left."""
        price = self.displayed()
        if price is None or self.left(price) > 0:
            return price
        return next((level for level, _ in self.ordered()), None)

    def ordered(self) -> list[Level]:
        """What is left, best price first."""
        prices = sorted(self.size, reverse=self.sign < 0)
        return [(price, left) for price in prices if (left := self.left(price)) > 0]

    def walk(self, limit: int | None, steps: int) -> list[Level]:
        """Levels an order of so many steps would take, up to a limit price; takes nothing."""
        walked = []
        for price, left in self.ordered():
            if steps == 0 or (limit is not None and self.sign * (price - limit) > 0):
                break
            size = min(left, steps)
            walked.append((price, size))
            steps -= size
        return walked

    def take(self, price: int, steps: int) -> None:
        """Mark as taken by us."""
        self.taken[price] = self.taken.get(price, 0) + steps


class Resting:
    """An order of ours in the book; ``ahead`` counts the steps of others that come before it."""

    __slots__ = ("ahead", "order_id", "price", "side", "steps")

    def __init__(self, order_id: int, side: Side, price: int, steps: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price = price
        self.steps = steps
        self.ahead = 0


class Match(NamedTuple):
    """So many steps of a resting order fill at its price."""

    resting: Resting
    steps: int


class Book:
    """The replayed book of one symbol, and our orders resting in it until they are removed."""

    def __init__(self) -> None:
        self.bids = Levels(-1)
        self.asks = Levels(+1)
        self.last_id = 0
        self.resting: dict[Side, list[Resting]] = {"BUY": [], "SELL": []}

    def opposite(self, side: Side) -> Levels:
        """Levels an order of that side takes from."""
        return self.asks if side == "BUY" else self.bids

    def own(self, side: Side) -> Levels:
        """Levels an order of that side rests among."""
        return self.bids if side == "BUY" else self.asks

    def crosses(self, side: Side, price: int) -> bool:
        """An order at this price would take."""
        levels = self.opposite(side)
        displayed = levels.displayed()
        if displayed is None or levels.sign * (price - displayed) < 0:
            return False
        return bool(levels.walk(price, 1))

    def own_crossed(self, side: Side, price: int) -> list[Resting]:
        """Our own resting orders that an order at this price would meet."""
        levels, others = self.opposite(side), self.resting["SELL" if side == "BUY" else "BUY"]
        return [resting for resting in others if levels.sign * (price - resting.price) >= 0]

    def add(self, resting: Resting) -> None:
        """Join the end of the queue at the order's price."""
        levels, queue = self.own(resting.side), self.resting[resting.side]
        resting.ahead = levels.size.get(resting.price, 0)
        place = len(queue)
        while place > 0 and levels.sign * (resting.price - queue[place - 1].price) < 0:
            place -= 1
        queue.insert(place, resting)

    def remove(self, resting: Resting) -> None:
        """Leave the queue."""
        self.resting[resting.side].remove(resting)

    def depth(self, event: Depth) -> list[Match]:
        """Take in changed levels; fills of ours that the other side now crosses."""
        if event.fresh:
            self.bids.clear()
            self.asks.clear()
        put = self.bids.put
        for price, size in event.bids:
            put(price, size)
        put = self.asks.put
        for price, size in event.asks:
            put(price, size)
        self.last_id = event.last_id
        return self._settle()

    def ticker(self, event: BookTicker) -> list[Match]:
        """Take in the best levels; fills of ours that the other side now crosses."""
        self.bids.cut(event.bid)
        self.bids.put(event.bid, event.bid_size)
        self.asks.cut(event.ask)
        self.asks.put(event.ask, event.ask_size)
        return self._settle()

    def _settle(self) -> list[Match]:
        """After a change of the book: shorter queues, and crossed orders in price-time order."""
        matches: list[Match] = []
        for resting in (*self.resting["BUY"], *self.resting["SELL"]):
            displayed = self.own(resting.side).size.get(resting.price, 0)
            resting.ahead = min(resting.ahead, displayed)
            if not self.crosses(resting.side, resting.price):
                continue
            levels = self.opposite(resting.side)
            for price, steps in levels.walk(resting.price, resting.steps):
                levels.take(price, steps)
                resting.steps -= steps
                matches.append(Match(resting, steps))
        return matches

    def trade(self, event: Trade) -> list[Match]:
        """Fills of ours from a public trade: its volume first serves the queue ahead of us."""
        matches: list[Match] = []
        left, passed = event.size, 0
        sign = self.opposite(event.taker).sign
        for resting in self.resting["SELL" if event.taker == "BUY" else "BUY"]:
            away = sign * (event.price - resting.price)
            if away < 0:
                break
            if away > 0:
                resting.ahead = 0
            else:
                others = min(left, resting.ahead - passed)
                passed += others
                left -= others
                resting.ahead -= passed
            steps = min(left, resting.steps)
            if steps > 0:
                left -= steps
                resting.steps -= steps
                matches.append(Match(resting, steps))
        return matches
