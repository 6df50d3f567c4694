"""Matching against a slow oracle, and the promises it makes by hand."""

import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.rehearsal.feed import BookTicker, Depth, Trade
from counterpoise.rehearsal.matching import Book, Match, Resting
from tests.rehearsal.token_book import PRICES, TokenBook


def a_day(seed: int, actions: int) -> Iterator[tuple]:
    """Random actions around a middle, so that queues, trades and crossings meet."""
    rng = random.Random(seed)
    side = "BUY"

    def price() -> int:
        return rng.choice(PRICES)

    def rows() -> list[tuple[int, int]]:
        return [(p, rng.randint(0, 6)) for p in rng.sample(PRICES, rng.randint(0, 3))]

    for _ in range(actions):
        side = rng.choice(["BUY", "SELL"])
        yield rng.choice(
            [
                ("depth", rows(), rows(), rng.random() < 0.1),
                ("ticker", price(), rng.randint(1, 6), rng.randint(1, 3), rng.randint(1, 6)),
                ("trade", price(), rng.randint(1, 9), side),
                ("trade", price(), rng.randint(1, 9), side),
                ("enter", price(), rng.randint(1, 9), side),
                ("enter", price(), rng.randint(1, 9), side),
                ("leave", rng.randint(0, 6)),
            ]
        )


class Pair:
    """The book and the oracle, told the same."""

    def __init__(self) -> None:
        self.book, self.oracle = Book(), TokenBook()
        self.filled: dict[int, int] = {}

    def fills(self, matches: list[Match]) -> None:
        for resting, steps in matches:
            self.filled[resting.order_id] = self.filled.get(resting.order_id, 0) + steps
            if resting.steps == 0 and resting in self.book.resting[resting.side]:
                self.book.remove(resting)

    def depth(self, bids, asks, fresh) -> None:
        if fresh:
            self.oracle.fresh()
            bids = [(p, dict(bids).get(p, 0)) for p in PRICES]
            asks = [(p, dict(asks).get(p, 0)) for p in PRICES]
        for price, size in bids:
            self.oracle.show("BUY", price, size)
        for price, size in asks:
            self.oracle.show("SELL", price, size)
        self.oracle.settle()
        self.fills(self.book.depth(Depth(0, "X", 1, 1, 0, tuple(bids), tuple(asks), fresh)))

    def ticker(self, bid, bid_size, spread, ask_size) -> None:
        ask = min(bid + spread, PRICES[-1])
        if ask > bid:
            self.oracle.ticker(bid, bid_size, ask, ask_size)
            self.oracle.settle()
            self.fills(self.book.ticker(BookTicker(0, "X", 1, bid, bid_size, ask, ask_size)))

    def trade(self, price, steps, taker) -> None:
        self.oracle.trade(price, steps, taker)
        self.fills(self.book.trade(Trade(0, "X", 1, price, steps, taker)))

    def enter(self, order_id, price, steps, side) -> None:
        """As the exchange does: take up to the limit, then rest."""
        levels = self.book.opposite(side)
        walked = levels.walk(price, steps)
        for level, size in walked:
            levels.take(level, size)
        got = sum(size for _, size in walked)
        assert got == self.oracle.take(side, price, steps)
        if got < steps:
            self.book.add(Resting(order_id, side, price, steps - got))
            self.oracle.join(side, price, order_id, steps - got)

    def leave(self, place) -> None:
        standing = [*self.book.resting["BUY"], *self.book.resting["SELL"]]
        if place < len(standing):
            gone = standing[place]
            self.book.remove(gone)
            self.oracle.leave(gone.side, gone.price, gone.order_id)


@settings(max_examples=150)
@given(st.integers(0, 2**40))
def test_fills_are_those_of_lists_of_tokens(seed) -> None:
    pair = Pair()
    for order_id, (action, *details) in enumerate(a_day(seed, 60), start=1):
        if action == "enter":
            pair.enter(order_id, *details)
        else:
            getattr(pair, action)(*details)
        assert pair.filled == pair.oracle.filled


def book_of(bids, asks) -> Book:
    book = Book()
    book.depth(Depth(0, "X", 1, 1, 0, tuple(bids), tuple(asks), fresh=True))
    return book


def test_one_trade_fills_orders_of_ours_in_price_time_order_and_only_once() -> None:
    book = book_of([(100, 5)], [(104, 4)])
    early, late = Resting(1, "SELL", 104, 2), Resting(2, "SELL", 104, 2)
    better = Resting(3, "SELL", 103, 1)
    for resting in (early, late, better):
        book.add(resting)
    assert book.trade(Trade(0, "X", 1, 104, 7, "BUY")) == [(better, 1), (early, 2)]
    assert late.ahead == 0
    assert book.trade(Trade(0, "X", 2, 104, 1, "BUY")) == [(late, 1)]


def test_a_cancel_behind_us_moves_nobody_forward() -> None:
    book = book_of([(100, 5)], [(104, 4)])
    mine = Resting(1, "BUY", 100, 1)
    book.add(mine)
    book.depth(Depth(1, "X", 2, 2, 1, ((100, 9),), ()))
    book.depth(Depth(2, "X", 3, 3, 2, ((100, 6),), ()))
    assert mine.ahead == 5
    book.depth(Depth(3, "X", 4, 4, 3, ((100, 2),), ()))
    assert mine.ahead == 2


def test_what_we_took_comes_back_only_where_the_level_shrank_below_it_or_is_quoted_anew() -> None:
    book = book_of([], [(104, 10)])
    book.asks.take(104, 8)
    for displayed, left in ((9, 1), (12, 4), (3, 0), (10, 7)):
        book.depth(Depth(1, "X", 2, 2, 1, (), ((104, displayed),)))
        assert book.asks.left(104) == left
    book.depth(Depth(2, "X", 3, 3, 2, (), ((104, 10),), fresh=True))
    assert book.asks.left(104) == 10


def test_an_order_of_the_other_side_does_not_stand_between_ours() -> None:
    book = book_of([(100, 5)], [(110, 4)])
    low, above, high = (
        Resting(1, "BUY", 95, 1),
        Resting(2, "SELL", 120, 1),
        Resting(3, "BUY", 96, 1),
    )
    for resting in (low, above, high):
        book.add(resting)
    assert book.trade(Trade(0, "X", 1, 94, 1, "SELL")) == [(high, 1)]
