"""python-binance against the venue at argv[1]; tells what it saw as one JSON document."""

import asyncio
import json
import sys
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

HTTP, KEY, SECRET = sys.argv[1:4]
WS = HTTP.replace("http", "ws") + "/"
AsyncClient.FUTURES_URL = HTTP + "/fapi"
AsyncClient.FUTURES_DATA_URL = HTTP + "/futures/data"
AsyncClient.API_URL = HTTP + "/api"
AsyncClient.WS_FUTURES_URL = WS + "ws-fapi/v1"
BinanceSocketManager.FSTREAM_URL = WS
#: Closing waits for one more message, and a user stream may have none.
ReconnectingWebsocket.TIMEOUT = 1
ETH = {"symbol": "ETHUSDT"}


async def calls(client: AsyncClient) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    info = await client.futures_exchange_info()
    seen["symbols"] = [one["symbol"] for one in info["symbols"]]
    seen["balance"] = (await client.futures_account_balance())[0]["balance"]
    seen["wallet"] = (await client.futures_account())["totalWalletBalance"]
    seen["mode"] = (await client.futures_get_position_mode())["dualSidePosition"]
    seen["leverage"] = (await client.futures_change_leverage(**ETH, leverage=5))["leverage"]
    maker = await client.futures_create_order(
        **ETH, side="SELL", type="LIMIT", timeInForce="GTX", quantity="0.5", price="3100"
    )
    seen["maker"] = [maker["status"], maker["origQty"], maker["price"]]
    same = {**ETH, "orderId": maker["orderId"]}
    seen["found"] = (await client.futures_get_order(**same))["status"]
    seen["canceled"] = (await client.futures_cancel_order(**same))["status"]
    taker = await client.futures_create_order(**ETH, side="SELL", type="MARKET", quantity="0.5")
    seen["taker"] = [taker["status"], taker["executedQty"], taker["avgPrice"]]
    stop = await client.futures_create_order(
        **ETH, side="BUY", type="STOP_MARKET", stopPrice="3300", closePosition="true"
    )
    seen["stop"] = [stop["algoStatus"], stop["triggerPrice"], stop["closePosition"]]
    seen["position"] = (await client.futures_position_information(**ETH))[0]["positionAmt"]
    try:
        await client.futures_create_order(
            **ETH, side="SELL", type="LIMIT", timeInForce="GTX", quantity="0.5", price="2990"
        )
    except BinanceAPIException as refused:
        seen["would take"] = refused.code
    placed = await client.ws_futures_create_order(
        **ETH, side="SELL", type="LIMIT", timeInForce="GTC", quantity="0.1", price="3120"
    )
    seen["over the socket"] = placed["status"]
    return seen


async def streams(client: AsyncClient) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    manager = BinanceSocketManager(client)
    names = ["ethusdt@depth@100ms", "ethusdt@bookTicker"]
    async with manager.futures_multiplex_socket(names, category="public") as socket:
        seen["public"] = sorted({(await socket.recv())["data"]["e"] for _ in range(8)})
    async with manager.symbol_mark_price_socket("ETHUSDT") as socket:
        seen["mark"] = (await socket.recv())["data"]["p"]
    async with manager.futures_user_socket() as socket:
        await client.futures_create_order(**ETH, side="BUY", type="MARKET", quantity="0.1")
        seen["user"] = [(await socket.recv())["e"] for _ in range(4)]
    return seen


async def main() -> None:
    # create() would ask the live spot venue first.
    client = AsyncClient(KEY, SECRET)
    seen = await calls(client) | await streams(client)
    await client.close_connection()
    print("\nSEEN", json.dumps(seen))


asyncio.run(asyncio.wait_for(main(), 30))
