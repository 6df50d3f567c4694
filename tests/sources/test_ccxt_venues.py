"""Bybit, OKX and Hyperliquid through the real ccxt, against servers that speak their formats."""

import pytest

from counterpoise.endpoints import CcxtSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.sources import SOURCES
from counterpoise.sources.contract import Request, Unit
from counterpoise.sources.fetch import fetch
from counterpoise.units import DAY_MS, HOUR_MS
from tests.sources.ccxt_server import LISTED, NOW, Venue, bar, rate
from tests.sources.server import Answer, Server, json_answer

NAMES = ("bybit", "okx", "hyperliquid")


@pytest.fixture
def source(quick):
    """Return a function that makes the source of a venue at an address."""

    def make(name, url):
        mine = CcxtSource(url=url, requests_per_minute=100_000)
        return SOURCES[name](quick.model_copy(update={name: mine}))

    return make


def request(*kinds, first=LISTED - 3 * DAY_MS, last=1 << 53, symbol="ETHUSDT", interval="1h"):
    """Return a request that begins before the listing."""
    return Request(symbol, kinds, interval, first, last)


@pytest.mark.parametrize("name", NAMES)
def test_everything_arrives_as_the_venue_has_it(name, source, tmp_path):
    lake, venue = Lake(tmp_path), Venue(name)
    with Server(venue.answer) as server:
        made = source(name, server.url)
        report = fetch(lake, name, made, request(*made.default_kinds), parallel=2)
        count = len(server.asked)
        again = fetch(lake, name, made, request(*made.default_kinds), parallel=2)
        # Only the clock, the markets and the windows that are not over are asked for again.
        assert len(server.asked) - count <= 6
    assert not report.refused
    assert not report.later
    assert sum(one.rows_new for one in again.datasets) == 0
    symbol = "ETHUSD" if name == "hyperliquid" else "ETHUSDT"
    bars = lake.read_key(DatasetKey("perp_bars", name, symbol, "1h"))
    hours = list(range(LISTED, NOW // HOUR_MS * HOUR_MS, HOUR_MS))
    assert bars["ts"].dt.epoch("ms").to_list() == hours
    columns = bars.select("open", "high", "low", "close", "volume").rows()
    assert columns == [tuple(map(float, bar(at))) for at in hours]
    step = venue.every_h * HOUR_MS
    due = list(range(LISTED, NOW + 1, step))
    funding = lake.read_key(DatasetKey("funding", name, symbol, f"{venue.every_h}h"))
    assert funding["ts"].dt.epoch("ms").to_list() == due
    assert funding["funding_rate"].to_list() == [float(rate(at)) for at in due]
    if name == "hyperliquid":
        assert set(funding["premium"]) == {0.0004}
    else:
        mark = lake.read_key(DatasetKey("mark_bars", name, symbol, "1h"))
        assert mark["close"].to_list() == [float(bar(at, mark=True)[3]) for at in hours]


def test_more_settlements_than_a_page_holds_are_paged_back(source, tmp_path):
    """A venue that settled hourly for a while has eight times the rows of a nominal window."""
    venue, lake = Venue("bybit"), Lake(tmp_path)
    venue.every_h = 1
    with Server(venue.answer) as server:
        fetch(lake, "bybit", source("bybit", server.url), request("funding"), parallel=1)
    funding = lake.read_key(DatasetKey("funding", "bybit", "ETHUSDT", "8h"))
    assert funding["ts"].dt.epoch("ms").to_list() == list(range(LISTED, NOW + 1, HOUR_MS))


@pytest.mark.parametrize("kind", ["klines", "funding"])
@pytest.mark.parametrize("name", NAMES)
def test_a_mirror_with_smaller_pages_gives_the_same_rows(name, kind, source):
    venue, bars = Venue(name), []
    with Server(venue.answer) as server:
        made = source(name, server.url)
        (unit, *_) = made.plan(request(kind, first=LISTED), NOW)
        for rows in (10**6, 17):
            venue.page_rows = rows
            bars.append(made.read(unit, made.download(unit)).table)
    assert bars[0].height > 17
    assert bars[0].equals(bars[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_that_repeats_itself_is_no_window(name, source):
    """What ignores the bounds of a request may hide rows, so the window is not taken for whole."""
    venue = Venue(name)
    venue.repeat, venue.page_rows = True, 20
    with Server(venue.answer) as server:
        made = source(name, server.url)
        (unit, *_) = made.plan(request("funding", first=LISTED), NOW)
        with pytest.raises(RejectData, match="rows not seen before"):
            made.download(unit)
        assert len(server.asked) < 10


@pytest.mark.parametrize("content", [b"<html>down</html>", b"", b"null", b'{"code": "0"}', b"[7]"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_list_of_rows_is_not_taken_for_an_empty_window(name, content, source, tmp_path):
    venue, lake = Venue(name), Lake(tmp_path)
    paths = {"bybit": "/v5/market/kline", "okx": "/api/v5/market", "hyperliquid": "/info"}
    span = request("klines", first=LISTED, last=LISTED + 4 * DAY_MS)
    with Server(venue.answer) as server:
        made = source(name, server.url)
        made.plan(span, NOW)
        if name == "hyperliquid":
            # Its clock is asked for at the same address, before the rows.
            server.fault("/info", json_answer({"time": NOW}))
        server.fault(paths[name], Answer(200, content))
        report = fetch(lake, name, made, span, parallel=1)
        assert len(report.refused) == 1
        assert not fetch(lake, name, made, span, parallel=1).refused
    (key,) = lake.datasets()
    stamps = lake.read_key(key)["ts"].dt.epoch("ms").to_list()
    assert stamps[: 4 * 24] == list(range(LISTED, LISTED + 4 * DAY_MS, HOUR_MS))


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"time": "soon", "data": [{"ts": "-5"}]}'])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_clock_or_no_list_of_markets_is_refused(name, content, source):
    with Server(Venue(name).answer) as server:
        made = source(name, server.url)
        server.fault("/", Answer(200, content))
        with pytest.raises(RejectData, match=f"^{name}: (time|whole reply)"):
            made.now_ms()
        # Bybit's markets are several requests.
        server.fault("/", *[Answer(200, content)] * 3)
        with pytest.raises(RejectData, match=f"^{name}: (markets|whole reply)"):
            made.plan(request("klines"), NOW)


@pytest.mark.parametrize("at", ["x", None, -7, 10**30])
@pytest.mark.parametrize("name", NAMES)
def test_a_row_without_a_time_is_refused_and_never_left_out(name, at, source):
    def spoil(rows):
        if rows:
            row = rows[1]
            rows[1] = [at, *row[1:]] if isinstance(row, list) else row | {"t": at}
        return rows

    venue = Venue(name)
    venue.spoil = spoil
    with Server(venue.answer) as server:
        made = source(name, server.url)
        (unit, *_) = made.plan(request("klines", first=LISTED), NOW)
        with pytest.raises(RejectData, match="a row of a page: the time of"):
            made.download(unit)


@pytest.mark.parametrize("name", ["bybit", "okx"])
def test_a_settlement_of_another_market_is_refused(name, source):
    venue = Venue(name)
    venue.spoil = lambda rows: [
        row | {"symbol": "BTCUSDT", "instId": "BTC-USDT-SWAP"} for row in rows
    ]
    with Server(venue.answer) as server:
        made = source(name, server.url)
        (unit, *_) = made.plan(request("funding", first=LISTED), NOW)
        with pytest.raises(RejectData, match="a row's market"):
            made.download(unit)


def test_a_kind_it_does_not_have_is_refused(source):
    """Hyperliquid has no bars of the mark price: its trades' bars must not be taken for them."""
    with Server(Venue("hyperliquid").answer) as server, pytest.raises(FixConfig, match="'mark'"):
        source("hyperliquid", server.url).plan(request("mark"), NOW)


@pytest.mark.parametrize("name", NAMES)
def test_a_venue_that_stumbles_is_asked_again_and_one_that_is_down_later(name, source):
    with Server(Venue(name).answer) as server:
        made = source(name, server.url)
        server.fault("/", Answer(429, b"too many"), Answer(503, b"down"))
        assert made.now_ms() == NOW
        server.fault("/", *[Answer(503, b"down")] * 9)
        with pytest.raises(RetryLater, match=rf"{name}: .*sources.{name}.url") as busy:
            made.now_ms()
        assert busy.value.exit_code == 6


@pytest.mark.parametrize("name", NAMES)
def test_a_market_it_does_not_have_is_refused_before_anything_is_asked(name, source):
    with (
        Server(Venue(name).answer) as server,
        pytest.raises(FixConfig, match="symbol = 'DOGEUSDT'"),
    ):
        source(name, server.url).plan(request("klines", symbol="DOGEUSDT"), NOW)


def test_an_interval_it_does_not_have_is_refused(source):
    with Server(Venue("bybit").answer) as server, pytest.raises(FixConfig, match="interval = '7m'"):
        source("bybit", server.url).plan(request("klines", interval="7m"), NOW)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_row_of_a_venue_is_refused_or_set_aside(name, source, tmp_path):
    venue, lake = Venue(name), Lake(tmp_path)

    def without_rate(rows):
        return [row | {"fundingRate": None, "realizedRate": None} for row in rows]

    venue.spoil = without_rate
    with Server(venue.answer) as server:
        made = source(name, server.url)
        report = fetch(lake, name, made, request("funding"), parallel=1)
    assert report.refused
    assert all("fundingRate" in one.reason for one in report.refused)
    assert not lake.datasets()


def test_two_rows_of_one_moment_that_differ_are_refused(source):
    with Server(Venue("bybit").answer) as server:
        made = source("bybit", server.url)
    key = DatasetKey("perp_bars", "bybit", "ETHUSDT", "1h")
    unit = Unit("bybit/klines/ETHUSDT/1h/x", key, LISTED, LISTED + DAY_MS, final=True)
    twice = f'[{LISTED}, "1", "2", "1", "2", "3"]\n[{LISTED}, "1", "2", "1", "1", "3"]'.encode()
    with pytest.raises(RejectData, match="line 1"):
        made.read(unit, twice)


def test_without_the_package_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ccxt", None)
    with pytest.raises(FixConfig, match=r"pip install 'counterpoise\[ccxt\]'"):
        SOURCES["bybit"](SourceSettings())
