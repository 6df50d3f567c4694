"""How much of what trades a schedule may be."""

from counterpoise.execution.events import Trade
from counterpoise.execution.plan import DAY_S, SECOND_NS


class Participation:
    """Counts what the market trades and what that allows us.

    Parameters
    ----------
    most : float
        Largest part of the traded volume.
    volume_day_eth : float
        Trailing daily volume: it stands in until a trade is seen, and for the slice ahead.
    ahead_s : float
        Seconds of volume that are taken for granted, so that the first slice can begin.
    since_ns : int
        Counted from here.
    """

    def __init__(self, most: float, volume_day_eth: float, ahead_s: float, since_ns: int) -> None:
        self._most = most
        self._per_s = volume_day_eth / DAY_S
        self._ahead_s = ahead_s
        self._since_ns = since_ns
        self._traded = 0.0

    def see(self, trade: Trade) -> None:
        """Count a public trade."""
        if trade.ts_ns >= self._since_ns:
            self._traded += trade.size

    def allowed_eth(self, now_ns: int) -> float:
        """Most that may have been filled of ours since the count began, ETH."""
        elapsed_s = (now_ns - self._since_ns) / SECOND_NS
        traded = self._traded if self._traded > 0 else self._per_s * elapsed_s
        return self._most * (traded + self._per_s * self._ahead_s)
