"""The local exchange at the end of a bad wire, on simulated time.

Requests and answers are late, lost, doubled and overtake each other; what the exchange tells comes
by a stream that is cut now and then. Parts of an account query are looked up at moments of their
own, as a venue does. Nothing here knows how the machines work.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from itertools import count

from counterpoise.execution.commands import (
    Cancel,
    CancelStop,
    Command,
    Countdown,
    Place,
    PlaceStop,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    Transfer,
)
from counterpoise.execution.events import (
    Event,
    Fill,
    Mark,
    OpenOrder,
    OrderUpdate,
    Quote,
    Side,
    Snapshot,
    Status,
    Trade,
    TransferDone,
)
from counterpoise.rehearsal import feed, reports
from counterpoise.rehearsal.exchange import Exchange
from counterpoise.rehearsal.filters import rules_of
from counterpoise.rehearsal.orders import Algo, AlgoRequest, Order, OrderRequest, Refused
from counterpoise.units import NS_PER_MS, NS_PER_S
from tests.execution.account import CONTRACT, START_NS

SYMBOL = "ETHUSDT"
RULES = rules_of(CONTRACT)
#: The venue refuses what comes later than this.
RECV_WINDOW_NS = 5 * NS_PER_S
STATUS: dict[str, Status] = {
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    "REJECTED": "rejected",
    "TRIGGERING": "open",
    "TRIGGERED": "open",
    "FINISHED": "unknown",
}


@dataclass
class Faults:
    """Shares of messages that meet a fate."""

    late: float = 0.0
    lost_request: float = 0.0
    lost_answer: float = 0.0
    twice: float = 0.0
    cuts: list[tuple[int, int]] = field(default_factory=list)


class Clockwork:
    """What happens when; the moments are the venue's time, ns."""

    def __init__(self) -> None:
        self.now = START_NS
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, ts_ns: int, happens: Callable[[], None]) -> None:
        heappush(self._waiting, (max(ts_ns, self.now), next(self._number), happens))

    def run(self, until: int) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            self.now, _, happens = heappop(self._waiting)
            happens()
        self.now = until


class BadWire:
    """The exchange and the way to it.

    Parameters
    ----------
    rng : random.Random
    clock : Clockwork
    faults : Faults
    """

    def __init__(self, rng: random.Random, clock: Clockwork, faults: Faults) -> None:
        self.rng, self.clock, self.faults = rng, clock, faults
        self.exchange = Exchange([RULES], Decimal(3_000), Decimal(10_000_000))
        #: Whoever listens: an event of the stream or an answer, None while nobody runs.
        self.tell: Callable[[Event], None] | None = None
        self.skew_ns = 0
        self.arrived: list[str] = []
        #: The longest time that a buy stop did not rest, once one did, while a short was held, ns.
        self.bare_ns: int | None = None
        self.watch: Callable[[], None] = lambda: None
        #: Orders of earlier runs are not told of by the stream.
        self.unclaimed: set[str] = set()
        self._mid = 200_000
        self._told: list[Fill] = []
        self._book: tuple[list[feed.Level], list[feed.Level]] = ([], [])
        self._ids = count(2)

    # --- the market --------------------------------------------------------------------------

    def tick(self, *, mark: bool) -> None:
        """A new book, a trade, and a mark now and then."""
        rng, now_ms = self.rng, self.clock.now // NS_PER_MS
        self._mid += round(rng.gauss(0.0, 12.0))
        if mark:
            price = RULES.price(self._mid)
            self.exchange.on(
                feed.MarkPrice(now_ms, SYMBOL, price, price, Decimal("0.0001"), now_ms + 10**7)
            )
            usd = self._mid * 0.01
            self.stream(Mark(self.clock.now, usd, usd, 0.0001, (now_ms + 10**7) * NS_PER_MS))
        bids = [(self._mid - 1 - k, rng.randint(50, 3_000)) for k in range(3)]
        asks = [(self._mid + 1 + k, rng.randint(50, 3_000)) for k in range(3)]
        gone = [
            [(price, 0) for price, _ in before if price not in {p for p, _ in now}]
            for before, now in zip(self._book, (bids, asks), strict=True)
        ]
        number = next(self._ids)
        self.exchange.on(
            feed.Depth(
                now_ms,
                SYMBOL,
                number,
                number,
                number - 1,
                (*gone[0], *bids),
                (*gone[1], *asks),
                fresh=True,
            )
        )
        self._book = bids, asks
        self.stream(
            Quote(
                self.clock.now,
                bids[0][0] * 0.01,
                bids[0][1] * 0.001,
                asks[0][0] * 0.01,
                asks[0][1] * 0.001,
            )
        )
        buys = rng.random() < 0.5
        price, size = (asks if buys else bids)[0][0], rng.randint(200, 6_000)
        self.exchange.on(feed.Trade(now_ms, SYMBOL, number, price, size, "BUY" if buys else "SELL"))
        self.stream(Trade(self.clock.now, price * 0.01, size * 0.001, "buy" if buys else "sell"))
        self.drained()

    def jump_to(self, price: float) -> None:
        """Let the market be somewhere else at once."""
        self._mid = round(price * 100)

    def drained(self) -> None:
        """Tell what happened to the account."""
        self.watch()
        for event in self.exchange.drain():
            if isinstance(event, reports.OrderUpdate):
                self._tell_order(event)
            elif isinstance(event, reports.AlgoUpdate) and event.algo.client_id not in (
                self.unclaimed
            ):
                algo = event.algo
                if algo.status in ("NEW", "CANCELED", "REJECTED", "EXPIRED"):
                    self.stream(OrderUpdate(self.mine(), algo.client_id, STATUS[algo.status]))

    def _tell_order(self, event: reports.OrderUpdate) -> None:
        order = event.order
        if order.client_id in self.unclaimed or order.client_id.startswith("web"):
            return
        if event.trade is not None:
            self.stream(self._fill(event.trade, order.client_id))
            if order.is_open:
                return
        status = STATUS[order.status]
        self.stream(OrderUpdate(self.mine(), order.client_id, status, float(order.executed)))

    def _fill(self, trade: reports.UserTrade, client_id: str) -> Fill:
        return Fill(
            trade.time_ms * NS_PER_MS,
            client_id,
            str(trade.trade_id),
            _side(trade.side),
            float(trade.price),
            float(trade.quantity),
            float(trade.commission),
            trade.maker,
        )

    def mine(self) -> int:
        """The clock of whoever listens."""
        return self.clock.now + self.skew_ns

    # --- the way there and back --------------------------------------------------------------

    def latency(self) -> int:
        rng = self.rng
        if rng.random() < self.faults.late:
            return round(rng.uniform(0.5, 8.0) * NS_PER_S)
        return round(rng.uniform(0.01, 0.3) * NS_PER_S)

    def stream(self, event: Event) -> None:
        """By the stream: lost while it is cut, late, twice, out of order."""
        now = self.clock.now
        if self.tell is None or any(start <= now < end for start, end in self.faults.cuts):
            return
        self._deliver(event)
        if isinstance(event, Fill | OrderUpdate) and self.rng.random() < self.faults.twice:
            self._deliver(event)

    def answer(self, event: Event) -> None:
        """By the connection that asked."""
        if self.rng.random() >= self.faults.lost_answer:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        tell = self.tell
        if tell is not None:
            # Market data of one stream stay in their order; the machines get no older quote.
            wait = 10_000_000 if isinstance(event, Quote | Mark | Trade) else self.latency()
            self.clock.at(self.clock.now + wait, lambda: tell(event))

    def ask(self, does: Callable[[], None]) -> None:
        """Something arrives at the venue, late or not at all; the sender may be dead by then."""
        if self.rng.random() < self.faults.lost_request:
            return
        wait = self.latency()
        if wait < RECV_WINDOW_NS:
            self.clock.at(self.clock.now + wait, does)

    def take(self, command: Command) -> None:
        """Carry a command to the venue."""
        match command:
            case Place():
                self.ask(lambda: self._place(command))
            case PlaceStop():
                self.ask(lambda: self._place_stop(command))
            case Cancel(client_id=name):
                self.ask(lambda: self._cancel(name))
            case CancelStop(client_id=name):
                self.ask(lambda: self._cancel_stop(name))
            case QueryOrder(client_id=name):
                self.ask(lambda: self._query(name))
            case QueryAccount():
                self.account(self.answer)
            case Transfer():
                self.ask(lambda: self._transfer(command))
                self.follow(command.client_id, command.usd)
            case Countdown(ms=ms):
                self.ask(lambda: self.exchange.countdown(SYMBOL, ms, self.now_ms))
            case SetLeverage(leverage=leverage):
                self.ask(lambda: self._set_leverage(leverage))

    @property
    def now_ms(self) -> int:
        return self.clock.now // NS_PER_MS

    def _place(self, command: Place) -> None:
        self._count(command.client_id)
        wanted = OrderRequest(
            symbol=SYMBOL,
            side="SELL" if command.side == "sell" else "BUY",
            type="LIMIT",
            quantity=_exact(command.size),
            price=_exact(command.price),
            time_in_force="GTX" if command.post_only else "IOC",
            client_id=command.client_id,
            reduce_only=command.reduce_only,
        )
        try:
            self.exchange.place(wanted, self.now_ms)
        except Refused as refused:
            self._refused(command.client_id, refused)
        self.drained()

    def _place_stop(self, command: PlaceStop) -> None:
        self._count(command.client_id)
        wanted = AlgoRequest(
            symbol=SYMBOL,
            side="SELL" if command.side == "sell" else "BUY",
            type="STOP_MARKET",
            quantity=_exact(command.size),
            trigger=_exact(command.trigger),
            client_id=command.client_id,
            reduce_only=command.reduce_only,
            working_type="MARK_PRICE",
        )
        try:
            self.exchange.algos.place(wanted, self.now_ms)
        except Refused as refused:
            self._refused(command.client_id, refused)
        self.drained()

    def _count(self, client_id: str) -> None:
        assert client_id not in self.arrived, f"{client_id} reached the venue twice"
        self.arrived.append(client_id)

    def _refused(self, client_id: str, refused: Refused) -> None:
        self.answer(
            OrderUpdate(self.mine(), client_id, "rejected", 0.0, refused.code, refused.message)
        )

    def _cancel(self, client_id: str) -> None:
        try:
            self.exchange.cancel(SYMBOL, self.now_ms, client_id=client_id)
        except Refused:
            self._query(client_id)
        self.drained()

    def _cancel_stop(self, client_id: str) -> None:
        try:
            self.exchange.algos.cancel(self.now_ms, client_id=client_id)
        except Refused:
            self._query(client_id)
        self.drained()

    def _transfer(self, command: Transfer) -> None:
        ok, reason = True, ""
        try:
            self.exchange.account.transfer(_exact(command.usd), self.now_ms)
        except Refused as refused:
            ok, reason = False, refused.message
        self._count(command.client_id)
        self.answer(TransferDone(self.mine(), command.client_id, command.usd, ok, reason))

    def follow(self, client_id: str, usd: float) -> None:
        """Look into the list of transfers when a request can no longer be on its way."""

        def look() -> None:
            ok = client_id in self.arrived
            self._deliver(TransferDone(self.mine(), client_id, usd, ok, "" if ok else "not listed"))

        if self.tell is not None:
            tell = self.tell
            self.clock.at(
                self.clock.now + 3 * RECV_WINDOW_NS, lambda: look() if self.tell is tell else None
            )

    def _set_leverage(self, leverage: int) -> None:
        try:
            self.exchange.account.set_leverage(SYMBOL, leverage, self.now_ms)
        except Refused:
            return
        self.drained()

    # --- queries -----------------------------------------------------------------------------

    def _query(self, client_id: str) -> None:
        """An order, then its trades a moment later; of a stop, the order that it became."""
        found = _found(self.exchange, client_id)
        if found is None:
            self.answer(OrderUpdate(self.mine(), client_id, "missing"))
            return
        status, filled = STATUS[found.status], 0.0
        if isinstance(found, Order):
            filled = float(found.executed)

        def trades() -> None:
            if self.rng.random() < self.faults.lost_answer or self.tell is None:
                return
            fills = self.fills(client_id) if filled else ()
            told, tell = OrderUpdate(self.mine(), client_id, status, filled), self.tell

            def both() -> None:
                for event in (*fills, told):
                    tell(event)

            self.clock.at(self.clock.now + self.latency(), both)

        self.clock.at(self.clock.now + self.latency() // 4, trades)

    def fills(self, client_id: str | None = None) -> tuple[Fill, ...]:
        """Trades of an order, or of all, oldest first."""
        for trade in self.exchange.account.trades[len(self._told) :]:
            order = self.exchange.query(SYMBOL, order_id=trade.order_id)
            self._told.append(self._fill(trade, order.client_id))
        return tuple(fill for fill in self._told if client_id in (None, fill.client_id))

    def account(self, told: Callable[[Snapshot], None], *, sure: bool = False) -> None:
        """Look at position, orders and trades at moments of their own, then answer."""
        asked = self.mine()
        parts: dict[str, object] = {}

        def look(part: str, how: Callable[[], object]) -> Callable[[], None]:
            def now() -> None:
                parts[part] = how()
                if len(parts) == 3:
                    told(self._snapshot(asked, parts))

            return now

        for part, how in (
            ("position", self._position),
            ("orders", self._open),
            ("fills", self.fills),
        ):
            if not sure and self.rng.random() < self.faults.lost_request / 3:
                continue
            self.clock.at(self.clock.now + self.latency(), look(part, how))

    def _position(self) -> tuple[float, ...]:
        account = self.exchange.account
        report, balance = account.report(account.position(SYMBOL)), account.balance()
        return (
            -float(report.amount),
            float(report.entry),
            float(report.mark),
            float(report.liquidation),
            float(balance.wallet),
            float(balance.equity),
            float(balance.available),
            float(report.leverage),
        )

    def _open(self) -> tuple[tuple[OpenOrder, ...], tuple[OpenOrder, ...]]:
        orders = tuple(
            OpenOrder(
                order.client_id,
                _side(order.side),
                float(order.quantity),
                float(order.executed),
                float(order.price),
                order.reduce_only,
            )
            for order in self.exchange.open_orders(SYMBOL)
        )
        stops = tuple(
            OpenOrder(
                algo.client_id,
                _side(algo.request.side),
                float(algo.request.quantity or 0),
                0.0,
                0.0,
                algo.request.reduce_only,
                float(algo.request.trigger or 0),
            )
            for algo in self.exchange.algos.open(SYMBOL)
        )
        return orders, stops

    def _snapshot(self, asked: int, parts: dict[str, object]) -> Snapshot:
        orders, stops = parts["orders"]  # type: ignore[misc]
        return Snapshot(
            asked,
            *parts["position"],  # type: ignore[misc]
            False,
            orders,
            stops,
            parts["fills"],  # type: ignore[arg-type]
        )

    @property
    def short_eth(self) -> float:
        return -float(self.exchange.account.position(SYMBOL).amount)

    def buy_stops(self) -> list[str]:
        return [a.client_id for a in self.exchange.algos.open(SYMBOL) if a.request.side == "BUY"]


def _found(exchange: Exchange, client_id: str) -> Order | Algo | None:
    try:
        return exchange.query(SYMBOL, client_id=client_id)
    except Refused:
        pass
    try:
        return exchange.algos.query(client_id=client_id)
    except Refused:
        return None


def _side(given: str) -> Side:
    return "sell" if given == "SELL" else "buy"


def _exact(value: float) -> Decimal:
    return Decimal(repr(round(value, 6)))
