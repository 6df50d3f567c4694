"""What a journal remembers that a start goes on from; see docs/trading.md."""

from dataclasses import dataclass, field

from counterpoise.execution.reconcile import JournalState
from counterpoise.execution.records import (
    Decision,
    FillBooked,
    FundingBooked,
    Moved,
    OrderSent,
    OrderState,
    Plan,
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything from before this start; empty for a new journal.

    Attributes
    ----------
    orders : JournalState
        For reconciliation.
    decision : Decision or None
        The last one.
    fills, fundings, moves
        Booked after that decision, in their order.
    plan : Plan or None
        The schedule at work, if there is one.
    sent, states, booked
        Everything of that schedule, in the order it was written.
    schedule_id : int
        The last one used.
    moving : Moved or None
        The last transfer of collateral, if it was asked for and not answered.
    last_move, last_stop : int
        Numbers of the last transfer and of the last stop.
    halted : str
        Why an operator halted or is flattening; empty where nothing of that kind is in force.
    """

    orders: JournalState = field(default_factory=JournalState)
    decision: Decision | None = None
    fills: tuple[FillBooked, ...] = ()
    fundings: tuple[FundingBooked, ...] = ()
    moves: tuple[Moved, ...] = ()
    plan: Plan | None = None
    sent: tuple[OrderSent, ...] = ()
    states: tuple[OrderState, ...] = ()
    booked: tuple[FillBooked, ...] = ()
    schedule_id: int = 0
    moving: Moved | None = None
    last_move: int = 0
    last_stop: int = 0
    halted: str = ""
