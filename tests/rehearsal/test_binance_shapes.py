"""Every field of the venue's published examples is there, and of the same kind."""

import asyncio
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoise.market.layouts import DatasetKey
from counterpoise.rehearsal.history import History
from tests.rehearsal.desk import GTC, Desk, desk, next_data
from tests.rehearsal.steady import KEY, SYMBOL, month

#: Fields of examples that say nothing here: of trailing stops, of other products, of old replies.
NOT_SAID = {"st", "AP", "cr", "tradeGroupId", "activatePrice", "priceRate"}
PY, RS = "py__http_responses__http_futures_", "rs__futures__http_json__"
WS = "rs__futures__user_data_json__"
ETH = {"symbol": SYMBOL}
OPEN = {
    f"{PY}market_depth": ("/fapi/v1/depth", ETH),
    f"{PY}market_premium_index": ("/fapi/v1/premiumIndex", ETH),
    f"{PY}market_funding_rate": ("/fapi/v1/fundingRate", ETH),
    f"{PY}market_book_ticker": ("/fapi/v1/ticker/bookTicker", ETH),
    f"{PY}market_trades": ("/fapi/v1/trades", ETH),
    f"{PY}market_agg_trades": ("/fapi/v1/aggTrades", ETH),
    f"{PY}market_ticker_24hr": ("/fapi/v1/ticker/24hr", ETH),
    f"{PY}market_ticker_price": ("/fapi/v1/ticker/price", ETH),
    f"{PY}market_open_interest": ("/fapi/v1/openInterest", ETH),
    f"{PY}market_klines": ("/fapi/v1/klines", ETH | {"interval": "1h"}),
    f"{PY}market_mark_price_klines": ("/fapi/v1/markPriceKlines", ETH | {"interval": "1h"}),
    f"{PY}market_exchange_info": ("/fapi/v1/exchangeInfo", {}),
    "py__http_responses__http_spot_market_klines": ("/api/v3/klines", ETH | {"interval": "1h"}),
}
SIGNED = {
    f"{PY}account_orders": ("/fapi/v1/allOrders", ETH),
    f"{PY}account_position_side_dual": ("/fapi/v1/positionSide/dual", {}),
    f"{PY}account_positions_one_way": ("/fapi/v2/positionRisk", ETH),
    f"{PY}account_symbol_config": ("/fapi/v1/symbolConfig", {}),
    f"{PY}account_trades": ("/fapi/v1/userTrades", ETH),
    f"{PY}wallet_commission_rate_ethusdt": ("/fapi/v1/commissionRate", ETH),
    f"{RS}account_info_v2": ("/fapi/v2/account", {}),
    f"{RS}balance": ("/fapi/v3/balance", {}),
    f"{RS}position_risk": ("/fapi/v2/positionRisk", ETH),
    f"{RS}open_algo_orders": ("/fapi/v1/openAlgoOrders", {}),
    f"{RS}order_response": ("/fapi/v1/order", ETH | {"origClientOrderId": "resting"}),
}
STREAMS = {
    "book_ticker_stream": "ethusdt@bookTicker",
    "depth_update_stream": "ethusdt@depth@100ms",
    "trade_stream": "ethusdt@trade",
    "agg_trade_stream": "ethusdt@aggTrade",
    "mark_price_stream": "ethusdt@markPrice@1s",
    "ticker_stream": "ethusdt@ticker",
    "kline_stream_open": "ethusdt@kline_1m",
}
USER = {
    f"{WS}order_update_new": ("ORDER_TRADE_UPDATE", "NEW"),
    f"{WS}order_update_trade": ("ORDER_TRADE_UPDATE", "TRADE"),
    f"{WS}trade_lite": ("TRADE_LITE", ""),
    f"{WS}account_update": ("ACCOUNT_UPDATE", ""),
    f"{WS}algo_update_new": ("ALGO_UPDATE", "NEW"),
    f"{WS}algo_update_canceled": ("ALGO_UPDATE", "CANCELED"),
}


def lacking(ours: Any, example: Any, where: str = "") -> list[str]:
    """What an example has and a reply of ours has not, or of another kind."""
    if isinstance(example, dict):
        if not isinstance(ours, dict):
            return [f"{where} is no object"]
        return [
            told
            for name, value in example.items()
            if name not in NOT_SAID
            for told in (
                lacking(ours[name], value, f"{where}.{name}")
                if name in ours
                else [f"{where}.{name} is missing"]
            )
        ]
    if isinstance(example, list):
        if not isinstance(ours, list):
            return [f"{where} is no list"]
        if example and not ours:
            return [f"{where} is empty"]
        return lacking(ours[0], example[0], f"{where}[0]") if example else []
    if example is not None and ours is not None and type(ours) is not type(example):
        return [f"{where} is {type(ours).__name__}, not {type(example).__name__}"]
    return []


def with_open_interest() -> History:
    """A month of history with a reading of open interest."""
    history = month()
    reading = pl.DataFrame(
        {"ts": [1_704_067_200_000], "open_interest_eth": [5.0], "open_interest_usd": [15_000.0]}
    ).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    key = DatasetKey("futures_metrics", "binance", SYMBOL, "5m")
    return History(history.tables | {key: reading})


async def replies(client: Desk) -> dict[str, Any]:
    """One reply or message for each example."""
    got: dict[str, Any] = {}
    key = client.binance.listen_keys.open()
    async with client.socket(f"/private/ws?listenKey={key}") as socket:
        resting = GTC | {"newClientOrderId": "resting"}
        await client.ask("POST", "/fapi/v1/order", KEY, **resting)
        taking = {**ETH, "side": "SELL", "type": "MARKET", "quantity": "0.5"}
        await client.ask("POST", "/fapi/v1/order", KEY, **taking)
        stop = taking | {"side": "BUY", "type": "STOP_MARKET", "triggerPrice": "3300"}
        stop |= {"algoType": "CONDITIONAL", "reduceOnly": "true"}
        for name in ("kept", "gone"):
            await client.ask("POST", "/fapi/v1/algoOrder", KEY, **stop, clientAlgoId=name)
        await client.ask("DELETE", "/fapi/v1/algoOrder", KEY, clientAlgoId="gone")
        while not got.keys() >= USER.keys():
            told = await next_data(socket)
            order = told.get("o", {})
            kind = (told["e"], order.get("x") or order.get("X") or "")
            got |= {example: told for example, wanted in USER.items() if wanted == kind}
    for example, (path, params) in OPEN.items():
        _, got[example], _ = await client.ask("GET", path, **params)
    for example, (path, params) in SIGNED.items():
        _, got[example], _ = await client.ask("GET", path, KEY, **params)
    for name, stream in STREAMS.items():
        async with client.socket(f"/ws/{stream}") as socket:
            got[f"rs__futures__market_data_json__{name}"] = await next_data(socket)
    return got


def test_every_published_field_is_told(real_data: Path) -> None:
    async def run() -> dict[str, Any]:
        async with desk(history=with_open_interest()) as client:
            return await replies(client)

    got = asyncio.run(run())
    assert len(got) == len(OPEN) + len(SIGNED) + len(STREAMS) + len(USER)
    folder = real_data / "protocol" / "binance"
    found = []
    for name, reply in got.items():
        example = json.loads((folder / f"{name}.json").read_text())
        if name == f"{WS}order_update_new":
            # Commission comes with fills only, as the documentation says.
            del example["o"]["N"], example["o"]["n"]
        if name == f"{RS}open_algo_orders":
            example[0]["orderType"] = example[0].pop("type")
        if name == f"{PY}market_exchange_info":
            example["symbols"] = [one for one in example["symbols"] if one["symbol"] == SYMBOL]
        found += [f"{name}{told}" for told in lacking(reply, example)]
    assert found == []


@pytest.mark.parametrize(
    ("ours", "wrong"),
    [
        ({"a": 1}, [".b is missing"]),
        ({"a": 1, "b": 2}, [".b is int, not str"]),
        ({"a": 1, "b": "2"}, []),
    ],
)
def test_what_is_lacking_is_found(ours: dict[str, Any], wrong: list[str]) -> None:
    assert lacking(ours, {"a": 5, "b": "x"}) == wrong
