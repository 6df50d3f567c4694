"""Binance's REST calls about the account: balances, positions, settings, rights, transfers."""

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from counterpoise.rehearsal import binance_shapes as shapes
from counterpoise.rehearsal.binance_shapes import Json, usd
from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.denied import Denied, missing
from counterpoise.rehearsal.endpoints import Endpoint, Endpoints
from counterpoise.rehearsal.params import Params
from counterpoise.rehearsal.reports import PositionReport

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue

#: Wallets a transfer may go between, by the venue's name: +1 is into futures.
_TRANSFERS = {
    "MAIN_UMFUTURE": 1,
    "UMFUTURE_MAIN": -1,
    "FUNDING_UMFUTURE": 1,
    "UMFUTURE_FUNDING": -1,
}


def account(version: int, venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Balances and positions."""
    assert key is not None
    positions = [
        shapes.account_position(one, venue.texts[one.symbol], version)
        for one in venue.exchange.account.positions()
        if version == 2 or _in_use(one)
    ]
    balance = venue.exchange.account.balance()
    return shapes.account(balance, positions, version, trades=key.may_trade)


def balance(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Balances."""
    return shapes.balances(venue.exchange.account.balance())


def position_risk(version: int, venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Positions; version 3 has only those in use."""
    asked = venue.symbol(params) if params.get("symbol") else None
    return [
        shapes.position_risk(one, venue.texts[one.symbol], version)
        for one in venue.exchange.account.positions(asked)
        if version == 2 or _in_use(one)
    ]


def _in_use(position: PositionReport) -> bool:
    """Held, or with open orders."""
    return bool(position.amount or position.bid_notional or position.ask_notional)


def set_leverage(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Set the leverage of a symbol."""
    symbol, leverage = venue.symbol(params), int(params.number("leverage"))
    most = venue.exchange.account.set_leverage(symbol, leverage, venue.now_ms())
    return {"leverage": leverage, "maxNotionalValue": str(most), "symbol": symbol}


def set_margin_type(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Set how positions of a symbol are margined."""
    asked = params.text("marginType")
    if asked not in ("ISOLATED", "CROSSED"):
        raise Denied(-4045, "Invalid marginType.")
    venue.exchange.account.set_margin_type(venue.symbol(params), isolated=asked == "ISOLATED")
    return {"code": 200, "msg": "success"}


def position_mode(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Whether long and short are held side by side."""
    return {"dualSidePosition": venue.exchange.account.hedge_mode}


def set_position_mode(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Hold long and short side by side, or one position."""
    if not params.get("dualSidePosition"):
        raise missing("dualSidePosition")
    venue.exchange.account.set_position_mode(hedge=params.flag("dualSidePosition"))
    return {"code": 200, "msg": "success"}


def symbol_config(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Leverage and margin type of every symbol."""
    asked = venue.symbol(params) if params.get("symbol") else None
    return [
        {
            "symbol": one.symbol,
            "marginType": "ISOLATED" if one.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": one.leverage,
            "maxNotionalValue": str(one.max_notional),
        }
        for one in venue.exchange.account.positions(asked)
        if one.position_side in ("BOTH", "LONG")
    ]


def account_config(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Settings of the account."""
    assert key is not None
    return {
        "feeTier": 0,
        "canTrade": key.may_trade,
        "canDeposit": True,
        "canWithdraw": key.may_withdraw,
        "dualSidePosition": venue.exchange.account.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def brackets(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Maintenance tiers."""
    asked = venue.symbol(params) if params.get("symbol") else None
    return [
        {"symbol": symbol, "notionalCoef": 1.0, "brackets": _brackets(texts)}
        for symbol, texts in venue.texts.items()
        if asked in (None, symbol)
    ]


def _brackets(texts: shapes.Texts) -> list[Json]:
    rows, floor = [], Decimal(0)
    for number, bracket in enumerate(texts.rules.brackets, start=1):
        rows.append(
            {
                "bracket": number,
                "initialLeverage": bracket.max_leverage,
                "notionalCap": int(bracket.cap),
                "notionalFloor": int(floor),
                "maintMarginRatio": float(bracket.rate),
                "cum": float(bracket.amount),
            }
        )
        floor = bracket.cap
    return rows


def commission_rate(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Fees of a symbol."""
    symbol = venue.symbol(params)
    rules = venue.texts[symbol].rules
    return {
        "symbol": symbol,
        "makerCommissionRate": f"{rules.maker_fee:.6f}",
        "takerCommissionRate": f"{rules.taker_fee:.6f}",
        "rpiCommissionRate": "0.000000",
    }


def multi_assets(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Whether other assets than USDT are margin: here they are not."""
    return {"multiAssetsMargin": False}


def user_trades(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Fills of a symbol, newest last."""
    symbol = venue.symbol(params)
    first, last = params.whole("startTime", 0), params.whole_or_none("endTime")
    order, oldest = params.whole_or_none("orderId"), params.whole_or_none("fromId")
    rows = [
        shapes.user_trade(one, venue.texts[symbol])
        for one in venue.exchange.account.trades
        if one.symbol == symbol
        and first <= one.time_ms
        and (last is None or one.time_ms <= last)
        and order in (None, one.order_id)
        and (oldest is None or one.trade_id >= oldest)
    ]
    limit = params.limit(500, 1000)
    return rows[:limit] if oldest is not None or first else rows[-limit:]


def income(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """Changes of the wallet, newest last."""
    first, last = params.whole("startTime", 0), params.whole_or_none("endTime")
    symbol, kind = params.get("symbol"), params.get("incomeType")
    rows = [
        shapes.income(one)
        for one in venue.exchange.account.incomes
        if first <= one.time_ms
        and (last is None or one.time_ms <= last)
        and symbol in (None, "", one.symbol)
        and kind in (None, "", one.type)
    ]
    limit = params.limit(100, 1000)
    return rows[:limit] if first else rows[-limit:]


def open_listen_key(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Open the user data stream."""
    return {"listenKey": venue.listen_keys.open()}


def keep_listen_key(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Keep it open for another hour."""
    return {"listenKey": venue.listen_keys.keep()}


def close_listen_key(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Close it."""
    venue.listen_keys.close()
    return {}


def restrictions(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """What the key may do."""
    assert key is not None
    return {
        "ipRestrict": key.bound_to_addresses,
        "createTime": 1_600_000_000_000,
        "enableReading": True,
        "enableFutures": key.may_trade,
        "enableWithdrawals": key.may_withdraw,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": key.may_transfer,
        "enableVanillaOptions": False,
        "enableMargin": False,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }


def transfer(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Move USDT between the wallets."""
    assert key is not None
    if not key.may_transfer:
        raise Denied(-1002, "You are not authorized to execute this request.", status=401)
    way = _TRANSFERS.get(params.text("type"))
    if way is None:
        raise Denied(-1102, "Invalid type.")
    if params.text("asset") != "USDT":
        raise Denied(-9000, "Asset is not supported.")
    amount = params.number("amount")
    if amount <= 0:
        raise Denied(-9000, "Amount must be positive.")
    return {"tranId": venue.exchange.account.transfer(way * amount, venue.now_ms())}


def transfers(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """Transfers of one way between the wallets, newest first."""
    way = _TRANSFERS.get(params.text("type"))
    if way is None:
        raise Denied(-1102, "Invalid type.")
    rows = [
        {
            "asset": "USDT",
            "amount": usd(abs(one.usd)),
            "type": params["type"],
            "status": "CONFIRMED",
            "tranId": one.income_id,
            "timestamp": one.time_ms,
        }
        for one in reversed(venue.exchange.account.incomes)
        if one.type == "TRANSFER" and one.usd * way > 0
    ]
    return {"total": len(rows), "rows": rows[: params.whole("size", 10)]}


def outside(venue: "Venue", params: Params, key: ApiKey | None) -> list[Json]:
    """What lies in the spot or funding wallet."""
    held = venue.exchange.account.balance().outside
    return [{"asset": "USDT", "free": usd(held), "locked": "0", "freeze": "0", "withdrawing": "0"}]


def spot_account(venue: "Venue", params: Params, key: ApiKey | None) -> Json:
    """The account of spot, which holds USDT here and nothing else."""
    held = venue.exchange.account.balance().outside
    return {
        "canTrade": False,
        "canDeposit": True,
        "canWithdraw": False,
        "accountType": "SPOT",
        "updateTime": venue.now_ms(),
        "balances": [{"asset": "USDT", "free": usd(held), "locked": "0.00000000"}],
    }


def _key_only(answer: Any) -> Endpoint:
    return Endpoint(answer, 1, security="key")


ENDPOINTS: Endpoints = {
    ("GET", "/fapi/v2/account"): Endpoint(partial(account, 2), 5),
    ("GET", "/fapi/v3/account"): Endpoint(partial(account, 3), 5),
    ("GET", "/fapi/v2/balance"): Endpoint(balance, 5),
    ("GET", "/fapi/v3/balance"): Endpoint(balance, 5),
    ("GET", "/fapi/v2/positionRisk"): Endpoint(partial(position_risk, 2), 5),
    ("GET", "/fapi/v3/positionRisk"): Endpoint(partial(position_risk, 3), 5),
    ("POST", "/fapi/v1/leverage"): Endpoint(set_leverage),
    ("POST", "/fapi/v1/marginType"): Endpoint(set_margin_type),
    ("GET", "/fapi/v1/positionSide/dual"): Endpoint(position_mode, 30),
    ("POST", "/fapi/v1/positionSide/dual"): Endpoint(set_position_mode),
    ("GET", "/fapi/v1/symbolConfig"): Endpoint(symbol_config, 5),
    ("GET", "/fapi/v1/accountConfig"): Endpoint(account_config, 5),
    ("GET", "/fapi/v1/leverageBracket"): Endpoint(brackets),
    ("GET", "/fapi/v1/commissionRate"): Endpoint(commission_rate, 20),
    ("GET", "/fapi/v1/multiAssetsMargin"): Endpoint(multi_assets, 30),
    ("GET", "/fapi/v1/userTrades"): Endpoint(user_trades, 5),
    ("GET", "/fapi/v1/income"): Endpoint(income, 30),
    ("POST", "/fapi/v1/listenKey"): _key_only(open_listen_key),
    ("PUT", "/fapi/v1/listenKey"): _key_only(keep_listen_key),
    ("DELETE", "/fapi/v1/listenKey"): _key_only(close_listen_key),
    ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint(restrictions),
    # 900 of the wallet's own budget; nothing of that of futures.
    ("POST", "/sapi/v1/asset/transfer"): Endpoint(transfer, 0),
    ("GET", "/sapi/v1/asset/transfer"): Endpoint(transfers),
    ("POST", "/sapi/v1/asset/get-funding-asset"): Endpoint(outside),
    ("GET", "/api/v3/account"): Endpoint(spot_account, 20),
}
