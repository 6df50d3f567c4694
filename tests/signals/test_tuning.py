"""A search sees no later data, is the same however it is run, and enters what it tried."""

import dataclasses
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings, SignalSettings
from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.features.engine import compute
from counterpoise.market.timeline import Timeline
from counterpoise.signals import baselines, boosting, labels, trial_file
from counterpoise.signals.confidence import auc
from counterpoise.signals.training import forecast
from counterpoise.signals.tuning import FOLDER, Search, search
from counterpoise.signals.walkforward import splits
from counterpoise.units import to_ms
from tests.random_timeline import cut, random_timeline

SETTINGS = Settings(signals=SignalSettings(min_train_days=60))
UNTIL = datetime(2020, 5, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return random_timeline(24 * 160, seed=12, gap_share=0.002)


def run(timeline: Timeline, models: Path, target: str = "direction.4h", **options) -> Search:
    given = {"until": UNTIL, "trials": 4, "batch": 2, "backend": "threads"} | options
    return search(timeline, SETTINGS, target, models=models, **given)


def told(found: Search) -> list[tuple[dict, float | None]]:
    return [(trial.parameters, trial.score) for trial in found.trials]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def found(timeline: Timeline, models: Path) -> Search:
    return run(timeline, models)


def seen(timeline: Timeline) -> Timeline:
    return cut(timeline, int(np.searchsorted(timeline.ts_ms, to_ms(UNTIL), side="right")))


def test_the_first_trial_is_the_present_recipe_with_the_score_of_the_forecasts(
    timeline: Timeline, found: Search
) -> None:
    present = found.trials[0]
    assert present.parameters == {**dataclasses.asdict(boosting.DIRECTION), "seeds": [7]}
    early = seen(timeline)
    score, outcome = forecast(early, SETTINGS).direction_score, labels.direction(early).values
    rows = np.isfinite(score) & np.isfinite(outcome)
    assert present.score == auc(score[rows], outcome[rows])


def test_volatility_is_scored_on_what_har_and_the_trees_say_together(
    timeline: Timeline, tmp_path: Path
) -> None:
    (present,) = run(timeline, tmp_path, "volatility.24h", trials=1).trials
    early = seen(timeline)
    y = labels.log_variance(early).values
    features = compute(early, boosting.INPUTS)
    terms = baselines.variance_terms(features)
    ahead = np.full(len(y), np.nan)
    first = int(np.flatnonzero(np.isfinite(y))[0])
    for split in splits(
        early.ts_ms, horizon_h=24, embargo_h=24, min_train_days=60, first_row=first
    ):
        har = baselines.apply_linear(
            baselines.fit_linear(terms[split.train], y[split.train]), terms
        )
        rest = (y - har)[split.train]
        rows = np.flatnonzero(np.isfinite(rest))
        rows = rows[rows % boosting.VOLATILITY.stride == 0]
        learned = features.values[split.train][rows]
        text = boosting.train(learned, rest[rows], boosting.VOLATILITY, seed=7)
        ahead[split.predict] = (har + boosting.predict(text, features.values))[split.predict]
    error = (y - ahead)[np.isfinite(y - ahead)]
    known = y[np.isfinite(y - ahead)]
    assert present.measure == "r2"
    assert present.score == pytest.approx(1.0 - (error**2).mean() / known.var(), rel=1e-12)


def test_nothing_after_the_last_moment_seen_is_used(
    timeline: Timeline, found: Search, tmp_path: Path
) -> None:
    assert told(run(seen(timeline), tmp_path)) == told(found)
    assert {trial.data_until for trial in found.trials} == {"2020-05-20T00:00:00+00:00"}


def test_an_hour_more_is_another_search(timeline: Timeline, found: Search, tmp_path: Path) -> None:
    later = run(timeline, tmp_path, until=UNTIL + timedelta(hours=1), trials=1)
    assert later.trials[0].score != found.trials[0].score


@pytest.mark.parametrize(("backend", "workers"), [("local", 2), ("threads", 1), ("threads", 4)])
def test_neither_processes_nor_their_number_decide_anything(
    timeline: Timeline, found: Search, tmp_path: Path, backend: str, workers: int
) -> None:
    again = run(timeline, tmp_path, backend=backend, workers=workers)
    assert told(again) == told(found)


def test_a_search_that_was_stopped_goes_on_with_what_was_done(
    timeline: Timeline, found: Search, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(_: str, done: int, of: int) -> None:
        if done > of // 2 + 1:
            raise Stopped

    with pytest.raises(Stopped):
        run(timeline, tmp_path, progress=stop)
    ledger = tmp_path / trial_file.FILE
    assert trial_file.read(ledger) == [
        dataclasses.replace(trial, when=entry.when)
        for trial, entry in zip(found.trials[:2], trial_file.read(ledger), strict=True)
    ]
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / FOLDER).iterdir()}
    again = run(timeline, tmp_path)
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / FOLDER).iterdir()}
    assert told(again) == told(found)
    assert before.items() < after.items()
    assert (again.entered, again.configurations) == (2, 4)


def test_every_trial_is_in_the_ledger_once(timeline: Timeline, models: Path, found: Search) -> None:
    ledger = models / trial_file.FILE
    assert trial_file.read(ledger) == list(found.trials)
    again = run(timeline, models)
    assert (again.entered, again.configurations) == (0, 4)
    assert trial_file.read(ledger) == list(found.trials)


def test_a_batch_decides_which_recipes_are_tried_once_scores_count(
    timeline: Timeline, tmp_path: Path
) -> None:
    quick = {"trials": 13, "until": datetime(2020, 3, 20, tzinfo=UTC)}
    by_one = run(timeline, tmp_path / "one", batch=1, **quick)
    by_ten = run(timeline, tmp_path / "ten", batch=13, **quick)
    # The first ten are drawn at random by the seed; after them the sampler learns from scores.
    assert told(by_one)[:10] == told(by_ten)[:10]
    assert told(by_one)[10:] != told(by_ten)[10:]


def test_the_score_is_the_mean_over_the_seeds(timeline: Timeline, tmp_path: Path) -> None:
    def present(models: Path, seed: int, seeds: int) -> float | None:
        settings = Settings(signals=SignalSettings(min_train_days=60, seed=seed))
        options = {"until": UNTIL, "trials": 1, "backend": "threads", "seeds": seeds}
        return search(timeline, settings, "direction.4h", models=models, **options).trials[0].score

    both = present(tmp_path / "both", 7, 2)
    alone = [present(tmp_path / "alone", seed, 1) for seed in (7, 8)]
    assert alone[0] != alone[1]
    assert both == float(np.mean(alone))


def test_what_cannot_be_searched_is_refused_before_the_work(
    timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FixConfig, match=r"direction\.4h, volatility\.24h"):
        run(timeline, tmp_path, "direction")
    with pytest.raises(NotEnoughData, match=r"no month start before 2020-02-20"):
        run(timeline, tmp_path, until=datetime(2020, 2, 20, tzinfo=UTC))
    (tmp_path / trial_file.FILE).write_text("{", encoding="utf-8")
    with pytest.raises(RejectData, match="line 1"):
        run(timeline, tmp_path)
    (tmp_path / trial_file.FILE).unlink()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(FixConfig, match=r"pip install 'counterpoise\[cluster\]'"):
        run(timeline, tmp_path)
