"""What a USD-M account is worth at the present marks: positions, margin, what is available.

Nothing here changes anything; ``account`` does.
"""

from collections.abc import Iterable
from decimal import Decimal

from counterpoise.rehearsal.filters import SymbolRules
from counterpoise.rehearsal.orders import ZERO, Order, PositionSide, Refused
from counterpoise.rehearsal.positions import Position, cents, liquidation_price
from counterpoise.rehearsal.reports import Balance, PositionReport

FIRST_LEVERAGE = 20


class Valuation:
    """Positions, marks and open orders, and the margin that follows from them.

    Parameters
    ----------
    rules : dict of str to SymbolRules
        By symbol.
    wallet, outside : Decimal
        USDT in the futures wallet, and in the spot or funding wallet.

    Attributes
    ----------
    hedge_mode : bool
    leverage, isolated : dict
        By symbol.
    marks : dict of str to Decimal
        Last mark of each symbol, USD.
    open_orders : dict of int to Order
        By id; kept by the exchange.
    """

    def __init__(self, rules: dict[str, SymbolRules], wallet: Decimal, outside: Decimal) -> None:
        self.rules = rules
        self.wallet = wallet
        self.outside = outside
        self.hedge_mode = False
        self.leverage = dict.fromkeys(rules, FIRST_LEVERAGE)
        self.isolated = dict.fromkeys(rules, False)
        self.marks: dict[str, Decimal] = {}
        self.open_orders: dict[int, Order] = {}
        self.update_ms = 0
        sides: tuple[PositionSide, ...] = ("BOTH", "LONG", "SHORT")
        self._positions = {
            (symbol, side): Position(symbol, side) for symbol in rules for side in sides
        }

    def resume(self, positions: Iterable[Position]) -> None:
        """Take over the positions of an earlier process."""
        self._positions.update({(one.symbol, one.side): one for one in positions})

    def rules_of(self, symbol: str) -> SymbolRules:
        """Rules of a symbol; refuses an unknown one (-1121)."""
        if symbol not in self.rules:
            raise Refused(-1121, "Invalid symbol.")
        return self.rules[symbol]

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
        worst = max(abs(notional), abs(notional + bids), abs(notional - asks))
        return cents(abs(notional) / leverage), cents(worst / leverage)

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
