"""Run intents over an arena: arrays in, :class:`SimulatedPath` out, one thread per core.

The compiled loop holds no lock, so each thread runs one intent at a time and only a few are in
memory at once. This room decides nothing.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.intent import Intent
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena
from counterpoise.simulation.arrays import IntentArrays, empty_record
from counterpoise.simulation.kernel import run
from counterpoise.simulation.prices import Prices, prices_of
from counterpoise.units import DAY_MS


def day_buckets(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket number per tick: the UTC day a tick closes, ``(00:00, 24:00]``, from 0.

    The tick at 00:00 closes the day before, as its bar does; only a first tick at 00:00 belongs to
    the day it opens, since nothing was held before it.
    """
    first = ts_ms[0] // DAY_MS
    return np.asarray(np.maximum((ts_ms - 1) // DAY_MS, first) - first)


def simulate_one(where: Arena, intent: Intent, prices: Prices | None = None) -> SimulatedPath:
    """Simulate one intent over an arena, by tick, in this thread.

    Parameters
    ----------
    where : Arena
    intent : Intent
        Needs a row for every tick of the arena.
    prices : Prices, optional
        ``prices_of`` the arena's market, where several arenas share one.
    """
    if prices is None:
        prices = prices_of(where.market, where.account.inverse)
    return _path(where, intent, prices, where.market.bucket, where.ts_ms)


def _path(
    where: Arena,
    intent: Intent,
    prices: Prices,
    bucket: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> SimulatedPath:
    """Run the compiled loop; ``ends`` is the last tick of each bucket, ms."""
    record = empty_record(len(ends), where.market.perp.shape[1])
    span = slice(where.first, where.last)
    rows = IntentArrays(
        intent.lo[span],
        intent.hi[span],
        intent.to_lo[span],
        intent.to_hi[span],
        np.ascontiguousarray(intent.weights[span]),
        intent.urgency[span],
    )
    liquidations = run(
        prices,
        where.market.exposure_eth,
        bucket,
        rows,
        where.watch,
        where.venue,
        where.limits,
        where.costs,
        where.account,
        where.guard,
        record,
    )
    return SimulatedPath(
        ts_ms=ends,
        pnl=record.pnl,
        short_eth=record.short_eth,
        collateral_usd=record.equity,
        traded_eth=record.traded_eth,
        lo=record.lo,
        hi=record.hi,
        reasons=record.reasons,
        exposure_eth=record.exposure_eth,
        exposure_mean_eth=record.exposure_mean,
        spot=record.spot,
        spot_open=record.spot_open,
        posted_eth=record.posted_eth,
        paid_in_usd=record.paid_in,
        margin_low=record.margin_low,
        coming=record.coming,
        chain=record.chain,
        liquidations=liquidations,
    )


def simulate(
    where: Arena,
    intents: Iterable[Intent],
    *,
    daily: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SimulatedPath]:
    """Simulate intents over an arena, one thread per core.

    Parameters
    ----------
    where : Arena
    intents : iterable of Intent
        Rows on the timeline's clock; each needs a row for every tick of the arena. It is read as
        paths are taken, a few ahead.
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
    ends = where.ts_ms[np.flatnonzero(np.diff(bucket, append=bucket[-1] + 1))]
    prices = prices_of(where.market._replace(bucket=bucket), where.account.inverse)

    def one(intent: Intent) -> SimulatedPath:
        return _path(where, intent, prices, bucket, ends)

    cores = os.cpu_count() or 1
    running: deque[Future[SimulatedPath]] = deque()
    done = 0
    with ThreadPoolExecutor(cores) as threads:
        for intent in intents:
            running.append(threads.submit(one, intent))
            if len(running) <= 2 * cores:
                continue
            yield running.popleft().result()
            done += 1
            if progress is not None:
                progress(done)
        while running:
            yield running.popleft().result()
            done += 1
            if progress is not None:
                progress(done)


def to_days(path: SimulatedPath) -> SimulatedPath:
    """The same path by UTC day, from a path recorded by tick.

    Sums flows, keeps the last level of each day, averages what was held, or-s the reasons.
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
        exposure_mean_eth=np.add.reduceat(path.exposure_mean_eth, begins)
        / np.diff(begins, append=len(bucket)),
        spot=path.spot[ends],
        spot_open=path.spot_open[begins],
        posted_eth=path.posted_eth[ends],
        paid_in_usd=path.paid_in_usd[ends],
        margin_low=np.fmin.reduceat(path.margin_low, begins),
        coming=path.coming[ends],
        chain=path.chain[ends],
        liquidations=path.liquidations,
    )
