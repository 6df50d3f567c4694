"""Candles of a symbol's trades for Binance's kline streams, from when somebody began to listen."""

from dataclasses import dataclass
from typing import Any

from counterpoise.market.tables import interval_ms
from counterpoise.rehearsal.binance_shapes import Texts
from counterpoise.rehearsal.feed import Trade
from counterpoise.rehearsal.history import INTERVALS


@dataclass
class Candle:
    """Trades of an interval: prices in ticks, sizes in steps, ``value`` and ``bought`` with them.

    Attributes
    ----------
    open_ms : int
    first : Trade
        Of the interval.
    last : Trade
    high, low : int
    size, bought : int
        Of all trades, and of those whose taker bought.
    value, bought_value : int
        Ticks times steps of the same.
    count : int
    """

    open_ms: int
    first: Trade
    last: Trade
    high: int
    low: int
    size: int = 0
    bought: int = 0
    value: int = 0
    bought_value: int = 0
    count: int = 0

    def add(self, trade: Trade) -> None:
        """Take a trade in."""
        self.last = trade
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        value = trade.price * trade.size
        self.size, self.value = self.size + trade.size, self.value + value
        self.count += 1
        if trade.taker == "BUY":
            self.bought += trade.size
            self.bought_value += value


class Candles:
    """Running candles of one symbol, by interval."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._running: dict[str, Candle] = {}

    def add(self, interval: str, trade: Trade) -> list[dict[str, Any]]:
        """Messages of a trade: a candle that it shows to be over, and the one it belongs to.

        None of an interval the venue does not have: a stream of it is acknowledged and silent.
        """
        if interval not in INTERVALS:
            return []
        step = interval_ms(interval)
        open_ms = trade.ts_ms // step * step
        candle, told = self._running.get(interval), []
        if candle is not None and candle.open_ms != open_ms:
            told.append(self._message(candle, interval, step, trade.ts_ms, closed=True))
            candle = None
        if candle is None:
            candle = Candle(open_ms, trade, trade, trade.price, trade.price)
            self._running[interval] = candle
        candle.add(trade)
        return [*told, self._message(candle, interval, step, trade.ts_ms, closed=False)]

    def _message(
        self, candle: Candle, interval: str, step: int, now_ms: int, *, closed: bool
    ) -> dict[str, Any]:
        texts, rules = self._texts, self._texts.rules
        unit = rules.tick * rules.step

        def value(amount: int) -> str:
            return f"{amount * unit:.5f}"

        told = {
            "t": candle.open_ms,
            "T": candle.open_ms + step - 1,
            "s": rules.symbol,
            "i": interval,
            "f": candle.first.trade_id,
            "L": candle.last.trade_id,
            "o": texts.ticks(candle.first.price),
            "c": texts.ticks(candle.last.price),
            "h": texts.ticks(candle.high),
            "l": texts.ticks(candle.low),
            "v": texts.steps(candle.size),
            "n": candle.count,
            "x": closed,
            "q": value(candle.value),
            "V": texts.steps(candle.bought),
            "Q": value(candle.bought_value),
            "B": "0",
        }
        return {"e": "kline", "E": now_ms, "s": rules.symbol, "k": told}
