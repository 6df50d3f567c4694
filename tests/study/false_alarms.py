"""How often the street finds something where there is nothing, counted on generated markets.

``python -m tests.study.false_alarms`` prints the table of docs/synthetic.md. Every step from tables
to p-value is the product's own.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from counterpoise.config import Settings, SignalSettings
from counterpoise.features.engine import compute
from counterpoise.hedging import Intent, Situation
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio
from counterpoise.market.synthetic import generate
from counterpoise.simulation.arena import Arena, arena
from counterpoise.study.inference import BOOTSTRAPPED, paired_bootstrap
from tests.study.street import (
    INPUTS,
    PRICES,
    against_matched_static,
    auc_interval,
    daily_of,
    direction_scores,
    situation_of,
    timeline_of,
)

Floats = NDArray[np.float64]

MARKETS = 200
DRAWS = 399
#: Days before the first compared one: what the rules and the cost model need to know something.
WARM_UP_DAYS = 30
#: Metrics that are better when smaller.
RISKS = ("vol", "cvar95")
SETTINGS = Settings(signals=SignalSettings(min_train_days=150))
#: Days of the markets without timing to find, a hundred and fifty of them in training for those
#: without direction: the rest, a year, is out of sample.
TIMING_DAYS, DIRECTION_DAYS, DIRECTION_REFIT_MONTHS = 300, 510, 7


def expected(markets: int, rate: float = 0.05) -> tuple[int, int]:
    """Fewest and most false alarms of an honest test, central 95 %.

    Examples
    --------
    >>> expected(200)
    (4, 16)
    """
    low, high = binom.interval(0.95, markets, rate)
    return int(low), int(high)


def timed_by(situation: Situation, where: Arena, volatility: Floats) -> Intent:
    """The volatility rule on someone's volatility, its open share a fifth on average."""
    asked = inverse_volatility_ratio(situation, volatility)
    share = 1.0 - (asked.lo + asked.hi) / 2.0
    scaled = 0.2 * share / np.nanmean(share[where.first : where.last])
    return situation.around(1.0 - np.clip(scaled, 0.0, 0.7), 0.05)


def useless_timing(markets: int, days: int) -> tuple[Counter[str], Counter[str]]:
    """Two rules timed by the volatility of other markets, by metric.

    How often they are told apart, and how often the first is called better than a static hedge of
    its size.
    """
    apart: Counter[str] = Counter()
    better: Counter[str] = Counter()
    volatility: list[Floats] = []
    for seed in range(markets + 2):
        timeline = timeline_of(generate(seed, days=days), PRICES)
        volatility.append(np.exp(compute(timeline, ["log_rv_168h"])["log_rv_168h"]))
        if seed < 2:
            continue
        situation = situation_of(timeline, SETTINGS)
        where = arena(timeline, SETTINGS, 24 * WARM_UP_DAYS, situation.ticks)
        one, other = (timed_by(situation, where, volatility[seed - back]) for back in (1, 2))
        for metric, found in paired_bootstrap(*daily_of(where, one, other), draws=DRAWS).items():
            apart[metric] += found.p <= 0.05
        for metric, found in against_matched_static(situation, where, one, DRAWS).items():
            gain = found.difference < 0 if metric in RISKS else found.difference > 0
            better[metric] += found.p <= 0.05 and gain
    return apart, better


@dataclass(frozen=True)
class Direction:
    """What the direction model did on markets without direction.

    Attributes
    ----------
    aucs : tuple of float
        Out of sample, by market.
    missed : int
        Intervals of the AUC that leave out a half.
    paid : int
        Hedges by the score whose mean differs from their matched static's at p <= 0.05.
    """

    aucs: tuple[float, ...]
    missed: int
    paid: int


def no_direction(markets: int, days: int, refit_months: int) -> Direction:
    """Train, score and bet on generated martingales."""
    aucs, missed, paid = [], 0, 0
    for seed in range(markets):
        timeline = timeline_of(generate(1000 + seed, days=days), INPUTS)
        score, up = direction_scores(timeline, SETTINGS, refit_months=refit_months)
        value, low, high = auc_interval(score, up, block_days=2.0)
        aucs.append(value)
        missed += not low <= 0.5 <= high
        situation = situation_of(timeline, SETTINGS)
        whole = np.concatenate([np.full(situation.ticks - len(score), np.nan), score])
        bet = np.clip(0.8 - 5.0 * (whole - 0.5), 0.5, 1.0)
        where = arena(timeline, SETTINGS, situation.ticks - len(score) // 24 * 24, situation.ticks)
        intent = situation.around(situation.daily(bet), 0.05)
        paid += against_matched_static(situation, where, intent, DRAWS)["mean"].p <= 0.05
    return Direction(tuple(aucs), missed, paid)


def main() -> None:
    """Print how many of the markets gave a false alarm, by test."""
    low, high = expected(MARKETS)
    apart, better = useless_timing(MARKETS, TIMING_DAYS)
    direction = no_direction(MARKETS, DIRECTION_DAYS, DIRECTION_REFIT_MONTHS)
    print(f"| {MARKETS} markets, p <= 0.05 | two useless timings | called better than static |")
    print("|---|---:|---:|")
    for metric in BOOTSTRAPPED:
        print(f"| {metric} | {apart[metric]} | {better[metric]} |")
    print()
    print(f"| {MARKETS} markets | false alarms |")
    print("|---|---:|")
    print(f"| 95 % interval of the direction AUC leaves out 0.5 | {direction.missed} |")
    print(f"| mean of a hedge by the score, against its matched static | {direction.paid} |")
    print(f"\nAn honest test gives {low} to {high} of {MARKETS}.")


if __name__ == "__main__":
    main()
