"""What a run of the study says about itself: what it reused, where the time went."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from counterpoise.cli import app
from counterpoise.cli.run_output import profile_json, reuse_json, reuse_sentence
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.profiling import profiled, stage
from counterpoise.study.reuse import FOLDER, Shelf

CONFIG = """\
lake = "lake"
[signals]
min_train_days = 60
[study]
burn_in_days = 150
draws = 100
placebo_draws = 0
"""
RULE = 'hold = 0.7\n[rebalance]\nevery = "daily"\nband = {band}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings, a rule and a small synthetic lake that no study has seen."""
    made: Path = tmp_path_factory.mktemp("runs")
    (made / "mine.toml").write_text(CONFIG, encoding="utf-8")
    (made / "my_rule.toml").write_text(RULE.format(band=0.05), encoding="utf-8")
    Lake(made / "lake").write(generate(5, days=240), synthetic=True)
    return made


def study(folder: Path, *more: str) -> str:
    """Printed text of a study in this process."""
    given = ["--config", folder / "mine.toml", "--out", folder / "out"]
    rule = ["--rule", folder / "my_rule.toml"]
    done = CliRunner().invoke(app, ["study", *map(str, (*given, *rule)), *more])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.xdist_group("study_runs")
def test_a_second_run_with_one_rule_changed_reuses_the_rest_and_says_so(folder: Path) -> None:
    first = json.loads(study(folder, "--json", "--profile"))
    assert first["reuse"]["reused"].get("forecasts") is None
    assert (folder / "lake" / FOLDER).is_dir()

    (folder / "my_rule.toml").write_text(RULE.format(band=0.1), encoding="utf-8")
    printed = study(folder, "--profile")
    assert "Reused from earlier studies: forecasts, " in printed
    assert "bootstraps." in printed
    assert "where the time went" in printed
    for line in ("read lake", "simulate", "bootstrap", "write report", "other"):
        assert line in printed

    third = json.loads(study(folder, "--json"))
    assert third["reuse"]["computed"] == {}
    assert "profile" not in third

    stages = {one["name"]: one for one in first["profile"]["stages"]}
    assert sum(one["seconds"] for one in stages.values()) == pytest.approx(
        first["profile"]["seconds"]
    )
    assert sum(one["share"] for one in stages.values()) == pytest.approx(1)
    assert stages["forecast"]["calls"] > stages["models"]["calls"] == 1
    assert first["profile"]["peak_memory_bytes"] > 50_000_000


def test_the_line_on_reuse_names_what_was_found_and_warns_when_nothing_can_be_kept(
    tmp_path: Path,
) -> None:
    def recall(shelf: Shelf, kind: str, number: int) -> None:
        shelf.recall(kind, (number,), dict)

    first = Shelf(tmp_path / "studies")
    assert reuse_sentence(first) == "Reused from earlier studies: nothing."
    for number in range(3):
        recall(first, "bootstrap", number)
    recall(first, "placebos", 0)
    assert reuse_sentence(first) == "Reused from earlier studies: nothing."

    second = Shelf(tmp_path / "studies")
    for number in range(1, 4):
        recall(second, "bootstrap", number)
    recall(second, "placebos", 0)
    assert reuse_sentence(second) == ("Reused from earlier studies: 2 of 3 bootstraps, placebos.")
    assert reuse_json(second) == {
        "reused": {"bootstrap": 2, "placebos": 1},
        "computed": {"bootstrap": 1},
    }

    (tmp_path / "file").write_text("", encoding="utf-8")
    third = Shelf(tmp_path / "file")
    recall(third, "placebos", 0)
    said = reuse_sentence(third)
    assert "WARNING" in said
    assert "Next: check disk space and permissions" in said


def test_the_profile_of_a_run_without_stages_is_all_other() -> None:
    with profiled() as profile:
        pass
    assert profile is not None
    (only,) = profile_json(profile)["stages"]
    assert (only["name"], only["share"], only["calls"]) == ("other", 1.0, 1)
    with stage("after the profile was closed"):
        pass
