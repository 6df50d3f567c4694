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
from counterpoise.errors import NotEnoughData
from counterpoise.hedging import Intent, Policy, Situation, one_way_cost, policies
from counterpoise.hedging.confidence_formula import formula_intent
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import evaluate
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.simulate import Arena, arena, simulate, simulate_one, to_days
from counterpoise.study.inference import Difference, holm, paired_bootstrap
from counterpoise.study.metrics import (
    annual_vol,
    by_year,
    certainty_equivalent,
    daily_returns,
    summarise,
)
from counterpoise.units import DAY_MS, stamp, to_ms
from counterpoise.venues import contract_at

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: The recommended policy and the metrics it was registered for before the test years were opened.
RECOMMENDED = "volatility_timed"
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
    matched : SimulatedPath or None
        Static hedge at the same mean ratio, by UTC day; None for static policies.
    matched_years : dict
        Its metrics by year.
    versus : dict of str to Difference
        Policy minus matched static, by metric.
    """

    policy: Policy
    path: SimulatedPath
    daily: SimulatedPath
    metrics: dict[str, float]
    years: dict[int, dict[str, float]]
    matched: SimulatedPath | None
    matched_years: dict[int, dict[str, float]]
    versus: dict[str, Difference]


@dataclass(frozen=True)
class Placebo:
    """A policy's statistic among those of paths whose signal was made meaningless."""

    policy: str
    kind: str
    statistic: str
    value: float
    draws: Floats

    @property
    def position(self) -> float:
        """Share of placebos the policy beats; every statistic is better when larger."""
        return float(np.mean(self.draws < self.value)) if len(self.draws) else float("nan")


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
    versus_rules : dict of str to dict of str to Difference
        Recommended policy minus each manual rule, by metric: unmatched, exploratory.
    p_holm : dict of (policy, metric) to float
        Holm over the three registered metrics for the recommended policy, over all the other
        comparisons for the rest.
    placebos : tuple of Placebo
    skill : dict
        ``signals.training.evaluate`` over the window.
    """

    settings: Settings
    timeline: Timeline
    where: Arena
    compared: dict[str, Compared]
    versus_rules: dict[str, dict[str, Difference]]
    p_holm: dict[tuple[str, str], float]
    placebos: tuple[Placebo, ...]
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


def _compare(
    chosen: Policy,
    path: SimulatedPath,
    unhedged: Floats,
    situation: Situation,
    where: Arena,
) -> Compared:
    study = situation.settings.study
    daily = to_days(path)
    matched, matched_years, versus = None, {}, {}
    if chosen.name not in STATIC:
        matched = simulate_one(where, _static(situation, float(path.ratio.mean())), daily=True)
        matched_years = by_year(matched, unhedged)
        versus = paired_bootstrap(
            daily_returns(daily), daily_returns(matched), draws=study.draws, seed=study.seed
        )
    return Compared(
        chosen,
        path,
        daily,
        summarise(daily, unhedged),
        by_year(daily, unhedged),
        matched,
        matched_years,
        versus,
    )


def _adjust(compared: dict[str, Compared]) -> dict[tuple[str, str], float]:
    """Holm over the registered family and, apart from it, over all exploratory comparisons."""
    registered = [(RECOMMENDED, metric) for metric in PREREGISTERED if compared[RECOMMENDED].versus]
    rest = [
        (name, metric)
        for name, one in compared.items()
        for metric in one.versus
        if (name, metric) not in registered
    ]
    adjusted: dict[tuple[str, str], float] = {}
    for family in (registered, rest):
        values = holm([compared[name].versus[metric].p for name, metric in family])
        adjusted |= dict(zip(family, (float(value) for value in values), strict=True))
    return adjusted


def _placebos(
    situation: Situation,
    where: Arena,
    compared: dict[str, Compared],
    progress: Progress | None,
) -> tuple[Placebo, ...]:
    """Volatility forecast shifted in time; C drawn at random; C shuffled by day.

    The statistic of volatility timing is its volatility below that of the static hedge at the same
    mean ratio, where the static path is taken as linear in the ratio between no and full hedge;
    that of the formula is its certainty equivalent (λ = 20).
    """
    count = situation.settings.study.placebo_draws
    if count == 0:
        return ()
    rng = np.random.default_rng(situation.settings.study.seed)
    forecasts = situation.forecasts
    span = slice(where.first, where.last)
    bare = daily_returns(compared["unhedged"].daily)
    full = daily_returns(compared["full"].daily)

    def vol_saved(path: SimulatedPath) -> float:
        ratio = float(path.ratio.mean())
        return annual_vol(bare + ratio * (full - bare)) - annual_vol(daily_returns(path))

    def ce20(path: SimulatedPath) -> float:
        return certainty_equivalent(daily_returns(path), 20.0)

    def replaced(values: Floats, inside: Floats) -> Floats:
        whole = values.copy()
        whole[span] = inside
        return whole

    ticks = where.last - where.first

    def shifted() -> Intent:
        by = int(rng.integers(30 * 24, ticks - 30 * 24))
        volatility = replaced(forecasts.vol_24h, np.roll(forecasts.vol_24h[span], by))
        return inverse_volatility_ratio(situation, volatility)

    def random_confidence() -> Intent:
        hours = np.repeat(rng.uniform(0, 1, ticks // 4 + 1), 4)[:ticks]
        return formula_intent(situation, replaced(forecasts.p_up_4h, hours))

    def shuffled_confidence() -> Intent:
        days = np.arange(ticks) // 24
        order = rng.permutation(days[-1] + 1)
        source = np.minimum(order[days] * 24 + np.arange(ticks) % 24, ticks - 1)
        return formula_intent(
            situation, replaced(forecasts.p_up_4h, forecasts.p_up_4h[span][source])
        )

    found = []
    for policy, kind, statistic, make, measure in (
        (RECOMMENDED, "volatility forecast shifted in time", "vol saved", shifted, vol_saved),
        ("formula_literal", "C drawn at random", "CE20", random_confidence, ce20),
        ("formula_literal", "C shuffled by day", "CE20", shuffled_confidence, ce20),
    ):

        def report(done: int, kind: str = kind) -> None:
            if progress is not None:
                progress(f"placebo: {kind}", done, count)

        intents = (make() for _ in range(count))
        draws = [measure(path) for path in simulate(where, intents, daily=True, progress=report)]
        value = measure(compared[policy].daily)
        found.append(Placebo(policy, kind, statistic, value, np.array(draws)))
    return tuple(found)


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
    return Study(
        settings,
        timeline,
        where,
        compared,
        versus_rules,
        _adjust(compared),
        _placebos(situation, where, compared, progress),
        evaluate(timeline, forecasts, int(where.ts_ms[0]), int(where.ts_ms[-1])),
    )
