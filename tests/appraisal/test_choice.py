"""Picking the best candidate: luck where all are alike, none where one is better."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.appraisal import choice
from counterpoise.appraisal.choice import losses, superior_p, weekly_losses
from counterpoise.signals.conformal import Interval
from counterpoise.signals.programme import Walked
from counterpoise.signals.targets import find

HOURS = 24 * 400


def walked(**candidates: np.ndarray) -> Walked:
    outcome = np.random.default_rng(5).normal(size=HOURS)
    nothing = np.full(HOURS, np.nan)
    return Walked(
        target=find("volatility.24h"),
        outcome=outcome,
        candidates={name: outcome + error for name, error in candidates.items()},
        best=nothing,
        score=nothing,
        weights={},
        interval=Interval(nothing, nothing),
        bounded=nothing,
        splits=(),
    )


def overfitting_probability(one: Walked, rows: np.ndarray) -> float | None:
    return choice.overfitting_probability(weekly_losses(one, rows))


def errors(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=HOURS)


def test_candidates_that_are_alike_are_picked_by_luck() -> None:
    alike = walked(**{f"c{k}": errors(k) for k in range(8)})
    found = overfitting_probability(alike, np.ones(HOURS, bool))
    assert found is not None
    assert found > 0.25


def test_a_candidate_that_is_better_is_picked_for_a_reason() -> None:
    one = walked(good=errors(1, 0.5), **{f"c{k}": errors(k) for k in range(2, 8)})
    assert overfitting_probability(one, np.ones(HOURS, bool)) == 0.0


def test_too_few_weeks_or_candidates_say_nothing() -> None:
    alone = walked(only=errors(1))
    assert overfitting_probability(alone, np.ones(HOURS, bool)) is None
    two = walked(a=errors(1), b=errors(2))
    assert overfitting_probability(two, np.arange(HOURS) < 168 * 31) is None
    silent = replace(two, candidates={**two.candidates, "c": np.full(HOURS, np.nan)})
    assert overfitting_probability(silent, np.ones(HOURS, bool)) == overfitting_probability(
        two, np.ones(HOURS, bool)
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("direction.4h", [0.04, 0.16]),
        ("funding.7d", [0.2, 0.4]),
        ("adverse_move.24h", [0.95 * 0.2, 0.05 * 0.4]),
    ],
)
def test_losses_are_those_of_the_question(key: str, expected: list[float]) -> None:
    found = losses(find(key), np.array([0.8, 0.4]), np.array([1.0, 0.0]))
    assert found == pytest.approx(expected)


def test_no_candidate_is_superior_by_luck_and_a_better_one_is() -> None:
    everywhere = np.ones(HOURS, bool)
    alike = weekly_losses(walked(**{f"c{k}": errors(k) for k in range(6)}), everywhere)
    assert superior_p(alike, "c0") > 0.1
    better = weekly_losses(walked(good=errors(9, 0.5), base=errors(1)), everywhere)
    assert superior_p(better, "base") < 0.01
    assert superior_p(better, "good") > 0.3
    assert superior_p(better, "nobody") is None
    assert superior_p({"base": better["base"]}, "base") is None


def test_a_weekly_loss_is_the_mean_of_its_hours() -> None:
    one = walked(a=errors(1), b=errors(2))
    found = weekly_losses(one, np.ones(HOURS, bool))["a"]
    assert found[3] == pytest.approx((errors(1)[3 * 168 : 4 * 168] ** 2).mean())


def test_every_trial_makes_a_p_value_worth_less() -> None:
    assert choice.deflated(0.05, 1) == pytest.approx(0.05)
    assert choice.deflated(0.05, 2) == pytest.approx(1 - 0.95**2)
    assert choice.deflated(1.0, 5) == 1.0
    assert choice.deflated(1e-12, 700) == pytest.approx(7e-10)
