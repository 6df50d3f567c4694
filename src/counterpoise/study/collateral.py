"""The same intents on USDT, on ETH with a haircut and on the coin-margined contract, side by side.

What each kind costs, how much capital it ties up and whether the short survives. Forecasts and
intents are those of the study; only the account differs. No inference is made here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.moment import Reason
from counterpoise.errors import FixConfig
from counterpoise.hedging import RECOMMENDED, Situation, policies
from counterpoise.profiling import stage
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.prices import prices_of
from counterpoise.simulation.simulate import simulate, to_days
from counterpoise.study.metrics import summarise
from counterpoise.units import Collateral

Floats = NDArray[np.float64]

KINDS: tuple[Collateral, ...] = ("usdt", "eth", "coin-margined")
#: Policies whose capital is compared: the recommended one, and the ends of what a holder does.
COMPARED = (RECOMMENDED, "static_eth", "full")


@dataclass(frozen=True)
class OnCollateral:
    """One policy on one kind of collateral.

    Attributes
    ----------
    policy, collateral : str
    mean, vol, max_drawdown : float
        Of the daily P&L, as everywhere: fractions of the exposure's value.
    funding, cost, capital : float
        Per year, as everywhere: funding received, trading cost, cost of capital.
    tied_up_mean, tied_up_peak : float
        USDT paid in, owed to the venue and ETH posted, as a fraction of the exposure's value.
    usdt_peak : float
        Most USDT that was paid in or owed, USD.
    posted_peak : float
        Largest share of the ETH held that was posted.
    margin_low : float
        Smallest margin equity ÷ notional at any bar's worst mark; NaN without a short.
    unfunded_h : int
        Hours in which there was nothing left to post though more was needed.
    liquidations : int
    first_liquidation_ms : int or None
        Close of the bar in which the first one happened.
    """

    policy: str
    collateral: Collateral
    mean: float
    vol: float
    max_drawdown: float
    funding: float
    cost: float
    capital: float
    tied_up_mean: float
    tied_up_peak: float
    usdt_peak: float
    posted_peak: float
    margin_low: float
    unfunded_h: int
    liquidations: int
    first_liquidation_ms: int | None


def _row(
    policy: str, where: Arena, collateral: Collateral, path: SimulatedPath, bare: Floats
) -> OnCollateral:
    metrics = summarise(to_days(path), bare)
    perp = prices_of(where.market, where.account.inverse).perp_last
    cash = path.collateral_usd - where.account.coin_value * path.posted_eth * np.nan_to_num(perp)
    usdt = path.paid_in_usd + np.maximum(-cash, 0.0).sum(axis=1)
    posted = path.posted_eth.sum(axis=1)
    tied_up = usdt / (path.exposure_eth * path.spot) + posted / path.exposure_eth
    taken_over = np.flatnonzero(path.pnl[:, COMPONENTS.index("liquidation")])
    return OnCollateral(
        policy=policy,
        collateral=collateral,
        mean=metrics["mean"],
        vol=metrics["vol"],
        max_drawdown=metrics["max_drawdown"],
        funding=metrics["funding"],
        cost=metrics["cost"],
        capital=metrics["capital"],
        tied_up_mean=float(np.nanmean(tied_up)),
        tied_up_peak=float(np.nanmax(tied_up)),
        usdt_peak=float(usdt.max()),
        posted_peak=float((posted / path.exposure_eth).max()),
        margin_low=float(np.fmin.reduce(path.margin_low)),
        unfunded_h=int(np.count_nonzero(path.reasons & int(Reason.UNFUNDED))),
        liquidations=path.liquidations,
        first_liquidation_ms=int(path.ts_ms[taken_over[0]]) if len(taken_over) else None,
    )


@stage("collateral side by side")
def side_by_side(
    situation: Situation, where: Arena, bare: Floats
) -> tuple[tuple[OnCollateral, ...], tuple[str, ...]]:
    """Simulate :data:`COMPARED` on every kind of collateral that the venues take.

    Parameters
    ----------
    situation : Situation
    where : Arena
        Of the study; its span is simulated again on each kind.
    bare : float64 (D,)
        Daily returns without a hedge.

    Returns
    -------
    rows : tuple of OnCollateral
        Policy by policy.
    refused : tuple of str
        Why a kind is not among them.
    """
    settings = situation.settings
    intents = {name: policies[name].build(situation) for name in COMPARED}
    rows: list[OnCollateral] = []
    refused: list[str] = []
    for kind in KINDS:
        capital = settings.capital.model_copy(update={"collateral": kind})
        try:
            there = arena(
                situation.timeline,
                settings.model_copy(update={"capital": capital}),
                where.first,
                where.last,
            )
        except FixConfig as no:
            refused.append(f"{kind}: not compared, {no}")
            continue
        paths = simulate(there, intents.values())
        rows += [
            _row(name, there, kind, path, bare) for name, path in zip(intents, paths, strict=True)
        ]
    rows.sort(key=lambda row: COMPARED.index(row.policy))
    return tuple(rows), tuple(refused)
