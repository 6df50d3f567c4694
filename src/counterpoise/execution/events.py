"""What a machine is told: market, slow signals, the life of orders, the account, the operator.

Times are int nanoseconds UTC of the market's clock. ETH and USD are floats on the venue's grid: the
shell turns them into the venue's decimals. ``side`` is ``sell`` (raises the short) or ``buy``.
"""

from dataclasses import dataclass, field
from typing import Literal

Side = Literal["sell", "buy"]
#: What is known of an order at the venue; ``unknown`` is a state: it is queried, never re-sent.
Status = Literal[
    "pending", "unknown", "open", "filled", "canceled", "rejected", "expired", "missing"
]


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask: USD and ETH."""

    ts_ns: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float

    @property
    def mid(self) -> float:
        """USD."""
        return 0.5 * (self.bid + self.ask)


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade; ``side`` is the taker's."""

    ts_ns: int
    price: float
    size: float
    side: Side


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark and index price (USD), the running funding rate (fraction per interval) and its end."""

    ts_ns: int
    mark: float
    index: float
    funding_rate: float
    next_funding_ns: int


@dataclass(frozen=True, slots=True)
class Signals:
    """One row of the bar clock: the policy's intent and what the guard needs with it.

    Attributes
    ----------
    ts_ns : int
        The tick of the decision clock it is about.
    tick : int
        Hours since 1970: the decision clock as the desk counts it.
    lo, hi, to_lo, to_hi, urgency, target : float
        Of ``hedging.Intent``; NaN where the policy does not know.
    spot, perp : float
        Closes of the tick, USD.
    sigma_day, volume_day_eth : float
        Trailing daily volatility (fraction) and volume.
    leverage, leverage_max : float
        Notional ÷ equity after a top-up, and the one that asks for it.
    event_floor, event_class : float
    quiet : bool
    funding_cost : float
        Expected over the guard's horizon, a fraction; NaN is unknown.
    why : str
        The policy's reason in words, may be empty.
    """

    ts_ns: int
    tick: int
    lo: float
    hi: float
    to_lo: float
    to_hi: float
    urgency: float
    target: float
    spot: float
    perp: float
    sigma_day: float
    volume_day_eth: float
    leverage: float
    leverage_max: float
    event_floor: float
    event_class: float
    quiet: bool
    funding_cost: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Long ETH that is hedged, and ETH that arrived (positive) or left since the last one."""

    ts_ns: int
    exposure_eth: float


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What the venue says of one of our orders; ``filled_eth`` is cumulative.

    ``reason`` and ``code`` are the venue's own of a rejection, ``code`` 0 without one.
    """

    ts_ns: int
    client_id: str
    status: Status
    filled_eth: float = 0.0
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill of one of our orders; ``fee_usd`` is paid when positive."""

    ts_ns: int
    client_id: str
    trade_id: str
    side: Side
    price: float
    size: float
    fee_usd: float
    maker: bool


@dataclass(frozen=True, slots=True)
class Funding:
    """A settlement booked by the venue; ``usd`` is received when positive."""

    ts_ns: int
    usd: float
    rate: float


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order or stop resting at the venue, as a query finds it; a stop has a ``trigger``."""

    client_id: str
    side: Side
    size: float
    filled_eth: float
    price: float
    reduce_only: bool
    trigger: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The account as one round of queries found it.

    Attributes
    ----------
    ts_ns : int
        When the queries were sent: what filled later may be missing.
    short_eth : float
        Positive is short.
    entry, mark, liquidation : float
        Average entry, mark and liquidation price, USD; 0 without one.
    wallet_usd, equity_usd, available_usd : float
        Balance, balance with unrealised P&L, and what may be posted or withdrawn.
    leverage : float
        Set on the venue.
    isolated : bool
    open_orders, stops : tuple of OpenOrder
        All of the symbol's, strangers' included.
    fills : tuple of Fill
        Recent ones of ours, oldest first.
    """

    ts_ns: int
    short_eth: float
    entry: float
    mark: float
    liquidation: float
    wallet_usd: float
    equity_usd: float
    available_usd: float
    leverage: float
    isolated: bool
    open_orders: tuple[OpenOrder, ...] = ()
    stops: tuple[OpenOrder, ...] = ()
    fills: tuple[Fill, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection came or went: ``market`` data, the ``account`` stream, or ``orders``."""

    ts_ns: int
    what: Literal["market", "account", "orders"]
    up: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Wake:
    """A moment that a machine asked for has come."""

    ts_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class Operator:
    """What a person asked for: stop trading, go on, or close every position of ours."""

    ts_ns: int
    order: Literal["halt", "resume", "flatten"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class TransferDone:
    """Collateral moved (or not, with the venue's reason); ``usd`` is positive into the venue."""

    ts_ns: int
    client_id: str
    usd: float
    ok: bool
    reason: str = ""


Event = (
    Quote
    | Trade
    | Mark
    | Signals
    | Exposure
    | OrderUpdate
    | Fill
    | Funding
    | Snapshot
    | Link
    | Wake
    | Operator
    | TransferDone
)
