"""Policies fed with meaningless signals: what a result has to beat to mean anything."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging import RECOMMENDED, Intent, Situation
from counterpoise.hedging.confidence_formula import formula_intent
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio
from counterpoise.profiling import stage
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena
from counterpoise.simulation.simulate import simulate
from counterpoise.study.metrics import annual_vol, certainty_equivalent, daily_returns
from counterpoise.study.reuse import Arrays, Shelf

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Shifts of 30 days and more need a window that has room for many different ones.
FEWEST_TICKS = 24 * 365


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


@stage("placebos")
def placebos(
    situation: Situation,
    where: Arena,
    daily: dict[str, SimulatedPath],
    progress: Progress | None,
    shelf: Shelf,
) -> tuple[Placebo, ...]:
    """Volatility forecast shifted in time; C drawn at random; C shuffled by day.

    The statistic of volatility timing is its volatility below that of the static hedge at the same
    mean ratio, where the static path is taken as linear in the ratio between no and full hedge;
    that of the formula is its certainty equivalent (λ = 20).

    Parameters
    ----------
    situation : Situation
    where : Arena
    daily : dict of str to SimulatedPath
        Paths of the real policies, by UTC day.
    progress : callable, optional
    shelf : Shelf
        Holds the draws of an earlier study of the same market, forecasts and settings.
    """
    count = situation.settings.study.placebo_draws
    if count == 0 or where.last - where.first < FEWEST_TICKS:
        return ()
    rng = np.random.default_rng(situation.settings.study.seed)
    forecasts = situation.forecasts
    span = slice(where.first, where.last)
    bare = daily_returns(daily["unhedged"])
    full = daily_returns(daily["full"])

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

    kinds = (
        (RECOMMENDED, "volatility forecast shifted in time", "vol saved", shifted, vol_saved),
        ("formula_literal", "C drawn at random", "CE20", random_confidence, ce20),
        ("formula_literal", "C shuffled by day", "CE20", shuffled_confidence, ce20),
    )

    def draw() -> Arrays:
        drawn = {}
        for _, kind, _, make, measure in kinds:

            def report(done: int, kind: str = kind) -> None:
                if progress is not None:
                    progress(f"placebo: {kind}", done, count)

            intents = (make() for _ in range(count))
            paths = simulate(where, intents, daily=True, progress=report)
            drawn[kind] = np.array([measure(path) for path in paths])
        return drawn

    settings = situation.settings.model_dump(mode="json", exclude={"lake"})
    inputs = (settings, situation.timeline, forecasts, situation.one_way_cost, where, bare, full)
    draws = shelf.recall("placebos", inputs, draw)
    return tuple(
        Placebo(policy, kind, statistic, measure(daily[policy]), draws[kind])
        for policy, kind, statistic, _, measure in kinds
    )
