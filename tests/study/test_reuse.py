"""Reuse between studies: same bits or computed again, whatever happened to the lake meanwhile."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoise.config import Settings
from counterpoise.signals.training import forecast
from counterpoise.study.reuse import (
    FOLDER,
    Arrays,
    Shelf,
    fingerprint,
    package_digest,
    recall_forecasts,
)
from tests.random_timeline import random_timeline

RETURNS = np.array([0.01, -0.0, np.nan, -0.02])


@dataclass(frozen=True)
class Bars:
    close: np.ndarray


class Counted:
    """A computation that remembers how often it ran."""

    def __init__(self, found: np.ndarray = RETURNS) -> None:
        self.found, self.runs = found, 0

    def __call__(self) -> Arrays:
        self.runs += 1
        return {"returns": self.found.copy()}


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


# What a key covers


def test_the_same_values_have_the_same_fingerprint() -> None:
    one = fingerprint({"draws": 10}, Bars(RETURNS), (1, "a", None, True))
    assert one == fingerprint({"draws": 10}, Bars(RETURNS.copy()), (1, "a", None, True))
    assert fingerprint(RETURNS[::2]) == fingerprint(RETURNS[::2].copy())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RETURNS, np.array([0.01, 0.0, np.nan, -0.02])),  # the sign of a zero
        (RETURNS, np.nextafter(RETURNS, 1)),
        (RETURNS, RETURNS.reshape(2, 2)),
        (np.zeros(2), np.zeros(2, np.int64)),
        (np.zeros(2), np.zeros(2, np.float32)),
        (("ab", "c"), ("a", "bc")),
        (((1, 2), 3), (1, (2, 3))),
        ((1,), (1.0,)),
        ((1,), (True,)),
        (("1",), (1,)),
        ({"a": 1}, {"b": 1}),
        (Bars(RETURNS), Bars(RETURNS[:3])),
        (None, 0),
        (np.float64(1), np.int64(1)),
    ],
)
def test_values_that_differ_anywhere_have_another(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), values=st.lists(st.floats(), min_size=1, max_size=50))
def test_one_changed_bit_of_one_return_changes_the_key(data: Any, values: list[float]) -> None:
    returns = np.array(values)
    bits = returns.copy().view(np.uint64)
    row = data.draw(st.integers(0, len(values) - 1))
    bits[row] ^= np.uint64(1) << np.uint64(data.draw(st.integers(0, 63)))
    assert fingerprint(returns) != fingerprint(bits.view(np.float64))


@pytest.mark.parametrize("value", [lambda: 0, Path("lake"), {1, 2}, np.array([object()]), Bars])
def test_what_might_depend_on_more_than_its_bytes_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="would not cover all of it"):
        fingerprint(value)


def test_a_changed_new_or_renamed_source_file_changes_the_digest_of_the_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "metrics.py").write_text("DAYS = 365\n", encoding="utf-8")
    found = [package_digest(tmp_path)]
    (tmp_path / "study" / "metrics.py").write_text("DAYS = 366\n", encoding="utf-8")
    found.append(package_digest(tmp_path))
    (tmp_path / "study" / "cost.py").write_text("", encoding="utf-8")
    found.append(package_digest(tmp_path))
    (tmp_path / "study" / "cost.py").rename(tmp_path / "study" / "costs.py")
    found.append(package_digest(tmp_path))
    assert len(set(found)) == 4
    assert package_digest(tmp_path) == found[-1]


# What comes back


def test_a_result_comes_back_to_the_last_bit_and_is_computed_once(tmp_path: Path) -> None:
    compute = Counted()
    shelf = Shelf(tmp_path / FOLDER)
    first = shelf.recall("bootstrap", (RETURNS, 11), compute)
    again = Shelf(tmp_path / FOLDER)
    found = again.recall("bootstrap", (RETURNS, 11), compute)
    assert compute.runs == 1
    assert first["returns"].tobytes() == found["returns"].tobytes() == RETURNS.tobytes()
    assert (shelf.computed["bootstrap"], shelf.reused["bootstrap"]) == (1, 0)
    assert (again.computed["bootstrap"], again.reused["bootstrap"]) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "inputs", "code"),
    [
        ("placebos", (RETURNS, 11), "a"),
        ("bootstrap", (np.nextafter(RETURNS, 1), 11), "a"),
        ("bootstrap", (RETURNS, 12), "a"),
        ("bootstrap", (RETURNS, 11), "b"),
    ],
)
def test_another_kind_input_or_code_is_computed(
    tmp_path: Path, kind: str, inputs: tuple[object, ...], code: str
) -> None:
    Shelf(tmp_path, "a").recall("bootstrap", (RETURNS, 11), Counted())
    compute = Counted()
    Shelf(tmp_path, code).recall(kind, inputs, compute)
    assert compute.runs == 1


def test_the_digest_of_our_own_code_is_part_of_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shelf(tmp_path).recall("bootstrap", (1,), Counted())
    monkeypatch.setattr("counterpoise.study.reuse._our_digest", lambda: "edited since")
    compute = Counted()
    Shelf(tmp_path).recall("bootstrap", (1,), compute)
    assert compute.runs == 1


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    compute = Counted()
    shelf = Shelf(None)
    shelf.recall("bootstrap", (1,), compute)
    shelf.recall("bootstrap", (1,), compute)
    shelf.trim()
    assert compute.runs == 2
    assert entries(tmp_path) == []


# What may happen to an entry


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_entry_is_computed_again_and_mended(
    tmp_path: Path, place: float, flip: int
) -> None:
    Shelf(tmp_path, "a").recall("bootstrap", (1,), Counted())
    (entry,) = entries(tmp_path)
    good = entry.read_bytes()
    content = bytearray(good)
    content[int(place * len(content))] ^= flip
    entry.write_bytes(content)
    compute = Counted()
    found = Shelf(tmp_path, "a").recall("bootstrap", (1,), compute)
    assert compute.runs == 1
    assert found["returns"].tobytes() == RETURNS.tobytes()
    assert len(entry.read_bytes()) == len(good)
    assert Shelf(tmp_path, "a").recall("bootstrap", (1,), compute)["returns"] is not None
    assert compute.runs == 1


@pytest.mark.parametrize("kept", [0, 1, 31, 32, 33, 200])
def test_a_truncated_entry_is_computed_again(tmp_path: Path, kept: int) -> None:
    Shelf(tmp_path, "a").recall("bootstrap", (1,), Counted())
    (entry,) = entries(tmp_path)
    entry.write_bytes(entry.read_bytes()[:kept])
    compute = Counted()
    Shelf(tmp_path, "a").recall("bootstrap", (1,), compute)
    assert compute.runs == 1


def test_an_interrupted_computation_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupted() -> Arrays:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shelf(tmp_path / FOLDER).recall("placebos", (1,), interrupted)
    assert entries(tmp_path / FOLDER) == []


def test_a_write_that_fails_half_way_leaves_nothing_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    shelf = Shelf(tmp_path)
    found = shelf.recall("placebos", (1,), Counted())
    assert found["returns"].tobytes() == RETURNS.tobytes()
    assert "No space left" in str(shelf.refused)
    assert entries(tmp_path) == []


def test_a_lake_that_cannot_hold_the_folder_costs_only_the_reuse(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be", encoding="utf-8")
    shelf = Shelf(tmp_path / FOLDER)
    assert shelf.recall("placebos", (1,), Counted())["returns"].tobytes() == RETURNS.tobytes()
    assert shelf.refused is not None
    shelf.trim()
    assert (tmp_path / FOLDER).is_file()


@pytest.mark.parametrize("room", [5, 30])
def test_studies_at_once_agree_and_leave_whole_entries(tmp_path: Path, room: int) -> None:
    start = threading.Barrier(8)

    def study(_: int) -> list[bytes]:
        shelf = Shelf(tmp_path, "a")
        start.wait()
        found = []
        for number in range(20):
            compute = Counted(np.full(1000, float(number)))
            found.append(shelf.recall("bootstrap", (number,), compute)["returns"].tobytes())
            shelf.trim(room * 9000)
        assert shelf.refused is None
        return found

    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(study, range(8))
    assert all(other == first for other in others)
    kept = entries(tmp_path)
    assert {file.suffix for file in kept} == {".npz"}
    assert len(kept) == 20 if room > 20 else len(kept) <= room
    compute = Counted()
    for number in range(20):
        Shelf(tmp_path, "a").recall("bootstrap", (number,), compute)
    assert compute.runs == 20 - len(kept)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    compute = Counted(np.zeros(1000))
    shelf = Shelf(tmp_path, "a")
    for number in range(4):
        shelf.recall("placebos", (number,), compute)
    for age, entry in enumerate(sorted(entries(tmp_path), key=lambda file: file.stat().st_mtime)):
        os.utime(entry, ns=(age + 1, age + 1))
    shelf.recall("placebos", (0,), compute)  # used now, although it was written first
    size = entries(tmp_path)[0].stat().st_size
    shelf.trim(2 * size)
    assert len(entries(tmp_path)) == 2
    assert compute.runs == 4
    for number in (0, 3):
        shelf.recall("placebos", (number,), compute)
    assert compute.runs == 4
    shelf.recall("placebos", (1,), compute)
    assert compute.runs == 5


def test_what_a_killed_study_left_is_swept_up_and_a_running_ones_is_not(tmp_path: Path) -> None:
    old, fresh = tmp_path / "a.partial", tmp_path / "b.partial"
    for file in (old, fresh):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    Shelf(tmp_path, "a").trim(0)
    assert entries(tmp_path) == [fresh]


# What is kept of the forecasts


class Watched:
    """Settings that note which of their sections are read."""

    def __init__(self, held: Settings) -> None:
        self.held, self.read = held, set[str]()

    def __getattr__(self, name: str) -> object:
        self.read.add(name)
        return getattr(self.held, name)


SHORT = Settings(signals={"min_train_days": 60})


def test_forecasts_read_no_settings_but_those_they_are_remembered_by() -> None:
    watched = Watched(SHORT)
    forecast(random_timeline(24 * 130, seed=4), watched)  # type: ignore[arg-type]
    assert watched.read <= {"signals", "costs", "venue"}


def test_forecasts_come_back_to_the_last_bit_for_the_same_history_and_settings(
    tmp_path: Path,
) -> None:
    timeline = random_timeline(24 * 130, seed=4)
    runs = []

    def compute() -> Any:
        runs.append(1)
        return forecast(timeline, SHORT)

    def recall(settings: Settings) -> Any:
        return recall_forecasts(Shelf(tmp_path), timeline, settings, compute)

    first, again = recall(SHORT), recall(SHORT)
    assert len(runs) == 1
    assert first.folds == again.folds == forecast(timeline, SHORT).folds
    assert fingerprint(first) == fingerprint(again) == fingerprint(forecast(timeline, SHORT))

    recall(Settings(signals={"min_train_days": 60}, hedge={"band": 0.1}))
    assert len(runs) == 1
    recall(Settings(signals={"min_train_days": 61}))
    recall(Settings(signals={"min_train_days": 60}, costs={"half_spread_bps": 1.0}))
    assert len(runs) == 3
