"""One USD-M account: wallet, positions, leverage, margin, funding and liquidation.

USDT is the only collateral. All amounts are exact decimals, booked to the eighth decimal.
"""

from collections.abc import Iterable
from decimal import Decimal

from counterpoise.rehearsal.feed import MarkPrice, Settlement, Side
from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import ZERO, Order, PositionSide, Refused
from counterpoise.rehearsal.positions import Position, cents, liquidation_price
from counterpoise.rehearsal.reports import (
    AccountUpdate,
    Balance,
    Income,
    IncomeType,
    LeverageUpdate,
    PositionReport,
    Reason,
    UserTrade,
    VenueEvent,
)

LARGEST_LEVERAGE = 125
FIRST_LEVERAGE = 20


class Account:
    """Money and positions; ``Exchange`` owns one and tells it of fills, marks and open orders.

    Parameters
    ----------
    rules : mapping of str to SymbolRules
        By symbol.
    wallet, outside : Decimal
        USDT in the futures wallet, and in the spot or funding wallet.
    told : list of VenueEvent
        Where events are appended.
    """

    def __init__(
        self,
        rules: dict[str, SymbolRules],
        wallet: Decimal,
        outside: Decimal,
        told: list[VenueEvent],
    ) -> None:
        self.rules = rules
        self.wallet = wallet
        self.outside = outside
        self.hedge_mode = False
        self.leverage = dict.fromkeys(rules, FIRST_LEVERAGE)
        self.isolated = dict.fromkeys(rules, False)
        self.marks: dict[str, Decimal] = {}
        self.open_orders: dict[int, Order] = {}
        self.trades: list[UserTrade] = []
        self.incomes: list[Income] = []
        self.update_ms = 0
        self._told = told
        self._positions = {
            (symbol, side): Position(symbol, side)
            for symbol in rules
            for side in ("BOTH", "LONG", "SHORT")
        }

    # --- what it holds -----------------------------------------------------------------------

    def position(self, symbol: str, side: PositionSide = "BOTH") -> Position:
        """One side of one symbol, empty where there is none."""
        return self._positions[symbol, side]

    def sides(self) -> tuple[PositionSide, ...]:
        """Position sides of the mode."""
        return ("LONG", "SHORT") if self.hedge_mode else ("BOTH",)

    def held(self, symbol: str | None = None) -> list[Position]:
        """Positions that are not empty."""
        return [
            position
            for position in self._positions.values()
            if position.amount and symbol in (None, position.symbol)
        ]

    def mark(self, symbol: str) -> Decimal:
        """Last mark price, USD; refuses before the first (-4131)."""
        if symbol not in self.marks:
            raise Refused(
                -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
            )
        return self.marks[symbol]

    def positions(self, symbol: str | None = None) -> list[PositionReport]:
        """Every position of the mode (empty ones too) at the present mark."""
        return [
            self.report(self._positions[name, side])
            for name in self.rules
            if symbol in (None, name)
            for side in self.sides()
        ]

    def report(self, position: Position) -> PositionReport:
        """A position with its margin."""
        symbol = position.symbol
        rules = self.rules[symbol]
        mark = self.marks.get(symbol, ZERO)
        isolated = self.isolated[symbol]
        notional = position.amount * mark
        bids, asks = self._working(symbol, position.side)
        initial, needed = self._margin(symbol, position, bids, asks)
        if isolated:
            liquidation = liquidation_price(position, position.isolated_wallet, rules)
        else:
            others = sum((self._slack(p) for p in self._cross() if p is not position), start=ZERO)
            liquidation = liquidation_price(position, self.cross_wallet(), rules, others)
        leverage = self.leverage[symbol]
        return PositionReport(
            symbol=symbol,
            position_side=position.side,
            amount=position.amount,
            entry=position.entry,
            break_even=position.break_even,
            mark=mark,
            liquidation=liquidation,
            notional=notional,
            unrealised=position.unrealised(mark),
            initial_margin=initial,
            order_margin=needed - initial,
            maintenance=rules.maintenance(abs(notional)),
            isolated=isolated,
            isolated_wallet=position.isolated_wallet,
            leverage=leverage,
            max_notional=rules.max_notional(leverage),
            bid_notional=bids,
            ask_notional=asks,
            update_ms=position.update_ms,
        )

    def balance(self) -> Balance:
        """Wallet, margin in use, and what is available."""
        unrealised = cross_unrealised = position_margin = order_margin = maintenance = used = ZERO
        for position in self._positions.values():
            symbol = position.symbol
            bids, asks = self._working(symbol, position.side)
            if not position.amount and not bids and not asks:
                continue
            profit = position.unrealised(self.marks.get(symbol, ZERO))
            initial, needed = self._margin(symbol, position, bids, asks)
            unrealised += profit
            position_margin += initial
            order_margin += needed - initial
            maintenance += self._maintenance(position)
            if self.isolated[symbol]:
                used += needed - initial
            else:
                used += needed
                cross_unrealised += profit
        cross = self.cross_wallet()
        available = max(cross + cross_unrealised - used, ZERO)
        return Balance(
            wallet=self.wallet,
            cross_wallet=cross,
            unrealised=unrealised,
            cross_unrealised=cross_unrealised,
            position_margin=position_margin,
            order_margin=order_margin,
            maintenance=maintenance,
            available=available,
            withdrawable=max(cross + min(cross_unrealised, ZERO) - used, ZERO),
            outside=self.outside,
            update_ms=self.update_ms,
        )

    def cross_wallet(self) -> Decimal:
        """Wallet without what isolated positions hold, USD."""
        return self.wallet - sum((p.isolated_wallet for p in self.held()), start=ZERO)

    def _cross(self) -> list[Position]:
        return [position for position in self.held() if not self.isolated[position.symbol]]

    def _maintenance(self, position: Position) -> Decimal:
        mark = self.marks.get(position.symbol, ZERO)
        return self.rules[position.symbol].maintenance(abs(position.amount) * mark)

    def _slack(self, position: Position) -> Decimal:
        return position.unrealised(self.marks[position.symbol]) - self._maintenance(position)

    def _working(self, symbol: str, side: PositionSide) -> tuple[Decimal, Decimal]:
        """Notional of open buys and sells that may raise the position, USD."""
        bids = asks = ZERO
        for order in self.open_orders.values():
            if order.symbol == symbol and order.position_side == side and not order.reduce_only:
                if order.side == "BUY":
                    bids += order.remaining * order.price
                else:
                    asks += order.remaining * order.price
        return bids, asks

    def _margin(
        self, symbol: str, position: Position, bids: Decimal, asks: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Initial margin of the position, and of it with its open orders."""
        notional = position.amount * self.marks.get(symbol, ZERO)
        leverage = self.leverage[symbol]
        if position.side == "LONG":
            asks = ZERO
        elif position.side == "SHORT":
            bids = ZERO
        worst = max(abs(notional), abs(notional + bids), abs(notional - asks))
        return cents(abs(notional) / leverage), cents(worst / leverage)

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

    def rules_of(self, symbol: str) -> SymbolRules:
        """Rules of a symbol; refuses an unknown one (-1121)."""
        if symbol not in self.rules:
            raise Refused(-1121, "Invalid symbol.")
        return self.rules[symbol]

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
        signed = quantity if order.side == "BUY" else -quantity
        closing = ZERO
        if position.amount * signed < 0:
            closing = min(abs(signed), abs(position.amount)) * (1 if signed > 0 else -1)
        realised = ZERO
        if closing:
            kept = 1 - abs(closing / position.amount)
            realised = position.fill(closing, price)
            position.isolated_wallet = cents(position.isolated_wallet * kept)
        opening = signed - closing
        if opening:
            position.fill(opening, price)
            if self.isolated[order.symbol]:
                margin = abs(opening) * price / self.leverage[order.symbol]
                position.isolated_wallet += cents(margin)
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

    def settle(self, event: Settlement) -> None:
        """Pay or receive funding on every position of the symbol."""
        for position in self.held(event.symbol):
            usd = cents(-position.amount * event.mark * event.rate)
            if self.isolated[event.symbol]:
                position.isolated_wallet += usd
            self.book("FUNDING_FEE", event.symbol, usd, event.ts_ms)
            self.tell("FUNDING_FEE", usd, [position], event.ts_ms)

    def take_mark(self, event: MarkPrice) -> None:
        """Value everything at a new mark."""
        self.marks[event.symbol] = event.mark

    def groups(self) -> list[tuple[list[Position], Decimal, Decimal]]:
        """Positions that share their margin, with its equity and its maintenance, USD."""
        groups = [([p], p.isolated_wallet) for p in self.held() if self.isolated[p.symbol]]
        cross = self._cross()
        if cross:
            groups.append((cross, self.cross_wallet()))
        return [
            (
                group,
                wallet + sum((p.unrealised(self.marks[p.symbol]) for p in group), start=ZERO),
                sum((self._maintenance(p) for p in group), start=ZERO),
            )
            for group, wallet in groups
        ]

    def bear_bankruptcy(self, equity: Decimal, now_ms: int) -> None:
        """After a liquidation the insurance fund pays what was lost beyond the margin."""
        if equity < 0:
            self.book("INSURANCE_CLEAR", "", -equity, now_ms)

    def adjust(self, symbol: str, amount: Decimal, side: PositionSide = "BOTH") -> None:
        """Add a signed amount to a position at the mark and tell nobody: somebody else did it."""
        self.position(symbol, side).fill(amount, self.mark(symbol))
