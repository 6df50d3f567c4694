"""Paths are counted, no label reaches into a test, and luck is told from skill."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.appraisal.crossval import (
    cross_validate,
    group_bounds,
    overfitting,
    purged_splits,
)
from counterpoise.appraisal.exam import Exam, score
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.units import HOUR_MS


@dataclass
class Taught:
    """What was learned: the mean of the labels, a slope, and which rows taught it."""

    slope: float
    mean: float

    def predict(self, X: np.ndarray, rows: slice) -> np.ndarray:
        return np.clip(self.mean + self.slope * X[rows, 0], 0.0, 1.0)


class Slope:
    """Least squares of the outcome on the first feature; keeps what it was given."""

    name = "slope"

    def __init__(self) -> None:
        self.given: list[tuple[np.ndarray, np.ndarray]] = []

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> Taught:
        self.given.append((X.copy(), y.copy()))
        rows = np.isfinite(y)
        slope, mean = np.polyfit(X[rows, 0], y[rows], 1)
        return Taught(slope, mean)


def exam(ticks: int, strength: float, horizon_h: int = 4) -> Exam:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(ticks, 2))
    y = (strength * X[:, 0] + rng.normal(size=ticks) > 0).astype(float)
    ts_ms = HOUR_MS * np.arange(ticks, dtype=np.int64)
    return Exam("up", ("a", "b"), X, y, ts_ms, horizon_h, "probability")


@settings(max_examples=60)
@given(
    ticks=st.integers(12, 90),
    groups=st.integers(2, 7),
    data=st.data(),
    horizon_h=st.integers(0, 9),
    embargo_h=st.integers(0, 5),
)
def test_no_training_label_overlaps_a_test_group(
    ticks: int, groups: int, data: st.DataObject, horizon_h: int, embargo_h: int
) -> None:
    tested = data.draw(st.integers(1, groups - 1))
    bounds = group_bounds(ticks, groups)
    assert np.concatenate([np.arange(ticks)[rows] for rows in bounds]).tolist() == [*range(ticks)]
    found = list(
        purged_splits(ticks, groups=groups, tested=tested, horizon_h=horizon_h, embargo_h=embargo_h)
    )
    assert len(found) == comb(groups, tested)
    for split in found:
        held_out = {t for group in split.tested for t in range(ticks)[bounds[group]]}

        def free(t: int, held_out: set[int] = held_out) -> bool:
            """Hours (t, t + horizon] of its label shared with no tested one, embargo on top."""
            hours = {*range(t + 1, t + horizon_h + 1)}
            clear = all(
                not hours & {*range(s + 1 - embargo_h, s + horizon_h + 1 + embargo_h)}
                for s in held_out
            )
            near = any(abs(t - s) <= embargo_h for s in held_out)
            return t not in held_out and clear and not near

        assert [bool(learn) for learn in split.train] == [free(t) for t in range(ticks)]


def test_every_path_covers_history_once_with_forecasts_of_its_own() -> None:
    whole, model = exam(600, 1.0), Slope()
    found = cross_validate(model, whole, groups=6, tested=2, embargo_h=3, seed=1)
    assert found.fits == len(model.given) == 15
    assert found.forecasts.shape == (comb(5, 1), 600)
    assert np.isfinite(found.forecasts).all()
    # Five splits hold a group out, each with a slope of its own.
    for rows in group_bounds(600, 6):
        assert len({path[rows].tobytes() for path in found.forecasts}) == 5
    assert [score("probability", path, whole.y) for path in found.forecasts] == list(found.scores)
    assert 0.78 < found.mean < 0.9
    assert 0.0 < found.spread < 0.02


def test_a_model_sees_neither_outcomes_nor_features_of_what_is_held_out() -> None:
    whole, model = exam(120, 1.0), Slope()
    cross_validate(model, whole, groups=4, tested=2, embargo_h=2, seed=1)
    bounds = group_bounds(120, 4)
    for (X, y), tested in zip(model.given, combinations(range(4), 2), strict=True):
        outside = np.isin(np.arange(120), [t for g in tested for t in range(120)[bounds[g]]])
        assert np.isnan(X[outside[: len(X)]]).all()
        assert np.isnan(y[outside[: len(y)]]).all()
        assert np.array_equal(X[~outside[: len(X)]], whole.X[: len(X)][~outside[: len(X)]])


def test_no_skill_scatters_around_no_skill() -> None:
    found = cross_validate(Slope(), exam(1200, 0.0), groups=6, tested=2, seed=1)
    assert 0.42 < found.mean < 0.55


@pytest.mark.parametrize("chosen", [(1, 1), (3, 3), (3, 0), (500, 2)])
def test_groups_that_cannot_be_are_refused(chosen: tuple[int, int]) -> None:
    with pytest.raises(FixConfig, match="0 < tested < groups <= 100 rows"):
        list(purged_splits(100, groups=chosen[0], tested=chosen[1], horizon_h=1, embargo_h=0))


def test_a_history_swallowed_by_the_embargo_is_refused() -> None:
    with pytest.raises(NotEnoughData, match=r"groups \(0, 1\) of 3"):
        cross_validate(Slope(), exam(90, 1.0), groups=3, tested=2, embargo_h=90, seed=1)


# --- overfitting ---------------------------------------------------------------------------------


def by_hand(performance: np.ndarray, blocks: int) -> list[float]:
    """Logits from the definition, one halving after the other."""
    length = len(performance) // blocks
    parts = np.split(performance[len(performance) - blocks * length :], blocks)
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        halves = [[], []]
        for i, part in enumerate(parts):
            halves[i not in chosen].append(part)
        sharpe = [
            np.concatenate(half).mean(axis=0) / np.concatenate(half).std(axis=0) for half in halves
        ]
        best = int(np.argmax(sharpe[0]))
        below = sum(other <= sharpe[1][best] for other in sharpe[1])
        relative = below / (performance.shape[1] + 1)
        logits.append(float(np.log(relative / (1 - relative))))
    return logits


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    blocks=st.sampled_from([2, 4, 6, 8]),
    spare=st.integers(0, 3),
    count=st.integers(2, 6),
)
def test_overfitting_is_what_its_definition_says(
    seed: int, blocks: int, spare: int, count: int
) -> None:
    performance = np.random.default_rng(seed).normal(0.01, 1.0, (blocks * 5 + spare, count))
    found = overfitting(performance, blocks=blocks)
    expected = by_hand(performance, blocks)
    assert len(found.logits) == comb(blocks, blocks // 2)
    np.testing.assert_allclose(found.logits, expected, atol=1e-9)
    assert found.probability == np.mean(np.array(expected) <= 1e-12)


def test_the_best_of_pure_noise_is_luck() -> None:
    rng = np.random.default_rng(5)
    found = [overfitting(rng.normal(size=(480, 20)), blocks=8).probability for _ in range(60)]
    # The standard error of the mean of sixty histories is about 0.03.
    assert abs(np.mean(found) - 0.5) < 0.1


def test_a_setting_that_dominates_is_no_overfitting() -> None:
    performance = np.random.default_rng(5).normal(size=(480, 20))
    performance[:, 7] += 1.0
    found = overfitting(performance)
    assert found.probability == 0.0
    assert found.loss == 0.0
    assert set(found.chosen) == {7}


def test_settings_fitted_to_one_half_are_overfitted() -> None:
    # Each setting is good in one block and pays for it in all others.
    performance = np.random.default_rng(5).normal(0.0, 0.1, (80, 8))
    for setting in range(8):
        performance[10 * setting : 10 * setting + 10, setting] += 8.0
        performance[:, setting] -= 1.0
    found = overfitting(performance, blocks=8, statistic="mean")
    assert found.probability == 1.0
    assert found.loss == 1.0


def test_a_setting_that_never_varies_has_no_sharpe_ratio() -> None:
    flat = np.column_stack([np.full(40, 0.1), np.random.default_rng(1).normal(1.0, 1.0, 40)])
    assert set(overfitting(flat, blocks=4).chosen) == {1}


@pytest.mark.parametrize(
    ("performance", "blocks", "told"),
    [
        (np.ones((40, 2)), 5, "blocks = 5: expected an even number"),
        (np.ones((40, 2)), 20, "blocks = 20"),
        (np.ones((40, 1)), 4, "two settings or more"),
        (np.where(np.arange(80).reshape(40, 2) == 7, np.nan, 1.0), 4, "period 3, setting 1"),
    ],
)
def test_what_cannot_be_halved_is_refused(performance: np.ndarray, blocks: int, told: str) -> None:
    with pytest.raises(FixConfig, match=told):
        overfitting(performance, blocks=blocks)


def test_too_few_periods_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="31 periods do not fill 16 blocks"):
        overfitting(np.ones((31, 2)))
