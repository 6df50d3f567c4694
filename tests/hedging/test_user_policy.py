"""A policy from my own file: it runs, it stays mine, and it is refused where it looks ahead."""

import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.hedging import Policy, Situation, policies
from counterpoise.hedging.own import load_own
from counterpoise.hedging.user_policy import load_policies, refuse_look_ahead
from tests.hedging.test_policies import HOURS, random_situation, shortened

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "my_policy.py"
HEAD = """import numpy as np
from counterpoise.hedging import Intent, Situation, own_policy


@own_policy("mine", "mine")
def mine(situation: Situation) -> Intent:
    spot = situation.timeline.spot.close
    ticks = situation.ticks
"""
#: The line of a function's first statement after the head.
FIRST_LINE = HEAD.count("\n") + 1


@pytest.fixture(scope="module")
def situation() -> Situation:
    """A market with gaps."""
    return random_situation(0.01)


@pytest.fixture(scope="module")
def whole() -> Situation:
    """A market without gaps."""
    return random_situation(0.0)


def loaded(folder: Path, body: str, head: str = HEAD) -> Policy:
    """The policy of a file whose function has this body."""
    file = folder / "mine.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines()) if head == HEAD else body
    file.write_text(head + lines, encoding="utf-8")
    return load_policies(file)[0]


def refusal(folder: Path, body: str, situation: Situation, head: str = HEAD) -> str:
    """What the user reads when the file is run in a study."""
    with pytest.raises(FixConfig) as refused:
        loaded(folder, body, head).build(situation)
    message = str(refused.value)
    assert "mine.py" in message
    assert "expected" in message
    assert "Next: " in message
    return message


def arrays(value: Any, place: str = "") -> dict[str, np.ndarray]:
    """Every array inside a situation, by its place."""
    if isinstance(value, np.ndarray):
        return {place: value}
    if isinstance(value, dict):
        inside = value.items()
    elif is_dataclass(value):
        inside = ((field.name, getattr(value, field.name)) for field in fields(value))
    else:
        return {}
    return {k: v for name, part in inside for k, v in arrays(part, f"{place}.{name}").items()}


@settings(max_examples=20, deadline=None)
@given(ticks=st.integers(1, HOURS))
def test_a_situation_cut_short_is_the_one_of_that_time(situation: Situation, ticks: int) -> None:
    found, expected = arrays(situation.until(ticks)), arrays(shortened(situation, ticks))
    assert found.keys() == expected.keys()
    for place, values in found.items():
        assert values.tobytes() == expected[place].tobytes(), place
        assert not values.flags.writeable
    assert arrays(situation)[".timeline.ts_ms"].flags.writeable


# --- the documented example ----------------------------------------------------------------------


def test_the_documented_example_does_what_it_says_in_twenty_lines(whole: Situation) -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 20
    (example,) = load_policies(EXAMPLE)
    assert (example.name, example.family) == ("paid_to_hedge", "own")
    intent = example.build(whole)
    rates = whole.timeline.funding_settled[:, 0]
    for day in range(10, HOURS // 24, 7):
        seen = rates[24 * day - 71 : 24 * day + 1]
        paid = np.nanmean(seen) > 1e-4
        assert intent.target[24 * day + 5] == (1.0 if paid else 0.7)
    assert set(intent.target[24 * 4 :]) == {0.7, 1.0}


def test_nothing_of_a_file_stays_behind(tmp_path: Path, whole: Situation) -> None:
    before, modules = list(policies), set(sys.modules)
    for _ in range(2):
        loaded(tmp_path, "return situation.around(np.full(ticks, 0.5), 0.0)").build(whole)
    assert list(policies) == before
    assert set(sys.modules) - modules == set()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_may_hold_several_policies_and_helpers(tmp_path: Path, whole: Situation) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "from counterpoise.hedging import Intent, Situation, own_policy\n\n"
        "@dataclass(frozen=True)\nclass Size:\n    ratio: float\n\n"
        "def build(size: Size):\n"
        "    def inner(situation: Situation) -> Intent:\n"
        "        return situation.around(np.full(situation.ticks, size.ratio), 0.0)\n"
        "    return inner\n\n"
        "third = own_policy('third', 'a third')(build(Size(0.33)))\n"
        "half = own_policy('half', 'a half')(build(Size(0.5)))\n",
        encoding="utf-8",
    )
    found = load_policies(file)
    assert [(one.name, one.build(whole).lo[0]) for one in found] == [("third", 0.33), ("half", 0.5)]


# --- look-ahead ----------------------------------------------------------------------------------

LOOKING_AHEAD = {
    "the next hour": "target = np.where(np.append(spot[1:], np.nan) > spot, 0.0, 1.0)",
    "a day ahead": "target = np.where(np.append(spot[24:], spot[-24:]) > spot, 0.0, 1.0)",
    "the mean of all": "target = np.where(spot > np.nanmean(spot), 0.5, 1.0)",
    "the rank in all": "target = np.argsort(np.argsort(spot)) / ticks",
    "a centred mean": "target = np.clip(np.convolve(spot, np.ones(5) / 5, 'same') / 400, 0, 1)",
    "the close of the day at its midnight": (
        "day = situation.timeline.ts_ms // 86_400_000\n"
        "last = np.append(np.flatnonzero(np.diff(day)), ticks - 1)\n"
        "target = np.where(spot[last][day - day[0]] > spot, 0.0, 1.0)"
    ),
    "a filled gap": (
        "later = np.where(np.isnan(spot), np.roll(spot, -1), spot)\n"
        "target = np.clip(later / 400, 0.0, 1.0)"
    ),
    "a crash, and only that": (
        "falls = np.append(spot[1:] / spot[:-1], 1.0) < np.nanmin(spot[1:] / spot[:-1]) + 0.01\n"
        "target = np.where(falls, 1.0, 0.5)"
    ),
    "two crashes seen three hours before": (
        "step = np.append(np.full(3, 1.0), np.diff(np.log(np.nan_to_num(spot, nan=200.0))))\n"
        "ahead = np.append(step[5:], np.zeros(7))[:ticks]\n"
        "target = np.where(ahead < -0.05, 1.0, 0.5)"
    ),
    "the length of the history": "target = np.full(ticks, 0.5 + 0.1 * (ticks % 5))",
    "a forecast of later": (
        "target = np.where(np.roll(situation.forecasts.p_up_4h, -4) > 0.5, 0.5, 1.0)"
    ),
    "tomorrow's gas": (
        "gas = situation.timeline.daily['gas_used']\n"
        "target = np.where(np.roll(gas, -24) > gas, 0.5, 1.0)"
    ),
}


@pytest.mark.parametrize("what", LOOKING_AHEAD)
def test_a_policy_that_looks_ahead_is_refused_with_the_tick_it_did_it_at(
    what: str, tmp_path: Path, situation: Situation
) -> None:
    body = LOOKING_AHEAD[what] + "\nreturn situation.around(target, 0.0)"
    message = refusal(tmp_path, body, situation)
    assert "mine.py line 5" in message
    assert "at tick" in message
    assert "2020-" in message
    assert "no look-ahead" in message
    assert "trailing windows" in message


def test_notes_speak_of_the_whole_history_so_a_policy_does_not_get_them(
    tmp_path: Path, situation: Situation
) -> None:
    noted = replace(situation, timeline=replace(situation.timeline, notes=("7 bars missing",)))
    body = (
        "target = np.full(ticks, 0.5 + len(situation.timeline.notes))\n"
        "return situation.around(target, 0.0)"
    )
    assert set(loaded(tmp_path, body).build(noted).target) == {0.5}


POINT_IN_TIME = {
    "constant": "target = np.full(ticks, 0.7)",
    "trailing mean": (
        "known = np.nan_to_num(spot)\n"
        "total = np.cumsum(known) - np.append(np.zeros(24), np.cumsum(known)[:-24])\n"
        "target = np.where(total > 4800, 0.5, 1.0)"
    ),
    "expanding extremes": "target = np.where(spot > 0.9 * np.fmax.accumulate(spot), 0.5, 1.0)",
    "slow loop": (
        "target = np.full(ticks, 0.5)\n"
        "for t in range(1, ticks):\n"
        "    target[t] = 1.0 if spot[t] < spot[t - 1] else target[t - 1]"
    ),
    "daily": "target = situation.daily(np.where(spot > 200, 0.5, 1.0))",
    "seeded": "target = np.random.default_rng(3).uniform(size=9000)[:ticks]",
    "all unknown": "target = np.full(ticks, np.nan)",
}


@pytest.mark.parametrize("what", POINT_IN_TIME)
def test_a_policy_that_only_looks_back_is_taken(
    what: str, tmp_path: Path, situation: Situation
) -> None:
    body = POINT_IN_TIME[what] + "\nreturn situation.around(target, 0.02)"
    intent = loaded(tmp_path, body).build(situation)
    assert intent.lo.shape == (HOURS,)


@pytest.mark.parametrize("name", list(policies))
def test_no_built_in_policy_is_called_one_that_looks_ahead(name: str, situation: Situation) -> None:
    build = policies[name].build
    refuse_look_ahead(name, build, situation, build(situation))


@settings(max_examples=25, deadline=None)
@given(ahead=st.integers(1, 400))
def test_foresight_of_any_number_of_hours_is_found(
    tmp_path_factory: pytest.TempPathFactory, whole: Situation, ahead: int
) -> None:
    body = f"target = np.where(np.roll(spot, -{ahead}) > spot, 0.2, 0.9)"
    folder = tmp_path_factory.mktemp("ahead")
    assert "no look-ahead" in refusal(
        folder, body + "\nreturn situation.around(target, 0.0)", whole
    )


def test_an_answer_that_changes_by_itself_is_refused(tmp_path: Path, whole: Situation) -> None:
    body = "return situation.around(np.random.default_rng().uniform(size=ticks), 0.0)"
    assert "the same answer to the same history" in refusal(tmp_path, body, whole)


# --- what is wrong with a file -------------------------------------------------------------------

WRONG_BODY = {
    "raises": ("x = 1\ny = x / 0", f"line {FIRST_LINE + 1}", "ZeroDivisionError"),
    "raises on shorter history": (
        "value = spot[4700]\nreturn situation.around(np.full(ticks, 0.5), 0.0)",
        f"line {FIRST_LINE}",
        "IndexError",
    ),
    "writes into the market": ("spot[5] = 1.0", f"line {FIRST_LINE}", "read-only"),
    "returns nothing": ("pass", "line 5", "'NoneType'"),
    "returns an array": ("return np.full(ticks, 0.5)", "line 5", "return an Intent"),
    "too short": ("return situation.around(np.full(ticks - 1, 0.5), 0.0)", "line 5", "4799"),
    "whole numbers": (
        "x = np.ones(ticks, dtype=int)\n"
        "return Intent(x, x, x, x, np.ones((ticks, 1)), np.zeros(ticks), np.ones(ticks))",
        "line 5",
        "lo: int64",
    ),
    "a venue too many": (
        "x = np.ones(ticks)\n"
        "return Intent(x, x, x, x, np.full((ticks, 2), 0.5), np.zeros(ticks), x)",
        "line 5",
        "(4800, 1)",
    ),
    "weights that do not sum to 1": (
        "x = np.ones(ticks)\n"
        "return Intent(x, x, x, x, np.full((ticks, 1), 0.9), np.zeros(ticks), x)",
        "line 5",
        "weights at tick 0: [0.9]",
    ),
    "upside down": (
        "x = np.ones(ticks)\n"
        "return Intent(x, x / 2, x, x, np.ones((ticks, 1)), np.zeros(ticks), x)",
        f"line {FIRST_LINE + 1}",
        "inside [lo, hi]",
    ),
    "negative": (
        "x = np.full(ticks, -0.5)\n"
        "return Intent(x, x, x, x, np.ones((ticks, 1)), np.zeros(ticks), x)",
        "line 5",
        "lo at tick 0: -0.5",
    ),
    "hasty beyond measure": (
        "x = np.ones(ticks)\n"
        "return Intent(x, x, x, x, np.ones((ticks, 1)), np.full(ticks, 2.0), x)",
        "line 5",
        "urgency",
    ),
}


@pytest.mark.parametrize("what", WRONG_BODY)
def test_what_is_wrong_inside_a_function_is_told_with_its_line(
    what: str, tmp_path: Path, whole: Situation
) -> None:
    body, *words = WRONG_BODY[what]
    message = refusal(tmp_path, body, whole)
    for word in words:
        assert word in message, message


WRONG_FILE = {
    "no Python": ("def mine(:\n", "line 1", "valid Python"),
    "an import that is missing": ("import math\nimport no_such_thing\n", "line 2", "no_such_thing"),
    "an error on the way": ("x = 1\n\ny = x / 0\n", "line 3", "ZeroDivisionError"),
    "it leaves": ("import sys\nsys.exit(3)\n", "line 2", "SystemExit"),
    "no policy": ("def mine(situation):\n    return None\n", "@own_policy", "my_policy.py"),
    "a name with a space": (
        HEAD.replace('"mine", "mine"', '"my policy", "x"'),
        "line 5: name = 'my policy'",
        "letters, digits",
    ),
    "a name that is none": (HEAD.replace('"mine", "mine"', '7, "x"'), "line 5: name = 7", "letter"),
    "an empty label": (HEAD.replace('"mine", "mine"', '"mine", ""'), "line 5: label", "one line"),
    "registered": (
        HEAD.replace('@own_policy("mine", "mine")', ""),
        "@own_policy(name, label)",
        "decorate",
    ),
}


@pytest.mark.parametrize("what", WRONG_FILE)
def test_what_is_wrong_with_a_file_is_told_before_any_work(what: str, tmp_path: Path) -> None:
    text, *words = WRONG_FILE[what]
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FixConfig) as refused:
        load_policies(file)
    message = str(refused.value)
    for word in ("mine.py", "Next: ", *words):
        assert word in message, message
    assert "\n" not in message


def test_a_name_that_is_taken_is_told_with_file_and_line(tmp_path: Path) -> None:
    loaded(tmp_path, "pass", HEAD.replace('"mine", "mine"', '"Static_ETH", "x"') + "    pass\n")
    with pytest.raises(FixConfig, match=r"mine.py line 5: name.*built-in policy static_eth"):
        load_own([], [tmp_path / "mine.py"], Settings())


def test_a_policy_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixConfig, match=r"--policy.*volatility_timed.*a Python file in UTF-8 that"):
        load_policies(Path("volatility_timed"))
