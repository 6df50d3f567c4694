"""The whole of the forecasts: no leak, no edge where there is none, skill where there is."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings, SignalSettings
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import compute
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.signals import boosting, labels
from counterpoise.signals.evaluation import evaluate
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import forecast, round_trip_cost
from tests.random_timeline import cut, random_timeline

SETTINGS = Settings(signals=SignalSettings(min_train_days=60))
NUMBERS = [
    field.name for field in dataclasses.fields(Forecasts) if field.name not in {"ts_ms", "folds"}
]


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return random_timeline(24 * 200, seed=12, gap_share=0.002)


@pytest.fixture(scope="module")
def forecasts(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> Forecasts:
    return forecast(timeline, SETTINGS, model_folder=tmp_path_factory.mktemp("models"))


# In the middle of a month, and just before and after a refit (2020-05-01 is tick 2904).
@pytest.mark.parametrize("ticks", [3300, 2904, 2905])
def test_cutting_the_timeline_leaves_every_forecast_before_the_cut_as_it_was(
    timeline: Timeline, forecasts: Forecasts, ticks: int
) -> None:
    early = forecast(cut(timeline, ticks), SETTINGS)
    for name in NUMBERS:
        assert getattr(early, name).tobytes() == getattr(forecasts, name)[:ticks].tobytes(), name


def test_every_forecast_speaks_and_has_the_clock_of_the_timeline(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    for name in NUMBERS:
        values = getattr(forecasts, name)
        assert values.shape == timeline.ts_ms.shape
        assert np.isfinite(values[24 * 130 :]).mean() > 0.95, name


def test_confidence_is_unknown_until_there_are_outcomes_to_calibrate_on(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    first = np.flatnonzero(np.isfinite(forecasts.direction_score))[0]
    calibrated = np.flatnonzero(np.isfinite(forecasts.p_up_4h))[0]
    month_h = 31 * 24
    assert timeline.ts_ms[first] == 1_583_020_800_000  # 2020-03-01, sixty days on
    assert calibrated == first + month_h
    assert np.nanmin(forecasts.p_up_4h) >= 0.01
    assert np.nanmax(forecasts.p_up_4h) <= 0.99


def test_the_refits_are_on_record(timeline: Timeline, forecasts: Forecasts) -> None:
    for target, horizon_h in (("direction", 4), ("hedge_pays", 4), ("volatility", 24)):
        folds = [fold for fold in forecasts.folds if fold.target == target]
        assert len(folds) == 5
        assert folds[-1].last_ms == timeline.ts_ms[-1]
        for fold in folds:
            assert fold.first_ms - fold.train_end_ms == (horizon_h + 24) * 3_600_000
            assert fold.train_rows > 0


def test_models_from_the_cache_give_the_same_forecasts(
    timeline: Timeline, forecasts: Forecasts, tmp_path: Path
) -> None:
    short = cut(timeline, 3000)
    told: list[tuple[str, int, int]] = []
    first = forecast(short, SETTINGS, model_folder=tmp_path)
    count = len(list(tmp_path.iterdir()))
    again = forecast(
        short, SETTINGS, model_folder=tmp_path, progress=lambda *step: told.append(step)
    )
    assert count == len(first.folds) == len(list(tmp_path.iterdir()))
    for name in NUMBERS:
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    for target in ("direction", "hedge_pays", "volatility"):
        assert [step for step in told if step[0] == target] == [
            (target, done, 3) for done in (1, 2, 3)
        ]


def test_a_random_walk_offers_no_edge_and_none_is_reported(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    found = evaluate(timeline, forecasts, int(timeline.ts_ms[0]), int(timeline.ts_ms[-1]))
    direction = found["direction"]
    # Standard error of an AUC of overlapping 4 h outcomes: about √(4 / 12·n·¼·4) here 0.02.
    assert abs(direction["auc_score"] - 0.5) < 0.06
    assert abs(direction["brier"]["skill"]) < 0.02


def test_clustered_volatility_is_forecast_better_than_by_no_change(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    found = evaluate(timeline, forecasts, int(timeline.ts_ms[0]), int(timeline.ts_ms[-1]))
    volatility = found["volatility"]
    assert volatility["har"]["r2"] > volatility["no_change"]["r2"] + 0.02
    assert volatility["no_change"]["mae_ratio"] == 1.0


def test_mean_reverting_funding_is_forecast_better_by_har(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    found = evaluate(timeline, forecasts, int(timeline.ts_ms[0]), int(timeline.ts_ms[-1]))
    assert found["funding"]["har"]["r2"] > found["funding"]["no_change"]["r2"]
    # One forecast per settlement, from the first refit on, whose outcome came.
    settlements = np.isfinite(timeline.funding_settled[:, 0])
    spoke = settlements & np.isfinite(forecasts.funding_next_har)
    assert found["funding"]["count"] == spoke.sum() - 1


def test_forecast_volatility_is_right_on_average_not_in_the_median() -> None:
    # Every day draws its own volatility: nothing can be foreseen but the mean, and the median of
    # such days lies an eighth below it.
    rng = np.random.default_rng(40)
    base = random_timeline(24 * 800, seed=21)
    daily_vol = np.repeat(0.01 * np.exp(0.5 * rng.normal(size=800)), 24)
    close = 200 * np.exp(np.cumsum(daily_vol * rng.normal(size=24 * 800)))
    lottery = dataclasses.replace(base, spot=dataclasses.replace(base.spot, close=close))
    found = forecast(lottery, Settings())
    realised = np.exp(labels.log_variance(lottery).values / 2)
    for expected in (found.vol_24h, found.vol_24h_har):
        rows = np.isfinite(realised) & np.isfinite(expected)
        assert np.median(realised[rows]) < 0.92 * realised[rows].mean()
        assert expected[rows].mean() == pytest.approx(realised[rows].mean(), rel=0.05)


def test_a_signal_in_the_features_reaches_the_confidence() -> None:
    # Funding is made to announce the next four hours: the machine has to find it.
    base = random_timeline(24 * 200, seed=30)
    later = labels.ahead(np.log(base.spot.close), 4) - np.log(base.spot.close)
    settled = base.funding_settled.copy()
    telling = np.where(np.isfinite(later), later / 100, 0.0)[:, None]
    known = dataclasses.replace(
        base,
        funding_settled=np.where(np.isfinite(settled), telling, np.nan),
        funding_last=telling,
    )
    found = evaluate(known, forecast(known, SETTINGS), int(base.ts_ms[0]), int(base.ts_ms[-1]))
    assert found["direction"]["auc"] > 0.95
    assert found["direction"]["brier"]["skill"] > 0.5


def test_trailing_volatility_is_the_exponential_of_its_feature(
    timeline: Timeline, forecasts: Forecasts
) -> None:
    features = compute(timeline, ["log_rv_24h", "log_rv_168h"])
    assert np.array_equal(forecasts.rv_24h, np.exp(features["log_rv_24h"]), equal_nan=True)
    assert np.array_equal(forecasts.rv_168h, np.exp(features["log_rv_168h"]), equal_nan=True)


def test_evaluation_is_json_and_respects_its_span(timeline: Timeline, forecasts: Forecasts) -> None:
    start, end = int(timeline.ts_ms[3000]), int(timeline.ts_ms[3500])
    found = evaluate(timeline, forecasts, start, end, settings=SETTINGS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["direction"]["count"] <= 497
    assert found["direction"]["count"] == sum(b["count"] for b in found["direction"]["bins"])
    # The same forecasts without what came after the span give the same figures.
    early = cut(timeline, 3501)
    shortened = {name: getattr(forecasts, name)[:3501] for name in ("ts_ms", *NUMBERS)}
    assert evaluate(early, Forecasts(**shortened), start, end, settings=SETTINGS) == found


def test_a_span_without_forecasts_counts_zero(timeline: Timeline, forecasts: Forecasts) -> None:
    found = evaluate(timeline, forecasts, int(timeline.ts_ms[0]), int(timeline.ts_ms[100]))
    assert {part: found[part]["count"] for part in found} == {
        "direction": 0,
        "volatility": 0,
        "funding": 0,
    }


def test_a_history_too_short_says_what_to_do(timeline: Timeline) -> None:
    with pytest.raises(NotEnoughData, match=r"min_train_days"):
        forecast(cut(timeline, 1000), SETTINGS)


def test_round_trip_is_twice_half_maker_half_taker(timeline: Timeline) -> None:
    # Binance 2/5 bp, half of the order crosses half a spread of 0.5 bp: 2·(½·5.5 + ½·2) bp.
    np.testing.assert_allclose(round_trip_cost(timeline, SETTINGS), 7.5e-4, rtol=1e-12)


def test_on_real_eth_the_machine_beats_har_and_har_beats_no_change(
    real_data: Path, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.import_folder(real_data)
    real = build_timeline(lake, end=datetime(2022, 1, 1, tzinfo=UTC))
    features = compute(real, boosting.INPUTS)
    alive = np.isfinite(features.values[24 * 400 :]).mean(axis=0)
    assert (alive > 0.9).all(), dict(zip(features.names, alive, strict=True))
    found = evaluate(real, forecast(real, Settings()), int(real.ts_ms[0]), int(real.ts_ms[-1]))
    skill = found["volatility"]
    assert skill["lightgbm"]["mae_ratio"] < skill["har"]["mae_ratio"] < 0.95
    assert found["direction"]["auc"] > 0.52
    assert found["funding"]["har"]["r2"] > found["funding"]["no_change"]["r2"] + 0.05
