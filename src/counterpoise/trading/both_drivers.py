"""One policy through both drivers over one span: the simulator, and the engine event by event.

It chooses the span, refuses what only the simulator can do, and says in numbers what came out. The
numbers are those of ``counterpoise backtest``; nothing is printed here.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Situation, policies
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena, arena, contracts_of
from counterpoise.simulation.simulate import simulate_one
from counterpoise.trading.backtest import Backtested, backtest
from counterpoise.trading.divergence import Divergence, diverge, in_place
from counterpoise.trading.signal_rows import refuse_more_venues
from counterpoise.units import BPS, HOURS_PER_DAY, NS_PER_MS, stamp, to_ms
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]

#: Days that are run where nobody says from when on.
DAYS = 30


@dataclass(frozen=True)
class Both:
    """One policy through both drivers.

    Attributes
    ----------
    where : Arena
    path : SimulatedPath
        Of the simulator, by tick.
    driven : Backtested
    whole : Divergence
    settled : Divergence or None
        Counted from the first tick at which the first position was in place; None without one.
    seconds : float
        That the event-driven driver took.
    """

    where: Arena
    path: SimulatedPath
    driven: Backtested
    whole: Divergence
    settled: Divergence | None
    seconds: float


def refuse_what_only_the_simulator_does(settings: Settings) -> None:
    """Refuse hedges that no machine trades yet, before any work.

    Raises
    ------
    FixConfig
        Several venues, or other collateral than USDT.
    """
    refuse_more_venues(len(settings.venue.names))
    if settings.capital.collateral != "usdt":
        raise FixConfig(
            "capital.collateral",
            settings.capital.collateral,
            "'usdt', the only collateral that is traded event by event",
            "set capital.collateral = 'usdt', or compare collateral with counterpoise study",
        )


def span_of(timeline: Timeline, begin: datetime | None, end: datetime | None) -> tuple[int, int]:
    """First and last (exclusive) tick from one moment to another; the last 30 days by default.

    Raises
    ------
    NotEnoughData
        Fewer than two hours with prices.
    """
    ts_ms = timeline.ts_ms
    last = len(ts_ms) if end is None else int(np.searchsorted(ts_ms, to_ms(end), side="right"))
    first = max(last - 1 - DAYS * HOURS_PER_DAY, 0)
    if begin is not None:
        first = int(np.searchsorted(ts_ms, to_ms(begin)))
    priced = np.isfinite(timeline.spot.close) & np.isfinite(timeline.perp.close[:, 0])
    ticks = first + np.flatnonzero(priced[first:last])
    if len(ticks) < 2:
        raise NotEnoughData(
            f"{len(ticks)} hours with prices lie between --from and --to, of a lake from "
            f"{stamp(int(ts_ms[0]))} to {stamp(int(ts_ms[-1]))}. Next: widen --from .. --to."
        )
    return int(ticks[0]), last


def run_both(
    timeline: Timeline,
    forecasts: Forecasts,
    settings: Settings,
    first: int,
    last: int,
    *,
    every_s: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Both:
    """Run the policy of the settings over ticks ``[first, last)`` in both drivers.

    Parameters
    ----------
    timeline, forecasts
        Of the whole history.
    settings : Settings
    first, last : int
    every_s : int
        Seconds between quotes.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    NotEnoughData
        The policy knows nothing yet at the first tick, or an order could not be priced there.
    FixConfig
        As the simulator and :func:`backtest`.
    """
    where = arena(timeline, settings, first, last)
    contract = contracts_of(settings, int(where.ts_ms[0]))[0]
    cost = one_way_cost(settings.costs, contract)
    policy = policies[settings.hedge.policy]
    intent = policy.build(Situation(timeline, forecasts, settings, cost))
    if not math.isfinite(intent.lo[first]):
        known = first + np.flatnonzero(np.isfinite(intent.lo[first:]))
        later = stamp(int(timeline.ts_ms[known[0]])) if len(known) else "never in this lake"
        raise NotEnoughData(
            f"policy {policy.name} does not know what to do at {stamp(int(timeline.ts_ms[first]))} "
            f"(first known later: {later}). Next: choose another --from or --policy, or import "
            "more history, which the forecasts may need."
        )

    def told(done: int) -> None:
        if progress is not None:
            progress("backtest", done, last - first)

    begun = time.perf_counter()
    driven = backtest(timeline, where, intent, settings, every_s=every_s, progress=told)
    seconds = time.perf_counter() - begun
    path = simulate_one(where, intent)
    step = contract.step_eth
    since = in_place(path, driven.driven, step)
    settled = None if since is None else diverge(path, driven.driven, step, since)
    return Both(where, path, driven, diverge(path, driven.driven, step), settled, seconds)


def results_of(both: Both) -> dict[str, Any]:
    """What came out, in numbers: the hedge in both drivers, orders, alarms, and what differs."""
    driven, path = both.driven, both.path
    exposed = path.exposure_mean_eth * np.diff(path.spot, prepend=path.spot[0])
    theirs = np.diff(driven.driven.pnl_usd, prepend=0.0)
    fills, shortfalls = driven.fills, driven.shortfalls
    traded_usd = math.fsum(fill.size * fill.price for fill in fills)
    costs = [one.total_usd / (one.size * one.arrival_mid) / BPS for one in shortfalls]
    first, last = both.where.ts_ms[[0, -1]].tolist()
    return {
        "from": stamp(first),
        "to": stamp(last),
        "hours": len(both.where.ts_ms) - 1,
        "quotes": driven.quotes,
        "quotes_per_s": driven.quotes / both.seconds,
        "seconds": both.seconds,
        "exposure_eth": float(path.exposure_eth.mean()),
        "hedge": {
            "simulated": _hedge(path.short_eth[:, 0], path.total - exposed, exposed, path),
            "driven": _hedge(driven.driven.short_eth, theirs, exposed, path),
        },
        "orders": {
            "schedules": len(shortfalls),
            "sent": len(driven.orders),
            "fills": len(fills),
            "traded_eth": math.fsum(fill.size for fill in fills),
            "traded_usd": traded_usd,
            "fees_usd": math.fsum(fill.fee_usd for fill in fills),
            "maker_share": driven.maker_share,
        },
        "shortfall": {
            "median_bps": float(np.median(costs)) if costs else math.nan,
            "worst_bps": max(costs, default=math.nan),
            "sum_usd": math.fsum(one.total_usd for one in shortfalls),
        },
        "alarms": [
            {"severity": severity, "key": key, "count": count, "first": text}
            for (severity, key), (count, text) in _alarms(driven).items()
        ],
        "liquidations": [stamp(ts_ns // NS_PER_MS) for ts_ns in driven.liquidations],
        "liquidations_simulated": path.liquidations,
        "divergence": {
            "whole": asdict(both.whole),
            "settled": None if both.settled is None else asdict(both.settled),
        },
    }


def _hedge(short: Floats, hedge: Floats, exposed: Floats, path: SimulatedPath) -> dict[str, float]:
    """P&L of a hedge, its mean ratio, and the part of the hourly variance that it removed."""
    usd = float(np.mean(path.exposure_eth * path.spot))
    bare = float(np.var(exposed[1:]))
    total = float(hedge.sum())
    return {
        "pnl_usd": total,
        "pnl_bps": total / usd / BPS,
        "mean_ratio": float(np.mean(short / path.exposure_eth)),
        "variance_removed": 1.0 - float(np.var((hedge + exposed)[1:])) / bare if bare else math.nan,
    }


def _alarms(driven: Backtested) -> dict[tuple[str, str], tuple[int, str]]:
    """How often each kind of alarm was raised, and what the first said; schedules count as one."""
    counted: Counter[tuple[str, str]] = Counter()
    said: dict[tuple[str, str], str] = {}
    for alarm in driven.alarms:
        about = alarm.key.split(":")
        kind = alarm.severity, ":".join(part for part in about if not part.isdigit())
        counted[kind] += 1
        said.setdefault(kind, alarm.text)
    return {kind: (count, said[kind]) for kind, count in counted.items()}
