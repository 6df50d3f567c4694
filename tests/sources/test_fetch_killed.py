"""The real command, killed, doubled and without space: the lake ends as if nothing had been."""

import re
import subprocess
import sys
import threading

import pytest

from tests.sources.binance_server import Venue
from tests.sources.server import Answer, Server
from tests.sources.test_fetch import NOW, SPAN, Stage, files

KINDS = "klines,funding"

#: Ends the process for good around the n-th call of a function, as a power cut would.
KILL = """
import os, signal
import {house} as house
owner = house if {owner!r} == "" else getattr(house, {owner!r})
real, calls = getattr(owner, {name!r}), []
def killed(*given, **named):
    calls.append(None)
    if len(calls) == {call} and {side!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    done = real(*given, **named)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(owner, {name!r}, killed)
"""


@pytest.fixture(scope="module")
def server():
    with Server(lambda _: Answer(500)) as one:
        yield one


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, server):
    """Files of a lake after a run in which nothing went wrong."""
    stage = Stage(tmp_path_factory.mktemp("plain"), server, 0)
    stage.put(Venue(NOW))
    assert stage.fetch(KINDS) == 0
    return files(stage.lake)


@pytest.fixture
def stage(tmp_path, server):
    return Stage(tmp_path, server, 1)


def command(stage, before="", parallel=4):
    """Start the real command in a process of its own, after some preparation there."""
    words = ["data", "fetch", "binance", "--kinds", KINDS, "--config", stage.settings(), *SPAN]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{before}\nfrom counterpoise.cli import main; main()",
            *words,
            "--parallel",
            str(parallel),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("request_number", [1, 4, 9, 15, 21])
def test_a_run_killed_while_it_asks_is_taken_up_again(stage, undisturbed, request_number):
    running: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def before(_, number):
        if number == request_number:
            started.wait(60)
            running[0].kill()

    stage.put(Venue(NOW), before)
    running.append(command(stage, parallel=1 + request_number % 3))
    started.set()
    running[0].communicate(timeout=60)
    assert running[0].returncode == -9
    left = files(stage.lake) if stage.lake.exists() else {}
    assert all(name.startswith("spool/") for name in left), "nothing is in the lake yet"
    waiting = {name.removeprefix("spool/final/") for name in left if not name.endswith(".tmp")}
    stage.put(Venue(NOW))
    assert stage.fetch(KINDS) == 0
    assert files(stage.lake) == undisturbed
    for name in waiting:
        file = f"{name.rpartition('/')[2]}.zip"
        again = [path for path in stage.asked if path.endswith(file) and "/klines/" in path]
        assert "/klines/" not in name or again == [], "what was downloaded is not asked for again"


@pytest.mark.parametrize(
    ("house", "owner", "name", "call", "side"),
    [
        ("os", "", "replace", 3, "before"),
        ("counterpoise.market.lake", "", "save_manifest", 1, "before"),
        ("counterpoise.market.lake", "Lake", "write", 1, "after"),
        ("counterpoise.sources.fetch", "", "save_ledger", 1, "after"),
        ("counterpoise.market.lake", "Lake", "write", 2, "after"),
    ],
)
def test_a_run_killed_while_it_stores_is_taken_up_again(
    stage, undisturbed, house, owner, name, call, side
):
    stage.put(Venue(NOW))
    before = KILL.format(house=house, owner=owner, name=name, call=call, side=side)
    killed = command(stage, before)
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert files(stage.lake) != undisturbed
    assert stage.fetch(KINDS) == 0
    assert files(stage.lake) == undisturbed
    assert not [path for path in stage.lake.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_of_two_at_once_one_is_told_to_wait_and_the_other_is_not_harmed(stage, undisturbed):
    begun, go_on = threading.Event(), threading.Event()

    def before(_, number):
        if number == 6:
            begun.set()
            go_on.wait(60)

    stage.put(Venue(NOW), before)
    first = command(stage, parallel=1)
    assert begun.wait(60)
    asked = len(stage.asked)
    second = command(stage)
    out, told = second.communicate(timeout=60)
    assert (second.returncode, out) == (6, "")
    assert re.fullmatch(r"error: .*lake is being fetched into by another process\. .*\n", told)
    assert len(stage.asked) == asked, "the second asked nobody"
    assert stage.fetch(KINDS) == 6
    go_on.set()
    out, told = first.communicate(timeout=60)
    assert first.returncode == 0, told
    assert "The lake changed." in out
    assert files(stage.lake) == undisturbed


def test_a_run_that_is_asked_to_stop_says_so_and_is_taken_up_again(stage, undisturbed):
    running: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def before(_, number):
        if number == 9:
            started.wait(60)
            running[0].terminate()

    stage.put(Venue(NOW), before)
    running.append(command(stage))
    started.set()
    _, told = running[0].communicate(timeout=60)
    assert running[0].returncode == 128 + 15
    assert told.endswith("stopped; nothing half-written was kept.\n")
    assert "Traceback" not in told
    assert stage.fetch(KINDS) == 0
    assert files(stage.lake) == undisturbed


@pytest.mark.parametrize("downloaded", [False, True])
def test_a_disk_without_space_is_one_line_and_the_next_run_recovers(stage, undisturbed, downloaded):
    stage.put(Venue(NOW))
    if downloaded:
        house = "counterpoise.market.lake"
        stop = KILL.format(house=house, owner="Lake", name="write", call=1, side="before")
        command(stage, stop).communicate(timeout=60)
        assert any("spool/final" in name for name in files(stage.lake))
    limit = 12_000 if downloaded else 0
    assert limit < max(len(content) for content in undisturbed.values())
    before = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "import sys; sys.dont_write_bytecode = True"
    )
    full = command(stage, before)
    _, told = full.communicate(timeout=60)
    assert full.returncode == (3 if downloaded else 1), told
    assert "File too large" in told
    assert "Next: " in told
    assert "Traceback" not in told
    left = files(stage.lake) if stage.lake.exists() else {}
    assert not [name for name in left if name.endswith(".tmp")]
    assert stage.fetch(KINDS) == 0
    assert files(stage.lake) == undisturbed
