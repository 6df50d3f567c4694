"""Hour by hour from a lake cut at each hour, the rows are those of the whole history."""

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.execution.events import Signals
from counterpoise.hedging import Situation, policies
from counterpoise.market.assemble import build_timeline
from counterpoise.market.history import history_until
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.signals.training import forecast
from counterpoise.simulation.arena import arena
from counterpoise.trading.bringing import FromPast, FromServices
from counterpoise.trading.hour_desk import HourDesk
from counterpoise.trading.signal_rows import exposures_of, rows_of
from counterpoise.units import HOUR_MS
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost
from tests.sources.binance_server import Venue


def settings_of(lake: Path, **more: object) -> Settings:
    return load_settings(
        overrides={
            "lake": lake,
            "exposure": {"eth": 500.0},
            "signals": {"min_train_days": 60},
            "capital": {"leverage_mode": "dynamic"},
            **more,
        }
    )


def history_of(
    lake: Lake, settings: Settings, first_ms: int, last_ms: int
) -> tuple[list[Signals], list[float]]:
    """Rows and exposures of the whole history, at the ticks from one moment to another."""
    timeline = build_timeline(lake, settings.venue.names)
    first, last = np.searchsorted(timeline.ts_ms, [first_ms, last_ms + 1])
    where = arena(timeline, settings, int(first), int(last))
    forecasts = forecast(timeline, settings, model_folder=settings.lake / "models")
    cost = one_way_cost(settings.costs, contract_at("binance", first_ms))
    intent = policies[settings.hedge.policy].build(Situation(timeline, forecasts, settings, cost))
    return rows_of(where, intent), [one.exposure_eth for one in exposures_of(where)]


def assert_same(one: Signals, other: Signals) -> None:
    for field in fields(Signals):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a == b or (math.isnan(a) and math.isnan(b)), (field.name, a, b)


def assert_day(lake: Lake, settings: Settings, first_ms: int, hours: int = 24) -> None:
    """A desk fed from the past gives each hour of a day as the whole history has it."""
    span = (first_ms, first_ms + (hours - 1) * HOUR_MS)
    desk = HourDesk(settings, FromPast(settings, lake))
    found = [desk.hour(ts_ms) for ts_ms in range(span[0], span[1] + 1, HOUR_MS)]
    rows, held = history_of(lake, settings, *span)
    assert len(rows) == hours
    for hour, row, exposure in zip(found, rows, held, strict=True):
        assert_same(replace(hour.signals, why=""), row)
        assert hour.exposure is not None
        assert hour.exposure.exposure_eth == exposure
    assert any(math.isfinite(row.lo) for row in rows)


@pytest.mark.parametrize("policy", ["volatility_timed", "minimum_variance"])
def test_a_generated_day_over_the_start_of_a_month(generated_lake, tmp_path, policy) -> None:
    settings = settings_of(tmp_path / "run", hedge={"policy": policy})
    timeline = build_timeline(generated_lake)
    may = int(np.flatnonzero(timeline.ts_ms >= 1_619_827_200_000)[0])
    assert_day(generated_lake, settings, int(timeline.ts_ms[may]) - 6 * HOUR_MS, 12)


def test_a_real_day(real_lake, tmp_path) -> None:
    settings = settings_of(tmp_path / "run")
    # 2021-05-19, the day ETH lost a third.
    first_ms = 1_621_382_400_000
    past = Lake(tmp_path / "past")
    bars = {"1m", "5m"}
    history_until(
        real_lake, past, first_ms + 30 * HOUR_MS, wanted=lambda key: key.interval not in bars
    )
    assert_day(past, settings, first_ms)


def test_a_bar_that_has_not_come_is_an_hour_without_an_intent(generated_lake, tmp_path) -> None:
    settings = settings_of(tmp_path / "run")
    timeline = build_timeline(generated_lake)
    ts_ms = int(timeline.ts_ms[3000])
    history_until(generated_lake, Lake(settings.lake), ts_ms)
    desk = HourDesk(settings, lambda ts_ms: [])
    known = desk.hour(ts_ms)
    assert not known.late
    assert known.signals.why == ""
    hour = desk.hour(ts_ms + HOUR_MS)
    assert hour.late
    assert hour.exposure is None
    row = hour.signals
    assert "is not in the lake, whose last one closed" in row.why
    assert (row.ts_ns, row.tick) == ((ts_ms + HOUR_MS) * 1_000_000, ts_ms // HOUR_MS + 1)
    names = ("lo", "hi", "to_lo", "to_hi", "urgency", "target", "spot", "perp", "funding_cost")
    assert all(math.isnan(getattr(row, name)) for name in names)
    # What the guard held to stays in force.
    assert (row.leverage, row.leverage_max) == (known.signals.leverage, known.signals.leverage_max)


def test_an_empty_lake_is_an_unknown_hour_at_the_most_careful_leverage(tmp_path) -> None:
    settings = settings_of(tmp_path / "nothing")
    hour = HourDesk(settings, lambda ts_ms: ["perp_bars: no answer"]).hour(1_621_382_400_000)
    assert math.isnan(hour.signals.lo)
    assert "nothing has no" in hour.signals.why
    assert "perp_bars: no answer" in hour.signals.why
    lowest = settings.capital.leverage_min
    assert hour.signals.leverage == lowest
    assert hour.signals.leverage_max == lowest * settings.capital.headroom


def test_a_policy_that_does_not_know_says_what_is_unknown(generated_lake, tmp_path) -> None:
    settings = settings_of(tmp_path / "run", signals={"min_train_days": 140})
    timeline = build_timeline(generated_lake)
    # The history has a month start 140 days after its first hour only in June, and is short of it.
    desk = HourDesk(settings, FromPast(settings, generated_lake))
    hour = desk.hour(int(timeline.ts_ms[3000]))
    assert math.isnan(hour.signals.lo)
    assert "no month start 140 days after" in hour.signals.why


def test_a_policy_without_forecasts_needs_no_history_for_them(generated_lake, tmp_path) -> None:
    rules = {"hedge": {"policy": "static_eth"}, "signals": {"min_train_days": 140}}
    settings = settings_of(tmp_path / "run", **rules)
    desk = HourDesk(settings, FromPast(settings, generated_lake))
    signals = desk.hour(int(build_timeline(generated_lake).ts_ms[3000])).signals
    assert (signals.lo, signals.hi, signals.why) == (0.8, 0.8, "")


def test_a_defect_is_an_unknown_hour(generated_lake, tmp_path) -> None:
    def broken(ts_ms: int) -> list[str]:
        raise ZeroDivisionError("by us")

    hour = HourDesk(settings_of(tmp_path / "run"), broken).hour(1_621_382_400_000)
    assert hour.signals.why == "defect: ZeroDivisionError: by us"


def test_over_the_wire_the_rows_are_those_of_one_fetch(tmp_path) -> None:
    """A venue on 127.0.0.1 is asked each hour; its archive and REST tell one truth."""
    first_ms = 1_709_251_200_000  # 2024-03-01
    venue = Venue(now_ms=first_ms + 5_000, first_ms=first_ms - 70 * 24 * HOUR_MS)
    with venue.server() as server:
        urls = dict.fromkeys(("archive_url", "futures_url", "spot_url"), server.url)
        sources = {"binance": {**urls, "weight_per_minute": 100_000.0}, "attempts": 1}
        settings = settings_of(tmp_path / "run", sources=sources, hedge={"policy": "manual_vol_7d"})
        bring = FromServices(settings, slow=False)
        begin(settings, venue.first_ms, first_ms)
        desk = HourDesk(settings, bring)
        found = []
        for k in (0, 1, 8):
            # A settlement is told a minute after its hour.
            venue.now_ms = first_ms + k * HOUR_MS + 5_000
            assert desk.hour(first_ms + k * HOUR_MS).late == (k % 8 == 0)
            venue.now_ms += 60_000
            found.append(desk.hour(first_ms + k * HOUR_MS))
        whole = settings_of(tmp_path / "whole", sources=sources, hedge={"policy": "manual_vol_7d"})
        begin(whole, venue.first_ms, venue.now_ms)
        rows, _ = history_of(Lake(whole.lake), whole, first_ms, first_ms + 8 * HOUR_MS)
    assert [hour.late for hour in found] == [False] * 3
    for hour, row in zip(found, (rows[0], rows[1], rows[8]), strict=True):
        assert hour.signals.why == ""
        assert_same(hour.signals, row)
    assert len({row.funding_cost for row in rows}) > 1


def begin(settings: Settings, first_ms: int, now_ms: int) -> None:
    """What a run's lake holds before it begins."""
    from counterpoise.sources.update import update

    update(settings, first_ms, now_ms, wanted=lambda feed: feed.source == "binance")


def test_what_a_lake_never_held_is_not_begun(tmp_path) -> None:
    settings = settings_of(tmp_path / "empty")
    assert FromServices(settings)(1_709_251_200_000) == []
    assert Lake(settings.lake).datasets() == {}


def test_a_past_comes_by_when_it_was_known(generated_lake, tmp_path) -> None:
    timeline = build_timeline(generated_lake)
    ts_ms = int(timeline.ts_ms[2000])
    into = Lake(tmp_path / "until")
    assert history_until(generated_lake, into, ts_ms) == sum(map(into.rows, into.datasets()))
    assert into.synthetic
    history_until(generated_lake, into, ts_ms + HOUR_MS, after_ms=ts_ms)
    for key in generated_lake.datasets():
        rows = generated_lake.read_key(key)
        known = rows.filter(rows["known_at"].dt.epoch("ms") <= ts_ms + HOUR_MS)
        assert into.read_key(key).equals(known), key
    assert history_until(generated_lake, into, ts_ms + HOUR_MS, after_ms=ts_ms) == 0
    only = Lake(tmp_path / "only")
    wanted = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
    history_until(generated_lake, only, ts_ms, wanted=lambda key: key == wanted)
    assert list(only.datasets()) == [wanted]
