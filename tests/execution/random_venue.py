"""A tiny venue with faults: what it is asked arrives late, out of order, twice, or not at all."""

from dataclasses import dataclass, field

from counterpoise.execution.commands import Cancel, Place, QueryOrder
from counterpoise.execution.events import Event, Fill, OrderUpdate, Status
from counterpoise.execution.plan import Filters

GRID = Filters(0.001, 0.01, 20.0)


@dataclass
class AtVenue:
    """An order as the venue has it."""

    place: Place
    steps: int
    filled: int = 0
    status: Status = "open"
    fills: list[Fill] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.status == "open"


class RandomVenue:
    """Orders of one account; the test decides what fills, what fails and what is told."""

    def __init__(self) -> None:
        self.orders: dict[str, AtVenue] = {}
        self.on_the_way: list[Place] = []
        self.most_alive = 0
        self.trades = 0

    @property
    def filled(self) -> int:
        return sum(order.filled for order in self.orders.values())

    def alive(self) -> list[AtVenue]:
        return [order for order in self.orders.values() if order.alive]

    def arrive(self, place: Place, now: int, code: int = 0) -> list[Event]:
        """An order reaches the venue, which accepts it or refuses it with a code."""
        assert place.client_id not in self.orders, "sent twice"
        order = AtVenue(place, GRID.steps(place.size))
        self.orders[place.client_id] = order
        if code:
            order.status = "rejected"
            return [OrderUpdate(now, place.client_id, "rejected", 0.0, code, "refused")]
        self.most_alive = max(self.most_alive, len(self.alive()))
        return [self.told(order, now)]

    def told(self, order: AtVenue, now: int) -> OrderUpdate:
        return OrderUpdate(now, order.place.client_id, order.status, GRID.eth(order.filled))

    def trade(self, order: AtVenue, steps: int, now: int) -> list[Event]:
        """Fill so many steps."""
        steps = min(steps, order.steps - order.filled)
        if steps == 0 or not order.alive:
            return []
        order.filled += steps
        self.trades += 1
        place = order.place
        fill = Fill(
            now,
            place.client_id,
            f"t{self.trades}",
            place.side,
            place.price,
            GRID.eth(steps),
            0.0002 * place.price * GRID.eth(steps),
            place.post_only,
        )
        order.fills.append(fill)
        if order.filled == order.steps:
            order.status = "filled"
        return [self.told(order, now), fill]

    def expire(self, order: AtVenue, now: int) -> list[Event]:
        """What an immediate-or-cancel order did not fill is over."""
        if not order.alive:
            return []
        order.status = "expired"
        return [self.told(order, now)]

    def cancel(self, command: Cancel, now: int) -> list[Event]:
        order = self.orders.get(command.client_id)
        if order is None or not order.alive:
            return []
        order.status = "canceled"
        return [self.told(order, now)]

    def query(self, command: QueryOrder, now: int) -> list[Event]:
        order = self.orders.get(command.client_id)
        if order is None:
            return [OrderUpdate(now, command.client_id, "missing")]
        return [self.told(order, now), *order.fills]
