"""The bar to beat: least squares that recovers what is there, and means of what was settled."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.features.engine import compute
from counterpoise.signals import baselines
from counterpoise.signals.walkforward import Split
from tests.random_timeline import cut, random_timeline

SMALL = random_timeline(900, seed=4)


def test_least_squares_recovers_exact_coefficients_and_ignores_gaps() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = 0.5 + X @ np.array([0.3, -0.2, 0.7])
    X[::17, 1] = np.nan
    y[::23] = np.nan
    coefficients = baselines.fit_linear(X, y)
    assert coefficients is not None
    np.testing.assert_allclose(coefficients, [0.5, 0.3, -0.2, 0.7], rtol=1e-10)
    fitted = baselines.apply_linear(coefficients, X)
    assert np.array_equal(np.isnan(fitted), np.isnan(X[:, 1]))


def test_too_few_rows_give_no_model_and_no_forecast() -> None:
    X = np.zeros((39, 3))
    assert baselines.fit_linear(X, np.zeros(39)) is None
    assert np.isnan(baselines.apply_linear(None, X)).all()


def test_walk_forward_uses_each_models_own_past_only() -> None:
    X = np.arange(300.0)[:, None]
    # The law changes at row 200: the first model cannot know, the second one partly does.
    y = np.where(np.arange(300) < 200, X[:, 0], -X[:, 0])
    found = [
        Split(slice(0, 100), slice(150, 250)),
        Split(slice(0, 260), slice(270, 300)),
    ]
    out = baselines.walk_linear(X, y, found)
    np.testing.assert_allclose(out[150:250], np.arange(150, 250), atol=1e-8)
    assert (out[270:] < np.arange(270, 300)).all()
    assert np.isnan(out[:150]).all()
    assert np.isnan(out[250:270]).all()


def test_har_terms_are_log_variances_over_a_day_a_week_and_a_month() -> None:
    features = compute(SMALL)
    terms = baselines.variance_terms(features)
    steps = np.diff(np.log(SMALL.spot.close))[-168:]
    assert np.isclose(terms[-1, 1], np.log(8760 * np.mean(steps**2)))


@settings(max_examples=20, deadline=None)
@given(ticks=st.integers(1, 899))
def test_settled_means_are_those_of_the_last_settlements(ticks: int) -> None:
    means = baselines.settled_means(cut(SMALL, ticks), (1, 2, 3, 21))
    settled = SMALL.funding_settled[:ticks, 0]
    seen = settled[np.isfinite(settled)]
    for k, count in enumerate((1, 2, 3, 21)):
        expected = seen[-count:].mean() if len(seen) >= count else np.nan
        np.testing.assert_allclose(means[-1, k], expected, rtol=1e-12)


def test_an_overdue_settlement_leaves_no_forecast() -> None:
    settled = SMALL.funding_settled.copy()
    settled[401:] = np.nan
    stale = dataclasses.replace(SMALL, funding_settled=settled)
    means = baselines.settled_means(stale, (2,))[:, 0]
    # Settled at 400, due again at 408; from 416 on a whole interval has passed without it.
    assert np.isfinite(means[415])
    assert np.isnan(means[416:]).all()
