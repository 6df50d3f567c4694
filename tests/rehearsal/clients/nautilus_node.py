"""A NautilusTrader node against the venue at argv[1]; tells what it saw as one JSON document."""

import asyncio
import json
import sys
from decimal import Decimal
from typing import Any

import pandas as pd
from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import DataType
from nautilus_trader.model.enums import OrderSide, TimeInForce, TriggerType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

HTTP, KEY, SECRET = sys.argv[1:4]
WS = HTTP.replace("http", "ws")
ETH = InstrumentId.from_str("ETHUSDT-PERP.BINANCE")
SEEN: dict[str, Any] = {"events": [], "quotes": 0, "marks": 0, "funding": None, "at_start": {}}


class Probe(Strategy):
    """Places one of each kind, cancels what rests, and stops."""

    def on_start(self) -> None:
        SEEN["at_start"] = {
            "orders": {str(o.client_order_id): o.status_string() for o in self.cache.orders()},
            "position": [str(p.signed_qty) for p in self.cache.positions_open()],
        }
        self.subscribe_quote_ticks(ETH)
        self.subscribe_mark_prices(ETH)
        kind = DataType(BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": ETH})
        self.subscribe_data(kind, client_id=ClientId(BINANCE))
        steps = (self.maker, self.taker, self.limit, self.stop_loss, self.would_take, self.cancel)
        for number, step in enumerate(steps):
            after = pd.Timedelta(milliseconds=400 + 250 * number)
            self.clock.set_time_alert(step.__name__, self.clock.utc_now() + after, step)

    def on_quote_tick(self, tick: Any) -> None:
        SEEN["quotes"] += 1
        SEEN["quote"] = [str(tick.bid_price), str(tick.ask_price)]

    def on_mark_price(self, mark: Any) -> None:
        SEEN["marks"] += 1

    def on_data(self, data: Any) -> None:
        SEEN["funding"] = str(data.funding_rate)

    def on_order_event(self, event: Any) -> None:
        SEEN["events"].append([self.names.get(str(event.client_order_id)), type(event).__name__])

    def on_stop(self) -> None:
        SEEN["position"] = [str(p.signed_qty) for p in self.cache.positions_open()]

    names: dict[str, str] = {}  # noqa: RUF012

    def send(self, name: str, order: Any) -> Any:
        self.names[str(order.client_order_id)] = name
        self.submit_order(order)
        return order

    def _limit(self, side: OrderSide, price: float, **more: Any) -> Any:
        rules = self.cache.instrument(ETH)
        size = rules.make_qty(Decimal("0.5"))
        return self.order_factory.limit(ETH, side, size, rules.make_price(price), **more)

    def maker(self, _: Any) -> None:
        self.resting = self.send("maker", self._limit(OrderSide.SELL, 3100.0, post_only=True))

    def taker(self, _: Any) -> None:
        more = {"time_in_force": TimeInForce.IOC}
        self.send("taker", self._limit(OrderSide.SELL, 2999.0, **more))

    def limit(self, _: Any) -> None:
        self.other = self.send("limit", self._limit(OrderSide.BUY, 2900.0))

    def stop_loss(self, _: Any) -> None:
        rules = self.cache.instrument(ETH)
        order = self.order_factory.stop_market(
            ETH,
            OrderSide.BUY,
            rules.make_qty(Decimal("0.5")),
            rules.make_price(3200.0),
            reduce_only=True,
            trigger_type=TriggerType.MARK_PRICE,
        )
        self.stop_order = self.send("stop", order)

    def would_take(self, _: Any) -> None:
        self.send("would take", self._limit(OrderSide.SELL, 2990.0, post_only=True))

    def cancel(self, _: Any) -> None:
        for order in (self.resting, self.other, self.stop_order):
            self.cancel_order(order)


async def main(node: TradingNode) -> None:
    running = asyncio.create_task(node.run_async())

    def canceled() -> int:
        return sum(event[1] == "OrderCanceled" for event in SEEN["events"])

    for _ in range(200):
        await asyncio.sleep(0.05)
        if canceled() == 3 and SEEN["marks"] > 0:
            break
    await node.stop_async()
    running.cancel()


claims = {"external_order_claims": [ETH]}
both: dict[str, Any] = {
    "api_key": KEY,
    "api_secret": SECRET,
    "account_type": BinanceAccountType.USDT_FUTURES,
    "base_url_http": HTTP,
    "instrument_provider": InstrumentProviderConfig(load_all=True),
}
node = TradingNode(
    TradingNodeConfig(
        trader_id=TraderId("T-001"),
        logging=LoggingConfig(log_level="ERROR"),
        data_clients={BINANCE: BinanceDataClientConfig(**both, base_url_ws=WS)},
        exec_clients={
            BINANCE: BinanceExecClientConfig(
                **both, base_url_ws=f"{WS}/ws-fapi/v1", base_url_ws_stream=WS
            )
        },
        exec_engine=LiveExecEngineConfig(
            reconciliation=True,
            reconciliation_startup_delay_secs=0.1,
            open_check_interval_secs=1.0,
            position_check_interval_secs=1.0,
        ),
        timeout_connection=15.0,
        timeout_reconciliation=10.0,
        timeout_post_stop=0.1,
        timeout_disconnection=2.0,
    )
)
node.trader.add_strategy(Probe(StrategyConfig(**claims)))
node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
node.build()
node.kernel.loop.run_until_complete(main(node))
print("\nSEEN", json.dumps(SEEN))
