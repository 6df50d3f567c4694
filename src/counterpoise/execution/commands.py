"""What a machine asks its shell to do. A command leaves only after its records were committed."""

from dataclasses import dataclass
from typing import Literal

from counterpoise.execution.events import Side


@dataclass(frozen=True, slots=True)
class Place:
    """Send an order.

    Attributes
    ----------
    client_id : str
        Deterministic per slice and attempt; at most 36 characters of ``[A-Za-z0-9_-]``.
    side : {"sell", "buy"}
    size : float
        ETH, on the venue's grid.
    price : float
        USD, on the venue's grid; every order has one.
    post_only : bool
        Rests or is refused; otherwise immediate-or-cancel.
    reduce_only : bool
    """

    client_id: str
    side: Side
    size: float
    price: float
    post_only: bool
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an order of ours."""

    client_id: str


@dataclass(frozen=True, slots=True)
class PlaceStop:
    """Rest a stop-market order on the venue, triggered by the mark price."""

    client_id: str
    side: Side
    size: float
    trigger: float
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class CancelStop:
    """Cancel a stop of ours."""

    client_id: str


@dataclass(frozen=True, slots=True)
class QueryOrder:
    """Ask the venue what became of an order; answered by ``OrderUpdate`` and missing ``Fill``."""

    client_id: str


@dataclass(frozen=True, slots=True)
class QueryAccount:
    """Ask for a ``Snapshot``."""

    why: str


@dataclass(frozen=True, slots=True)
class SetLeverage:
    """Set the leverage of the symbol on the venue, and its margin type."""

    leverage: int
    isolated: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move USDT into (positive) or out of the futures wallet; answered by ``TransferDone``."""

    client_id: str
    usd: float


@dataclass(frozen=True, slots=True)
class Countdown:
    """Have the venue cancel every open order unless told again within ``ms``; 0 ends it."""

    ms: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send a ``Wake`` of that name at that moment; a later one of the same name replaces it."""

    ts_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell a person; ``key`` names what it is about, so that repetitions can be held back."""

    severity: Literal["info", "warning", "critical"]
    key: str
    text: str
    next_step: str


Command = (
    Place
    | Cancel
    | PlaceStop
    | CancelStop
    | QueryOrder
    | QueryAccount
    | SetLeverage
    | Transfer
    | Countdown
    | WakeAt
    | Alarm
)
