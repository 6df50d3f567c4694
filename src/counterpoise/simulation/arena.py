"""Where a policy is tried: one market, one set of rules, one kind of collateral.

It prepares what the compiled loop reads and refuses what cannot be simulated honestly: too little
history to price an order, funding that is missing, a venue that does not take the collateral.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.limits import (
    alive_ratio,
    event_windows,
    funding_cost,
    guard_rules,
    leverage_path,
    limits_of,
    refuse_caps_below_floors,
)
from counterpoise.decision.moment import Limits
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.path import exposure_path
from counterpoise.market.liquidity import FEWEST_HOURS, liquidity
from counterpoise.market.timeline import Timeline
from counterpoise.risk.guard_rules import GuardRules
from counterpoise.simulation.arrays import AccountRules, CostRules, GuardArrays
from counterpoise.simulation.prices import MarketArrays
from counterpoise.units import BPS, stamp
from counterpoise.venues.contract import Contract, VenueRules, contract_at, stack, venues

Floats = NDArray[np.float64]

#: Share of hours without a known funding rate above which a simulation is refused.
FUNDING_UNKNOWN_LIMIT = 0.02


@dataclass(frozen=True)
class Arena:
    """One market, one set of rules: everything a simulation needs besides the intent.

    Attributes
    ----------
    first, last : int
        Ticks of the timeline that are simulated, ``last`` exclusive.
    ts_ms : int64 (T,)
        Their clock.
    market : MarketArrays
        By tick; ``market.bucket`` counts ticks.
    venue, limits, costs, account, guard, watch
        Arguments of the compiled loop.
    """

    first: int
    last: int
    ts_ms: NDArray[np.int64]
    market: MarketArrays
    venue: VenueRules
    limits: Limits
    costs: CostRules
    account: AccountRules
    guard: GuardRules
    watch: GuardArrays


def costs_of(settings: Settings) -> CostRules:
    """Cost model of the settings, as fractions."""
    return CostRules(
        taker_share=settings.costs.taker_share,
        half_spread=settings.costs.half_spread_bps * BPS,
        impact_coefficient=settings.costs.impact_coefficient,
        capital_cost_per_year=settings.capital.cost_per_year,
        eth_cost_per_year=settings.capital.eth_cost_per_year,
    )


def account_of(settings: Settings) -> AccountRules:
    """What margins the short, by ``capital.collateral``."""
    capital = settings.capital
    coin_value = {"usdt": 0.0, "eth": 1.0 - capital.eth_haircut, "coin-margined": 1.0}
    return AccountRules(
        coin_value=coin_value[capital.collateral],
        inverse=capital.collateral == "coin-margined",
        budget_usd=np.inf if capital.usdt_budget is None else capital.usdt_budget,
        transfer_ticks=capital.transfer_h,
        transfer_usd=capital.transfer_usd,
    )


def contracts_of(settings: Settings, ts_ms: int) -> list[Contract]:
    """Contracts of the configured venues at a moment, for the configured collateral.

    Raises
    ------
    FixConfig
        A venue that does not take the collateral.
    """
    collateral = settings.capital.collateral
    contracts = []
    for name in settings.venue.names:
        coin_margined = f"{name}-coin-m"
        inverse = collateral == "coin-margined" and coin_margined in venues
        contract = contract_at(coin_margined if inverse else name, ts_ms)
        if collateral not in contract.collateral:
            raise FixConfig(
                "capital.collateral",
                collateral,
                f"collateral that the venue takes: venue.names has {name}, which takes "
                f"{', '.join(contract.collateral)}",
                "change capital.collateral or venue.names",
            )
        contracts.append(contract)
    return contracts


def arena(timeline: Timeline, settings: Settings, first: int, last: int) -> Arena:
    """Prepare ticks ``[first, last)`` of a timeline for simulation.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
    first, last : int

    Raises
    ------
    FixConfig
        A venue that does not take the collateral, an exposure too small for any order or used up.
    NotEnoughData
        Too little history before ``first`` to price an order, or missing funding.
    """
    sigma_day, volume_day = liquidity(timeline)
    span = slice(first, last)
    _refuse_unknown(timeline, span, sigma_day, volume_day)
    exposure_eth = exposure_path(settings, timeline, first, last).exposure_eth
    held = exposure_eth[span]
    ts_ms = timeline.ts_ms[span]

    def cut(values: Floats) -> Floats:
        return np.ascontiguousarray(values[span])

    market = MarketArrays(
        spot=cut(timeline.spot.close),
        perp=cut(timeline.perp.close),
        mark_high=cut(timeline.mark_high),
        funding_settled=cut(timeline.funding_settled),
        funding_mark=cut(timeline.funding_mark),
        sigma_day=cut(sigma_day),
        volume_day_eth=cut(volume_day),
        exposure_eth=cut(exposure_eth),
        bucket=np.arange(len(ts_ms), dtype=np.int64),
    )
    contracts = contracts_of(settings, int(ts_ms[0]))
    full_usd = held * timeline.perp.close[span, 0]
    full_usd = full_usd[np.isfinite(full_usd)]
    if not len(full_usd):
        raise NotEnoughData(
            f"{timeline.venues[0]} has no perpetual price from {stamp(int(ts_ms[0]))} to "
            f"{stamp(int(ts_ms[-1]))}. Next: import its bars, or choose another span."
        )
    highest_usd = float(full_usd.max()) * settings.hedge.max_ratio
    refuse_caps_below_floors(settings, float(full_usd[0]))
    whole = watch_of(timeline, settings, contracts, exposure_eth)
    watch = GuardArrays(
        leverage=cut(whole.leverage),
        leverage_max=cut(whole.leverage_max),
        event_floor=cut(whole.event_floor),
        event_class=cut(whole.event_class),
        quiet=np.ascontiguousarray(whole.quiet[span]),
        is_open=np.ascontiguousarray(whole.is_open[span]),
        cost=cut(whole.cost),
    )
    largest_usd = float(held.max()) * float(np.nanmin(timeline.spot.close[span]))
    for contract in contracts:
        if largest_usd < contract.min_notional_usd:
            raise FixConfig(
                "exposure",
                float(held.max()),
                f"a full hedge of at least {contract.min_notional_usd:g} USD, the smallest order "
                f"of {contract.venue}",
                "hedge a larger exposure",
            )
    return Arena(
        first,
        last,
        ts_ms,
        market,
        stack(contracts),
        limits_of(settings)._replace(keep_alive=alive_ratio(settings, contracts, highest_usd)),
        costs_of(settings),
        account_of(settings),
        guard_rules(settings),
        watch,
    )


def watch_of(
    timeline: Timeline, settings: Settings, contracts: list[Contract], exposure_eth: Floats
) -> GuardArrays:
    """What margin and guard need to know at each tick of a timeline.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
    contracts : list of Contract
        One per venue.
    exposure_eth : float64 (T,)
    """
    windows = event_windows(timeline, settings)
    leverage, leverage_max = leverage_path(timeline, settings, contracts, exposure_eth)
    capped = np.minimum(leverage_max, windows.leverage_cap)
    return GuardArrays(
        leverage=leverage * (capped / leverage_max),
        leverage_max=capped,
        event_floor=windows.floor,
        event_class=windows.kind,
        quiet=windows.quiet,
        is_open=np.ones(len(windows.floor), dtype=np.bool_),
        cost=funding_cost(timeline, settings.risk.funding.horizon_h),
    )


def _refuse_unknown(timeline: Timeline, span: slice, sigma_day: Floats, volume_day: Floats) -> None:
    """Refuse a span whose orders cannot be priced or whose funding is not known."""
    first: int = span.start
    known = np.isfinite(sigma_day[span]) & np.all(volume_day[span] > 0, axis=1)
    if not known.all():
        tick = first + int(np.flatnonzero(~known)[0])
        raise NotEnoughData(
            f"at {stamp(int(timeline.ts_ms[tick]))} fewer than {FEWEST_HOURS} bars of spot and of "
            f"every perpetual ({', '.join(timeline.venues)}) were seen, so an order cannot be "
            "priced. Next: import earlier bars or start later."
        )
    for v, venue in enumerate(timeline.venues):
        unknown = np.isnan(timeline.funding_last[span, v])
        if unknown.mean() > FUNDING_UNKNOWN_LIMIT:
            tick = first + int(np.flatnonzero(unknown)[0])
            raise NotEnoughData(
                f"{venue} funding is missing for {int(unknown.sum()):,} of {len(unknown):,} hours, "
                f"first at {stamp(int(timeline.ts_ms[tick]))}; a hedge without funding is not what "
                "you would have had. Next: import the settlements or narrow --from .. --to."
            )
