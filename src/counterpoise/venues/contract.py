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
from counterpoise.units import BPS, Collateral, from_ms

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tier:
    """Maintenance-margin bracket: ``rate · notional - amount`` for notionals up to ``cap``.

    Attributes
    ----------
    cap : float
        Largest notional of the bracket: USD of a linear contract, ETH of an inverse one.
    rate : float
        Maintenance margin as a fraction of the notional.
    max_leverage : float
        Largest notional ÷ initial margin, a pure number.
    amount : float
        What is taken off so that maintenance is continuous across brackets; unit of ``cap``.
    """

    cap: float
    rate: float
    max_leverage: float
    amount: float


@dataclass(frozen=True)
class FundingRule:
    """How the venue turns the average premium of an interval into a funding rate.

    With a damper, ``rate = (P + clamp(interest - P, ±damper)) / (8 / interval_h)``; without one
    the default rate is added, ``rate = (P + interest) / (8 / interval_h)``. Either is then capped
    at ``±cap``. P is the premium averaged over the interval the way the venue does (SCIENCE §4).

    Attributes
    ----------
    interval_h : int
        Hours between settlements.
    interest_8h : float
        Default rate, fraction per 8 h.
    damper_8h : float or None
        Largest distance the default rate pulls the premium, fraction per 8 h; None where the
        default rate is added to the premium whatever that is.
    cap : float
        Largest absolute rate, fraction per interval.
    """

    interval_h: int
    interest_8h: float
    damper_8h: float | None
    cap: float

    def rate(self, premium: Floats | float) -> Floats | float:
        """Funding for an average premium.

        Parameters
        ----------
        premium : float or float64 (N,)
            Average premium of the interval, fraction of the index.

        Returns
        -------
        float or float64 (N,)
            Fraction per interval; positive pays the short.

        Examples
        --------
        >>> rule = FundingRule(8, 0.0001, 0.0005, 0.003)
        >>> float(rule.rate(0.0002)), float(rule.rate(0.001))
        (0.0001, 0.0005)
        >>> float(FundingRule(1, 0.0001, None, 0.006).rate(0.0))
        1.25e-05
        """
        rate_8h: Floats | float
        if self.damper_8h is None:
            rate_8h = premium + self.interest_8h
        else:
            # The interest rate drawn to within a damper of the premium: the same number as
            # P + clamp(interest - P), but exactly the interest rate while the damper holds.
            lowest, highest = premium - self.damper_8h, premium + self.damper_8h
            rate_8h = np.clip(self.interest_8h, lowest, highest)
        return np.clip(rate_8h / (8 / self.interval_h), -self.cap, self.cap)


@dataclass(frozen=True)
class Contract:
    """Rules of one perpetual on one venue from ``effective`` on.

    Attributes
    ----------
    venue : str
        Name under which the venue is registered.
    symbol : str
        The venue's own spelling.
    effective : date
        First UTC day of these rules.
    source : str
        Where they were read, and what of them was assumed.
    collateral : tuple of str
        What the venue takes as margin: ``usdt``, ``eth`` beside it, or ``coin-margined``.
    linear : bool
        Linear contracts are sized in ETH and settle in USD; inverse ones settle in ETH.
    contract_usd : float
        USD per contract of an inverse one; 0 of a linear one.
    tick_usd : float
        Price step, USD.
    step_eth : float
        Size step, ETH; 0 of an inverse contract, which is sized in whole contracts.
    min_notional_usd : float
        Smallest order, USD.
    maker_fee, taker_fee : float
        Fractions of the notional.
    liquidation_fee : float
        Fraction of the notional that a liquidation costs at most.
    funding : FundingRule
    tiers : tuple of Tier
        By rising ``cap``.
    """

    venue: str
    symbol: str
    effective: date
    source: str
    collateral: tuple[Collateral, ...]
    linear: bool
    contract_usd: float
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
    """Contracts of V venues as arrays for compiled loops; tiers (V, K) padded with the last.

    ``highest_rate`` (V,) bounds the maintenance margin of any notional from above.
    """

    maker_fee: Floats
    taker_fee: Floats
    step_eth: Floats
    contract_usd: Floats
    min_notional_usd: Floats
    liquidation_fee: Floats
    highest_rate: Floats
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
        column("contract_usd"),
        column("min_notional_usd"),
        column("liquidation_fee"),
        tiers("rate").max(axis=1),
        tiers("cap"),
        tiers("rate"),
        tiers("amount"),
    )


def bps(value: float) -> float:
    """Fraction of so many basis points."""
    return value * BPS
