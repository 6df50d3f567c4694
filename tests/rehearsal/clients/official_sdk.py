"""Binance's own USD-M SDK against the venue at argv[1]; tells what it saw as one JSON document."""

import asyncio
import json
import sys
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)

HTTP, KEY, SECRET = sys.argv[1:4]
#: A private key file makes the SDK sign with it, Ed25519 or RSA as it is.
PRIVATE = sys.argv[4] if len(sys.argv) > 4 else ""
signing = {"private_key": PRIVATE} if PRIVATE else {"api_secret": SECRET}
client = DerivativesTradingUsdsFutures(
    config_rest_api=ConfigurationRestAPI(api_key=KEY, base_path=HTTP, **signing),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=HTTP.replace("http", "ws")),
)
rest = client.rest_api
ETH = {"symbol": "ETHUSDT"}
GTX = {"type": "LIMIT", "time_in_force": "GTX"}


def calls() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    info = rest.exchange_information()
    seen["symbols"] = [one.symbol for one in info.data().symbols]
    seen["weight"] = info.rate_limits[0].count
    seen["wallet"] = rest.account_information_v3().data().total_wallet_balance
    seen["leverage"] = rest.change_initial_leverage(**ETH, leverage=5).data().leverage
    order = rest.new_order(**ETH, **GTX, side="SELL", quantity=0.5, price=3100).data()
    seen["maker"] = [order.status, order.orig_qty, order.price]
    seen["found"] = rest.query_order(**ETH, order_id=order.order_id).data().status
    seen["canceled"] = rest.cancel_order(**ETH, order_id=order.order_id).data().status
    taker = rest.new_order(**ETH, side="SELL", type="MARKET", quantity=0.5).data()
    seen["taker"] = [taker.status, taker.executed_qty]
    stop = rest.new_algo_order(
        **ETH,
        algo_type="CONDITIONAL",
        side="BUY",
        type="STOP_MARKET",
        trigger_price=3300,
        close_position="true",
    ).data()
    seen["stop"] = [stop.algo_status, stop.trigger_price]
    seen["position"] = rest.position_information_v3(**ETH).data()[0].position_amt
    return seen


async def streams() -> dict[str, Any]:
    key = rest.start_user_data_stream().data().listen_key
    connection = await client.websocket_streams.create_connection()
    got: dict[str, list[str]] = {"depth": [], "mark": [], "user": []}
    depth = await connection.diff_book_depth_streams(symbol="ethusdt")
    depth.on("message", lambda told: got["depth"].append(str(told)))
    mark = await connection.mark_price_stream(symbol="ethusdt")
    mark.on("message", lambda told: got["mark"].append(str(told)))
    user = await connection.user_data(key)
    user.on("message", lambda told: got["user"].append(type(told.actual_instance).__name__))
    rest.new_order(**ETH, side="BUY", type="MARKET", quantity=0.1)
    while not (got["depth"] and got["mark"] and len(got["user"]) > 1):
        await asyncio.sleep(0.02)
    await connection.close_connection(close_session=True)
    return {name: told[0] for name, told in got.items()}


seen = calls()
if not PRIVATE:
    seen |= asyncio.run(asyncio.wait_for(streams(), 20))
print("\nSEEN", json.dumps(seen))
