"""``signals tune``: the same search here and on Ray, kept away from what judges the choice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from counterpoise.market.lake import Lake

pytestmark = pytest.mark.xdist_group("cluster")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(generated: Any, tmp_path: Path) -> Path:
    """Settings for a generated lake, which is of early 2021 and short."""
    Lake(tmp_path / "lake").write(generated, synthetic=True)
    path = tmp_path / "counterpoise.toml"
    path.write_text(
        f'lake = "{tmp_path / "lake"}"\n[signals]\nmin_train_days = 60\n', encoding="utf-8"
    )
    return path


def tune(config: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", "from counterpoise.cli import main; main()"),
            *("signals", "tune", "--config", str(config), *words),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_ray_tries_the_same_recipes_with_the_same_scores(config: Path) -> None:
    words = ("--trials", "3", "--batch", "2", "--workers", "2", "--json")
    found = []
    for extra in ((), ("--cluster",)):
        ran = tune(config, *words, *extra)
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads(ran.stdout))
        models = config.parent / "lake" / "models"
        models.rename(config.parent / f"models-{len(found)}")
    here, on_ray = found
    for one in (here, on_ray):
        assert one["synthetic"] is True
        assert one["entered"] == one["configurations"] == len(one["trials"]) == 3
        assert one["present"] == one["trials"][0]
        assert one["best"]["score"] == max(trial["score"] for trial in one["trials"])
    assert [(one["parameters"], one["score"]) for one in here["trials"]] == [
        (one["parameters"], one["score"]) for one in on_ray["trials"]
    ]


def test_people_read_scores_the_present_recipe_and_a_warning(config: Path) -> None:
    ran = tune(config, "--trials", "2", "--target", "volatility.24h")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("SYNTHETIC MARKET: proves plumbing, not edge.")
    assert ran.stdout.count("present") == 2
    assert "2 entered in the ledger, which holds 2." in ran.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--until", "2024-01-01"), 3, "a moment before study.holdout_start (2024-01-01)"),
        (("--target", "direction"), 3, "use 'direction.4h'"),
        (("--address", "auto"), 2, "--address needs --cluster"),
        (("--cluster", "--address", "127.0.0.1:9"), 3, "a Ray cluster that answers"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    config: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    ran = tune(config, *words)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1
