"""Dated rules as columns: the venue's funding rule and the churn rule of the beacon chain.

A rule holds from its moment on and says nothing before it was in force. Values of the market are
no business of this room.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from counterpoise.units import to_ms
from counterpoise.venues import Contract, venues

Floats = NDArray[np.float64]
Millis = NDArray[np.int64]


@dataclass(frozen=True)
class ChurnRule:
    """How much stake an epoch lets in and out.

    Attributes
    ----------
    effective : datetime
    source : str
    step_eth : float
        The churn is a whole number of these: 32 ETH while it counts validators.
    entry_cap_eth, exit_cap_eth : float
        Most ETH per epoch; infinite where there is no cap.
    """

    effective: datetime
    source: str
    step_eth: float
    entry_cap_eth: float
    exit_cap_eth: float


#: Oldest first.
CHURN_RULES = (
    ChurnRule(
        datetime(2020, 12, 1, 12, 0, 23, tzinfo=UTC),
        "phase 0: max(4, active validators // 65,536) per epoch",
        32.0,
        math.inf,
        math.inf,
    ),
    ChurnRule(
        datetime(2024, 3, 13, 13, 55, 35, tzinfo=UTC),
        "EIP-7514 (Deneb, epoch 269,568): at most 8 validators activated per epoch",
        32.0,
        8 * 32.0,
        math.inf,
    ),
    ChurnRule(
        datetime(2025, 5, 7, 10, 5, 11, tzinfo=UTC),
        "EIP-7251 (Electra, epoch 364,032): counted in ETH, at most 256 ETH each way per epoch",
        1.0,
        256.0,
        256.0,
    ),
)

_FUNDING: dict[str, Callable[[Contract], float]] = {
    "interest_8h": lambda contract: contract.funding.interest_8h,
    "damper_8h": lambda contract: (
        math.nan if contract.funding.damper_8h is None else contract.funding.damper_8h
    ),
    "cap": lambda contract: contract.funding.cap,
}
_CHURN: dict[str, Callable[[ChurnRule], float]] = {
    "step_eth": lambda rule: rule.step_eth,
    "entry_cap_eth": lambda rule: rule.entry_cap_eth,
    "exit_cap_eth": lambda rule: rule.exit_cap_eth,
}
RULE_COLUMNS = (*(f"rule.{name}" for name in _FUNDING), *(f"churn.{name}" for name in _CHURN))


def _stairs(ts_ms: Millis, first: float, steps: list[tuple[int, float]]) -> Floats:
    """Value in force at each tick; ``first`` before any step (from ms on, value)."""
    out = np.full(len(ts_ms), first)
    for from_ms, value in steps:
        out[np.searchsorted(ts_ms, from_ms) :] = value
    return out


def rule_column(name: str, venue: str, ts_ms: Millis) -> Floats:
    """One parameter of a dated rule at each tick.

    Parameters
    ----------
    name : str
        One of :data:`RULE_COLUMNS`.
    venue : str
        Whose funding rule; the oldest known one counts before it was in force, as in
        ``venues.contract_at``. NaN for a venue that is not registered, and for the damper of one
        without.
    ts_ms : int64 (T,)
        Ascending.

    Returns
    -------
    float64 (T,)
        Of a churn rule NaN before the beacon chain began.
    """
    group, _, part = name.partition(".")
    if group == "churn":
        pick = _CHURN[part]
        rules = [(to_ms(rule.effective), pick(rule)) for rule in CHURN_RULES]
        return _stairs(ts_ms, math.nan, rules)
    if venue not in list(venues):
        return np.full(len(ts_ms), np.nan)
    value = _FUNDING[part]
    contracts = venues[venue]
    dated = [
        (
            to_ms(datetime(c.effective.year, c.effective.month, c.effective.day, tzinfo=UTC)),
            value(c),
        )
        for c in contracts
    ]
    return _stairs(ts_ms, value(contracts[0]), dated)
