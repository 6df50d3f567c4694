"""Probabilities one can bet on: calibrated on the past, measured without flattery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from counterpoise.signals.confidence import (
    Isotonic,
    Platt,
    auc,
    brier,
    fit_calibrator,
    fit_isotonic,
    fit_platt,
    fit_validated,
    reliability_curve,
)


def scored(n: int, *, slope: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true log odds are ``slope`` times the score's log odds plus 0.2."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=n)
    truth = 1 / (1 + np.exp(-(slope * odds + 0.2)))
    return 1 / (1 + np.exp(-odds)), (rng.random(n) < truth).astype(float)


seeds = st.integers(0, 10_000)


def test_platt_equals_an_unpenalised_logistic_regression() -> None:
    scores, outcomes = scored(20_000, slope=0.4)
    ours = fit_platt(scores, outcomes)
    odds = np.log(scores / (1 - scores))
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], outcomes)
    assert ours.slope == pytest.approx(other.coef_[0, 0], rel=1e-3)
    assert ours.intercept == pytest.approx(other.intercept_[0], rel=1e-3)


def test_scores_that_misled_are_worth_the_base_rate() -> None:
    scores, outcomes = scored(5000, slope=-0.5)
    fitted = fit_platt(scores, outcomes)
    assert fitted.slope == 0
    np.testing.assert_allclose(fitted(scores), outcomes.mean(), atol=1e-3)


def test_constant_scores_give_the_base_rate() -> None:
    outcomes = np.arange(1000) % 4 == 0
    p = fit_platt(np.full(1000, 0.5), outcomes.astype(float))(np.array([0.5, 0.9]))
    np.testing.assert_allclose(p, 0.25, atol=1e-3)


def test_isotonic_equals_scikit_learn_on_the_same_bins() -> None:
    scores, outcomes = scored(8000, slope=0.3, seed=2)
    ours = fit_isotonic(scores, outcomes, horizon_h=4)
    parts = np.array_split(np.argsort(scores), 8000 // 200)
    rates = [outcomes[part].mean() for part in parts]
    centres = [scores[part].mean() for part in parts]
    other = IsotonicRegression(out_of_bounds="clip").fit(centres, rates)
    np.testing.assert_allclose(ours(scores), other.predict(scores), atol=1e-12)


def test_the_length_of_the_independent_past_chooses_the_map() -> None:
    scores, outcomes = scored(4400, slope=1.0)
    for hours, kind in ((399, type(None)), (400, Platt), (3999, Platt), (4000, Isotonic)):
        assert type(fit_calibrator(scores[:hours], outcomes[:hours], horizon_h=4)) is kind
    assert type(fit_calibrator(scores[:1000], outcomes[:1000], horizon_h=1)) is Isotonic


def test_no_calibration_without_both_outcomes() -> None:
    scores, _ = scored(1000, slope=1.0)
    assert fit_calibrator(scores, np.ones(1000), horizon_h=1) is None
    assert fit_calibrator(np.full(1000, np.nan), np.ones(1000), horizon_h=1) is None


@settings(max_examples=30, deadline=None)
@given(seed=seeds, slope=st.floats(-2, 4), n=st.sampled_from([600, 6000]))
def test_calibration_never_reorders_and_stays_inside_its_bounds(
    seed: int, slope: float, n: int
) -> None:
    scores, outcomes = scored(n, slope=slope, seed=seed)
    calibrator = fit_calibrator(scores, outcomes, horizon_h=4)
    assert calibrator is not None
    p = calibrator(np.sort(np.concatenate([scores, [0.0, 1.0]])))
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 0.01
    assert p.max() <= 0.99
    assert np.isnan(calibrator(np.array([np.nan]))).all()


def test_calibration_lowers_the_brier_score_of_overconfident_scores() -> None:
    scores, outcomes = scored(20_000, slope=0.2, seed=3)
    half = 10_000
    calibrator = fit_calibrator(scores[:half], outcomes[:half], horizon_h=4)
    assert calibrator is not None
    before = brier(scores[half:], outcomes[half:])
    after = brier(calibrator(scores[half:]), outcomes[half:])
    assert after.score < before.score - 0.02
    assert after.ece < 0.2 * before.ece


@settings(max_examples=40, deadline=None)
@given(seed=seeds, levels=st.sampled_from([2, 5, 1000]))
def test_auc_equals_scikit_learn_with_and_without_ties(seed: int, levels: int) -> None:
    scores, outcomes = scored(300, slope=0.7, seed=seed)
    scores = np.round(scores * levels) / levels
    assert auc(scores, outcomes) == pytest.approx(roc_auc_score(outcomes, scores), abs=1e-12)


def test_auc_of_one_kind_of_outcome_is_unknown() -> None:
    assert np.isnan(auc(np.array([0.1, 0.2]), np.ones(2)))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, slope=st.floats(-1, 3), levels=st.sampled_from([3, 1000]))
def test_the_brier_parts_add_up(seed: int, slope: float, levels: int) -> None:
    scores, outcomes = scored(500, slope=slope, seed=seed)
    scores = np.round(scores * levels) / levels
    found = brier(scores, outcomes)
    parts = found.reliability - found.resolution + found.uncertainty + found.within_bin
    assert parts == pytest.approx(found.score, abs=1e-14)
    assert found.score == pytest.approx(((scores - outcomes) ** 2).mean(), abs=1e-15)


def test_binning_hides_nothing_when_every_bin_holds_one_forecast() -> None:
    _, outcomes = scored(600, slope=1.0)
    found = brier(np.repeat([0.2, 0.5, 0.7], 200), outcomes, bins=3)
    assert found.within_bin == pytest.approx(0.0, abs=1e-12)
    assert found.reliability > 0


def test_reliability_bins_hold_equal_numbers_and_every_forecast() -> None:
    scores, outcomes = scored(1000, slope=1.0)
    curve = reliability_curve(scores, outcomes, bins=10)
    assert (curve.count == 100).all()
    assert curve.count @ curve.observed == outcomes.sum()
    assert (np.diff(curve.forecast) > 0).all()


def test_a_perfect_forecast_and_the_base_rate_are_the_ends_of_skill() -> None:
    outcomes = (np.arange(100) % 2).astype(float)
    assert brier(outcomes, outcomes).skill == 1.0
    assert brier(np.full(100, 0.5), outcomes).skill == 0.0


def stepped(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that mean one thing below a half, another above it, and nothing in between."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, n)
    return scores, (rng.random(n) < np.where(scores > 0.9, 0.9, 0.3)).astype(float)


def test_the_free_map_is_taken_only_where_it_forecast_better() -> None:
    smooth, step = scored(12_000, slope=0.6, seed=4), stepped(12_000)
    assert fit_validated(*smooth, horizon_h=4) == fit_platt(*smooth)
    free, expected = fit_validated(*step, horizon_h=4), fit_isotonic(*step, horizon_h=4)
    assert isinstance(free, Isotonic)
    np.testing.assert_array_equal(free.probabilities, expected.probabilities)
    assert isinstance(fit_calibrator(*smooth, horizon_h=4), Isotonic)


@settings(max_examples=25)
@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_the_choice_of_a_map_is_made_on_the_last_third_alone(seed: int, share: float) -> None:
    first, second = scored(3000, slope=0.8, seed=seed), stepped(3000, seed)
    mixed = np.random.default_rng(seed).random(3000) < share
    scores, outcomes = (np.where(mixed, a, b) for a, b in zip(first, second, strict=True))
    # Outcomes of three hours overlap: three rows are left out between the parts.
    past, future = slice(0, 2000), slice(2003, 3000)
    losses = [
        np.mean((calibrator(scores[future]) - outcomes[future]) ** 2)
        for calibrator in (
            fit_platt(scores[past], outcomes[past]),
            fit_isotonic(scores[past], outcomes[past], horizon_h=3),
        )
    ]
    found = fit_validated(scores, outcomes, horizon_h=3)
    assert isinstance(found, Isotonic if losses[1] < losses[0] else Platt)


def test_a_short_past_is_calibrated_as_before_and_an_early_calm_has_no_free_map() -> None:
    scores, outcomes = scored(3000, slope=0.6)
    short = slice(0, 2999)
    assert fit_validated(scores[short], outcomes[short], horizon_h=3) == fit_platt(
        scores[short], outcomes[short]
    )
    assert fit_validated(scores[:50], outcomes[:50], horizon_h=1) is None
    assert fit_validated(scores, np.ones(3000), horizon_h=1) is None
    late = np.where(np.arange(3000) < 2100, 0.0, outcomes)
    assert fit_validated(scores, late, horizon_h=1) == fit_platt(scores, late)
    # Rows without a score or an outcome are as if they were not there.
    holed, unknown = scores.copy(), outcomes.copy()
    holed[::7] = np.nan
    unknown[3::7] = np.nan
    kept = np.isfinite(holed) & np.isfinite(unknown)
    assert fit_validated(holed, unknown, horizon_h=4) == fit_validated(
        scores[kept], outcomes[kept], horizon_h=4
    )


def test_outcomes_that_overlap_the_part_learned_from_do_not_choose() -> None:
    decided = 0
    for seed in range(40):
        scores, outcomes = scored(8000, slope=0.8, seed=seed)
        cut, horizon_h = 2 * 8000 // 3, 8
        smooth = fit_platt(scores[:cut], outcomes[:cut])
        free = fit_isotonic(scores[:cut], outcomes[:cut], horizon_h=horizon_h)
        # Just behind the cut all speaks for the free map, as loudly as anything can.
        loudest = scores[np.argmax(np.abs(free(scores) - smooth(scores)))]
        scores[cut : cut + horizon_h] = loudest
        lies_above = free(np.array([loudest]))[0] > smooth(np.array([loudest]))[0]
        outcomes[cut : cut + horizon_h] = float(lies_above)

        def lead(start: int, p: np.ndarray = scores, y: np.ndarray = outcomes) -> float:
            """By how much the smooth map is better from a row on."""
            missed = [np.mean((one(p[start:]) - y[start:]) ** 2) for one in (free, smooth)]  # noqa: B023
            return float(missed[0] - missed[1])

        if lead(cut) < 0 < lead(cut + horizon_h):
            decided += 1
            assert isinstance(fit_validated(scores, outcomes, horizon_h=horizon_h), Platt)
    assert decided
