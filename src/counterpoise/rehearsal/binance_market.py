"""Binance's public REST calls: rules, book, prices, history."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from counterpoise.rehearsal.binance_events import levels, premium_index
from counterpoise.rehearsal.binance_shapes import Json, Texts
from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.day import day
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

Answer = Callable[["Venue", Params, ApiKey | None], Any]

#: Far enough: a perpetual is never delivered.
_NEVER_MS = 4_133_404_800_000
_FIRST_LISTED_MS = 1_569_398_400_000
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
_KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
_ORDER_TYPES = (
    *("LIMIT", "MARKET", "STOP", "STOP_MARKET"),
    *("TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"),
)


def exchange_info(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Rules of every symbol, and how often may be asked."""
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": venue.limits.rules(),
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(venue, texts) for texts in venue.texts.values()],
    }


def _symbol(venue: "Venue", texts: Texts) -> Json:
    rules = texts.rules
    band = rules.band
    return {
        "symbol": rules.symbol,
        "pair": rules.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": venue.history.first_ms(rules.symbol) or _FIRST_LISTED_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.quote,
        "pricePrecision": texts.price_places,
        "quantityPrecision": texts.size_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["Layer-1"],
        "settlePlan": 0,
        "triggerProtect": f"{band:.4f}",
        "liquidationFee": f"{rules.liquidation_fee:.6f}",
        "marketTakeBound": f"{band:.2f}",
        "maxMoveOrderLimit": 10000,
        "orderTypes": list(_ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": texts.price(rules.min_price),
                "maxPrice": texts.price(rules.max_price),
                "tickSize": str(rules.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": str(rules.step),
                "maxQty": str(rules.max_quantity),
                "stepSize": str(rules.step),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": str(rules.step),
                "maxQty": str(rules.max_market_quantity),
                "stepSize": str(rules.step),
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": rules.max_orders},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": rules.max_algos},
            {"filterType": "MIN_NOTIONAL", "notional": str(rules.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": f"{1 + band:.4f}",
                "multiplierDown": f"{1 - band:.4f}",
                "multiplierDecimal": "4",
            },
        ],
    }


def spot_exchange_info(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """The symbols of spot, which has history here and nothing else."""
    asked = params.get("symbol")
    if asked:
        venue.symbol(params)
    rules = [texts.rules for texts in venue.texts.values() if asked in (None, texts.rules.symbol)]
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms(),
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [
            {"symbol": r.symbol, "status": "TRADING", "baseAsset": r.base, "quoteAsset": r.quote}
            for r in rules
        ],
    }


def depth(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """A snapshot of the book.

    Its id lies within the next change, so that a client that began to listen before it asked finds
    the change the snapshot belongs to.
    """
    symbol = venue.symbol(params)
    asked = params.whole("limit", 500)
    if asked not in _DEPTHS:
        raise Denied(-4021, f"'{asked}' is not valid depth limit.")
    _, bids, asks = venue.exchange.depth(symbol, asked)
    texts = venue.texts[symbol]
    return {
        "lastUpdateId": venue.boards[symbol].last_id + 1,
        "E": venue.now_ms(),
        "T": venue.now_ms(),
        "bids": levels(bids, texts),
        "asks": levels(asks, texts),
    }


def _one_or_all(
    row: Callable[["Venue", str], Json], venue: "Venue", params: Params, key: ApiKey | None
) -> Any:
    if params.get("symbol"):
        return row(venue, venue.symbol(params))
    return [row(venue, symbol) for symbol in venue.texts]


def _book_ticker(venue: "Venue", symbol: str) -> Json:
    board, texts = venue.boards[symbol], venue.texts[symbol]
    quote = board.quoted()
    return {
        "symbol": symbol,
        "pair": symbol,
        "bidPrice": texts.ticks(quote.bid),
        "bidQty": texts.steps(quote.bid_size),
        "askPrice": texts.ticks(quote.ask),
        "askQty": texts.steps(quote.ask_size),
        "lastUpdateId": board.last_id,
        "time": quote.ts_ms,
    }


def _price(venue: "Venue", symbol: str) -> Json:
    price = venue.texts[symbol].ticks(venue.boards[symbol].last_price())
    return {"symbol": symbol, "price": price, "time": venue.now_ms()}


def _premium(venue: "Venue", symbol: str) -> Json:
    return premium_index(venue.boards[symbol].marked())


def klines(
    table: str, most: int, venue: "Venue", params: Params, key: ApiKey | None
) -> list[list[Any]]:
    """Closed bars of a table of the history."""
    symbol = venue.symbol(params, "pair" if "pair" in params else "symbol")
    return venue.history.klines(
        table,
        symbol,
        params.text("interval"),
        (params.whole_or_none("startTime"), params.whole_or_none("endTime")),
        params.limit(500, most),
        venue.now_ms(),
    )


def funding_rate(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Settled funding."""
    return venue.history.funding(
        venue.symbol(params),
        (params.whole_or_none("startTime"), params.whole_or_none("endTime")),
        params.limit(100, 1000),
        venue.now_ms(),
    )


def funding_info(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Caps and intervals of funding."""
    contract = venue.contract
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": f"{contract.funding.cap:.8f}",
            "adjustedFundingRateFloor": f"{-contract.funding.cap:.8f}",
            "fundingIntervalHours": contract.funding.interval_h,
            "disclaimer": False,
        }
        for symbol in venue.texts
    ]


def open_interest(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """The newest reading of open interest."""
    symbol = venue.symbol(params)
    readings = venue.history.open_interest(symbol, "5m", (None, None), 1, venue.now_ms())
    if not readings:
        raise Denied(-1001, "The history holds no open interest.", status=503)
    newest = readings[-1]
    return {
        "openInterest": newest["sumOpenInterest"],
        "symbol": symbol,
        "time": newest["timestamp"],
    }


def open_interest_past(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Readings of open interest."""
    return venue.history.open_interest(
        venue.symbol(params),
        params.text("period"),
        (params.whole_or_none("startTime"), params.whole_or_none("endTime")),
        params.limit(30, 500),
        venue.now_ms(),
    )


def trades(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """The newest public trades."""
    symbol = venue.symbol(params)
    texts = venue.texts[symbol]
    return [
        {
            "id": trade.trade_id,
            "price": texts.ticks(trade.price),
            "qty": texts.steps(trade.size),
            "quoteQty": f"{trade.price * texts.rules.tick * trade.size * texts.rules.step:.2f}",
            "time": trade.ts_ms,
            "isBuyerMaker": trade.taker == "SELL",
        }
        for trade in venue.boards[symbol].newest(params.limit(500, 1000))
    ]


def agg_trades(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """The same as aggregates of one."""
    symbol = venue.symbol(params)
    texts = venue.texts[symbol]
    return [
        {
            "a": trade.trade_id,
            "p": texts.ticks(trade.price),
            "q": texts.steps(trade.size),
            "f": trade.trade_id,
            "l": trade.trade_id,
            "T": trade.ts_ms,
            "m": trade.taker == "SELL",
        }
        for trade in venue.boards[symbol].newest(params.limit(500, 1000))
    ]


def server_time(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """The market's time."""
    return {"serverTime": venue.now_ms()}


def ping(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Nothing, quickly."""
    return {}


def _by_limit(table: tuple[tuple[int, int], ...], params: Params) -> int:
    asked = params.whole("limit", 500)
    return next((weight for most, weight in table if asked <= most), table[-1][1])


def _open(answer: Answer, weight: int | Callable[[Params], int] = 1) -> Endpoint:
    return Endpoint(answer, weight, security="open")


def _klines_of(table: str, most: int = 1500) -> Endpoint:
    return _open(partial(klines, table, most), partial(_by_limit, _KLINE_WEIGHTS))


ENDPOINTS: Endpoints = {
    ("GET", "/fapi/v1/ping"): _open(ping),
    ("GET", "/fapi/v1/time"): _open(server_time),
    ("GET", "/fapi/v1/exchangeInfo"): _open(exchange_info),
    ("GET", "/fapi/v1/depth"): _open(depth, partial(_by_limit, _DEPTH_WEIGHTS)),
    ("GET", "/fapi/v1/trades"): _open(trades, 5),
    ("GET", "/fapi/v1/aggTrades"): _open(agg_trades, 20),
    ("GET", "/fapi/v1/premiumIndex"): _open(partial(_one_or_all, _premium)),
    ("GET", "/fapi/v1/fundingRate"): _open(funding_rate),
    ("GET", "/fapi/v1/fundingInfo"): _open(funding_info),
    ("GET", "/fapi/v1/ticker/price"): _open(partial(_one_or_all, _price)),
    ("GET", "/fapi/v2/ticker/price"): _open(partial(_one_or_all, _price)),
    ("GET", "/fapi/v1/ticker/24hr"): _open(partial(_one_or_all, day)),
    ("GET", "/fapi/v1/ticker/bookTicker"): _open(partial(_one_or_all, _book_ticker), 2),
    ("GET", "/fapi/v1/klines"): _klines_of("perp_bars"),
    ("GET", "/fapi/v1/continuousKlines"): _klines_of("perp_bars"),
    ("GET", "/fapi/v1/markPriceKlines"): _klines_of("mark_bars"),
    ("GET", "/fapi/v1/premiumIndexKlines"): _klines_of("premium_bars"),
    ("GET", "/fapi/v1/openInterest"): _open(open_interest),
    ("GET", "/futures/data/openInterestHist"): _open(open_interest_past),
    ("GET", "/api/v3/ping"): _open(ping),
    ("GET", "/api/v3/time"): _open(server_time),
    ("GET", "/api/v3/exchangeInfo"): _open(spot_exchange_info, 20),
    ("GET", "/api/v3/klines"): _klines_of("spot_bars", 1000),
}
