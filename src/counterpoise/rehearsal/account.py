"""One USD-M account: what it is asked, and what fills and settlements do to it.

USDT is the only collateral. All amounts are exact decimals, booked to the eighth decimal.
"""

from collections.abc import Iterable
from decimal import Decimal

from counterpoise.rehearsal.feed import Settlement, Side
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import ZERO, Order, PositionSide, Refused
from counterpoise.rehearsal.positions import Position, cents
from counterpoise.rehearsal.reports import (
    AccountUpdate,
    Income,
    IncomeType,
    LeverageUpdate,
    Reason,
    UserTrade,
    VenueEvent,
)
from counterpoise.rehearsal.valuation import Valuation

LARGEST_LEVERAGE = 125


class Account(Valuation):
    """Money and positions; ``Exchange`` owns one and tells it of fills, marks and open orders.

    Parameters
    ----------
    rules, wallet, outside
        As of ``Valuation``.
    told : list of VenueEvent
        Where events are appended.

    Attributes
    ----------
    trades : list of UserTrade
    incomes : list of Income
    """

    def __init__(
        self,
        rules: dict[str, SymbolRules],
        wallet: Decimal,
        outside: Decimal,
        told: list[VenueEvent],
    ) -> None:
        super().__init__(rules, wallet, outside)
        self.trades: list[UserTrade] = []
        self.incomes: list[Income] = []
        self._told = told

    # --- what it is asked --------------------------------------------------------------------

    def refuse_unaffordable(
        self,
        symbol: str,
        side: Side,
        position_side: PositionSide,
        quantity: Decimal,
        price: Decimal,
    ) -> None:
        """Refuse an order whose margin is not there (-2019) or that is too large (-2027).

        Parameters
        ----------
        quantity, price : Decimal
            ETH, and the price at which it is valued, USD.
        """
        position = self.position(symbol, position_side)
        mark = self.mark(symbol)
        notional = quantity * price
        bids, asks = self._working(symbol, position_side)
        _, before = self._margin(symbol, position, bids, asks)
        bids, asks = (bids + notional, asks) if side == "BUY" else (bids, asks + notional)
        _, after = self._margin(symbol, position, bids, asks)
        if after <= before:
            return
        if after * self.leverage[symbol] > self.rules[symbol].max_notional(self.leverage[symbol]):
            raise Refused(-2027, "Exceeded the maximum allowable position at current leverage.")
        away = price - mark if side == "BUY" else mark - price
        if after - before + max(away, ZERO) * quantity > self.balance().available:
            raise Refused(-2019, "Margin is insufficient.")

    def set_leverage(self, symbol: str, leverage: int, now_ms: int) -> Decimal:
        """Set the leverage of a symbol; returns the largest notional it allows, USD.

        Raises
        ------
        Refused
            -4028 no such leverage, -4161 lower under an isolated position, -2027 position too large
            for it, -2028 margin insufficient.
        """
        rules = self.rules_of(symbol)
        largest = rules.max_notional(leverage)
        if not 1 <= leverage <= LARGEST_LEVERAGE or not largest:
            raise Refused(-4028, f"Leverage {leverage} is not valid.")
        before = self.leverage[symbol]
        held = self.held(symbol)
        if leverage < before and held and self.isolated[symbol]:
            raise Refused(
                -4161,
                "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
            )
        if any(abs(p.amount) * self.mark(symbol) > largest for p in held):
            raise Refused(-2027, "Exceeded the maximum allowable position at current leverage.")
        self.leverage[symbol] = leverage
        balance = self.balance()
        used = balance.position_margin + balance.order_margin
        if leverage < before and used > balance.equity:
            self.leverage[symbol] = before
            raise Refused(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        self._told.append(LeverageUpdate(now_ms, symbol, leverage))
        return largest

    def set_margin_type(self, symbol: str, *, isolated: bool) -> None:
        """Switch a symbol between isolated and cross margin.

        Raises
        ------
        Refused
            -4046 it is so already, -4047 open orders, -4048 a position.
        """
        self.rules_of(symbol)
        if self.isolated[symbol] == isolated:
            raise Refused(-4046, "No need to change margin type.")
        if any(order.symbol == symbol for order in self.open_orders.values()):
            raise Refused(-4047, "Margin type cannot be changed if there exists open orders.")
        if self.held(symbol):
            raise Refused(-4048, "Margin type cannot be changed if there exists position.")
        self.isolated[symbol] = isolated

    def set_position_mode(self, *, hedge: bool) -> None:
        """Switch between one-way and hedge mode.

        Raises
        ------
        Refused
            -4059 it is so already, -4067 open orders, -4068 a position.
        """
        if self.hedge_mode == hedge:
            raise Refused(-4059, "No need to change position side.")
        if self.open_orders:
            raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
        if self.held():
            raise Refused(-4068, "Position side cannot be changed if there exists position.")
        self.hedge_mode = hedge

    def transfer(self, usd: Decimal, now_ms: int) -> int:
        """Move USDT into the futures wallet (positive) or out of it; returns the transfer's id.

        Raises
        ------
        Refused
            -5013 more than there is to move.
        """
        if usd > self.outside or -usd > self.balance().withdrawable:
            raise Refused(-5013, "Asset transfer failed: insufficient balance")
        self.outside -= usd
        income = self.book("TRANSFER", "", usd, now_ms)
        self.tell("DEPOSIT" if usd > 0 else "WITHDRAW", usd, (), now_ms)
        return income.income_id

    # --- what happens to it ------------------------------------------------------------------

    def book(
        self, kind: IncomeType, symbol: str, usd: Decimal, now_ms: int, trade_id: int = 0
    ) -> Income:
        """Change the wallet and remember why."""
        self.wallet += usd
        self.update_ms = now_ms
        income = Income(len(self.incomes) + 1, symbol, kind, usd, now_ms, trade_id)
        self.incomes.append(income)
        return income

    def tell(
        self, reason: Reason, change: Decimal, positions: Iterable[Position], now_ms: int
    ) -> None:
        """Append an account update."""
        reports = tuple(self.report(position) for position in positions)
        self._told.append(AccountUpdate(now_ms, reason, self.balance(), change, reports))

    def fill(
        self,
        order: Order,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        *,
        maker: bool,
        trade_id: int,
        now_ms: int,
    ) -> UserTrade:
        """Book a fill: position, realised P&L and commission.

        Parameters
        ----------
        quantity, price : Decimal
            ETH (> 0) and USD.
        fee : Decimal
            Commission, USD.
        """
        position = self.position(order.symbol, order.position_side)
        realised = self._move(position, quantity if order.side == "BUY" else -quantity, price)
        if position.amount:
            position.fees += fee
        position.update_ms = now_ms
        if realised:
            self.book("REALIZED_PNL", order.symbol, realised, now_ms, trade_id)
        if fee:
            self.book("COMMISSION", order.symbol, -fee, now_ms, trade_id)
        trade = UserTrade(
            symbol=order.symbol,
            trade_id=trade_id,
            order_id=order.order_id,
            side=order.side,
            position_side=order.position_side,
            price=price,
            quantity=quantity,
            realised=realised,
            commission=fee,
            maker=maker,
            time_ms=now_ms,
        )
        self.trades.append(trade)
        self.tell("ORDER", ZERO, [position], now_ms)
        return trade

    def _move(self, position: Position, amount: Decimal, price: Decimal) -> Decimal:
        """Add a signed amount; closes before it opens. Returns what was realised, USD."""
        closing = ZERO
        if position.amount * amount < 0:
            closing = max(amount, -position.amount) if amount < 0 else min(amount, -position.amount)
        realised = ZERO
        if closing:
            kept = 1 + closing / position.amount
            realised = position.fill(closing, price)
            position.isolated_wallet = cents(position.isolated_wallet * kept)
        opening = amount - closing
        if opening:
            position.fill(opening, price)
            if self.isolated[position.symbol]:
                margin = abs(opening) * price / self.leverage[position.symbol]
                position.isolated_wallet += cents(margin)
        return realised

    def settle(self, event: Settlement) -> None:
        """Pay or receive funding on every position of the symbol."""
        for position in self.held(event.symbol):
            usd = cents(-position.amount * event.mark * event.rate)
            if self.isolated[event.symbol]:
                position.isolated_wallet += usd
            self.book("FUNDING_FEE", event.symbol, usd, event.ts_ms)
            self.tell("FUNDING_FEE", usd, [position], event.ts_ms)

    def bear_bankruptcy(self, equity: Decimal, now_ms: int) -> None:
        """After a liquidation the insurance fund pays what was lost beyond the margin."""
        if equity < 0:
            self.book("INSURANCE_CLEAR", "", -equity, now_ms)

    def adjust(self, symbol: str, amount: Decimal, side: PositionSide = "BOTH") -> None:
        """Add a signed amount to a position at its mark and tell nobody: somebody else did it."""
        self._move(self.position(symbol, side), amount, self.mark(symbol))
