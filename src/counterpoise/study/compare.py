"""Run every policy over one out-of-sample window and say how each differs from its matched static.

The window is the same for all; each tested policy is held against a static hedge at its own mean
ratio, at the same costs. Numbers only: the page is ``report``, the files are ``results``.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings, StudySettings
from counterpoise.decision.margin_need import margin_for
from counterpoise.hedging import RECOMMENDED, Intent, Policy, Situation, policies
from counterpoise.hedging.own import refuse_clashes
from counterpoise.market.timeline import Timeline
from counterpoise.profiling import stage
from counterpoise.signals.evaluation import evaluate
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.actual import replay
from counterpoise.simulation.arena import Arena, arena, contracts_of
from counterpoise.simulation.simulate import simulate, to_days
from counterpoise.study.actual import ROW, Actual, Ledger, actual_window, ledger_of
from counterpoise.study.collateral import OnCollateral, side_by_side
from counterpoise.study.inference import BOOTSTRAPPED, Difference, holm, paired_bootstrap
from counterpoise.study.metrics import (
    annual_vol,
    by_year,
    daily_returns,
    summarise,
    yearly,
)
from counterpoise.study.placebo import Placebo, placebos
from counterpoise.study.reuse import Arrays, Shelf
from counterpoise.study.window import FEWEST_DAYS, refuse_too_few_days, span_notes, window
from counterpoise.units import DAY_MS, to_ms
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Metrics the recommended policy was registered for.
PREREGISTERED = ("vol", "cvar95", "ce20")
#: Registered policies without a matched static hedge: they are static themselves.
STATIC = ("unhedged", "full", "static_eth")
#: Families a person brings: the recommended policy is held against each of them.
RULES = ("manual", "own", "actual")


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
        In the order of the registry, then the user's own in the order given, then what was done.
    periods : tuple of Period
        Selection and holdout, where the window has enough days of them.
    versus_rules : dict of str to dict of str to Difference
        Recommended policy minus each manual rule, each policy of the user's own and what was done,
        by metric: each at its own size, exploratory.
    p_holm : dict of (policy, metric) to float
        Holm over the three registered metrics for the recommended policy, over all the other
        comparisons with matched static hedges for the rest.
    p_holm_rules : dict of (rule, metric) to float
        Holm over all comparisons of ``versus_rules``.
    placebos : tuple of Placebo
    collateral : tuple of OnCollateral
        Cost, capital tied up and survival of the same intents on each kind of collateral.
    warnings : tuple of str
        Limits of the venue that a full hedge of the exposure would break.
    notes : tuple of str
        Where the window differs from the span asked for, in plain sentences.
    skill : dict
        ``signals.evaluation.evaluate`` over the window.
    own_before : int
        Own policies other than these that looked at the holdout of the lake before.
    ledger : Ledger or None
        What was done in USD, where fills were given.
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
    collateral: tuple[OnCollateral, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    skill: dict[str, Any]
    own_before: int = 0
    ledger: Ledger | None = None

    @property
    def holdout(self) -> Period | None:
        """The days no choice of ours was made on, where the window has enough of them."""
        return next((period for period in self.periods if period.name == "holdout"), None)

    @property
    def own(self) -> dict[str, Compared]:
        """The user's own policies, in the order given."""
        return {name: one for name, one in self.compared.items() if one.policy.family == "own"}


def _static(situation: Situation, ratio: float) -> Intent:
    return situation.around(np.full(situation.ticks, ratio), 0.0)


@stage("matched statics")
def _statics(situation: Situation, where: Arena, ratios: list[float]) -> list[Floats]:
    """Daily returns of static hedges at several ratios, over the whole window."""
    paths = simulate(where, (_static(situation, ratio) for ratio in ratios), daily=True)
    return [daily_returns(path) for path in paths]


def _is_static(chosen: Policy, path: SimulatedPath) -> bool:
    """Whether a policy is its own matched static hedge: one ratio for ever, or one order for ever.

    The user's own are known by what they did; the registered ones by name, so that a short window
    cannot take a comparison away.
    """
    if chosen.family != "own":
        return chosen.name in STATIC
    one_ratio = np.nanmin(path.lo) == np.nanmax(path.hi)
    return bool(one_ratio or np.count_nonzero(path.traded_eth) <= 1)


@stage("bootstrap")
def _bootstrap(
    daily_a: Floats, daily_b: Floats, study: StudySettings, shelf: Shelf
) -> dict[str, Difference]:
    """``paired_bootstrap`` as the settings ask, or what it gave for these very returns before."""

    def compute() -> Arrays:
        found = paired_bootstrap(daily_a, daily_b, draws=study.draws, seed=study.seed)
        return {"differences": np.array([astuple(found[name]) for name in BOOTSTRAPPED])}

    known = shelf.recall("bootstrap", (daily_a, daily_b, study.draws, study.seed), compute)
    rows = zip(BOOTSTRAPPED, known["differences"].tolist(), strict=True)
    return {name: Difference(*row) for name, row in rows}


@stage("metrics")
def _compare(
    chosen: Policy,
    path: SimulatedPath,
    unhedged: Floats,
    situation: Situation,
    where: Arena,
    shelf: Shelf,
) -> Compared:
    study = situation.settings.study
    daily = to_days(path)
    returns = daily_returns(daily)
    metrics = summarise(daily, unhedged)
    years = by_year(daily, unhedged)
    versus: dict[str, Difference] = {}
    if _is_static(chosen, path):
        for row in years.values():
            row["vol_difference"] = 0.0
    else:
        ratios = [metrics["mean_ratio"], *(row["mean_ratio"] for row in years.values())]
        matched, *by_own_year = _statics(situation, where, ratios)
        versus = _bootstrap(returns, matched, study, shelf)
        rows = yearly(daily)
        for (year, row), static in zip(years.items(), by_own_year, strict=True):
            row["vol_difference"] = row["vol"] - annual_vol(static[rows[year]])
    return Compared(chosen, path, daily, metrics, years, versus)


def _periods(one: Compared, situation: Situation, where: Arena, shelf: Shelf) -> tuple[Period, ...]:
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
        versus = _bootstrap(returns[rows], static[rows], study, shelf)
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


@stage("skill of the forecasts")
def _skill(
    timeline: Timeline, forecasts: Forecasts, where: Arena, settings: Settings
) -> dict[str, object]:
    first_ms, last_ms = int(where.ts_ms[0]), int(where.ts_ms[-1])
    return evaluate(timeline, forecasts, first_ms, last_ms, settings=settings)


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
    own: Sequence[Policy] = (),
    shelf: Shelf | None = None,
    actual: Actual | None = None,
) -> Study:
    """Simulate, compare and test every registered policy, the user's own and what was done.

    Parameters
    ----------
    timeline, forecasts
        Of the whole history; only the window of ``study.window`` is compared.
    settings : Settings
    progress : callable, optional
        Called with (what, done, total).
    own : sequence of Policy, optional
        Policies of family ``own``, from ``hedging.own.load_own``.
    shelf : Shelf, optional
        Results of earlier studies, to be used where nothing they depend on has changed.
    actual : Actual, optional
        Fills of a real account; their span is the window, see ``study.actual``.

    Raises
    ------
    NotEnoughData, FixConfig, RejectData
        From ``study.window``, the simulator, the user's own policies and what was done.
    """
    refuse_clashes((*((ROW,) if actual else ()), *own))
    shelf = shelf or Shelf(None)
    if actual is None:
        first, last = window(timeline, forecasts, settings)
        notes = span_notes(timeline, settings, first, last)
    else:
        first, last, notes = actual_window(actual, timeline, forecasts, settings)
        refuse_too_few_days(timeline, first, last)
    where = arena(timeline, settings, first, last)
    contract = contracts_of(settings, int(where.ts_ms[0]))[0]
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, contract))
    chosen = [*(item for _, item in policies.items()), *own]
    with stage("simulate"):
        paths = list(simulate(where, (item.build(situation) for item in chosen)))
    ledger = None
    if actual is not None:
        chosen.append(ROW)
        paths.append(replay(actual.fills, where, timeline.venues, actual.opening_short_eth))
        ledger = ledger_of(actual, paths[-1], situation, where)
    bare = daily_returns(to_days(paths[[item.name for item in chosen].index("unhedged")]))
    compared: dict[str, Compared] = {}
    for item, path in zip(chosen, paths, strict=True):
        compared[item.name] = _compare(item, path, bare, situation, where, shelf)
        if progress is not None:
            progress("bootstrap", len(compared), len(chosen))
    best = daily_returns(compared[RECOMMENDED].daily)
    versus_rules = {
        name: _bootstrap(best, daily_returns(one.daily), settings.study, shelf)
        for name, one in compared.items()
        if one.policy.family in RULES
    }
    rules = [(name, metric) for name, found in versus_rules.items() for metric in found]
    most_held = float(where.market.exposure_eth.max())
    collateral, not_taken = side_by_side(situation, where, bare)
    return Study(
        settings=settings,
        timeline=timeline,
        where=where,
        compared=compared,
        periods=_periods(compared[RECOMMENDED], situation, where, shelf),
        versus_rules=versus_rules,
        p_holm=_adjust({name: one.versus for name, one in compared.items() if one.versus}),
        p_holm_rules=_holm_by_key(versus_rules, rules),
        placebos=placebos(
            situation,
            where,
            {name: one.daily for name, one in compared.items()},
            progress,
            shelf,
        ),
        warnings=margin_for(
            most_held,
            float(np.nanmax(where.market.perp)),
            settings.capital.collateral,
            settings.capital,
            contract,
            exposure_eth=most_held,
        ).warnings,
        notes=(*notes, *not_taken),
        collateral=collateral,
        skill=_skill(timeline, forecasts, where, settings),
        ledger=ledger,
    )
