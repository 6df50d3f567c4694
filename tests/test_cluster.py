"""Where tasks run, and what is killed meanwhile, cannot be seen in what they return."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from counterpoise import cluster
from counterpoise.errors import FixConfig, RetryLater
from counterpoise.sealed import digest
from tests import cluster_driver
from tests.cluster_driver import (
    BEFORE_HELD,
    FOLDS,
    HELD,
    SEEDS,
    deadly,
    fingerprint,
    fold,
    hold,
    market,
    tasks,
)

pytestmark = pytest.mark.xdist_group("cluster")

ALL = len(FOLDS) * len(SEEDS)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def expected() -> str:
    """Fingerprint of plain calls in a loop."""
    X, y = market()
    return fingerprint([fold(X, y, number, seed) for number in FOLDS for seed in SEEDS])


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def driver(*words: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, where every warning is an error."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.cluster_driver", *map(str, words)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: "subprocess.Popen[str]") -> str:
    """What a run printed."""
    out, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    return out.strip()


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that must happen soon."""
    deadline = time.monotonic() + 100
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def done(marks: Path) -> Counter[str]:
    """How often each task was begun."""
    return Counter(mark.name.split("_")[0] for mark in marks.iterdir())


def running(mark: Path) -> bool:
    """Whether the process that left a mark is still there."""
    try:
        os.kill(int(mark.name.split("_")[1]), 0)
    except ProcessLookupError:
        return False
    return True


def kept(folder: Path) -> int:
    return len(list(folder.glob("*.npy")))


@pytest.mark.parametrize("backend", ["threads", "local", "ray"])
def test_every_backend_gives_the_bits_of_a_plain_loop(
    backend: str, expected: str, tmp_path: Path, marks: Path
) -> None:
    with driver(backend, tmp_path / "kept", marks) as process:
        assert finished(process) == expected
    pids = {mark.name.split("_")[1] for mark in marks.iterdir()}
    assert (pids == {str(process.pid)}) == (backend == "threads")
    assert len(pids) == (1 if backend == "threads" else 2)
    assert set(done(marks).values()) == {1}
    assert kept(tmp_path / "kept") == ALL


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_killed_worker_costs_its_task_and_no_result(
    backend: str, expected: str, tmp_path: Path, marks: Path
) -> None:
    hold(marks).touch()
    with driver(backend, tmp_path / "kept", marks) as process:
        until(lambda: all(done(marks)[f"{number}-{seed}"] for number, seed in HELD))
        (mark,) = marks.glob("2-0_*")
        pid = int(mark.name.split("_")[1])
        assert pid != process.pid
        os.kill(pid, signal.SIGKILL)
        hold(marks).unlink()
        assert finished(process) == expected
    again = {name: times for name, times in done(marks).items() if times > 1}
    assert again["2-0"] == 2
    # What was on its way to the two workers, two tasks each, may be done again with it.
    assert set(again.values()) == {2}
    assert len(again) <= 4
    assert len(done(marks)) == ALL


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_killed_run_goes_on_where_it_was_on_any_backend(
    backend: str, expected: str, tmp_path: Path, marks: Path
) -> None:
    folder = tmp_path / "kept"
    hold(marks).touch()
    with driver(backend, folder, marks) as process:
        until(lambda: kept(folder) == BEFORE_HELD)
        process.kill()
        process.wait()
    # Its workers, two of them waiting in a task for ever, do not outlive it.
    until(lambda: not any(running(mark) for mark in marks.iterdir()))
    hold(marks).unlink()
    for session in Path("/tmp").glob(f"cp-*/session_*_{process.pid}"):
        shutil.rmtree(session.parent, ignore_errors=True)
    assert kept(folder) == BEFORE_HELD
    again = tmp_path / "again"
    again.mkdir()
    with driver("threads", folder, again) as process:
        assert finished(process) == expected
    names = {f"{number}-{seed}" for number in FOLDS[2:] for seed in SEEDS}
    assert done(again) == Counter(names)


def test_a_running_cluster_is_used_and_left_as_it_was(
    expected: str, tmp_path: Path, marks: Path
) -> None:
    holding = (
        "import sys\n"
        "from counterpoise.ray_cluster import connected\n"
        "with connected(2, None) as ray:\n"
        "    print(ray.get_runtime_context().gcs_address, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    # Two processes share a cluster by sharing its token.
    shared = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with subprocess.Popen(
        [sys.executable, "-c", holding],
        env=os.environ | shared,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        address = holder.stdout.readline().strip()
        # This cluster listens to its own machine only; a real one is reached on the network.
        loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        words = ("ray", tmp_path / "kept", marks, "--address", address)
        with driver(*words, **shared, **loopback) as process:
            assert finished(process) == expected
        assert holder.poll() is None
        holder.communicate(timeout=100)
    assert holder.returncode == 0


@pytest.mark.parametrize("damage", ["a bit", "the end", "another's", "all"])
def test_a_damaged_result_is_done_again_and_mended(
    damage: str, expected: str, tmp_path: Path, marks: Path
) -> None:
    def run() -> str:
        found = cluster.run(tasks(marks), backend="threads", folder=tmp_path, shared=market())
        return fingerprint(found)

    assert run() == expected
    first, second, *_ = sorted(tmp_path.glob("*.npy"))
    whole = first.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 1
    first.write_bytes(
        {
            "a bit": bytes(flipped),
            "the end": whole[:-9],
            "another's": second.read_bytes(),
            "all": b"",
        }[damage]
    )
    assert run() == expected
    assert sorted(done(marks).values()) == [1] * (ALL - 1) + [2]
    assert first.read_bytes() == whole


def test_two_runs_at_once_share_a_folder(expected: str, tmp_path: Path, marks: Path) -> None:
    words = ("threads", tmp_path / "kept", marks)
    hold(marks).touch()
    with driver(*words) as one, driver(*words) as other:
        # Both are in the middle now, and neither knows of the other.
        until(lambda: all(done(marks)[f"{number}-{seed}"] == 2 for number, seed in HELD))
        hold(marks).unlink()
        assert finished(one) == finished(other) == expected
    names = [file.name for file in (tmp_path / "kept").iterdir()]
    assert len(names) == ALL
    assert not [name for name in names if "partial" in name]


def refuse(number: int) -> int:
    if number == 3:
        raise FixConfig("number", number, "another", "change it")
    return number


@pytest.mark.parametrize("backend", ["threads", "local"])
def test_an_error_of_a_task_arrives_as_it_was_and_what_was_done_is_kept(
    backend: cluster.Backend, tmp_path: Path
) -> None:
    todo = [cluster.Task(digest("refuse", i), refuse, (i,)) for i in range(4)]
    with pytest.raises(FixConfig, match=r"^number = 3: expected another\. Next: change it\.$"):
        cluster.run(todo, backend=backend, folder=tmp_path, workers=1)
    assert [cluster.run([one], backend="threads", folder=tmp_path) for one in todo[:3]] == [
        [0],
        [1],
        [2],
    ]


def test_a_task_that_always_kills_its_worker_ends_the_run_with_a_next_step() -> None:
    todo = [cluster.Task(digest("deadly", i), deadly, (i,)) for i in range(4)]
    with pytest.raises(RetryLater, match=r"lost 3 times in a row with [12] of 4 .*Next: use fewer"):
        cluster.run(todo, backend="local", workers=2)


def test_a_worker_with_other_versions_is_refused() -> None:
    task = cluster.Task(digest("shapes"), shapes, ("text",))
    with pytest.raises(FixConfig, match=r"numpy 0\.1.*the same on every machine"):
        cluster._work({"numpy": "0.1"}, (), task)


def write_to(X: np.ndarray) -> int:
    X[0] = 1.0
    return 0


@pytest.mark.parametrize("backend", ["threads", "local"])
def test_no_task_can_change_what_all_share(backend: cluster.Backend) -> None:
    X = np.zeros(3)
    with pytest.raises(ValueError, match="read-only"):
        cluster.run([cluster.Task(digest("write"), write_to)], backend=backend, shared=(X,))
    X[0] = 2.0  # the caller still can


def shapes(kind: str) -> object:
    return {
        "text": "σ\n",
        "structure": {"a": [1, 2.5, None, True], "b": {"c": "d"}},
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "nan": float("nan"),
    }[kind]


def test_text_structures_and_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    kinds = ("text", "structure", "columns")
    todo = [cluster.Task(digest("shapes", kind), shapes, (kind,)) for kind in kinds]
    for _ in range(2):
        *plain, columns = cluster.run(todo, backend="threads", folder=tmp_path)
        assert plain == [shapes("text"), shapes("structure")]
        np.testing.assert_array_equal(columns, shapes("columns"))
        assert columns.flags.f_contiguous
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".json", ".npy"]


def test_a_result_no_open_format_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        cluster.run([cluster.Task(digest("nan"), shapes, ("nan",))], backend="threads")


def test_equal_keys_are_done_once(marks: Path, expected: str) -> None:
    twice = [task for task in tasks(marks) for _ in range(2)]
    found = cluster.run(twice, backend="threads", shared=market())
    assert fingerprint(found[::2]) == fingerprint(found[1::2]) == expected
    assert done(marks).total() == ALL


def test_progress_starts_with_what_is_kept_and_ends_with_all(tmp_path: Path, marks: Path) -> None:
    told: list[tuple[int, int]] = []
    todo = list(tasks(marks))
    options = {"backend": "threads", "folder": tmp_path, "shared": market()}
    cluster.run(todo[:5], **options)
    cluster.run(todo, **options, progress=lambda *now: told.append(now))
    assert told == [(n, ALL) for n in range(5, ALL + 1)]


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_missing_extra_is_named_with_its_command(
    backend: cluster.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    monkeypatch.delitem(sys.modules, "joblib.externals.loky", raising=False)
    with pytest.raises(FixConfig, match=r"pip install 'counterpoise\[cluster\]'"):
        cluster.run([cluster.Task(digest("x"), deadly, (0,))], backend=backend)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense", "ray://127.0.0.1:9"])
def test_a_cluster_that_is_not_there_is_refused_at_once(address: str) -> None:
    before = time.monotonic()
    with pytest.raises(FixConfig, match=r"^--address = .*ray start --head"):
        cluster.run([cluster.Task(digest("x"), deadly, (0,))], backend="ray", address=address)
    assert time.monotonic() - before < 15


def test_digests_tell_apart_what_differs() -> None:
    recipe = cluster_driver.RECIPE
    values = (
        np.zeros(4),
        np.zeros((2, 2)),
        np.zeros(4, np.float32),
        b"a",
        "a",
        ["a"],
        1,
        1.0,
        True,
        None,
        fold,
        recipe,
        ["a", "b"],
    )
    assert len({digest(value) for value in values}) == len(values)
    assert digest("a", "b") != digest(["a", "b"])
    assert digest(np.arange(6).reshape(2, 3)) == digest(np.asfortranarray([[0, 1, 2], [3, 4, 5]]))
