"""Whether the venue takes an order: Binance's checks in its order, with its codes."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal

from counterpoise.rehearsal.account import Account
from counterpoise.rehearsal.feed import Side
from counterpoise.rehearsal.filters import SymbolRules, check_client_id
from counterpoise.rehearsal.matching import Book
from counterpoise.rehearsal.orders import CONDITIONAL, ZERO, Order, OrderRequest, Refused


def admit(account: Account, book: Book, request: OrderRequest) -> tuple[int, bool]:
    """Check an order.

    Returns
    -------
    int
        Worst price it may fill at, ticks: its limit, or the band of a market order.
    bool
        It may only reduce a position.

    Raises
    ------
    Refused
        With Binance's code: filters (-1111, -4003, -4005, -4014, -4016, -4024, -4164), -1121
        symbol, -4120 conditional type, -4061 position side, -2022 nothing to reduce, -5022
        post-only would take, -4116 client id taken by an open order, -2019 margin, -2027 too
        large for the leverage, -4131 no counterparty within the band of a market order.
    """
    symbol, market = request.symbol, request.type == "MARKET"
    rules = account.rules_of(symbol)
    if request.type in CONDITIONAL:
        raise Refused(
            -4120,
            "Order type not supported for this endpoint. "
            "Please use the Algo Order API endpoints instead.",
        )
    if not market and request.type != "LIMIT":
        raise Refused(-1116, "Invalid orderType.")
    if request.position_side not in account.sides():
        raise Refused(-4061, "Order's position side does not match user's setting.")
    if account.hedge_mode and request.reduce_only:
        raise Refused(-1106, "Parameter 'reduceOnly' sent when not required.")
    if request.time_in_force == "GTD" and not request.good_till_ms:
        raise Refused(-1102, "Mandatory parameter 'goodTillDate' was not sent, was empty/null.")
    if request.client_id is not None:
        check_client_id(request.client_id)
    rules.check_quantity(request.quantity, market=market)
    mark = account.mark(symbol)
    if market:
        ticks, price = _market_bound(rules, book, request.side, mark)
    else:
        ticks = rules.check_price(request.price, request.side, mark)
        price = rules.price(ticks)
    closes = (request.position_side, request.side) in (("LONG", "SELL"), ("SHORT", "BUY"))
    reduces = request.reduce_only or closes
    if not reduces:
        rules.check_notional(request.quantity * price)
    elif not reducible(account, request):
        raise Refused(-2022, "ReduceOnly Order is rejected.")
    standing = [order for order in account.open_orders.values() if order.symbol == symbol]
    if request.client_id in {order.client_id for order in standing}:
        raise Refused(-4116, "ClientOrderId is duplicated.")
    if len(standing) >= rules.max_orders:
        raise Refused(-2025, "Reach max open order limit.")
    if request.time_in_force == "GTX":
        refuse_taking(book, request.side, ticks)
    if not reduces:
        account.refuse_unaffordable(
            symbol, request.side, request.position_side, request.quantity, price
        )
    return ticks, reduces


def _market_bound(rules: SymbolRules, book: Book, side: Side, mark: Decimal) -> tuple[int, Decimal]:
    """Worst price a market order takes, in ticks, and the best there is."""
    if side == "BUY":
        bound = int((mark * (1 + rules.band) / rules.tick).to_integral_value(ROUND_DOWN))
    else:
        bound = int((mark * (1 - rules.band) / rules.tick).to_integral_value(ROUND_UP))
    levels = book.opposite(side)
    best = levels.best()
    if best is None or levels.sign * (best - bound) > 0:
        raise Refused(
            -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
        )
    return bound, rules.price(best)


def refuse_taking(book: Book, side: Side, ticks: int) -> None:
    """Refuse a post-only order that would take, from the book or from ourselves (-5022)."""
    if book.crosses(side, ticks) or book.own_crossed(side, ticks):
        raise Refused(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be "
            "rejected. The order will not be recorded in the order history",
        )


def reducible(account: Account, order: Order | OrderRequest) -> Decimal:
    """ETH by which an order of that side can reduce its position."""
    amount = account.position(order.symbol, order.position_side).amount
    return max(-amount if order.side == "BUY" else amount, ZERO)
