"""What the real ETH history says, replicated; runs where the data lies beside the checkout."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.signals.evaluation import evaluate
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import forecast
from counterpoise.study.compare import RECOMMENDED, Study, run_study
from counterpoise.study.verdict import verdict
from counterpoise.units import stamp

pytestmark = pytest.mark.xdist_group("real")


@dataclass(frozen=True)
class World:
    """The real history, its forecasts and the study of it."""

    settings: Settings
    timeline: Timeline
    forecasts: Forecasts
    study: Study


@pytest.fixture(scope="module")
def world(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    lake = Lake(tmp_path_factory.mktemp("real") / "lake")
    lake.import_folder(real_data)
    settings = load_settings(
        overrides={"study": {"end": "2025-07-01T00:00:00Z", "draws": 2_000, "placebo_draws": 100}}
    )
    timeline = build_timeline(lake, end=settings.study.end)
    forecasts = forecast(timeline, settings)
    return World(settings, timeline, forecasts, run_study(timeline, forecasts, settings))


def test_the_window_is_the_registered_one(world: World) -> None:
    assert stamp(int(world.study.where.ts_ms[0])) == "2021-08-01 00:00"


def test_a_static_hedge_of_eighty_percent_removes_ninety_six_percent_of_variance(
    world: World,
) -> None:
    assert 0.95 <= world.study.compared["static_eth"].metrics["hedge_effectiveness"] <= 0.97


def test_a_full_hedge_leaves_almost_nothing(world: World) -> None:
    full = world.study.compared["full"].metrics
    assert full["vol"] < 0.012
    assert full["hedge_effectiveness"] > 0.9995
    assert full["funding"] > 0  # shorts were paid


def test_funding_is_sticky(world: World) -> None:
    settled = world.timeline.funding_settled[:, 0]
    before_2024 = world.timeline.ts_ms < 1_704_067_200_000
    rates = settled[np.isfinite(settled) & before_2024]
    assert 0.75 <= np.corrcoef(rates[:-1], rates[1:])[0, 1] <= 0.81


def test_volatility_timing_lowers_volatility_against_its_matched_static(world: World) -> None:
    """By more than a shifted forecast does; four years of days alone cannot tell it from luck."""
    timed = world.study.compared[RECOMMENDED].versus["vol"]
    assert -0.025 < timed.difference < -0.010
    placebo = world.study.placebos[0]
    assert placebo.position > 0.95


def test_nothing_is_liquidated_at_the_default_leverage(world: World) -> None:
    assert sum(one.path.liquidations for one in world.study.compared.values()) == 0


def test_a_day_is_a_day(world: World) -> None:
    """The first day begins with the first decision: no day of one tick, none before the window."""
    full = world.study.compared["full"]
    assert len(full.daily.ts_ms) == 1430
    assert min(full.years) == 2021
    assert min(row["vol"] for row in full.years.values()) > 0


def test_volatility_timing_is_split_where_choices_stopped_seeing_data(world: World) -> None:
    selection, holdout = world.study.periods
    assert (selection.name, holdout.name) == ("selection", "holdout")
    assert stamp(holdout.first_ms) == "2024-01-01 00:00"
    assert selection.days + holdout.days == 1430


def test_forecasts_are_better_than_their_baselines_out_of_sample(world: World) -> None:
    clock = world.study.where.ts_ms
    skill = evaluate(world.timeline, world.forecasts, int(clock[0]), int(clock[-1]))
    assert skill["direction"]["auc"] > 0.53
    assert skill["direction"]["brier"]["ece"] < 0.02
    volatility = skill["volatility"]
    assert volatility["lightgbm"]["r2"] > volatility["har"]["r2"] > volatility["no_change"]["r2"]


def test_the_suspicious_bar_is_reported_and_not_used(world: World) -> None:
    found = {(stamp(one.ts_ms), one.column) for one in world.timeline.suspects}
    assert ("2020-03-13 03:00", "high") in found  # the bar that opened at 02:00
    tick = int(np.flatnonzero(world.timeline.ts_ms == 1_584_068_400_000)[0])
    assert np.isnan(world.timeline.perp.high[tick, 0])
    assert world.timeline.mark_high[tick, 0] < 125


def test_cutting_the_history_leaves_the_past_byte_identical(
    world: World, real_data: Path, tmp_path: Path
) -> None:
    """Forecasts of a lake that ends in mid-month are those of the full one up to there."""
    lake = Lake(tmp_path / "lake")
    lake.import_folder(real_data)
    cut = build_timeline(lake, end=datetime(2021, 3, 17, 5, tzinfo=UTC))
    again = forecast(cut, world.settings)
    ticks = len(cut.ts_ms)
    for name in ("p_up_4h", "p_hedge_pays_4h", "vol_24h", "vol_24h_har", "rho", "funding_next"):
        whole, part = getattr(world.forecasts, name)[:ticks], getattr(again, name)
        assert np.isfinite(part).any()
        assert whole.tobytes() == part.tobytes(), name


def test_the_verdict_follows_from_the_holdout_first(world: World) -> None:
    sentence = verdict(world.study)
    holdout = world.study.periods[1]
    first, *_ = sentence.split("; over the whole window")
    for metric in ("vol", "ce20"):
        assert f"{100 * holdout.versus[metric].difference:+.2f} points" in first
    won = any(
        p < 0.05 and (holdout.versus[metric].difference > 0) == (metric == "ce20")
        for metric, p in holdout.p_holm.items()
    )
    assert ("forecast volatility beat a static hedge" in first) == won
    for rule in ("static_eth", "manual_vol"):
        assert rule in sentence
