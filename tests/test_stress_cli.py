"""``counterpoise stress``: cases, shocks and the drawdown limit, on a small synthetic lake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app, run_command
from counterpoise.config import load_settings
from counterpoise.hedging import Situation
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.signals.training import forecast
from counterpoise.stress.cases import HISTORICAL, SHOCKS
from counterpoise.stress.run import PEER, run_cases

Ask = Callable[..., Result]
KEYS = {"loss", "liquidations", "min_margin_ratio", "max_drawdown"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic market from 2021-01-01 on, too short for the crashes of later years."""
    folder = tmp_path_factory.mktemp("stress") / "lake"
    Lake(folder).write(generate(5, days=330), synthetic=True)
    return folder


@pytest.fixture
def ask(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoise.toml").write_text(f'lake = "{lake}"\n', encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(app, ["stress", *arguments])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_case_has_every_policy_and_exactly_these_numbers(ask: Ask) -> None:
    found = told(ask("--json"))
    ran = set(found["cases"])
    assert ran == {"rally_2021_05", "fall_2021_05", *(shock.name for shock in SHOCKS)}
    policies = {PEER, "full", "static_eth", "manual_vol_7d", "volatility_timed", "unhedged"}
    for name in ran:
        assert set(found[name]) == policies
        for policy, numbers in found[name].items():
            assert set(numbers) == KEYS
            assert (numbers["min_margin_ratio"] is None) == (policy == "unhedged")
            assert policy == PEER or numbers["liquidations"] == 0
    assert found["rally_60"][PEER]["liquidations"] == 1
    assert set(found["skipped"]) | ran == {one.name for one in (*HISTORICAL, *SHOCKS)}
    assert "the lake holds 2021-01-01" in found["skipped"]["fall_2020_03"]
    assert (found["synthetic"], found["paths"], found["leverage"]) == (True, None, None)
    assert set(found) - ran == {
        "cases",
        "acted_on",
        "synthetic",
        "skipped",
        "paths",
        "leverage",
        "notes",
        "verdict",
    }


def test_what_is_printed_is_what_json_says_and_fits_eighty_columns(ask: Ask) -> None:
    found = told(ask("--json", "--paths", "40"))
    printed = ask("--paths", "40").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert "SYNTHETIC MARKET" in printed
    flat = " ".join(printed.split())
    assert f"rally_60 {100 * found['rally_60'][PEER]['loss']:.1f}* " in flat
    assert f"{100 * found['gap_down_20']['unhedged']['loss']:.1f} " in flat
    for sentence in found["verdict"]:
        assert f"{sentence[1:]}." in flat
    assert "nothing was liquidated in 9 cases" in flat
    assert f"{PEER[1:]}, set and forgotten, was liquidated in" in flat
    for case in found["skipped"]:
        assert f"Skipped {case}: " in flat
    history = found["paths"]["rules"]["drawdown_20"]["transfer_1h"]["history"]
    assert f"drawdown_20 1h history 1 {history['broken']} " in flat


def test_paths_explain_every_breach(ask: Ask) -> None:
    paths = told(ask("--json", "--paths", "200"))["paths"]
    assert set(paths["rules"]) == {"drawdown_10", "drawdown_20", "drawdown_30", "profit_lock"}
    assert (paths["made_up"], paths["hours"], paths["gap"]) == (200, 720, 0.15)
    gaps = 0
    for by_transfer in paths["rules"].values():
        assert set(by_transfer) == {"transfer_1h", "transfer_0h"}
        for by_source in by_transfer.values():
            for source, one in by_source.items():
                assert one["paths"] == (1 if source == "history" else 100)
                assert one["breaches"] == sum(one["causes"].values())
                assert one["not_a_gap"] == one["breaches"] - one["beyond_gap"]
                assert one["causes"]["unexplained"] == 0
                gaps += one["beyond_gap"]
                worst = one["worst"]
                assert (worst is None) == (one["breaches"] == 0)
                if worst:
                    lost = sum(worst["parts"].values())
                    assert lost == pytest.approx(-worst["of_peak"] - worst["spare"], abs=1e-9)
                    assert abs(worst["parts"]["unexplained"]) < 1e-4
    assert gaps > 0


def test_the_policy_acted_on_is_among_them(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "counterpoise.toml"
    file.write_text(file.read_text() + '[hedge]\npolicy = "formula_hedge_value"\n')
    found = told(ask("--json"))
    assert found["acted_on"] == "formula_hedge_value"
    assert "formula_hedge_value" in found["rally_60"]
    assert "volatility_timed" not in found["rally_60"]
    assert max(map(len, ask().stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--paths", "-1"), 2, "--paths"),
        (("--paths", "many"), 2, "--paths"),
    ],
)
def test_a_wrong_number_of_paths_is_refused(
    ask: Ask,
    capfd: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    assert run_command(["stress", *options]) == code
    assert says in capfd.readouterr().err


def test_less_than_a_full_hedge_is_refused_for_paths_alone(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "counterpoise.toml"
    file.write_text(file.read_text() + "[hedge]\nmax_ratio = 0.9\n")
    assert ask("--json").exit_code == 0
    assert "hedge.max_ratio = 0.9" in str(ask("--paths", "2").exception)


def test_nothing_is_liquidated_on_the_real_history_but_the_forgotten_short(
    real_lake: Lake,
) -> None:
    settings = load_settings(overrides={"lake": real_lake.path})
    timeline = build_timeline(real_lake)
    forecasts = forecast(timeline, settings)
    found = run_cases(Situation(timeline, forecasts, settings, 4e-4))
    assert found.skipped == {}
    assert len(found.cases) == len(HISTORICAL) + len(SHOCKS)
    assert found.liquidations(peer=False) == 0
    dead = {case.name for case in found.cases if case.outcomes[PEER].liquidations}
    assert dead >= {case.name for case in found.cases if case.kind == "rally"}
    assert "rally_60" in dead
    assert not any(name.startswith(("fall", "merge", "ftx", "usdc", "yen")) for name in dead)


def test_leverages_are_compared_on_request(ask: Ask) -> None:
    found = told(ask("--leverage", "--json"))["leverage"]
    assert {row["rule"] for row in found} == {"fixed", "dynamic"}
    assert all(("fixed_margin" in row) == (row["rule"] == "dynamic") for row in found)
    shown = ask("--leverage")
    assert shown.exit_code == 0
    lines = [line for line in shown.stdout.splitlines() if " dynamic " in line]
    assert len(lines) == len([row for row in found if row["rule"] == "dynamic"])
    assert max(map(len, lines)) <= 80
