"""What the venue tells the owner of the account: events to be drained, and rows to be queried.

Amounts are USD or ETH decimals; times ms UTC of the market's clock.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from counterpoise.rehearsal.feed import Side
from counterpoise.rehearsal.orders import Algo, Order, PositionSide

Execution = Literal["NEW", "CANCELED", "CALCULATED", "EXPIRED", "TRADE", "AMENDMENT"]
Reason = Literal["ORDER", "FUNDING_FEE", "DEPOSIT", "WITHDRAW", "ADJUSTMENT", "MARGIN_TYPE_CHANGE"]
IncomeType = Literal["REALIZED_PNL", "COMMISSION", "FUNDING_FEE", "TRANSFER", "INSURANCE_CLEAR"]


@dataclass(frozen=True, slots=True)
class UserTrade:
    """A fill of ours; ``commission`` is paid when positive, ``realised`` is before it."""

    symbol: str
    trade_id: int
    order_id: int
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    realised: Decimal
    commission: Decimal
    maker: bool
    time_ms: int


@dataclass(frozen=True, slots=True)
class Income:
    """A change of the wallet; received when positive."""

    income_id: int
    symbol: str
    type: IncomeType
    usd: Decimal
    time_ms: int
    trade_id: int = 0


@dataclass(frozen=True, slots=True)
class PositionReport:
    """A position at the present mark.

    Attributes
    ----------
    amount : Decimal
        ETH, negative is short.
    entry, break_even, mark, liquidation : Decimal
        USD; liquidation 0 where no price does it.
    notional : Decimal
        Signed value at the mark, USD.
    unrealised, initial_margin, order_margin, maintenance : Decimal
        USD; ``order_margin`` is what open orders need beyond the position.
    isolated_wallet : Decimal
        USD set aside for it; 0 of a cross position.
    bid_notional, ask_notional : Decimal
        Open orders, USD.
    """

    symbol: str
    position_side: PositionSide
    amount: Decimal
    entry: Decimal
    break_even: Decimal
    mark: Decimal
    liquidation: Decimal
    notional: Decimal
    unrealised: Decimal
    initial_margin: Decimal
    order_margin: Decimal
    maintenance: Decimal
    isolated: bool
    isolated_wallet: Decimal
    leverage: int
    max_notional: Decimal
    bid_notional: Decimal
    ask_notional: Decimal
    update_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The USDT of the account.

    Attributes
    ----------
    wallet, cross_wallet : Decimal
        All of it, and without what isolated positions hold.
    unrealised, cross_unrealised : Decimal
    position_margin, order_margin, maintenance : Decimal
    available, withdrawable : Decimal
        What new orders may use, and what may leave.
    outside : Decimal
        In the spot or funding wallet.
    """

    wallet: Decimal
    cross_wallet: Decimal
    unrealised: Decimal
    cross_unrealised: Decimal
    position_margin: Decimal
    order_margin: Decimal
    maintenance: Decimal
    available: Decimal
    withdrawable: Decimal
    outside: Decimal
    update_ms: int

    @property
    def equity(self) -> Decimal:
        """Wallet and unrealised P&L."""
        return self.wallet + self.unrealised


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """ORDER_TRADE_UPDATE: the order as it was then, and the fill of a TRADE or CALCULATED."""

    ts_ms: int
    execution: Execution
    order: Order
    trade: UserTrade | None = None


@dataclass(frozen=True, slots=True)
class AlgoUpdate:
    """ALGO_UPDATE: the conditional order as it was then."""

    ts_ms: int
    algo: Algo


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """ACCOUNT_UPDATE: balance and the positions that changed."""

    ts_ms: int
    reason: Reason
    balance: Balance
    balance_change: Decimal
    positions: tuple[PositionReport, ...]


@dataclass(frozen=True, slots=True)
class LeverageUpdate:
    """ACCOUNT_CONFIG_UPDATE: the leverage of a symbol was set."""

    ts_ms: int
    symbol: str
    leverage: int


@dataclass(frozen=True, slots=True)
class MarginCall:
    """MARGIN_CALL: margin nears maintenance; nothing is closed yet."""

    ts_ms: int
    cross_wallet: Decimal
    positions: tuple[PositionReport, ...]


VenueEvent = OrderUpdate | AlgoUpdate | AccountUpdate | LeverageUpdate | MarginCall
