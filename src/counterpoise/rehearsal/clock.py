"""Market time from wall time."""

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
