"""The local Binance USD-M venue without its wire: one account, some symbols, no clock of its own.

Every call takes the market's time. Market events come in by ``on``; what the owner of the account
is told comes out by ``drain``. Money, sizes and prices are exact. How it matches and what it does
not model: docs/venue.md.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from counterpoise.rehearsal.account import Account
from counterpoise.rehearsal.admission import admit, reducible, refuse_taking
from counterpoise.rehearsal.algos import AlgoDesk
from counterpoise.rehearsal.feed import BookTicker, Depth, Level, MarketEvent, MarkPrice, Trade
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.liquidation import MarginWatch
from counterpoise.rehearsal.matching import UNKNOWN, Book, Match, Resting
from counterpoise.rehearsal.order_log import OrderLog
from counterpoise.rehearsal.orders import ZERO, Algo, Order, OrderRequest, Refused, Status
from counterpoise.rehearsal.positions import Position, cents
from counterpoise.rehearsal.reports import Execution, OrderUpdate, UserTrade, VenueEvent


class Exchange:
    """A matching engine around one account.

    Parameters
    ----------
    rules : sequence of SymbolRules
        One per symbol (``filters.rules_of``).
    wallet, outside : Decimal
        USDT in the futures wallet at the start, and in the spot or funding wallet.

    Attributes
    ----------
    account : Account
        Positions, balance, leverage, margin type, position mode, transfers, trades and incomes.
    algos : AlgoDesk
        Conditional orders.
    books : dict of str to Book
        The replayed book of each symbol.
    marks : dict of str to MarkPrice
        Last mark event of each symbol.
    countdowns : dict of str to int
        When the open orders of a symbol are cancelled, ms.
    """

    def __init__(
        self,
        rules: Sequence[SymbolRules],
        wallet: Decimal = Decimal(10_000),
        outside: Decimal = ZERO,
    ) -> None:
        by_symbol = {rule.symbol: rule for rule in rules}
        self._told: list[VenueEvent] = []
        self.account = Account(by_symbol, wallet, outside, self._told)
        self.algos = AlgoDesk(self.account, self._enter, self._told)
        self.books = {symbol: Book() for symbol in by_symbol}
        self.marks: dict[str, MarkPrice] = {}
        self._orders = OrderLog()
        self._resting: dict[int, Resting] = {}
        self._algo_of: dict[int, Algo] = {}
        self.countdowns: dict[str, int] = {}
        self._due_ms: float = math.inf
        self._margin = MarginWatch(self.account, self.cancel_all, self._close_out, self._told)

    # --- the market --------------------------------------------------------------------------

    def on(self, event: MarketEvent) -> None:
        """Take in a market event: match, trigger, settle, liquidate."""
        symbol, now_ms = event.symbol, event.ts_ms
        self.advance(now_ms)
        if isinstance(event, BookTicker):
            self._fill_resting(symbol, self.books[symbol].ticker(event), now_ms)
        elif isinstance(event, Depth):
            self._fill_resting(symbol, self.books[symbol].depth(event), now_ms)
        elif isinstance(event, Trade):
            self._fill_resting(symbol, self.books[symbol].trade(event), now_ms)
            price = self.account.rules[symbol].price(event.price)
            self.algos.see(symbol, "CONTRACT_PRICE", price, now_ms)
        elif isinstance(event, MarkPrice):
            self.marks[symbol] = event
            self.account.marks[symbol] = event.mark
            self.algos.see(symbol, "MARK_PRICE", event.mark, now_ms)
            self._margin.look(now_ms)
        else:
            self.account.settle(event)
            self._margin.look(now_ms)

    def advance(self, now_ms: int) -> None:
        """Let time pass: expire GTD orders, and cancel what a countdown was not renewed for."""
        if now_ms < self._due_ms:
            return
        for symbol, due_ms in list(self.countdowns.items()):
            if due_ms <= now_ms:
                del self.countdowns[symbol]
                self.cancel_all(symbol, now_ms)
        for order in list(self.account.open_orders.values()):
            if order.time_in_force == "GTD" and order.good_till_ms <= now_ms:
                self._finish(order, "EXPIRED", "EXPIRED", now_ms)
        self._set_due()

    def resume(self, orders: list[Order], algos: list[Algo], countdown: dict[str, int]) -> None:
        """Go on with the orders of an earlier process; the account has its trades already."""
        self._orders.resume(orders)
        for order in filter(lambda one: one.is_open, orders):
            self.account.open_orders[order.order_id] = order
            self._rest(order).ahead = UNKNOWN
        for algo in algos:
            algo.order = algo.order and self._orders[algo.order.order_id]
            if algo.order and algo.order.is_open:
                self._algo_of[algo.order.order_id] = algo
        self.algos.resume(algos)
        self.countdowns = countdown
        self._set_due()

    def _set_due(self) -> None:
        standing = self.account.open_orders.values()
        ends = [order.good_till_ms for order in standing if order.time_in_force == "GTD"]
        self._due_ms = min([math.inf, *ends, *self.countdowns.values()])

    def drain(self) -> list[VenueEvent]:
        """What happened to the account since the last call, in order."""
        told = list(self._told)
        self._told.clear()
        return told

    def depth(self, symbol: str, limit: int = 1000) -> tuple[int, list[Level], list[Level]]:
        """Last update id, and best levels of bids and asks as the replay displays them."""
        book = self._book(symbol)
        bids = sorted(book.bids.size.items(), reverse=True)[:limit]
        asks = sorted(book.asks.size.items())[:limit]
        return book.last_id, bids, asks

    # --- orders ------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now_ms: int) -> Order:
        """Enter an order; returns it as it is after matching.

        Raises
        ------
        Refused
            As ``admission.admit``.
        """
        self.advance(now_ms)
        return self._enter(request, now_ms, None)

    def modify(
        self,
        symbol: str,
        quantity: Decimal,
        price: Decimal,
        now_ms: int,
        *,
        order_id: int | None = None,
        client_id: str | None = None,
    ) -> Order:
        """Change size and price of an open limit order, which goes to the end of the queue.

        Raises
        ------
        Refused
            -2013 no such open order, -5027 nothing changes, and what :meth:`place` refuses.
        """
        self.advance(now_ms)
        order = self._find(symbol, order_id, client_id)
        if order is None or not order.is_open:
            raise Refused(-2013, "Order does not exist.")
        if (order.quantity, order.price) == (quantity, price):
            raise Refused(-5027, "No need to modify the order.")
        rules = self.account.rules[symbol]
        ticks = rules.check_price(price, order.side, self.account.mark(symbol))
        rules.check_quantity(quantity, market=False)
        if order.time_in_force == "GTX":
            refuse_taking(self.books[symbol], order.side, ticks)
        if quantity <= order.executed:
            self._finish(order, "CANCELED", "CANCELED", now_ms)
            return replace(order)
        del self.account.open_orders[order.order_id]
        try:
            if not order.reduce_only:
                self.account.refuse_unaffordable(
                    symbol, order.side, order.position_side, quantity - order.executed, price
                )
        finally:
            self.account.open_orders[order.order_id] = order
        self._leave_book(order)
        order.quantity, order.price = quantity, price
        order.update_ms = now_ms
        self._tell(order, "AMENDMENT", now_ms)
        self._take(order, ticks, now_ms)
        return replace(order)

    def cancel(
        self,
        symbol: str,
        now_ms: int,
        *,
        order_id: int | None = None,
        client_id: str | None = None,
    ) -> Order:
        """Cancel an open order (-2011 where there is none)."""
        self.advance(now_ms)
        order = self._find(symbol, order_id, client_id)
        if order is None or not order.is_open:
            raise Refused(-2011, "Unknown order sent.")
        self._finish(order, "CANCELED", "CANCELED", now_ms)
        return replace(order)

    def cancel_all(self, symbol: str, now_ms: int) -> list[Order]:
        """Cancel every open order of a symbol; conditional orders stay (``algos.cancel_all``)."""
        self.account.rules_of(symbol)
        found = [self._orders[order.order_id] for order in self.open_orders(symbol)]
        for order in found:
            self._finish(order, "CANCELED", "CANCELED", now_ms)
        return [replace(order) for order in found]

    def countdown(self, symbol: str, ms: int, now_ms: int) -> None:
        """Cancel every open order of a symbol in so many ms unless told again; 0 ends it."""
        self.advance(now_ms)
        self.account.rules_of(symbol)
        self.countdowns.pop(symbol, None)
        if ms > 0:
            self.countdowns[symbol] = now_ms + ms
        self._set_due()

    def query(
        self, symbol: str, *, order_id: int | None = None, client_id: str | None = None
    ) -> Order:
        """An order, whatever became of it (-2013 where there is none)."""
        order = self._find(symbol, order_id, client_id)
        if order is None:
            raise Refused(-2013, "Order does not exist.")
        return replace(order)

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Open orders; one that was changed comes last."""
        return [
            replace(order)
            for order in self.account.open_orders.values()
            if symbol in (None, order.symbol)
        ]

    def all_orders(self, symbol: str | None = None) -> list[Order]:
        """Every order ever taken, oldest first."""
        return self._orders.all(symbol)

    def _find(self, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        self.account.rules_of(symbol)
        return self._orders.find(symbol, order_id, client_id)

    def _enter(self, request: OrderRequest, now_ms: int, algo: Algo | None) -> Order:
        ticks, reduces = admit(self.account, self._book(request.symbol), request)
        order = self._orders.enter(request, now_ms, reduces=reduces, algo=algo)
        self.account.open_orders[order.order_id] = order
        if algo:
            self._algo_of[order.order_id] = algo
            self.algos.entered(algo, order, now_ms)
        self._tell(order, "NEW", now_ms)
        self._take(order, ticks, now_ms)
        self._set_due()
        return replace(order)

    def _book(self, symbol: str) -> Book:
        self.account.rules_of(symbol)
        return self.books[symbol]

    # --- matching ----------------------------------------------------------------------------

    def _take(self, order: Order, ticks: int, now_ms: int) -> None:
        """Walk the book up to a limit; what is left rests or expires."""
        book, rules = self.books[order.symbol], self.account.rules[order.symbol]
        levels = book.opposite(order.side)
        wanted = order.remaining
        if order.reduce_only:
            wanted = min(wanted, reducible(self.account, order))
        steps = rules.steps(wanted)
        walked = levels.walk(ticks, steps)
        enough = sum(size for _, size in walked) == steps
        if order.time_in_force == "FOK" and not enough:
            self._finish(order, "EXPIRED", "EXPIRED", now_ms)
            return
        reach = walked[-1][0] if enough else ticks
        for resting in book.own_crossed(order.side, reach):
            own = self._orders[resting.order_id]
            self._finish(own, "EXPIRED_IN_MATCH", "EXPIRED", now_ms)
        for price, size in walked:
            levels.take(price, size)
            self._fill(order, size, price, maker=False, now_ms=now_ms)
        if order.is_open:
            if order.type == "MARKET" or order.time_in_force in ("IOC", "FOK"):
                self._finish(order, "EXPIRED", "EXPIRED", now_ms)
            else:
                self._rest(order)
        self._expire_reduce_only(order.symbol, now_ms)

    def _rest(self, order: Order) -> Resting:
        rules = self.account.rules[order.symbol]
        ticks, steps = rules.ticks(order.price), rules.steps(order.remaining)
        self._resting[order.order_id] = Resting(order.order_id, order.side, ticks, steps)
        self.books[order.symbol].add(self._resting[order.order_id])
        return self._resting[order.order_id]

    def _leave_book(self, order: Order) -> None:
        resting = self._resting.pop(order.order_id, None)
        if resting is not None:
            self.books[order.symbol].remove(resting)

    def _fill_resting(self, symbol: str, matches: list[Match], now_ms: int) -> None:
        for resting, steps in matches:
            order = self._orders[resting.order_id]
            if order.is_open:
                self._fill(order, steps, resting.price, maker=True, now_ms=now_ms)
        if matches:
            self._expire_reduce_only(symbol, now_ms)

    def _fill(self, order: Order, steps: int, ticks: int, *, maker: bool, now_ms: int) -> None:
        rules = self.account.rules[order.symbol]
        quantity, price = rules.quantity(steps), rules.price(ticks)
        if order.reduce_only:
            quantity = min(quantity, reducible(self.account, order))
            if not quantity:
                return
        fee = cents(quantity * price * (rules.maker_fee if maker else rules.taker_fee))
        self._book_fill(order, quantity, price, fee, maker, now_ms)

    def _book_fill(
        self,
        order: Order,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        maker: bool,
        now_ms: int,
        execution: Execution = "TRADE",
    ) -> None:
        order.executed += quantity
        order.quote += quantity * price
        order.update_ms = now_ms
        order.status = "PARTIALLY_FILLED" if order.remaining else "FILLED"
        if not order.remaining:
            del self.account.open_orders[order.order_id]
            self._leave_book(order)
        trade = self.account.fill(
            order,
            quantity,
            price,
            fee,
            maker=maker,
            trade_id=len(self.account.trades) + 1,
            now_ms=now_ms,
        )
        self._tell(order, execution, now_ms, trade)
        if not order.is_open:
            self._end_algo(order, now_ms)

    def _expire_reduce_only(self, symbol: str, now_ms: int) -> None:
        """Resting orders that have nothing left to reduce go."""
        for order in list(self.account.open_orders.values()):
            mine = order.symbol == symbol and order.reduce_only
            if mine and not reducible(self.account, order):
                self._finish(order, "EXPIRED", "EXPIRED", now_ms)

    def _finish(self, order: Order, status: Status, execution: Execution, now_ms: int) -> None:
        order.status = status
        order.update_ms = now_ms
        del self.account.open_orders[order.order_id]
        self._leave_book(order)
        self._tell(order, execution, now_ms)
        self._end_algo(order, now_ms)

    def _end_algo(self, order: Order, now_ms: int) -> None:
        algo = self._algo_of.pop(order.order_id, None)
        if algo is not None:
            self.algos.finished(algo, now_ms)

    def _tell(
        self, order: Order, execution: Execution, now_ms: int, trade: UserTrade | None = None
    ) -> None:
        self._told.append(OrderUpdate(now_ms, execution, replace(order), trade))

    def _close_out(self, position: Position, fee: Decimal, now_ms: int) -> None:
        """Close a liquidated position at the mark, beside the book."""
        mark, quantity = self.account.marks[position.symbol], abs(position.amount)
        wanted = OrderRequest(
            symbol=position.symbol,
            side="SELL" if position.amount > 0 else "BUY",
            type="LIMIT",
            quantity=quantity,
            price=mark,
            time_in_force="IOC",
            client_id=f"autoclose-{now_ms}-{position.symbol}",
            position_side=position.side,
        )
        order = self._orders.enter(wanted, now_ms, reduces=True)
        self.account.open_orders[order.order_id] = order
        self._tell(order, "NEW", now_ms)
        self._book_fill(order, quantity, mark, fee, False, now_ms, "CALCULATED")
