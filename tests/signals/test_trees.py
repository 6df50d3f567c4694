"""The compiled walk is LightGBM's own forecast: same rows, same numbers, whatever the rows hold."""

import re
from functools import cache

import lightgbm
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.errors import CounterpoiseError, FixConfig, RejectData
from counterpoise.signals import boosting, trees

FEATURES = 6
OBJECTIVES = {
    "binary": {},
    "regression": {},
    "regression_l1": {},
    "huber": {},
    "quantile": {"alpha": 0.9},
}
#: How LightGBM may read a missing value; each gives trees of another kind.
MISSING = {"nan": {}, "zero": {"zero_as_missing": True}, "none": {"use_missing": False}}
LEAST = float(np.float32(1e-35))
AWKWARD = (np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, LEAST, -LEAST, 2e-35, 1e300, -1e300)


def rows_of(count: int, seed: int) -> np.ndarray:
    """Features as they come: fat tails, steps, gaps, long runs of zero, one never seen."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(count, FEATURES))
    X[:, 1] = np.round(X[:, 1])
    X[rng.random(count) < 0.6, 2] = 0.0
    X[rng.random(count) < 0.2, 3] = np.nan
    X[: count // 2, 4] = np.nan
    X[:, 5] = np.nan
    return X


@cache
def text_of(
    objective: str,
    missing: str = "nan",
    leaves: int = 15,
    categories: tuple[int, ...] = (),
    **more: object,
) -> str:
    X = rows_of(1500, seed=1)
    rng = np.random.default_rng(2)
    y = np.nan_to_num(X[:, 0]) + 0.5 * (X[:, 2] == 0) + np.isnan(X[:, 3]) + rng.normal(size=len(X))
    y = (y > 0.7) * 1.0 if objective in {"binary", "cross_entropy"} else y
    y = np.exp(y) if objective == "poisson" else y
    parameters = {
        "objective": objective,
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "learning_rate": 0.1,
        "verbosity": -1,
        "num_threads": 1,
        **OBJECTIVES.get(objective, {}),
        **MISSING[missing],
        **more,
    }
    X = np.nan_to_num(X) + 20 if categories else X
    table = lightgbm.Dataset(X, y, params=parameters, categorical_feature=list(categories))
    return lightgbm.train(parameters, table, 25).model_to_string()


def theirs(text: str, X: np.ndarray, **how: object) -> np.ndarray:
    return lightgbm.Booster(model_str=text).predict(X, num_threads=1, **how)


TEXTS = {f"{kind} {missing}": text_of(kind, missing) for kind in OBJECTIVES for missing in MISSING}
FOREST = trees.read(TEXTS)


def agree(forest: trees.Forest, texts: dict[str, str], X: np.ndarray) -> None:
    ours = forest.rows(X)
    for b, (name, text) in enumerate(texts.items()):
        expected = theirs(text, X)
        if "objective=binary" in text:
            np.testing.assert_allclose(ours[:, b], expected, rtol=0, atol=1e-15)
        else:
            assert np.array_equal(ours[:, b], expected), name


def test_forecasts_are_those_of_lightgbm() -> None:
    agree(FOREST, TEXTS, rows_of(2000, seed=3))


def test_every_kind_of_split_was_walked() -> None:
    kinds = {
        int(kind)
        for text in TEXTS.values()
        for line in text.splitlines()
        if line.startswith("decision_type=")
        for kind in line.removeprefix("decision_type=").split()
    }
    assert {kind >> 2 for kind in kinds} == {0, 1, 2}
    assert {8, 10, 4, 6} <= kinds


def test_a_split_of_known_from_unknown_keeps_infinity_among_the_known() -> None:
    X = np.where(np.arange(400) % 2, np.nan, 1.0)[:, None]
    table = lightgbm.Dataset(X, np.arange(400) % 2 * 1.0, params={"verbosity": -1})
    settings = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 1}
    text = lightgbm.train(settings, table, 3).model_to_string()
    rows = np.array([[np.inf], [np.nan], [-np.inf], [1.0], [0.0]])
    assert np.array_equal(trees.read({"m": text}).rows(rows)[:, 0], theirs(text, rows))


@given(arrays(np.float64, FEATURES, elements=st.one_of(st.sampled_from(AWKWARD), st.floats())))
@example(np.full(FEATURES, LEAST))
@example(np.full(FEATURES, np.nan))
@example(np.full(FEATURES, -np.inf))
def test_any_row_of_floats_is_forecast_as_lightgbm_does(row: np.ndarray) -> None:
    agree(FOREST, TEXTS, row[None, :])


@given(st.data())
def test_a_row_on_a_threshold_goes_the_same_way(data: st.DataObject) -> None:
    X = rows_of(8, seed=data.draw(st.integers(0, 99)))
    lines = re.findall("threshold=(.*)", TEXTS["regression nan"])
    edges = [float(edge) for line in lines[:5] for edge in line.split()]
    feature = data.draw(st.integers(0, FEATURES - 1))
    X[:, feature] = np.nextafter(data.draw(st.sampled_from(edges)), [-9e9, 9e9] * 4)
    X[:2, feature] = data.draw(st.sampled_from(edges))
    agree(FOREST, TEXTS, X)


def test_one_row_and_many_rows_are_the_same_to_the_last_bit() -> None:
    X = rows_of(300, seed=5)
    one_by_one = np.array([FOREST.row(row) for row in X])
    assert one_by_one.tobytes() == FOREST.rows(X).tobytes()
    assert np.array_equal(FOREST.rows(np.asfortranarray(X)), one_by_one)


def test_a_booster_is_the_same_alone_and_among_others() -> None:
    X = rows_of(50, seed=6)
    for b, (name, text) in enumerate(TEXTS.items()):
        assert np.array_equal(trees.read({name: text}).rows(X)[:, 0], FOREST.rows(X)[:, b])


@pytest.mark.parametrize("leaves", [2, 3, 7, 200])
def test_stumps_and_deep_trees_are_walked_to_their_leaf(leaves: int) -> None:
    texts = {"m": text_of("regression", "nan", leaves)}
    agree(trees.read(texts), texts, rows_of(500, seed=7))


def test_a_model_that_learned_nothing_says_its_mean() -> None:
    X, y = np.zeros((100, 2)), np.arange(100.0)
    table = lightgbm.Dataset(X, y, params={"verbosity": -1})
    text = lightgbm.train({"objective": "regression", "verbosity": -1}, table, 3).model_to_string()
    assert trees.read({"m": text}).row(np.array([1.0, np.nan]))[0] == theirs(text, X[:1])[0]


def test_models_of_the_recipes_in_use_are_walked() -> None:
    X = rows_of(3000, seed=8)
    y = (np.nan_to_num(X[:, 0]) > 0) * 1.0
    texts = {
        "direction": boosting.train(X, y, boosting.DIRECTION, seed=1),
        "volatility": boosting.train(X, X[:, 0], boosting.VOLATILITY, seed=1),
    }
    agree(trees.read(texts), texts, rows_of(500, seed=9))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_the_features_added_sums_to_the_raw_score(objective: str) -> None:
    X = rows_of(40, seed=10)
    text = text_of(objective)
    parts = trees.contributions(text, X)
    assert parts.shape == (40, FEATURES + 1)
    np.testing.assert_allclose(parts.sum(axis=1), theirs(text, X, raw_score=True), atol=1e-9)
    assert not parts[:, 5].any()  # never known, so it never decided anything


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (lambda: text_of("poisson"), "objective"),
        (lambda: text_of("cross_entropy"), "objective"),
        (lambda: text_of("regression", reg_sqrt=True), "objective"),
        (lambda: text_of("regression", linear_tree=True), "is_linear"),
        (lambda: text_of("regression", categories=(1,)), "num_cat"),
        (
            lambda: text_of(
                "regression", boosting="rf", bagging_freq=1, bagging_fraction=0.5, learning_rate=1.0
            ),
            "average_output",
        ),
    ],
    ids=["poisson", "cross_entropy", "sqrt", "linear", "categorical", "forest"],
)
def test_what_the_walk_does_not_do_is_refused_by_name(text, place: str) -> None:
    with pytest.raises(RejectData, match=rf"model-3: .*{place}.*Next: train the model again"):
        trees.read({"model-3": text()})


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("\nend of trees\n", "\n", "end"),
        ("\nTree=3", "\nTwee=3", "tree_sizes"),
        ("num_class=1", "num_class=3", "num_class"),
        ("max_feature_idx=5", "max_feature_idx=1", "split_feature"),
        ("max_feature_idx=5", "max_feature_idx=1e9", "max_feature_idx"),
        ("max_feature_idx=5", "max_feature_idx=-3", "max_feature_idx"),
        ("leaf_value=", "leaf_value=nan ", "leaf_value"),
        ("leaf_value=", "leaf_value=1.0 ", "leaf_value"),
        ("leaf_value=", "leaf_value=x", "leaf_value"),
        ("threshold=", "threshold=nan", "threshold"),
        ("left_child=1", "left_child=0", "left_child"),
        ("left_child=", "left_child=0.5", "left_child"),
        ("num_leaves=15", "num_leaves=0", "num_leaves"),
        ("num_leaves=15", "num_leaves=16", "leaf_value"),
        ("decision_type=", "decision_type=1", "decision_type"),
        ("objective=regression", "objective=", "objective"),
    ],
)
def test_a_damaged_text_is_refused_with_the_line(old: str, new: str, place: str) -> None:
    text = text_of("regression")
    assert old in text
    with pytest.raises(RejectData, match=place):
        trees.read({"m": text.replace(old, new, 1)})


@given(st.data())
def test_a_text_cut_anywhere_is_refused_or_whole(data: st.DataObject) -> None:
    text = text_of("regression", "nan", 3)
    length = data.draw(st.integers(0, len(text)))
    try:
        forest = trees.read({"m": text[:length]})
    except CounterpoiseError:
        return
    # Nothing after the trees matters to a forecast.
    assert length >= text.index("end of trees\n") + len("end of trees\n")
    assert forest.trees == 25


def test_models_of_other_features_do_not_share_a_forest() -> None:
    table = lightgbm.Dataset(np.zeros((50, 2)), np.arange(50.0), params={"verbosity": -1})
    other = lightgbm.train({"objective": "regression", "verbosity": -1}, table, 1)
    with pytest.raises(FixConfig, match="one number of features"):
        trees.read({"a": text_of("regression"), "b": other.model_to_string()})
    with pytest.raises(FixConfig, match="no model"):
        trees.read({})


def test_a_row_of_another_length_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="6 features"):
        FOREST.row(np.zeros(5))


def test_a_text_reads_the_columns_it_was_trained_on() -> None:
    X = rows_of(300, seed=11)
    wide = np.full((len(X), X.shape[1] + 3), 7.0)
    places = np.random.default_rng(0).permutation(wide.shape[1])[: X.shape[1]]
    wide[:, places] = X
    forest = trees.read(TEXTS, columns=dict.fromkeys(TEXTS, places), features=wide.shape[1])
    assert forest.rows(wide).tobytes() == FOREST.rows(X).tobytes()


@pytest.mark.parametrize("places", [[0, 1], [-1, *range(1, 99)], [99_999, *range(1, 99)]])
def test_columns_that_are_not_those_of_a_text_are_refused(places: list[int]) -> None:
    name, text = next(iter(TEXTS.items()))
    columns = np.array((places * 3)[: FOREST.features] if len(places) > 2 else places)
    with pytest.raises(FixConfig, match=f"columns of {name}"):
        trees.read({name: text}, columns={name: columns}, features=FOREST.features)
