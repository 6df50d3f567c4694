"""The network as a candidate: its questions, its quarters, and forecasts from the past alone."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import SignalSettings
from counterpoise.signals import inputs, labels, network
from counterpoise.signals.labels import Label
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.lstm_network import Recipe
from counterpoise.signals.programme import Programme
from counterpoise.signals.targets import SMALLEST_RISE, Target, targets
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import HOUR_MS, from_ms, to_ms
from tests.random_timeline import cut, random_timeline

HOURS = 24 * 300
SETTINGS = SignalSettings(min_train_days=60)
RECIPE = Recipe(hidden=3, length=4, batch=64, steps=5, checks=2)
ASKED = ("direction.4h", "volatility.24h", "funding.1d", "adverse_move.24h")


def clock(start: datetime, days: int) -> np.ndarray:
    return to_ms(start) + HOUR_MS * np.arange(24 * days, dtype=np.int64)


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.of(random_timeline(HOURS, seed=4, gap_share=0.002), SETTINGS)


@pytest.fixture(scope="module")
def asked() -> dict[str, Target]:
    every = targets()
    return {key: every[key] for key in ASKED}


def test_each_target_has_the_loss_of_its_question() -> None:
    found = {head.name: (head.loss, head.quantile) for head in network.heads(targets())}
    assert list(found) == list(targets())
    assert found["direction.1h"][0] == "logistic"
    assert found["volatility.7d"][0] == "squared"
    assert found["funding.next"][0] == "absolute"
    assert found["adverse_move.24h"] == ("pinball", 0.95)
    assert found["adverse_move.24h_99"] == ("pinball", 0.99)


def test_what_the_heads_learn_and_what_they_say_are_inverse() -> None:
    every = targets()
    rng = np.random.default_rng(0)
    learned = {
        key: Label(key, target.horizon_h, rng.uniform(0.01, 0.99, 50))
        for key, target in every.items()
    }
    learned["adverse_move.24h"].values[:2] = [0.0, np.nan]
    columns = network.outcomes(every, learned)
    raw = columns.copy()
    for k, target in enumerate(every.values()):
        if target.loss == "probability":
            raw[:, k] = np.log(columns[:, k] / (1.0 - columns[:, k]))
    said = network.said(every, raw)
    for k, key in enumerate(every):
        expected = learned[key].values.copy()
        if key == "adverse_move.24h":
            expected[0] = SMALLEST_RISE
            np.testing.assert_allclose(columns[:, k], np.log(expected))
        np.testing.assert_allclose(said[:, k], expected, rtol=1e-12)
    assert not np.shares_memory(said, raw)


def test_rows_to_learn_from_are_every_fourth_hour_of_the_clock_settlements_among_them() -> None:
    ts_ms = clock(datetime(2021, 3, 5, 3, tzinfo=UTC), 4)
    hours = [from_ms(int(ts_ms[row])).hour for row in network.sampled_rows(ts_ms)]
    assert set(hours) == {0, 4, 8, 12, 16, 20}
    assert len(hours) == 24
    assert hours[0] == 4


@pytest.mark.parametrize("month", [1, 2, 3, 12])
def test_refits_are_thinned_to_quarters_that_touch_and_end_with_history(month: int) -> None:
    ts_ms = clock(datetime(2020, month, 10, tzinfo=UTC), 500)
    monthly = list(splits(ts_ms, horizon_h=168, embargo_h=168, min_train_days=60))
    kept = network.quarters(ts_ms, monthly)
    starts = [from_ms(int(ts_ms[split.predict.start])) for split in kept]
    assert kept[0].predict.start == monthly[0].predict.start
    assert all(start.month in network.QUARTERS for start in starts[1:])
    wanted = [s for s in monthly[1:] if from_ms(int(ts_ms[s.predict.start])).month in (1, 4, 7, 10)]
    assert [s.train for s in kept[1:]] == [s.train for s in wanted]
    ends = [split.predict.stop for split in kept]
    assert ends == [*(split.predict.start for split in kept[1:]), len(ts_ms)]


def test_one_refit_forecasts_to_the_end() -> None:
    ts_ms = clock(datetime(2020, 1, 1, tzinfo=UTC), 100)
    one = (Split(slice(0, 1000), slice(1500, 2400)),)
    assert network.quarters(ts_ms, one) == one


def walked(programme: Programme, asked: dict[str, Target]) -> dict[str, np.ndarray]:
    found = network.walk(programme, asked, recipe=RECIPE, seeds=(0, 1))
    assert all(list(candidates) == [network.NAME] for candidates in found.values())
    return {key: candidates[network.NAME] for key, candidates in found.items()}


def test_every_target_is_forecast_in_its_units_from_the_first_refit(
    programme: Programme, asked: dict[str, Target]
) -> None:
    found = walked(programme, asked)
    learned = {key: target.outcome(programme.timeline) for key, target in asked.items()}
    furthest = network.longest(learned)
    assert furthest.horizon_h == max(label.horizon_h for label in learned.values())
    folds = network.quarters(programme.timeline.ts_ms, programme.splits(furthest))
    assert len(folds) > 1
    first = folds[0].predict.start
    for values in found.values():
        assert np.isnan(values[:first]).all()
    spoken = [fold for fold in folds if np.isfinite(found["direction.4h"][fold.predict]).all()]
    assert spoken, "no fold has enough rows"
    told = spoken[-1].predict
    assert ((found["direction.4h"][told] > 0) & (found["direction.4h"][told] < 1)).all()
    assert (found["adverse_move.24h"][told] > 0).all()


def test_cutting_history_leaves_every_forecast_before_the_cut_as_it_was(
    programme: Programme, asked: dict[str, Target]
) -> None:
    found = walked(programme, asked)
    here = HOURS - 500
    early = walked(Programme.of(cut(programme.timeline, here), SETTINGS), asked)
    for key, values in early.items():
        assert np.isfinite(values).any()
        assert values.tobytes() == found[key][:here].tobytes(), key


def test_the_newest_networks_say_live_what_they_said_over_history(
    programme: Programme, asked: dict[str, Target]
) -> None:
    found = walked(programme, asked)
    networks = network.last_networks(programme, asked, recipe=RECIPE, seeds=(0, 1))
    assert len(networks) == 2
    learned = {"furthest": labels.direction(programme.timeline, 24)}
    fold = network.quarters(programme.timeline.ts_ms, programme.splits(learned["furthest"]))[-1]
    X = programme.X[:, inputs.places(inputs.NETWORK)]
    said = network.said(asked, forecast(networks, X, fold.predict))
    for k, key in enumerate(asked):
        assert said[:, k].tobytes() == found[key][fold.predict].tobytes(), key


def test_a_finished_walk_is_kept_in_the_folder_and_read_again(
    programme: Programme, asked: dict[str, Target], tmp_path: Path
) -> None:
    def walk(recipe: Recipe) -> np.ndarray:
        found = network.walk(programme, asked, recipe=recipe, seeds=(0,), folder=tmp_path)
        return found["funding.1d"][network.NAME]

    first = walk(RECIPE)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert kept
    np.testing.assert_array_equal(walk(RECIPE), first)
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert again == kept
