"""The account at Binance USD-M, asked directly: what NautilusTrader does not give.

Every answer comes in the words of ``execution.events``. Failures are those of ``binance_rest``.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any, Literal

from counterpoise.errors import FixConfig, RetryLater
from counterpoise.execution.count import SKEW_NS
from counterpoise.execution.events import (
    Fill,
    Funding,
    OpenOrder,
    OrderUpdate,
    Side,
    Snapshot,
    Status,
    TransferDone,
)
from counterpoise.trading.binance_rest import BinanceRest, UnknownFate, VenueRefused
from counterpoise.trading.binance_terms import BinanceTerms, reading

#: Coins that count as one USD each.
_DOLLARS = frozenset({"USDT", "USDC", "BUSD", "FDUSD", "USD1", "BFUSD"})
_STATUS: dict[str, Status] = {
    "PENDING_NEW": "pending",
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    # Of conditional orders; a finished one is what the order that it sent is.
    "TRIGGERING": "open",
    "TRIGGERED": "open",
    "FINISHED": "unknown",
}
#: Trades of one query; older ones are asked for by order.
_RECENT = 200
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Wallet:
    """The futures wallet, USD; in multi-assets mode all coins after their haircuts."""

    wallet_usd: float
    equity_usd: float
    available_usd: float
    maintenance_usd: float
    balances: dict[str, float]


class BinanceAccount:
    """Queries of one symbol of one account; its settings are ``terms``.

    Parameters
    ----------
    rest : BinanceRest
    symbol : str
        ``ETHUSDT``.
    now_ns : callable
        The market's clock.
    """

    def __init__(
        self, rest: BinanceRest, symbol: str, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.rest = rest
        self.symbol = symbol
        self.terms = BinanceTerms(rest, symbol)
        self._now_ns = now_ns
        self._of_symbol = {"symbol": symbol}
        #: Client ids by order number: trades only have the number.
        self._client_ids: dict[int, str] = {}
        #: Of coins that fees are paid in: until when (monotonic, s), and USD.
        self._prices: dict[str, tuple[float, float]] = {}

    async def snapshot(self) -> Snapshot:
        """The account as one round of queries finds it; weight about 25.

        Raises
        ------
        FixConfig
            The account is in hedge mode: one net short is not what it holds.
        """
        asked_ns = self._now_ns()
        risk, account, orders, algos, trades, premium, setting = await asyncio.gather(
            self.rest.call("GET", "/fapi/v3/positionRisk", self._of_symbol),
            self.wallet(),
            self.open_orders(),
            self.open_stops(),
            self.rest.call("GET", "/fapi/v1/userTrades", self._of_symbol | {"limit": _RECENT}),
            self.rest.call("GET", "/fapi/v1/premiumIndex", self._of_symbol, signed=False),
            self.terms.setting(),
        )
        with reading("positionRisk and premiumIndex"):
            rows = [row for row in risk if row["symbol"] == self.symbol]
            if any(row["positionSide"] != "BOTH" for row in rows):
                raise FixConfig(
                    "position mode of the account",
                    "hedge mode",
                    "one-way mode",
                    "close both sides and switch it on the venue's page (Preferences)",
                )
            held = [row for row in rows if float(row["positionAmt"]) != 0.0]
            one = held[0] if held else None
            mark = float(premium["markPrice"])
            snapshot = Snapshot(
                ts_ns=asked_ns,
                short_eth=0.0 if one is None else -float(one["positionAmt"]),
                entry=0.0 if one is None else float(one["entryPrice"]),
                mark=mark,
                liquidation=0.0 if one is None else float(one["liquidationPrice"]),
                wallet_usd=account.wallet_usd,
                equity_usd=account.equity_usd,
                available_usd=account.available_usd,
                leverage=float(setting.leverage),
                isolated=setting.isolated,
                open_orders=orders,
                stops=algos,
                fills=await self._fills(trades),
            )
        return snapshot

    async def wallet(self) -> Wallet:
        """Balance, equity and what of it is free."""
        found = await self.rest.call("GET", "/fapi/v3/account")
        with reading("v3/account"):
            return Wallet(
                float(found["totalWalletBalance"]),
                float(found["totalMarginBalance"]),
                float(found["availableBalance"]),
                float(found["totalMaintMargin"]),
                {
                    row["asset"]: float(row["walletBalance"])
                    for row in found["assets"]
                    if float(row["walletBalance"]) != 0.0
                },
            )

    async def open_orders(self) -> tuple[OpenOrder, ...]:
        """Every order of the symbol in the book, strangers' included."""
        found = await self.rest.call("GET", "/fapi/v1/openOrders", self._of_symbol)
        with reading("openOrders"):
            self._learn(found)
            return tuple(
                OpenOrder(
                    client_id=row["clientOrderId"],
                    side=_side(row["side"]),
                    size=float(row["origQty"]),
                    filled_eth=float(row["executedQty"]),
                    price=float(row["price"]),
                    reduce_only=bool(row["reduceOnly"]),
                )
                for row in found
            )

    async def open_stops(self) -> tuple[OpenOrder, ...]:
        """Every conditional order of the symbol; one that closes the position has size 0."""
        found = await self.rest.call("GET", "/fapi/v1/openAlgoOrders", self._of_symbol)
        with reading("openAlgoOrders"):
            return tuple(
                OpenOrder(
                    client_id=row["clientAlgoId"],
                    side=_side(row["side"]),
                    size=float(row["quantity"] or 0.0),
                    filled_eth=0.0,
                    price=float(row.get("price") or 0.0),
                    reduce_only=bool(row["reduceOnly"]) or bool(row.get("closePosition")),
                    trigger=float(row["triggerPrice"]),
                )
                for row in found
                if row["symbol"] == self.symbol
            )

    async def query_order(self, client_id: str) -> tuple[OrderUpdate, tuple[Fill, ...]]:
        """What became of an order, and its fills, oldest first.

        An order the venue does not know is ``missing``; just after sending it may still come.
        """
        return await self._order({"origClientOrderId": client_id}, client_id)

    async def query_stop(self, client_id: str) -> tuple[OrderUpdate, tuple[Fill, ...]]:
        """What became of a stop: of the order that it sent, once it was triggered."""
        try:
            row = await self.rest.call("GET", "/fapi/v1/algoOrder", {"clientAlgoId": client_id})
        except VenueRefused as refused:
            return self._missing(refused, client_id), ()
        with reading("algoOrder"):
            sent = row.get("actualOrderId")
            if sent:
                self._client_ids[int(sent)] = client_id
                return await self._order({"orderId": int(sent)}, client_id)
            status = _status(row["algoStatus"])
            return OrderUpdate(int(row["updateTime"]) * _MS, client_id, status), ()

    async def cancel_order(self, client_id: str) -> tuple[OrderUpdate, tuple[Fill, ...]]:
        """Cancel an order; what became of it, which may be that it was filled before.

        Raises
        ------
        UnknownFate
            Ask with :meth:`query_order`.
        """
        named = self._of_symbol | {"origClientOrderId": client_id}
        try:
            await self.rest.call("DELETE", "/fapi/v1/order", named)
        except VenueRefused as refused:
            if refused.kind != "missing":
                raise
        return await self.query_order(client_id)

    async def cancel_stop(self, client_id: str) -> tuple[OrderUpdate, tuple[Fill, ...]]:
        """Cancel a stop; what became of it. Errors as :meth:`cancel_order`."""
        try:
            await self.rest.call("DELETE", "/fapi/v1/algoOrder", {"clientAlgoId": client_id})
        except VenueRefused as refused:
            if refused.kind != "missing":
                raise
        return await self.query_stop(client_id)

    async def funding(self, since_ms: int) -> list[Funding]:
        """Settlements booked since a moment, oldest first; the rate is not told (NaN)."""
        found = await self.rest.call(
            "GET",
            "/fapi/v1/income",
            self._of_symbol | {"incomeType": "FUNDING_FEE", "startTime": since_ms, "limit": 1000},
        )
        with reading("income"):
            booked = [
                Funding(
                    int(row["time"]) * _MS, await self._usd(row["asset"], row["income"]), math.nan
                )
                for row in found
            ]
        return sorted(booked, key=lambda one: one.ts_ns)

    async def countdown(self, ms: int) -> None:
        """Have the venue cancel all orders of the symbol unless told again; 0 ends it."""
        await self.rest.call(
            "POST", "/fapi/v1/countdownCancelAll", self._of_symbol | {"countdownTime": ms}
        )

    async def transfer(self, client_id: str, usd: float) -> TransferDone:
        """Move USDT from the spot wallet into futures, or back when negative.

        Raises
        ------
        UnknownFate
            It is not in the list of transfers either: look again before another one.
        """
        kind, amount = _as_transferred(usd)
        begun_ns = self._now_ns()
        given: dict[str, str | int] = {"type": kind, "asset": "USDT", "amount": f"{amount:f}"}
        try:
            await self.rest.call("POST", "/sapi/v1/asset/transfer", given)
        except VenueRefused as refused:
            return TransferDone(self._now_ns(), client_id, usd, False, str(refused))
        except UnknownFate:
            if not await self.transferred(usd, begun_ns):
                raise
        return TransferDone(self._now_ns(), client_id, usd, True)

    async def transferred(self, usd: float, since_ns: int) -> bool | None:
        """Whether the venue lists a transfer since a moment; None where it does not tell."""
        kind, amount = _as_transferred(usd)
        # The venue stamps transfers; ours is another clock.
        since_ms = (since_ns - SKEW_NS) // _MS
        given: dict[str, str | int] = {"type": kind, "startTime": since_ms}
        try:
            listed = await self.rest.call("GET", "/sapi/v1/asset/transfer", given)
        except (VenueRefused, RetryLater):
            return None
        with reading("asset/transfer"):
            return any(
                Decimal(row["amount"]) == amount and int(row["timestamp"]) >= since_ms
                for row in listed.get("rows") or []
            )

    async def _order(
        self, named: dict[str, str | int], client_id: str
    ) -> tuple[OrderUpdate, tuple[Fill, ...]]:
        try:
            row = await self.rest.call("GET", "/fapi/v1/order", self._of_symbol | named)
        except VenueRefused as refused:
            return self._missing(refused, client_id), ()
        with reading("order"):
            number = int(row["orderId"])
            self._client_ids.setdefault(number, client_id)
            filled = float(row["executedQty"])
            update = OrderUpdate(
                int(row["updateTime"]) * _MS, client_id, _status(row["status"]), filled
            )
            if filled == 0.0:
                return update, ()
            trades = await self.rest.call(
                "GET", "/fapi/v1/userTrades", self._of_symbol | {"orderId": number, "limit": 1000}
            )
            return update, await self._fills(trades)

    def _missing(self, refused: VenueRefused, client_id: str) -> OrderUpdate:
        if refused.kind != "missing":
            raise refused
        return OrderUpdate(self._now_ns(), client_id, "missing", 0.0, refused.code, refused.reason)

    def _learn(self, orders: list[dict[str, Any]]) -> None:
        for row in orders:
            self._client_ids.setdefault(int(row["orderId"]), str(row["clientOrderId"]))

    async def _fills(self, trades: list[dict[str, Any]]) -> tuple[Fill, ...]:
        """Trades of the venue as fills, with the client id of their order."""
        strange = [
            number for row in trades if (number := int(row["orderId"])) not in self._client_ids
        ]
        if strange:
            self._learn(
                await self.rest.call(
                    "GET",
                    "/fapi/v1/allOrders",
                    self._of_symbol | {"orderId": min(strange), "limit": 1000},
                )
            )
        fills = [
            Fill(
                ts_ns=int(row["time"]) * _MS,
                client_id=self._client_ids.get(int(row["orderId"]), ""),
                trade_id=str(row["id"]),
                side=_side(row["side"]),
                price=float(row["price"]),
                size=float(row["qty"]),
                fee_usd=await self._usd(row["commissionAsset"], row["commission"]),
                maker=bool(row["maker"]),
            )
            for row in trades
        ]
        return tuple(sorted(fills, key=lambda fill: (fill.ts_ns, int(fill.trade_id))))

    async def _usd(self, asset: str, amount: str) -> float:
        """An amount of a coin in USD, at a price of this minute."""
        if asset in _DOLLARS or float(amount) == 0.0:
            return float(amount)
        until, price = self._prices.get(asset, (0.0, 0.0))
        if until < time.monotonic():
            found = await self.rest.call(
                "GET", "/fapi/v1/premiumIndex", {"symbol": f"{asset}USDT"}, signed=False
            )
            price = float(found["indexPrice"])
            self._prices[asset] = (time.monotonic() + 60.0, price)
        return float(amount) * price


def _as_transferred(usd: float) -> tuple[str, Decimal]:
    """Kind and amount of a transfer as the venue lists it."""
    amount = abs(Decimal(repr(usd))).quantize(Decimal("1e-8"), ROUND_DOWN)
    return "MAIN_UMFUTURE" if usd > 0 else "UMFUTURE_MAIN", amount


def _side(given: str) -> Side:
    sides: dict[str, Literal["sell", "buy"]] = {"SELL": "sell", "BUY": "buy"}
    return sides[given]


def _status(given: str) -> Status:
    return _STATUS[given]
