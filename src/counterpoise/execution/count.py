"""The short as the fills add up, and whether a position found at the venue agrees with it.

Sizes are booked once per trade id. Nothing here asks the venue or decides what follows from a
disagreement.
"""

from collections.abc import Iterable

from counterpoise.execution.events import Fill

#: A fill this close to a query may or may not be in its answer: the venue stamps fills, we queries.
SKEW_NS = 2_000_000_000


class Count:
    """The short in ETH, on the venue's size grid.

    Parameters
    ----------
    step_eth : float
        Size step of the contract.
    short_eth : float
        Where the count begins.
    trade_ids : iterable of str
        Fills that are in it already.

    Attributes
    ----------
    short_eth : float
        Positive is short.

    Examples
    --------
    A fill after the query is counted, and missing from the answer without a disagreement:

    >>> count = Count(0.001, 2.0)
    >>> late = Fill(9_000_000_000, "a", "t1", "sell", 2_000.0, 0.5, 0.0, True)
    >>> count.book(late), count.book(late), count.short_eth
    (True, False, 2.5)
    >>> count.difference(5_000_000_000, 2.0), count.difference(5_000_000_000, 2.2)
    (0.0, -0.3)
    >>> count.difference(20_000_000_000, 2.0)
    -0.5
    """

    def __init__(
        self, step_eth: float, short_eth: float = 0.0, trade_ids: Iterable[str] = ()
    ) -> None:
        self.short_eth = short_eth
        self._step = step_eth
        self._booked = set(trade_ids)
        self._recent: list[tuple[int, float]] = []

    def book(self, fill: Fill) -> bool:
        """Add a fill; returns whether it was new."""
        if fill.trade_id in self._booked:
            return False
        self._booked.add(fill.trade_id)
        change = fill.size if fill.side == "sell" else -fill.size
        self.short_eth = self._on_grid(self.short_eth + change)
        self._recent.append((fill.ts_ns, change))
        self._recent.sort(key=lambda booked: booked[0])
        return True

    def know(self, trade_ids: Iterable[str]) -> None:
        """Take fills as counted that a position found at the venue holds already."""
        self._booked.update(trade_ids)

    def adopt(self, short_eth: float) -> None:
        """Take the venue's position as the count."""
        self.short_eth = self._on_grid(short_eth)
        self._recent.clear()

    def moving(self, asked_ns: int) -> bool:
        """Whether fills lie so close to a query that its answer may lack them."""
        return any(ts_ns > asked_ns - SKEW_NS for ts_ns, _ in self._recent)

    def difference(self, asked_ns: int, venue_eth: float) -> float:
        """Venue's short less ours; 0 where the fills since the query explain it.

        Parameters
        ----------
        asked_ns : int
            When the position was asked for; not before an earlier call's.
        venue_eth : float
            The answer.

        Returns
        -------
        float
            ETH on the grid. The answer agrees with the count of all fills up to the query, or of
            those and the first few later ones: a position passes through these and no others.
        """
        self._recent = [booked for booked in self._recent if booked[0] > asked_ns - SKEW_NS]
        passed = self.short_eth
        for change in (0.0, *(change for _, change in reversed(self._recent))):
            passed -= change
            if abs(passed - venue_eth) < 0.5 * self._step:
                return 0.0
        return self._on_grid(venue_eth - self.short_eth)

    def _on_grid(self, size: float) -> float:
        return round(round(size / self._step) * self._step, 9)
