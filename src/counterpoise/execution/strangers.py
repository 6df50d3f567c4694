"""What happens on our account that is not ours: other people's orders, fills nobody here sent.

Orders of strangers are reported once and left alone; their fills name a change of the position.
"""

from collections.abc import Container

from counterpoise.execution.commands import Alarm
from counterpoise.execution.events import Fill, Mark, Snapshot
from counterpoise.execution.outbox import Outbox

#: How Binance names the orders with which it closes positions itself.
VENUES_OWN = {"autoclose-": "a liquidation", "adl_autoclose": "auto-deleveraging by the venue"}
_REMEMBERED = 3


class Strangers:
    """Reports orders that are not ours, and says what may have moved the position.

    Parameters
    ----------
    prefix : str
        What the client ids of this run begin with.
    ours : container of str
        Client ids of all our orders.
    """

    def __init__(self, prefix: str, ours: Container[str]) -> None:
        self._prefix, self._ours = prefix, ours
        self._told: set[str] = set()
        self._fills: list[str] = []
        self._highest = self._liquidation = 0.0

    def mark(self, event: Mark) -> None:
        """See a mark price."""
        self._highest = max(self._highest, event.mark)

    def fill(self, fill: Fill) -> str | None:
        """Remember a fill that is not ours; returns the cause where the venue itself acted."""
        told = (
            f"{fill.side} of {fill.size:g} ETH at {fill.price:,.2f} ({fill.client_id or 'no id'})"
        )
        who = "someone else traded"
        if fill.client_id.startswith(self._prefix):
            who = "an order with our prefix that the journal does not know"
        for prefix, cause in VENUES_OWN.items():
            if fill.client_id.startswith(prefix):
                who = cause
        self._fills.append(f"{who}: {told}")
        return self._fills[-1] if who in VENUES_OWN.values() else None

    def agreed(self, snapshot: Snapshot) -> None:
        """Forget what was seen: the position is explained without it."""
        self._fills.clear()
        self._highest, self._liquidation = snapshot.mark, snapshot.liquidation

    def cause(self, fell: bool) -> str:
        """What may have changed the position, as far as it was seen.

        Parameters
        ----------
        fell : bool
            Whether the short is smaller than counted.
        """
        if self._fills:
            return "; ".join(self._fills[-_REMEMBERED:])
        if fell and 0.0 < self._liquidation <= self._highest:
            return (
                f"a liquidation: the mark reached {self._highest:,.2f}, the liquidation price was "
                f"{self._liquidation:,.2f}"
            )
        return "cause not seen: a trade by hand, a deleveraging, or another program on this account"

    def look(self, snapshot: Snapshot, out: Outbox) -> int:
        """Report open orders that are not ours, once each; returns how many there are."""
        found = [
            order.client_id
            for order in (*snapshot.open_orders, *snapshot.stops)
            if order.client_id not in self._ours
        ]
        new = sorted(set(found) - self._told)
        self._told.update(new)
        alike = [client_id for client_id in new if client_id.startswith(self._prefix)]
        if alike:
            out.commands.append(
                Alarm(
                    "critical",
                    "same-prefix",
                    f"{len(alike)} open order(s) carry our prefix and are not in this journal: "
                    f"{', '.join(alike[:_REMEMBERED])}.",
                    "see whether a second run trades this account, or the journal was replaced; "
                    "cancel them by hand",
                )
            )
        elif new:
            out.commands.append(
                Alarm(
                    "info",
                    "strangers",
                    f"{len(new)} open order(s) of this symbol are not ours and are left alone: "
                    f"{', '.join(new[:_REMEMBERED])}.",
                    "nothing, if you know them",
                )
            )
        return len(found)
