"""What a machine wants remembered: rows of the journal, committed before any command leaves.

Every record has ``ts_ns`` of the market's clock. A record is a fact: it is never changed, and what
became of an order is another record.
"""

from dataclasses import dataclass, field
from typing import Any

from counterpoise.execution.events import Side, Status


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that moved something, or the last one of a bar.

    Attributes
    ----------
    decision_id : int
        1, 2, 3, … within a journal.
    cause : str
        What led to it: ``bar``, ``quote``, ``position`` or ``order``.
    tick : int
        Of the decision clock, hours since 1970.
    exposure_eth, short_eth, target_eth : float
        Held long, held short, and short to hold.
    collateral_usd : float
        Margin equity to hold.
    lo, hi : float
        Band in force.
    reasons : int
        Flags of ``decision.moment.Reason``.
    because : str
        In one sentence.
    chain : dict of str to float
        Numbers behind it.
    state, memory : tuple of float
        All that the next decision remembers: a restart begins from them.
    inputs : dict of str to float
        What it read: prices, equity, ages.
    """

    ts_ns: int
    decision_id: int
    cause: str
    tick: int
    exposure_eth: float
    short_eth: float
    target_eth: float
    collateral_usd: float
    lo: float
    hi: float
    reasons: int
    because: str
    chain: dict[str, float]
    state: tuple[float, ...] = field(repr=False)
    memory: tuple[float, ...] = field(repr=False)
    inputs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A TWAP schedule as planned or planned anew; the latest of a ``schedule_id`` is in force.

    ``status`` is ``working``, ``done``, ``replaced`` (netted into another) or ``abandoned``;
    ``plan`` is what the machine needs to go on after a restart.
    """

    ts_ns: int
    schedule_id: int
    decision_id: int
    side: Side
    size: float
    arrival_mid: float
    start_ns: int
    end_ns: int
    status: str
    plan: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderSent:
    """An order or stop about to leave; committed with what led to it."""

    ts_ns: int
    client_id: str
    schedule_id: int
    decision_id: int
    kind: str
    side: Side
    size: float
    price: float
    trigger: float
    reduce_only: bool
    arrival_mid: float


@dataclass(frozen=True, slots=True)
class OrderState:
    """What became of an order."""

    ts_ns: int
    client_id: str
    status: Status
    filled_eth: float
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class FillBooked:
    """A fill, once per ``trade_id``; ``short_eth`` is the short after it as we count it."""

    ts_ns: int
    client_id: str
    trade_id: str
    schedule_id: int
    side: Side
    price: float
    size: float
    fee_usd: float
    maker: bool
    mid: float
    short_eth: float


@dataclass(frozen=True, slots=True)
class FundingBooked:
    """A funding settlement, received when positive."""

    ts_ns: int
    usd: float
    rate: float


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Implementation shortfall of a finished schedule against its arrival mid, USD, cost positive.

    ``spread_usd + impact_usd + delay_usd + fee_usd + opportunity_usd == total_usd``.
    """

    ts_ns: int
    schedule_id: int
    side: Side
    size: float
    filled_eth: float
    arrival_mid: float
    average_price: float
    spread_usd: float
    impact_usd: float
    delay_usd: float
    fee_usd: float
    opportunity_usd: float
    total_usd: float
    maker_share: float


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """The account as a query found it, beside what we counted."""

    ts_ns: int
    short_eth: float
    counted_eth: float
    mark: float
    liquidation: float
    wallet_usd: float
    equity_usd: float
    available_usd: float
    leverage: float
    open_orders: int
    stops: int
    strangers: int


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """An alert, whether or not it was held back as a repetition."""

    ts_ns: int
    severity: str
    key: str
    text: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Mode:
    """Trading was halted, resumed or flattened, by whom and why."""

    ts_ns: int
    mode: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer of collateral; ``usd`` positive into the venue.

    ``status`` is ``asked``, ``done``, ``refused``, or ``abandoned`` after a person looked.
    """

    ts_ns: int
    client_id: str
    usd: float
    status: str
    reason: str


Record = (
    Decision
    | Plan
    | OrderSent
    | OrderState
    | FillBooked
    | FundingBooked
    | Shortfall
    | AccountSeen
    | AlertRaised
    | Mode
    | Moved
)
