"""JSON of Binance's REST replies about an account: orders, positions, balances.

Sizes and prices are text with the precision of the symbol; money has eight decimals.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import Algo, Order
from counterpoise.rehearsal.reports import Balance, Income, PositionReport, UserTrade

Json = dict[str, Any]

#: What the venue does with an order that would meet another one of the same account.
SELF_TRADE = "EXPIRE_MAKER"


class Texts:
    """Numbers of one symbol as text.

    Examples
    --------
    >>> from decimal import Decimal
    >>> from counterpoise.rehearsal.filters import rules_of
    >>> from counterpoise.venues import venues
    >>> texts = Texts(rules_of(venues["binance"][-1]))
    >>> texts.price(Decimal(3100)), texts.size(Decimal("0.5")), texts.ticks(310000)
    ('3100.00', '0.500', '3100.00')
    """

    def __init__(self, rules: SymbolRules) -> None:
        self.rules = rules
        self.price_places = _places(rules.tick)
        self.size_places = _places(rules.step)

    def price(self, usd: Decimal) -> str:
        """Of a price in USD."""
        return f"{usd:.{self.price_places}f}"

    def size(self, eth: Decimal) -> str:
        """Of a size in ETH."""
        return f"{eth:.{self.size_places}f}"

    def ticks(self, count: int) -> str:
        """Of a price in ticks."""
        return str(count * self.rules.tick)

    def steps(self, count: int) -> str:
        """Of a size in steps."""
        return str(count * self.rules.step)


def _places(unit: Decimal) -> int:
    return max(0, -int(unit.normalize().as_tuple().exponent))


def usd(amount: Decimal) -> str:
    """Money with eight decimals.

    Examples
    --------
    >>> usd(Decimal("1.5")), usd(Decimal("-0.000000001"))
    ('1.50000000', '0.00000000')
    """
    text = f"{amount:.8f}"
    return "0.00000000" if text == "-0.00000000" else text


def order(found: Order, texts: Texts) -> Json:
    """Reply to placing, asking for or canceling an order."""
    return {
        "orderId": found.order_id,
        "symbol": found.symbol,
        "status": found.status,
        "clientOrderId": found.client_id,
        "price": texts.price(found.price),
        "avgPrice": f"{found.average:.5f}",
        "origQty": texts.size(found.quantity),
        "executedQty": texts.size(found.executed),
        "cumQty": texts.size(found.executed),
        "cumQuote": f"{found.quote:.5f}",
        "timeInForce": found.time_in_force,
        "type": found.type,
        "reduceOnly": found.reduce_only,
        "closePosition": found.close_position,
        "side": found.side,
        "positionSide": found.position_side,
        "stopPrice": texts.price(found.stop_price),
        "workingType": found.working_type,
        "priceProtect": False,
        "origType": found.original_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": SELF_TRADE,
        "goodTillDate": found.good_till_ms,
        "time": found.time_ms,
        "updateTime": found.update_ms,
    }


def algo(found: Algo, texts: Texts) -> Json:
    """Reply to placing or asking for a conditional order."""
    asked, became = found.request, found.order
    trailing = asked.type == "TRAILING_STOP_MARKET"
    reply: Json = {
        "algoId": found.algo_id,
        "clientAlgoId": found.client_id,
        "algoType": "CONDITIONAL",
        "orderType": asked.type,
        "symbol": asked.symbol,
        "side": asked.side,
        "positionSide": asked.position_side,
        "timeInForce": asked.time_in_force,
        "quantity": texts.size(asked.quantity or Decimal(0)),
        "algoStatus": found.status,
        "actualOrderId": str(became.order_id) if became else "",
        "actualPrice": f"{became.average:.5f}" if became else "0.00000",
        "triggerPrice": texts.price(asked.trigger or Decimal(0)),
        "price": texts.price(asked.price or Decimal(0)),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": SELF_TRADE,
        "workingType": asked.working_type,
        "priceMatch": "NONE",
        "closePosition": asked.close_position,
        "priceProtect": False,
        "reduceOnly": asked.reduce_only,
        "createTime": found.time_ms,
        "updateTime": found.update_ms,
        "triggerTime": found.trigger_ms,
        "goodTillDate": 0,
    }
    if trailing:
        reply["activatePrice"] = texts.price(asked.trigger or Decimal(0))
        reply["callbackRate"] = str(asked.callback_pct)
    return reply


def _margins(position: PositionReport) -> Json:
    initial = position.initial_margin + position.order_margin
    return {
        "initialMargin": usd(initial),
        "maintMargin": usd(position.maintenance),
        "positionInitialMargin": usd(position.initial_margin),
        "openOrderInitialMargin": usd(position.order_margin),
        "bidNotional": usd(position.bid_notional),
        "askNotional": usd(position.ask_notional),
    }


def position_risk(position: PositionReport, texts: Texts, version: int) -> Json:
    """A row of positionRisk, version 2 or 3."""
    reply: Json = {
        "symbol": position.symbol,
        "positionSide": position.position_side,
        "positionAmt": texts.size(position.amount),
        "entryPrice": f"{position.entry:.8f}",
        "breakEvenPrice": f"{position.break_even:.8f}",
        "markPrice": f"{position.mark:.8f}",
        "unRealizedProfit": usd(position.unrealised),
        "liquidationPrice": f"{position.liquidation:.8f}",
        "isolatedMargin": usd(
            position.isolated_wallet + position.unrealised if position.isolated else Decimal(0)
        ),
        "notional": usd(position.notional),
        "isolatedWallet": usd(position.isolated_wallet),
        "updateTime": position.update_ms,
    }
    if version == 2:
        return reply | {
            "leverage": str(position.leverage),
            "maxNotionalValue": str(position.max_notional),
            "marginType": "isolated" if position.isolated else "cross",
            "isAutoAddMargin": "false",
        }
    return reply | {"marginAsset": "USDT", "adl": 1} | _margins(position)


def account_position(position: PositionReport, texts: Texts, version: int) -> Json:
    """A row of the positions of account, version 2 or 3."""
    reply: Json = {
        "symbol": position.symbol,
        "positionSide": position.position_side,
        "positionAmt": texts.size(position.amount),
        "unrealizedProfit": usd(position.unrealised),
        "notional": usd(position.notional),
        "isolatedMargin": usd(position.isolated_wallet),
        "isolatedWallet": usd(position.isolated_wallet),
        "updateTime": position.update_ms,
    } | _margins(position)
    if version == 2:
        reply |= {
            "leverage": str(position.leverage),
            "isolated": position.isolated,
            "entryPrice": f"{position.entry:.8f}",
            "breakEvenPrice": f"{position.break_even:.8f}",
            "maxNotional": str(position.max_notional),
        }
    return reply


def _asset(balance: Balance) -> Json:
    return {
        "asset": "USDT",
        "walletBalance": usd(balance.wallet),
        "unrealizedProfit": usd(balance.unrealised),
        "marginBalance": usd(balance.equity),
        "maintMargin": usd(balance.maintenance),
        "initialMargin": usd(balance.position_margin + balance.order_margin),
        "positionInitialMargin": usd(balance.position_margin),
        "openOrderInitialMargin": usd(balance.order_margin),
        "crossWalletBalance": usd(balance.cross_wallet),
        "crossUnPnl": usd(balance.cross_unrealised),
        "availableBalance": usd(balance.available),
        "maxWithdrawAmount": usd(balance.withdrawable),
        "marginAvailable": True,
        "updateTime": balance.update_ms,
    }


def balances(balance: Balance) -> list[Json]:
    """Reply of balance."""
    return [
        {
            "accountAlias": "rehearsal",
            "asset": "USDT",
            "balance": usd(balance.wallet),
            "crossWalletBalance": usd(balance.cross_wallet),
            "crossUnPnl": usd(balance.cross_unrealised),
            "availableBalance": usd(balance.available),
            "maxWithdrawAmount": usd(balance.withdrawable),
            "marginAvailable": True,
            "updateTime": balance.update_ms,
        }
    ]


def account(balance: Balance, positions: Sequence[Json], version: int, *, trades: bool) -> Json:
    """Reply of account, version 2 or 3."""
    reply: Json = {
        "totalInitialMargin": usd(balance.position_margin + balance.order_margin),
        "totalMaintMargin": usd(balance.maintenance),
        "totalWalletBalance": usd(balance.wallet),
        "totalUnrealizedProfit": usd(balance.unrealised),
        "totalMarginBalance": usd(balance.equity),
        "totalPositionInitialMargin": usd(balance.position_margin),
        "totalOpenOrderInitialMargin": usd(balance.order_margin),
        "totalCrossWalletBalance": usd(balance.cross_wallet),
        "totalCrossUnPnl": usd(balance.cross_unrealised),
        "availableBalance": usd(balance.available),
        "maxWithdrawAmount": usd(balance.withdrawable),
        "assets": [_asset(balance)],
        "positions": list(positions),
    }
    if version == 2:
        reply |= {
            "feeTier": 0,
            "canTrade": trades,
            "canDeposit": True,
            "canWithdraw": True,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
            "updateTime": 0,
        }
    return reply


def user_trade(trade: UserTrade, texts: Texts) -> Json:
    """A row of userTrades."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": texts.price(trade.price),
        "qty": texts.size(trade.quantity),
        "realizedPnl": usd(trade.realised),
        "marginAsset": "USDT",
        "quoteQty": usd(trade.price * trade.quantity),
        "commission": usd(trade.commission),
        "commissionAsset": "USDT",
        "time": trade.time_ms,
        "positionSide": trade.position_side,
        "buyer": trade.side == "BUY",
        "maker": trade.maker,
    }


def income(row: Income) -> Json:
    """A row of income."""
    return {
        "symbol": row.symbol,
        "incomeType": row.type,
        "income": usd(row.usd),
        "asset": "USDT",
        "info": row.type,
        "time": row.time_ms,
        "tranId": row.income_id,
        "tradeId": str(row.trade_id) if row.trade_id else "",
    }
