"""Run every policy over one out-of-sample window and say how each differs from its matched static.

The window is the same for all; each tested policy is held against a static hedge at its own mean
ratio, at the same costs. Numbers only: the page is ``report``, the files are ``results``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.decision.margin_need import margin_for
from counterpoise.errors import NotEnoughData
from counterpoise.hedging import RECOMMENDED, Intent, Policy, Situation, policies
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import evaluate
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.simulate import Arena, arena, simulate, to_days
from counterpoise.study.inference import Difference, holm, paired_bootstrap
from counterpoise.study.metrics import (
    annual_vol,
    by_year,
    daily_returns,
    summarise,
    yearly,
)
from counterpoise.study.placebo import Placebo, placebos
from counterpoise.units import DAY_MS, stamp, to_ms
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Metrics the recommended policy was registered for.
PREREGISTERED = ("vol", "cvar95", "ce20")
#: Policies without a matched static hedge: they are static themselves.
STATIC = ("unhedged", "full", "static_eth")
#: Fewest days a comparison is worth.
FEWEST_DAYS = 60


@dataclass(frozen=True)
class Compared:
    """One policy over the window.

    Attributes
    ----------
    policy : Policy
    path : SimulatedPath
        By tick.
    daily : SimulatedPath
        By UTC day.
    metrics : dict of str to float
    years : dict of int to dict of str to float
        Metrics by calendar year, and ``vol_difference``: volatility minus that of the static hedge
        at the year's own mean ratio, 0 for static policies.
    versus : dict of str to Difference
        Policy minus the static hedge at its mean ratio, by metric; empty for static policies.
    """

    policy: Policy
    path: SimulatedPath
    daily: SimulatedPath
    metrics: dict[str, float]
    years: dict[int, dict[str, float]]
    versus: dict[str, Difference]


@dataclass(frozen=True)
class Period:
    """The recommended policy on some days of the window, held against a static hedge of its own.

    Attributes
    ----------
    name : str
        ``selection``: days the choices could see; ``holdout``: days they could not.
    first_ms, last_ms : int
        Midnights that begin its first and last day.
    days : int
    mean_ratio : float
        Of the policy, and so of the static hedge.
    versus : dict of str to Difference
    p_holm : dict of str to float
        Holm over the registered metrics.
    """

    name: str
    first_ms: int
    last_ms: int
    days: int
    mean_ratio: float
    versus: dict[str, Difference]
    p_holm: dict[str, float]


@dataclass(frozen=True)
class Study:
    """Everything a study found.

    Attributes
    ----------
    settings : Settings
    timeline : Timeline
    where : Arena
    compared : dict of str to Compared
        In the order of the registry.
    periods : tuple of Period
        Selection and holdout, where the window has enough days of them.
    versus_rules : dict of str to dict of str to Difference
        Recommended policy minus each manual rule, by metric: each at its own size, exploratory.
    p_holm : dict of (policy, metric) to float
        Holm over the three registered metrics for the recommended policy, over all the other
        comparisons with matched static hedges for the rest.
    p_holm_rules : dict of (rule, metric) to float
        Holm over all comparisons with manual rules.
    placebos : tuple of Placebo
    warnings : tuple of str
        Limits of the venue that a full hedge of the exposure would break.
    skill : dict
        ``signals.training.evaluate`` over the window.
    """

    settings: Settings
    timeline: Timeline
    where: Arena
    compared: dict[str, Compared]
    periods: tuple[Period, ...]
    versus_rules: dict[str, dict[str, Difference]]
    p_holm: dict[tuple[str, str], float]
    p_holm_rules: dict[tuple[str, str], float]
    placebos: tuple[Placebo, ...]
    warnings: tuple[str, ...]
    skill: dict[str, Any]


def window(timeline: Timeline, forecasts: Forecasts, settings: Settings) -> tuple[int, int]:
    """First and last (exclusive) tick of the comparison, whole UTC days.

    The default start is the first midnight after ``study.burn_in_days`` of history at which every
    forecast exists.

    Raises
    ------
    NotEnoughData
        Forecasts begin too late, or fewer than 60 days are left.
    """
    signals = [
        forecasts.p_up_4h,
        forecasts.p_hedge_pays_4h,
        forecasts.vol_24h,
        forecasts.vol_24h_har,
        forecasts.rho,
    ]
    known = np.all(np.isfinite(np.stack(signals)), axis=0)
    midnights = np.flatnonzero(timeline.ts_ms % DAY_MS == 0)
    ready = midnights[known[midnights]]
    if not len(ready):
        raise NotEnoughData(
            f"the lake holds {len(timeline.ts_ms) / 24:.0f} days, which is too short to train "
            f"(signals.min_train_days = {settings.signals.min_train_days}) and calibrate the "
            "forecasts. Next: import more history or lower signals.min_train_days."
        )
    first = int(ready[0])
    if settings.study.start is None:
        burnt_in = int(timeline.ts_ms[0]) + settings.study.burn_in_days * DAY_MS
        later = midnights[timeline.ts_ms[midnights] >= burnt_in]
        first = max(first, int(later[0]) if len(later) else int(midnights[-1]))
    if settings.study.start is not None:
        wanted = to_ms(settings.study.start)
        if wanted < int(timeline.ts_ms[first]):
            raise NotEnoughData(
                f"--from {stamp(wanted)} lies before the first out-of-sample forecast at "
                f"{stamp(int(timeline.ts_ms[first]))}. Next: start there or later."
            )
        later = midnights[timeline.ts_ms[midnights] >= wanted]
        first = int(later[0]) if len(later) else int(midnights[-1])
    last = int(midnights[-1]) + 1
    days = (last - 1 - first) // 24
    if days < FEWEST_DAYS:
        raise NotEnoughData(
            f"{max(days, 0)} whole days from {stamp(int(timeline.ts_ms[first]))} to "
            f"{stamp(int(timeline.ts_ms[last - 1]))} are too few to compare (at least "
            f"{FEWEST_DAYS}). Next: widen --from .. --to or import more history."
        )
    return first, last


def _static(situation: Situation, ratio: float) -> Intent:
    return situation.around(np.full(situation.ticks, ratio), 0.0)


def _statics(situation: Situation, where: Arena, ratios: list[float]) -> list[Floats]:
    """Daily returns of static hedges at several ratios, over the whole window."""
    paths = simulate(where, (_static(situation, ratio) for ratio in ratios), daily=True)
    return [daily_returns(path) for path in paths]


def _compare(
    chosen: Policy, path: SimulatedPath, unhedged: Floats, situation: Situation, where: Arena
) -> Compared:
    study = situation.settings.study
    daily = to_days(path)
    returns = daily_returns(daily)
    metrics = summarise(daily, unhedged)
    years = by_year(daily, unhedged)
    versus: dict[str, Difference] = {}
    if chosen.name in STATIC:
        for row in years.values():
            row["vol_difference"] = 0.0
    else:
        ratios = [metrics["mean_ratio"], *(row["mean_ratio"] for row in years.values())]
        matched, *by_own_year = _statics(situation, where, ratios)
        versus = paired_bootstrap(returns, matched, draws=study.draws, seed=study.seed)
        rows = yearly(daily)
        for (year, row), static in zip(years.items(), by_own_year, strict=True):
            row["vol_difference"] = row["vol"] - annual_vol(static[rows[year]])
    return Compared(chosen, path, daily, metrics, years, versus)


def _periods(one: Compared, situation: Situation, where: Arena) -> tuple[Period, ...]:
    """Split the recommended policy's days where its choices stopped seeing data."""
    study = situation.settings.study
    begins = int(np.searchsorted(one.daily.ts_ms, to_ms(study.holdout_start), side="right"))
    returns = daily_returns(one.daily)
    found = []
    for name, rows in (("selection", slice(0, begins)), ("holdout", slice(begins, None))):
        days = len(returns[rows])
        if situation.timeline.synthetic or days < FEWEST_DAYS:
            continue
        ratio = float(one.daily.ratio[rows].mean())
        static = _statics(situation, where, [ratio])[0]
        versus = paired_bootstrap(returns[rows], static[rows], draws=study.draws, seed=study.seed)
        adjusted = holm([versus[metric].p for metric in PREREGISTERED])
        stamps = one.daily.ts_ms[rows]
        found.append(
            Period(
                name,
                int((stamps[0] - 1) // DAY_MS * DAY_MS),
                int((stamps[-1] - 1) // DAY_MS * DAY_MS),
                days,
                ratio,
                versus,
                dict(zip(PREREGISTERED, (float(p) for p in adjusted), strict=True)),
            )
        )
    return tuple(found)


def _holm_by_key(
    found: dict[str, dict[str, Difference]], family: list[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    adjusted = holm([found[name][metric].p for name, metric in family])
    return dict(zip(family, (float(value) for value in adjusted), strict=True))


def _adjust(versus: dict[str, dict[str, Difference]]) -> dict[tuple[str, str], float]:
    """Holm over the registered family and, apart from it, over all exploratory comparisons."""
    everything = [(name, metric) for name, found in versus.items() for metric in found]
    registered = [(RECOMMENDED, metric) for metric in PREREGISTERED]
    rest = [key for key in everything if key not in registered]
    return _holm_by_key(versus, registered) | _holm_by_key(versus, rest)


def run_study(
    timeline: Timeline,
    forecasts: Forecasts,
    settings: Settings,
    progress: Progress | None = None,
) -> Study:
    """Simulate, compare and test every registered policy.

    Parameters
    ----------
    timeline, forecasts
        Of the whole history; only the window of :func:`window` is compared.
    settings : Settings
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    NotEnoughData, FixConfig
        From :func:`window` and the simulator.
    """
    first, last = window(timeline, forecasts, settings)
    where = arena(timeline, settings, first, last)
    contract = contract_at(settings.venue.names[0], int(where.ts_ms[0]))
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, contract))
    chosen = [item for _, item in policies.items()]
    paths = list(simulate(where, (item.build(situation) for item in chosen)))
    bare = daily_returns(to_days(paths[[item.name for item in chosen].index("unhedged")]))
    compared: dict[str, Compared] = {}
    for item, path in zip(chosen, paths, strict=True):
        compared[item.name] = _compare(item, path, bare, situation, where)
        if progress is not None:
            progress("bootstrap", len(compared), len(chosen))
    best = daily_returns(compared[RECOMMENDED].daily)
    versus_rules = {
        name: paired_bootstrap(
            best,
            daily_returns(one.daily),
            draws=settings.study.draws,
            seed=settings.study.seed,
        )
        for name, one in compared.items()
        if one.policy.family == "manual"
    }
    rules = [(name, metric) for name, found in versus_rules.items() for metric in found]
    return Study(
        settings=settings,
        timeline=timeline,
        where=where,
        compared=compared,
        periods=_periods(compared[RECOMMENDED], situation, where),
        versus_rules=versus_rules,
        p_holm=_adjust({name: one.versus for name, one in compared.items() if one.versus}),
        p_holm_rules=_holm_by_key(versus_rules, rules),
        placebos=placebos(
            situation, where, {name: one.daily for name, one in compared.items()}, progress
        ),
        warnings=margin_for(
            settings.exposure.eth,
            float(np.nanmax(where.market.perp)),
            settings.capital.collateral,
            settings.capital,
            contract,
            exposure_eth=settings.exposure.eth,
        ).warnings,
        skill=evaluate(
            timeline,
            forecasts,
            int(where.ts_ms[0]),
            int(where.ts_ms[-1]),
            settings=settings,
        ),
    )
