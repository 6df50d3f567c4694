"""The HTTP side of the local Binance venue: routes, requests, faults, replies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from counterpoise.rehearsal.admin import admin_of
from counterpoise.rehearsal.binance_signing import payload_of
from counterpoise.rehearsal.binance_sockets import api_of, streams_of
from counterpoise.rehearsal.binance_streams import encoded
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.faults import Fault
from counterpoise.rehearsal.orders import Refused
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TIMEOUT = (
    "Timeout waiting for response from backend server. Send status unknown; "
    "execution status unknown."
)
_UNKNOWN = "Unknown error, please check your request or try again later."

_OVERLOADED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)


def application(venue: "Venue", endpoints: Endpoints, *, admin: bool) -> web.Application:
    """Every route of the venue, ``/admin`` where that is wanted."""
    app = web.Application()
    for route in ("", "public", "market", "private"):
        base = f"/{route}" if route else ""
        handler = streams_of(venue, route)
        for path in ("/ws", "/ws/{streams:.*}", "/stream"):
            app.router.add_get(base + path, handler)
    app.router.add_get("/ws-fapi/v1", api_of(venue, endpoints))
    for (method, path), endpoint in endpoints.items():
        app.router.add_route(method, path, _handler(venue, path, endpoint))
    if admin:
        app.router.add_post("/admin/{what}", admin_of(venue))
    app.router.add_route("*", "/{rest:.*}", _unknown)
    return app


async def _unknown(request: web.Request) -> web.StreamResponse:
    told = {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}
    return web.Response(text=encoded(told), status=404, content_type="application/json")


def _handler(venue: "Venue", path: str, endpoint: Endpoint) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.text() if request.can_read_body else ""
        # As it came: a parsed address would have its escapes put differently.
        query = request.raw_path.partition("?")[2]
        params = Params(parse_qsl(query, keep_blank_values=True))
        params.update(parse_qsl(body, keep_blank_values=True))
        called = f"{request.method} {path}"
        venue.calls[called] = venue.calls.get(called, 0) + 1
        fault = venue.faults.meet(request.method, path) if len(venue.faults) else None
        headers: dict[str, str] = {}
        try:
            venue.limits.take(endpoint.weighs(params), endpoint.orders)
            await _before(venue, fault)
            key = request.headers.get("X-MBX-APIKEY", "")
            known = venue.identify(endpoint, params, key, payload_of(query, body))
            status, text = 200, encoded(venue.answer(endpoint, params, known))
            _after(fault, request)
        except (Denied, Refused) as refused:
            status, text = 400, encoded({"code": refused.code, "msg": refused.message})
            if isinstance(refused, Denied):
                status, headers = refused.status, refused.headers
        return web.Response(
            text=text,
            status=status,
            content_type="application/json",
            headers=headers | venue.limits.headers(orders=endpoint.orders > 0),
        )

    return handle


async def _before(venue: "Venue", fault: Fault | None) -> None:
    """What goes wrong before a request is executed."""
    match fault.kind if fault else "":
        case "too-many":
            raise venue.limits.too_many()
        case "banned":
            raise venue.limits.banned()
        case "clock":
            raise Denied(-1021, "Timestamp for this request is outside of the recvWindow.")
        case "lost":
            raise Denied(-1008, _OVERLOADED, status=503)
        case "delay":
            assert fault is not None
            await asyncio.sleep(fault.seconds)


def _after(fault: Fault | None, request: web.Request) -> None:
    """What goes wrong after it was executed."""
    match fault.kind if fault else "":
        case "timeout":
            raise Denied(-1007, _TIMEOUT, status=408)
        case "unavailable":
            raise Denied(-1000, _UNKNOWN, status=503)
        case "cut":
            if request.transport is not None:
                request.transport.abort()
