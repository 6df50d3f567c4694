"""REST as it is on the wire: refusals, modes, budgets, faults by hand."""

import asyncio
import json
import time
from typing import Any

from counterpoise.rehearsal.binance_limits import BAN_S, PATIENCE, Limits, Window
from counterpoise.rehearsal.binance_venue import ENDPOINTS
from tests.rehearsal.desk import GTC, Desk, with_desk
from tests.rehearsal.steady import KEY, SYMBOL


def test_refusals_have_the_codes_of_the_venue() -> None:
    async def body(client: Desk) -> None:
        async def refused(**changed: Any) -> Any:
            sent = {name: value for name, value in (GTC | changed).items() if value is not None}
            return await client.code("POST", "/fapi/v1/order", KEY, **sent)

        assert await refused(symbol="NOPEUSDT") == (400, -1121)
        assert await refused(side="LONG") == (400, -1117)
        assert await refused(type="STOP_MARKET") == (400, -4120)
        assert await refused(type="FANCY") == (400, -1116)
        assert await refused(timeInForce=None) == (400, -1102)
        assert await refused(timeInForce="RPI") == (400, -1115)
        assert await refused(quantity=None) == (400, -1102)
        assert await refused(quantity="many") == (400, -1100)
        assert await refused(quantity="NaN") == (400, -1100)
        assert await refused(quantity="0.0001") == (400, -1111)
        assert await refused(price="3100.001") == (400, -1111)
        assert await refused(timeInForce="GTX", price="2990") == (400, -5022)
        assert await refused(reduceOnly="true") == (400, -2022)
        assert await refused(positionSide="SHORT") == (400, -4061)
        assert await refused(quantity="9000") == (400, -2019)
        path, name = "/fapi/v1/order", {"symbol": SYMBOL, "origClientOrderId": "nobody"}
        assert await client.code("GET", path, KEY, **name) == (400, -2013)
        assert await client.code("DELETE", path, KEY, **name) == (400, -2011)
        same = {"symbol": SYMBOL, "marginType": "CROSSED"}
        assert await client.code("POST", "/fapi/v1/marginType", KEY, **same) == (400, -4046)
        assert await client.code("GET", "/fapi/v1/nowhere") == (404, -5000)
        depth = {"symbol": SYMBOL, "limit": 7}
        assert await client.code("GET", "/fapi/v1/depth", **depth) == (400, -4021)

    with_desk(body)


def test_hedge_mode_and_several_orders_at_once() -> None:
    async def body(client: Desk) -> None:
        dual = "/fapi/v1/positionSide/dual"
        assert await client.code("POST", dual, KEY, dualSidePosition="true") == (200, 200)
        _, told, _ = await client.ask("GET", dual, KEY)
        assert told == {"dualSidePosition": True}
        short = GTC | {"positionSide": "SHORT"}
        orders = json.dumps([short, GTC])
        _, told, _ = await client.ask("POST", "/fapi/v1/batchOrders", KEY, batchOrders=orders)
        assert [told[0]["positionSide"], told[1]["code"]] == ["SHORT", -4061]
        ids = json.dumps([told[0]["orderId"], 5])
        gone = {"symbol": SYMBOL, "orderIdList": ids}
        _, told, _ = await client.ask("DELETE", "/fapi/v1/batchOrders", KEY, **gone)
        assert [told[0]["status"], told[1]["code"]] == ["CANCELED", -2011]
        _, told, _ = await client.ask("POST", "/fapi/v1/batchOrders", KEY, batchOrders="5")
        assert told["code"] == -1100
        await client.ask("POST", "/fapi/v1/order", KEY, **short)
        _, told, _ = await client.ask("DELETE", "/fapi/v1/allOpenOrders", KEY, symbol=SYMBOL)
        assert told["code"] == 200
        assert client.binance.exchange.open_orders() == []

    with_desk(body)


def test_a_countdown_cancels_what_is_not_renewed() -> None:
    async def body(client: Desk) -> None:
        await client.ask("POST", "/fapi/v1/order", KEY, **GTC)
        armed = {"symbol": SYMBOL, "countdownTime": 1000}
        _, told, _ = await client.ask("POST", "/fapi/v1/countdownCancelAll", KEY, **armed)
        assert told == {"symbol": SYMBOL, "countdownTime": "1000"}
        assert len(client.binance.exchange.open_orders()) == 1
        while client.binance.exchange.open_orders():
            await asyncio.sleep(0.02)

    with_desk(body)


def test_budgets_are_told_kept_and_enforced_by_a_ban() -> None:
    now = [1_700_000_000.0]
    limits = Limits(lambda: now[0], Window("1M", 60, 10), (Window("10S", 10, 2),))

    async def body(client: Desk) -> None:
        status, _, headers = await client.ask("GET", "/fapi/v3/balance", KEY)
        assert (status, headers["X-MBX-USED-WEIGHT-1M"]) == (200, "5")
        for count in ("1", "2"):
            status, _, headers = await client.ask("POST", "/fapi/v1/order", KEY, **GTC)
            assert (status, headers["X-MBX-ORDER-COUNT-10S"]) == (200, count)
        assert await client.code("POST", "/fapi/v1/order", KEY, **GTC) == (429, -1015)
        now[0] += 10
        status, _, _ = await client.ask("POST", "/fapi/v1/order", KEY, **GTC)
        assert status == 200
        _, _, headers = await client.ask("GET", "/fapi/v3/balance", KEY)
        assert headers["X-MBX-USED-WEIGHT-1M"] == "10"
        status, told, headers = await client.ask("GET", "/fapi/v1/time")
        assert (status, told["code"]) == (429, -1003)
        assert int(headers["Retry-After"]) == 60 - int(now[0]) % 60
        for _ in range(PATIENCE):
            status, _, headers = await client.ask("GET", "/fapi/v1/time")
            assert status == 429
        status, _, headers = await client.ask("GET", "/fapi/v1/time")
        assert (status, int(headers["Retry-After"])) == (418, BAN_S)
        now[0] += BAN_S
        status, _, _ = await client.ask("GET", "/fapi/v1/time")
        assert status == 200

    with_desk(body, limits=limits)


def test_things_go_wrong_by_admin_only_where_it_is_enabled() -> None:
    async def body(client: Desk) -> None:
        status, _, _ = await client.ask("POST", "/admin/fault", kind="lost", path="/order")
        assert status == 200
        assert await client.code("POST", "/fapi/v1/order", KEY, **GTC) == (503, -1008)
        status, told, _ = await client.ask("POST", "/admin/fault", kind="odd")
        assert status == 400
        assert "too-many" in told["error"]
        status, _, _ = await client.ask("POST", "/admin/position", symbol=SYMBOL, amount="-2")
        _, held, _ = await client.ask("GET", "/fapi/v3/positionRisk", KEY)
        assert held[0]["positionAmt"] == "-2.000"
        for what in ("gap", "cut", "expire"):
            status, _, _ = await client.ask("POST", f"/admin/{what}")
            assert status == 200
        status, _, _ = await client.ask("POST", "/admin/dance")
        assert status == 400

    with_desk(body, admin=True)

    async def closed(client: Desk) -> None:
        assert await client.code("POST", "/admin/fault", kind="lost") == (404, -5000)

    with_desk(closed)


def test_every_call_answers_or_refuses_but_never_breaks() -> None:
    async def body(client: Desk) -> None:
        for method, path in ENDPOINTS:
            for params in ({}, {"symbol": SYMBOL}, {"symbol": SYMBOL, "limit": "0"}):
                status, _, _ = await client.ask(method, path, KEY, **params)
                assert status in (200, 400, 503), (method, path, params)

    with_desk(body, limits=Limits(time.time, Window("1M", 60, 10**6)))
