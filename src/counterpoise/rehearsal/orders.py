"""Orders of the local venue, and its refusals with the venue's own codes."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from counterpoise.rehearsal.feed import Side

PositionSide = Literal["BOTH", "LONG", "SHORT"]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTX", "GTD"]
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]
WorkingType = Literal["MARK_PRICE", "CONTRACT_PRICE"]
AlgoStatus = Literal[
    "NEW", "TRIGGERING", "TRIGGERED", "FINISHED", "CANCELED", "REJECTED", "EXPIRED"
]

ZERO = Decimal(0)
#: Types that rest until a price triggers them, and what they then become.
CONDITIONAL = {
    "STOP": "LIMIT",
    "STOP_MARKET": "MARKET",
    "TAKE_PROFIT": "LIMIT",
    "TAKE_PROFIT_MARKET": "MARKET",
    "TRAILING_STOP_MARKET": "MARKET",
}


class Refused(Exception):
    """The venue refuses a request.

    Parameters
    ----------
    code : int
        Binance's own (negative).
    message : str
        Binance's own.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks ``Exchange.place`` for.

    Attributes
    ----------
    symbol, side, type : str
        ``type`` is LIMIT or MARKET; conditional types are refused (-4120).
    quantity : Decimal
        ETH.
    price : Decimal or None
        USD, of a limit order.
    client_id : str or None
        None: the venue makes one up.
    good_till_ms : int
        When a GTD order expires.
    """

    symbol: str
    side: Side
    type: str
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    client_id: str | None = None
    reduce_only: bool = False
    position_side: PositionSide = "BOTH"
    good_till_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Order:
    """An order as the venue knows it.

    Attributes
    ----------
    price : Decimal
        USD; 0 of a market order.
    executed, quote : Decimal
        Filled so far: ETH and USD.
    original_type : str
        Of the conditional order it came from, else ``type``.
    stop_price : Decimal
        Trigger of the conditional order it came from, else 0.
    """

    order_id: int
    client_id: str
    symbol: str
    side: Side
    type: str
    original_type: str
    time_in_force: TimeInForce
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    reduce_only: bool
    close_position: bool
    good_till_ms: int
    time_ms: int
    update_ms: int
    status: Status = "NEW"
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    stop_price: Decimal = ZERO
    working_type: WorkingType = "CONTRACT_PRICE"

    @property
    def average(self) -> Decimal:
        """Average fill price, USD; 0 before a fill."""
        return self.quote / self.executed if self.executed else ZERO

    @property
    def remaining(self) -> Decimal:
        """ETH that is not filled."""
        return self.quantity - self.executed

    @property
    def is_open(self) -> bool:
        """May still fill."""
        return self.status in ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoRequest:
    """What a client asks ``AlgoDesk.place`` for: an order that rests until a price triggers it.

    Attributes
    ----------
    type : str
        A key of ``CONDITIONAL``.
    quantity : Decimal or None
        None where ``close_position``.
    trigger : Decimal or None
        USD; of a trailing stop the activation price, None to start at once.
    price : Decimal or None
        Limit price of STOP and TAKE_PROFIT.
    callback_pct : Decimal or None
        Distance of a trailing stop, percent.
    """

    symbol: str
    side: Side
    type: str
    quantity: Decimal | None = None
    trigger: Decimal | None = None
    price: Decimal | None = None
    callback_pct: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    client_id: str | None = None
    reduce_only: bool = False
    close_position: bool = False
    position_side: PositionSide = "BOTH"
    working_type: WorkingType = "CONTRACT_PRICE"


@dataclass(slots=True, kw_only=True)
class Algo:
    """A conditional order as the venue knows it.

    Attributes
    ----------
    trigger_ms : int
        When it triggered; 0 before.
    order : Order or None
        What it became.
    reason : str
        Why it was rejected or expired, else empty.
    extreme : Decimal or None
        Of an active trailing stop, the best price since it is active.
    """

    algo_id: int
    client_id: str
    request: AlgoRequest
    time_ms: int
    update_ms: int
    status: AlgoStatus = "NEW"
    trigger_ms: int = 0
    order: Order | None = None
    reason: str = ""
    extreme: Decimal | None = None

    @property
    def is_open(self) -> bool:
        """Still waits for its trigger."""
        return self.status == "NEW"
