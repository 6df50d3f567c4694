"""A study replaces an earlier one wholly; whatever stops it, the earlier one stays whole."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.study import publish
from counterpoise.study.publish import replacing

NAMES = ("paths", "results.json", "report.html")


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def written(staging: Path, text: str) -> None:
    (staging / "paths").mkdir()
    for name in ("full", text):
        (staging / "paths" / f"{name}.parquet").write_text(text)
    (staging / "results.json").write_text(text)
    (staging / "report.html").write_text(text * 1_000)


def study(out: Path, text: str) -> dict[str, bytes | None]:
    """Publish a study of this text; what the folder holds then."""
    with replacing(out, NAMES) as staging:
        written(staging, text)
    return contents(out)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a study, and with something of the user's."""
    out = tmp_path / "deep" / "out"
    study(out, "old")
    (out / "notes.txt").write_text("mine")
    return out


def test_a_new_study_replaces_every_file_of_the_old_one_and_nothing_else(out: Path) -> None:
    found = study(out, "new")
    assert found["results.json"] == b"new"
    assert found["report.html"] == b"new" * 1_000
    assert [name for name in found if name.startswith("paths/")] == [
        "paths/full.parquet",
        "paths/new.parquet",
    ]
    assert found["notes.txt"] == b"mine"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError, SystemExit])
def test_a_study_that_fails_while_it_writes_changes_nothing(
    out: Path, failure: type[BaseException]
) -> None:
    before = contents(out)

    def fail() -> None:
        with replacing(out, NAMES) as staging:
            written(staging, "new")
            raise failure

    with pytest.raises(failure):
        fail()
    assert contents(out) == before


def test_a_first_study_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "out", NAMES):
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [False, True], ids=["later study", "first study"])
@pytest.mark.parametrize("move", range(5))
def test_a_move_that_fails_is_taken_back(
    out: Path, monkeypatch: pytest.MonkeyPatch, move: int, after: bool, first: bool
) -> None:
    target = out / "sub" if first else out
    target.mkdir(exist_ok=True)
    before = contents(target)
    real, count = os.replace, 0

    def failing(old: Path, new: Path) -> None:
        nonlocal count
        count += 1
        if count - 1 == move and not after:
            raise KeyboardInterrupt
        real(old, new)
        if count - 1 == move and after:
            raise KeyboardInterrupt

    monkeypatch.setattr(publish.os, "replace", failing)
    try:
        study(target, "new")
    except KeyboardInterrupt:
        assert contents(target) == before
    else:
        moves = 3 if first else 4
        assert move >= moves
        assert count == moves


def test_a_full_disk_leaves_the_old_study(out: Path) -> None:
    before = contents(out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            study(out, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(out) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from counterpoise.study.publish import replacing
from tests.study.test_publish import NAMES, written
with replacing(Path(sys.argv[1]), NAMES) as staging:
    written(staging, "new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_study_leaves_the_old_one_and_the_next_sweeps_up(out: Path) -> None:
    before = contents(out)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(out)],
            check=False,
            cwd=Path(__file__).parents[2],
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL
    found = contents(out)
    assert {name: found[name] for name in before} == before
    # What two killed studies left is one folder, not two, and the next study removes it.
    assert len([path for path in out.iterdir() if path.name.startswith(".study-")]) == 1
    assert not [name for name in study(out, "new") if ".study-" in name]


TAKING_TURNS = """
import sys
from pathlib import Path
from counterpoise.study.publish import replacing
from tests.study.test_publish import NAMES, written
for _ in range(20):
    with replacing(Path(sys.argv[1]), NAMES) as staging:
        written(staging, sys.argv[2])
"""


def test_studies_that_end_at_once_take_turns(tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-c"),
                *(TAKING_TURNS, str(out), name),
            ],
            cwd=Path(__file__).parents[2],
        )
        for name in ("one", "two")
    ]
    for process in running:
        assert process.wait(timeout=60) == 0
    found = contents(out)
    text = found["results.json"]
    assert text in (b"one", b"two")
    assert found["report.html"] == text * 1_000
    assert set(found) == {
        *("paths", "results.json", "report.html", "paths/full.parquet"),
        f"paths/{text.decode()}.parquet",
    }
