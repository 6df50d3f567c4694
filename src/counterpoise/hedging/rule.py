"""A person's own hedge rule: what to hold, when to rebalance, and what the market changes about it.

The rule is data; :meth:`Rule.intent` says what it means. The keys of its file are read by
``rule_file``, and what it looks at is measured by ``market_state``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging import market_state
from counterpoise.hedging.intent import Intent
from counterpoise.hedging.manual import usd_notional_ratio
from counterpoise.hedging.policy import Situation, first_of_period
from counterpoise.market.timeline import Timeline
from counterpoise.units import DAY_MS, HOUR_MS

Floats = NDArray[np.float64]

Unit = Literal["eth", "usd"]
Every = Literal["hourly", "daily", "weekly", "monthly"]
Destination = Literal["target", "edge"]

#: In the order Python and the calendar of the product count them.
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Quantity:
    """Something of the market a condition may look at.

    Attributes
    ----------
    name : str
        Key of the condition.
    unit : str
        Ending of its threshold keys (``above_pct``).
    words : str
        Its unit in words.
    low, high : float
        Range a threshold may have.
    shortest_h : int
        Shortest window, hours.
    measure : callable
        Timeline and window in hours to values (T,) in ``unit``.
    """

    name: str
    unit: str
    words: str
    low: float
    high: float
    shortest_h: int
    # Not part of the text of a rule, which has to be the same in every process.
    measure: Callable[[Timeline, int], Floats] = field(repr=False)


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity(
            *("funding", "bps_per_8h", "basis points per 8 h", -500.0, 500.0, 8),
            market_state.funding_bps_per_8h,
        ),
        Quantity("trend", "pct", "percent", -100.0, 10_000.0, 1, market_state.trend_pct),
        Quantity(
            *("volatility", "pct_per_year", "percent a year", 0.0, 2_000.0, 6),
            market_state.volatility_pct_per_year,
        ),
        Quantity("drawdown", "pct", "percent", 0.0, 100.0, 2, market_state.drawdown_pct),
    )
}


@dataclass(frozen=True)
class Condition:
    """A quantity over a trailing window, strictly above and strictly below thresholds."""

    quantity: Quantity
    hours: int
    above: float
    below: float

    def holds(self, timeline: Timeline) -> Floats:
        """1 where it holds, 0 where not, NaN where the quantity is unknown; shape (T,)."""
        value = self.quantity.measure(timeline, self.hours)
        inside = (value > self.above) & (value < self.below)
        return np.where(np.isfinite(value), inside.astype(np.float64), np.nan)

    def implies(self, other: "Condition") -> bool:
        """Whether ``other`` holds whenever this one does."""
        return (
            (self.quantity.name, self.hours) == (other.quantity.name, other.hours)
            and self.above >= other.above
            and self.below <= other.below
        )

    def __str__(self) -> str:
        window = f"{self.hours} h" if self.hours % 24 else f"{self.hours // 24} d"
        sides = [f"> {self.above:g}"] if np.isfinite(self.above) else []
        sides += [f"< {self.below:g}"] if np.isfinite(self.below) else []
        return f"{self.quantity.name} {window} {' and '.join(sides)} {self.quantity.words}"


@dataclass(frozen=True)
class Case:
    """What to hold where every condition holds."""

    hold: float
    conditions: tuple[Condition, ...]

    def holds(self, timeline: Timeline) -> Floats:
        """1 where all conditions hold, 0 where one does not, else NaN; shape (T,).

        One condition that is known not to hold settles it; otherwise an unknown one leaves it open.
        """
        each = np.stack([condition.holds(timeline) for condition in self.conditions])
        return np.where((each == 0.0).any(axis=0), 0.0, each.min(axis=0))

    def implies(self, other: "Case") -> bool:
        """Whether ``other`` holds whenever this one does, as far as windows can tell."""
        return all(
            any(own.implies(theirs) for own in self.conditions) for theirs in other.conditions
        )


@dataclass(frozen=True)
class Rebalance:
    """When the target is set anew, and how far from it the hedge may drift.

    Attributes
    ----------
    every : str
        ``hourly``, ``daily``, ``weekly`` or ``monthly``.
    at_hour_utc : int
    weekday : int
        Of a weekly rule, 0 = Monday.
    day_of_month : int
        Of a monthly rule, 1 to 28.
    band : float
        Half-width of the band around the target, S/L.
    to : str
        From outside the band, to the ``target`` or to the nearest ``edge``.
    """

    every: Every = "hourly"
    at_hour_utc: int = 0
    weekday: int = 0
    day_of_month: int = 1
    band: float = 0.0
    to: Destination = "target"

    def period(self, ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the period each tick belongs to; it begins when the target is set; (T,)."""
        if self.every == "hourly":
            return ts_ms // HOUR_MS
        shifted = ts_ms - self.at_hour_utc * HOUR_MS
        if self.every == "daily":
            return shifted // DAY_MS
        if self.every == "weekly":
            # 1970-01-01 was a Thursday: weeks counted from the Monday before it.
            return (shifted // DAY_MS + 3 - self.weekday) // 7
        first = shifted - (self.day_of_month - 1) * DAY_MS
        return np.asarray(first.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64))


@dataclass(frozen=True)
class Rule:
    """A hedge rule of plain keys.

    Attributes
    ----------
    name : str
    hold : float
        Short ÷ exposure where no case holds.
    hold_in : str
        ``eth``: a constant quantity. ``usd``: that ratio at the first price of the month, as a
        notional in USD that stays fixed to the month's end.
    cases : tuple of Case
        The first that holds says what to hold instead.
    rebalance : Rebalance
    """

    name: str
    hold: float
    hold_in: Unit = "eth"
    cases: tuple[Case, ...] = ()
    rebalance: Rebalance = Rebalance()

    def held(self, timeline: Timeline) -> Floats:
        """What to hold at each tick, before the calendar; shape (T,).

        NaN where a case that could change it is unknown: the guard then holds the last intent, and
        after ``safety.signal_grace_h`` the static hedge is the floor.
        """
        held = np.full(len(timeline.ts_ms), self.hold)
        for case in reversed(self.cases):
            holds = case.holds(timeline)
            held = np.where(holds == 1.0, case.hold, np.where(holds == 0.0, held, np.nan))
        return held

    def intent(self, situation: Situation) -> Intent:
        """The band of the rule over a situation's history."""
        ratio = self.held(situation.timeline)
        if self.hold_in == "usd":
            ratio = usd_notional_ratio(situation, ratio)
        period = self.rebalance.period(situation.timeline.ts_ms)
        return situation.around(
            first_of_period(ratio, period),
            self.rebalance.band,
            to_target=self.rebalance.to == "target",
        )

    def __str__(self) -> str:
        said = f"{self.hold:g} in {'constant ETH' if self.hold_in == 'eth' else 'USD'}"
        named = dict.fromkeys(one.quantity.name for case in self.cases for one in case.conditions)
        if named:
            said += f", changed by {', '.join(named)}"
        when: str = self.rebalance.every
        if self.rebalance.band:
            when += f", off by {self.rebalance.band:g}, to the {self.rebalance.to}"
        return f"{said}; {when}"
