"""Run intents over a timeline: arrays in, :class:`SimulatedPath` out, in parallel over intents.

This room prepares what the compiled loop reads and unpacks what it wrote. It decides nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import batched

import numba
import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit_parallel
from counterpoise.config import Settings
from counterpoise.decision.step import Limits, limits_of
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging.intent import Intent
from counterpoise.market.liquidity import FEWEST_HOURS, liquidity
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.kernel import (
    CostRules,
    IntentArrays,
    MarketArrays,
    Record,
    empty_record,
    run,
)
from counterpoise.units import BPS, DAY_MS, stamp
from counterpoise.venues.contract import Contract, VenueRules, contract_at, stack

Floats = NDArray[np.float64]

#: Share of hours without a known funding rate above which a simulation is refused.
FUNDING_UNKNOWN_LIMIT = 0.02
#: Intents simulated at once: enough for the cores, little enough for the memory.
BATCH = 32


@dataclass(frozen=True)
class Arena:
    """One market, one set of rules: everything a simulation needs besides the intent.

    Attributes
    ----------
    first, last : int
        Ticks of the timeline that are simulated, ``last`` exclusive.
    ts_ms : int64 (T,)
        Their clock.
    market, venue, limits, costs
        Arguments of the compiled loop; ``market.bucket`` counts ticks.
    """

    first: int
    last: int
    ts_ms: NDArray[np.int64]
    market: MarketArrays
    venue: VenueRules
    limits: Limits
    costs: CostRules


def costs_of(settings: Settings) -> CostRules:
    """Cost model of the settings, as fractions."""
    return CostRules(
        taker_share=settings.costs.taker_share,
        half_spread=settings.costs.half_spread_bps * BPS,
        impact_coefficient=settings.costs.impact_coefficient,
        capital_cost_per_year=settings.capital.cost_per_year,
    )


def contracts_of(settings: Settings, ts_ms: int) -> list[Contract]:
    """Contracts of the configured venues at a moment.

    Raises
    ------
    FixConfig
        A venue without linear rules.
    """
    contracts = [contract_at(name, ts_ms) for name in settings.venue.names]
    for contract in contracts:
        if not contract.linear:
            raise FixConfig(
                "venue.names", contract.venue, "venues with linear contracts", "use binance or dydx"
            )
    return contracts


def arena(timeline: Timeline, settings: Settings, first: int, last: int) -> Arena:
    """Prepare ticks ``[first, last)`` of a timeline for simulation.

    Raises
    ------
    FixConfig
        Collateral the simulator does not model.
    NotEnoughData
        Too little history before ``first`` to price an order.
    """
    if settings.capital.collateral != "usdt":
        raise FixConfig(
            "capital.collateral",
            settings.capital.collateral,
            "usdt (the simulator posts USDT; `counterpoise now` compares all three)",
            "set capital.collateral to usdt for the study",
        )
    sigma_day, volume_day = liquidity(timeline)
    span = slice(first, last)
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
        exposure_eth=np.full(len(ts_ms), settings.exposure.eth),
        bucket=np.arange(len(ts_ms), dtype=np.int64),
    )
    contracts = contracts_of(settings, int(ts_ms[0]))
    largest_usd = settings.exposure.eth * float(np.nanmin(timeline.spot.close[span]))
    for contract in contracts:
        if largest_usd < contract.min_notional_usd:
            raise FixConfig(
                "exposure.eth",
                settings.exposure.eth,
                f"a full hedge of at least {contract.min_notional_usd:g} USD, the smallest order "
                f"of {contract.venue}",
                "hedge a larger exposure",
            )
    return Arena(
        first, last, ts_ms, market, stack(contracts), limits_of(settings), costs_of(settings)
    )


def day_buckets(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket number per tick: the UTC day a tick closes, ``(00:00, 24:00]``, from 0.

    The tick at 00:00 closes the day before, as its bar does; only a first tick at 00:00 belongs to
    the day it opens, since nothing was held before it.
    """
    first = ts_ms[0] // DAY_MS
    return np.asarray(np.maximum((ts_ms - 1) // DAY_MS, first) - first)


@njit_parallel
def _run_all(
    market: MarketArrays,
    intents: IntentArrays,
    venue: VenueRules,
    limits: Limits,
    costs: CostRules,
    records: Record,
    liquidations: NDArray[np.int64],
) -> None:
    for p in numba.prange(len(liquidations)):
        liquidations[p] = run(
            market,
            IntentArrays(
                intents.lo[p],
                intents.hi[p],
                intents.to_lo[p],
                intents.to_hi[p],
                intents.weights[p],
                intents.urgency[p],
            ),
            venue,
            limits,
            costs,
            Record(
                records.pnl[p],
                records.short_eth[p],
                records.equity[p],
                records.traded_eth[p],
                records.lo[p],
                records.hi[p],
                records.reasons[p],
                records.exposure_eth[p],
                records.spot[p],
                records.spot_open[p],
            ),
        )


def simulate(
    where: Arena,
    intents: Iterable[Intent],
    *,
    daily: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SimulatedPath]:
    """Simulate intents over an arena, many at a time on all cores.

    Parameters
    ----------
    where : Arena
    intents : iterable of Intent
        Rows on the timeline's clock; each needs a row for every tick of the arena.
    daily : bool
        Record UTC days instead of ticks.
    progress : callable, optional
        Called with the number of paths done.

    Yields
    ------
    SimulatedPath
        In the order of the intents.
    """
    bucket = day_buckets(where.ts_ms) if daily else where.market.bucket
    market = where.market._replace(bucket=bucket)
    buckets = int(bucket[-1]) + 1
    ends = np.flatnonzero(np.diff(bucket, append=bucket[-1] + 1))
    span = slice(where.first, where.last)
    done = 0
    for batch in batched(intents, BATCH):
        stacked = IntentArrays(
            *(
                np.stack([getattr(intent, name)[span] for intent in batch])
                for name in ("lo", "hi", "to_lo", "to_hi", "weights", "urgency")
            )
        )
        each = [empty_record(buckets, market.perp.shape[1]) for _ in batch]
        records = Record(*(np.stack(columns) for columns in zip(*each, strict=True)))
        liquidations = np.zeros(len(batch), dtype=np.int64)
        _run_all(market, stacked, where.venue, where.limits, where.costs, records, liquidations)
        for p in range(len(batch)):
            yield SimulatedPath(
                ts_ms=where.ts_ms[ends],
                pnl=records.pnl[p],
                short_eth=records.short_eth[p],
                collateral_usd=records.equity[p],
                traded_eth=records.traded_eth[p],
                lo=records.lo[p],
                hi=records.hi[p],
                reasons=records.reasons[p],
                exposure_eth=records.exposure_eth[p],
                spot=records.spot[p],
                spot_open=records.spot_open[p],
                liquidations=int(liquidations[p]),
            )
        done += len(batch)
        if progress is not None:
            progress(done)


def to_days(path: SimulatedPath) -> SimulatedPath:
    """The same path by UTC day, from a path recorded by tick.

    Sums flows, keeps the last level of each day, or-s the reasons.
    """
    bucket = day_buckets(path.ts_ms)
    begins = np.flatnonzero(np.diff(bucket, prepend=-1))
    ends = np.append(begins[1:], len(bucket)) - 1
    return SimulatedPath(
        ts_ms=path.ts_ms[ends],
        pnl=np.add.reduceat(path.pnl, begins, axis=0),
        short_eth=path.short_eth[ends],
        collateral_usd=path.collateral_usd[ends],
        traded_eth=np.add.reduceat(path.traded_eth, begins),
        lo=path.lo[ends],
        hi=path.hi[ends],
        reasons=np.bitwise_or.reduceat(path.reasons, begins),
        exposure_eth=path.exposure_eth[ends],
        spot=path.spot[ends],
        spot_open=path.spot_open[begins],
        liquidations=path.liquidations,
    )
