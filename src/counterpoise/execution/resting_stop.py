"""One stop of ours that is to rest at the venue, through placing, replacing, loss and trigger.

What the stop should be is somebody else's business; here it is made to rest, and a replacement
rests before its predecessor is cancelled.
"""

from collections.abc import Callable
from dataclasses import dataclass

from counterpoise.execution.commands import Alarm, CancelStop, PlaceStop, QueryAccount
from counterpoise.execution.count import SKEW_NS
from counterpoise.execution.events import OpenOrder, OrderUpdate, Side, Snapshot
from counterpoise.execution.order_states import ENDED
from counterpoise.execution.outbox import Outbox
from counterpoise.execution.records import OrderSent

#: After a refusal, how long until the next attempt.
RETRY_NS = 15_000_000_000


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop: ETH and USD on the venue's grid."""

    size: float
    trigger: float


class RestingStop:
    """Makes one stop rest.

    Parameters
    ----------
    what : str
        In words, for alarms.
    side : {"sell", "buy"}
    reduce_only : bool
        A stop that only reduces may rest twice for a moment, so its replacement comes first; one
        that adds to the position must not, so its predecessor goes first.
    next_id : callable
        Gives a client id that was never used.
    lost_ns : int
        After so long without a sign a stop that was placed is taken for lost.

    Attributes
    ----------
    current : Stop or None
        What is known to rest.
    """

    def __init__(
        self,
        what: str,
        side: Side,
        reduce_only: bool,
        next_id: Callable[[], str],
        lost_ns: int,
    ) -> None:
        self.current: Stop | None = None
        self._what, self._side, self._reduce_only = what, side, reduce_only
        self._next_id, self._lost_ns = next_id, lost_ns
        self._mine: dict[str, Stop] = {}
        self._current_id = self._coming_id = ""
        self._seen_ns = self._sent_ns = 0
        self._not_before_ns = 0
        self._unwanted: dict[str, int] = {}

    def know(self, sent: OrderSent) -> None:
        """Know a stop of an earlier run by its record."""
        if sent.side == self._side:
            self._mine[sent.client_id] = Stop(sent.size, sent.trigger)

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._mine

    def keep(
        self, wanted: Stop | None, good: Callable[[Stop], bool], snapshot: Snapshot, out: Outbox
    ) -> None:
        """Compare what rests with what should, and place or replace.

        Parameters
        ----------
        wanted : Stop or None
            What to place if nothing good rests; None where nothing should rest.
        good : callable
            Whether a resting stop may stay.
        snapshot : Snapshot
        out : Outbox
        """
        self.watch(snapshot, out)
        now_ns = snapshot.ts_ns
        if wanted is None:
            self.drop(now_ns, out)
        elif not self._coming_id and now_ns >= self._not_before_ns:
            if self.current is None:
                self._place(wanted, now_ns, out)
            elif not good(self.current):
                if not self._reduce_only:
                    self.drop(now_ns, out)
                self._place(wanted, now_ns, out)

    def watch(self, snapshot: Snapshot, out: Outbox) -> None:
        """Learn from a snapshot what rests; cancel what should not."""
        now_ns = snapshot.ts_ns
        seen = {stop.client_id: stop for stop in snapshot.stops if stop.client_id in self._mine}
        self._confirm(seen, now_ns, out)
        # The newest first: the cancel of its predecessor may be on its way from an earlier run.
        seen = dict(sorted(seen.items(), key=lambda one: _number(one[0]), reverse=True))
        for client_id in seen:
            if client_id in (self._current_id, self._coming_id):
                continue
            if now_ns - self._unwanted.get(client_id, 0) < SKEW_NS:
                continue  # its cancel is on the way
            if not self._current_id and (self._reduce_only or not self._coming_id):
                self._rests(client_id, now_ns, out)
            elif not self._current_id or self._current_id in seen:
                self._cancel(client_id, now_ns, out)

    def drop(self, now_ns: int, out: Outbox) -> None:
        """Cancel what rests or is on its way."""
        for client_id in (self._current_id, self._coming_id):
            if client_id:
                self._cancel(client_id, now_ns, out)
        self._current_id = self._coming_id = ""
        self.current = None

    def update(self, event: OrderUpdate, out: Outbox) -> None:
        """Take what the venue says of a stop of ours."""
        client_id = event.client_id
        if event.status == "open" and client_id == self._coming_id:
            self._rests(client_id, event.ts_ns, out)
        if event.status not in ENDED:
            return
        if event.status == "filled":
            self._triggered(client_id, event.ts_ns, out)
        elif client_id == self._coming_id:
            self._coming_id = ""
            self._not_before_ns = event.ts_ns + RETRY_NS
            resting = "the one before still rests" if self._current_id else "none rests"
            self._tell(
                out,
                "stop-refused",
                f"{self._what} was {event.status}: {event.reason or 'no reason given'} "
                f"({event.code}); {resting}.",
                "it is tried again; place one by hand if this goes on",
            )
        elif client_id == self._current_id:
            self._lost(f"was {event.status} by the venue or by someone else", out)

    def filled(self, client_id: str, now_ns: int, out: Outbox) -> None:
        """Know that a stop of ours began to fill: it was triggered."""
        self._triggered(client_id, now_ns, out)

    def _confirm(self, seen: dict[str, OpenOrder], now_ns: int, out: Outbox) -> None:
        if self._coming_id in seen:
            self._rests(self._coming_id, now_ns, out)
        elif self._coming_id and now_ns - self._sent_ns >= self._lost_ns:
            self._tell(
                out,
                "stop-refused",
                f"{self._what} ({self._coming_id}) did not come to rest.",
                "another one is placed",
            )
            self._coming_id = ""
        if self._current_id in seen:
            self._seen_ns = now_ns
        elif self._current_id and now_ns - self._seen_ns >= SKEW_NS:
            self._lost("no longer rests", out)

    def _rests(self, client_id: str, now_ns: int, out: Outbox) -> None:
        before = self._current_id
        self.current, self._current_id = self._mine[client_id], client_id
        self._seen_ns = now_ns
        if client_id == self._coming_id:
            self._coming_id = ""
        if before and before != client_id:
            self._cancel(before, now_ns, out)

    def _triggered(self, client_id: str, now_ns: int, out: Outbox) -> None:
        if client_id not in (self._current_id, self._coming_id):
            if client_id not in self._unwanted:
                return
            del self._unwanted[client_id]
        if client_id == self._current_id:
            self.current, self._current_id = None, ""
        elif client_id == self._coming_id:
            self._coming_id = ""
        stop = self._mine[client_id]
        self._tell(
            out,
            "stop-triggered",
            f"{self._what} was triggered: {self._side} {stop.size:g} ETH at {stop.trigger:,.2f}.",
            "look at margin and hedge; the next stop follows with the new position",
        )
        out.commands.append(QueryAccount("a stop was triggered"))

    def _lost(self, how: str, out: Outbox) -> None:
        self._tell(
            out,
            "stop-missing",
            f"{self._what} ({self._current_id}) {how}.",
            "it is placed again; find out who cancelled it",
        )
        self.current, self._current_id = None, ""
        out.commands.append(QueryAccount("a stop is missing"))

    def _place(self, stop: Stop, now_ns: int, out: Outbox) -> None:
        client_id = self._next_id()
        self._mine[client_id] = stop
        self._coming_id, self._sent_ns = client_id, now_ns
        side, reduce_only = self._side, self._reduce_only
        out.records.append(
            OrderSent(
                now_ns,
                client_id,
                schedule_id=0,
                decision_id=0,
                kind="stop",
                side=side,
                size=stop.size,
                price=0.0,
                trigger=stop.trigger,
                reduce_only=reduce_only,
                arrival_mid=0.0,
            )
        )
        out.commands.append(PlaceStop(client_id, side, stop.size, stop.trigger, reduce_only))

    def _cancel(self, client_id: str, now_ns: int, out: Outbox) -> None:
        self._unwanted[client_id] = now_ns
        out.commands.append(CancelStop(client_id))

    def _tell(self, out: Outbox, key: str, text: str, next_step: str) -> None:
        out.commands.append(Alarm("critical", key, text, next_step))


def _number(client_id: str) -> int:
    """Which stop it is: later ones have higher numbers."""
    return int(client_id.rpartition("-")[2])
