"""``signals report`` and ``signals crossval`` as a user runs them, on the embedded market."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.market.lake import Lake

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "own_model.py"
SHORT = "[signals]\nmin_train_days = 60\n[study]\nburn_in_days = 90\n"


def signals(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", "from counterpoise.cli import main; main()"),
            *("signals", *map(str, words)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory, generated) -> Path:
    """A folder with settings and a short generated lake."""
    folder = tmp_path_factory.mktemp("signals")
    Lake(folder / "lake").write(generated, synthetic=True)
    text = f'lake = "{folder / "lake"}"\n{SHORT}'
    (folder / "counterpoise.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_report_judges_targets_and_a_users_model_and_writes_a_page(home: Path) -> None:
    asked = ("report", "--target", "direction.4h", "--no-network", "--model", EXAMPLE)
    ran = signals(home, *asked, "--json", "--page", home / "page.html")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    judged = found["direction"]["4h"]
    assert set(judged["candidates"]) == {"reversal", "trees", "ridge_logistic", "blend"}
    assert judged["weights"].keys() == {"reversal", "trees"}
    best = judged["best"]
    assert best["auc_low"] < best["auc"] < best["auc_high"]
    assert 0.8 < best["coverage"] < 1.0
    assert found["synthetic"]
    text = (home / "page.html").read_text(encoding="utf-8")
    assert "This market is synthetic" in text
    assert "ridge logistic" in text
    assert judged["spa_p"] is None or 0.0 <= judged["spa_p"] <= 1.0
    assert judged["silent"] == []
    # The user's model is counted as tried on this lake, once, and has a row of its own.
    assert len((home / "lake" / "own_trials.txt").read_text().split()) == 1
    assert "ridge_logistic" in signals(home, *asked).stdout
    # What was done is not done again, and says the same.
    again = signals(home, *asked, "--json")
    assert json.loads(again.stdout) == found | {"page": None}


@pytest.mark.xdist_group("ray")
def test_a_cluster_reports_the_same_numbers(home: Path) -> None:
    asked = ("report", "--target", "funding.next", "--no-network", "--json")
    here = signals(home, *asked)
    for kept in (home / "lake" / "models" / "results").iterdir():
        kept.unlink()
    there = signals(home, *asked, "--cluster")
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)


def test_crossval_spreads_a_score_over_paths(home: Path) -> None:
    ran = signals(home, "crossval", "--target", "volatility.4h", "--groups", "4", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    for model in found["models"]:
        assert model["fits"] == 6
        assert len(model["scores"]) == model["paths"] == 3
        assert model["mean"] == pytest.approx(sum(model["scores"]) / 3)
    assert {"har", "range_har", "trees"} <= {model["model"] for model in found["models"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target", "direction.5h"), "direction.4h"),
        (("--model", EXAMPLE), "add --target KEY"),
        (("--page", "page.txt"), "ending in .html"),
        (("--address", "auto"), "add --cluster"),
    ],
)
def test_a_wrong_command_line_is_refused_before_the_work(home: Path, words, told) -> None:
    ran = signals(home, "report", *words)
    assert ran.returncode == 3
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
