"""The bar clock of a run: one row an hour, worked out beside the trading loop, never in its way.

A worker process does an hour's work (``hour_desk``); the loop only waits for its answer, up to a
deadline. What is missing, stale or slow gives a row without an intent that says why, and nothing is
raised into the loop.
"""

import asyncio
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from counterpoise.config import Settings, settings_without_file
from counterpoise.execution.events import Signals
from counterpoise.hedging import policies
from counterpoise.market.lake import Lake
from counterpoise.trading.bringing import FromPast, FromServices
from counterpoise.trading.hour_desk import Bring, Hour, HourDesk
from counterpoise.trading.signal_rows import refuse_more_venues, unknown_row
from counterpoise.units import HOUR_MS, stamp

#: Wall-clock seconds in which an hour has to be known; and the first one, which trains models.
DEADLINE_S, FIRST_DEADLINE_S = 120.0, 900.0
#: Market seconds after the hour until the venue is asked, and between two asks.
SETTLE_S = RETRY_S = 5.0
#: Wall-clock seconds on one hour after which the worker is given up and a new one begins.
STUCK_S = 900.0
#: Tables that a local venue serves over the wire.
SERVED = frozenset({"spot_bars", "perp_bars", "mark_bars", "premium_bars", "funding"})


class Clock(Protocol):
    """The market's clock."""

    @property
    def speed(self) -> float:
        """Market seconds a second of the wall; 1 is live."""

    def now_ms(self) -> int:
        """The market's time."""


class WallClock:
    """The clock of a live market: this machine's."""

    speed = 1.0

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Past:
    """Where the lake of a rehearsal comes from.

    Attributes
    ----------
    lake : Path
        A whole lake, of which the run's own one gets what was known by each hour.
    served : bool
        Bars and funding come over the wire, from the local venue at ``sources.binance``.
    """

    lake: Path
    served: bool = True


class LiveFeed:
    """Rows of the bar clock, as the hours come.

    Parameters
    ----------
    settings : Settings
    past : Past, optional
        Of a rehearsal; without one the configured services are asked.
    deadline_s : float
        Wall-clock seconds in which an hour has to be known.

    Raises
    ------
    FixConfig
        More than one venue, or an unknown policy.
    """

    def __init__(
        self, settings: Settings, *, past: Past | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        refuse_more_venues(len(settings.venue.names))
        policies[settings.hedge.policy]  # an unknown name is refused before anything trades
        self._settings, self._past, self._deadline_s = settings, past, deadline_s
        self._worker: _Worker | None = None
        self._known: Signals | None = None

    async def hours(self, clock: Clock) -> AsyncIterator[Hour]:
        """Each hour of a clock, from its newest whole one on; never fewer, never one twice.

        An hour that is over before its turn comes has a row without an intent.
        """
        newest = clock.now_ms() // HOUR_MS
        for tick in itertools.count(newest):
            wait_ms = tick * HOUR_MS + SETTLE_S * 1000.0 - clock.now_ms()
            await asyncio.sleep(max(wait_ms / 1000.0 / clock.speed, 0.0))
            if tick > newest and clock.now_ms() >= (tick + 1) * HOUR_MS:
                yield self._without(tick * HOUR_MS, "this hour was over before its turn came")
            else:
                within_s = FIRST_DEADLINE_S if tick == newest else self._deadline_s
                yield await self.hour(tick * HOUR_MS, within_s, RETRY_S / clock.speed)

    async def hour(
        self, ts_ms: int, within_s: float | None = None, retry_s: float = RETRY_S
    ) -> Hour:
        """One hour: as it is known within a time, or a row that says why it is not.

        Parameters
        ----------
        ts_ms : int
            A whole hour.
        within_s : float, optional
            Wall-clock seconds; ``deadline_s`` by default.
        retry_s : float
            Wall-clock seconds until a venue that has not told all of the hour is asked again.
        """
        began = time.monotonic()
        until = began + (self._deadline_s if within_s is None else within_s)
        found = None
        while (left := until - time.monotonic()) > 0.0:
            answer = await self._asked(ts_ms, left)
            found = answer or found
            known = answer is not None and not answer.late
            # What the venue has not told within the deadline is waited for no longer.
            if known or time.monotonic() + retry_s >= min(until, began + self._deadline_s):
                break
            await asyncio.sleep(retry_s)
        if found is None:
            return self._without(ts_ms, f"the worker had no answer in time for {stamp(ts_ms)}")
        if found.exposure is not None:
            self._known = found.signals
        return found

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    async def _asked(self, ts_ms: int, within_s: float) -> Hour | None:
        """The worker's answer; None where it has none in time, or is no more."""
        until = time.monotonic() + within_s
        if self._worker is not None and self._worker.gone():
            self.close()
        if self._worker is None:
            self._worker = _Worker(self._settings, self._past)
        worker = self._worker
        # An hour that was given up may still be under way.
        if not await worker.idle(until - time.monotonic()):
            return None
        return await worker.ask(ts_ms, until - time.monotonic())

    def _without(self, ts_ms: int, why: str) -> Hour:
        row = unknown_row(self._settings, ts_ms, why, self._known)
        return Hour(row, None, late=False, notes=(), seconds={})


class _Worker:
    """A process that works hours out, one after the other."""

    def __init__(self, settings: Settings, past: Past | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, settings.model_dump(), past), daemon=True
        )
        self._process.start()
        theirs.close()
        self._asked: Future[Hour | None] | None = None
        self._since = time.monotonic()
        self._lost = False

    def gone(self) -> bool:
        """Whether it has ended, or been on one hour for too long."""
        busy = self._asked is not None and not self._asked.done()
        stuck = busy and time.monotonic() - self._since > STUCK_S
        return stuck or self._lost or not self._process.is_alive()

    async def idle(self, within_s: float) -> bool:
        """Wait until nothing is under way."""
        return self._asked is None or await _done(self._asked, within_s)

    async def ask(self, ts_ms: int, within_s: float) -> Hour | None:
        """Ask for an hour."""
        asked: Future[Hour | None] = Future()

        def wait() -> None:
            answer = None
            try:
                self._mine.send(ts_ms)
                answer = self._mine.recv()
            except (EOFError, OSError):
                self._lost = True
            asked.set_result(answer)

        self._asked, self._since = asked, time.monotonic()
        Thread(target=wait, daemon=True, name="hour").start()
        return asked.result() if await _done(asked, within_s) else None

    def end(self) -> None:
        """End the process; what it was writing into the lake is there whole or not at all."""
        self._process.terminate()
        self._process.join(10.0)
        self._mine.close()


async def _done(asked: Future[Hour | None], within_s: float) -> bool:
    """Wait for an answer that is not called off when time is up."""
    if within_s > 0.0:
        await asyncio.wait({asyncio.wrap_future(asked)}, timeout=within_s)
    return asked.done()


def _work(pipe: Connection, given: dict[str, Any], past: Past | None) -> None:
    """Answer hours until nobody asks any more; a worker yields to the trading loop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks ends it
    os.nice(5)
    settings = settings_without_file(given)
    desk = HourDesk(settings, bring_of(settings, past))
    with suppress(EOFError, OSError):
        while True:
            pipe.send(desk.hour(pipe.recv()))


def bring_of(settings: Settings, past: Past | None) -> Bring:
    """How the lake is brought up to date, live or in a rehearsal."""
    if past is None:
        return FromServices(settings)
    whole = Lake(past.lake)
    if not past.served:
        return FromPast(settings, whole)
    slow = FromPast(settings, whole, SERVED)
    venue = FromServices(settings, slow=False, synthetic=whole.synthetic)
    return lambda ts_ms: [*slow(ts_ms), *venue(ts_ms)]
