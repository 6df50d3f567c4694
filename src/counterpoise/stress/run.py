"""Policies through historical days and shocks: what was lost, and whether the short survived.

Each position is opened before a case begins, and what it loses is counted from the case's first
hour. Beside the policies stands what many holders do: a short at 5× that is set and forgotten. The
cases themselves are in ``stress_cases``; nothing is chosen or fitted here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.moment import Limits, Reason
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Intent, Situation, policies
from counterpoise.profiling import stage
from counterpoise.risk.guard_rules import NO_GUARD
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.simulate import simulate
from counterpoise.stress.cases import (
    HISTORICAL,
    SHOCK_AT_H,
    SHOCK_DAYS,
    SHOCKS,
    Calm,
    Historical,
    calm_days,
)
from counterpoise.units import HOUR_MS, HOURS_PER_DAY, stamp, to_ms

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: The peer: a full hedge whose margin is notional ÷ 5 when it is opened, and never again.
PEER, PEER_LEVERAGE = "fixed_5x", 5.0
#: What is compared beside the peer and the policy acted on.
COMPARED = ("full", "static_eth", "manual_vol_7d")
#: Notional ÷ margin at which the peer would ask for more: never.
_NEVER = 1e9
#: Share of a case's hours without a price above which it is skipped.
_MISSING_LIMIT = 0.05


@dataclass(frozen=True)
class Outcome:
    """One policy through one case.

    Attributes
    ----------
    loss : float
        − P&L after all costs over the case ÷ exposure value at its start; positive is a loss.
    liquidations : int
        From the opening of the position on.
    min_margin_ratio : float
        Smallest margin equity ÷ notional at any bar's worst mark; NaN without a short.
    max_drawdown : float
        Of coins at spot and hedge P&L after all costs, at the close of bars; fraction of the peak.
    """

    loss: float
    liquidations: int
    min_margin_ratio: float
    max_drawdown: float


@dataclass(frozen=True)
class Case:
    """One case and what became of every policy.

    Attributes
    ----------
    name, label, kind : str
        Kinds are ``rally``, ``fall`` and ``shock``.
    opened_ms, first_ms, last_ms : int
        When positions were opened, and the hours that are counted.
    outcomes : dict of str to Outcome
    reasons : dict of str to Reason
        By policy: every reason of its decisions in the case.
    """

    name: str
    label: str
    kind: str
    opened_ms: int
    first_ms: int
    last_ms: int
    outcomes: dict[str, Outcome]
    reasons: dict[str, Reason]


@dataclass(frozen=True)
class Stress:
    """Every case that the lake has, and why others were skipped.

    Attributes
    ----------
    cases : tuple of Case
    skipped : dict of str to str
        Reason by case.
    """

    cases: tuple[Case, ...]
    skipped: dict[str, str]

    def liquidations(self, *, peer: bool) -> int:
        """Positions taken over in all cases, of the peer or of all the others."""
        return sum(
            one.liquidations
            for case in self.cases
            for name, one in case.outcomes.items()
            if (name == PEER) == peer
        )


def outcome(path: SimulatedPath, begin: int) -> Outcome:
    """What a path by tick came to after a tick.

    Parameters
    ----------
    path : SimulatedPath
    begin : int
        The bars after this tick are the case.
    """
    value = float(path.exposure_eth[begin] * path.spot[begin])
    earned = np.concatenate([[0.0], np.cumsum(path.total[begin + 1 :])])
    equity = value + earned
    return Outcome(
        loss=-float(earned[-1]) / value,
        liquidations=path.liquidations,
        min_margin_ratio=float(np.fmin.reduce(path.margin_low[begin + 1 :])),
        max_drawdown=float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
    )


def forgotten(where: Arena) -> Arena:
    """The same market for the peer: no guard, no limits, no top-up, nothing cut."""
    watch, ticks = where.watch, len(where.ts_ms)
    return replace(
        where,
        limits=Limits(1.0, 1.0, np.inf),
        guard=NO_GUARD,
        watch=watch._replace(
            leverage=np.full(ticks, PEER_LEVERAGE),
            leverage_max=np.full(ticks, _NEVER),
            event_floor=np.zeros(ticks),
            quiet=np.zeros(ticks, dtype=np.bool_),
        ),
    )


def opened_once(where: Arena, ticks: int) -> Intent:
    """Intent of the peer: a full hedge until its margin has arrived, then whatever is left of it.

    Parameters
    ----------
    where : Arena
    ticks : int
        Of the timeline.
    """
    intent = Intent.around(np.ones(ticks), 0.0, venues=where.market.perp.shape[1], cap=1.0)
    anything = np.arange(ticks) > where.first + where.account.transfer_ticks
    low = np.where(anything, 0.0, 1.0)
    return replace(intent, lo=low, to_lo=low)


def lead_hours(settings: Settings) -> int:
    """Hours before a case at which positions are opened: whole days, transfers included."""
    return HOURS_PER_DAY * (1 + (settings.capital.transfer_h + 1) // HOURS_PER_DAY)


def _midnight_ms(day: date) -> int:
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


def historical_ticks(
    case: Historical, situation: Situation
) -> tuple[tuple[int, int, int] | None, str]:
    """Ticks at which a case is opened, begins and ends, or why the lake lacks it."""
    timeline = situation.timeline
    start_ms, end_ms = int(timeline.ts_ms[0]), int(timeline.ts_ms[-1])
    lead_h = lead_hours(situation.settings)
    from_ms, to_last = _midnight_ms(case.first), _midnight_ms(case.last + timedelta(days=1))
    if from_ms - lead_h * HOUR_MS < start_ms or to_last > end_ms:
        return None, (
            f"the lake holds {stamp(start_ms)} to {stamp(end_ms)}, and the case needs "
            f"{stamp(from_ms - lead_h * HOUR_MS)} to {stamp(to_last)}"
        )
    begin, end = ((ms - start_ms) // HOUR_MS for ms in (from_ms, to_last))
    rows = slice(begin - lead_h, end + 1)
    priced = np.isfinite(timeline.spot.close[rows]) & np.all(
        np.isfinite(timeline.perp.close[rows]), axis=1
    )
    missing = int(np.count_nonzero(~priced))
    if not priced[lead_h] or missing > _MISSING_LIMIT * len(priced):
        return None, f"{missing} of {len(priced)} hours have no price of spot and perpetual"
    return (begin - lead_h, begin, end), ""


def _run(
    chosen: dict[str, Intent],
    own: Arena,
    peer: Arena,
    begin: int,
    what: tuple[str, str, str],
) -> Case:
    """Simulate the peer and the policies over the arenas of one case."""
    ticks = max((len(intent.lo) for intent in chosen.values()), default=own.last)
    paths = [*simulate(peer, [opened_once(peer, ticks)]), *simulate(own, chosen.values())]
    by_name = dict(zip((PEER, *chosen), paths, strict=True))
    ts_ms = own.ts_ms
    return Case(
        *what,
        int(ts_ms[0]),
        int(ts_ms[begin]),
        int(ts_ms[-1]),
        {name: outcome(path, begin) for name, path in by_name.items()},
        {name: Reason(int(np.bitwise_or.reduce(path.reasons))) for name, path in by_name.items()},
    )


def _shocks(
    situation: Situation, chosen: dict[str, Intent], tell: Callable[[], None]
) -> tuple[list[Case], dict[str, str]]:
    """Run every shock on the calmest days of the lake."""
    timeline, settings = situation.timeline, situation.settings
    lead_h = lead_hours(settings)
    first = calm_days(timeline, SHOCK_DAYS + lead_h // HOURS_PER_DAY)
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    for shock in SHOCKS:
        tell()
        if first is None:
            skipped[shock.name] = "the last 90 days of the lake hold no whole days to put it on"
            continue
        there = settings
        if shock.collateral is not None:
            capital = settings.capital.model_copy(update={"collateral": shock.collateral})
            there = settings.model_copy(update={"capital": capital})
        last = first + lead_h + SHOCK_DAYS * HOURS_PER_DAY + 1
        try:
            where = arena(timeline, there, first, last)
        except (FixConfig, NotEnoughData) as no:
            skipped[shock.name] = str(no)
            continue
        own, peer = (
            shock.change(Calm(one, lead_h + SHOCK_AT_H, timeline, there))
            for one in (where, forgotten(where))
        )
        cases.append(_run(chosen, own, peer, lead_h, (shock.name, shock.label, "shock")))
    return cases, skipped


@stage("stress cases")
def run_cases(situation: Situation, progress: Progress | None = None) -> Stress:
    """Put the peer, simple rules and the policy acted on through every case the lake has.

    Parameters
    ----------
    situation : Situation
        Over the whole lake; forecasts may be unknown, policies then fall back as they do live.
    progress : callable, optional
        Called with (what, done, total).
    """
    timeline, settings = situation.timeline, situation.settings
    names = dict.fromkeys((*COMPARED, settings.hedge.policy, "unhedged"))
    chosen = {name: policies[name].build(situation) for name in names}
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("stress cases", done, len(HISTORICAL) + len(SHOCKS))

    for case in HISTORICAL:
        tell()
        ticks, why = historical_ticks(case, situation)
        if ticks is None:
            skipped[case.name] = why
            continue
        opened, begin, end = ticks
        try:
            where = arena(timeline, settings, opened, end + 1)
        except (FixConfig, NotEnoughData) as no:
            skipped[case.name] = str(no)
            continue
        what = (case.name, case.label, case.kind)
        cases.append(_run(chosen, where, forgotten(where), begin - opened, what))
    shocked, not_shocked = _shocks(situation, chosen, tell)
    return Stress((*cases, *shocked), skipped | not_shocked)
