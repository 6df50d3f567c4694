"""What a policy is, what it may read, and the registry of all of them.

A policy maps a situation to an :class:`Intent`; it has no memory and places no order. Adding one
is one function with :func:`policy` on it, and its test.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.hedging.intent import Intent
from counterpoise.market.timeline import Timeline
from counterpoise.registry import Registry
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]
Family = Literal["bound", "manual", "estimate", "formula", "model", "own", "actual"]


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

    def until(self, ticks: int) -> Self:
        """The same situation as it was known after its first ``ticks`` ticks, ``1 <= ticks <= T``.

        Arrays are cut and read-only; suspect values and refits of later ticks are left out, and so
        are the notes, which speak of the whole history.
        """
        last_ms = int(self.timeline.ts_ms[ticks - 1])
        timeline = replace(
            _first_rows(self.timeline, self.ticks, ticks),
            suspects=tuple(one for one in self.timeline.suspects if one.ts_ms <= last_ms),
            notes=(),
        )
        forecasts = replace(
            _first_rows(self.forecasts, self.ticks, ticks),
            folds=tuple(one for one in self.forecasts.folds if one.first_ms <= last_ms),
        )
        return replace(self, timeline=timeline, forecasts=forecasts)

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
        the size), ``formula`` (the document's), ``model`` (needs a trained model), ``own`` (the
        user's: it enters one study and is never registered) or ``actual`` (what a user did).
    build : callable
        Situation to Intent.
    source : str
        Text of the user's file for an ``own`` policy, so that a study says what it compared; empty
        for a registered one.
    meaning : str
        What tells two versions of an ``own`` policy apart: comments and layout do not.
    place : str
        File and line of an ``own`` policy, for messages.
    """

    name: str
    label: str
    family: Family
    build: Callable[[Situation], Intent]
    source: str = ""
    meaning: str = ""
    place: str = ""


def _first_rows[T](held: T, ticks: int, kept: int) -> T:
    """Frozen dataclass with arrays over ``ticks`` cut to their first ``kept`` rows, read-only."""

    def cut(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape[:1] == (ticks,):
            seen = value[:kept]
            seen.flags.writeable = False
            return seen
        if isinstance(value, dict):
            return {name: cut(inner) for name, inner in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: cut(getattr(value, f.name)) for f in fields(value)})
        return value

    whole: T = cut(held)
    return whole


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


def own_policy(name: str, label: str) -> Callable[[Callable[[Situation], Intent]], Policy]:
    """Make the decorated function a policy of the user's own file, without registering it.

    Parameters
    ----------
    name : str
        Key in the study: letters, digits, ``_`` and ``-``; not that of a registered policy.
    label : str
        The same in a few plain words.

    Examples
    --------
    >>> @own_policy("half", "half of it, always")
    ... def half(situation: Situation) -> Intent:
    ...     return situation.around(np.full(situation.ticks, 0.5), 0.0)
    >>> half.name, half.family, "half" in list(policies)
    ('half', 'own', False)
    """

    def decorate(build: Callable[[Situation], Intent]) -> Policy:
        return Policy(name, label, "own", build)

    return decorate
