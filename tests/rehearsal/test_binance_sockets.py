"""WebSockets as they are on the wire: routes, the book's sequence, listen keys, the socket API."""

import asyncio
import hashlib
import hmac
import itertools
import time
from typing import Any

import pytest

from counterpoise.rehearsal.binance_signing import payload_of_message
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.listen_keys import ListenKeys
from tests.rehearsal.desk import GTC, Desk, next_data, with_desk
from tests.rehearsal.steady import KEY, SYMBOL

aiohttp = pytest.importorskip("aiohttp")


async def heard(socket: Any, seconds: float = 0.5) -> list[dict[str, Any]]:
    """Messages of so many seconds."""
    got = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                got.append(await next_data(socket))
    except TimeoutError:
        return got


async def reply_to(socket: Any, number: int) -> dict[str, Any]:
    """The reply to a request, past the data that comes before it."""
    while (told := await next_data(socket)).get("id") != number:
        pass
    return told


def test_streams_come_on_their_own_route_only() -> None:
    async def body(client: Desk) -> None:
        names = {"depthUpdate": "ethusdt@depth@100ms", "markPriceUpdate": "ethusdt@markPrice@1s"}
        own = {"/public": "depthUpdate", "/market": "markPriceUpdate"}
        for route, event in own.items():
            async with client.socket(f"{route}/stream") as socket:
                asked = {"method": "SUBSCRIBE", "params": list(names.values()), "id": 7}
                await socket.send_json(asked)
                assert await next_data(socket) == {"result": None, "id": 7}
                got = [await next_data(socket) for _ in range(5)]
                assert {message["data"]["e"] for message in got} == {event}
                assert {message["stream"] for message in got} == {names[event]}
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
                assert (await reply_to(socket, 8))["result"] == sorted(names.values())
                gone = {"method": "UNSUBSCRIBE", "params": [names[event]], "id": 9}
                await socket.send_json(gone)
                assert (await reply_to(socket, 9))["result"] is None
                await socket.send_json({"method": "DANCE", "id": 10})
                await socket.send_str("[")
                assert [(await next_data(socket))["error"]["code"] for _ in range(2)] == [2, 3]
        async with client.socket("/ws/ethusdt@bookTicker") as socket:
            told = await next_data(socket)
            assert (told["b"], told["a"]) == ("2999.99", "3000.01")
        async with client.socket("/public/stream?streams=ethusdt@trade/ethusdt@depth5") as socket:
            got: dict[str, Any] = {}
            while got.keys() != {"ethusdt@trade", "ethusdt@depth5"}:
                told = await next_data(socket)
                got[told["stream"]] = told["data"]
            top = got["ethusdt@depth5"]
            assert [len(top["b"]), len(top["a"])] == [5, 5]

    with_desk(body)


def test_changes_follow_on_a_snapshot_without_a_gap() -> None:
    async def body(client: Desk) -> None:
        async with client.socket("/public/ws/ethusdt@depth@100ms") as socket:
            changes = [await next_data(socket)]
            _, snapshot, _ = await client.ask("GET", "/fapi/v1/depth", symbol=SYMBOL, limit=1000)
            changes += [await next_data(socket) for _ in range(3)]
            last = snapshot["lastUpdateId"]
            later = [change for change in changes if change["u"] >= last]
            assert later[0]["U"] <= last <= later[0]["u"]
            for one, other in itertools.pairwise(changes):
                assert other["pu"] == one["u"]
            client.binance.skip_ids(50)
            assert (await next_data(socket))["pu"] == changes[-1]["u"] + 50

    with_desk(body)


def test_user_data_attaches_in_four_styles() -> None:
    async def body(client: Desk) -> None:
        headers = {"X-MBX-APIKEY": KEY.key}
        url = client.binance.url_http + "/fapi/v1/listenKey"
        async with client.session.post(url, headers=headers) as reply:
            key = (await reply.json())["listenKey"]
        assert await client.code("POST", "/fapi/v1/listenKey") == (401, -2015)
        subscribe = {"method": "SUBSCRIBE", "params": [key], "id": 1}
        async with (
            client.socket(f"/private/ws?listenKey={key}") as first,
            client.socket("/private/stream") as second,
            client.socket(f"/private/ws/{key}") as third,
            client.socket(f"/stream?streams={key}") as fourth,
            client.socket("/public/ws") as wrong,
            client.socket("/private/ws?listenKey=nobody") as stranger,
        ):
            assert (await stranger.receive()).type == aiohttp.WSMsgType.CLOSE
            for socket in (second, wrong):
                await socket.send_json(subscribe)
                assert await next_data(socket) == {"result": None, "id": 1}
            market = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.5"}
            await client.ask("POST", "/fapi/v1/order", KEY, **market)
            for socket, wrapped in ((first, 0), (second, 1), (third, 0), (fourth, 1)):
                got = [await next_data(socket) for _ in range(4)]
                events = [one["data"] if wrapped else one for one in got]
                orders = [one["o"] for one in events if one["e"] == "ORDER_TRADE_UPDATE"]
                assert [(one["x"], one["X"]) for one in orders] == [
                    ("NEW", "NEW"),
                    ("TRADE", "FILLED"),
                ]
                account = next(one["a"] for one in events if one["e"] == "ACCOUNT_UPDATE")
                assert (account["m"], account["P"][0]["pa"]) == ("ORDER", "-0.500")
            assert await heard(wrong, 0.2) == []
            client.binance.expire_listen_key()
            assert (await next_data(first))["e"] == "listenKeyExpired"
            await client.ask("POST", "/fapi/v1/order", KEY, **market)
            assert await heard(first, 0.2) == []

    with_desk(body)


def test_who_does_not_read_is_cut_off() -> None:
    async def body(client: Desk) -> None:
        streams = client.binance.streams
        async with client.socket("/market/ws/ethusdt@spam") as deaf:
            while not streams.listeners:
                await asyncio.sleep(0.01)
            transport = deaf._conn.transport
            transport.pause_reading()
            message = {"e": "x" * 2000}
            for _ in range(200):
                for _ in range(100):
                    streams.publish("ethusdt@spam", dict, message)
                await asyncio.sleep(0)
            while streams.listeners:
                await asyncio.sleep(0.01)
            transport.abort()

    with_desk(body)


def test_a_listen_key_lives_for_an_hour() -> None:
    now = [0.0]
    keys = ListenKeys(lambda: now[0])
    with pytest.raises(Denied, match="-1125"):
        keys.keep()
    first = keys.open()
    now[0] = 3599.0
    assert keys.expired() == ""
    assert keys.keep() == first
    now[0] = 3599.0 + 3600.0
    assert keys.expired() == first
    assert keys.expired() == ""
    assert keys.open() != first


def test_the_socket_api_answers_as_rest_does() -> None:
    async def body(client: Desk) -> None:
        def signed(**params: Any) -> dict[str, Any]:
            given = {"apiKey": KEY.key, "timestamp": round(time.time() * 1000)} | params
            payload = payload_of_message(given).encode()
            digest = hmac.new(KEY.secret.encode(), payload, hashlib.sha256).hexdigest()
            return given | {"signature": digest}

        async with client.socket("/ws-fapi/v1") as socket:

            async def ask(method: str, params: dict[str, Any]) -> Any:
                await socket.send_json({"id": "x", "method": method, "params": params})
                return await next_data(socket)

            placed = await ask("order.place", signed(**GTC))
            assert (placed["id"], placed["status"]) == ("x", 200)
            assert placed["result"]["status"] == "NEW"
            assert placed["rateLimits"][1]["count"] == 1
            same = {"symbol": SYMBOL, "orderId": placed["result"]["orderId"]}
            assert (await ask("order.status", signed(**same)))["result"]["price"] == "3100.00"
            assert (await ask("order.cancel", signed(**same)))["result"]["status"] == "CANCELED"
            refused = await ask("order.cancel", signed(**same))
            assert (refused["status"], refused["error"]["code"]) == (400, -2011)
            wrong = await ask("order.place", signed(**GTC) | {"quantity": "5"})
            assert wrong["error"]["code"] == -1022
            assert (await ask("order.place", GTC))["error"]["code"] == -2015
            assert (await ask("session.status", {}))["result"]["apiKey"] is None
            assert (await ask("session.logon", signed()))["result"]["apiKey"] == KEY.key
            assert (await ask("v2/account.balance", {}))["result"][0]["asset"] == "USDT"
            started = await ask("userDataStream.start", {"apiKey": KEY.key})
            assert started["result"]["listenKey"] == client.binance.listen_keys.key
            await ask("session.logout", {})
            assert (await ask("v2/account.balance", {}))["error"]["code"] == -2015
            assert (await ask("depth", {"symbol": SYMBOL}))["result"]["bids"][0][0] == "2999.99"
            assert (await ask("order.dance", {}))["error"]["code"] == -1000
            await socket.send_str("{")
            assert (await next_data(socket))["error"]["code"] == -1100

    with_desk(body)
