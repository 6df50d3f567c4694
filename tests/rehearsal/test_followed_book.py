"""A book that is followed by differences is the venue's, or says that it is not known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import RejectData
from counterpoise.rehearsal.feed import BookTicker, Depth
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.followed_book import FollowedBook
from counterpoise.rehearsal.matching import Book
from counterpoise.venues import venues

RULES = rules_of(venues["binance"][-1])
PRICES = st.integers(0, 9)
CHANGES = st.lists(
    st.lists(st.tuples(PRICES, st.integers(0, 3)), min_size=1, max_size=3), min_size=2, max_size=25
)


def rows(levels: dict[int, int], base: int) -> list[list[str]]:
    return [[f"{(base + price) / 100:.2f}", f"{size / 1000:.3f}"] for price, size in levels.items()]


class TrueBook:
    """The venue's side: bids from 2000.00, asks from 3000.00, every change with its ids."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last_id = 100

    def change(self, changes: list[tuple[int, int]]) -> dict[str, object]:
        before, self.last_id = self.last_id, self.last_id + 2
        changed = dict(changes)
        for side in (self.bids, self.asks):
            side.update(changed)
            for price, size in changed.items():
                if not size:
                    side.pop(price)
        return {
            "e": "depthUpdate",
            "T": self.last_id,
            "U": before + 1,
            "u": self.last_id,
            "pu": before,
            "b": rows(changed, 200_000),
            "a": rows(changed, 300_000),
        }

    def snapshot(self) -> dict[str, object]:
        bids, asks = rows(self.bids, 200_000), rows(self.asks, 300_000)
        return {"lastUpdateId": self.last_id, "T": self.last_id, "bids": bids, "asks": asks}


@settings(max_examples=200, deadline=None)
@given(CHANGES, st.sets(st.integers(0, 24)), st.integers(0, 24), st.integers(0, 4))
def test_a_followed_book_is_the_venues_or_unknown(changes, lost, begin, late) -> None:
    """Messages get lost, the snapshot may be older than what is heard first, or newer."""
    true, book, followed = TrueBook(), Book(), FollowedBook(RULES)
    told: list[dict[str, object]] = []
    known = 0
    for number, change in enumerate(changes):
        message = true.change(change)
        if number >= begin and followed.needs_snapshot:
            # The snapshot is taken while up to ``late`` messages wait to be read.
            told.append(message)
            if len(told) > late:
                for event in (followed.snapshot(true.snapshot(), 0),):
                    book.depth(event)
                for waiting in told:
                    for event in followed.difference(waiting):
                        assert isinstance(event, Depth)
                        book.depth(event)
                told.clear()
        elif number >= begin and number not in lost:
            for event in followed.difference(message):
                assert isinstance(event, Depth)
                book.depth(event)
        else:
            # Never heard: the next one that is shows it.
            continue
        if not followed.needs_snapshot:
            known += 1
            shown = ({p - 200_000: s for p, s in book.bids.size.items()},
                     {p - 300_000: s for p, s in book.asks.size.items()})  # fmt: skip
            assert shown == (true.bids, true.asks)
    if len(changes) > begin + late + 1 and not lost:
        assert known


def test_a_gap_is_noticed_and_nothing_is_told_until_the_next_snapshot() -> None:
    true, followed = TrueBook(), FollowedBook(RULES)
    followed.snapshot(true.snapshot(), 0)
    assert followed.difference(true.change([(1, 1)]))
    true.change([(2, 2)])  # lost
    assert followed.difference(true.change([(3, 3)])) == []
    assert followed.needs_snapshot
    assert followed.quote(ticker(999)) is None
    whole = followed.snapshot(true.snapshot(), 0)
    assert whole.fresh
    assert dict(whole.bids) == {200_001: 1, 200_002: 2, 200_003: 3}


def ticker(update_id: int) -> dict[str, object]:
    body = {"e": "bookTicker", "T": 5, "u": update_id}
    return body | {"b": "2000.04", "B": "0.004", "a": "3000.00", "A": "0.005"}


def test_a_newer_quote_outlives_an_older_difference() -> None:
    true, followed = TrueBook(), FollowedBook(RULES)
    followed.snapshot(true.snapshot(), 0)
    quote = followed.quote(ticker(true.last_id + 2))
    assert quote == BookTicker(5, "ETHUSDT", 102, 200_004, 4, 300_000, 5)
    assert followed.quote(ticker(true.last_id - 1)) is None
    true.last_id -= 1
    older = true.change([(1, 1)])  # ends at 101, before the quote
    assert [type(event) for event in followed.difference(older)] == [Depth, BookTicker]
    newer = true.change([(1, 2)])
    assert [type(event) for event in followed.difference(newer)] == [Depth]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("quote", ticker(999) | {"b": "2000.001"}),
        ("quote", {"e": "bookTicker"}),
        ("trade", {"X": "MARKET", "T": 1, "t": 1, "p": "no", "q": "1", "m": True}),
        ("difference", {"U": 1, "u": 2, "pu": 0, "T": 1, "b": [["1.00"]], "a": []}),
        ("mark", {"e": "markPriceUpdate", "E": 1, "T": 2, "p": "1", "i": "1", "r": ""}),
    ],
)
def test_what_is_no_message_is_refused(kind, body) -> None:
    followed = FollowedBook(RULES)
    followed.snapshot(TrueBook().snapshot(), 0)
    with pytest.raises(RejectData, match="live market of ETHUSDT"):
        getattr(followed, kind)(body)


def test_a_trade_beside_the_book_is_left_out() -> None:
    body = {"X": "INSURANCE_FUND", "T": 1, "t": 1, "p": "1", "q": "1", "m": True}
    assert FollowedBook(RULES).trade(body) is None
