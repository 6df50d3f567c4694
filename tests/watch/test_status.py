"""The screen of a run: why nothing trades, and never a crash, whatever is broken or missing."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.cli import run_command
from counterpoise.execution.records import AlertRaised, Decision, FillBooked
from counterpoise.journal.store import Journal
from counterpoise.journal.tables import LAYOUTS
from counterpoise.watch.heartbeat import LIGHTS, Light, write_heartbeat
from counterpoise.watch.kill_switch import KillSwitch
from counterpoise.watch.status import FromJournal, Picture, look, read_journal, why_not_trading
from tests.journal.samples import RUN, T0, decision, order
from tests.watch.test_heartbeat import BEAT

NOW = BEAT.ts_ms + 1_500
WELL = Picture(NOW, BEAT, True, None, FromJournal())


def without(name: str, said: str) -> Picture:
    """A picture in which one light is out."""
    return replace(WELL, beat=replace(BEAT, lights=BEAT.lights | {name: Light(False, said)}))


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state folder with a journal and a heartbeat of now, by this very process."""
    for name in os.environ:
        if name.startswith("COUNTERPOISE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "state"
    folder.mkdir()
    with Journal.open(folder / "journal.sqlite", run=RUN) as journal:
        journal.commit([decision(1), order(1, "cp-1")])
        fill = FillBooked(T0, "cp-1", "t1", 1, "sell", 1800.1, 0.25, 0.09, True, 1800.0, 398.75)
        journal.commit([fill, AlertRaised(T0, "warning", "margin", "Margin is thin.", "pay in")])
    write_heartbeat(folder, replace(BEAT, ts_ms=round(time.time() * 1000)))
    return folder


def test_a_run_in_its_band_has_nothing_to_do():
    (why,) = why_not_trading(WELL)
    assert why == "nothing to do: the ratio of 0.800 rests in its band of 0.750 to 0.850."


def test_a_target_that_the_grid_put_a_step_beyond_its_edge_is_no_reason_to_trade():
    rounded = replace(
        BEAT, exposure_eth=1000.0, short_eth=582.227, target_eth=582.227, ratio=0.582227
    )
    near = replace(rounded, lo=0.58222743, hi=0.68)
    assert "rests in its band" in why_not_trading(replace(WELL, beat=near))[0]
    off = replace(near, target_eth=583.0)
    assert "outside its band" in why_not_trading(replace(WELL, beat=off))[0]


def test_a_run_that_works_an_order_trades():
    working = replace(BEAT, ratio=0.6, twap_side="sell", twap_size=20.0)
    assert why_not_trading(replace(WELL, beat=working)) == []


def test_a_run_outside_its_band_that_does_not_trade_says_its_reason():
    (why,) = why_not_trading(replace(WELL, beat=replace(BEAT, ratio=0.6, reason="cool-down")))
    assert why == "outside its band, but no order is worked: cool-down."


def test_no_run_an_ended_one_and_a_stuck_one_are_told_apart():
    assert "no run has left a heartbeat" in why_not_trading(replace(WELL, beat=None))[0]
    (ended,) = why_not_trading(replace(WELL, lives=False))
    assert ended.startswith("not running: the run (pid")
    assert "2023-11-14 22:13:20 UTC" in ended
    (stuck,) = why_not_trading(replace(WELL, now_ms=NOW + 60_000))
    assert stuck.startswith("stuck: ")
    assert "62 s ago" in stuck
    assert all("Next: " in one for one in (ended, stuck))


def test_a_halt_says_by_whom_and_how_to_go_on(tmp_path):
    standing = KillSwitch(tmp_path).set("halt", "the exchange is down", "ops@desk")
    (why,) = why_not_trading(replace(WELL, standing=standing))
    assert why.startswith("halt by ops@desk at ")
    assert "the exchange is down" in why
    assert "counterpoise resume" in why
    (own,) = why_not_trading(replace(WELL, beat=replace(BEAT, halted_why="margin is unknown")))
    assert own == "halted by the run itself: margin is unknown."


def test_a_position_that_is_being_closed_is_traded(tmp_path):
    standing = KillSwitch(tmp_path).set("flatten", "get out")
    closing = replace(BEAT, twap_side="buy", halted_why="flatten asked for")
    assert why_not_trading(replace(WELL, standing=standing, beat=closing)) == []
    (why,) = why_not_trading(replace(WELL, standing=standing))
    assert why.startswith("flatten by ")


@pytest.mark.parametrize("name", LIGHTS)
def test_every_light_that_is_out_is_a_reason(name):
    (why,) = why_not_trading(without(name, "for 40 s"))
    assert why.endswith(": for 40 s.")
    assert name.removesuffix("s") in why


def test_the_static_hedge_is_worked_without_signals():
    out = without("signals", "the lake is old")
    assert why_not_trading(replace(out, beat=replace(out.beat, twap_side="sell"))) == []


def test_the_screen_shows_the_run_and_the_journal(state, capfd):
    assert run_command(["status"]) == 0
    said = capfd.readouterr().out
    for words in (
        "RUNNING",
        "paper · binance ETHUSDT",
        "80.000 ETH",
        "0.800, band 0.750 to 0.850",
        "volatility is calm",
        "2,500.00 USD, 25.0% above the mark",
        "position ok",
        "short counted 398.750 ETH",
        "funding is dear",
        "1 orders: cp-1",
        "Margin is thin.",
        "rests in its band",
    ):
        assert words in said, words


def test_the_screen_as_json(state, capfd):
    KillSwitch(state).set("halt", "lunch", "me")
    assert run_command(["status", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["running"] is True
    assert told["kill_switch"]["why"] == "lunch"
    assert told["why_not_trading"][0].startswith("halt by me")
    assert told["heartbeat"]["liquidation_distance"] == 0.25
    assert told["journal"]["decision"]["because"] == "funding is dear: σ up by ⅓"
    assert told["journal"]["unsettled_orders"] == ["cp-1"]
    assert told["journal"]["fills"][0]["trade_id"] == "t1"


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_nothing_at_all_is_no_crash(tmp_path, capfd, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert run_command([*arguments, "--state", str(tmp_path / "nowhere")]) == 0
    said = capfd.readouterr().out
    assert "no run has left a heartbeat here" in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The file of a sound journal."""
    file = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with Journal.open(file, run=RUN) as journal:
        journal.commit([decision(1)])
    return file.read_bytes()


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.binary(max_size=64), st.booleans())
def test_a_damaged_journal_is_told_and_not_raised(tmp_path_factory, whole, place, garbage, cut):
    folder = tmp_path_factory.mktemp("state")
    file = folder / "journal.sqlite"
    place %= len(whole)
    file.write_bytes(
        whole[:place] if cut else whole[:place] + garbage + whole[place + len(garbage) :]
    )
    found = read_journal(file)
    assert found.trouble or found.decision is None or found.decision.decision_id
    assert look(folder, file, 1).beat is None


def test_a_row_that_cannot_be_is_told_and_not_raised(state, capfd):
    file = state / "journal.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(f"UPDATE {LAYOUTS[Decision].table.name} SET chain = '{{'")
    assert "table decisions" in read_journal(file).trouble
    assert "cannot be read (ValueError)" in read_journal("no\0name").trouble
    assert run_command(["status"]) == 0
    assert "RUNNING" in capfd.readouterr().out


def test_an_impossible_heartbeat_is_shown_all_the_same(state, capfd):
    now = round(time.time() * 1000)
    odd = replace(
        BEAT,
        ts_ms=now,
        market_ts_ms=2**60,
        exposure_eth=float("nan"),
        lights={},
        twap_side="sell",
        twap_end_ms=-(2**60),
        reason="[red]not markup[/red]",
        alert_failure="address 1 (json) did not take it",
    )
    write_heartbeat(state, odd)
    assert run_command(["status"]) == 0
    said = capfd.readouterr().out
    assert "an impossible time" in said
    assert "[red]not markup[/red]" in said
    assert "did not take it" in said


def test_watching_goes_on_until_it_is_interrupted(state):
    program = "import sys; from counterpoise.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "status", "--watch", "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "120"},
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"RUNNING" in first + rest
    assert b"Traceback" not in said
