"""Whether the venue and the journal agree on orders, fills and the short, at start and all along.

The reconciler books every fill, follows every order of ours and asks for the account at intervals.
Where the position is not what the fills add up to it halts: no new risk until a person looked. It
places nothing, and orders that are not ours it leaves alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from counterpoise.execution.commands import Alarm, Cancel, QueryAccount, WakeAt
from counterpoise.execution.count import Count
from counterpoise.execution.events import (
    Event,
    Fill,
    Link,
    Mark,
    Operator,
    OrderUpdate,
    Quote,
    Snapshot,
    Wake,
)
from counterpoise.execution.order_states import WAKE as WAKE_ORDERS
from counterpoise.execution.order_states import KnownOrder, OrderStates
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import (
    AccountSeen,
    FillBooked,
    Mode,
    OrderSent,
    OrderState,
)
from counterpoise.execution.strangers import Strangers
from counterpoise.run_settings import RunSettings

#: Name of the moment at which the account is asked for again.
WAKE_ACCOUNT = "check-account"
#: Disagreeing snapshots in a row that halt; more where orders in the air could explain them, or
#: where the difference is another one each time.
STRIKES, PATIENCE = 2, 4
#: An account that does not change is written down this often.
SEEN_EVERY_NS = 60_000_000_000
_NAME = "reconciler"


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal remembers of the orders before a start.

    Attributes
    ----------
    short_eth : float or None
        Counted: ``FillBooked.short_eth`` or ``AccountSeen.counted_eth``, whichever came last; None
        in a new journal.
    sent : tuple of OrderSent
        All of unknown or open end, and the ended ones of at least as long as the fills of a
        ``Snapshot`` reach back.
    states : tuple of OrderState
        The last one of each of these, where there is one.
    fills : tuple of FillBooked
        Of these.
    halted : str or None
        ``why`` of the last ``Mode`` by the reconciler if that is ``halted``.
    """

    short_eth: float | None = None
    sent: tuple[OrderSent, ...] = ()
    states: tuple[OrderState, ...] = ()
    fills: tuple[FillBooked, ...] = ()
    halted: str | None = None


class Reconciler:
    """Keeps count of the short, and of every order of ours.

    Parameters
    ----------
    prefix : str
        What the client ids of this run begin with; no other run on the account may share it.
    step_eth : float
        Size step of the contract.
    settings : RunSettings

    Attributes
    ----------
    halted : str or None
        Why no risk may be added, until an operator resumes.

    Notes
    -----
    Tell it of every ``OrderSent`` by :meth:`sent` before the command leaves, and give it each event
    before the machines that read :attr:`counted_eth`, :attr:`orders` and :meth:`fresh`.
    """

    def __init__(self, prefix: str, step_eth: float, settings: RunSettings) -> None:
        self.halted: str | None = None
        self._step = step_eth
        self._max_age_ns = settings.position_max_age_ms * 1_000_000
        self._check_ns = round(settings.position_check_s * 1e9)
        self._orders = OrderStates(settings.unknown_wait_ms * 1_000_000)
        self._count = Count(step_eth)
        self._asked_ns: int | None = None
        self._confirmed_ns: int | None = None
        self._strikes = self._same_strikes = 0
        self._difference = 0.0
        self._resume_ns: int | None = None
        self._old: set[str] = set()
        self._strangers = Strangers(prefix, self._orders.known)
        self._mid = 0.0
        self._seen: AccountSeen | None = None

    @property
    def counted_eth(self) -> float:
        """Short as the fills add up, ETH."""
        return self._count.short_eth

    @property
    def orders(self) -> Mapping[str, KnownOrder]:
        """Last known state of every order of ours by client id."""
        return self._orders.known

    @property
    def ready(self) -> bool:
        """Whether what was sent before the start has ended and is booked; stops may rest."""
        return not any(self._orders.known[client_id].in_the_air for client_id in self._old)

    def fresh(self, now_ns: int) -> bool:
        """Whether the venue's last answer agreed with the count, and is young enough to act on."""
        confirmed = self._confirmed_ns
        return confirmed is not None and now_ns - confirmed <= self._max_age_ns

    def sent(self, order: OrderSent) -> None:
        """Know an order of ours before its command leaves."""
        self._orders.sent(order)

    def start(self, known: JournalState, snapshot: Snapshot, out: Outbox) -> None:
        """Compare what the journal remembers with what the venue has.

        Fills that the journal lacks are booked, orders of unknown fate are asked for, resting
        orders of ours are cancelled (stops stay), a difference without an explanation halts.
        """
        self.halted = known.halted
        self._orders.load(known.sent, known.states, known.fills)
        trade_ids = [fill.trade_id for fill in known.fills]
        if known.short_eth is None:
            self._count = Count(self._step, snapshot.short_eth)
            self._count.know(fill.trade_id for fill in snapshot.fills)
            _tell(
                out,
                "info",
                "adopted",
                f"The journal is new: the short of {snapshot.short_eth:.4f} ETH found on the venue "
                f"is taken as it is.",
                "nothing, if that is your position",
            )
        else:
            self._count = Count(self._step, known.short_eth, trade_ids)
        stops = {stop.client_id for stop in snapshot.stops}
        self._old = {
            order.sent.client_id
            for order in self._orders.in_the_air()
            if order.sent.client_id not in stops
        }
        self._look(snapshot, out, at_start=True)
        self._ask_later(snapshot.ts_ns, out)

    def handle(self, event: Event, out: Outbox) -> None:
        """Take an event."""
        match event:
            case Quote():
                self._mid = event.mid
            case Mark():
                self._strangers.mark(event)
            case Fill():
                self._book(event, out)
            case OrderUpdate():
                self._orders.update(event, out)
            case Snapshot():
                self._look(event, out, at_start=False)
            case Wake(name=name) if name == WAKE_ORDERS:
                self._orders.wake(event.ts_ns, out)
            case Wake(name=name) if name == WAKE_ACCOUNT:
                out.commands.append(QueryAccount("confirm the position"))
                self._ask_later(event.ts_ns, out)
            case Link(what="account", up=True):
                out.commands.append(QueryAccount("the account stream is back"))
            case Operator(order="resume") if self.halted is not None:
                self._resume_ns = event.ts_ns
                out.commands.append(QueryAccount("an operator resumes"))

    def _ask_later(self, now_ns: int, out: Outbox) -> None:
        out.commands.append(WakeAt(now_ns + self._check_ns, WAKE_ACCOUNT))

    def _book(self, fill: Fill, out: Outbox) -> None:
        order = self._orders.known.get(fill.client_id)
        if order is None:
            cause = self._strangers.fill(fill)
            if cause is not None:
                self._halt(fill.ts_ns, cause, out)
            return
        if not self._count.book(fill):
            return
        self._orders.booked(fill.client_id, fill.size)
        out.records.append(
            FillBooked(
                fill.ts_ns,
                fill.client_id,
                fill.trade_id,
                order.sent.schedule_id,
                fill.side,
                fill.price,
                fill.size,
                fill.fee_usd,
                fill.maker,
                self._mid,
                self._count.short_eth,
            )
        )

    def _look(self, snapshot: Snapshot, out: Outbox, *, at_start: bool) -> None:
        if self._asked_ns is not None and snapshot.ts_ns < self._asked_ns:
            return  # overtaken by a later one
        self._asked_ns = snapshot.ts_ns
        self._mid = self._mid or snapshot.mark
        ours = {
            order.client_id: order
            for order in (*snapshot.open_orders, *snapshot.stops)
            if order.client_id in self._orders.known
        }
        for fill in snapshot.fills:
            if fill.client_id in self._orders.known:
                self._book(fill, out)
        strangers = self._strangers.look(snapshot, out)
        self._orders.compare(snapshot.ts_ns, ours, out, at_start=at_start)
        for order in snapshot.open_orders:
            if order.client_id in self._old and self._orders.known[order.client_id].in_the_air:
                out.commands.append(Cancel(order.client_id))
        if self._resume_ns is not None and snapshot.ts_ns >= self._resume_ns:
            self._adopt(snapshot, out)
        self._judge(snapshot, out, at_start=at_start)
        self._write_down(snapshot, strangers, out)

    def _judge(self, snapshot: Snapshot, out: Outbox, *, at_start: bool) -> None:
        """Compare the position; halt where nothing explains the difference."""
        difference = self._count.difference(snapshot.ts_ns, snapshot.short_eth)
        if snapshot.short_eth < -0.5 * self._step:
            self._confirmed_ns = None
            self._halt(snapshot.ts_ns, f"the account is long {-snapshot.short_eth:.4f} ETH", out)
            return
        if difference == 0.0:
            self._confirmed_ns = snapshot.ts_ns
            self._strikes = self._same_strikes = 0
            self._strangers.agreed(snapshot)
            return
        self._confirmed_ns = None
        self._same_strikes = self._same_strikes + 1 if difference == self._difference else 1
        self._strikes += 1
        self._difference = difference
        resting = {stop.client_id for stop in snapshot.stops}
        in_flight = self._orders.could_fill("sell" if difference > 0.0 else "buy", resting)
        explained = in_flight > abs(difference) - 0.5 * self._step
        unexplained = at_start or self._same_strikes >= STRIKES
        if (unexplained and not explained) or self._strikes >= PATIENCE:
            why = (
                f"the venue has a short of {snapshot.short_eth:.4f} ETH where our fills add up to "
                f"{self._count.short_eth:.4f} ETH ({difference:+.4f})"
            )
            self._halt(snapshot.ts_ns, f"{why}; {self._strangers.cause(difference < 0.0)}", out)

    def _halt(self, ts_ns: int, why: str, out: Outbox) -> None:
        if self.halted is not None:
            return
        self.halted = why
        self._resume_ns = None
        out.records.append(Mode(ts_ns, "halted", _NAME, why))
        for order in self._orders.in_the_air():
            if not order.stop and order.status in ("pending", "unknown", "open"):
                out.commands.append(Cancel(order.sent.client_id))
        _tell(
            out,
            "critical",
            "position-mismatch",
            f"Halted: {why}.",
            "look at the position and the trades on the venue; `resume` takes the venue's position "
            "as true and goes on from there",
        )

    def _adopt(self, snapshot: Snapshot, out: Outbox) -> None:
        """Take the venue's position as the count, once nothing of ours moves it."""
        resting = {stop.client_id for stop in snapshot.stops}
        in_the_air = (order.sent.client_id for order in self._orders.in_the_air())
        if not resting.issuperset(in_the_air) or self._count.moving(snapshot.ts_ns):
            _tell(
                out,
                "info",
                "resume-waits",
                "Not resumed yet: an order or a fill of ours is still on its way.",
                "wait for the next look at the account",
            )
            return
        self._resume_ns = None
        if snapshot.short_eth < -0.5 * self._step:
            _tell(
                out,
                "critical",
                "position-mismatch",
                f"Still halted: the account is long {-snapshot.short_eth:.4f} ETH.",
                "close the long on the venue, then resume",
            )
            return
        counted = self._count.short_eth
        self._count.adopt(snapshot.short_eth)
        self._count.know(fill.trade_id for fill in snapshot.fills)
        self.halted = None
        why = (
            f"the venue's short of {snapshot.short_eth:.4f} ETH replaces {counted:.4f} ETH counted"
        )
        out.records.append(Mode(snapshot.ts_ns, "resumed", _NAME, why))
        self._seen = None

    def _write_down(self, snapshot: Snapshot, strangers: int, out: Outbox) -> None:
        seen = AccountSeen(
            snapshot.ts_ns,
            snapshot.short_eth,
            self._count.short_eth,
            snapshot.mark,
            snapshot.liquidation,
            snapshot.wallet_usd,
            snapshot.equity_usd,
            snapshot.available_usd,
            snapshot.leverage,
            len(snapshot.open_orders),
            len(snapshot.stops),
            strangers,
        )
        last = self._seen
        if (
            last is None
            or seen.ts_ns - last.ts_ns >= SEEN_EVERY_NS
            or _counts(seen) != _counts(last)
        ):
            self._seen = seen
            out.records.append(seen)


def _tell(
    out: Outbox,
    severity: Literal["info", "warning", "critical"],
    key: str,
    text: str,
    next_step: str,
) -> None:
    out.commands.append(Alarm(severity, key, text, next_step))


def _counts(seen: AccountSeen) -> tuple[float, ...]:
    """What of an account does not move with the price."""
    return (
        seen.short_eth,
        seen.counted_eth,
        seen.leverage,
        seen.open_orders,
        seen.stops,
        seen.strangers,
    )
