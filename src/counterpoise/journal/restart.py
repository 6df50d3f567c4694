"""What a restart goes on from, read from the journal in the machines' own words."""

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


def remembered(journal: Reader, now_ns: int) -> Remembered:
    """Everything a start needs.

    Parameters
    ----------
    journal : Reader
    now_ns : int
        Market time.
    """
    since_ns = now_ns - RECENT_NS
    plan = next(iter(reversed(journal.working_plans())), None)
    of_plan = [] if plan is None else journal.orders_of(plan.schedule_id)
    recent = journal.records(OrderSent, since_ns)
    old = {
        order.client_id: order
        for order in (*journal.unsettled_orders(), *of_plan)
        if order.ts_ns < since_ns
    }
    sent = (*old.values(), *recent)
    young = {order.client_id for order in recent} - old.keys()
    states = journal.about(OrderState, old)
    states += [one for one in journal.records(OrderState, since_ns) if one.client_id in young]
    fills = journal.about(FillBooked, old)
    # The venue stamps fills and we orders: their clocks differ.
    fills += [one for one in journal.fills(since_ns - NS_PER_HOUR) if one.client_id in young]
    last_states = {state.client_id: state for state in states}
    halts = [mode for mode in journal.records(Mode) if mode.by == "reconciler"]
    planned = {order.client_id for order in of_plan}
    last_stop, move = journal.last_stop(), next(iter(journal.records(Moved, newest=1)), None)
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
        sent=tuple(of_plan),
        states=tuple(state for state in states if state.client_id in planned),
        booked=tuple(fill for fill in fills if fill.client_id in planned),
        schedule_id=plans[0].schedule_id if plans else 0,
        moving=move if move is not None and move.status == "asked" else None,
        last_move=_number(move),
        last_stop=_number(last_stop),
    )


def _number(last: OrderSent | Moved | None) -> int:
    """Number of a stop or transfer, which ends its client id; 0 without one."""
    return 0 if last is None else int(last.client_id.rpartition("-")[2])
