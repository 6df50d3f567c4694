"""``counterpoise signals audit``: on a lake, on the embedded market, and with my own files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app, run_command
from counterpoise.features.catalog import FEATURES
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from tests.market.small_tables import contents

Ask = Callable[..., Result]
MODEL = """import numpy as np


class Fitted:
    def predict(self, X, rows):
        return np.clip(0.5 + 0.1 * {sees}, 0.0, 1.0)


class Mine:
    name = "mine"

    def fit(self, X, y, seed):
        return Fitted()


model = Mine()
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "lake"
    Lake(folder).write(generate(5, days=330), synthetic=True)
    return folder


@pytest.fixture
def ask(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command in a folder of its own, with refits after three months."""
    monkeypatch.chdir(tmp_path)
    settings = f'lake = "{lake}"\n[signals]\nmin_train_days = 90\n'
    (tmp_path / "counterpoise.toml").write_text(settings, encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(app, ["signals", "audit", *arguments])


def told(result: Result, code: int) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_embedded_market_is_audited_where_there_is_no_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["signals", "audit"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("SYNTHETIC MARKET: proves plumbing, not edge.\nNo lake here")
    assert "Verdict: PASS" in result.stdout
    for name in FEATURES:
        assert f"\n {name} " in result.stdout
    assert "trees_4h direction.4h" in result.stdout
    assert "Not evaluated: hours_to_upgrade, " in result.stdout
    assert contents(tmp_path) == {}


def test_features_alone_are_audited_by_name_and_from_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "tomorrow.py").write_text(
        "import numpy as np\n\n\ndef feature(timeline):\n"
        "    return np.append(timeline.spot.close[24:], np.full(24, np.nan))\n",
        encoding="utf-8",
    )
    found = told(ask("--feature", "basis", "--feature", "tomorrow.py", "--json"), 1)
    assert found["verdict"] == "FAIL"
    assert found["synthetic"] is True
    assert found["note"] == ""
    verdicts = {(one["subject"], one["name"]): one["verdict"] for one in found["checks"]}
    assert len(verdicts) == 6
    assert [place for place, word in verdicts.items() if word == "FAIL"] == [
        ("tomorrow", "look-ahead")
    ]
    shown = ask("--feature", "basis", "--feature", "tomorrow.py")
    assert shown.exit_code == 1
    assert "FAIL tomorrow, look-ahead: at tick" in shown.stdout
    assert shown.stdout.endswith(": look-ahead of tomorrow.\n")


def test_my_own_model_is_audited_and_refused_where_it_peeks(ask: Ask, tmp_path: Path) -> None:
    sees = {"honest": "np.nan_to_num(X[rows, 0])", "peeking": "np.roll(X[:, 0], -1)[rows]"}
    verdicts = {}
    for name, expression in sees.items():
        file = tmp_path / f"{name}.py"
        file.write_text(MODEL.format(sees=expression), encoding="utf-8")
        result = ask("--model", str(file), "--json")
        found = json.loads(result.stdout)
        assert {one["subject"] for one in found["checks"]} == {"mine direction.4h"}
        verdicts[name] = {one["name"]: one["verdict"] for one in found["checks"]}
        assert result.exit_code == (name == "peeking")
    assert verdicts["honest"]["look-ahead in forecasting"] == "PASS"
    assert verdicts["peeking"]["look-ahead in forecasting"] == "FAIL"


def test_the_trees_of_volatility_have_skill_even_on_a_made_up_market(ask: Ask) -> None:
    result = ask("--target", "volatility.24h", "--json")
    found = told(result, 0)
    checks = {one["name"]: one for one in found["checks"] if one["subject"].startswith("trees")}
    assert checks["placebo"]["verdict"] == "PASS"
    assert checks["credible"]["unit"] == "R²"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "direction"), "target = 'direction': expected one of direction.4h"),
        (("--model", "none.py"), "--model = 'none.py': expected a Python file"),
        (("--feature", "basic"), "Next: use 'basis'"),
        (("--feature", "none.py"), "--feature = 'none.py': expected a Python file"),
    ],
)
def test_what_there_is_none_of_is_refused(
    ask: Ask, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run_command(["signals", "audit", *arguments]) == 3
    assert said in capfd.readouterr().err
