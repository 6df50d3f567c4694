"""Contributions add up to the forecast they explain, and blame the features that moved it."""

import sys

import numpy as np
import pytest

from counterpoise.errors import FixConfig
from counterpoise.signals import boosting
from counterpoise.signals.bundle import Member, Part, Target
from counterpoise.signals.explain import NOT_EVALUATED, Explainer
from counterpoise.signals.linear import FittedLinear, Line
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.outputs import Outputs, linear_tensors
from tests.signals.bundles import FEATURES, HAR, alone, bundle, text

RNG = np.random.default_rng(6)
X = RNG.normal(size=(40, len(FEATURES)))
X[RNG.random(X.shape) < 0.05] = np.nan
X[30] = [0.4, 1.0, -0.5, 0.2, 0.5]
X[31] = [np.nan, 0.1, 0.2, np.nan, -0.5]
X[32, 1] = np.nan


@pytest.mark.parametrize("row", [30, 31, 32])
def test_contributions_and_base_add_up_to_a_value(row: int) -> None:
    explainer = Explainer(bundle(), X, row)
    value = Outputs(bundle()).made(X[row : row + 1]).scores[0]
    for k, name in ((2, "volatility.24h"), (3, "funding.next")):
        found = explainer.explain(name)
        assert found.unit == "value"
        np.testing.assert_allclose(found.score, value[k], atol=1e-6)
        together = found.base + sum(found.contributions.values())
        np.testing.assert_allclose(together, found.score, atol=1e-12)
    assert np.isnan(value[3]) == (row == 32)


def test_a_line_is_its_weights_times_its_inputs() -> None:
    found = Explainer(bundle(), X, 30).explain("funding.next")
    assert found.base == -1.0
    assert found.contributions == pytest.approx(
        {"log_rv_24h": 0.5 * (1.0 - 0.1) / 2.0, "hour_sin": 0.2 * 0.5}
    )
    assert next(iter(found.contributions)) == "log_rv_24h"
    assert found.top(1) == {"log_rv_24h": pytest.approx(0.225)}


def test_extreme_inputs_and_lines_by_a_feature_add_up_too() -> None:
    lines = {
        value: Line(np.array([1]), np.zeros(1), np.ones(1), np.array([value, 2.0]))
        for value in (0.2, 0.7)
    }
    by = linear_tensors(FittedLinear(3, lines, False), np.arange(5))
    part = Part(("linear.by",), offset="basis", factor=-2.0)
    one = bundle(targets=(alone("a", 4, part),), tensors=dict(bundle().tensors) | {"by": by})
    rows = X.copy()
    rows[30, 1] = 1e5
    found = Explainer(one, rows, 30).explain("a")
    assert found.contributions == {"log_rv_24h": 16.0, "basis": 1.0}
    assert found.score == pytest.approx(Outputs(one).rows(rows[30:31])[0, 0])


def test_a_probability_is_explained_in_log_odds_through_the_weights() -> None:
    members = (
        Member("line", 0.2, (Part(("linear.har",), "logistic"),)),
        Member("trees", 0.6, (Part(("trees.up",)), Part(("trees.pays",)))),
        Member("silent", 0.2, (Part(offset="return_1h", factor=1.0),)),
    )
    one = bundle(targets=(Target("p", 4, members, "probability"),))
    row = X[31:32]
    p = [boosting.predict(text("binary", seed), row)[0] for seed in (1, 2)]
    trees = np.mean(np.log(p) - np.log1p(-np.array(p)))
    line = HAR.predict(X, slice(31, 32))[0]
    found = Explainer(one, X, 31).explain("p")
    assert found.unit == "log odds"
    assert found.score == pytest.approx(0.25 * line + 0.75 * trees, abs=1e-9)


def test_a_quantile_of_one_voice_is_the_exponential_of_what_is_explained() -> None:
    one = bundle(targets=(alone("q", 24, Part(("trees.vol", "linear.har"), "exp"), "quantile"),))
    found = Explainer(one, X, 30).explain("q")
    assert found.unit == "logarithm"
    assert np.exp(found.score) == pytest.approx(Outputs(one).rows(X[30:31])[0, 0], rel=1e-9)


NETWORKED = (
    Member("lstm", 0.5, (Part(("lstm.1",)),)),
    Member("har", 0.5, (Part(("linear.har",)),)),
)


def test_without_an_attribution_the_networks_are_named_as_not_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "counterpoise.signals.lstm_attribution", None)
    one = bundle(targets=(Target("f", 24, NETWORKED),))
    found = Explainer(one, X, 30).explain("f")
    said = forecast(one.networks, np.ascontiguousarray(X[:, [0, 3]]), slice(30, 31))
    assert found.notes == (NOT_EVALUATED,)
    assert set(found.contributions) == {"log_rv_24h", "hour_sin"}
    assert found.score == pytest.approx(Outputs(one).rows(X[30:31], said)[0, 0])


def test_the_attribution_of_the_networks_lands_on_the_features_they_read() -> None:
    one = bundle(targets=(Target("f", 24, NETWORKED[:1]),))
    found = Explainer(one, X, 30).explain("f")
    said = forecast(one.networks, np.ascontiguousarray(X[:, [0, 3]]), slice(30, 31))
    assert found.notes == ()
    assert set(found.contributions) == {"return_1h", "funding_last"}
    assert found.score == pytest.approx(Outputs(one).rows(X[30:31], said)[0, 0])


def test_where_every_model_is_silent_there_is_nothing_to_explain() -> None:
    found = Explainer(bundle(), X, 32).explain("funding.next")
    assert np.isnan(found.score)
    assert found.contributions == {}
    assert found.notes == ("every model is silent",)
    with pytest.raises(FixConfig, match=r"one of direction\.4h"):
        Explainer(bundle(), X, 30).explain("direction.5h")
