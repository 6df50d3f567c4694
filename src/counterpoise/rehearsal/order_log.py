"""Every order the venue ever took, by id and by client id."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from counterpoise.rehearsal.orders import ZERO, Algo, Order, OrderRequest

FIRST_ID = 8_000_000_001


class OrderLog:
    """Orders of one account; what is open is in ``Account.open_orders`` too."""

    def __init__(self) -> None:
        self._ids = count(FIRST_ID)
        self._orders: dict[int, Order] = {}
        self._latest: dict[tuple[str, str | None], Order] = {}

    def resume(self, orders: Iterable[Order]) -> None:
        """Take over the orders of an earlier process, oldest first; ids go on after them."""
        for order in orders:
            self._orders[order.order_id] = order
            self._latest[order.symbol, order.client_id] = order
        self._ids = count(max(self._orders, default=FIRST_ID - 1) + 1)

    def enter(
        self, request: OrderRequest, now_ms: int, *, reduces: bool, algo: Algo | None = None
    ) -> Order:
        """Make an order of a request.

        Parameters
        ----------
        reduces : bool
            It may only reduce a position.
        algo : Algo, optional
            The conditional order it comes from.
        """
        order_id = next(self._ids)
        order = Order(
            order_id=order_id,
            client_id=request.client_id or f"venue-{order_id}",
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            original_type=algo.request.type if algo else request.type,
            time_in_force=request.time_in_force,
            position_side=request.position_side,
            price=request.price or ZERO,
            quantity=request.quantity,
            reduce_only=reduces,
            close_position=algo.request.close_position if algo else False,
            good_till_ms=request.good_till_ms,
            time_ms=now_ms,
            update_ms=now_ms,
            stop_price=(algo.request.trigger or ZERO) if algo else ZERO,
            working_type=algo.request.working_type if algo else "CONTRACT_PRICE",
        )
        self._orders[order_id] = order
        self._latest[order.symbol, order.client_id] = order
        return order

    def __getitem__(self, order_id: int) -> Order:
        return self._orders[order_id]

    def find(self, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        """An order by its id, or the latest one of that client id."""
        if order_id is None:
            return self._latest.get((symbol, client_id))
        order = self._orders.get(order_id)
        return order if order and order.symbol == symbol else None

    def all(self, symbol: str | None) -> list[Order]:
        """Copies, oldest first."""
        return [replace(o) for o in self._orders.values() if symbol in (None, o.symbol)]
