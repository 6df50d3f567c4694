"""The last 24 hours of a symbol, as Binance's tickers tell them over REST and as streams."""

from decimal import Decimal
from typing import TYPE_CHECKING

from counterpoise.rehearsal.binance_shapes import Json
from counterpoise.units import DAY_MS

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

#: Fields of the streams and where they are in the REST reply.
_MINI = {
    "s": "symbol",
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
}
_MORE = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "Q": "lastQty",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def day(venue: "Venue", symbol: str) -> Json:
    """The last 24 hours: closed hours of the history, and the last price."""
    now, texts = venue.now_ms(), venue.texts[symbol]
    last = Decimal(texts.ticks(venue.boards[symbol].last_price()))
    bars = venue.history.klines("perp_bars", symbol, "1h", (now - DAY_MS, now), 24, now)
    begin = Decimal(bars[0][1]) if bars else last
    volume = sum((Decimal(bar[5]) for bar in bars), start=Decimal(0))
    value = sum((Decimal(bar[7]) for bar in bars), start=Decimal(0))
    return {
        "symbol": symbol,
        "priceChange": texts.price(last - begin),
        "priceChangePercent": f"{(last / begin - 1) * 100:.3f}",
        "weightedAvgPrice": texts.price(value / volume if volume else last),
        "lastPrice": texts.price(last),
        "lastQty": texts.steps(venue.boards[symbol].last_size()),
        "openPrice": texts.price(begin),
        "highPrice": texts.price(max([last, *(Decimal(bar[2]) for bar in bars)])),
        "lowPrice": texts.price(min([last, *(Decimal(bar[3]) for bar in bars)])),
        "volume": texts.size(volume),
        "quoteVolume": f"{value:.2f}",
        "openTime": bars[0][0] if bars else now - DAY_MS,
        "closeTime": now,
        "firstId": 0,
        "lastId": 0,
        "count": sum(int(bar[8]) for bar in bars),
    }


def ticker(venue: "Venue", symbol: str) -> Json:
    """The message of ``@ticker``."""
    told = day(venue, symbol)
    fields = {name: told[source] for name, source in (_MINI | _MORE).items()}
    return {"e": "24hrTicker", "E": told["closeTime"]} | fields


def mini_ticker(venue: "Venue", symbol: str) -> Json:
    """The message of ``@miniTicker``."""
    told = day(venue, symbol)
    fields = {name: told[source] for name, source in _MINI.items()}
    return {"e": "24hrMiniTicker", "E": told["closeTime"]} | fields


def tickers(venue: "Venue", symbol: str) -> list[Json]:
    """The message of ``!ticker@arr``."""
    return [ticker(venue, symbol)]


def mini_tickers(venue: "Venue", symbol: str) -> list[Json]:
    """The message of ``!miniTicker@arr``."""
    return [mini_ticker(venue, symbol)]
