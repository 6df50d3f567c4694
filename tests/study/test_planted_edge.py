"""An edge that was planted is found, at its size; one that was not planted is not.

Synthetic evidence proves plumbing, not edge: these tests say what the street does with what is in
its data, and nothing about what is in the real data.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from counterpoise.config import Settings, SignalSettings, StudySettings
from counterpoise.features.engine import compute
from counterpoise.hedging import RECOMMENDED
from counterpoise.hedging.volatility_rule import inverse_volatility_ratio
from counterpoise.market.synthetic import generate
from counterpoise.market.synthetic_planted import Planted
from counterpoise.signals import baselines, labels
from counterpoise.signals.confidence import auc
from counterpoise.signals.training import forecast
from counterpoise.signals.walkforward import splits
from counterpoise.simulation.arena import arena
from counterpoise.study.compare import run_study
from counterpoise.study.inference import Difference
from tests.study.street import (
    INPUTS,
    PRICES,
    against_matched_static,
    auc_interval,
    direction_scores,
    situation_of,
    timeline_of,
)

Floats = NDArray[np.float64]

SEEDS = (1, 2, 3, 4, 5)
#: The planted signal has a slow part; blocks of days have to hold it.
SIGNAL_BLOCK_DAYS = 20.0


@pytest.mark.parametrize("strength", [0.58, 0.62])
def test_four_years_of_training_find_a_planted_direction_at_its_strength(
    strength: float,
) -> None:
    settings = Settings(signals=SignalSettings(min_train_days=1400))
    found, errors = [], []
    for seed in SEEDS:
        market = generate(seed, days=2100, planted=Planted(direction_auc=strength))
        timeline = timeline_of(market, INPUTS)
        score, up = direction_scores(timeline, settings, refit_months=12)
        value, low, high = auc_interval(score, up, block_days=SIGNAL_BLOCK_DAYS)
        assert low > 0.5
        # No forecast of this market beats the signal itself; learning it from returns costs little.
        signal = compute(timeline, ["gas_over_target"]).values[-len(score) :, 0]
        known = np.isfinite(signal) & np.isfinite(up)
        best = auc(signal[known], up[known])
        assert best - 0.015 < value < best + 0.005
        found.append(value)
        errors.append((high - low) / 2.0 / 1.96)
    standard_error = np.sqrt(np.mean(np.square(errors)) / len(SEEDS))
    assert np.mean(found) == pytest.approx(strength, abs=2.0 * standard_error)


def volatility_timing(seed: int, *, clustering: bool) -> tuple[float, Difference]:
    """R² of the walk-forward HAR forecast, and the rule on it against its matched static hedge."""
    settings = Settings()
    market = generate(seed, days=2600, planted=Planted(clustering=clustering))
    timeline = timeline_of(market, PRICES)
    target = labels.log_variance(timeline)
    refits = splits(
        timeline.ts_ms,
        horizon_h=target.horizon_h,
        embargo_h=settings.signals.embargo_h,
        min_train_days=settings.signals.min_train_days,
    )
    terms = baselines.variance_terms(compute(timeline, baselines.VARIANCE_TERMS))
    expected = baselines.walk_linear(terms, target.values, list(refits))
    known = np.isfinite(expected) & np.isfinite(target.values)
    error, happened = (target.values - expected)[known], target.values[known]
    situation = situation_of(timeline, settings)
    ready = int(np.flatnonzero(np.isfinite(expected))[0])
    where = arena(timeline, settings, ready + (-ready) % 24, situation.ticks)
    rule = inverse_volatility_ratio(situation, np.exp(expected / 2.0))
    skill = 1.0 - float(np.mean(error**2) / happened.var())
    return skill, against_matched_static(situation, where, rule, draws=999)["vol"]


def test_clustered_volatility_makes_the_volatility_rule_beat_its_matched_static() -> None:
    found = [volatility_timing(seed, clustering=True) for seed in SEEDS]
    assert min(skill for skill, _ in found) > 0.2
    assert all(versus.difference < 0 for _, versus in found)
    assert sum(versus.p <= 0.05 for _, versus in found) >= 4


def test_the_same_volatilities_in_random_order_leave_the_rule_nothing() -> None:
    for seed in SEEDS[:3]:
        skill, versus = volatility_timing(seed, clustering=False)
        assert abs(skill) < 0.02
        assert abs(versus.difference) < 0.002
        assert versus.p > 0.05


SMALL = Settings(
    signals=SignalSettings(min_train_days=540),
    study=StudySettings(draws=400, placebo_draws=0, burn_in_days=0),
)


def whole_street(planted: Planted) -> tuple[dict[str, Any], Difference]:
    """Everything from tables to verdict: the study's own skill and comparison."""
    timeline = timeline_of(generate(4, days=960, planted=planted), INPUTS)
    study = run_study(timeline, forecast(timeline, SMALL), SMALL)
    return study.skill, study.compared[RECOMMENDED].versus["vol"]


def test_the_whole_street_finds_both_edges() -> None:
    skill, versus = whole_street(Planted(direction_auc=0.62))
    assert 0.57 < skill["direction"]["auc_score"] < 0.66
    assert 0.57 < skill["direction"]["auc"] < 0.66
    assert skill["direction"]["brier"]["skill"] > 0.01
    assert skill["volatility"]["lightgbm"]["r2"] > skill["volatility"]["no_change"]["r2"]
    assert versus.difference < 0


def test_the_whole_street_finds_neither_where_nothing_is_planted() -> None:
    skill, versus = whole_street(Planted(clustering=False))
    assert abs(skill["direction"]["auc_score"] - 0.5) < 0.03
    assert skill["direction"]["brier"]["skill"] < 0.005
    assert skill["volatility"]["lightgbm"]["r2"] < 0.02
    assert versus.p > 0.05 or versus.difference > 0
