"""The shell: NautilusTrader's events in, the controller's commands out, the journal in between.

One strategy for the event-driven backtest, a rehearsal, paper, testnet and live. It decides
nothing. What a controller wants remembered is committed before any of its commands leaves.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.common.events import TimeEvent
from nautilus_trader.core.data import Data
from nautilus_trader.model.data import DataType, QuoteTick, TradeTick
from nautilus_trader.model.enums import (
    AggressorSide,
    LiquiditySide,
    OrderSide,
    TimeInForce,
    TriggerType,
)
from nautilus_trader.model.events import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from nautilus_trader.model.identifiers import ClientId, ClientOrderId, InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from counterpoise.execution.commands import (
    Alarm,
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
    WakeAt,
)
from counterpoise.execution.controller import Controller
from counterpoise.execution.events import (
    Event,
    Fill,
    Mark,
    OrderUpdate,
    Quote,
    Side,
    Trade,
    Wake,
)
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import Record
from counterpoise.trading.refusals import WOULD_TAKE, refusal_of

#: Of what the shell asks an account link: everything NautilusTrader does not do.
Asked = QueryOrder | QueryAccount | SetLeverage | Transfer | Countdown | Alarm


class AccountLink(Protocol):
    """What answers the commands that are not orders, by events delivered to the shell."""

    def send(self, command: Asked) -> None:
        """Take a command; never waits."""


class Told(Data):  # type: ignore[misc]
    """One of our events among a backtest's data."""

    def __init__(self, event: Event) -> None:
        self.event = event

    @property
    def ts_event(self) -> int:
        """Nanoseconds UTC."""
        return self.event.ts_ns

    @property
    def ts_init(self) -> int:
        """Nanoseconds UTC."""
        return self.event.ts_ns


class Shell(Strategy):  # type: ignore[misc]
    """The strategy that NautilusTrader runs.

    Parameters
    ----------
    instrument_id : InstrumentId
    controller : Controller
    commit : callable
        Commits records of one event, durably, before it returns.
    link : AccountLink
    first : Outbox
        What the controller's start led to.
    now_ns : callable, optional
        The market's clock; NautilusTrader's own by default.
    wall_ns : callable, optional
        NautilusTrader's time of a market time, for timers; the same by default.
    """

    def __init__(
        self,
        instrument_id: InstrumentId,
        controller: Controller,
        commit: Callable[[Sequence[Record]], None],
        link: AccountLink,
        first: Outbox,
        *,
        now_ns: Callable[[], int] | None = None,
        wall_ns: Callable[[int], int] | None = None,
    ) -> None:
        super().__init__(StrategyConfig(strategy_id="counterpoise", order_id_tag="000"))
        self.controller = controller
        self._instrument_id = instrument_id
        self._commit = commit
        self._link = link
        self._first = first
        self._now_ns = now_ns
        self._wall_ns = wall_ns
        self._waiting: deque[Event] = deque()
        self._taken_over: dict[str, float] = {}
        self._delivering = False
        #: Called after each event that led to something; for the screen and for tests.
        self.watch: Callable[[Event, Sequence[Record], Sequence[Command]], None] | None = None

    def on_start(self) -> None:
        """Subscribe, and carry out what the start led to."""
        self.instrument = self.cache.instrument(self._instrument_id)
        self.subscribe_quote_ticks(self._instrument_id)
        self.subscribe_trade_ticks(self._instrument_id)
        if self._now_ns is None:
            self._now_ns = self.clock.timestamp_ns
            self.subscribe_data(DataType(Told))
        else:
            self.subscribe_data(
                DataType(
                    BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": self._instrument_id}
                ),
                client_id=ClientId("BINANCE"),
            )
        self._carry_out(self._first)

    def deliver(self, event: Event) -> None:
        """Hand an event to the controller; from within a delivery it waits its turn."""
        self._waiting.append(event)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._waiting:
                self._handle(self._waiting.popleft())
        finally:
            self._delivering = False

    def take_over(self, client_id: str, fee_usd: float) -> None:
        """Close the position as the venue does where its margin is used up, in a backtest."""
        self._taken_over[client_id] = fee_usd
        self.submit_order(
            self.order_factory.market(
                self._instrument_id,
                OrderSide.BUY,
                self.instrument.make_qty(self.controller.short_eth),
                reduce_only=True,
                client_order_id=ClientOrderId(client_id),
            )
        )

    def _handle(self, event: Event) -> None:
        out = self.controller.handle(event)
        if out.records or out.commands:
            self._carry_out(out)
            if self.watch is not None:
                self.watch(event, out.records, out.commands)

    def _carry_out(self, out: Outbox) -> None:
        if out.records:
            self._commit(out.records)
        for command in out.commands:
            self._send(command)

    def _send(self, command: Command) -> None:
        match command:
            case Place():
                self.submit_order(
                    self.order_factory.limit(
                        self._instrument_id,
                        _side(command.side),
                        self.instrument.make_qty(command.size),
                        self.instrument.make_price(command.price),
                        time_in_force=TimeInForce.GTC if command.post_only else TimeInForce.IOC,
                        post_only=command.post_only,
                        reduce_only=command.reduce_only,
                        client_order_id=ClientOrderId(command.client_id),
                    )
                )
            case PlaceStop():
                self.submit_order(
                    self.order_factory.stop_market(
                        self._instrument_id,
                        _side(command.side),
                        self.instrument.make_qty(command.size),
                        self.instrument.make_price(command.trigger),
                        trigger_type=TriggerType.MARK_PRICE,
                        reduce_only=command.reduce_only,
                        client_order_id=ClientOrderId(command.client_id),
                    )
                )
            case Cancel(client_id=name) | CancelStop(client_id=name):
                order = self.cache.order(ClientOrderId(name))
                if order is None:
                    self._link.send(QueryOrder(name))
                elif not order.is_closed:
                    self.cancel_order(order)
            case WakeAt():
                self._wake_at(command)
            case _:
                self._link.send(command)

    def _wake_at(self, command: WakeAt) -> None:
        at_ns = command.ts_ns if self._wall_ns is None else self._wall_ns(command.ts_ns)
        if command.name in self.clock.timer_names:
            self.clock.cancel_timer(command.name)
        self.clock.set_time_alert_ns(
            command.name, max(at_ns, self.clock.timestamp_ns() + 1), self._woken
        )

    def _woken(self, event: TimeEvent) -> None:
        self.deliver(Wake(self.now_ns(), event.name))

    def now_ns(self) -> int:
        """The market's clock."""
        assert self._now_ns is not None, "the strategy has started"
        return self._now_ns()

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Best bid and ask."""
        self.deliver(
            Quote(
                tick.ts_event,
                tick.bid_price.as_double(),
                tick.bid_size.as_double(),
                tick.ask_price.as_double(),
                tick.ask_size.as_double(),
            )
        )

    def on_trade_tick(self, tick: TradeTick) -> None:
        """A public trade."""
        side: Side = "sell" if tick.aggressor_side == AggressorSide.SELLER else "buy"
        self.deliver(Trade(tick.ts_event, tick.price.as_double(), tick.size.as_double(), side))

    def on_data(self, data: Data) -> None:
        """Marks of the venue, or an event of ours in a backtest."""
        if isinstance(data, Told):
            self.deliver(data.event)
        elif isinstance(data, BinanceFuturesMarkPriceUpdate):
            self.deliver(
                Mark(
                    data.ts_event,
                    data.mark.as_double(),
                    data.index.as_double(),
                    float(data.funding_rate),
                    data.next_funding_ns,
                )
            )

    def on_order_event(self, event: object) -> None:
        """What became of an order."""
        match event:
            case OrderFilled():
                self._filled(event)
            case OrderAccepted():
                self._update(event, "open")
            case OrderCanceled():
                self._update(event, "canceled")
            case OrderExpired():
                self._update(event, "expired")
            case OrderDenied():
                self._update(event, "rejected", 0, event.reason)
            case OrderRejected() if event.due_post_only or self._wall_ns is None:
                self._update(event, "rejected", WOULD_TAKE, event.reason)
            case OrderRejected():
                status, code = refusal_of(event.reason)
                self._update(event, status, code, event.reason)
            case OrderCancelRejected():
                self._link.send(QueryOrder(event.client_order_id.value))

    def _update(self, event: object, status: str, code: int = 0, reason: str = "") -> None:
        name = event.client_order_id  # type: ignore[attr-defined]
        order = self.cache.order(name)
        filled = 0.0 if order is None else order.filled_qty.as_double()
        self.deliver(OrderUpdate(self.now_ns(), name.value, status, filled, code, reason))  # type: ignore[arg-type]

    def _filled(self, event: OrderFilled) -> None:
        order = self.cache.order(event.client_order_id)
        name = event.client_order_id.value
        side: Side = "sell" if event.order_side == OrderSide.SELL else "buy"
        self.deliver(
            Fill(
                event.ts_event,
                name,
                event.trade_id.value,
                side,
                event.last_px.as_double(),
                event.last_qty.as_double(),
                event.commission.as_double() + self._taken_over.pop(name, 0.0),
                event.liquidity_side == LiquiditySide.MAKER,
            )
        )
        if order is not None and order.is_closed:
            self._update(event, "filled")


def _side(side: Side) -> OrderSide:
    return OrderSide.SELL if side == "sell" else OrderSide.BUY
