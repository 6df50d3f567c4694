"""What a restart goes on from, read from the journal in the machines' own words."""

import re

from counterpoise.execution.reconcile import JournalState
from counterpoise.execution.records import (
    FillBooked,
    FundingBooked,
    Mode,
    Moved,
    OrderSent,
    OrderState,
    Plan,
)
from counterpoise.execution.remembered import Remembered
from counterpoise.journal.reading import Reader
from counterpoise.units import NS_PER_HOUR

#: How far back orders that ended are remembered: longer than the recent trades of a venue reach.
RECENT_NS = 7 * 24 * NS_PER_HOUR
_NUMBERED = re.compile(r"(stop|move)-(\d+)$")


def remembered(journal: Reader, now_ns: int) -> Remembered:
    """Everything a start needs.

    Parameters
    ----------
    journal : Reader
    now_ns : int
        Market time.
    """
    every_sent, every_move = journal.records(OrderSent), journal.records(Moved)
    unsettled = {order.client_id for order in journal.unsettled_orders()}
    sent = tuple(
        order
        for order in every_sent
        if order.client_id in unsettled or order.ts_ns >= now_ns - RECENT_NS
    )
    names = {order.client_id for order in sent}
    oldest_ns = min((order.ts_ns for order in sent), default=now_ns)
    states = [one for one in journal.records(OrderState, oldest_ns) if one.client_id in names]
    fills = [one for one in journal.fills(oldest_ns) if one.client_id in names]
    last_states = {state.client_id: state for state in states}
    halts = [mode for mode in journal.records(Mode) if mode.by == "reconciler"]
    plan = next(iter(reversed(journal.working_plans())), None)
    of_plan = {
        order.client_id
        for order in every_sent
        if plan is not None and order.schedule_id == plan.schedule_id and order.trigger == 0.0
    }
    moving = every_move[-1] if every_move and every_move[-1].status == "asked" else None
    plans = journal.records(Plan, newest=1)
    return Remembered(
        orders=JournalState(
            short_eth=journal.counted_short(),
            sent=sent,
            states=tuple(last_states.values()),
            fills=tuple(fills),
            halted=halts[-1].why if halts and halts[-1].mode == "halted" else None,
        ),
        decision=journal.last_decision(),
        fills=tuple(journal.after_decision(FillBooked)),
        fundings=tuple(journal.after_decision(FundingBooked)),
        moves=tuple(journal.after_decision(Moved)),
        plan=plan,
        sent=tuple(order for order in every_sent if order.client_id in of_plan),
        states=tuple(state for state in states if state.client_id in of_plan),
        booked=tuple(fill for fill in fills if fill.client_id in of_plan),
        schedule_id=plans[0].schedule_id if plans else 0,
        moving=moving,
        last_move=_highest("move", [move.client_id for move in every_move]),
        last_stop=_highest("stop", [order.client_id for order in every_sent]),
    )


def _highest(kind: str, names: list[str]) -> int:
    """Largest number of the ids of a kind; 0 without one."""
    found = (_NUMBERED.search(name) for name in names)
    return max((int(one.group(2)) for one in found if one and one.group(1) == kind), default=0)
