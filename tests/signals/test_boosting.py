"""Trees that are the same trees every time: across threads, caches and damaged files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.signals import boosting
from counterpoise.signals.boosting import Recipe

RECIPE = Recipe("binary", 20, 0.1, 7, 20, 0.6, 1.0, 1)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3000, 6))
    X[rng.random(X.shape) < 0.05] = np.nan
    y = (np.nan_to_num(X[:, 0]) + rng.normal(size=3000) > 0).astype(float)
    return X, y


def test_threads_change_the_time_not_the_model(rows: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (boosting.train(*rows, RECIPE, seed=1, threads=n) for n in (1, 2))
    assert np.array_equal(boosting.predict(one, rows[0]), boosting.predict(two, rows[0]))
    assert one.replace("[num_threads: 1]", "") == two.replace("[num_threads: 2]", "")


def test_forecasts_do_not_depend_on_how_many_rows_are_asked_at_once(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    text = boosting.train(*rows, RECIPE, seed=1)
    whole = boosting.predict(text, rows[0])
    assert np.array_equal(boosting.predict(text, rows[0][:7]), whole[:7])


def test_the_trees_learn_what_is_there(rows: tuple[np.ndarray, np.ndarray]) -> None:
    p = boosting.predict(boosting.train(*rows, RECIPE, seed=1), rows[0])
    assert p[rows[0][:, 0] > 1].mean() > 0.7
    assert p[rows[0][:, 0] < -1].mean() < 0.3


def test_a_cached_model_forecasts_as_the_fresh_one(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    fresh = boosting.train_or_read(*rows, RECIPE, seed=1, folder=None)
    first = boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path)
    again = boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path)
    assert fresh == first == again
    assert [file.suffix for file in tmp_path.iterdir()] == [".txt"]


def test_the_cache_is_read_not_trained_again(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    small = boosting.train(*rows, replace(RECIPE, rounds=1), seed=1)
    boosting.train_or_read(*rows, replace(RECIPE, rounds=1), seed=1, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    key = boosting.cache_key(*rows, RECIPE, seed=1)
    file.rename(tmp_path / f"{key}.txt")
    assert boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path) == small


@pytest.mark.parametrize("damage", ["", "tree\n", "half", "flip", "binary"])
def test_a_damaged_file_is_trained_again(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path, damage: str
) -> None:
    good = boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    sealed = file.read_bytes()
    broken = {
        "half": sealed[: len(sealed) // 2],
        "flip": sealed.replace(b"leaf_value=-", b"leaf_value=", 1),
        "binary": b"\xff\xfe\x00",
    }.get(damage, damage.encode())
    assert broken != sealed
    file.write_bytes(broken)
    assert boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path) == good
    assert file.read_bytes() == sealed


def test_a_cache_file_is_itself_a_lightgbm_model(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    import lightgbm

    text = boosting.train_or_read(*rows, RECIPE, seed=1, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    loaded = lightgbm.Booster(model_file=str(file))
    assert np.array_equal(loaded.predict(rows[0]), boosting.predict(text, rows[0]))


def test_the_cache_key_knows_rows_labels_recipe_and_seed(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = rows
    touched = X.copy()
    touched[0, 0] += 1e-12
    keys = [
        boosting.cache_key(X, y, RECIPE, seed=1),
        boosting.cache_key(touched, y, RECIPE, seed=1),
        boosting.cache_key(X, 1 - y, RECIPE, seed=1),
        boosting.cache_key(X.reshape(1500, 12), y, RECIPE, seed=1),
        boosting.cache_key(X, y, replace(RECIPE, rounds=21), seed=1),
        boosting.cache_key(X, y, replace(RECIPE, l2=2.0), seed=1),
        boosting.cache_key(X, y, RECIPE, seed=2),
    ]
    assert len(set(keys)) == len(keys)
