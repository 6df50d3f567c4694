"""dYdX's indexer: newest first, in pages of any size, and nothing is lost between them."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoise.endpoints import DydxSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.sources.contract import Request, Unit
from counterpoise.sources.dydx import RESOLUTIONS, Dydx
from counterpoise.sources.fetch import fetch
from counterpoise.units import DAY_MS, HOUR_MS, from_ms, to_ms
from tests.sources.server import Answer, Server, json_answer

START = to_ms(datetime(2024, 2, 1, tzinfo=UTC))
NOW = START + 3 * DAY_MS + 40 * 60_000
CANDLES = DatasetKey("perp_bars", "dydx", "ETH-USD", "1h")
FUNDING = DatasetKey("funding", "dydx", "ETH-USD", "1h")
SECONDS = DatasetKey("perp_bars", "dydx", "ETH-USD", "1s")


def iso(at):
    """Return a moment as the indexer writes it."""
    return from_ms(at).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


def trade_at(number, at):
    """Return a trade; the taker sells every third time."""
    return {
        "id": f"{number:012x}",
        "side": "SELL" if number % 3 == 0 else "BUY",
        "size": f"{number % 5 + 1}.5",
        "price": f"{3000 + number % 17}",
        "type": "LIMIT",
        "createdAt": iso(at),
        "createdAtHeight": str(at // 1000),
    }


class Indexer:
    """Speaks the indexer's format, newest first.

    Attributes
    ----------
    page_rows : int
        Rows a page at most, whatever is asked for.
    times : list of int
        When each trade was, ascending.
    quiet : set of int
        Hours without a candle.
    now, halted : int
        What its clock says, and the moment it has indexed nothing after.
    """

    def __init__(self, times=(), page_rows=1000):
        self.page_rows, self.times, self.quiet = page_rows, sorted(times), set()
        self.stuck = False
        self.now, self.halted = NOW, 1 << 53

    def answer(self, asked):
        """Answer one request."""
        kind, query = asked.path.removeprefix("/v4/"), asked.query
        most = min(int(query.get("limit", 1000)), self.page_rows)
        if kind == "time":
            return json_answer({"iso": iso(self.now), "epoch": self.now / 1000})
        if kind == "perpetualMarkets":
            known = {"ETH-USD": {}} if query["ticker"] == "ETH-USD" else {}
            return json_answer({"markets": known})
        if kind.startswith("candles"):
            first, last = (to_ms(datetime.fromisoformat(query[k])) for k in ("fromISO", "toISO"))
            every = range(START, min(self.now, self.halted), HOUR_MS)
            hours = [at for at in every if first <= at < last and at not in self.quiet]
            return json_answer({"candles": [self.candle(at) for at in hours[::-1][:most]]})
        if kind.startswith("historicalFunding"):
            last = to_ms(datetime.fromisoformat(query["effectiveBeforeOrAt"]))
            stamps = [
                at + at // HOUR_MS % 3 * 400
                for at in range(START, min(self.now, self.halted), HOUR_MS)
            ]
            due = [at for at in stamps if at <= last][::-1][:most]
            rows = [
                {"ticker": "ETH-USD", "rate": self.rate(at), "price": "3000.5"}
                | {"effectiveAt": iso(at), "effectiveAtHeight": "1"}
                for at in due
            ]
            return json_answer({"historicalFunding": rows})
        last = NOW if self.stuck else to_ms(datetime.fromisoformat(query["createdBeforeOrAt"]))
        numbered = [(n, at) for n, at in enumerate(self.times) if at <= last][::-1][:most]
        return json_answer({"trades": [trade_at(n, at) for n, at in numbered]})

    def candle(self, at):
        """Return the candle of an hour."""
        base = 3000 + at // HOUR_MS % 89
        return {
            "startedAt": iso(at),
            "ticker": "ETH-USD",
            "resolution": "1HOUR",
            "low": str(base - 3),
            "high": str(base + 4),
            "open": str(base),
            "close": str(base + 1),
            "baseTokenVolume": "12.5",
            "usdVolume": "37500",
            "trades": 7,
            "startingOpenInterest": "381.7",
        }

    @staticmethod
    def rate(at):
        """Return the rate of an hour."""
        return f"{(at // HOUR_MS % 7 - 2) * 1e-6:.9f}"


def source(url):
    """Return the source at an address."""
    mine = DydxSource(indexer_url=url, requests_per_minute=100_000)
    return Dydx(SourceSettings(attempts=2, timeout_s=2.0, dydx=mine))


def request(*kinds, symbol="ETH-USD", interval="1h", first=START, last=1 << 53):
    """Return a request."""
    return Request(symbol, kinds, interval, first, last)


def test_candles_and_funding_arrive_in_order_and_once(tmp_path):
    indexer, lake = Indexer(page_rows=10), Lake(tmp_path)
    indexer.quiet = {START + 30 * HOUR_MS, START + 31 * HOUR_MS}
    with Server(indexer.answer) as server:
        for _ in range(2):
            report = fetch(
                lake, "dydx", source(server.url), request("klines", "funding"), parallel=2
            )
            assert not report.refused
    hours = [at for at in range(START, NOW - HOUR_MS, HOUR_MS) if at not in indexer.quiet]
    bars = lake.read_key(CANDLES)
    assert bars["ts"].dt.epoch("ms").to_list() == hours
    assert bars["close"].to_list() == [float(indexer.candle(at)["close"]) for at in hours]
    assert set(bars["trades"]) == {7}
    funding = lake.read_key(FUNDING)
    due = list(range(START, NOW, HOUR_MS))
    assert funding["ts"].dt.epoch("ms").to_list() == due
    rates = [float(indexer.rate(at)) for at in due]
    assert funding["funding_rate"].to_list() == pytest.approx(rates)
    assert set(funding["interval_h"]) == {1.0}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.sampled_from([0, 0, 0, 1, 7, 400, 3_600_000]), min_size=1, max_size=60),
    page_rows=st.integers(8, 30),
)
def test_trades_are_the_same_whatever_a_page_holds(steps, page_rows):
    times = [START + int(at) for at in np.minimum(np.cumsum(steps), DAY_MS - 1)]
    # A moment with more trades than a page holds is refused, and is another test.
    if max(times.count(at) for at in times) >= page_rows:
        return
    bars = []
    for rows in (1000, page_rows):
        with Server(Indexer(times, rows).answer) as server:
            one = source(server.url)
            (unit,) = one.plan(request("trades", last=START + DAY_MS), NOW)
            bars.append(one.read(unit, one.download(unit)).table)
    assert bars[0].equals(bars[1])
    # Against the trades themselves.
    trades = pl.DataFrame(
        [
            {"s": at // 1000 * 1000, "p": 3000.0 + n % 17, "q": n % 5 + 1.5, "buy": n % 3 != 0}
            for n, at in enumerate(times)
        ]
    )
    expected = trades.group_by("s", maintain_order=True).agg(
        o=pl.col("p").first(),
        h=pl.col("p").max(),
        l=pl.col("p").min(),
        c=pl.col("p").last(),
        v=pl.col("q").sum(),
        b=pl.col("q").filter("buy").sum(),
        n=pl.len(),
    )
    got = bars[0].select("ts", "open", "high", "low", "close", "volume", "taker_buy_base", "trades")
    assert got["ts"].cast(pl.Int64).to_list() == expected["s"].to_list()
    for ours, theirs in zip(got.columns[1:], "ohlcvbn", strict=True):
        assert got[ours].to_list() == pytest.approx(expected[theirs].to_list()), ours


@pytest.mark.parametrize("page_rows", [2, 3, 7, 24])
@pytest.mark.parametrize("kind", ["klines", "funding"])
def test_candles_and_funding_are_the_same_whatever_a_page_holds(kind, page_rows):
    tables = []
    for rows in (1000, page_rows):
        with Server(Indexer(page_rows=rows).answer) as server:
            one = source(server.url)
            units = one.plan(request(kind), NOW)
            tables.append(pl.concat([one.read(unit, one.download(unit)).table for unit in units]))
    assert tables[0].height == 72 + (kind == "funding")
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("key", [CANDLES, FUNDING])
def test_hours_that_were_indexed_late_are_asked_for_again(tmp_path, key):
    kind = "klines" if key == CANDLES else "funding"
    end = -(-START // (1000 * HOUR_MS)) * 1000 * HOUR_MS
    indexer, lake = Indexer(), Lake(tmp_path)
    with Server(indexer.answer) as server:
        # Five hours before the end of a window it halts, and it is asked hours after that end.
        indexer.now, indexer.halted = end + 8 * HOUR_MS, end - 5 * HOUR_MS
        fetch(lake, "dydx", source(server.url), request(kind), parallel=1)
        indexer.now, indexer.halted = end + 30 * HOUR_MS, 1 << 53
        newest = lake.read_key(key)["ts"].dt.epoch("ms").to_list()[-1]
        fetch(lake, "dydx", source(server.url), request(kind, first=newest), parallel=1)
    stamps = lake.read_key(key)["ts"].dt.epoch("ms").to_list()
    assert stamps[-1] >= end + 29 * HOUR_MS
    assert stamps == list(range(START, stamps[-1] + 1, HOUR_MS))


def test_a_settlement_that_was_booked_late_keeps_its_time(tmp_path):
    """By milliseconds it is bookkeeping; by ten minutes the chain stood still, and it is said."""
    one, at = source("http://127.0.0.1:1"), START + 5 * HOUR_MS
    unit = Unit("dydx/funding/ETH-USD/1h/x", FUNDING, START, START + DAY_MS, final=True)
    stamps = {at + 59_999: at, at + HOUR_MS + 600_000: at + HOUR_MS + 600_000}
    rows = [{"effectiveAt": iso(late), "rate": "0.00001", "price": "3000"} for late in stamps]
    table = one.read(unit, json.dumps({"historicalFunding": rows}).encode()).table
    assert table["ts"].to_list() == list(stamps.values())


def test_more_trades_of_one_moment_than_a_page_holds_are_refused(tmp_path):
    indexer = Indexer([START + 5] * 1200 + [START + 4])
    with Server(indexer.answer) as server:
        report = fetch(
            Lake(tmp_path),
            "dydx",
            source(server.url),
            request("trades", last=START + DAY_MS),
            parallel=1,
        )
    (refused,) = report.refused
    assert "more rows share one moment than a page holds" in refused.reason


def test_a_page_that_repeats_itself_ends_and_is_no_window(tmp_path):
    indexer = Indexer([START + n * 1000 for n in range(20)], page_rows=5)
    indexer.stuck = True
    with Server(indexer.answer) as server:
        one = source(server.url)
        (unit,) = one.plan(request("trades", last=START + DAY_MS), NOW)
        with pytest.raises(RejectData, match="seen before"):
            one.download(unit)
        assert len(server.asked) < 10


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        ([0] + [5] * 7 + [6], True),
        ([0] + [5] * 9 + [6], True),
        ([0] + [5] * 4 + [6], False),
        ([5] * 3, False),
        ([5] * 5 + [6], False),
    ],
)
def test_trades_are_never_lost_between_small_pages(times, refused):
    """An indexer with five rows a page: what it can hide is refused, never left out."""
    indexer = Indexer([START + at for at in times], page_rows=5)
    with Server(indexer.answer) as server:
        one = source(server.url)
        (unit,) = one.plan(request("trades", last=START + DAY_MS), NOW)
        if refused:
            with pytest.raises(RejectData, match="share one moment"):
                one.download(unit)
        else:
            assert one.read(unit, one.download(unit)).table["trades"].sum() == len(times)


def test_two_rows_of_one_moment_that_differ_are_refused():
    one, first = source("http://127.0.0.1:1"), Indexer().candle(START)
    unit = Unit("dydx/klines/ETH-USD/1h/x", CANDLES, START, START + DAY_MS, final=True)
    pages = [{"candles": [first]}, {"candles": [first | {"close": "3000"}]}]
    twice = "\n".join(json.dumps(page) for page in pages).encode()
    with pytest.raises(RejectData, match="what another row of 2024-02-01"):
        one.read(unit, twice)
    assert one.read(unit, "\n".join([json.dumps(pages[0])] * 2).encode()).table.height == 1


@pytest.mark.parametrize(
    "told", ["{}", "[]", "7", '{"epoch": "soon"}', '{"epoch": 1e30}', "<html>"]
)
def test_what_is_no_clock_or_no_list_of_markets_is_refused(told):
    with Server(Indexer().answer) as server:
        one = source(server.url)
        server.fault("/v4/time", Answer(200, told.encode()))
        with pytest.raises(RejectData, match="the time of dYdX"):
            one.now_ms()
        server.fault("/v4/perpetualMarkets", Answer(200, told.encode()))
        with pytest.raises(RejectData, match="the markets of dYdX"):
            one.plan(request("klines"), NOW)


def test_a_market_interval_or_kind_it_does_not_have_is_refused():
    with Server(Indexer().answer) as server:
        with pytest.raises(FixConfig, match="symbol = 'DOGE-USD'"):
            source(server.url).plan(request("klines", symbol="DOGE-USD"), NOW)
        with pytest.raises(FixConfig, match="interval = '7m'"):
            source(server.url).plan(request("klines", interval="7m"), NOW)
        with pytest.raises(FixConfig, match="kinds = 'mark'"):
            source(server.url).plan(request("mark"), NOW)


def spoilt(page, row, **change):
    """Return a page with a row changed."""
    rows = [dict(one) for one in page]
    rows[row] |= change
    return rows


@pytest.mark.parametrize(
    ("kind", "field", "change", "told"),
    [
        ("klines", "candles", {"resolution": "1MIN"}, "resolution"),
        ("klines", "candles", {"startedAt": "2024-02-01 00:00"}, "a time"),
        ("klines", "candles", {"close": "NaN"}, "close"),
        ("klines", "candles", {"high": "1"}, "high"),
        ("klines", "candles", {"startedAt": iso(START + 1234)}, "ts"),
        ("funding", "historicalFunding", {"rate": "one"}, "funding_rate"),
        ("funding", "historicalFunding", {"effectiveAt": None}, "a time"),
        ("trades", "trades", {"price": "-1"}, "price"),
        ("trades", "trades", {"side": "BOTH"}, "side"),
        ("trades", "trades", {"size": None}, "size"),
    ],
)
def test_a_malformed_row_is_set_aside_with_its_place(tmp_path, kind, field, change, told):
    indexer, lake = Indexer([START + n * 1000 for n in range(9)]), Lake(tmp_path)
    span = request(kind, last=START + 12 * HOUR_MS)
    with Server(indexer.answer) as server:

        def spoil(asked):
            reply = indexer.answer(asked)
            page = json.loads(reply.content)
            if field in page and len(page[field]) > 2:
                page[field] = spoilt(page[field], 2, **change)
            return json_answer(page)

        server.answer = spoil
        report = fetch(lake, "dydx", source(server.url), span, parallel=1)
        assert [told in one.reason for one in report.refused] == [True], report.refused
        assert not lake.datasets()
        server.answer = indexer.answer
        assert not fetch(lake, "dydx", source(server.url), span, parallel=1).refused


def test_what_is_no_page_is_refused():
    with Server(Indexer().answer) as server:
        one = source(server.url)
        (unit, *_) = one.plan(request("klines"), NOW)
        for answer in (Answer(200, b"<html>"), json_answer({"rows": []}), Answer(403, b"no")):
            server.fault("/v4/candles", answer)
            with pytest.raises(RejectData, match=r"dydx/klines/ETH-USD/1h/"):
                one.download(unit)


def test_the_examples_of_the_protocol_are_read(real_data):
    folder = real_data / "protocol" / "dydx_v4"
    one = source("http://127.0.0.1:1")

    def read(name, key, first, kind):
        page = json.loads((folder / name).read_text())["result"]
        unit = Unit(f"dydx/{kind}/BTC-USD/x", key, first, first + DAY_MS, final=True)
        return page, one.read(unit, json.dumps(page).encode()).table

    day = to_ms(datetime(2025, 12, 8, tzinfo=UTC))
    minutes = DatasetKey("perp_bars", "dydx", "BTC-USD", "1m")
    page, table = read("http_get_candles.json", minutes, day, "klines")
    assert RESOLUTIONS["1m"] == page["candles"][0]["resolution"]
    assert table.height == len(page["candles"])
    page, table = read("http_get_historical_funding.json", FUNDING, day, "funding")
    inside = [row for row in page["historicalFunding"] if row["effectiveAt"] >= "2025-12-08"]
    assert table.height == len(inside)
    page, table = read("http_get_trades.json", SECONDS, day, "trades")
    assert table["trades"].sum() == len(page["trades"])
