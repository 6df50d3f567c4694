"""Targets are what the walk-forward would have said: parts, members, blends and calibration."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.errors import FixConfig
from counterpoise.signals import boosting, stack
from counterpoise.signals.bundle import Member, Part, Target
from counterpoise.signals.confidence import Isotonic, Platt
from counterpoise.signals.linear import FittedLinear, Line
from counterpoise.signals.outputs import Outputs, calibrator_tensors, linear_tensors
from tests.signals.bundles import FEATURES, HAR, alone, bundle, text

RNG = np.random.default_rng(4)
X = RNG.normal(size=(500, len(FEATURES)))
X[RNG.random(X.shape) < 0.1] = np.nan
ALL = slice(0, len(X))
LINE = HAR.predict(X, ALL)
VOL = boosting.predict(text("regression", 3), X)


def column(outputs: Outputs, rows: np.ndarray, name: str) -> np.ndarray:
    return outputs.rows(rows)[:, outputs.names.index(name)]


def test_probabilities_are_those_of_the_calibrators() -> None:
    outputs = Outputs(bundle())
    up = Platt(1.5, 0.1)(boosting.predict(text("binary", 1), X))
    pays = Isotonic(np.array([0.3, 0.5, 0.6]), np.array([0.4, 0.5, 0.55]))(
        boosting.predict(text("binary", 2), X)
    )
    np.testing.assert_allclose(column(outputs, X, "direction.4h"), up, atol=1e-12)
    np.testing.assert_allclose(column(outputs, X, "hedge_pays.4h"), pays, atol=1e-12)


def test_a_steep_calibration_is_held_where_the_calibrator_holds_it() -> None:
    steep = dict(bundle().tensors) | {"up_calibrator": calibrator_tensors(Platt(90.0, 0.0))}
    p = column(Outputs(bundle(tensors=steep)), X, "direction.4h")
    expected = Platt(90.0, 0.0)(boosting.predict(text("binary", 1), X))
    assert {p.min(), p.max()} == {0.01, 0.99}
    np.testing.assert_allclose(p, expected, atol=1e-12)


def test_trees_around_a_line_are_silent_with_it_and_the_blend_is_that_of_history() -> None:
    outputs = Outputs(bundle())
    members = {"har": LINE, "trees": LINE + VOL}
    expected = stack.blend(members, np.array([0.25, 0.75]), ALL)
    assert 0 < np.isnan(expected).sum() < len(X)
    np.testing.assert_allclose(column(outputs, X, "volatility.24h"), expected, rtol=1e-12)
    np.testing.assert_allclose(column(outputs, X, "funding.next"), LINE, rtol=1e-12)


@pytest.mark.parametrize("weights", [(0.2, 0.8, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_silent_members_leave_their_weight_to_the_others(weights: tuple[float, ...]) -> None:
    parts = {
        "line": Part(("linear.har",)),
        "offset": Part(offset="basis", factor=2.0),
        "trees": Part(("trees.vol",), offset="log_rv_24h", factor=-1.0),
    }
    said = {"line": LINE, "offset": 2.0 * X[:, 2], "trees": VOL - X[:, 1]}
    members = tuple(
        Member(name, weight, (part,))
        for (name, part), weight in zip(parts.items(), weights, strict=True)
    )
    outputs = Outputs(bundle(targets=(Target("a", 4, members),)))
    made = outputs.made(X)
    np.testing.assert_allclose(made.members, np.column_stack(list(said.values())), rtol=1e-12)
    expected = stack.blend(said, np.array(weights), ALL)
    np.testing.assert_allclose(made.values[:, 0], expected, rtol=1e-12)


def test_a_probability_of_several_parts_is_the_mean_of_log_odds() -> None:
    parts = (Part(("trees.up",)), Part(("trees.pays",)), Part(("linear.har",), "logistic"))
    target = Target("p", 4, (Member("all", 1.0, parts),), "probability")
    p = [boosting.predict(text("binary", seed), X) for seed in (1, 2)]
    odds = np.mean([np.log(p[0] / (1 - p[0])), np.log(p[1] / (1 - p[1])), LINE], axis=0)
    values = Outputs(bundle(targets=(target,))).rows(X)[:, 0]
    np.testing.assert_allclose(values, 1 / (1 + np.exp(-odds)), rtol=1e-9)


def test_a_model_of_the_logarithm_is_raised() -> None:
    target = alone("a", 4, Part(("linear.har", "trees.vol"), "exp"), "quantile")
    values = Outputs(bundle(targets=(target,))).rows(X)[:, 0]
    np.testing.assert_allclose(values, np.exp(LINE + VOL), rtol=1e-12)


def test_lines_by_a_feature_and_extreme_inputs_are_those_of_the_model() -> None:
    rows = X.copy()
    rows[:, 4] = RNG.choice([0.0, 0.5, 0.123456, np.nan, 3.0], len(X))
    rows[::7, 1] *= 1e4
    lines = {
        value: Line(
            np.array([1, 0])[: k + 1],
            RNG.normal(size=k + 1),
            np.ones(k + 1),
            RNG.normal(size=k + 2),
        )
        for k, value in enumerate((0.0, 0.123456))
    }
    lines[0.5] = Line(np.empty(0, np.intp), np.empty(0), np.empty(0), np.array([3.0]))
    by = FittedLinear(4, lines, False)
    tensors = dict(bundle().tensors) | {"by": linear_tensors(by, np.arange(5))}
    # Beside another model, whose places must not be mixed up with these.
    members = tuple(Member(n, 1.0, (Part((f"linear.{n}",)),)) for n in ("har", "by"))
    made = Outputs(bundle(targets=(Target("a", 4, members),), tensors=tensors)).made(rows)
    expected = by.predict(rows, ALL)
    assert 0 < np.isnan(expected).sum() < len(rows)
    np.testing.assert_allclose(made.members[:, 1], expected, rtol=1e-12)
    np.testing.assert_allclose(made.members[:, 0], HAR.predict(rows, ALL), rtol=1e-12)


def test_one_row_and_many_rows_are_the_same_to_the_last_bit() -> None:
    outputs = Outputs(bundle())
    one_by_one = np.vstack([outputs.rows(row[None, :]) for row in X])
    assert one_by_one.tobytes() == outputs.rows(X).tobytes()


def test_the_networks_count_with_their_weight_and_their_gaps() -> None:
    members = (
        Member("trees", 0.25, (Part(("trees.up",)),)),
        Member("lstm", 0.75, (Part(("lstm.1",), "logistic"),)),
    )
    outputs = Outputs(bundle(targets=(Target("p", 4, members, "probability"),)))
    assert outputs.columns == 2
    ensemble = RNG.normal(size=(500, 3))
    ensemble[7] = np.nan
    trees = boosting.predict(text("binary", 1), X)
    expected = 0.25 * trees + 0.75 / (1 + np.exp(-ensemble[:, 1]))
    expected[7] = trees[7]
    np.testing.assert_allclose(outputs.rows(X, ensemble)[:, 0], expected, rtol=1e-13)


@pytest.mark.parametrize("given", [None, np.zeros((500, 1))])
def test_a_missing_ensemble_is_refused_not_taken_for_zero(given: np.ndarray | None) -> None:
    outputs = Outputs(bundle(targets=(alone("p", 4, Part(("lstm.1",))),)))
    with pytest.raises(FixConfig, match=r"ensemble = .*2 forecasts a row"):
        outputs.rows(X, given)


def test_an_uncalibrated_probability_stays_between_0_and_1() -> None:
    far = alone("p", 4, Part(offset="basis", factor=50.0), "probability")
    values = Outputs(bundle(targets=(far,))).rows(np.vstack([np.full(5, 9.0), np.full(5, -9.0)]))
    assert values.ravel().tolist() == [1.0, 0.0]


def test_a_bundle_of_linear_models_needs_no_trees() -> None:
    only = tuple(replace(target) for target in bundle().targets if target.name == "funding.next")
    outputs = Outputs(bundle(targets=only, texts={}))
    zeros = np.zeros((2, 5))
    assert outputs.rows(zeros).ravel().tolist() == HAR.predict(zeros, slice(0, 2)).tolist()
