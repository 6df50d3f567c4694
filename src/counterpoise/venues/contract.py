"""Dated contract rules of a venue: filters, tiers, fees, funding formula, collateral.

Rules are data with the day they took effect and where they were read, never constants in code.
Arrays for compiled loops are made by :func:`stack`.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.registry import Registry
from counterpoise.units import BPS, from_ms

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tier:
    """Maintenance-margin bracket: ``rate · notional - amount`` for notionals up to ``cap``."""

    cap: float
    rate: float
    max_leverage: float
    amount: float


@dataclass(frozen=True)
class FundingRule:
    """How the venue turns the average premium of an interval into a funding rate.

    ``rate = (P + clamp(interest - P, ±damper)) / (8 / interval_h)``, capped at ``±cap``, where P
    is the premium averaged over the interval with linearly growing weights and ``interest`` is
    the default rate per 8 h.
    """

    interval_h: int
    interest_8h: float
    damper_8h: float
    cap: float

    def rate(self, premium: Floats | float) -> Floats | float:
        """Funding per interval for an average premium (fraction).

        Examples
        --------
        >>> rule = FundingRule(8, 0.0001, 0.0005, 0.003)
        >>> float(rule.rate(0.0002)), round(float(rule.rate(0.001)), 6)
        (0.0001, 0.0005)
        """
        damped = premium + np.clip(self.interest_8h - premium, -self.damper_8h, self.damper_8h)
        return np.clip(damped / (8 / self.interval_h), -self.cap, self.cap)


@dataclass(frozen=True)
class Contract:
    """Rules of one perpetual on one venue from ``effective`` on.

    ``linear`` contracts settle in USD; inverse ones in ETH, and their tiers are in ETH.
    """

    venue: str
    symbol: str
    effective: date
    source: str
    linear: bool
    tick_usd: float
    step_eth: float
    min_notional_usd: float
    maker_fee: float
    taker_fee: float
    liquidation_fee: float
    funding: FundingRule
    tiers: tuple[Tier, ...]


#: Contracts by venue, oldest first.
venues: Registry[tuple[Contract, ...]] = Registry("venue")


def contract_at(venue: str, ts_ms: int) -> Contract:
    """Rules in force at a moment; the oldest known ones before they are known.

    Parameters
    ----------
    venue : str
        A registered venue.
    ts_ms : int
        Moment, ms UTC.
    """
    versions = venues[venue]
    day = from_ms(ts_ms).date()
    past = [version for version in versions if version.effective <= day]
    return past[-1] if past else versions[0]


class VenueRules(NamedTuple):
    """Contracts of V venues as arrays for compiled loops; tiers (V, K) padded with the last."""

    maker_fee: Floats
    taker_fee: Floats
    step_eth: Floats
    min_notional_usd: Floats
    liquidation_fee: Floats
    tier_cap: Floats
    tier_rate: Floats
    tier_amount: Floats


def stack(contracts: list[Contract]) -> VenueRules:
    """Arrays of several contracts; the second axis of the tiers is as long as the longest."""
    depth = max(len(contract.tiers) for contract in contracts)

    def tiers(name: str) -> Floats:
        rows = [[getattr(tier, name) for tier in contract.tiers] for contract in contracts]
        return np.array([row + row[-1:] * (depth - len(row)) for row in rows], dtype=np.float64)

    def column(name: str) -> Floats:
        return np.array([getattr(contract, name) for contract in contracts], dtype=np.float64)

    return VenueRules(
        column("maker_fee"),
        column("taker_fee"),
        column("step_eth"),
        column("min_notional_usd"),
        column("liquidation_fee"),
        tiers("cap"),
        tiers("rate"),
        tiers("amount"),
    )


def bps(value: float) -> float:
    """Fraction of so many basis points."""
    return value * BPS
