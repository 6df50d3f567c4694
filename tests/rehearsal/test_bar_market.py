"""Markets of bars: books that follow the bars, and funding paid when and as it was settled."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.columns import TS
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.bar_market import Quoting, from_bars, from_lake, synthetic
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import BookTicker, Depth, MarkPrice, Settlement, Trade
from counterpoise.rehearsal.replay import replay
from counterpoise.units import HOUR_MS, to_ms
from tests.rehearsal.conftest import SYMBOL, D, order

START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = to_ms(START)
SLOW = Quoting(every_s=600)


def bars(*closes, hours=None, volume=600.0) -> pl.DataFrame:
    hours = list(range(len(closes)) if hours is None else hours)
    return pl.DataFrame(
        {
            "ts": pl.Series([START + timedelta(hours=hour) for hour in hours]).cast(TS),
            "open": [2000.0, *closes[:-1]],
            "high": [max(pair) + 5 for pair in zip([2000.0, *closes[:-1]], closes, strict=True)],
            "low": [min(pair) - 5 for pair in zip([2000.0, *closes[:-1]], closes, strict=True)],
            "close": closes,
            "volume": [volume] * len(closes),
        }
    )


def test_the_book_of_the_rows_is_the_book_of_the_quotes(rules) -> None:
    book: dict[str, dict[int, int]] = {"bids": {}, "asks": {}}
    last_id = 0
    tops = []
    for event in from_bars(rules, bars(2010.0, 1990.5), quoting=SLOW):
        if isinstance(event, Depth):
            assert event.previous_id == last_id
            last_id = event.last_id
            for side, levels in book.items():
                levels.update(getattr(event, side))
                book[side] = {price: size for price, size in levels.items() if size}
            assert [len(rows) for rows in book.values()] == [7, 7]
        elif isinstance(event, BookTicker):
            assert (event.bid, event.ask) == (max(book["bids"]), min(book["asks"]))
            assert event.bid_size == event.ask_size == 17_000
            tops.append((event.ts_ms, (event.bid + event.ask) / 200))
    assert (tops[5], tops[-1]) == (
        (START_MS + HOUR_MS - 1, 2010.0),
        (START_MS + 2 * HOUR_MS - 1, 1990.5),
    )


def test_makers_quote_anew_at_every_step_of_a_flat_market(rules) -> None:
    exchange = Exchange([rules], wallet=D(200_000))
    left: list[int] = []

    def sell(event) -> None:
        if isinstance(event, BookTicker):
            bids = exchange.books[SYMBOL].bids
            left.append(bids.left(bids.displayed()))
            exchange.place(order(quantity="10"), event.ts_ms)

    flat = bars(2000.0).with_columns(high=pl.lit(2000.0), low=pl.lit(2000.0), volume=pl.lit(0.0))
    replay(from_bars(rules, flat, quoting=SLOW), exchange, sell)
    assert left == [17_000] * 6


def test_trades_share_the_volume_and_lean_with_the_market(rules) -> None:
    trades = [e for e in from_bars(rules, bars(2010.0), quoting=SLOW) if isinstance(e, Trade)]
    assert [trade.size for trade in trades] == [100_000] * 6
    # open 2000, low 1995, high 2015, close 2010
    assert [t.taker for t in trades] == ["BUY", "SELL", "BUY", "BUY", "SELL", "SELL"]


def test_marks_follow_their_own_bars_and_the_quotes_where_there_is_none(rules) -> None:
    marks = bars(2012.0)
    spot = bars(2008.0, 1999.0)
    market = from_bars(rules, bars(2010.0, 2000.0), mark=marks, spot=spot, quoting=SLOW)
    seen = [event for event in market if isinstance(event, MarkPrice)]
    assert (seen[6].mark, seen[6].index_price) == (2012, 2008)
    assert (seen[-1].mark, seen[-1].index_price) == (2000, 1999)


def funding(*rows) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series([START + timedelta(milliseconds=ms) for ms, _, _ in rows]).cast(TS),
            "funding_rate": [rate for _, rate, _ in rows],
            "mark_price": [mark for _, _, mark in rows],
        },
        schema_overrides={"mark_price": pl.Float64},
    )


def test_funding_is_paid_at_its_own_times_even_in_a_gap(rules) -> None:
    table = funding((0, 0.5, 1.0), (HOUR_MS + 7, 0.0003, 2001.5), (3 * HOUR_MS, -0.0001, None))
    market = from_bars(rules, bars(2010.0, 2000.0, hours=[0, 4]), funding=table, quoting=SLOW)
    events = list(market)
    assert [event for event in events if isinstance(event, Settlement)] == [
        Settlement(START_MS + HOUR_MS + 7, SYMBOL, D("0.0003"), D("2001.5")),
        Settlement(START_MS + 3 * HOUR_MS, SYMBOL, D("-0.0001"), D("2010")),
    ]
    times = [event.ts_ms for event in events]
    assert times == sorted(times)
    marks = [event for event in events if isinstance(event, MarkPrice)]
    # The running rate is the last settled one: nobody knows the next before it is paid.
    assert (marks[0].rate, marks[0].next_funding_ms) == (D("0.0001"), START_MS + HOUR_MS + 7)
    assert (marks[-1].rate, marks[-1].next_funding_ms) == (D("-0.0001"), START_MS + 8 * HOUR_MS)


def test_a_short_over_two_days_earns_what_was_settled(rules) -> None:
    market = synthetic(rules, seed=4, days=2, quoting=SLOW)
    exchange = Exchange([rules], wallet=D(20_000))
    first = True

    def sell_once(event) -> None:
        nonlocal first
        if first and isinstance(event, BookTicker):
            exchange.place(order(quantity="5"), event.ts_ms)
            first = False

    replay(market, exchange, sell_once)
    paid = [event for event in market if isinstance(event, Settlement)]
    booked = [i.usd for i in exchange.account.incomes if i.type == "FUNDING_FEE"]
    assert len(paid) == 5
    assert booked == [round(5 * event.mark * event.rate, 8) for event in paid]
    assert market.last_ms - market.first_ms == 48 * HOUR_MS


def test_the_lake_is_the_market_it_holds(tmp_path, rules) -> None:
    lake = Lake(tmp_path / "lake")
    tables = generate(seed=2, days=3, symbol=SYMBOL, with_gaps=False)
    lake.write(tables, synthetic=True)
    perp = tables[DatasetKey("perp_bars", "binance", SYMBOL, "1h")]
    first_ms = int(perp["ts"].dt.epoch("ms")[24])
    market = from_lake(lake, rules, first_ms, first_ms + 2 * HOUR_MS, quoting=SLOW)
    assert (market.first_ms, market.last_ms) == (first_ms, first_ms + 2 * HOUR_MS)
    last = [event for event in market if isinstance(event, BookTicker)][-1]
    assert abs((last.bid + last.ask) / 200 - perp["close"][25]) <= 0.01
    assert list(market) == list(market)
    with pytest.raises(NotEnoughData):
        from_lake(lake, rules, 0, HOUR_MS)


@pytest.mark.parametrize("depth", [(), ((1, 5.0),), ((0, 5.0), (0, 4.0))])
def test_a_depth_that_is_none_is_refused(depth) -> None:
    with pytest.raises(FixConfig):
        Quoting(depth=depth)


def test_real_bars_close_where_they_closed_and_pay_what_was_paid(real_data, rules) -> None:
    first = datetime(2025, 6, 1, tzinfo=UTC)

    def two_days(name: str) -> pl.DataFrame:
        table = pl.read_parquet(real_data / f"{name}.parquet").with_columns(pl.col("ts").cast(TS))
        return table.filter(pl.col("ts").is_between(first, first + timedelta(days=2), "left"))

    perp, paid = two_days("klines/binance_perp_ethusdt_1h"), two_days("funding/binance_ethusdt_8h")
    mark = two_days("klines/binance_mark_ethusdt_1h")
    events = list(from_bars(rules, perp, mark=mark, funding=paid, quoting=Quoting(every_s=300)))
    for kind, price, closes in (
        (BookTicker, lambda quote: (quote.bid + quote.ask) / 200, perp["close"]),
        (MarkPrice, lambda event: float(event.mark), mark["close"]),
    ):
        last = {event.ts_ms // HOUR_MS: event for event in events if isinstance(event, kind)}
        assert [round(price(event), 2) for event in last.values()] == closes.round(2).to_list()
    settled = [event for event in events if isinstance(event, Settlement)]
    assert [float(event.rate) for event in settled] == paid["funding_rate"][1:].to_list()
    assert [float(event.mark) for event in settled] == paid["mark_price"][1:].to_list()
