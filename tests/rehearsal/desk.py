"""A client of the venue that sends exactly what a test tells it to."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.binance_venue import Venue
from tests.rehearsal.steady import SYMBOL, ready, venue

aiohttp = pytest.importorskip("aiohttp")
yarl = pytest.importorskip("yarl")
LIMIT = {"symbol": SYMBOL, "side": "SELL", "type": "LIMIT", "quantity": "0.1", "price": "3100"}
GTC = LIMIT | {"timeInForce": "GTC"}


class Desk:
    """A client that does no more than it is told."""

    def __init__(self, binance: Venue, session: Any) -> None:
        self.binance, self.session = binance, session

    async def ask(self, method: str, path: str, key: ApiKey | None = None, /, **params: Any) -> Any:
        """Status, JSON and headers of a call; signed where a key is given."""
        headers = {}
        if key is not None:
            params = {"timestamp": round(time.time() * 1000)} | params
            query = urlencode(params)
            digest = hmac.new(key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            params["signature"] = params.get("signature", digest)
            headers["X-MBX-APIKEY"] = key.key
        url = f"{self.binance.url_http}{path}?{urlencode(params)}"
        # As it was signed: no escape is put differently.
        async with self.session.request(
            method, yarl.URL(url, encoded=True), headers=headers
        ) as reply:
            return reply.status, await reply.json(), reply.headers

    async def code(
        self, method: str, path: str, key: ApiKey | None = None, /, **params: Any
    ) -> Any:
        """Status and the venue's code."""
        status, told, _ = await self.ask(method, path, key, **params)
        return status, told["code"]

    def socket(self, path: str) -> Any:
        return self.session.ws_connect(self.binance.url_ws + path)


@asynccontextmanager
async def desk(**given: Any) -> AsyncIterator[Desk]:
    async with (
        asyncio.timeout(20),
        venue(**given) as binance,
        aiohttp.ClientSession() as session,
    ):
        await ready(binance)
        yield Desk(binance, session)


def with_desk(body: Callable[[Desk], Awaitable[None]], **given: Any) -> None:
    async def run() -> None:
        async with desk(**given) as client:
            await body(client)

    asyncio.run(run())


async def next_data(socket: Any) -> dict[str, Any]:
    """The next message of a socket."""
    return (await socket.receive()).json()
