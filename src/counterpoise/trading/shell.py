"""The shell: NautilusTrader's events in, the controller's commands out, the journal in between.

One strategy for the event-driven backtest, a rehearsal, paper, testnet and live. It decides
nothing. What a controller wants remembered is committed before any of its commands leaves.
"""

import asyncio
import gc
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.common.events import TimeEvent
from nautilus_trader.core.data import Data
from nautilus_trader.model.currencies import USDT
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
from counterpoise.units import NS_PER_MS, NS_PER_S

#: Of what the shell asks an account link: everything NautilusTrader does not do.
Asked = Cancel | CancelStop | QueryOrder | QueryAccount | SetLeverage | Transfer | Countdown | Alarm


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
        self._commit = commit
        self._link = link
        self._first = first
        self._now_ns = now_ns
        self._wall_ns = wall_ns
        self._waiting: deque[Event] = deque()
        self._taken_over: dict[str, float] = {}
        self._delivering = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._quick_ns: deque[int] = deque(maxlen=1000)
        self.instrument_id = instrument_id
        self.started, self.priced = asyncio.Event(), asyncio.Event()
        #: Called where records could not be committed or a machine failed: nothing more is sent.
        self.failed: Callable[[], None] | None = None
        self.failure: Exception | None = None
        #: Called after each event that led to something; for the screen and for tests.
        self.watch: Callable[[Event, Sequence[Record], Sequence[Command]], None] | None = None

    def on_start(self) -> None:
        """Subscribe, and carry out what the start led to."""
        self.instrument = self.cache.instrument(self.instrument_id)
        self.subscribe_quote_ticks(self.instrument_id)
        self.subscribe_trade_ticks(self.instrument_id)
        if self._now_ns is None:
            self._now_ns = self.clock.timestamp_ns
            self.subscribe_data(DataType(Told))
        else:
            self.subscribe_data(
                DataType(
                    BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": self.instrument_id}
                ),
                client_id=ClientId("BINANCE"),
            )
        self._carry_out(self._first)
        self.started.set()
        if self._wall_ns is not None:
            # What was loaded stays: the collector need not look at it between quotes.
            gc.collect()
            gc.freeze()

    def leave(self) -> None:
        """An orderly end: stops rest on, and the countdown that would cancel orders ends."""
        for timer in self._timers.values():
            timer.cancel()
        if self.failure is None:
            self._carry_out(self.controller.end())

    def latencies_ms(self) -> dict[str, float]:
        """From an event's arrival to its orders handed over: median and 99 % of the last 1000."""
        if not self._quick_ns:
            return {}
        ordered = sorted(self._quick_ns)
        last = len(ordered) - 1
        return {
            "event_to_order_p50": ordered[last // 2] / NS_PER_MS,
            "event_to_order_p99": ordered[round(0.99 * last)] / NS_PER_MS,
        }

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
                self.instrument_id,
                OrderSide.BUY,
                self.instrument.make_qty(self.controller.short_eth),
                reduce_only=True,
                client_order_id=ClientOrderId(client_id),
            )
        )

    def _handle(self, event: Event) -> None:
        if self.failure is not None:
            return
        begun_ns = time.perf_counter_ns()
        try:
            out = self.controller.handle(event)
        except Exception as failure:
            self._fail(failure)
            return
        if out.records or out.commands:
            self._carry_out(out)
            if any(isinstance(command, Place) for command in out.commands):
                self._quick_ns.append(time.perf_counter_ns() - begun_ns)
            if self.watch is not None:
                self.watch(event, out.records, out.commands)

    def _fail(self, failure: Exception) -> None:
        """Do nothing more: stops rest on, and the venue's countdown cancels orders."""
        self.failure = failure
        if self.failed is None:
            raise failure
        self._link.send(
            Alarm(
                "critical",
                "run:failed",
                f"The run stops, as it can no longer be trusted: {failure}",
                "look at the position and the log, mend the cause, then start again",
            )
        )
        self.failed()

    def _carry_out(self, out: Outbox) -> None:
        if out.records:
            try:
                self._commit(out.records)
            except Exception as failure:
                # What cannot be remembered is not done.
                self._fail(failure)
                return
        for command in out.commands:
            self._send(command)

    def _send(self, command: Command) -> None:
        match command:
            case Place():
                self.submit_order(
                    self.order_factory.limit(
                        self.instrument_id,
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
                        self.instrument_id,
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
                if order is None or order.strategy_id != self.id:
                    # Of an earlier run: NautilusTrader may not know it, and tells us nothing of it.
                    self._link.send(command)
                elif not order.is_closed:
                    self.cancel_order(order)
            case WakeAt():
                self._wake_at(command)
            case _:
                self._link.send(command)

    def _wake_at(self, command: WakeAt) -> None:
        if self._wall_ns is None:
            if command.name in self.clock.timer_names:
                self.clock.cancel_timer(command.name)
            at_ns = max(command.ts_ns, self.clock.timestamp_ns() + 1)
            self.clock.set_time_alert_ns(command.name, at_ns, self._woken)
            return
        # NautilusTrader's live timers call from a thread of their own; the machines know only one.
        timer = self._timers.pop(command.name, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        wait_s = max(self._wall_ns(command.ts_ns) - time.time_ns(), 0) / NS_PER_S
        self._timers[command.name] = loop.call_later(wait_s, self._wake, command.name)

    def _wake(self, name: str) -> None:
        self._timers.pop(name, None)
        self.deliver(Wake(self.now_ns(), name))

    def _woken(self, event: TimeEvent) -> None:
        self.deliver(Wake(self.now_ns(), event.name))

    def now_ns(self) -> int:
        """The market's clock."""
        assert self._now_ns is not None, "the strategy has started"
        return self._now_ns()

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Best bid and ask; one that no market has is left out."""
        bid, ask = tick.bid_price.as_double(), tick.ask_price.as_double()
        if not 0.0 < bid < ask < math.inf:
            return
        self.deliver(
            Quote(tick.ts_event, bid, tick.bid_size.as_double(), ask, tick.ask_size.as_double())
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
            if self.controller.quote is not None:
                self.priced.set()

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
                self._fee_usd(event) + self._taken_over.pop(name, 0.0),
                event.liquidity_side == LiquiditySide.MAKER,
            )
        )
        if order is not None and order.is_closed:
            self._update(event, "filled")

    def _fee_usd(self, event: OrderFilled) -> float:
        """Commission in USD; one that is paid in another coin is taken at the full rate."""
        if event.commission.currency == USDT:
            return float(event.commission.as_double())
        maker = event.liquidity_side == LiquiditySide.MAKER
        rate = self.instrument.maker_fee if maker else self.instrument.taker_fee
        return float(event.last_px.as_double() * event.last_qty.as_double() * float(rate))


def _side(side: Side) -> OrderSide:
    return OrderSide.SELL if side == "sell" else OrderSide.BUY
