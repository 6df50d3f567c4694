"""Linear models against other people's solvers, and what they do with missing inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import LogisticRegression, Ridge

from counterpoise.errors import FixConfig
from counterpoise.signals import inputs
from counterpoise.signals.linear import (
    LARGEST_INPUT,
    Column,
    FittedLinear,
    Line,
    Linear,
    PastQuantile,
)

USED = ("return_1h", "basis", "log_rv_24h")
PLACES = [inputs.NAMES.index(name) for name in USED]
TRUE = np.array([0.8, -0.5, 0.3])


def data(rows: int = 700, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of different sizes in their places, all others unknown; a noisy linear outcome."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 3)).clip(-3.5, 3.5)
    X = np.full((rows, len(inputs.NAMES)), np.nan)
    X[:, PLACES] = z * [0.01, 3e-4, 2.0] + [0.0, 1e-4, -9.0]
    y = 2.0 + z @ TRUE + (0.5 + 0.3 * np.abs(z[:, 0])) * rng.standard_t(4, rows)
    return X, y


def standardised(X: np.ndarray) -> np.ndarray:
    held = X[:, PLACES]
    return (held - held.mean(axis=0)) / held.std(axis=0)


def only_line(fitted: FittedLinear) -> Line:
    (line,) = fitted.lines.values()
    return line


def whole(X: np.ndarray) -> slice:
    return slice(0, len(X))


@pytest.mark.parametrize("ridge", [0.0, 0.001, 0.3])
def test_squared_errors_are_ridge_regression(ridge: float) -> None:
    X, y = data()
    fitted = Linear("m", USED, ridge=ridge).fit(X, y, 1)
    peer = Ridge(alpha=ridge * len(y), solver="cholesky").fit(standardised(X), y)
    line = only_line(fitted)
    np.testing.assert_allclose(line.weights[1:], peer.coef_, rtol=1e-7)
    assert line.weights[0] == pytest.approx(peer.intercept_, rel=1e-9)
    np.testing.assert_allclose(
        fitted.predict(X, whole(X)), peer.predict(standardised(X)), rtol=1e-7, atol=1e-8
    )


def test_without_a_ridge_squared_errors_are_least_squares() -> None:
    X, y = data()
    Z = np.column_stack([np.ones(len(y)), X[:, PLACES]])
    expected = Z @ np.linalg.lstsq(Z, y, rcond=None)[0]
    found = Linear("m", USED, ridge=0.0).fit(X, y, 1).predict(X, whole(X))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


def best_pinball(Z: np.ndarray, y: np.ndarray, quantile: float) -> float:
    """Smallest mean pinball loss of any line, as a linear programme."""
    n, k = Z.shape
    cost = np.concatenate([np.zeros(2 * k), np.full(n, quantile), np.full(n, 1 - quantile)])
    equal = np.hstack([Z, -Z, np.eye(n), -np.eye(n)])
    return float(linprog(cost, A_eq=equal, b_eq=y, method="highs").fun) / n


@pytest.mark.parametrize(
    ("loss", "quantile", "seed"),
    [("absolute", 0.5, 3), ("absolute", 0.5, 4)]
    + [("pinball", level, seed) for level in (0.05, 0.25, 0.9, 0.95) for seed in (3, 4)],
)
def test_absolute_and_pinball_losses_are_the_smallest_there_are(
    loss: str, quantile: float, seed: int
) -> None:
    X, y = data(500, seed)
    fitted = Linear("m", USED, loss, quantile, ridge=0.0).fit(X, y, 1)  # type: ignore[arg-type]
    error = y - fitted.predict(X, whole(X))
    ours = float(np.maximum(quantile * error, (quantile - 1) * error).mean())
    best = best_pinball(np.column_stack([np.ones(len(y)), standardised(X)]), y, quantile)
    assert best - 1e-12 <= ours <= best * 1.001
    assert (error > 0).mean() == pytest.approx(1 - quantile, abs=0.02)


def test_a_raised_mean_is_the_mean_and_a_quantile_of_what_was_left() -> None:
    X, y = data()
    mean = Linear("m", USED).fit(X, y, 1).predict(X, whole(X))
    raised = Linear("m", USED, raised_to=0.95).fit(X, y, 1).predict(X, whole(X))
    np.testing.assert_allclose(raised - mean, np.quantile(y - mean, 0.95), rtol=1e-9)
    assert (y <= raised).mean() == pytest.approx(0.95, abs=2 / len(y))


def test_a_median_shrugs_off_what_a_mean_does_not() -> None:
    X, y = data()
    wild = y.copy()
    wild[::50] += 1000.0
    rows = whole(X)
    calm, median = (Linear("m", USED, "absolute").fit(X, t, 1).predict(X, rows) for t in (y, wild))
    assert np.abs(median - calm).max() < 0.3
    assert np.abs(Linear("m", USED).fit(X, wild, 1).predict(X, rows) - calm).mean() > 5.0


@pytest.mark.parametrize("ridge", [0.0, 0.001, 0.2])
def test_the_logistic_loss_is_ridge_logistic_regression(ridge: float) -> None:
    X, y = data()
    rises = (y > 2.3).astype(float)
    fitted = Linear("m", USED, "logistic", ridge=ridge).fit(X, rises, 1)
    p = fitted.predict(X, whole(X))
    # The penalty counts rows by their curvature: p (1 - p) each.
    strength = max(ridge * float((p * (1 - p)).sum()), 1e-9)
    peer = LogisticRegression(C=1 / strength, tol=1e-12, max_iter=2000)
    peer.fit(standardised(X), rises)
    np.testing.assert_allclose(only_line(fitted).weights[1:], peer.coef_[0], atol=1e-4)
    np.testing.assert_allclose(p, peer.predict_proba(standardised(X))[:, 1], atol=1e-4)
    assert p.std() > 0.05


def test_a_probability_stays_one_where_two_kinds_part_cleanly() -> None:
    X, _ = data(300)
    clean = (X[:, PLACES[0]] > 0).astype(float)
    p = Linear("m", USED, "logistic").fit(X, clean, 1).predict(X, whole(X))
    assert ((p >= 0) & (p <= 1)).all()
    assert ((p > 0.5) == (clean > 0)).mean() > 0.95


def test_outcomes_all_alike_have_no_odds_but_have_a_mean() -> None:
    X, y = data()
    same = np.ones(len(y))
    assert np.isnan(Linear("m", USED, "logistic").fit(X, same, 1).predict(X, slice(0, 5))).all()
    np.testing.assert_allclose(Linear("m", USED).fit(X, same, 1).predict(X, whole(X)), 1.0)
    np.testing.assert_allclose(
        Linear("m", USED, "pinball", 0.9).fit(X, same, 1).predict(X, whole(X)), 1.0, atol=1e-6
    )


def test_each_value_of_a_column_gets_a_line_of_its_own() -> None:
    X, y = data(900)
    by = inputs.NAMES.index("funding_elapsed")
    X[:, by] = np.arange(900) % 3
    X[5, by] = np.nan
    X[7, by] = 6.0
    y = y + 10.0 * np.nan_to_num(X[:, by])
    fitted = Linear("m", USED, "absolute", by="funding_elapsed").fit(X, y, 1)
    found = fitted.predict(X, whole(X))
    for value in range(3):
        rows = X[:, by] == value
        alone = Linear("m", USED, "absolute").fit(X[rows], y[rows], 1)
        expected = alone.predict(X[rows], slice(0, int(rows.sum())))
        assert found[rows].tobytes() == expected.tobytes()
    # An unknown hour, and one seen too rarely to learn from.
    assert np.isnan(found[[5, 7]]).all()
    assert sorted(fitted.lines) == [0.0, 1.0, 2.0]


def test_a_column_never_known_or_never_moving_is_left_out() -> None:
    X, y = data()
    full = Linear("m", USED).fit(X, y, 1).predict(X, whole(X))
    still, unknown, rare = (
        inputs.NAMES.index(name) for name in ("vix_change", "gas_over_target", "return_4h")
    )
    X[:, still] = 1.7
    X[:300, rare] = 1.0
    more = (*USED, "vix_change", "gas_over_target", "return_4h")
    fitted = Linear("m", more).fit(X, y, 1)
    assert not np.isfinite(X[:, unknown]).any()
    assert only_line(fitted).columns.tolist() == PLACES
    assert fitted.predict(X, whole(X)).tobytes() == full.tobytes()


def test_an_input_known_half_of_the_time_takes_part_on_the_rows_that_know_it() -> None:
    X, y = data()
    half = inputs.NAMES.index("return_4h")
    X[::2, half] = np.random.default_rng(1).normal(size=350)
    fitted = Linear("m", (*USED, "return_4h")).fit(X, y, 1)
    assert only_line(fitted).columns.tolist() == [*PLACES, half]
    alone = Linear("m", (*USED, "return_4h")).fit(X[::2], y[::2], 1)
    assert only_line(fitted).weights.tobytes() == only_line(alone).weights.tobytes()
    assert np.isnan(fitted.predict(X, whole(X))[1::2]).all()


@pytest.mark.parametrize("loss", ["squared", "absolute", "pinball", "logistic"])
def test_too_few_rows_teach_nothing(loss: str) -> None:
    X, y = data(80)
    y = (y > 2.0).astype(float)
    model = Linear("m", USED, loss)  # type: ignore[arg-type]
    y[np.arange(80) >= 39] = np.nan
    assert np.isnan(model.fit(X, y, 1).predict(X, whole(X))).all()
    y[39] = 1.0
    assert np.isfinite(model.fit(X, y, 1).predict(X, whole(X))).all()
    # Nothing at all to learn from.
    assert np.isnan(model.fit(X, np.full(80, np.nan), 1).predict(X, whole(X))).all()
    none = Linear("m", USED, loss, by="funding_elapsed")  # type: ignore[arg-type]
    assert np.isnan(none.fit(X, y, 1).predict(X, whole(X))).all()


def test_only_known_outcomes_teach_and_only_every_so_many_th_of_them() -> None:
    X, y = data()
    y[::3] = np.nan
    known = np.flatnonzero(np.isfinite(y))
    fitted = Linear("m", USED, stride=2).fit(X, y, 1)
    alone = Linear("m", USED).fit(X[known[::2]], y[known[::2]], 1)
    assert only_line(fitted).weights.tobytes() == only_line(alone).weights.tobytes()


@pytest.mark.parametrize("loss", ["squared", "absolute", "logistic"])
@given(start=st.integers(0, 690), length=st.integers(1, 10))
def test_a_forecast_does_not_depend_on_its_neighbours(loss: str, start: int, length: int) -> None:
    X, y = data()
    model = Linear("m", USED, loss)  # type: ignore[arg-type]
    fitted = model.fit(X[:100], (y[:100] > 2.0).astype(float), 1)
    many = fitted.predict(X, whole(X))
    few = fitted.predict(X[: start + length], slice(start, start + length))
    assert few.tobytes() == many[start : start + length].tobytes()


def test_a_false_print_moves_a_forecast_no_further_than_eight_deviations() -> None:
    X, y = data()
    fitted = Linear("m", USED).fit(X, y, 1)
    line = only_line(fitted)
    for sign in (1.0, -1.0):
        probe = np.repeat(X[:1], 3, axis=0)
        for row, size in enumerate((LARGEST_INPUT, 9.0, 1e9)):
            probe[row, PLACES] = line.mean
            probe[row, PLACES[1]] = line.mean[1] + sign * size * line.scale[1]
        found = fitted.predict(probe, slice(0, 3))
        np.testing.assert_allclose(found, line.weights[0] + sign * 8.0 * line.weights[2])
        # Beyond the limit nothing changes any more.
        assert found[1] == found[2]


def test_a_single_false_print_in_the_past_does_not_steer_either() -> None:
    X, y = data()
    clean = Linear("m", USED).fit(X, y, 1)
    X[10, PLACES[0]] *= 1e3
    spoilt = Linear("m", USED).fit(X, y, 1)
    assert abs(only_line(spoilt).scale[0] / only_line(clean).scale[0]) > 10
    assert np.isfinite(spoilt.predict(X, whole(X))).all()


def test_an_unknown_input_gives_no_forecast_for_that_row_alone() -> None:
    X, y = data()
    fitted = Linear("m", USED).fit(X, y, 1)
    before = fitted.predict(X, whole(X))
    X[40, PLACES[2]] = np.nan
    after = fitted.predict(X, whole(X))
    assert np.flatnonzero(np.isnan(after)).tolist() == [40]
    assert np.delete(after, 40).tobytes() == np.delete(before, 40).tobytes()


def test_a_name_that_is_no_input_is_refused() -> None:
    X, y = data(50)
    with pytest.raises(FixConfig, match="retrun_1h"):
        Linear("m", ("retrun_1h",)).fit(X, y, 1)


def test_a_column_is_a_forecast_by_itself() -> None:
    X, y = data()
    fitted = Column("no_change", "log_rv_24h", 2.0).fit(X[:100], y[:100], 1)
    np.testing.assert_array_equal(fitted.predict(X, slice(20, 40)), 2.0 * X[20:40, PLACES[2]])


def test_a_past_quantile_says_one_number_from_known_outcomes() -> None:
    X, y = data()
    y[::7] = np.nan
    found = PastQuantile("static", 0.95).fit(X, y, 1).predict(X, slice(100, 130))
    ranked = np.sort(y[np.isfinite(y)])
    assert found.shape == (30,)
    assert (found == found[0]).all()
    assert (ranked <= found[0]).mean() == pytest.approx(0.95, abs=2 / len(ranked))
    nothing = PastQuantile("static", 0.95).fit(X, np.full(len(y), np.nan), 1)
    assert np.isnan(nothing.predict(X, slice(0, 3))).all()
