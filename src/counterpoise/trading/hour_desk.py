"""One hour of the bar clock from a lake: fetch, timeline, forecasts, intent, row.

It does what ``now`` does, keeps what the next hour can take over, and is a process' own business:
``live_feed`` runs it beside the trading loop. An hour it cannot know gives a row that says why.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from counterpoise.config import Settings
from counterpoise.errors import CounterpoiseError, NotEnoughData
from counterpoise.execution.events import Exposure, Signals
from counterpoise.exposure.now import exposure_now
from counterpoise.hedging import Intent, Situation, policies
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.growing import GrowingForecasts
from counterpoise.trading.run_doubts import RunDoubts
from counterpoise.trading.signal_rows import newest_row, unknown_row
from counterpoise.units import NS_PER_MS, from_ms, stamp
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost

#: Families of policies that rest on what was learned.
_LEARNED = ("model", "formula")
#: Brings the lake up to a moment; returns what did not come, in words.
Bring = Callable[[int], list[str]]


@dataclass(frozen=True)
class Hour:
    """What the machines are told of an hour: first the exposure, then the row.

    Attributes
    ----------
    signals : Signals
        With a NaN intent where something is unknown; ``why`` says what.
    exposure : Exposure or None
        None where it is not known: what was told last stays.
    late : bool
        The venue has not told all of the hour yet; asked again, it may.
    notes : tuple of str
        What is worth knowing beside it: feeds that did not answer, carried rates.
    seconds : dict of str to float
        What each part took.
    """

    signals: Signals
    exposure: Exposure | None
    late: bool
    notes: tuple[str, ...]
    seconds: dict[str, float]


class HourDesk:
    """Hours in turn, from one lake.

    Parameters
    ----------
    settings : Settings
        ``lake`` is read; ``hedge.policy`` is asked.
    bring : callable
        Brings the lake up to a moment.
    """

    def __init__(self, settings: Settings, bring: Bring) -> None:
        self._settings, self._bring = settings, bring
        self._lake = Lake(settings.lake)
        self._growing = GrowingForecasts(settings, settings.lake / "models")
        self._policy = policies[settings.hedge.policy]
        self._doubts = RunDoubts(settings.lake / "models", settings)
        self._known: Signals | None = None

    def hour(self, ts_ms: int) -> Hour:
        """The row of a tick, whatever happens.

        Parameters
        ----------
        ts_ms : int
            A whole hour.
        """
        seconds: dict[str, float] = {}
        notes: list[str] = []
        try:
            with _timed(seconds, "update"):
                notes += self._bring(ts_ms)
            return self._of(ts_ms, notes, seconds)
        except CounterpoiseError as refused:
            why, late = str(refused), isinstance(refused, _NotYet)
        except Exception as defect:  # a defect of ours is an unknown hour, not an end of trading
            why, late = f"defect: {type(defect).__name__}: {defect}", False
        why = "; ".join([why, *notes])
        row = unknown_row(self._settings, ts_ms, why, self._known)
        return Hour(row, None, late, tuple(notes), seconds)

    def _of(self, ts_ms: int, notes: list[str], seconds: dict[str, float]) -> Hour:
        settings = self._settings
        with _timed(seconds, "timeline"):
            timeline = build_timeline(
                self._lake, settings.venue.names, settings.venue.symbol, end=from_ms(ts_ms)
            )
            _refuse_earlier(timeline, ts_ms)
        with _timed(seconds, "forecasts"):
            forecasts, short = self._forecasts(timeline)
        with _timed(seconds, "row"):
            held = exposure_now(settings, timeline, len(timeline.ts_ms) - 1)
            contract = contract_at(settings.venue.names[0], ts_ms)
            cost = one_way_cost(settings.costs, contract)
            intent = self._policy.build(Situation(timeline, forecasts, settings, cost))
            row = newest_row(timeline, settings, intent, held.exposure_eth)
            why = _unknown(self._policy.name, intent, forecasts)
            row = replace(row, why="; ".join([why, short]) if why and short else why)
        if self._policy.family in _LEARNED:
            with _timed(seconds, "doubts"):
                doubt, note = self._doubts.at(timeline)
            row = _doubted(row, doubt) if doubt else row
            notes += [note] if note else []
        self._known = row
        exposure = Exposure(ts_ms * NS_PER_MS, held.exposure_eth)
        notes += [*held.notes, *held.warnings]
        return Hour(row, exposure, _still_missing(timeline), tuple(notes), seconds)

    def _forecasts(self, timeline: Timeline) -> tuple[Forecasts, str]:
        """Forecasts, or none with the reason: not every policy reads them."""
        try:
            return self._growing.of(timeline), ""
        except NotEnoughData as short:
            return Forecasts.unknown(timeline.ts_ms), str(short)


class _NotYet(NotEnoughData):
    """The lake ends before the hour that is wanted."""


def _refuse_earlier(timeline: Timeline, ts_ms: int) -> None:
    last = int(timeline.ts_ms[-1])
    if last != ts_ms:
        raise _NotYet(
            f"the perpetual bar that closes {stamp(ts_ms)} is not in the lake, whose last one "
            f"closed {stamp(last)}. Next: counterpoise update"
        )


def _still_missing(timeline: Timeline) -> bool:
    """Whether the last tick lacks a price, or a settlement that is due at it."""
    if math.isnan(timeline.spot.close[-1]) or math.isnan(timeline.perp.close[-1, 0]):
        return True
    settled = np.flatnonzero(np.isfinite(timeline.funding_settled[:, 0]))
    interval_h = timeline.funding_interval_h[-1, 0]
    # Where the last settlement is a day old the venue is silent, and waiting does not help.
    return bool(
        len(settled)
        and math.isfinite(interval_h)
        and len(timeline.ts_ms) - 1 - settled[-1] == interval_h
    )


def _unknown(policy: str, intent: Intent, forecasts: Forecasts) -> str:
    """Why an intent is unknown at the last tick; empty where it is known."""
    row = [values[-1] for values in (intent.lo, intent.hi, intent.to_lo, intent.to_hi)]
    if all(map(math.isfinite, row)):
        return ""
    names = ("vol_24h", "vol_24h_har", "rv_24h", "rv_168h", "p_up_4h", "p_hedge_pays_4h", "rho")
    absent = [name for name in names if math.isnan(getattr(forecasts, name)[-1])]
    told = f"; unknown are {', '.join(absent)}" if absent else ""
    return f"{policy} does not know{told}"


def _doubted(row: Signals, doubt: str) -> Signals:
    """The row without its intent; prices and what the guard holds to are no forecasts."""
    unknown = math.nan
    why = "; ".join([doubt, row.why] if row.why else [doubt])
    return replace(
        row, lo=unknown, hi=unknown, to_lo=unknown, to_hi=unknown, target=unknown, why=why
    )


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    began = perf_counter()
    try:
        yield
    finally:
        seconds[part] = perf_counter() - began
