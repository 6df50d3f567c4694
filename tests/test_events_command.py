"""``counterpoise events``: the market around scheduled events, on a small synthetic lake."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app, run_command
from counterpoise.errors import NotEnoughData
from counterpoise.market.calendar import CLASSES, load_calendar
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS
from counterpoise.market.synthetic import generate
from counterpoise.study.event_windows import MEASURES

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic market of 400 days with the shipped calendar."""
    folder = tmp_path_factory.mktemp("events") / "lake"
    Lake(folder).write(generate(5, days=400) | {EVENTS: load_calendar()}, synthetic=True)
    return folder


@pytest.fixture
def ask(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command in a folder of its own, with few draws."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text(
        f'lake = "{lake}"\n[study]\ndraws = 200\n', encoding="utf-8"
    )
    return lambda *arguments: CliRunner().invoke(app, ["events", *arguments])


def test_every_class_has_its_rows_and_its_verdict(ask: Ask) -> None:
    found = json.loads(ask("--json").output)
    assert (found["synthetic"], found["draws"], found["shift_h"]) == (True, 200, 168)
    assert (found["before_h"], found["after_h"]) == (24, 24)
    assert [one["class"] for one in found["classes"]] == list(CLASSES)
    for one in found["classes"]:
        assert set(one["measures"]) == set(MEASURES)
        assert one["too_few"] == (one["events"] < 5)
        for measured in one["measures"].values():
            assert (measured["p"] is None) == one["too_few"]
            if not one["too_few"]:
                assert measured["low"] <= measured["difference"] <= measured["high"]
                assert measured["p"] <= measured["p_holm"] <= 1.0
    assert {one["too_few"] for one in found["classes"]} == {True, False}


def test_what_is_printed_is_what_json_says_and_fits_eighty_columns(ask: Ask) -> None:
    found = json.loads(ask("--json").output)
    printed = ask().output
    assert max(map(len, printed.splitlines())) <= 80
    assert "SYNTHETIC MARKET" in printed
    flat = " ".join(printed.split())
    assert f"{found['verdict']}." in flat
    for one in found["classes"]:
        assert one["verdict"][1:] in flat
        if one["events"]:
            vol = one["measures"]["spot_vol"]
            assert f"{100 * vol['inside']:.2f} {100 * vol['outside']:.2f} " in flat
        assert f"{one['events']} events" + ", too few" * one["too_few"] in flat


def test_the_window_is_as_asked(ask: Ask) -> None:
    found = json.loads(ask("--before", "0", "--after", "6", "--json").output)
    macro = found["classes"][-1]
    assert (found["before_h"], found["after_h"]) == (0, 6)
    assert macro["hours_inside"] == 6 * macro["events"]
    assert "from 0 h before to 6 h after" in macro["verdict"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--before", "-1"), 2, "--before"),
        (("--after", "721"), 2, "--after"),
        (("--after", "soon"), 2, "--after"),
        (("--before", "0", "--after", "0"), 3, "--after = 0: expected a window of at least an"),
    ],
)
def test_hours_that_make_no_window_are_refused(
    ask: Ask,
    capfd: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    assert run_command(["events", *options]) == code
    said = capfd.readouterr().err
    assert says in said
    assert "Next: " in said


def test_a_lake_without_a_calendar_says_how_to_get_one(ask: Ask, tmp_path: Path) -> None:
    Lake(tmp_path / "bare").write(generate(5, days=10))  # the shipped calendar skips these days
    refused = ask("--lake", "bare").exception
    assert isinstance(refused, NotEnoughData)
    assert str(refused).endswith("no calendar of events. Next: counterpoise data fetch events.")
    done = CliRunner().invoke(app, ["data", "fetch", "events", "--lake", "bare"])
    assert done.exit_code == 0, done.output
    refused = ask("--lake", "bare").exception
    assert isinstance(refused, NotEnoughData)
    assert "no event of the calendar falls inside the data, 2021-01-01 01:00 to" in str(refused)
