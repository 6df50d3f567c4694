"""Bybit, OKX and Hyperliquid as ccxt asks them: one truth, told in the format of each."""

import json
from datetime import UTC, datetime

from counterpoise.market.tables import interval_ms
from counterpoise.units import DAY_MS, HOUR_MS, to_ms
from tests.sources.server import json_answer, not_there

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
    page_rows : int
        Rows a page at most, whatever is asked for.
    """

    def __init__(self, name, now=NOW):
        self.name, self.now, self.every_h, self.repeat = name, now, 8, False
        if name == "hyperliquid":
            self.every_h = 1
        self.page_rows = 10**6
        self.spoil = lambda rows: rows

    def stamps(self, first, last, step, most, newest):
        """Openings within bounds that the venue has; the end of the span it prefers."""
        most = min(most, self.page_rows)
        if self.repeat:
            first, last = LISTED, LISTED + (most - 1) * step
        begin = max(-(-first // step) * step, LISTED)
        found = list(range(begin, min(last, self.now) + 1, step))
        return found[::-1][:most] if newest else found[:most]

    def settled(self, first, last, most, newest):
        """Return settlements within bounds by their own late stamps."""
        step = self.every_h * HOUR_MS
        limit, self.page_rows = self.page_rows, 10**6
        found = self.stamps(first - 4, last, step, 10**6, newest=False)
        self.page_rows = limit
        found = [at for at in found if first <= at + late(at) <= last]
        if self.repeat:
            found = self.stamps(0, 0, step, most, newest=False)
        most = min(most, self.page_rows)
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
