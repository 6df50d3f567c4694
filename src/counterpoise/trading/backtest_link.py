"""What answers the controller in a backtest: the engine's cache and account, at once.

The account it reports is NautilusTrader's own, so that our count of fills is checked against a
second one all along.
"""

from collections.abc import Callable

from nautilus_trader.cache.base import CacheFacade
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.orders import Order

from counterpoise.execution.commands import Alarm, QueryAccount, QueryOrder, SetLeverage, Transfer
from counterpoise.execution.events import (
    OpenOrder,
    OrderUpdate,
    Side,
    Snapshot,
    Status,
    TransferDone,
)
from counterpoise.trading.shell import Asked, Shell
from counterpoise.units import NS_PER_HOUR

_STATUS: dict[OrderStatus, Status] = {
    OrderStatus.ACCEPTED: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.TRIGGERED: "open",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELED: "canceled",
    OrderStatus.EXPIRED: "expired",
    OrderStatus.REJECTED: "rejected",
    OrderStatus.DENIED: "rejected",
}


class BacktestLink:
    """Answers of a backtest.

    Parameters
    ----------
    cache : CacheFacade
        Of the engine.
    instrument_id : InstrumentId
    transfer_h : int
        Hours that collateral travels; the first collateral is there when it is asked for.
    adjust : callable
        Changes the balance of the engine's account, USD.

    Attributes
    ----------
    shell : Shell
        To be set before the run.
    alarms : list of Alarm
    """

    shell: Shell

    def __init__(
        self,
        cache: CacheFacade,
        instrument_id: InstrumentId,
        transfer_h: int,
        adjust: Callable[[float], None],
    ) -> None:
        self.alarms: list[Alarm] = []
        self._cache = cache
        self._instrument_id = instrument_id
        self._transfer_ns = transfer_h * NS_PER_HOUR
        self._adjust = adjust
        self._sent = False
        self._set = SetLeverage(0, isolated=False)

    def send(self, command: Asked) -> None:
        """Answer, or let time pass first."""
        match command:
            case QueryAccount():
                self.shell.deliver(self._snapshot())
            case QueryOrder():
                self.shell.deliver(self._order(command.client_id))
            case Transfer():
                self._transfer(command)
            case Alarm(key="transfer-unknown"):
                pass  # it travels for as long as the settings say
            case Alarm():
                self.alarms.append(command)
            case SetLeverage():
                self._set = command
                self.shell.deliver(self._snapshot())
            case _:
                pass  # a countdown means nothing to NautilusTrader's exchange

    def _transfer(self, command: Transfer) -> None:
        at_ns = self.shell.now_ns()
        if not self._sent or command.usd < 0.0 or self._transfer_ns == 0:
            self._sent = True
            self._arrive(at_ns, command)
            return
        self.shell.clock.set_time_alert_ns(
            command.client_id,
            # Before the decision of the hour it arrives in, as in the simulator.
            at_ns + self._transfer_ns - 1,
            lambda event: self._arrive(event.ts_event, command),
        )

    def _arrive(self, at_ns: int, command: Transfer) -> None:
        self._adjust(command.usd)
        self.shell.deliver(TransferDone(at_ns, command.client_id, command.usd, ok=True))
        self.shell.deliver(self._snapshot())

    def _snapshot(self) -> Snapshot:
        signed, entry = 0.0, 0.0
        for position in self._cache.positions_open(instrument_id=self._instrument_id):
            signed, entry = signed + position.signed_qty, position.avg_px_open
        balance = self._cache.account_for_venue(self._instrument_id.venue).balance_total(USDT)
        wallet = balance.as_double()
        quote = self._cache.quote_tick(self._instrument_id)
        mark = 0.5 * (quote.bid_price.as_double() + quote.ask_price.as_double())
        resting = self._cache.orders_open(instrument_id=self._instrument_id)
        found = [_open_order(order) for order in resting]
        equity = wallet + signed * (mark - entry)
        return Snapshot(
            ts_ns=self.shell.now_ns(),
            short_eth=-signed,
            entry=entry,
            mark=mark,
            liquidation=0.0,
            wallet_usd=wallet,
            equity_usd=equity,
            available_usd=equity,
            leverage=float(self._set.leverage),
            isolated=self._set.isolated,
            open_orders=tuple(order for order in found if order.trigger == 0.0),
            stops=tuple(order for order in found if order.trigger > 0.0),
        )

    def _order(self, client_id: str) -> OrderUpdate:
        order = self._cache.order(ClientOrderId(client_id))
        now_ns = self.shell.now_ns()
        if order is None:
            return OrderUpdate(now_ns, client_id, "missing")
        status = _STATUS.get(order.status, "pending")
        return OrderUpdate(now_ns, client_id, status, order.filled_qty.as_double())


def _open_order(order: Order) -> OpenOrder:
    side: Side = "sell" if order.side == OrderSide.SELL else "buy"
    return OpenOrder(
        client_id=order.client_order_id.value,
        side=side,
        size=order.quantity.as_double(),
        filled_eth=order.filled_qty.as_double(),
        price=order.price.as_double() if order.has_price else 0.0,
        reduce_only=order.is_reduce_only,
        trigger=order.trigger_price.as_double() if order.has_trigger_price else 0.0,
    )
