"""The gate speaks when today is unlike the training, and only then; live and over history alike."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.signals.drift import Drift, DriftLimits, Measures, reference, stale
from counterpoise.signals.live_calibration import Calibration

LIMITS = DriftLimits(window_h=100, outcomes=200)
NAMES = ("return", "volatility", "macro", "never", "seldom", "constant")


def rows_of(count: int, seed: int) -> np.ndarray:
    """A return, a slow volatility, a daily step, one never known, one seldom, one that stands."""
    rng = np.random.default_rng(seed)
    X = np.full((count, len(NAMES)), np.nan)
    X[:, 0] = rng.standard_t(4, count)
    slow = np.zeros(count)
    for t in range(1, count):
        slow[t] = 0.97 * slow[t - 1] + 0.2 * rng.normal()
    X[:, 1] = slow
    X[:, 2] = np.repeat(np.round(rng.normal(size=count // 24 + 1), 1), 24)[:count]
    X[:, 4] = np.where(rng.random(count) < 0.3, rng.normal(size=count), np.nan)
    X[:, 5] = 2.0
    return X


TRAINING = rows_of(5000, seed=1)
REFERENCE = reference(TRAINING, LIMITS)
TODAY = rows_of(1500, seed=2)


def gate() -> Drift:
    return Drift(REFERENCE, NAMES, LIMITS)


def last(drift: Drift, rows: np.ndarray) -> tuple[Measures, str]:
    found = [drift.update(row) for row in rows][-1]
    return found, drift.reason(rows[-1], found)


def test_history_and_live_agree_to_the_last_bit() -> None:
    one, many = gate(), gate()
    index = np.empty(TODAY.shape)
    whole = many.scan(TODAY, index)
    streamed = np.array([one.update(row) for row in TODAY])
    assert streamed.tobytes() == whole.tobytes()
    assert np.array_equal(list(one.drift_index().values()), index[-1], equal_nan=True)


def test_the_drift_index_is_that_of_the_window_counted_afresh() -> None:
    drift, window = gate(), LIMITS.window_h
    index = np.empty(TODAY.shape)
    measures = drift.scan(TODAY, index)
    assert np.isnan(measures[: window - 1, 3]).all()
    for t in (window - 1, window, 777, 1499):
        drifted = 0
        for f in (0, 1, 2, 4, 5):
            edges = np.quantile(TRAINING[~np.isnan(TRAINING[:, f]), f], np.linspace(0.1, 0.9, 9))

            def share(values: np.ndarray, edges: np.ndarray = edges) -> np.ndarray:
                known = values[~np.isnan(values)]
                bins = np.bincount(np.searchsorted(edges, known, side="left"), minlength=10)
                held = np.append(bins, np.isnan(values).sum()) / len(values) * window
                return (held + 0.5) / (window + 5.5)

            now, then = share(TODAY[t - window + 1 : t + 1, f]), share(TRAINING[:, f])
            expected = ((now - then) * np.log(now / then)).sum()
            assert index[t, f] == pytest.approx(expected, abs=1e-9), (t, f)
            drifted += expected > REFERENCE["index_limit"][f]
        assert measures[t, 3] == drifted / 5


def test_distance_and_range_are_those_of_the_training_alone() -> None:
    known = [TRAINING[~np.isnan(TRAINING[:, f]), f] for f in (0, 1, 2, 4, 5)]
    low, high = (np.array([np.quantile(v, q) for v in known]) for q in (0.001, 0.999))
    wide = 0.25 * (high - low)
    centre = np.array([np.median(v) for v in known])
    spread = np.array(
        [1.4826 * np.median(np.abs(v - m)) for v, m in zip(known, centre, strict=True)]
    )
    for row in TODAY[:200]:
        found = gate().update(row)
        x = row[[0, 1, 2, 4, 5]]
        seen = ~np.isnan(x)
        outside = ((x < low - wide) | (x > high + wide))[seen]
        assert found.outside == pytest.approx(outside.mean())
        moving = seen & (spread > 0)
        far = np.minimum(np.abs(x - centre)[moving] / spread[moving], 10)
        assert found.distance == pytest.approx(far.mean())


def test_days_like_the_training_pass() -> None:
    drift = gate()
    found = [drift.update(row) for row in TODAY]
    reasons = [drift.reason(row, now) for row, now in zip(TODAY, found, strict=True)]
    assert np.mean([bool(reason) for reason in reasons]) < 0.01


def test_values_in_other_units_are_out_of_distribution_at_once() -> None:
    row = TODAY[10].copy()
    row[:3] *= 1000.0
    found, reason = last(gate(), row[None, :])
    assert found.outside >= 0.5
    assert reason.startswith("out of distribution: return, volatility, macro outside the training")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_outside_any_range(value: float) -> None:
    row = np.where(np.isnan(TODAY[10]), np.nan, value)
    found, reason = last(gate(), row[None, :])
    assert found.outside == 1.0
    assert "out of distribution" in reason


def test_many_features_far_out_together_are_out_of_distribution() -> None:
    row = np.array([REFERENCE["high"][f] * 0.99 for f in range(6)])
    row[3], row[5] = np.nan, 2.0
    found, reason = last(gate(), row[None, :])
    assert found.outside == 0.0
    assert "robust deviations from the training on average" in reason


def test_a_row_of_nothing_is_missing_not_far_away() -> None:
    found, reason = last(gate(), np.full((1, 6), np.nan))
    assert (found.missing, found.outside) == (1.0, 0.0)
    assert reason == "missing feature: none is known"


def test_features_that_are_usually_known_are_missed_by_name() -> None:
    row = np.array([np.nan, np.nan, np.nan, np.nan, np.nan, 2.0])
    found, reason = last(gate(), row[None, :])
    assert found.missing == 0.75
    assert reason == "missing feature: return, volatility, macro unknown, usually known"


def test_features_that_never_move_are_never_far_away() -> None:
    still = np.full((400, 1), 2.0)
    drift = Drift(reference(still, LIMITS), ["constant"], LIMITS)
    found, reason = last(drift, still)
    assert np.isnan(found.distance)
    assert reason == ""
    assert "outside the training range" in last(drift, still[:1] + 1.0)[1]


def test_what_was_seldom_or_never_known_may_be_missing() -> None:
    row = TODAY[10].copy()
    row[[3, 4]] = np.nan
    found, reason = last(gate(), row[None, :])
    assert found.missing == 0.0
    assert reason == ""


def test_a_feature_never_known_in_training_is_not_judged() -> None:
    row = TODAY[10].copy()
    row[3] = 1e9
    assert last(gate(), row[None, :])[0].outside == gate().update(TODAY[10]).outside


@pytest.mark.parametrize(
    "moved",
    [lambda X: X * 3.0, lambda X: X - 1.5, lambda X: np.full_like(X, 0.1)],
    ids=["wider", "lower", "stuck"],
)
def test_a_window_spread_unlike_the_training_is_drift(moved) -> None:
    rows = TODAY.copy()
    rows[500:, 0] = moved(rows[500:, 0])
    limits = replace(LIMITS, drifted_share=0.15)  # one of five features is enough
    drift = Drift(REFERENCE, NAMES, limits)
    drifted = drift.scan(rows)[:, 3]
    assert (drifted[LIMITS.window_h : 500] > 0.15).mean() < 0.1
    assert (drifted[600:] > 0.15).all()
    found = Measures(outside=0.0, missing=0.0, distance=0.5, drifted=drifted[-1])
    assert drift.reason(TODAY[10], found) == "drift: return spread unlike the training over 100 h"


def test_drift_is_forgotten_once_it_has_left_the_window() -> None:
    rows = np.vstack([TODAY[:300], TODAY[300:600] * 50.0, TODAY[600:]])
    clean, after = gate(), gate()
    assert clean.scan(TODAY)[-1].tobytes() == after.scan(rows)[-1].tobytes()


def test_a_feature_that_wanders_slowly_in_training_may_do_so_today() -> None:
    limit = dict(zip(NAMES, REFERENCE["index_limit"], strict=True))
    assert limit["volatility"] > 2.0 * limit["return"]


def test_an_alarm_once_on_needs_a_clear_step_back() -> None:
    found = Measures(outside=0.0, missing=0.9 * LIMITS.missing_share, distance=0.5, drifted=0.0)
    assert gate().reason(TODAY[10], found) == ""
    assert gate().reason(TODAY[10], found, held=True).startswith("missing feature")


def test_a_training_too_short_for_a_reference_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="299 training hours, fewer than three windows of 100"):
        reference(TRAINING[:299], LIMITS)


@pytest.mark.parametrize("spoil", ["missing", "shape", "more"])
def test_arrays_that_are_no_reference_are_refused(spoil: str) -> None:
    arrays = dict(REFERENCE)
    if spoil == "missing":
        del arrays["edges"]
    elif spoil == "shape":
        arrays["low"] = np.zeros(5)
    else:
        arrays["extra"] = np.zeros(5)
    with pytest.raises(FixConfig, match=r"drift reference = .*Next: make it with drift\.reference"):
        Drift(arrays, NAMES, LIMITS)


def test_a_reference_is_finite_whatever_the_rows() -> None:
    spoilt = TRAINING.copy()
    spoilt[5, 0], spoilt[6, 1] = np.inf, -np.inf
    assert all(np.isfinite(values).all() for values in reference(spoilt, LIMITS).values())


@pytest.mark.parametrize(
    ("age_h", "told"),
    [(2.0, ""), (2.5, "2.5 h old, limit 2 h"), (np.nan, "no input was ever seen")],
)
def test_inputs_may_be_no_older_than_the_limit(age_h: float, told: str) -> None:
    reason = stale(age_h, LIMITS)
    assert told in reason
    assert bool(reason) == bool(told)


def outcomes_of(p: np.ndarray, horizon_h: int, seed: int, bias: float = 0.0) -> np.ndarray:
    """Overlapping outcomes: one draw for ``horizon_h`` hours."""
    draws = np.random.default_rng(seed).random(len(p) // horizon_h + 1)
    return (np.repeat(draws, horizon_h)[: len(p)] < p - bias) * 1.0


P = np.clip(0.5 + 0.05 * np.random.default_rng(3).normal(size=4000), 0.01, 0.99)


def test_calibration_live_and_over_history_agree_to_the_last_bit() -> None:
    happened = outcomes_of(P, 4, 1)
    one, many = Calibration(4, LIMITS), Calibration(4, LIMITS)
    streamed = np.array([one.update(p, y) for p, y in zip(P, happened, strict=True)])
    assert streamed.tobytes() == many.scan(P, happened).tobytes()


def test_calibration_is_the_mean_error_in_standard_errors_of_the_window() -> None:
    happened = outcomes_of(P, 4, 1)
    z = Calibration(4, LIMITS).scan(P, happened)
    assert np.isnan(z[:199]).all()
    for t in (199, 200, 1234, 3999):
        p, y = P[t - 199 : t + 1], happened[t - 199 : t + 1]
        error = np.sqrt((p * (1 - p)).sum() * 4) / 200
        assert z[t] == pytest.approx((p - y).mean() / error, abs=1e-9)


def test_honest_forecasts_raise_no_alarm_and_biased_ones_do() -> None:
    limits = DriftLimits(outcomes=1000)
    calibration = Calibration(4, limits)
    honest = calibration.scan(P, outcomes_of(P, 4, 5))
    assert not any(calibration.reason(z) for z in honest)
    z = Calibration(4, limits).scan(P, outcomes_of(P, 4, 5, bias=0.3))[-1]
    assert calibration.reason(z).startswith("drift: forecasts were too high by ")
    assert "too low" in calibration.reason(-z)
    assert calibration.reason(3.9) == ""
    assert calibration.reason(3.9, held=True) != ""


@given(st.lists(st.integers(0, 399), max_size=40))
def test_what_is_not_known_tells_nothing(gaps: list[int]) -> None:
    p, happened = P[:400].copy(), outcomes_of(P[:400], 4, 1)
    p[gaps[::2]] = np.nan
    happened[gaps[1::2]] = np.nan
    known = ~np.isnan(p - happened)
    with_gaps = Calibration(4, LIMITS).scan(p, happened)[-1]
    without = Calibration(4, LIMITS).scan(p[known], happened[known])[-1]
    assert with_gaps == without
