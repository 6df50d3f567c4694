"""JSON of Binance's stream messages: the market's, and those for the owner of the account."""

from collections.abc import Mapping
from typing import Any

from counterpoise.rehearsal.binance_shapes import SELF_TRADE, Json, Texts, usd
from counterpoise.rehearsal.feed import BookTicker, Depth, Level, MarkPrice, Trade
from counterpoise.rehearsal.orders import ZERO
from counterpoise.rehearsal.reports import (
    AccountUpdate,
    AlgoUpdate,
    LeverageUpdate,
    MarginCall,
    OrderUpdate,
    PositionReport,
    VenueEvent,
)


def levels(rows: tuple[Level, ...] | list[Level], texts: Texts) -> list[list[str]]:
    """Rows of a book."""
    return [[texts.ticks(price), texts.steps(size)] for price, size in rows]


def depth_update(event: Depth, ids: tuple[int, int, int], texts: Texts) -> Json:
    """A change of the book; ``ids`` are first, last and previous of the stream."""
    first, last, previous = ids
    return {
        "e": "depthUpdate",
        "E": event.ts_ms,
        "T": event.ts_ms,
        "s": event.symbol,
        "ps": event.symbol,
        "U": first,
        "u": last,
        "pu": previous,
        "b": levels(event.bids, texts),
        "a": levels(event.asks, texts),
    }


def book_ticker(event: BookTicker, last_id: int, texts: Texts) -> Json:
    """Best bid and ask."""
    return {
        "e": "bookTicker",
        "u": last_id,
        "s": event.symbol,
        "ps": event.symbol,
        "b": texts.ticks(event.bid),
        "B": texts.steps(event.bid_size),
        "a": texts.ticks(event.ask),
        "A": texts.steps(event.ask_size),
        "T": event.ts_ms,
        "E": event.ts_ms,
    }


def trade(event: Trade, texts: Texts) -> Json:
    """A public trade."""
    return {
        "e": "trade",
        "E": event.ts_ms,
        "T": event.ts_ms,
        "s": event.symbol,
        "t": event.trade_id,
        "p": texts.ticks(event.price),
        "q": texts.steps(event.size),
        "X": "MARKET",
        "m": event.taker == "SELL",
    }


def agg_trade(event: Trade, texts: Texts) -> Json:
    """The same, as an aggregate of one."""
    return {
        "e": "aggTrade",
        "E": event.ts_ms,
        "s": event.symbol,
        "a": event.trade_id,
        "p": texts.ticks(event.price),
        "q": texts.steps(event.size),
        "nq": texts.steps(event.size),
        "f": event.trade_id,
        "l": event.trade_id,
        "T": event.ts_ms,
        "m": event.taker == "SELL",
    }


def mark_price(event: MarkPrice) -> Json:
    """Mark and index price with the running funding rate."""
    return {
        "e": "markPriceUpdate",
        "E": event.ts_ms,
        "s": event.symbol,
        "p": f"{event.mark:.8f}",
        "ap": f"{event.mark:.8f}",
        "P": f"{event.index_price:.8f}",
        "i": f"{event.index_price:.8f}",
        "r": f"{event.rate:.8f}",
        "T": event.next_funding_ms,
    }


def premium_index(event: MarkPrice) -> Json:
    """The REST reply of the same."""
    return {
        "symbol": event.symbol,
        "markPrice": f"{event.mark:.8f}",
        "indexPrice": f"{event.index_price:.8f}",
        "estimatedSettlePrice": f"{event.index_price:.8f}",
        "lastFundingRate": f"{event.rate:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": event.next_funding_ms,
        "time": event.ts_ms,
    }


def mark_prices(event: MarkPrice) -> list[Json]:
    """The same for those who hear every symbol."""
    return [mark_price(event)]


def partial_levels(stream: str) -> int | None:
    """How many levels a stream of the book's top has; None where it is one of changes.

    Examples
    --------
    >>> partial_levels("ethusdt@depth20@100ms"), partial_levels("ethusdt@depth@100ms")
    (20, None)
    """
    count = stream.split("@")[1].removeprefix("depth")
    return int(count) if count.isdigit() else None


def user_event(event: VenueEvent, texts_of: Mapping[str, Texts]) -> Json:
    """A message for the owner of the account."""
    match event:
        case OrderUpdate():
            return _order_update(event, texts_of[event.order.symbol])
        case AlgoUpdate():
            return _algo_update(event, texts_of[event.algo.request.symbol])
        case AccountUpdate():
            return _account_update(event, texts_of)
        case LeverageUpdate():
            config = {"s": event.symbol, "l": event.leverage}
            return _message("ACCOUNT_CONFIG_UPDATE", event.ts_ms, {"ac": config})
        case MarginCall():
            rows = [
                _margin_call_position(position, texts_of[position.symbol])
                for position in event.positions
            ]
            called = {"cw": usd(event.cross_wallet), "p": rows}
            return {"e": "MARGIN_CALL", "E": event.ts_ms} | called


def trade_lite(event: OrderUpdate, texts_of: Mapping[str, Texts]) -> Json:
    """The short message of a fill, which comes before the long one."""
    order, fill, texts = event.order, event.trade, texts_of[event.order.symbol]
    assert fill is not None
    return _message(
        "TRADE_LITE",
        event.ts_ms,
        {
            "s": order.symbol,
            "q": texts.size(order.quantity),
            "p": texts.price(order.price),
            "m": fill.maker,
            "c": order.client_id,
            "S": order.side,
            "L": texts.price(fill.price),
            "l": texts.size(fill.quantity),
            "t": fill.trade_id,
            "i": order.order_id,
        },
    )


def _message(name: str, ts_ms: int, content: Json) -> Json:
    return {"e": name, "E": ts_ms, "T": ts_ms} | content


def _order_update(event: OrderUpdate, texts: Texts) -> Json:
    order, fill = event.order, event.trade
    told: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": texts.size(order.quantity),
        "p": texts.price(order.price),
        "ap": f"{order.average:.5f}",
        "sp": texts.price(order.stop_price),
        "x": event.execution,
        "X": order.status,
        "i": order.order_id,
        "l": texts.size(fill.quantity if fill else ZERO),
        "z": texts.size(order.executed),
        "L": texts.price(fill.price if fill else ZERO),
    }
    if fill is not None:
        told |= {"N": "USDT", "n": usd(fill.commission)}
    told |= {
        "T": event.ts_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.original_type,
        "ps": order.position_side,
        "cp": order.close_position,
        "rp": usd(fill.realised if fill else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": SELF_TRADE,
        "pm": "NONE",
        "gtd": order.good_till_ms,
        "er": "0",
    }
    return _message("ORDER_TRADE_UPDATE", event.ts_ms, {"o": told})


def _algo_update(event: AlgoUpdate, texts: Texts) -> Json:
    algo, asked, became = event.algo, event.algo.request, event.algo.order
    told: dict[str, Any] = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": asked.type,
        "s": asked.symbol,
        "S": asked.side,
        "ps": asked.position_side,
        "f": asked.time_in_force,
        "q": texts.size(asked.quantity or ZERO),
        "X": algo.status,
        "ai": str(became.order_id) if became else "",
        "ap": f"{became.average:.5f}" if became else "0.00000",
        "aq": texts.size(became.executed if became else ZERO),
        "act": became.type if became else "0",
        "tp": texts.price(asked.trigger or ZERO),
        "p": texts.price(asked.price or ZERO),
        "V": SELF_TRADE,
        "wt": asked.working_type,
        "pm": "NONE",
        "cp": asked.close_position,
        "pP": False,
        "R": asked.reduce_only,
        "tt": algo.trigger_ms,
        "gtd": 0,
        "rm": algo.reason,
    }
    return _message("ALGO_UPDATE", event.ts_ms, {"o": told})


def _account_update(event: AccountUpdate, texts_of: Mapping[str, Texts]) -> Json:
    balance = {
        "a": "USDT",
        "wb": usd(event.balance.wallet),
        "cw": usd(event.balance.cross_wallet),
        "bc": usd(event.balance_change),
    }
    positions = [
        {
            "s": position.symbol,
            "pa": texts_of[position.symbol].size(position.amount),
            "ep": f"{position.entry:.8f}",
            "bep": f"{position.break_even:.8f}",
            "cr": "0",
            "up": usd(position.unrealised),
            "mt": "isolated" if position.isolated else "cross",
            "iw": usd(position.isolated_wallet),
            "ps": position.position_side,
        }
        for position in event.positions
    ]
    content = {"m": event.reason, "B": [balance], "P": positions}
    return _message("ACCOUNT_UPDATE", event.ts_ms, {"a": content})


def _margin_call_position(position: PositionReport, texts: Texts) -> Json:
    return {
        "s": position.symbol,
        "ps": position.position_side,
        "pa": texts.size(position.amount),
        "mt": "ISOLATED" if position.isolated else "CROSSED",
        "iw": usd(position.isolated_wallet),
        "mp": f"{position.mark:.8f}",
        "up": usd(position.unrealised),
        "mm": usd(position.maintenance),
    }
