"""The WebSocket side of the local Binance venue: streams by route, and requests at /ws-fapi/v1."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from aiohttp import WSMsgType, web

from counterpoise.rehearsal.binance_signing import ApiKey, payload_of_message, refuse_stranger
from counterpoise.rehearsal.binance_streams import HEARTBEAT_S, Listener, Route, encoded
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.orders import Refused
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Calls of the WebSocket API and the REST calls that answer them.
_CALLS = {
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.price": ("GET", "/fapi/v1/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
}


async def _opened(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False)
    await socket.prepare(request)
    return socket


def streams_of(venue: "Venue", route: str) -> Handler:
    """Handler of the streams on a route, raw and combined."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = await _opened(request)
        combined = request.path.endswith("/stream")
        named = request.query.get("streams") if combined else request.match_info.get("streams")
        names = [name for name in (named or "").split("/") if name]
        if asked := request.query.get("listenKey"):
            if asked != venue.listen_keys.key:
                await socket.close()
                return socket
            names.append(asked)
        listener = Listener(socket, request.transport, cast(Route, route), combined=combined)
        venue.streams.add(listener)
        venue.streams.subscribe(listener, names)
        writer = asyncio.create_task(listener.write())
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    venue.streams.answer(listener, message.data)
        finally:
            writer.cancel()
            venue.streams.remove(listener)
        return socket

    return handle


class _Session:
    """Who is logged on to a connection of the WebSocket API."""

    def __init__(self, venue: "Venue", endpoints: Endpoints) -> None:
        self._venue, self._endpoints = venue, endpoints
        self._known: ApiKey | None = None

    def reply(self, text: str) -> str:
        """Reply to one message."""
        asked: Any = None
        orders = False
        try:
            try:
                request = json.loads(text)
                asked, method = request.get("id"), request["method"]
                given = dict(request.get("params") or {})
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Denied(-1100, "Illegal characters found in the request.") from None
            if method.startswith("session."):
                result = self._session(method, given)
            else:
                call = _CALLS.get(method)
                if call is None:
                    raise Denied(-1000, f"Unknown method {str(method)[:40]}.")
                endpoint = self._endpoints[call]
                orders = endpoint.orders > 0
                result = self._answer(" ".join(call), endpoint, given)
            reply: dict[str, Any] = {"id": asked, "status": 200, "result": result}
        except (Denied, Refused) as refused:
            status = refused.status if isinstance(refused, Denied) else 400
            error = {"code": refused.code, "msg": refused.message}
            reply = {"id": asked, "status": status, "error": error}
        return encoded(reply | {"rateLimits": self._venue.limits.counts(orders=orders)})

    def _answer(self, called: str, endpoint: Endpoint, given: Mapping[str, Any]) -> Any:
        venue = self._venue
        venue.calls[called] = venue.calls.get(called, 0) + 1
        params = _params(given)
        venue.limits.take(endpoint.weighs(params), endpoint.orders)
        known = self._known
        if known is None or "signature" in given:
            known = venue.identify(
                endpoint, params, params.get("apiKey", ""), payload_of_message(given)
            )
        return venue.answer(endpoint, params, known)

    def _session(self, method: str, given: Mapping[str, Any]) -> Any:
        venue, params = self._venue, _params(given)
        if method == "session.logon":
            venue.limits.take(2, 0)
            payload = payload_of_message(given)
            key = params.get("apiKey", "")
            self._known = refuse_stranger(venue.keys, key, payload, params, venue.clocks_ms())
        elif method == "session.logout":
            self._known = None
        elif method != "session.status":
            raise Denied(-1000, f"Unknown method {method[:40]}.")
        return {
            "apiKey": self._known.key if self._known else None,
            "authorizedSince": venue.now_ms() if self._known else None,
            "connectedSince": venue.now_ms(),
            "returnRateLimits": True,
            "serverTime": venue.now_ms(),
        }


def _params(given: Mapping[str, Any]) -> Params:
    return Params(
        {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in given.items()
        }
    )


def api_of(venue: "Venue", endpoints: Endpoints) -> Handler:
    """Handler of the WebSocket API."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = await _opened(request)
        session = _Session(venue, endpoints)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(session.reply(message.data))
        return socket

    return handle
