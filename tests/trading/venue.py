"""A small Binance on this machine: it verifies signatures, times and rights, and can misbehave.

It answers in the venue's own shapes. Every fact is an attribute that a test may change.
"""

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding
from cryptography.hazmat.primitives.hashes import SHA256

from counterpoise.credentials import Credentials, Secret
from counterpoise.trading.binance_rest import Endpoints
from counterpoise.venues.binance import USD_M

KEY, SECRET = "test-api-key-0123456789", "test-api-secret/+=9876543210"


def credentials(key: str = KEY, secret: str = SECRET) -> Credentials:
    return Credentials(Secret(key), Secret(secret), "test")


@dataclass
class Venue:
    """One account with one symbol."""

    public_key: Any = None  # instead of the shared secret
    skew_ms: float = 0.0  # of the venue's clock against this machine's
    listed: bool = True
    status: str = "TRADING"
    hedge_mode: bool = False
    multi_assets: bool = False
    isolated: bool = False
    leverage: int = 10
    equity: float = 200_000.0
    position: float = -10.0
    tick: str = "0.01"
    maker: str = "0.000200"
    may_trade: bool = True
    rights: dict[str, bool] = field(
        default_factory=lambda: {
            "ipRestrict": True,
            "enableReading": True,
            "enableFutures": True,
            "enableWithdrawals": False,
            "permitsUniversalTransfer": True,
        }
    )
    tiers: list[tuple[float, float, float, float]] = field(
        default_factory=lambda: [(t.cap, t.rate, t.max_leverage, t.amount) for t in USD_M.tiers]
    )
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    stops: dict[str, dict[str, Any]] = field(default_factory=dict)
    trades: list[dict[str, Any]] = field(default_factory=list)
    income: list[dict[str, Any]] = field(default_factory=list)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)  # (METHOD path, what)
    calls: list[str] = field(default_factory=list)
    weight: int = 1

    def now_ms(self) -> int:
        return round(time.time() * 1000 + self.skew_ms)

    def __enter__(self) -> "Venue":
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve() -> None:
            app = web.Application(middlewares=[self._guard])
            app.router.add_get("/public/ws/{stream}", self._stream)
            app.router.add_route("*", "/{path:.*}", self._answer)
            self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            ready.set()

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(10)
        base = f"http://127.0.0.1:{self.port}"
        self.endpoints = Endpoints(base, base, f"ws://127.0.0.1:{self.port}")
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @web.middleware
    async def _guard(self, request, handler):
        name = f"{request.method} {request.path}"
        self.calls.append(name)
        headers = {"X-MBX-USED-WEIGHT-1M": str(self.weight)}
        fault = next((what for where, what in self.faults if where == name), "")
        if fault:
            self.faults.remove((name, fault))
        if fault == "429":
            return _no(-1003, "Too many requests", 429, {"Retry-After": "7"} | headers)
        if fault == "slow":
            await asyncio.sleep(1.0)
        if fault == "garbage":
            return web.Response(text="<html>", headers=headers)
        if fault == "502":
            return web.Response(text="<html>Bad Gateway", status=502, headers=headers)
        if fault.startswith("-"):
            return _no(int(fault), "because of a test", 400, headers)
        if (refusal := self._refused(request)) is not None:
            return refusal
        reply = await handler(request)
        if fault == "done-503":
            return _no(-1000, "Unknown error, please check your request.", 503, headers)
        if fault == "done-1007":
            return _no(-1007, "Timeout waiting for response", 408, headers)
        if fault == "done-abort":
            request.transport.abort()
        reply.headers.update(headers)
        return reply

    def _refused(self, request) -> web.Response | None:
        """Why a signed call is not for this key; None where it is."""
        path, query = request.path, request.raw_path.partition("?")[2]
        public = ("/ws/", "/time", "/exchangeInfo", "/premiumIndex", "/ping")
        if any(part in path for part in public):
            return None
        if request.headers.get("X-MBX-APIKEY") != KEY:
            return _no(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        payload, _, signature = query.rpartition("&signature=")
        if not self._signed(payload, unquote(signature)):
            return _no(-1022, "Signature for this request is not valid.")
        given = dict(parse_qsl(payload))
        ahead = int(given["timestamp"]) - self.now_ms()
        if ahead > 1000 or -ahead > int(given["recvWindow"]):
            return _no(-1021, "Timestamp for this request is outside of the recvWindow.")
        if path.startswith("/fapi/") and not self.may_trade:
            return _no(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return None

    def _signed(self, payload: str, signature: str) -> bool:
        if self.public_key is None:
            good = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
            return hmac.compare_digest(good, signature)
        try:
            raw = base64.b64decode(signature, validate=True)
            if isinstance(self.public_key, ed25519.Ed25519PublicKey):
                self.public_key.verify(raw, payload.encode())
            else:
                self.public_key.verify(raw, payload.encode(), padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    async def _stream(self, request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"e": "bookTicker", "s": "ETHUSDT", "b": "2999", "a": "3001"})
        async for _ in socket:
            pass
        return socket

    async def _answer(self, request) -> web.Response:
        given = dict(parse_qsl(request.query_string))
        path = request.path.removeprefix("/fapi/").removeprefix("/sapi/")
        name = f"{request.method} {path.partition('/')[2]}"
        known = {
            "GET time": lambda: {"serverTime": self.now_ms()},
            "GET premiumIndex": lambda: {"markPrice": "3000.0", "indexPrice": "600.0"},
            "GET exchangeInfo": lambda: {"symbols": [self._symbol()] if self.listed else []},
            "GET positionRisk": self._risk,
            "GET account": self._account,
            "GET symbolConfig": lambda: [self._config()],
            "GET positionSide/dual": lambda: {"dualSidePosition": self.hedge_mode},
            "GET multiAssetsMargin": lambda: {"multiAssetsMargin": self.multi_assets},
            "GET leverageBracket": lambda: [self._brackets()],
            "GET commissionRate": lambda: {
                "symbol": "ETHUSDT",
                "makerCommissionRate": self.maker,
                "takerCommissionRate": "0.000500",
            },
            "GET account/apiRestrictions": lambda: self.rights | {"createTime": 1},
            "GET openOrders": lambda: [o for o in self.orders.values() if o["status"] == "NEW"],
            "GET openAlgoOrders": lambda: [
                o for o in self.stops.values() if o["algoStatus"] == "NEW"
            ],
            "GET allOrders": lambda: [
                o for o in self.orders.values() if o["orderId"] >= int(given["orderId"])
            ],
            "GET userTrades": lambda: [
                t for t in self.trades if given.get("orderId") in (None, str(t["orderId"]))
            ],
            "GET income": lambda: self.income,
            "GET asset/transfer": lambda: {"total": len(self.transfers), "rows": self.transfers},
        }
        if name in known:
            return web.json_response(known[name]())
        changed = {
            "POST leverage": lambda: setattr(self, "leverage", int(given["leverage"])),
            "POST marginType": lambda: setattr(self, "isolated", given["marginType"] == "ISOLATED"),
            "POST countdownCancelAll": lambda: None,
            "POST asset/transfer": lambda: self._move(given),
        }
        if name in changed:
            changed[name]()
            return web.json_response({"code": 200})
        return self._orders(name, given)

    def _move(self, given: dict[str, str]) -> None:
        row = {"amount": given["amount"], "timestamp": self.now_ms(), "type": given["type"]}
        self.transfers.append(row)

    def _orders(self, name: str, given: dict[str, str]) -> web.Response:
        algo = name.endswith("algoOrder")
        book = self.stops if algo else self.orders
        key = given.get("clientAlgoId" if algo else "origClientOrderId", "")
        if "orderId" in given:
            key = next((k for k, o in book.items() if str(o["orderId"]) == given["orderId"]), "")
        if key not in book:
            code = -2011 if name.startswith("DELETE") else -2013
            return _no(code, "Unknown order sent." if code == -2011 else "Order does not exist.")
        if name.startswith("DELETE"):
            if book[key]["algoStatus" if algo else "status"] != "NEW":
                return _no(-2011, "Unknown order sent.")
            book[key]["algoStatus" if algo else "status"] = "CANCELED"
        return web.json_response(book[key])

    def order(self, client_id: str, **changes: Any) -> dict[str, Any]:
        """Put an order in the book."""
        number = 1000 + len(self.orders)
        self.orders[client_id] = {
            "orderId": number,
            "clientOrderId": client_id,
            "symbol": "ETHUSDT",
            "side": "SELL",
            "origQty": "1.500",
            "executedQty": "0.000",
            "price": "3010.00",
            "reduceOnly": False,
            "status": "NEW",
            "updateTime": 1_700_000_000_000,
        } | changes
        return self.orders[client_id]

    def stop(self, client_id: str, **changes: Any) -> None:
        """Rest a conditional order."""
        self.stops[client_id] = {
            "algoId": 5,
            "orderId": 0,
            "clientAlgoId": client_id,
            "symbol": "ETHUSDT",
            "side": "BUY",
            "quantity": "10.000",
            "price": "0",
            "triggerPrice": "3600.00",
            "reduceOnly": True,
            "closePosition": False,
            "algoStatus": "NEW",
            "actualOrderId": "",
            "updateTime": 1_700_000_000_000,
        } | changes

    def trade(self, number: int, order: int, **changes: Any) -> None:
        """Book a trade of an order."""
        self.trades.append(
            {
                "symbol": "ETHUSDT",
                "id": number,
                "orderId": order,
                "side": "SELL",
                "price": "3010.00",
                "qty": "0.500",
                "commission": "0.30",
                "commissionAsset": "USDT",
                "time": 1_700_000_000_000 + number,
                "positionSide": "BOTH",
                "maker": True,
            }
            | changes
        )

    def _symbol(self) -> dict[str, Any]:
        return {
            "symbol": "ETHUSDT",
            "status": self.status,
            "liquidationFee": "0.012500",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": self.tick},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "20"},
            ],
        }

    def _risk(self) -> list[dict[str, str]]:
        if self.position == 0.0:
            return []
        return [
            {
                "symbol": "ETHUSDT",
                "positionSide": "SHORT" if self.hedge_mode else "BOTH",
                "positionAmt": f"{self.position:.3f}",
                "entryPrice": "2950.0",
                "markPrice": "3000.0",
                "liquidationPrice": "7100.5",
            }
        ]

    def _account(self) -> dict[str, Any]:
        return {
            "totalWalletBalance": f"{self.equity + 500}",
            "totalMarginBalance": f"{self.equity}",
            "availableBalance": f"{self.equity - 3000}",
            "totalMaintMargin": "150.0",
            "assets": [
                {"asset": "USDT", "walletBalance": f"{self.equity + 500}"},
                {"asset": "BNB", "walletBalance": "0.00000000"},
            ],
            "positions": [],
        }

    def _config(self) -> dict[str, Any]:
        most = max(
            (cap for cap, _, allowed, _ in self.tiers if allowed >= self.leverage), default=0
        )
        return {
            "symbol": "ETHUSDT",
            "marginType": "ISOLATED" if self.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": self.leverage,
            "maxNotionalValue": f"{most}",
        }

    def _brackets(self) -> dict[str, Any]:
        rows = [
            {
                "bracket": number,
                "initialLeverage": allowed,
                "notionalCap": cap,
                "maintMarginRatio": rate,
                "cum": amount,
            }
            for number, (cap, rate, allowed, amount) in enumerate(self.tiers, start=1)
        ]
        return {"symbol": "ETHUSDT", "brackets": rows}


def _no(code: int, message: str, status: int = 400, headers: Any = None) -> web.Response:
    return web.json_response({"code": code, "msg": message}, status=status, headers=headers)
