"""The recording of the venue, and recordings that are wrong."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from counterpoise.errors import FixConfig, RejectData
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import BookTicker, Depth, MarkPrice, Settlement, Trade
from counterpoise.rehearsal.matching import Book
from counterpoise.rehearsal.recorded import Recording, read_recording
from counterpoise.rehearsal.replay import replay
from tests.rehearsal.conftest import SYMBOL, D, order


@pytest.fixture(scope="session")
def recording(real_data, rules) -> Recording:
    return read_recording(real_data / "l2" / "binance_usdm_ethusdt_20240808_raw_ws.jsonl.gz", rules)


def test_every_message_from_the_snapshot_on_is_replayed_in_order(recording) -> None:
    kinds = Counter(type(event) for event in recording)
    assert kinds == {
        Depth: 6_582,
        BookTicker: 53_960,
        Trade: 14_075,
        MarkPrice: 346,
        Settlement: 1,
    }
    assert recording.before == 38
    times = [event.ts_ms for event in recording]
    assert times == sorted(times)
    depths = [event for event in recording if isinstance(event, Depth)]
    assert depths[0].fresh
    assert depths[1].first_id <= depths[0].last_id <= depths[1].last_id
    assert all(b.previous_id == a.last_id for a, b in pairwise(depths[1:]))


def test_the_book_of_the_differences_is_the_one_of_the_best_quotes(recording) -> None:
    """At every difference, the last best quote with an update id up to it is the book's top."""
    book, ticker, compared = Book(), None, 0
    for event in recording:
        if isinstance(event, BookTicker):
            ticker = event
        elif isinstance(event, Depth):
            book.depth(event)
            if ticker is not None:
                bid, ask = book.bids.displayed(), book.asks.displayed()
                assert (bid, book.bids.size[bid]) == (ticker.bid, ticker.bid_size)
                assert (ask, book.asks.size[ask]) == (ticker.ask, ticker.ask_size)
                compared += 1
    assert compared > 6_500


def test_a_replay_trades_the_same_twice(recording, rules) -> None:
    def traded() -> list:
        exchange = Exchange([rules], wallet=D(50_000))
        due = recording.first_ms

        def every_three_seconds(event) -> None:
            nonlocal due
            if isinstance(event, BookTicker) and event.ts_ms >= due:
                due += 3_000
                exchange.cancel_all(SYMBOL, event.ts_ms)
                best = rules.price(exchange.books[SYMBOL].asks.best())
                wanted = order(quantity="0.2", price=str(best), time_in_force="GTX")
                exchange.place(wanted, event.ts_ms)

        replay(recording, exchange, every_three_seconds, until_ms=recording.first_ms + 60_000)
        return exchange.account.trades

    first = traded()
    assert len(first) > 5
    assert all(trade.maker and trade.side == "SELL" for trade in first)
    assert first == traded()


# --- recordings by hand ------------------------------------------------------------------------


def depth(first, last, previous, ts_ms=2_000, **more) -> dict:
    row = {"e": "depthUpdate", "T": ts_ms, "s": SYMBOL, "U": first, "u": last, "pu": previous}
    return {"data": row | {"b": [["3000.00", "1.000"]], "a": [["3000.10", "2.5"]]} | more}


SNAPSHOT = {
    "lastUpdateId": 10,
    "T": 1_000,
    "bids": [["2999.90", "1.000"]],
    "asks": [["3000.10", "2.000"]],
}
GOOD = [SNAPSHOT, depth(8, 12, 7), depth(13, 14, 12, 2_001)]


def write(folder, messages):
    file = folder / "recording.jsonl.gz"
    with gzip.open(file, "wt") as out:
        for message in messages:
            out.write(f"1 {json.dumps(message)}\n")
    return file


def test_a_small_recording(tmp_path, rules) -> None:
    made = {"e": "trade", "T": 2_001, "s": SYMBOL, "t": 5, "p": "3000.1", "q": "1", "m": True}
    stale = {
        "data": {"e": "bookTicker", "T": 1_000, "s": SYMBOL, "u": 10} | dict.fromkeys("bBaA", "1")
    }
    messages = [
        *GOOD,
        {"data": made | {"X": "MARKET"}},
        {"data": made | {"X": "INSURANCE_FUND"}},
        stale,
        depth(1, 9, 1, 900),
    ]
    events = list(read_recording(write(tmp_path, messages), rules, D("0.0002")))
    assert [type(event).__name__ for event in events] == [
        "MarkPrice",
        "Depth",
        "MarkPrice",
        "Depth",
        "Trade",
        "Depth",
    ]
    assert events[3].asks == ((300_010, 2_500),)
    assert events[4] == Trade(2_001, SYMBOL, 5, 300_010, 1_000, "SELL")
    assert events[0] == MarkPrice(1_000, SYMBOL, D(3000), D(3000), D("0.0002"), 28_800_000)


def test_funding_is_settled_when_its_time_comes(tmp_path, rules) -> None:
    late = depth(13, 14, 12, 28_800_400)
    events = list(read_recording(write(tmp_path, [*GOOD[:2], late]), rules))
    settled = [event for event in events if isinstance(event, Settlement)]
    assert settled == [Settlement(28_800_000, SYMBOL, D("0.0001"), D(3000))]
    assert [e.next_funding_ms for e in events if isinstance(e, MarkPrice)][-1] == 57_600_000


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (GOOD[1:], "no snapshot"),
        ([SNAPSHOT], "nothing after the snapshot"),
        ([SNAPSHOT, SNAPSHOT], "second snapshot"),
        ([*GOOD, depth(16, 17, 15)], "line 3, pu: got 15, expected 14"),
        ([SNAPSHOT, depth(11, 12, 10)], "line 1: got 'update ids 11 to 12'"),
        ([SNAPSHOT, depth(8, 12, 7, b=[["3000.001", "1"]])], "at most 2 decimals"),
        ([SNAPSHOT, depth(8, 12, 7, b=[["3000.00"]])], "line 1"),
        ([SNAPSHOT, depth(8, 12, 7, s="BTCUSDT")], "BTCUSDT"),
        ([SNAPSHOT, {"data": {"e": "kline", "T": 1}}], "line 1"),
        ([SNAPSHOT, "text"], "line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rules, messages, says) -> None:
    with pytest.raises(RejectData) as error:
        read_recording(write(tmp_path, messages), rules)
    assert says in str(error.value)


def test_a_damaged_or_missing_file(tmp_path, rules) -> None:
    with pytest.raises(FixConfig):
        read_recording(tmp_path / "none.gz", rules)
    file = write(tmp_path, GOOD)
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(RejectData, match="whole gzip file"):
        read_recording(file, rules)
    file.write_text("not gzip")
    with pytest.raises(RejectData, match="whole gzip file"):
        read_recording(file, replace(rules))


def test_the_example_of_the_page_runs(tmp_path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "venue.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    quote = {"b": "3000.00", "B": "5", "a": "3000.10", "A": "5"}
    ticker = {"e": "bookTicker", "T": 2_000, "s": SYMBOL, "u": 13} | quote
    file = write(tmp_path, [*GOOD, {"data": ticker}])
    names: dict = {}
    exec(code.replace("ethusdt_raw_ws.jsonl.gz", str(file)), names)
    assert names["exchange"].account.positions()[0].amount == D("-1.5")
