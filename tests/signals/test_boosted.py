"""Trees as models of the programme: what they learn around adds up, and they are repeatable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.signals import boosting, inputs
from counterpoise.signals.boosted import MIN_TRAIN_ROWS, OnLog, Trees
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.linear import Linear

USED = ("basis", "return_1h", "log_rv_24h")
PLACES = [inputs.NAMES.index(name) for name in USED]
RECIPE = Recipe("regression", 12, 0.2, 7, 20, 1.0, 1.0, 1)
ROWS = slice(500, 800)


def data(rows: int = 800) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(12)
    X = rng.normal(size=(rows, len(inputs.NAMES)))
    X[rng.random(X.shape) < 0.03] = np.nan
    seen = np.nan_to_num(X)
    y = seen[:, PLACES[0]] + 0.5 * np.sign(seen[:, PLACES[1]]) + 0.5 * rng.normal(size=rows)
    y[rng.random(rows) < 0.1] = np.nan
    return X, y


def trained(X: np.ndarray, target: np.ndarray, recipe: Recipe = RECIPE) -> str:
    """The text of a plain training on the rows with an outcome."""
    rows = np.flatnonzero(np.isfinite(target))[:: recipe.stride]
    return boosting.train(X[np.ix_(rows, PLACES)], target[rows], recipe, seed=5)


def test_trees_alone_are_the_plain_training_on_their_columns_in_order() -> None:
    X, y = data()
    found = Trees("t", USED, RECIPE).fit(X[:500], y[:500], 5).predict(X, ROWS)
    expected = boosting.predict(trained(X[:500], y[:500]), X[ROWS][:, PLACES])
    assert found.tobytes() == expected.tobytes()
    # Nothing but their own columns is looked at.
    others = np.setdiff1d(np.arange(X.shape[1]), PLACES)
    blind = X.copy()
    blind[:, others] = np.nan
    fitted = Trees("t", USED, RECIPE).fit(blind[:500], y[:500], 5)
    assert fitted.predict(blind, ROWS).tobytes() == expected.tobytes()
    # Columns in another order are still the right ones.
    turned = Trees("t", USED[::-1], RECIPE).fit(X[:500], y[:500], 5).predict(X, ROWS)
    assert np.corrcoef(turned, expected)[0, 1] > 0.99


def test_an_offset_and_what_trees_say_about_the_rest_add_up_exactly() -> None:
    X, y = data()
    model = Trees("t", USED, RECIPE, offset=("log_rv_168h", 2.0))
    around = 2.0 * X[:, inputs.NAMES.index("log_rv_168h")]
    text = trained(X[:500], y[:500] - around[:500])
    expected = around[ROWS] + boosting.predict(text, X[ROWS][:, PLACES])
    found = model.fit(X[:500], y[:500], 5).predict(X, ROWS)
    assert found.tobytes() == expected.tobytes()
    assert np.array_equal(np.isnan(found), np.isnan(around[ROWS]))


def test_a_line_and_what_trees_say_about_the_rest_add_up_exactly() -> None:
    X, y = data()
    line = Linear("l", USED)
    alone = line.fit(X[:500], y[:500], 5)
    missed = y[:500] - alone.predict(X[:500], slice(0, 500))
    text = trained(X[:500], missed)
    expected = alone.predict(X, ROWS) + boosting.predict(text, X[ROWS][:, PLACES])
    fitted = Trees("t", USED, RECIPE, line=line).fit(X[:500], y[:500], 5)
    assert fitted.predict(X, ROWS).tobytes() == expected.tobytes()
    # Trees on a line know what neither knows alone.
    good = np.isfinite(expected) & np.isfinite(y[ROWS])
    ours, theirs = (
        np.square(p[good] - y[ROWS][good]).mean() for p in (expected, alone.predict(X, ROWS))
    )
    assert ours < 0.9 * theirs


def test_a_stride_leaves_out_known_rows_not_hours() -> None:
    X, y = data()
    recipe = replace(RECIPE, stride=3)
    found = Trees("t", USED, recipe).fit(X[:500], y[:500], 5).predict(X, ROWS)
    expected = boosting.predict(trained(X[:500], y[:500], recipe), X[ROWS][:, PLACES])
    assert found.tobytes() == expected.tobytes()


def test_a_half_life_weighs_rows_by_their_age_in_hours() -> None:
    X, y = data()
    recipe = replace(RECIPE, half_life_h=100.0)
    found = Trees("t", USED, recipe).fit(X[:500], y[:500], 5).predict(X, ROWS)
    rows = np.flatnonzero(np.isfinite(y[:500]))
    weight = 0.5 ** ((499 - rows) / 100.0)
    text = boosting.train(X[np.ix_(rows, PLACES)], y[rows], recipe, seed=5, weight=weight)
    assert found.tobytes() == boosting.predict(text, X[ROWS][:, PLACES]).tobytes()
    assert found.tobytes() != boosting.predict(trained(X, y), X[ROWS][:, PLACES]).tobytes()


def test_too_short_a_past_has_no_trees_and_no_forecast() -> None:
    X, y = data()
    fewest = MIN_TRAIN_ROWS
    known = np.flatnonzero(np.isfinite(y))
    for model in (
        Trees("t", USED, RECIPE),
        Trees("t", USED, RECIPE, offset=("log_rv_168h", 1.0)),
        Trees("t", USED, RECIPE, line=Linear("l", USED)),
    ):
        short = y.copy()
        short[known[fewest - 1 :]] = np.nan
        fitted = model.fit(X, short, 5)
        assert fitted.text is None
        assert np.isnan(fitted.predict(X, ROWS)).all()
        assert fitted.predict(X, ROWS).shape == (300,)
    enough = y.copy()
    enough[known[fewest:]] = np.nan
    assert Trees("t", USED, RECIPE).fit(X, enough, 5).text is not None


def test_outcomes_all_alike_are_no_odds_but_are_a_value() -> None:
    X, y = data()
    same = np.where(np.isfinite(y), 1.0, np.nan)
    odds = Trees("t", USED, replace(RECIPE, objective="binary")).fit(X, same, 5)
    assert np.isnan(odds.predict(X, ROWS)).all()
    value = Trees("t", USED, RECIPE).fit(X, same, 5)
    np.testing.assert_allclose(value.predict(X, ROWS), 1.0, atol=1e-6)


def test_binary_trees_say_probabilities() -> None:
    X, y = data()
    rises = np.where(np.isfinite(y), (y > 0).astype(float), np.nan)
    model = Trees("t", USED, replace(RECIPE, objective="binary"))
    p = model.fit(X[:500], rises[:500], 5).predict(X, ROWS)
    assert ((p > 0) & (p < 1)).all()
    good = np.isfinite(rises[ROWS])
    assert ((p > 0.5) == (rises[ROWS] > 0))[good].mean() > 0.7


def test_equal_seeds_give_equal_trees_and_another_seed_others() -> None:
    X, y = data()
    model = Trees("t", USED, replace(RECIPE, feature_share=0.4))
    one, two, other = (model.fit(X, y, seed).text for seed in (5, 5, 6))
    assert one == two
    assert one != other


def test_a_forecast_does_not_depend_on_its_neighbours() -> None:
    X, y = data()
    model = Trees("t", USED, RECIPE, line=Linear("l", USED))
    fitted = model.fit(X[:500], y[:500], 5)
    many = fitted.predict(X, ROWS)
    for start in (500, 613, 799):
        one = fitted.predict(X[: start + 1], slice(start, start + 1))
        assert one.tobytes() == many[start - 500 : start - 499].tobytes()


def test_the_cache_is_used_and_damage_to_it_is_trained_over(tmp_path: Path) -> None:
    X, y = data()
    model = Trees("t", USED, RECIPE, offset=("log_rv_168h", 1.0), folder=tmp_path)
    fresh = model.fit(X, y, 5).predict(X, ROWS)
    (file,) = tmp_path.iterdir()
    sealed, written = file.read_bytes(), file.stat().st_mtime_ns
    assert model.fit(X, y, 5).predict(X, ROWS).tobytes() == fresh.tobytes()
    assert file.stat().st_mtime_ns == written
    for damage in (b"", sealed[: len(sealed) // 2], sealed.replace(b"0.", b"9.", 1)):
        file.write_bytes(damage)
        assert model.fit(X, y, 5).predict(X, ROWS).tobytes() == fresh.tobytes()
        assert file.read_bytes() == sealed
    # What trees learn around decides what they learn: another offset is another model.
    replace(model, offset=("log_rv_168h", 2.0)).fit(X, y, 5)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_folder_is_no_part_of_what_a_model_is(tmp_path: Path) -> None:
    plain, kept = (Trees("t", USED, RECIPE, folder=folder) for folder in (None, tmp_path))
    assert repr(plain) == repr(kept)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_quantile_of_a_logarithm_is_the_logarithm_of_the_quantile(level: float) -> None:
    X, y = data()
    risen = np.exp(y)
    logs = np.log(np.maximum(risen, 0.2))
    line = Linear("l", USED, "pinball", level)
    trees = Trees("t", USED, replace(RECIPE, objective="quantile", quantile=level))
    for inner in (line, trees):
        found = OnLog(inner, 0.2).fit(X, risen, 5).predict(X, slice(0, 800))
        expected = np.exp(inner.fit(X, logs, 5).predict(X, slice(0, 800)))
        assert OnLog(inner, 0.2).name == inner.name
        assert found.tobytes() == expected.tobytes()
        good = np.isfinite(found) & np.isfinite(risen)
        assert (risen <= found)[good].mean() == pytest.approx(level, abs=0.03)


def test_outcomes_below_the_floor_count_as_it_and_unknown_ones_stay_unknown() -> None:
    X, y = data()
    none = np.where(np.isfinite(y), 0.0, np.nan)
    inner = Linear("l", USED)
    np.testing.assert_allclose(
        OnLog(inner, 1e-4)
        .fit(X, none, 5)
        .predict(X, ROWS)[:20][np.isfinite(X[ROWS][:20][:, PLACES]).all(axis=1)],
        1e-4,
    )
    all_unknown = OnLog(inner, 1e-4).fit(X, np.full(len(y), np.nan), 5)
    assert np.isnan(all_unknown.predict(X, ROWS)).all()
