"""Blends: weights from the past alone, never outside the simplex, as good as a grid finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.signals import stack
from counterpoise.signals.stack import Loss, blend, past_weights, simplex_weights

LOSSES: tuple[tuple[Loss, float], ...] = (
    ("probability", 0.5),
    ("mean", 0.5),
    ("median", 0.5),
    ("quantile", 0.9),
)
NUMBERS = st.floats(-10.0, 10.0)


def loss_of(kind: Loss, level: float, forecast: np.ndarray, outcome: np.ndarray) -> float:
    error = outcome - forecast
    if kind in ("probability", "mean"):
        return float(np.mean(error**2))
    if kind == "median":
        return float(np.mean(np.abs(error)))
    return float(np.mean(np.maximum(level * error, (level - 1.0) * error)))


def data(kind: Loss, members: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Members that each see a part of the truth, one of them badly."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(rows, members))
    truth = parts @ np.linspace(1.0, 0.2, members) + rng.standard_t(4, rows)
    forecasts = parts * 1.2 + 0.5 * rng.normal(size=(rows, members)) + [0.4, *[0.0] * (members - 1)]
    if kind == "probability":
        return 1.0 / (1.0 + np.exp(-forecasts)), (truth > 0).astype(float)
    if kind == "quantile":
        return forecasts + 1.8, truth
    return forecasts, truth


@pytest.mark.parametrize(("kind", "level"), LOSSES)
@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_weights_are_as_good_as_a_fine_grid_finds(
    kind: Loss, level: float, members: int, seed: int
) -> None:
    P, y = data(kind, members, 600, seed)
    w = simplex_weights(P, y, kind, level)
    steps = 100 if members == 2 else 40
    grid = [
        np.array([i, j, steps - i - j]) / steps
        if members == 3
        else np.array([i, steps - i]) / steps
        for i in range(steps + 1)
        for j in (range(steps + 1 - i) if members == 3 else [0])
    ]
    losses = [loss_of(kind, level, P @ g, y) for g in grid]
    ours = loss_of(kind, level, P @ w, y)
    assert ours <= min(losses) * 1.002
    nearest = grid[int(np.argmin(losses))]
    assert np.abs(w - nearest).max() < 0.1
    # There was something to choose.
    assert loss_of(kind, level, P.mean(axis=1), y) > ours


@pytest.mark.parametrize(("kind", "level"), LOSSES)
@given(
    P=arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=NUMBERS),
    seed=st.integers(0, 99),
)
def test_weights_never_leave_the_simplex(
    kind: Loss, level: float, P: np.ndarray, seed: int
) -> None:
    y = np.random.default_rng(seed).normal(size=len(P))
    w = simplex_weights(P, y, kind, level)
    assert (w >= 0.0).all()
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    mixed = P @ w
    assert (mixed <= P.max(axis=1) + 1e-8).all()
    assert (mixed >= P.min(axis=1) - 1e-8).all()


@given(v=arrays(float, st.integers(1, 6), elements=NUMBERS))
def test_the_nearest_point_of_the_simplex_is_the_nearest(v: np.ndarray) -> None:
    w = stack._simplex(v)
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    # The way from it to the point stands at no acute angle to any way into the simplex.
    for corner in np.eye(len(v)):
        assert (v - w) @ (corner - w) <= 1e-8


def test_a_member_that_is_right_gets_all_the_weight() -> None:
    P, y = data("mean", 3, 400, 3)
    P[:, 1] = y
    for kind, level in LOSSES[1:]:
        assert simplex_weights(P, y, kind, level)[1] > 0.98


def walk(rows: int = 2000, seed: int = 4) -> tuple[dict[str, np.ndarray], np.ndarray]:
    P, y = data("mean", 3, rows, seed)
    return {"a": P[:, 0], "b": P[:, 1], "c": P[:, 2]}, y


@pytest.mark.parametrize(("kind", "level"), LOSSES)
@given(until=st.integers(0, 1999), horizon_h=st.integers(1, 168), junk=st.integers(0, 99))
def test_outcomes_not_yet_known_change_nothing(
    kind: Loss, level: float, until: int, horizon_h: int, junk: int
) -> None:
    members, y = walk()
    told = {"horizon_h": horizon_h, "loss": kind, "quantile": level}
    before = past_weights(members, y, until, **told)  # type: ignore[arg-type]
    rng = np.random.default_rng(junk)
    after = y.copy()
    after[max(until - horizon_h + 1, 0) :] = rng.normal(size=len(y))[
        max(until - horizon_h + 1, 0) :
    ]
    later = {name: forecast.copy() for name, forecast in members.items()}
    for forecast in later.values():
        forecast[until:] = rng.normal(size=len(y) - until)
    assert past_weights(later, after, until, **told).tobytes() == before.tobytes()  # type: ignore[arg-type]


def test_the_newest_known_outcome_counts() -> None:
    members, y = walk(120)
    told = {"horizon_h": 1, "loss": "mean"}
    before = past_weights(members, y, 100, **told)  # type: ignore[arg-type]
    wild = y.copy()
    wild[99] += 50.0
    assert not np.array_equal(before, past_weights(members, wild, 100, **told))  # type: ignore[arg-type]
    wild = y.copy()
    wild[100] += 50.0
    assert np.array_equal(before, past_weights(members, wild, 100, **told))  # type: ignore[arg-type]


def test_little_past_draws_the_weights_to_equal_ones() -> None:
    members, y = walk()
    P = np.column_stack(list(members.values()))
    equal = np.full(3, 1 / 3)
    np.testing.assert_array_equal(past_weights(members, y, 0, horizon_h=4, loss="mean"), equal)
    np.testing.assert_array_equal(past_weights(members, y, 5, horizon_h=1, loss="mean"), equal)
    for until in (40, 400, 2000):
        # Every hour's outcome is its own: as many of them as rows.
        best = simplex_weights(P[:until], y[:until], "mean")
        share = until / (until + stack.PRIOR_OUTCOMES)
        found = past_weights(members, y, until, horizon_h=1, loss="mean")
        np.testing.assert_allclose(found, share * best + (1 - share) * equal, atol=1e-9)


def test_overlapping_outcomes_count_as_few_and_every_fourth_part_of_one_is_read() -> None:
    members, y = walk()
    P = np.column_stack(list(members.values()))
    rows = np.arange(0, 2000 - 24 + 1, 6)
    independent = (2000 - 24 + 1) / 24
    share = independent / (independent + stack.PRIOR_OUTCOMES)
    best = simplex_weights(P[rows], y[rows], "mean")
    found = past_weights(members, y, 2000, horizon_h=24, loss="mean")
    np.testing.assert_allclose(found, share * best + (1 - share) / 3, atol=1e-9)


def test_outcomes_of_settlements_alone_are_counted_by_their_distance() -> None:
    members, y = walk()
    y[np.arange(2000) % 8 != 0] = np.nan
    rows = np.arange(0, 2000 - 8 + 1, 8)
    P = np.column_stack(list(members.values()))
    share = len(rows) / (len(rows) + stack.PRIOR_OUTCOMES)
    best = simplex_weights(P[rows], y[rows], "median")
    found = past_weights(members, y, 2000, horizon_h=8, loss="median")
    np.testing.assert_allclose(found, share * best + (1 - share) / 3, atol=1e-9)


def test_rows_where_a_member_was_silent_teach_nothing() -> None:
    members, y = walk()
    silent = np.random.default_rng(1).random(2000) < 0.3
    holed = {**members, "b": np.where(silent, np.nan, members["b"])}
    expected = y.copy()
    expected[silent] = np.nan
    assert np.array_equal(
        past_weights(holed, y, 2000, horizon_h=1, loss="mean"),
        past_weights(members, expected, 2000, horizon_h=1, loss="mean"),
    )


def test_a_blend_is_the_weighted_mean_of_those_who_spoke() -> None:
    nan = np.nan
    members = {
        "a": np.array([9.0, 1.0, nan, 1.0, nan, nan, nan]),
        "b": np.array([9.0, 2.0, 2.0, nan, nan, nan, nan]),
        "c": np.array([9.0, 4.0, 4.0, 4.0, 4.0, nan, 7.0]),
    }
    weights = np.array([0.5, 0.3, 0.2])
    found = blend(members, weights, slice(1, 7))
    expected = [0.5 + 0.6 + 0.8, (0.6 + 0.8) / 0.5, (0.5 + 0.8) / 0.7, 4.0, nan, 7.0]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_where_all_with_weight_are_silent_the_others_speak_with_one_voice_each() -> None:
    members = {
        "a": np.array([np.nan, 5.0, np.nan]),
        "b": np.array([1.0, 1.0, np.nan]),
        "c": np.array([3.0, 3.0, np.nan]),
    }
    found = blend(members, np.array([1.0, 0.0, 0.0]), slice(0, 3))
    np.testing.assert_array_equal(found, [2.0, 5.0, np.nan])


@given(
    P=arrays(float, (6, 3), elements=st.one_of(NUMBERS, st.just(np.nan))),
    raw=arrays(float, 3, elements=st.just(0.0) | st.floats(1e-9, 1.0)),
)
def test_a_blend_stays_within_its_members_and_speaks_when_one_does(
    P: np.ndarray, raw: np.ndarray
) -> None:
    weights = raw / raw.sum() if raw.sum() > 0 else np.full(3, 1 / 3)
    found = blend({"a": P[:, 0], "b": P[:, 1], "c": P[:, 2]}, weights, slice(0, 6))
    spoke = np.isfinite(P)
    assert np.array_equal(np.isfinite(found), spoke.any(axis=1))
    for row in np.flatnonzero(spoke.any(axis=1)):
        heard = P[row][spoke[row]]
        assert heard.min() - 1e-9 <= found[row] <= heard.max() + 1e-9
