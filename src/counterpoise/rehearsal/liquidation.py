"""Watches margin at every mark: warns near maintenance, liquidates at it."""

from collections.abc import Callable
from decimal import Decimal

from counterpoise.rehearsal.account import Account
from counterpoise.rehearsal.orders import ZERO
from counterpoise.rehearsal.positions import Position, cents
from counterpoise.rehearsal.reports import MarginCall, VenueEvent

#: Maintenance over equity from which on the venue warns.
MARGIN_CALL_AT = Decimal("0.8")


class MarginWatch:
    """The liquidation engine of one account.

    Parameters
    ----------
    account : Account
    cancel : callable
        Cancels the open orders of a symbol at a time.
    close : callable
        Closes a position at the mark, for a fee (USD), at a time.
    told : list of VenueEvent
        Where margin calls are appended.
    """

    def __init__(
        self,
        account: Account,
        cancel: Callable[[str, int], object],
        close: Callable[[Position, Decimal, int], None],
        told: list[VenueEvent],
    ) -> None:
        self._account = account
        self._cancel = cancel
        self._close = close
        self._told = told
        self._warned: set[str] = set()

    def look(self, now_ms: int) -> None:
        """Compare the equity behind every position with its maintenance."""
        for group, equity, maintenance in self._account.groups():
            key = " ".join(position.symbol + position.side for position in group)
            if equity <= maintenance:
                self._liquidate(group, equity, now_ms)
            elif maintenance < MARGIN_CALL_AT * equity:
                self._warned.discard(key)
            elif key not in self._warned:
                self._warned.add(key)
                reports = tuple(self._account.report(position) for position in group)
                self._told.append(MarginCall(now_ms, self._account.cross_wallet(), reports))

    def _liquidate(self, group: list[Position], equity: Decimal, now_ms: int) -> None:
        for symbol in {position.symbol: None for position in group}:
            self._cancel(symbol, now_ms)
        for position in group:
            fraction = self._account.rules[position.symbol].liquidation_fee
            notional = abs(position.amount) * self._account.marks[position.symbol]
            fee = cents(min(notional * fraction, max(equity, ZERO)))
            equity -= fee
            self._close(position, fee, now_ms)
        self._account.bear_bankruptcy(equity, now_ms)
