"""Conditional orders: they rest outside the book until a mark or a trade triggers them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from itertools import count

from counterpoise.rehearsal.account import Account
from counterpoise.rehearsal.filters import check_client_id
from counterpoise.rehearsal.orders import (
    CONDITIONAL,
    Algo,
    AlgoRequest,
    AlgoStatus,
    Order,
    OrderRequest,
    Refused,
    WorkingType,
)
from counterpoise.rehearsal.reports import AlgoUpdate, VenueEvent

#: Enters the order a trigger asks for; raises ``Refused``.
Enter = Callable[[OrderRequest, int, Algo], Order]
FIRST_ID = 1_000_000_000_000_001


class AlgoDesk:
    """Conditional orders of one account.

    Parameters
    ----------
    account : Account
    enter : callable
        ``Exchange`` enters what is triggered.
    told : list of VenueEvent
        Where events are appended.
    """

    def __init__(self, account: Account, enter: Enter, told: list[VenueEvent]) -> None:
        self._account = account
        self._enter = enter
        self._told = told
        self._algos: dict[int, Algo] = {}
        self._waiting: dict[int, Algo] = {}
        self._ids = count(FIRST_ID)
        #: Last price by symbol and working type, USD.
        self._prices: dict[tuple[str, WorkingType], Decimal] = {}

    def resume(self, algos: Iterable[Algo]) -> None:
        """Take over the conditional orders of an earlier process, oldest first."""
        for algo in algos:
            self._algos[algo.algo_id] = algo
            if algo.is_open:
                self._waiting[algo.algo_id] = algo
        self._ids = count(max(self._algos, default=FIRST_ID - 1) + 1)

    def place(self, request: AlgoRequest, now_ms: int) -> Algo:
        """Rest a conditional order.

        Raises
        ------
        Refused
            What filters and position mode refuse; -2021 it would trigger at once, -2022 nothing to
            reduce, -4116 the client id is taken by an open one, -4045 too many.
        """
        rules = self._account.rules_of(request.symbol)
        self._check(request)
        algo_id = next(self._ids)
        client_id = request.client_id or f"algo-{algo_id}"
        check_client_id(client_id)
        standing = self.open(request.symbol)
        if any(algo.client_id == client_id for algo in standing):
            raise Refused(-4116, "ClientOrderId is duplicated.")
        if len(standing) >= rules.max_algos:
            raise Refused(-4045, "Reach max stop order limit.")
        algo = Algo(
            algo_id=algo_id, client_id=client_id, request=request, time_ms=now_ms, update_ms=now_ms
        )
        price = self._prices.get((request.symbol, request.working_type))
        if request.type == "TRAILING_STOP_MARKET":
            if price is not None and request.trigger is None:
                algo.extreme = price
            elif price is not None and _activates(request, price):
                raise Refused(-2021, "Order would immediately trigger.")
        elif price is not None and _triggers(algo, price):
            raise Refused(-2021, "Order would immediately trigger.")
        self._algos[algo_id] = algo
        self._change(algo, "NEW", now_ms)
        return replace(algo)

    def _check(self, request: AlgoRequest) -> None:
        rules = self._account.rules_of(request.symbol)
        if request.type not in CONDITIONAL:
            raise Refused(-1116, "Invalid orderType.")
        if request.position_side not in self._account.sides():
            raise Refused(-4061, "Order's position side does not match user's setting.")
        if request.type == "TRAILING_STOP_MARKET":
            if request.callback_pct is None or not 0 < request.callback_pct <= 10:
                raise Refused(-2007, "Invalid callBack rate.")
        elif request.trigger is None:
            raise Refused(-1102, "Mandatory parameter 'triggerPrice' was not sent, was empty/null.")
        if request.trigger is not None:
            if request.trigger <= 0:
                raise Refused(-4006, "Stop price less than zero.")
            rules.ticks(request.trigger)
        if CONDITIONAL[request.type] == "LIMIT":
            if request.price is None:
                raise Refused(-1102, "Mandatory parameter 'price' was not sent, was empty/null.")
            rules.ticks(request.price)
        if request.close_position:
            if request.quantity is not None:
                raise Refused(-1106, "Parameter 'quantity' sent when not required.")
            return
        if request.quantity is None:
            raise Refused(-1102, "Mandatory parameter 'quantity' was not sent, was empty/null.")
        rules.check_quantity(request.quantity, market=CONDITIONAL[request.type] == "MARKET")
        if not request.reduce_only and request.position_side == "BOTH":
            at = request.price or request.trigger or self._account.mark(request.symbol)
            rules.check_notional(request.quantity * at)

    def cancel(
        self,
        now_ms: int,
        *,
        algo_id: int | None = None,
        client_id: str | None = None,
    ) -> Algo:
        """Cancel one that waits (-2011 where there is none)."""
        algo = self._find(algo_id, client_id)
        if algo is None or not algo.is_open:
            raise Refused(-2011, "Unknown order sent.")
        self._change(algo, "CANCELED", now_ms)
        return replace(algo)

    def cancel_all(self, symbol: str, now_ms: int) -> list[Algo]:
        """Cancel all that wait on a symbol."""
        self._account.rules_of(symbol)
        return [self.cancel(now_ms, algo_id=algo.algo_id) for algo in self.open(symbol)]

    def query(self, *, algo_id: int | None = None, client_id: str | None = None) -> Algo:
        """One of them, whatever became of it (-2013 where there is none)."""
        algo = self._find(algo_id, client_id)
        if algo is None:
            raise Refused(-2013, "Order does not exist.")
        return replace(algo)

    def open(self, symbol: str | None = None) -> list[Algo]:
        """Those that wait, oldest first."""
        waiting = self._waiting.values()
        return [replace(algo) for algo in waiting if symbol in (None, algo.request.symbol)]

    def all(self, symbol: str | None = None) -> list[Algo]:
        """Every one ever placed, oldest first."""
        return [
            replace(algo) for algo in self._algos.values() if symbol in (None, algo.request.symbol)
        ]

    def _find(self, algo_id: int | None, client_id: str | None) -> Algo | None:
        if algo_id is not None:
            return self._algos.get(algo_id)
        named = [algo for algo in self._algos.values() if algo.client_id == client_id]
        return named[-1] if named else None

    def see(self, symbol: str, working: WorkingType, price: Decimal, now_ms: int) -> None:
        """Trigger what a new mark or trade price triggers, oldest first."""
        self._prices[symbol, working] = price
        for algo in list(self._waiting.values()):
            if (algo.request.symbol, algo.request.working_type) != (symbol, working):
                continue
            if algo.request.type == "TRAILING_STOP_MARKET":
                _trail(algo, price)
            if _triggers(algo, price):
                self._trigger(algo, now_ms)

    def _trigger(self, algo: Algo, now_ms: int) -> None:
        algo.trigger_ms = now_ms
        self._change(algo, "TRIGGERING", now_ms)
        request = algo.request
        quantity = request.quantity
        if quantity is None:
            position = self._account.position(request.symbol, request.position_side)
            quantity = abs(position.amount)
        wanted = OrderRequest(
            symbol=request.symbol,
            side=request.side,
            type=CONDITIONAL[request.type],
            quantity=quantity,
            price=request.price if CONDITIONAL[request.type] == "LIMIT" else None,
            time_in_force=request.time_in_force,
            client_id=algo.client_id,
            reduce_only=(request.reduce_only or request.close_position)
            and request.position_side == "BOTH",
            position_side=request.position_side,
        )
        try:
            self._enter(wanted, now_ms, algo)
        except Refused as refusal:
            algo.reason = refusal.message
            self._change(algo, "REJECTED", now_ms)

    def entered(self, algo: Algo, order: Order, now_ms: int) -> None:
        """The exchange took the order of a triggered one."""
        algo.order = order
        self._change(algo, "TRIGGERED", now_ms)

    def finished(self, algo: Algo, now_ms: int) -> None:
        """The order of a triggered one has ended."""
        self._change(algo, "FINISHED", now_ms)

    def _change(self, algo: Algo, status: AlgoStatus, now_ms: int) -> None:
        algo.status = status
        algo.update_ms = now_ms
        if algo.is_open:
            self._waiting[algo.algo_id] = algo
        else:
            self._waiting.pop(algo.algo_id, None)
        order = replace(algo.order) if algo.order else None
        self._told.append(AlgoUpdate(now_ms, replace(algo, order=order)))


def _activates(request: AlgoRequest, price: Decimal) -> bool:
    """The price has reached the activation price of a trailing stop."""
    if request.trigger is None:
        return True
    return price <= request.trigger if request.side == "BUY" else price >= request.trigger


def _trail(algo: Algo, price: Decimal) -> None:
    """Follow the best price once active."""
    if algo.extreme is None:
        if _activates(algo.request, price):
            algo.extreme = price
    elif algo.request.side == "BUY":
        algo.extreme = min(algo.extreme, price)
    else:
        algo.extreme = max(algo.extreme, price)


def _triggers(algo: Algo, price: Decimal) -> bool:
    """The price triggers it."""
    request = algo.request
    if request.type == "TRAILING_STOP_MARKET":
        if algo.extreme is None or request.callback_pct is None:
            return False
        back = request.callback_pct / 100
        if request.side == "BUY":
            return price >= algo.extreme * (1 + back)
        return price <= algo.extreme * (1 - back)
    if request.trigger is None:
        return False
    rising = (request.side == "BUY") == request.type.startswith("STOP")
    return price >= request.trigger if rising else price <= request.trigger
