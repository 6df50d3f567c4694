"""Market time from wall time."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MarketClock:
    """A market that runs at some speed against the wall clock.

    Attributes
    ----------
    origin_market_ms : int
        Market time at the origin, ms UTC.
    origin_wall_s : float
        Wall time at the origin, seconds of whatever monotonic clock the caller reads.
    speed : float
        Market seconds per wall second, > 0; 1 is real time.

    Examples
    --------
    >>> clock = MarketClock(1_700_000_000_000, 100.0, 60.0)
    >>> clock.market_ms(101.5), clock.wall_s(1_700_000_090_000)
    (1700000090000, 101.5)
    """

    origin_market_ms: int
    origin_wall_s: float
    speed: float

    def market_ms(self, wall_s: float) -> int:
        """Market time at a wall time, ms UTC."""
        return self.origin_market_ms + int((wall_s - self.origin_wall_s) * self.speed * 1000)

    def wall_s(self, market_ms: int) -> float:
        """Wall time at which the market reaches a moment."""
        return self.origin_wall_s + (market_ms - self.origin_market_ms) / (1000 * self.speed)


class StagedClock:
    """A market that stands at its first moment until it is begun.

    Parameters
    ----------
    origin_market_ms : int
        Where it stands, ms UTC; what lies before has happened.
    speed : float
        Market seconds per wall second, > 0.

    Examples
    --------
    >>> clock = StagedClock(1_700_000_000_000, 60.0)
    >>> clock.market_ms(5.0), clock.wall_s(1_700_000_000_001)
    (1700000000000, inf)
    >>> clock.begin(100.0)
    >>> clock.market_ms(101.5), clock.wall_s(1_700_000_090_000)
    (1700000090000, 101.5)
    """

    def __init__(self, origin_market_ms: int, speed: float) -> None:
        self.origin_market_ms, self.speed = origin_market_ms, speed
        self._running: MarketClock | None = None

    def begin(self, wall_s: float) -> None:
        """Let the market go on from a wall time."""
        self._running = MarketClock(self.origin_market_ms, wall_s, self.speed)

    def market_ms(self, wall_s: float) -> int:
        """Market time at a wall time, ms UTC."""
        if self._running is None:
            return self.origin_market_ms
        return max(self._running.market_ms(wall_s), self.origin_market_ms)

    def wall_s(self, market_ms: int) -> float:
        """Wall time at which the market reaches a moment."""
        if market_ms <= self.origin_market_ms:
            return -math.inf
        return math.inf if self._running is None else self._running.wall_s(market_ms)
