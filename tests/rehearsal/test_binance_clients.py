"""python-binance and Binance's own SDK, unmodified, in an environment of their own."""

import asyncio
from typing import Any

from tests.rehearsal.driven import drive, foreign_python
from tests.rehearsal.steady import ready, venue


def seen_by(script: str, *arguments: str, **given: Any) -> Any:
    async def run() -> Any:
        async with venue(**given) as binance:
            await ready(binance)
            return await drive(script, binance.url_http, *arguments, python=foreign_python())

    return asyncio.run(run())


def test_python_binance() -> None:
    seen = seen_by("python_binance.py")
    assert seen == {
        "symbols": ["ETHUSDT"],
        "balance": "10000.00000000",
        "wallet": "10000.00000000",
        "mode": False,
        "leverage": 5,
        "maker": ["NEW", "0.500", "3100.00"],
        "found": "NEW",
        "canceled": "CANCELED",
        "taker": ["FILLED", "0.500", "2999.99000"],
        "stop": ["NEW", "3300.00", True],
        "position": "-0.500",
        "would take": -5022,
        "over the socket": "NEW",
        "public": ["bookTicker", "depthUpdate"],
        "mark": "3000.10000000",
        "user": ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"],
    }


def test_the_official_sdk() -> None:
    seen = seen_by("official_sdk.py")
    assert seen["symbols"] == ["ETHUSDT"]
    assert seen["weight"] == 1
    assert seen["wallet"] == "10000.00000000"
    assert seen["leverage"] == 5
    assert seen["maker"] == ["NEW", "0.500", "3100.00"]
    assert (seen["found"], seen["canceled"]) == ("NEW", "CANCELED")
    assert seen["taker"] == ["FILLED", "0.500"]
    assert seen["stop"] == ["NEW", "3300.00"]
    assert seen["position"] == "-0.500"
    assert "depthUpdate" in seen["depth"]
    assert "3000.10000000" in seen["mark"]
    assert seen["user"] == "OrderTradeUpdate"
