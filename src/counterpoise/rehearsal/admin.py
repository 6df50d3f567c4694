"""Routes by which a person makes things go wrong at a local venue: POST /admin/WHAT?parameters.

``fault`` (kind, path, method, seconds, times) arms one for the next requests; ``gap``, ``cut``
(route) and ``expire`` happen to the connections at once; ``position`` (symbol, amount) changes a
position and tells nobody.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from aiohttp import web

from counterpoise.errors import FixConfig
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.faults import Kind
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue


def admin_of(venue: "Venue") -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Handler of every one of them."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            _do(venue, request.match_info["what"], Params(request.query))
        except (FixConfig, Denied) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        return web.json_response({})

    return handle


def _do(venue: "Venue", what: str, asked: Params) -> None:
    match what:
        case "fault":
            seconds = float(asked.number_or_none("seconds") or 0)
            venue.faults.arm(
                cast(Kind, asked.text("kind")),
                asked.get("path", ""),
                method=asked.get("method", ""),
                seconds=seconds,
                times=asked.whole("times", 1),
            )
        case "gap":
            venue.skip_ids()
        case "cut":
            venue.abort_connections(asked.get("route"))
        case "expire":
            venue.expire_listen_key()
        case "position":
            venue.exchange.account.adjust(venue.symbol(asked), asked.number("amount"))
        case _:
            expected = "fault, gap, cut, expire or position"
            raise FixConfig("/admin", what, expected, "post to one of them")
