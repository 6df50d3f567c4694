"""``counterpoise signals train``, ``runs`` and ``now``: from a lake to a forecast, or a refusal."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from counterpoise.cli import app, run_command
from counterpoise.cli import signals as audited
from counterpoise.features.catalog import FEATURES
from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from counterpoise.signals import store

KEYS = ("direction.4h", "volatility.24h", "hedge_pays.4h")


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["signals", *arguments])


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A lake with a run in it, and what ``train`` said; nobody writes here."""
    folder = tmp_path_factory.mktemp("live")
    Lake(folder / "lake").write(generate(5, days=200), synthetic=True)
    settings = folder / "mine.toml"
    settings.write_text("[signals]\nmin_train_days = 60\n", encoding="utf-8")
    where = ("--lake", str(folder / "lake"), "--config", str(settings))
    asked = [part for key in KEYS for part in ("--target", key)]
    return folder / "lake", told(ask("train", *where, *asked, "--no-network", "--json"))


@pytest.fixture
def lake(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of it, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(whole[0], tmp_path / "lake"))


def test_a_run_says_what_it_was_trained_on_and_how_good_it_was(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, found = whole
    assert found["targets"] == sorted(KEYS)
    assert found["not_trained"] == []
    assert found["synthetic"] is True
    assert Path(found["path"]) == folder / "models" / found["run"]
    assert 0.3 < found["metrics"]["direction.4h.auc"] < 0.7
    assert found["metrics"]["volatility.24h.rows"] > 1000
    spans = [found[key][:10] for key in ("trained_from", "trained_to", "expires")]
    assert spans == sorted(spans)


def test_now_is_the_newest_hour_with_intervals_readings_and_reasons(
    lake: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    found = told(ask("now", "--lake", str(lake), "--json", "--plot", "now.html"))
    assert found["run"] == whole[1]["run"]
    assert found["time"][:16].replace(" ", "T") == whole[1]["trained_to"][:16]
    assert found["fallback"] is None
    assert "days old; this is a forecast for that moment" in found["warning"]
    c = found["c"]
    assert c["literal"] == found["targets"]["direction.4h"]["value"]
    assert c["bearish"] == 1.0 - c["literal"]
    assert c["hedge_value"] == found["targets"]["hedge_pays.4h"]["value"]
    for one in found["targets"].values():
        assert one["lower"] < one["upper"]
        assert len(one["contributions"]) == 5
        sizes = [abs(value) for value in one["contributions"].values()]
        assert sizes == sorted(sizes, reverse=True)
    page = Path("now.html").read_text(encoding="utf-8")
    assert page.count("figure-why-") >= 3
    assert "it proves plumbing, not edge" in page


def test_it_is_also_said_in_sentences(lake: Path, whole: tuple[Path, dict[str, Any]]) -> None:
    said = ask("now", "--lake", str(lake), "--run", whole[1]["run"])
    assert said.exit_code == 0
    for words in ("SYNTHETIC MARKET", "As of 20", "C: P(up 4 h) 0.", "volatility.24h, value"):
        assert words in said.output
    listed = ask("runs", "--lake", str(lake)).output
    assert whole[1]["run"] in listed
    (run,) = told(ask("runs", "--lake", str(lake), "--json"))
    assert run["metrics"] == whole[1]["metrics"]


def test_a_lake_that_has_fallen_silent_is_a_fallback_with_its_reason(
    lake: Path, tmp_path: Path
) -> None:
    """Ninety days of training, then an hour in which half of the inputs are far away."""
    path = store.newest(lake / "models")
    bundle = store.load(
        path, features=store.features_of(path), now=store.list_runs(lake / "models")[0].trained_to
    )
    reference = dict(bundle.tensors["reference"])
    reference["high"] = reference["low"] - 1.0
    spoilt = replace(
        bundle, run="far", tensors=dict(bundle.tensors) | {"reference": reference},
        created_at=bundle.created_at + timedelta(hours=1),
    )  # fmt: skip
    store.save(lake / "models", spoilt)
    found = told(ask("now", "--lake", str(lake), "--json"))
    assert found["run"] == "far"
    assert found["fallback"].startswith("out of distribution: ")
    assert {one["value"] for one in found["targets"].values()} == {None}
    assert "contributions" not in found["targets"]["direction.4h"]
    assert "FALLBACK since" in ask("now", "--lake", str(lake)).output


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run_command(["signals", *arguments])
    return code, capsys.readouterr().err


def test_runs_that_must_not_be_used_are_refused(
    lake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = lake / "models"
    path = store.newest(models)
    ended = store.list_runs(models)[0].trained_to
    bundle = store.load(path, features=store.features_of(path), now=ended)
    old = replace(
        bundle, run="old", trained_to=ended - timedelta(days=50),
        expires=ended - timedelta(days=5), created_at=bundle.created_at - timedelta(days=1),
    )  # fmt: skip
    store.save(models, old)
    code, error = refused(capsys, "now", "--lake", str(lake), "--run", "old")
    assert (code, "expires: got" in error, "Next: train and save a new run" in error) == (
        *(4, True, True),
    )
    code, error = refused(capsys, "now", "--lake", str(lake), "--run", "none")
    assert code == 3
    assert "--run = 'none': expected one of old, " in error
    with monkeypatch.context() as patched:
        changed = replace(FEATURES["return_24h"], formula="another")
        patched.setitem(FEATURES._items, "return_24h", changed)
        code, error = refused(capsys, "now", "--lake", str(lake))
        assert code == 4
        assert "feature return_24h" in error
    text = next(path.glob("*.txt"))
    text.write_bytes(text.read_bytes()[:-5])
    code, error = refused(capsys, "now", "--lake", str(lake))
    assert code == 4
    assert f"{text.name}: got" in error
    code, error = refused(capsys, "train", "--lake", str(lake), "--target", "direction.5h")
    assert code == 3
    assert "hedge_pays.4h" in error
    code, error = refused(capsys, "now", "--lake", str(lake), "--plot", "now.png")
    assert code == 3


def test_a_lake_without_runs_says_how_to_get_one(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(lake / "models")
    said = " ".join(ask("runs", "--lake", str(lake)).output.split())
    assert "Next: counterpoise signals train" in said
    code, error = refused(capsys, "now", "--lake", str(lake))
    assert code == 5
    assert "holds no trained models" in error


def test_without_a_lake_a_few_targets_are_trained_on_the_embedded_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audited, "DEMO_DAYS", 170)
    (tmp_path / "counterpoise.toml").write_text("[signals]\nmin_train_days = 60\n")
    found = told(ask("now", "--json"))
    assert set(found["targets"]) == set(KEYS)
    assert "trained on the embedded market just now" in found["note"]
    assert [path.name for path in tmp_path.iterdir()] == ["counterpoise.toml"]
    code, error = refused(capsys, "now", "--run", "mine")
    assert code == 3
    assert "a lake that holds it" in error
