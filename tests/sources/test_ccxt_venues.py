"""Bybit, OKX and Hyperliquid through the real ccxt, against servers that speak their formats."""

import json
from datetime import UTC, datetime

import pytest

from counterpoise.endpoints import CcxtSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.tables import interval_ms
from counterpoise.sources import SOURCES
from counterpoise.sources.contract import Request, Unit
from counterpoise.sources.fetch import fetch
from counterpoise.units import DAY_MS, HOUR_MS, to_ms
from tests.sources.server import Answer, Server, json_answer, not_there

LISTED = to_ms(datetime(2024, 1, 1, tzinfo=UTC))
NOW = LISTED + 60 * DAY_MS + 25 * 60_000
STEPS = {"60": "1h", "1H": "1h", "1h": "1h", "5": "5m", "5m": "5m"}


def bar(at, mark=False):
    """Return open, high, low, close and volume of a bar, as text."""
    base = 3000 + at // 300_000 % 977 + (0.25 if mark else 0.0)
    prices = (base, base + 5, base - 5, base + 1)
    return [f"{price:.2f}" for price in prices] + [f"{at // 300_000 % 53}.5"]


def rate(at):
    """Return the rate of a settlement, as text."""
    return f"{(at // HOUR_MS % 13 - 4) * 1e-5:.8f}"


def late(at):
    """Return how late a settlement is stamped, in ms."""
    return at // HOUR_MS % 4


class Venue:
    """Holds one truth, and tells it in the format of one venue.

    Attributes
    ----------
    every_h : int
        Hours between settlements.
    repeat : bool
        Ignore the bounds of a request and give the same page for ever.
    """

    def __init__(self, name, now=NOW):
        self.name, self.now, self.every_h, self.repeat = name, now, 8, False
        if name == "hyperliquid":
            self.every_h = 1
        self.spoil = lambda rows: rows

    def stamps(self, first, last, step, most, newest):
        """Openings within bounds that the venue has; the end of the span it prefers."""
        if self.repeat:
            first, last = LISTED, LISTED + (most - 1) * step
        begin = max(-(-first // step) * step, LISTED)
        found = list(range(begin, min(last, self.now) + 1, step))
        return found[::-1][:most] if newest else found[:most]

    def settled(self, first, last, most, newest):
        """Return settlements within bounds by their own late stamps."""
        step = self.every_h * HOUR_MS
        found = self.stamps(first - 4, last, step, 10**6, newest=False)
        found = [at for at in found if first <= at + late(at) <= last]
        if self.repeat:
            found = self.stamps(0, 0, step, most, newest=False)
        return found[::-1][:most] if newest else found[:most]

    def answer(self, asked):
        """Answer one request."""
        return getattr(self, self.name)(asked)

    def bybit(self, asked):
        """Speak Bybit's version 5."""
        query, kind = asked.query, asked.path.removeprefix("/v5/market/")

        def told(result):
            return json_answer({"retCode": 0, "retMsg": "OK", "result": result, "time": self.now})

        if kind == "time":
            return told({"timeSecond": str(self.now // 1000)})
        if kind == "instruments-info":
            market = {
                "symbol": "ETHUSDT",
                "contractType": "LinearPerpetual",
                "status": "Trading",
                "baseCoin": "ETH",
                "quoteCoin": "USDT",
                "settleCoin": "USDT",
                "launchTime": str(LISTED),
                "deliveryTime": "0",
                "priceScale": "2",
                "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "1"},
                "priceFilter": {"minPrice": "0.01", "maxPrice": "99999", "tickSize": "0.01"},
                "lotSizeFilter": {"maxOrderQty": "900", "minOrderQty": "0.01", "qtyStep": "0.01"},
                "fundingInterval": 480,
            }
            return told({"category": "linear", "list": [market], "nextPageCursor": ""})
        most = int(query["limit"])
        if kind == "funding/history":
            rows = [
                {
                    "symbol": "ETHUSDT",
                    "fundingRate": rate(at),
                    "fundingRateTimestamp": str(at + late(at)),
                }
                for at in self.settled(
                    int(query["startTime"]), int(query["endTime"]), most, newest=True
                )
            ]
            return told({"category": "linear", "list": self.spoil(rows)})
        if kind in ("kline", "mark-price-kline"):
            step = interval_ms(STEPS[query["interval"]])
            first, last = int(query["start"]), int(query["end"])
            rows = [
                [str(at), *bar(at, mark=kind != "kline"), "1"]
                for at in self.stamps(first, last, step, most, newest=True)
            ]
            return told({"symbol": "ETHUSDT", "category": "linear", "list": self.spoil(rows)})
        return not_there()

    def okx(self, asked):
        """Speak OKX's version 5."""
        query, kind = asked.query, asked.path.removeprefix("/api/v5/")

        def told(rows):
            return json_answer({"code": "0", "msg": "", "data": rows})

        if kind == "public/time":
            return told([{"ts": str(self.now)}])
        if kind == "public/instruments":
            market = {
                "instId": "ETH-USDT-SWAP",
                "instType": "SWAP",
                "uly": "ETH-USDT",
                "instFamily": "ETH-USDT",
                "settleCcy": "USDT",
                "ctVal": "0.1",
                "ctValCcy": "ETH",
                "ctMult": "1",
                "ctType": "linear",
                "tickSz": "0.01",
                "lotSz": "0.01",
                "minSz": "0.01",
                "lever": "100",
                "state": "live",
                "listTime": str(LISTED),
                "baseCcy": "",
                "quoteCcy": "",
                "expTime": "",
                "alias": "",
                "stk": "",
                "optType": "",
                "category": "1",
            }
            return told([market])
        # Both bounds are exclusive.
        first, last = int(query["before"]) + 1, int(query["after"]) - 1
        most = min(int(query["limit"]), 100)
        if kind == "public/funding-rate-history":
            rows = [
                {
                    "instType": "SWAP",
                    "instId": "ETH-USDT-SWAP",
                    "fundingRate": "9",
                    "realizedRate": rate(at),
                    "fundingTime": str(at + late(at)),
                }
                for at in self.settled(first, last, most, newest=True)
            ]
            return told(self.spoil(rows))
        if kind.startswith("market/"):
            step = interval_ms(STEPS[query["bar"]])
            mark = "mark-price" in kind
            rows = [
                [str(at), *bar(at, mark)[:4], "1"]
                if mark
                else [str(at), *bar(at)[:4], "contracts", bar(at)[4], "1", "1"]
                for at in self.stamps(first, last, step, most, newest=True)
            ]
            return told(self.spoil(rows))
        return not_there()

    def hyperliquid(self, asked):
        """Speak Hyperliquid's info endpoint."""
        body = json.loads(asked.body)
        if body["type"] == "exchangeStatus":
            return json_answer({"specialStatuses": None, "time": self.now})
        if body["type"] == "metaAndAssetCtxs":
            context = {"markPx": "3000.0", "midPx": "3000.0", "funding": "0.0", "oraclePx": "3000"}
            context |= {"dayNtlVlm": "1.0", "openInterest": "1.0", "prevDayPx": "2999.0"}
            market = {"name": "ETH", "szDecimals": 4, "maxLeverage": 25}
            return json_answer([{"universe": [market]}, [context]])
        if body["type"] == "fundingHistory":
            rows = [
                {"coin": "ETH", "fundingRate": rate(at), "premium": "0.0004", "time": at + late(at)}
                for at in self.settled(body["startTime"], body["endTime"], 500, newest=False)
            ]
            return json_answer(self.spoil(rows))
        if body["type"] == "candleSnapshot":
            asked_for = body["req"]
            step = interval_ms(asked_for["interval"])
            stamps = self.stamps(asked_for["startTime"], asked_for["endTime"], step, 5000, False)
            rows = [
                dict(zip("tohlcv", [at, *bar(at)], strict=True)) | {"T": at + step - 1, "n": 3}
                for at in stamps
            ]
            return json_answer(self.spoil(rows))
        return not_there()


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


@pytest.mark.parametrize("name", NAMES)
def test_a_page_that_repeats_itself_ends_the_window(name, source):
    venue = Venue(name)
    venue.repeat = True
    with Server(venue.answer) as server:
        made = source(name, server.url)
        (unit, *_) = made.plan(request("funding", first=LISTED), NOW)
        rows = made.read(unit, made.download(unit)).table
        assert rows["ts"].is_sorted()
        assert rows["ts"].n_unique() == rows.height > 0


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
