"""What a policy is, what it may read, and the registry of all of them.

A policy maps a situation to an :class:`Intent`; it has no memory and places no order. Adding one
is one function with :func:`policy` on it, and its test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.hedging.intent import Intent
from counterpoise.market.timeline import Timeline
from counterpoise.registry import Registry
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]
Family = Literal["bound", "manual", "estimate", "formula", "model"]


@dataclass(frozen=True)
class Situation:
    """Everything a policy may read; row t holds only what was known at t.

    Attributes
    ----------
    timeline : Timeline
    forecasts : Forecasts
    settings : Settings
    one_way_cost : float
        Expected cost of trading one unit of notional, fraction.
    """

    timeline: Timeline
    forecasts: Forecasts
    settings: Settings
    one_way_cost: float

    @property
    def ticks(self) -> int:
        """Length of the clock."""
        return len(self.timeline.ts_ms)

    def daily(self, values: Floats) -> Floats:
        """First known value of each UTC day, kept to its end; shape (T,)."""
        return first_of_period(values, self.timeline.ts_ms // DAY_MS)

    def around(
        self, target: Floats, half_width: Floats | float, *, to_target: bool = False
    ) -> Intent:
        """Band around a target under the configured cap."""
        return Intent.around(
            target,
            half_width,
            venues=len(self.timeline.venues),
            cap=self.settings.hedge.max_ratio,
            to_target=to_target,
        )


@dataclass(frozen=True)
class Policy:
    """A named way to choose the hedge.

    Attributes
    ----------
    name, label : str
        Key, and the same in a few plain words.
    family : str
        ``bound`` (end points), ``manual`` (a person can follow it), ``estimate`` (a statistic sets
        the size), ``formula`` (the document's) or ``model`` (needs a trained model).
    build : callable
        Situation to Intent.
    """

    name: str
    label: str
    family: Family
    build: Callable[[Situation], Intent]


def first_of_period(values: Floats, period: NDArray[np.int64]) -> Floats:
    """First known value of each period, from then to the period's end; NaN before it.

    Parameters
    ----------
    values : float64 (T,)
    period : int64 (T,)
        Non-decreasing number of the period each tick belongs to.

    Examples
    --------
    >>> first_of_period(np.array([np.nan, 2.0, 3.0, 4.0]), np.array([0, 0, 0, 1]))
    array([nan,  2.,  2.,  4.])
    """
    known = np.isfinite(values)
    begins = np.flatnonzero(np.diff(period, prepend=period[:1] - 1))
    group = np.searchsorted(begins, np.arange(len(values)), side="right") - 1
    rows = np.where(known, np.arange(len(values)), len(values))
    first = np.minimum.reduceat(rows, begins)[group]
    held = np.arange(len(values)) >= first
    return np.where(held, values[np.where(held, first, 0)], np.nan)


#: Every policy, in the order of the report.
policies: Registry[Policy] = Registry("policy")


def policy(
    name: str, label: str, family: Family
) -> Callable[[Callable[[Situation], Intent]], Callable[[Situation], Intent]]:
    """Register the decorated function as a policy."""

    def decorate(build: Callable[[Situation], Intent]) -> Callable[[Situation], Intent]:
        policies.add(name, Policy(name, label, family, build))
        return build

    return decorate
