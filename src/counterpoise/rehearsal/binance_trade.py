"""Binance's REST calls that place, cancel and tell of orders, conditional ones included."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from counterpoise.rehearsal import binance_shapes as shapes
from counterpoise.rehearsal.binance_shapes import Json
from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.denied import Denied, missing
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.feed import Side
from counterpoise.rehearsal.orders import (
    CONDITIONAL,
    Algo,
    AlgoRequest,
    Order,
    OrderRequest,
    PositionSide,
    Refused,
    TimeInForce,
    WorkingType,
)
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

_CONDITIONAL_HERE = (
    "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
)


def _one_of(params: Params, name: str, allowed: tuple[str, ...], code: int, default: str) -> str:
    given = params.get(name) or default
    if not given:
        raise missing(name)
    if given not in allowed:
        raise Denied(code, f"Invalid {name}.")
    return given


def _side(params: Params) -> Side:
    return cast(Side, _one_of(params, "side", ("BUY", "SELL"), -1117, ""))


def _position_side(params: Params) -> PositionSide:
    allowed = ("BOTH", "LONG", "SHORT")
    return cast(PositionSide, _one_of(params, "positionSide", allowed, -4060, "BOTH"))


def _time_in_force(params: Params, default: str) -> TimeInForce:
    allowed = ("GTC", "IOC", "FOK", "GTX", "GTD")
    return cast(TimeInForce, _one_of(params, "timeInForce", allowed, -1115, default))


def _mine(key: ApiKey | None) -> ApiKey:
    assert key is not None
    return key


def _trading(key: ApiKey | None) -> None:
    if not _mine(key).may_trade:
        raise Denied(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def _told(venue: "Venue", found: Order) -> Json:
    return shapes.order(found, venue.texts[found.symbol])


def _algo_told(venue: "Venue", found: Algo) -> Json:
    return shapes.algo(found, venue.texts[found.request.symbol])


def request_of(venue: "Venue", params: Params) -> OrderRequest:
    """An order as a client describes it."""
    kind = params.text("type")
    if kind in CONDITIONAL:
        raise Denied(-4120, _CONDITIONAL_HERE)
    if kind not in ("LIMIT", "MARKET"):
        raise Denied(-1116, "Invalid orderType.")
    limit = kind == "LIMIT"
    return OrderRequest(
        symbol=venue.symbol(params),
        side=_side(params),
        type=kind,
        quantity=params.number("quantity"),
        price=params.number("price") if limit else None,
        time_in_force=_time_in_force(params, "" if limit else "GTC"),
        client_id=params.get("newClientOrderId") or None,
        reduce_only=params.flag("reduceOnly"),
        position_side=_position_side(params),
        good_till_ms=params.whole("goodTillDate", 0),
    )


def place(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Place an order."""
    _trading(key)
    return _told(venue, venue.exchange.place(request_of(venue, params), venue.now_ms()))


def check(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Read an order and place none."""
    _trading(key)
    request_of(venue, params)
    return {}


def place_many(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Place up to five; each has its own order or refusal."""
    return _each(place, venue, _listed(params, "batchOrders", 5, _as_sent), key)


def cancel_many(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Cancel up to ten by number or by name; each has its own order or refusal."""
    # ccxt spells these in lower case, and the venue lets it.
    asked = Params({name.lower(): value for name, value in params.items()})
    number = "orderidlist" in asked
    listed, name = (
        ("orderidlist", "orderId") if number else ("origclientorderidlist", "origClientOrderId")
    )
    symbol = params.text("symbol")
    each = _listed(asked, listed, 10, lambda one: {"symbol": symbol, name: str(one)})
    return _each(cancel, venue, each, key)


def _as_sent(one: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in one.items()}


def _listed(
    params: Params, name: str, most: int, read: Callable[[Any], dict[str, str]]
) -> list[Params]:
    try:
        each = [Params(read(one)) for one in json.loads(params.text(name))]
    except (ValueError, AttributeError, TypeError):
        raise Denied(-1100, f"Illegal characters found in parameter '{name}'.") from None
    if not 0 < len(each) <= most:
        raise Denied(-4082, f"Invalid number of batch orders: 1 to {most}.")
    return each


def _each(
    call: Callable[["Venue", Params, ApiKey | None], Json],
    venue: "Venue",
    each: list[Params],
    key: ApiKey | None,
) -> list[Json]:
    """Replies of a call to several requests; one that is refused does not stop the others."""
    replies = []
    for one in each:
        try:
            replies.append(call(venue, one, key))
        except (Denied, Refused) as refused:
            replies.append({"code": refused.code, "msg": refused.message})
    return replies


def _order_id(params: Params) -> dict[str, Any]:
    """Which order is meant: the venue's number or, without one, the client's name."""
    number, name = params.whole_or_none("orderId"), params.get("origClientOrderId")
    if number is None and not name:
        raise missing("orderId")
    return {"order_id": number, "client_id": None if number is not None else name}


def query(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Tell of an order."""
    return _told(venue, venue.exchange.query(venue.symbol(params), **_order_id(params)))


def query_open(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Tell of an order that is open."""
    found = venue.exchange.query(venue.symbol(params), **_order_id(params))
    if not found.is_open:
        raise Refused(-2013, "Order does not exist.")
    return _told(venue, found)


def cancel(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Cancel an order."""
    _trading(key)
    symbol = venue.symbol(params)
    return _told(venue, venue.exchange.cancel(symbol, venue.now_ms(), **_order_id(params)))


def amend(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Change price and size of a resting limit order."""
    _trading(key)
    changed = venue.exchange.modify(
        venue.symbol(params),
        params.number("quantity"),
        params.number("price"),
        venue.now_ms(),
        **_order_id(params),
    )
    return _told(venue, changed)


def cancel_all(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Cancel every open order of a symbol."""
    _trading(key)
    venue.exchange.cancel_all(venue.symbol(params), venue.now_ms())
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _symbol_or_none(venue: "Venue", params: Params) -> str | None:
    return venue.symbol(params) if params.get("symbol") else None


def open_orders(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Every open order."""
    asked = _symbol_or_none(venue, params)
    return [_told(venue, found) for found in venue.exchange.open_orders(asked)]


def all_orders(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Orders of a symbol, newest last."""
    found = venue.exchange.all_orders(venue.symbol(params))
    first, last = params.whole("startTime", 0), params.whole_or_none("endTime")
    oldest = params.whole("orderId", 0)
    rows = [
        _told(venue, one)
        for one in found
        if one.order_id >= oldest and first <= one.time_ms and (last is None or one.time_ms <= last)
    ]
    return rows[-params.limit(500, 1000) :]


def forced(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Orders by which the venue closed positions of ours, newest last."""
    asked = _symbol_or_none(venue, params)
    found = [
        _told(venue, one)
        for one in venue.exchange.all_orders(asked)
        if one.client_id.startswith("autoclose-")
    ]
    return found[-params.limit(50, 100) :]


def place_algo(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Place a conditional order."""
    _trading(key)
    _one_of(params, "algoType", ("CONDITIONAL",), -1102, "")
    kind = params.text("type")
    if kind not in CONDITIONAL:
        raise Denied(-1116, "Invalid orderType.")
    trailing = kind == "TRAILING_STOP_MARKET"
    closes = params.flag("closePosition")
    working = ("MARK_PRICE", "CONTRACT_PRICE")
    trigger = params.number_or_none("activatePrice") if trailing else params.number("triggerPrice")
    request = AlgoRequest(
        symbol=venue.symbol(params),
        side=_side(params),
        type=kind,
        quantity=None if closes else params.number("quantity"),
        trigger=trigger,
        price=params.number("price") if CONDITIONAL[kind] == "LIMIT" else None,
        callback_pct=params.number("callbackRate") if trailing else None,
        time_in_force=_time_in_force(params, "GTC"),
        client_id=params.get("clientAlgoId") or None,
        reduce_only=params.flag("reduceOnly"),
        close_position=closes,
        position_side=_position_side(params),
        working_type=cast(
            WorkingType, _one_of(params, "workingType", working, -1102, "CONTRACT_PRICE")
        ),
    )
    return _algo_told(venue, venue.exchange.algos.place(request, venue.now_ms()))


def _algo_id(params: Params) -> dict[str, Any]:
    number, name = params.whole_or_none("algoId"), params.get("clientAlgoId")
    if number is None and not name:
        raise missing("algoId")
    return {"algo_id": number, "client_id": None if number is not None else name}


def query_algo(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Tell of a conditional order."""
    return _algo_told(venue, venue.exchange.algos.query(**_algo_id(params)))


def cancel_algo(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Cancel a conditional order."""
    _trading(key)
    found = venue.exchange.algos.cancel(venue.now_ms(), **_algo_id(params))
    told = {"algoId": found.algo_id, "clientAlgoId": found.client_id}
    return told | {"code": "200", "msg": "success"}


def cancel_all_algo(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Cancel every conditional order of a symbol."""
    _trading(key)
    venue.exchange.algos.cancel_all(venue.symbol(params), venue.now_ms())
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_algo(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Every conditional order that waits."""
    asked = _symbol_or_none(venue, params)
    return [_algo_told(venue, found) for found in venue.exchange.algos.open(asked)]


def all_algo(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Conditional orders of a symbol, newest last."""
    found = venue.exchange.algos.all(venue.symbol(params))
    return [_algo_told(venue, one) for one in found][-params.limit(500, 1000) :]


def countdown(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Cancel every open order of a symbol unless told again in time."""
    _trading(key)
    symbol, delay = venue.symbol(params), params.whole("countdownTime", -1)
    if delay < 0:
        raise missing("countdownTime")
    venue.exchange.countdown(symbol, delay, venue.now_ms())
    return {"symbol": symbol, "countdownTime": str(delay)}


def _many(params: Params) -> int:
    return 1 if params.get("symbol") else 40


ENDPOINTS: Endpoints = {
    ("POST", "/fapi/v1/order"): Endpoint(place, 0, orders=1),
    ("PUT", "/fapi/v1/order"): Endpoint(amend, 1, orders=1),
    ("GET", "/fapi/v1/order"): Endpoint(query),
    ("DELETE", "/fapi/v1/order"): Endpoint(cancel),
    ("POST", "/fapi/v1/order/test"): Endpoint(check),
    ("POST", "/fapi/v1/batchOrders"): Endpoint(place_many, 5, orders=5),
    ("DELETE", "/fapi/v1/batchOrders"): Endpoint(cancel_many),
    ("GET", "/fapi/v1/openOrder"): Endpoint(query_open),
    ("GET", "/fapi/v1/openOrders"): Endpoint(open_orders, _many),
    ("GET", "/fapi/v1/allOrders"): Endpoint(all_orders, 5),
    ("GET", "/fapi/v1/forceOrders"): Endpoint(forced, 20),
    ("DELETE", "/fapi/v1/allOpenOrders"): Endpoint(cancel_all),
    ("POST", "/fapi/v1/countdownCancelAll"): Endpoint(countdown, 10),
    ("POST", "/fapi/v1/algoOrder"): Endpoint(place_algo, 0, orders=1),
    ("GET", "/fapi/v1/algoOrder"): Endpoint(query_algo),
    ("DELETE", "/fapi/v1/algoOrder"): Endpoint(cancel_algo),
    ("GET", "/fapi/v1/openAlgoOrders"): Endpoint(open_algo, _many),
    ("GET", "/fapi/v1/allAlgoOrders"): Endpoint(all_algo, 5),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Endpoint(cancel_all_algo),
}
