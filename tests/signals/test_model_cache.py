"""The cache of models saves time and decides nothing: whatever happens to it, forecasts stay."""

from pathlib import Path

import numpy as np
import pytest

from counterpoise.signals import boosting
from counterpoise.signals.boosting import Recipe, train_or_read

RECIPE = Recipe("regression", 5, 0.1, 4, 20, 1.0, 0.0, 1)
RNG = np.random.default_rng(1)
X = RNG.normal(size=(400, 3))
Y = X[:, 0] + RNG.normal(size=400)


def model(folder: Path | None) -> str:
    return train_or_read(X, Y, RECIPE, seed=7, folder=folder)


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """The one file of a cache."""
    model(tmp_path / "models")
    (file,) = (tmp_path / "models").iterdir()
    return file


@pytest.mark.parametrize("kept", [0, 1, 100, -2])
def test_a_model_cut_short_is_trained_again_and_mended(cached: Path, kept: int) -> None:
    whole = cached.read_bytes()
    cached.write_bytes(whole[:kept])
    assert model(cached.parent) == model(None)
    assert cached.read_bytes() == whole


def test_a_model_with_another_number_in_it_is_trained_again(cached: Path) -> None:
    whole = cached.read_bytes()
    cached.write_bytes(whole.replace(b"leaf_value=", b"leaf_value=9", 1))
    assert model(cached.parent) == model(None)
    assert cached.read_bytes() == whole


def test_a_model_that_is_there_is_not_trained_again(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model(None)
    monkeypatch.setattr(boosting, "train", pytest.fail)
    assert model(cached.parent) == expected


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert model(tmp_path / "file") == model(None)
    assert model(tmp_path / "file" / "models") == model(None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_no_partial_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert model(tmp_path / "models") == model(None)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_killed_runs_leave_does_not_pile_up(cached: Path) -> None:
    partial = cached.with_suffix(".partial")
    for _ in range(2):
        partial.write_text("half a mod")
        cached.unlink()
        model(cached.parent)
        assert list(cached.parent.iterdir()) == [cached]
