"""Who is let in: three signatures by clients of others, time stamps, rights of a key."""

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from counterpoise.rehearsal.binance_signing import ApiKey
from tests.rehearsal.desk import GTC, Desk, with_desk
from tests.rehearsal.driven import drive, foreign_python
from tests.rehearsal.key_pairs import PAIRS
from tests.rehearsal.pointed import pointed
from tests.rehearsal.steady import KEY, ready, venue


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
def test_ccxt_signs_in_three_ways(kind: str) -> None:
    module = pytest.importorskip("ccxt.async_support")
    private, public = PAIRS.get(kind, (KEY.secret, KEY.secret))
    key = ApiKey("test-key", public)

    async def run() -> None:
        async with asyncio.timeout(20), venue(keys=(key,)) as binance:
            await ready(binance)
            client = pointed(module.binanceusdm, binance, key, private)
            stranger = pointed(module.binanceusdm, binance, key, "another secret")
            try:
                order = await client.create_order("ETH/USDT:USDT", "limit", "sell", 0.1, 3100)
                assert (await client.cancel_order(order["id"], "ETH/USDT:USDT"))["status"] == (
                    "canceled"
                )
                with pytest.raises(module.AuthenticationError, match="-1022"):
                    await stranger.fetch_balance()
            finally:
                await client.close()
                await stranger.close()

    asyncio.run(run())


def test_the_official_sdk_signs_with_a_key_file(tmp_path: Any) -> None:
    private, public = PAIRS["ed25519"]
    file = tmp_path / "key.pem"
    file.write_text(private)
    key = ApiKey("test-key", public)

    async def run() -> Any:
        async with venue(keys=(key,)) as binance:
            await ready(binance)
            python = foreign_python()
            return await drive(
                "official_sdk.py", binance.url_http, str(file), key=key, python=python
            )

    assert asyncio.run(run())["taker"] == ["FILLED", "0.500"]


def test_who_is_not_let_in() -> None:
    async def body(client: Desk) -> None:
        path = "/fapi/v3/balance"
        now = round(time.time() * 1000)
        assert await client.code("GET", path) == (401, -2015)
        assert await client.code("GET", path, replace(KEY, key="other")) == (401, -2015)
        assert await client.code("GET", path, replace(KEY, secret="other")) == (400, -1022)
        assert await client.code("GET", path, KEY, signature="") == (400, -1102)
        assert await client.code("GET", path, KEY, timestamp=now - 6000) == (400, -1021)
        assert await client.code("GET", path, KEY, timestamp=now + 60_000) == (400, -1021)
        assert await client.code("GET", path, KEY, timestamp="soon") == (400, -1100)
        assert await client.code("GET", path, KEY, recvWindow=60_001) == (400, -1131)
        late = {"timestamp": now - 6000, "recvWindow": 20_000}
        status, _, _ = await client.ask("GET", path, KEY, **late)
        assert status == 200

    with_desk(body)


def test_a_key_does_what_it_may() -> None:
    watcher = ApiKey("watcher", "secret", may_trade=False, may_transfer=False)

    async def body(client: Desk) -> None:
        assert await client.code("POST", "/fapi/v1/order", watcher, **GTC) == (401, -2015)
        move = {"type": "MAIN_UMFUTURE", "asset": "USDT", "amount": 5}
        assert await client.code("POST", "/sapi/v1/asset/transfer", watcher, **move) == (401, -1002)
        _, rights, _ = await client.ask("GET", "/sapi/v1/account/apiRestrictions", watcher)
        assert rights["enableFutures"] is False
        assert rights["enableWithdrawals"] is False
        _, rights, _ = await client.ask("GET", "/sapi/v1/account/apiRestrictions", KEY)
        assert rights["enableFutures"] is True
        _, moved, _ = await client.ask("POST", "/sapi/v1/asset/transfer", KEY, **move)
        assert moved["tranId"] > 0
        assert client.binance.exchange.account.wallet == Decimal(10_005)
        _, told, _ = await client.ask("GET", "/sapi/v1/asset/transfer", KEY, type="MAIN_UMFUTURE")
        assert (told["total"], told["rows"][0]["amount"]) == (1, "5.00000000")
        _, told, _ = await client.ask("GET", "/sapi/v1/asset/transfer", KEY, type="UMFUTURE_MAIN")
        assert told["total"] == 0
        status, told, _ = await client.ask("GET", "/fapi/v1/income", KEY, incomeType="TRANSFER")
        assert (status, told[0]["income"]) == (200, "5.00000000")

    with_desk(body, keys=(KEY, watcher))
