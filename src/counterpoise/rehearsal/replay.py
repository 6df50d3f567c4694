"""Drives an exchange through a market in process: no network and no clock."""

from collections.abc import Callable

from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.feed import Market, MarketEvent


def replay(
    market: Market,
    exchange: Exchange,
    on_event: Callable[[MarketEvent], None],
    *,
    until_ms: int | None = None,
) -> None:
    """Feed every event to the exchange, then call back.

    Parameters
    ----------
    market : Market
    exchange : Exchange
    on_event : callable
        Called after the exchange took the event in; it may place and cancel at ``event.ts_ms``
        (or later, to model latency) and ``drain``. From the first best quote on there is a mark and
        a book to trade with.
    until_ms : int, optional
        Stop before the first event after this moment; default: to the end.

    Examples
    --------
    A best quote, and a market order against it:

    >>> from decimal import Decimal
    >>> from counterpoise.rehearsal.feed import BookTicker, MarkPrice
    >>> from counterpoise.rehearsal.filters import rules_of
    >>> from counterpoise.rehearsal.orders import OrderRequest
    >>> from counterpoise.venues import venues
    >>> price = Decimal(3000)
    >>> market = [
    ...     MarkPrice(0, "ETHUSDT", price, price, Decimal("0.0001"), 28_800_000),
    ...     BookTicker(1, "ETHUSDT", 1, 299_999, 5_000, 300_001, 5_000),
    ... ]
    >>> exchange = Exchange([rules_of(venues["binance"][-1])])
    >>> def sell(event):
    ...     if isinstance(event, BookTicker):
    ...         wanted = OrderRequest(
    ...             symbol="ETHUSDT", side="SELL", type="MARKET", quantity=Decimal("0.5")
    ...         )
    ...         print(exchange.place(wanted, event.ts_ms).average)
    >>> replay(market, exchange, sell)
    2999.99
    """
    for event in market:
        if until_ms is not None and event.ts_ms > until_ms:
            return
        exchange.on(event)
        on_event(event)
