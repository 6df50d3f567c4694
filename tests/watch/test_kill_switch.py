"""The kill switch: durable, first reason kept, and in force whatever its file looks like."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.cli import run_command
from counterpoise.watch.heartbeat import Heartbeat, write_heartbeat
from counterpoise.watch.kill_switch import KillSwitch, Standing, obey_signals


@pytest.fixture
def switch(tmp_path) -> KillSwitch:
    return KillSwitch(tmp_path / "state")


def running(state: Path, **changes) -> None:
    """A heartbeat of this very process, now."""
    state.mkdir(exist_ok=True)
    now = round(time.time() * 1000)
    told = {"exposure_eth": 100.0, "short_eth": 80.0} | changes
    write_heartbeat(state, Heartbeat(now, os.getpid(), "paper", "binance", "ETHUSDT", now, **told))


def test_it_says_who_why_and_when_and_survives_a_restart(switch):
    assert switch.standing() is None
    set_to = switch.set("halt", "the exchange is down", "ops")
    again = KillSwitch(switch.state).standing()
    assert again == set_to == Standing("halt", "ops", "the exchange is down", set_to.when)
    assert set_to.when.endswith("+00:00")
    assert "the exchange is down" in str(again)


def test_the_first_reason_stays_and_flatten_outranks_halt(switch):
    first = switch.set("halt", "first")
    assert switch.set("halt", "second") == first
    switch.set("flatten", "get out")
    assert switch.standing().order == "flatten"
    assert [one.why for one in switch.clear()] == ["get out", "first"]
    assert switch.standing() is None
    assert switch.clear() == []
    assert list(switch.state.iterdir()) == []


@given(st.binary(max_size=200))
def test_a_file_counts_whatever_is_in_it(tmp_path_factory, content):
    state = tmp_path_factory.mktemp("state")
    (state / "HALT").write_bytes(content)
    standing = KillSwitch(state).standing()
    assert standing.order == "halt"
    assert standing.who
    assert standing.why
    assert str(standing).isprintable()


@pytest.mark.parametrize("made", [Path.touch, Path.mkdir])
def test_an_empty_file_and_a_folder_halt_too(switch, made):
    switch.state.mkdir()
    made(switch.state / "FLATTEN")
    assert switch.standing() == Standing(
        "flatten", "somebody unknown", "the file says no reason", "an unknown time"
    )


def test_where_the_reason_cannot_be_written_its_name_still_halts(switch):
    switch.state.mkdir()
    (switch.state / f".HALT.{os.getpid()}").mkdir()  # in the way of the draft
    switch.set("halt", "full")
    assert KillSwitch(switch.state).standing().order == "halt"


def test_signals_set_the_switch_and_tell_the_shell(switch):
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    told: list[Standing] = []
    try:
        obey_signals(switch, told.append)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [one.order for one in told] == ["halt", "flatten"]
    assert told[1] == switch.standing()
    assert "SIGUSR2" in told[1].why


def test_a_signal_halts_even_where_nothing_can_be_written(tmp_path):
    (tmp_path / "state").write_text("no folder")
    before = signal.getsignal(signal.SIGUSR1)
    told: list[Standing] = []
    try:
        obey_signals(KillSwitch(tmp_path / "state"), told.append)
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    assert [one.order for one in told] == ["halt"]
    assert "not on disk" in told[0].why


def test_two_processes_that_halt_at_once_leave_one_whole_reason(switch):
    switch.state.mkdir()
    program = (
        "import sys; from pathlib import Path; "
        "from counterpoise.watch.kill_switch import KillSwitch; "
        "KillSwitch(Path(sys.argv[1])).set('halt', sys.argv[2] * 50, 'ops')"
    )
    command = [sys.executable, "-c", program, str(switch.state)]
    for one in [subprocess.Popen([*command, letter]) for letter in "abc"]:
        assert one.wait() == 0
    assert json.loads((switch.state / "HALT").read_text())["why"] in {x * 50 for x in "abc"}


def test_commands_say_what_happens_when_nothing_runs(tmp_path, capfd):
    state = str(tmp_path / "state")
    assert run_command(["halt", "--why", "maintenance", "--state", state]) == 0
    said = capfd.readouterr().out
    assert "maintenance" in said
    assert "Nothing runs here now; the next run starts halted." in said
    assert run_command(["flatten", "--yes", "--state", state]) == 0
    assert "no order leaves because of this" in capfd.readouterr().out
    assert KillSwitch(tmp_path / "state").standing().order == "flatten"
    assert run_command(["resume", "--state", state]) == 0
    assert "maintenance" in capfd.readouterr().out
    assert run_command(["resume", "--state", state]) == 0
    assert "was not halted by hand" in capfd.readouterr().out


def test_commands_say_what_the_run_will_do(tmp_path, capfd):
    running(tmp_path)
    assert run_command(["halt", "--state", str(tmp_path)]) == 0
    assert f"pid {os.getpid()}, paper" in capfd.readouterr().out
    assert run_command(["flatten", "--yes", "--state", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert "buys back 80.000 ETH of ETHUSDT" in said
    assert "100.000 ETH are unhedged then" in said
    assert run_command(["resume", "--state", str(tmp_path)]) == 0
    assert "goes on within a second" in capfd.readouterr().out


def test_a_run_that_halted_itself_is_asked_to_go_on_until_it_did(tmp_path, capfd):
    switch = KillSwitch(tmp_path)
    running(tmp_path, halted_why="the venue has a short of 4 ETH")
    assert not switch.asked_to_resume()
    assert run_command(["resume", "--state", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert "a short of 4 ETH" in said
    assert "takes the venue's position as true" in said
    assert KillSwitch(tmp_path).asked_to_resume()
    switch.resumed()
    switch.resumed()
    assert not switch.asked_to_resume()
    # Whoever halts afterwards means it.
    switch.ask_to_resume()
    switch.set("halt", "wait")
    assert not switch.asked_to_resume()


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_flatten_asks_and_does_nothing_without_a_yes(tmp_path, capfd, monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert run_command(["flatten", "--state", str(tmp_path)]) == 1
    assert "give --yes" in capfd.readouterr().out
    assert KillSwitch(tmp_path).standing() is None


def test_a_broken_settings_file_keeps_nobody_from_halting(tmp_path, capfd):
    broken = tmp_path / "counterpoise.toml"
    broken.write_text("[run")
    assert run_command(["halt", "--config", str(broken)]) == 3
    assert "give --state FOLDER" in capfd.readouterr().err
    state = tmp_path / "state"
    assert run_command(["halt", "--config", str(broken), "--state", str(state)]) == 0
    assert KillSwitch(state).standing() is not None
