"""The exposure at one moment: each holding's delta, value, loan and distance to its liquidation.

It reads the same path as a study, at one tick. What to do about it is advice, not said here.
"""

import math
from dataclasses import dataclass

import numpy as np

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.path import (
    HoldingPath,
    OwnLiquidation,
    past_its_liquidation,
    unchecked_path,
)
from counterpoise.market.timeline import Timeline
from counterpoise.units import stamp


@dataclass(frozen=True)
class HoldingNow:
    """One holding at a moment.

    Attributes
    ----------
    name, asset : str
    amount : float
        Tokens, as stated, or what a liquidation has left of them.
    eth_per_token : float
        ETH each of them stands for now, growth included.
    delta_eth : float
        Collateral minus debt in ETH.
    value_usd : float
        Collateral minus debt.
    debt_usd, debt_eth : float
        Owed now, interest included.
    liquidation_price_usd : float
        ETH price at which the lender liquidates a stablecoin debt; NaN without one.
    liquidation_ratio : float
        Share of the present rate at which the lender liquidates a debt in ETH; NaN without one.
    distance : float
        How far price or rate can fall until then, a fraction; NaN without a loan.
    yield_per_year, interest_per_year : float
    liquidation : OwnLiquidation or None
        Where the lender took over since the loan was stated.
    """

    name: str
    asset: str
    amount: float
    eth_per_token: float
    delta_eth: float
    value_usd: float
    debt_usd: float
    debt_eth: float
    liquidation_price_usd: float
    liquidation_ratio: float
    distance: float
    yield_per_year: float
    interest_per_year: float
    liquidation: OwnLiquidation | None


@dataclass(frozen=True)
class ExposureNow:
    """What is being hedged at a moment.

    Attributes
    ----------
    as_of_ms : int
        Tick it is taken at.
    price_usd : float
        Spot close of that tick.
    exposure_eth : float
        Sum of the deltas and the flows; positive.
    holdings : tuple of HoldingNow
    flow_eth, flow_count : float and int
        Sum and number of the flows up to the tick.
    later_flow_eth, later_flow_count : float and int
        Of the flows after it, which do not count.
    notes, warnings : tuple of str
        What was assumed; what is wrong with a loan.
    """

    as_of_ms: int
    price_usd: float
    exposure_eth: float
    holdings: tuple[HoldingNow, ...]
    flow_eth: float
    flow_count: int
    later_flow_eth: float
    later_flow_count: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def exposure_now(settings: Settings, timeline: Timeline, tick: int | None = None) -> ExposureNow:
    """What is being hedged at a tick, by default the last one with a spot price.

    A loan with ``as_of`` is watched from there to the tick, one without is stated at the tick.

    Raises
    ------
    FixConfig
        An exposure that is not positive, or a missing file.
    RejectData
        A bad row in a file of flows or rates.
    NotEnoughData
        No spot price, or a rate that is not known yet.
    """
    priced = np.flatnonzero(np.isfinite(timeline.spot.close))
    if tick is None:
        if not len(priced):
            raise NotEnoughData("no hour has a spot price. Next: counterpoise data check")
        tick = int(priced[-1])
    price = float(timeline.spot.close[tick])
    path = unchecked_path(settings, timeline, tick, tick + 1)
    when, exposure = stamp(int(timeline.ts_ms[tick])), float(path.exposure_eth[tick])
    for one in path.holdings:
        if math.isnan(one.delta_eth[tick]):
            raise NotEnoughData(
                f"the rate of {one.name} ({one.settings.rate_file}) is not known at {when}, the "
                "last hour with prices. Next: add earlier rates, or import newer prices."
            )
    if not exposure > 0:
        raise FixConfig(
            "exposure",
            f"{exposure:,.6g} ETH at {when}",
            "more than 0 ETH: there is nothing to hedge",
            "mend the holdings and flows, or give --exposure",
        )
    warnings: list[str] = []
    for one in path.holdings:
        if sentence := past_its_liquidation(one, timeline):
            warnings.append(f"{sentence}: the lender can take its collateral")
        elif (taken := _until(one, tick)) is not None:
            warnings.append(
                f"by these prices {one.name} was liquidated at {stamp(taken.ts_ms)} at "
                f"{taken.price_usd:,.2f} USD, {taken.left_eth:,.6g} ETH of its collateral is left; "
                "if it was not, state what it is today and as_of when"
            )
    counted = path.flows.ts_ms <= timeline.ts_ms[tick]
    return ExposureNow(
        as_of_ms=int(timeline.ts_ms[tick]),
        price_usd=price,
        exposure_eth=exposure,
        holdings=tuple(_at(one, tick, price) for one in path.holdings),
        flow_eth=float(path.flow_eth[tick]),
        flow_count=int(counted.sum()),
        later_flow_eth=float(path.flows.eth[~counted].sum()),
        later_flow_count=int((~counted).sum()),
        notes=path.notes,
        warnings=tuple(warnings),
    )


def _until(one: HoldingPath, tick: int) -> OwnLiquidation | None:
    """Return the holding's liquidation, where it was known by the tick."""
    taken = one.liquidation
    return taken if taken is not None and taken.tick <= tick else None


def _at(one: HoldingPath, tick: int, price: float) -> HoldingNow:
    stated, taken = one.settings, _until(one, tick)
    rate, collateral = float(one.eth_per_token[tick]), float(one.collateral_eth[tick])
    limit, ratio = one.liquidation_price_usd[tick], one.liquidation_ratio[tick]
    return HoldingNow(
        name=one.name,
        asset=stated.asset,
        amount=stated.amount if taken is None else collateral / rate,
        eth_per_token=rate,
        delta_eth=float(one.delta_eth[tick]),
        value_usd=float(one.delta_eth[tick]) * price - float(one.debt_usd[tick]),
        debt_usd=float(one.debt_usd[tick]),
        debt_eth=float(one.debt_eth[tick]),
        liquidation_price_usd=float(limit),
        liquidation_ratio=float(ratio),
        distance=1.0 - (float(limit) / price if math.isnan(ratio) else float(ratio)),
        yield_per_year=stated.yield_per_year,
        interest_per_year=stated.interest_per_year,
        liquidation=taken,
    )
