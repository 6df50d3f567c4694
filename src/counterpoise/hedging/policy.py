"""What a policy is, what it may read, and the registry of all of them.

A policy maps a situation to an :class:`Intent`; it has no memory and places no order. Adding one
is one function with :func:`policy` on it, and its test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import CostSettings, Settings
from counterpoise.hedging.intent import Intent
from counterpoise.market.timeline import Timeline
from counterpoise.registry import Registry
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import BPS, DAY_MS
from counterpoise.venues import Contract

Floats = NDArray[np.float64]
Family = Literal["bound", "manual", "formula", "model"]


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

    @property
    def midnight(self) -> NDArray[np.bool_]:
        """True at 00:00 UTC; shape (T,)."""
        return np.asarray(self.timeline.ts_ms % DAY_MS == 0)

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
        ``bound`` (end points), ``manual`` (a person can follow it), ``formula`` (the document's)
        or ``model`` (needs a trained model).
    build : callable
        Situation to Intent.
    """

    name: str
    label: str
    family: Family
    build: Callable[[Situation], Intent]


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


def one_way_cost(costs: CostSettings, contract: Contract) -> float:
    """Expected fee and half spread of one unit of notional, fraction; impact not included."""
    share = costs.taker_share
    fee = share * contract.taker_fee + (1 - share) * contract.maker_fee
    return fee + share * costs.half_spread_bps * BPS
