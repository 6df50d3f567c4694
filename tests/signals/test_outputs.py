"""Targets are what the walk-forward would have said: calibration, volatility and sums alike."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.errors import FixConfig
from counterpoise.signals import boosting
from counterpoise.signals.baselines import apply_linear
from counterpoise.signals.bundle import Part, Target
from counterpoise.signals.confidence import Isotonic, Platt
from counterpoise.signals.outputs import Outputs, calibrator_tensors
from tests.signals.bundles import FEATURES, bundle, text

RNG = np.random.default_rng(4)
X = RNG.normal(size=(500, len(FEATURES)))
X[RNG.random(X.shape) < 0.1] = np.nan


def column(outputs: Outputs, rows: np.ndarray, name: str) -> np.ndarray:
    return outputs.rows(rows)[:, outputs.names.index(name)]


def test_probabilities_are_those_of_the_calibrators() -> None:
    outputs = Outputs(bundle())
    up = Platt(1.5, 0.1)(boosting.predict(text("binary", 1), X))
    pays = Isotonic(np.array([0.3, 0.5, 0.6]), np.array([0.4, 0.5, 0.55]))(
        boosting.predict(text("binary", 2), X)
    )
    np.testing.assert_allclose(column(outputs, X, "p_up_4h"), up, atol=1e-12)
    np.testing.assert_allclose(column(outputs, X, "p_hedge_pays_4h"), pays, atol=1e-12)


def test_a_steep_calibration_is_held_where_the_calibrator_holds_it() -> None:
    steep = bundle().tensors | {"up_calibrator": calibrator_tensors(Platt(90.0, 0.0))}
    p = column(Outputs(bundle(tensors=steep)), X, "p_up_4h")
    expected = Platt(90.0, 0.0)(boosting.predict(text("binary", 1), X))
    assert {p.min(), p.max()} == {0.01, 0.99}
    np.testing.assert_allclose(p, expected, atol=1e-12)


def test_volatility_is_the_exponential_of_half_the_log_variance_times_its_factor() -> None:
    linear = apply_linear(np.array([-1.0, 0.0, 0.5, 0.0, 0.0, 0.25]), np.where(np.isnan(X), 0.0, X))
    known = ~np.isnan(X[:, [1, 4]]).any(axis=1)
    boosted = boosting.predict(text("regression", 3), X)
    expected = np.where(known, 1.25 * np.exp((linear + 0.5 * boosted) / 2), np.nan)
    outputs = Outputs(bundle())
    np.testing.assert_allclose(column(outputs, X, "vol_24h"), expected, rtol=1e-12)
    np.testing.assert_allclose(
        column(outputs, X, "funding_next"), np.where(known, -2 * linear, np.nan), rtol=1e-12
    )


def test_unknown_features_of_a_linear_model_take_its_fill() -> None:
    fill = np.array([9.0, 0.1, 9.0, 9.0, -0.2])
    har = bundle().tensors["har"] | {"fill": fill}
    outputs = Outputs(bundle(tensors=bundle().tensors | {"har": har}))
    filled = np.where(np.isnan(X), fill, X)
    np.testing.assert_allclose(
        column(outputs, X, "funding_next"),
        -2 * apply_linear(har["coefficients"], filled),
        rtol=1e-12,
    )


def test_one_row_and_many_rows_are_the_same_to_the_last_bit() -> None:
    outputs = Outputs(bundle())
    one_by_one = np.vstack([outputs.rows(row[None, :]) for row in X])
    assert one_by_one.tobytes() == outputs.rows(X).tobytes()


def test_an_ensemble_counts_with_its_weight_and_its_gaps() -> None:
    mixed = Target("p_up_4h", 4, (Part("trees.up", 0.25), Part("lstm.1", 0.75)), "probability")
    outputs = Outputs(bundle(targets=(mixed,)))
    assert outputs.columns == 2
    ensemble = RNG.uniform(size=(500, 3))
    ensemble[7] = np.nan
    expected = 0.25 * boosting.predict(text("binary", 1), X) + 0.75 * ensemble[:, 1]
    values = outputs.rows(X, ensemble)[:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    assert np.isnan(values[7])


@pytest.mark.parametrize("given", [None, np.zeros((500, 1))])
def test_a_missing_ensemble_is_refused_not_taken_for_zero(given: np.ndarray | None) -> None:
    outputs = Outputs(bundle(targets=(Target("p_up_4h", 4, (Part("lstm.1"),)),)))
    with pytest.raises(FixConfig, match=r"ensemble = .*2 forecasts a row"):
        outputs.rows(X, given)


def test_an_uncalibrated_probability_stays_between_0_and_1() -> None:
    far = Target("p", 4, (Part("linear.har", 50.0),), "probability")
    values = Outputs(bundle(targets=(far,))).rows(np.vstack([np.full(5, 9.0), np.full(5, -9.0)]))
    assert values.ravel().tolist() == [1.0, 0.0]


def test_a_bundle_of_linear_models_needs_no_trees() -> None:
    only = tuple(replace(target) for target in bundle().targets if target.name == "funding_next")
    outputs = Outputs(bundle(targets=only, texts={}))
    assert outputs.rows(np.zeros((2, 5))).tolist() == [[2.0], [2.0]]
