"""The ledger of trials forgets nothing, counts each configuration once, and says what is broken."""

import errno
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from counterpoise.errors import RejectData
from counterpoise.signals import trial_file
from counterpoise.signals.trial_file import Trial, append, count, read

TRIAL = Trial(
    what="recipe of the trees",
    target="direction.4h",
    parameters={"rounds": 100, "learning_rate": 0.03, "objective": "binary", "seeds": [7, 8]},
    data_until="2023-12-31T00:00:00+00:00",
    measure="auc",
    score=0.5501,
    when="2026-01-01T12:00:00+00:00",
)
OTHER = replace(TRIAL, parameters=TRIAL.parameters | {"rounds": 150}, score=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "trials.jsonl"
    assert append(path, TRIAL)
    assert append(path, OTHER)
    return path


def test_trials_are_read_as_they_were_entered(ledger: Path) -> None:
    assert read(ledger) == [TRIAL, OTHER]
    lines = ledger.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["parameters"]["learning_rate"] == 0.03


def test_a_ledger_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl") == []
    assert count(tmp_path / "none.jsonl") == 0


def test_a_run_taken_up_again_enters_nothing_twice(ledger: Path) -> None:
    before = ledger.read_bytes()
    assert not append(ledger, replace(TRIAL, when="2026-02-01T00:00:00+00:00"))
    assert ledger.read_bytes() == before


def test_another_score_of_one_configuration_is_entered_and_counts_once(ledger: Path) -> None:
    before = ledger.read_bytes()
    assert append(ledger, replace(TRIAL, score=0.56))
    assert ledger.read_bytes().startswith(before)
    assert len(read(ledger)) == 3
    assert count(ledger) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"target": "volatility.24h"},
        {"data_until": "2024-12-31T00:00:00+00:00"},
        {"parameters": TRIAL.parameters | {"learning_rate": 0.030001}},
        {"parameters": TRIAL.parameters | {"seeds": [7]}},
        {"what": "another idea"},
        {"measure": "r2"},
    ],
)
def test_whatever_was_chosen_makes_a_trial_of_its_own(
    ledger: Path, change: dict[str, object]
) -> None:
    assert append(ledger, replace(TRIAL, **change))
    assert count(ledger) == 3


@pytest.mark.parametrize("missing", [1, 2, 40, 200])
def test_a_last_line_cut_short_is_named_and_nothing_is_put_behind_it(
    ledger: Path, missing: int
) -> None:
    cut = ledger.read_bytes()[:-missing]
    ledger.write_bytes(cut)
    for use in (lambda: read(ledger), lambda: count(ledger), lambda: append(ledger, TRIAL)):
        with pytest.raises(RejectData, match=r"trials\.jsonl: line 2: .*whole line.*Next: restore"):
            use()
    assert ledger.read_bytes() == cut


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0.5501", b"0.6501"),
        (b'"rounds": 100', b'"rounds": 101'),
        (b'"measure"', b'"measured"'),
        (b"{", b""),
        (b"0.5501", b"NaN"),
    ],
)
def test_a_line_changed_by_hand_is_named(ledger: Path, old: bytes, new: bytes) -> None:
    ledger.write_bytes(ledger.read_bytes().replace(old, new, 1))
    with pytest.raises(RejectData, match=r"line 1: .*a trial as it was appended"):
        read(ledger)


def test_a_full_disk_leaves_the_ledger_as_it_was(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trial_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(ledger, replace(TRIAL, score=0.57))
    monkeypatch.undo()
    assert ledger.read_bytes() == before
    assert append(ledger, replace(TRIAL, score=0.57))


def enter(path: Path, first: int) -> int:
    """Enter twenty trials, half of them also entered by a neighbour; how many were new."""
    trials = [replace(TRIAL, parameters={"rounds": first + i}, score=0.5) for i in range(20)]
    return sum(append(path, trial) for trial in trials)


def test_runs_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        entered = list(pool.map(enter, [path] * 4, [0, 10, 20, 30]))
    assert sum(entered) == len(read(path)) == count(path) == 50
