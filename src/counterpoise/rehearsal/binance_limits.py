"""How often Binance may be asked: request weight by the minute, new orders by 10 s and the minute.

Windows begin at multiples of their length, as the venue's do. Who goes on asking after 429 is
banned for a while with 418. Time is the wall's: limits protect the server, not the market.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from counterpoise.rehearsal.denied import Denied

#: Requests refused with 429 in one window after which a ban follows, and how long it lasts.
PATIENCE = 30
BAN_S = 60.0


@dataclass
class Window:
    """A budget of an interval."""

    interval: str
    length_s: int
    most: int
    used: int = 0
    number: int = -1

    @property
    def unit(self) -> str:
        """What its length is counted in."""
        return "MINUTE" if self.length_s % 60 == 0 else "SECOND"

    @property
    def units(self) -> int:
        """How many of them it is long."""
        return self.length_s // 60 if self.length_s % 60 == 0 else self.length_s

    def take(self, amount: int, now_s: float) -> bool:
        """Use some of it; False where it was used up already."""
        number = int(now_s) // self.length_s
        if number != self.number:
            self.number, self.used = number, 0
        self.used += amount
        return self.used <= self.most

    def seconds_left(self, now_s: float) -> int:
        """Whole seconds until the next window begins."""
        return self.length_s - int(now_s) % self.length_s


@dataclass
class Limits:
    """The budgets of one client.

    Attributes
    ----------
    wall_s : callable
        Seconds since 1970.
    weight, orders : Window, tuple of Window
    """

    wall_s: Callable[[], float]
    weight: Window = field(default_factory=lambda: Window("1M", 60, 2400))
    orders: tuple[Window, ...] = field(
        default_factory=lambda: (Window("10S", 10, 300), Window("1M", 60, 1200))
    )
    _refused: int = 0
    _refused_in: int = -1
    _banned_until_s: float = 0.0

    def take(self, weight: int, orders: int) -> None:
        """Charge a request.

        Raises
        ------
        Denied
            429 with -1003 or -1015, or 418, with the seconds to wait.
        """
        now = self.wall_s()
        if now < self._banned_until_s:
            raise self.banned(self._banned_until_s - now)
        if not self.weight.take(weight, now):
            self._count_refusal(now)
            raise self.too_many()
        for window in self.orders:
            if orders and not window.take(orders, now):
                raise Denied(
                    -1015,
                    f"Too many new orders; current limit is {window.most} orders per "
                    f"{window.interval}.",
                    status=429,
                    retry_after_s=window.seconds_left(now),
                )

    def too_many(self) -> Denied:
        """The refusal with 429."""
        return Denied(
            -1003,
            f"Too many requests; current limit of IP is {self.weight.most} requests per minute.",
            status=429,
            retry_after_s=self.weight.seconds_left(self.wall_s()),
        )

    def banned(self, seconds: float = BAN_S) -> Denied:
        """The refusal with 418."""
        until_ms = round((self.wall_s() + seconds) * 1000)
        return Denied(
            -1003,
            f"Way too many requests; IP banned until {until_ms}. "
            "Please use the websocket for live updates to avoid bans.",
            status=418,
            retry_after_s=max(1, round(seconds)),
        )

    def _count_refusal(self, now: float) -> None:
        if self._refused_in != self.weight.number:
            self._refused, self._refused_in = 0, self.weight.number
        self._refused += 1
        if self._refused > PATIENCE:
            self._banned_until_s = now + BAN_S

    def headers(self, *, orders: bool) -> dict[str, str]:
        """What is used of the budgets, as every reply says."""
        used = {"X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        if orders:
            used |= {f"X-MBX-ORDER-COUNT-{w.interval}": str(w.used) for w in self.orders}
        return used

    def rules(self) -> list[dict[str, Any]]:
        """The budgets, as exchangeInfo says."""
        told = self.counts(orders=True)
        return [{name: row[name] for name in row if name != "count"} for row in told]

    def counts(self, *, orders: bool) -> list[dict[str, Any]]:
        """The same, as every reply of the WebSocket API says."""
        windows = [("REQUEST_WEIGHT", self.weight)]
        windows += [("ORDERS", window) for window in self.orders if orders]
        return [
            {
                "rateLimitType": kind,
                "interval": window.unit,
                "intervalNum": window.units,
                "limit": window.most,
                "count": window.used,
            }
            for kind, window in windows
        ]
