"""Windows around events: what is planted is found, what is not is not, and nothing is filled."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.assemble import build_timeline
from counterpoise.market.calendar import CLASSES, load_calendar
from counterpoise.market.event_clock import event_clock, event_times
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.study.event_windows import MEASURES, EventEffect, _Stretches, event_windows
from counterpoise.study.event_words import overall, verdict_of
from counterpoise.units import HOUR_MS
from tests.random_timeline import START_MS, random_timeline

YEAR_H = 364 * 24
FIRST = datetime.fromtimestamp(START_MS / 1000, tz=UTC)


def calendar(
    hours: dict[str, list[float]], withdrawn: dict[float, float] | None = None
) -> pl.DataFrame:
    """Table of events of each class, in hours since the first tick, known a week ahead."""
    rows = [(hour, kind) for kind, at in hours.items() for hour in at]
    given_up = withdrawn or {}

    def moments(values: list[float | None]) -> pl.Series:
        found = [None if hour is None else FIRST + timedelta(hours=hour) for hour in values]
        return pl.Series(found, dtype=pl.Datetime("ms", "UTC"))

    return pl.DataFrame(
        {
            "ts": moments([hour for hour, _ in rows]),
            "known_at": moments([hour - 168.0 for hour, _ in rows]),
            "class": [kind for _, kind in rows],
            "withdrawn_at": moments([given_up.get(hour) for hour, _ in rows]),
        },
        schema_overrides={"class": pl.String},
    )


def with_events(timeline: Timeline, table: pl.DataFrame) -> Timeline:
    return replace(timeline, events=event_clock(table, timeline.ts_ms))


def closes(timeline: Timeline, spot: np.ndarray, perp: np.ndarray) -> Timeline:
    """Same timeline at other closing prices."""
    return replace(
        timeline,
        spot=replace(timeline.spot, close=spot),
        perp=replace(timeline.perp, close=perp[:, None]),
    )


def around(at: list[float], ticks: int, before: int = 24, after: int = 24) -> np.ndarray:
    """Hours that closed after ``at - before`` and not after ``at + after``."""
    hour = np.arange(ticks)[:, None]
    return ((hour > np.array(at) - before) & (hour <= np.array(at) + after)).any(axis=1)


def plant(timeline: Timeline, at: list[float], factor: float) -> Timeline:
    """Spot moves by ``factor`` as much around some events; the basis stays what it was."""
    log_price = np.log(timeline.spot.close)
    moves = np.diff(log_price) * np.where(around(at, len(log_price))[1:], factor, 1.0)
    spot = np.exp(log_price[0] + np.concatenate([[0.0], np.cumsum(moves)]))
    return closes(timeline, spot, spot * timeline.perp.close[:, 0] / timeline.spot.close)


def one(effects: tuple[EventEffect, ...], kind: str = "macro") -> EventEffect:
    return next(effect for effect in effects if effect.kind == kind)


MEETINGS = [400.0 + 1_100 * i + 0.5 * (i % 2) for i in range(15)]


def test_measures_inside_and_outside_are_those_of_plain_numpy() -> None:
    timeline = with_events(
        random_timeline(2 * YEAR_H, seed=4, gap_share=0.01), calendar({"macro": MEETINGS})
    )
    found = one(event_windows(timeline, before_h=12, after_h=30, draws=100))
    spot, perp = timeline.spot.close, timeline.perp.close[:, 0]
    inside = around(MEETINGS, len(spot), 12, 30)
    returns = np.concatenate([[np.nan], spot[1:] / spot[:-1] - 1])
    left = returns - np.concatenate([[np.nan], perp[1:] / perp[:-1] - 1])
    for mask, side in ((inside, "inside"), (~inside, "outside")):
        known = mask & np.isfinite(left)
        basis = 1e4 * (perp / spot - 1)[mask]
        funding = 1e4 * timeline.funding_settled[mask, 0]
        expected = {
            "hedge_effectiveness": 1 - np.var(left[known]) / np.var(returns[known]),
            "spot_vol": np.std(returns[known], ddof=1) * np.sqrt(8760),
            "basis_mean_bps": np.nanmean(basis),
            "basis_sd_bps": np.nanstd(basis, ddof=1),
            "funding_mean_bps": np.nanmean(funding),
            "funding_sd_bps": np.nanstd(funding, ddof=1),
            "worst_rise": returns[known].max(),
            "worst_fall": returns[known].min(),
        }
        assert expected.keys() == MEASURES.keys()
        for name, value in expected.items():
            assert getattr(found.measure(name), side) == pytest.approx(value, rel=1e-9), name
        assert getattr(found, f"hours_{side}") == known.sum()
    assert (found.events, found.windows, found.shift_h) == (15, 15, 168)


def test_volatility_doubled_around_events_is_found_and_the_hedge_with_it() -> None:
    market = random_timeline(2 * YEAR_H, seed=9)
    timeline = with_events(plant(market, MEETINGS, 2.0), calendar({"macro": MEETINGS}))
    effects = event_windows(timeline, draws=2_000)
    vol = one(effects).measure("spot_vol")
    assert vol.significant
    assert vol.low > 0.0
    bare = one(event_windows(with_events(market, calendar({"macro": MEETINGS})), draws=2_000))
    assert not any(measured.significant for measured in bare.measures)
    assert vol.inside == pytest.approx(2.0 * bare.measure("spot_vol").inside, rel=0.01)
    hedge = one(effects).measure("hedge_effectiveness")
    assert hedge.difference > 0.0  # the same basis beside larger moves
    for name in ("basis_mean_bps", "funding_mean_bps", "funding_sd_bps"):
        assert not one(effects).measure(name).significant, name
    said = verdict_of(one(effects), 24, 24)
    assert f"volatility is {vol.inside / vol.usual - 1:.1%} higher within 24 h" in said
    assert "Holm = " in said
    assert "significant at 5 %" in overall(effects)


def test_a_basis_that_comes_loose_around_events_makes_the_hedge_worse() -> None:
    market = random_timeline(2 * YEAR_H, seed=2)
    spot = market.spot.close
    wide = 1 + (market.perp.close[:, 0] / spot - 1) * np.where(around(MEETINGS, len(spot)), 6, 1)
    timeline = with_events(closes(market, spot, spot * wide), calendar({"macro": MEETINGS}))
    found = one(event_windows(timeline, draws=2_000))
    assert found.measure("hedge_effectiveness").high < 0.0
    assert found.measure("basis_sd_bps").significant
    assert "a full hedge is worse" in verdict_of(found, 24, 24)


def test_where_nothing_is_planted_p_values_are_about_uniform() -> None:
    """Markets whose volatility clusters, dates drawn at random: 5 % are called different."""
    draws = np.random.default_rng(8)
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for seed in range(30):
        market = random_timeline(2 * YEAR_H, seed=100 + seed)
        for _ in range(10):
            dates = np.sort(draws.choice(2 * YEAR_H // 24, 12, replace=False) * 24.0).tolist()
            timeline = with_events(market, calendar({"macro": dates}))
            effect = one(event_windows(timeline, draws=200, seed=int(draws.integers(1 << 30))))
            for name in MEASURES:
                found[name].append(effect.measure(name).p)
    most = binom.ppf(0.999, 300, 0.06)
    for name, values in found.items():
        p = np.array(values)
        assert np.count_nonzero(p <= 0.05) <= most, name
        assert np.mean(p) == pytest.approx(0.5, abs=0.09), name
        assert np.count_nonzero(p <= 0.25) / 300 == pytest.approx(0.25, abs=0.09), name


def test_a_calm_year_is_no_effect_of_the_events_in_it() -> None:
    """Dates of the second, calm year only: a naive comparison with outside shows half the vol."""
    market = random_timeline(2 * YEAR_H, seed=6)
    log_price = np.log(market.spot.close)
    moves = np.diff(log_price) * np.where(np.arange(1, len(log_price)) < YEAR_H, 3.0, 1.0)
    spot = np.exp(log_price[0] + np.concatenate([[0.0], np.cumsum(moves)]))
    dates = [float(YEAR_H + 300 + 900 * i) for i in range(9)]
    timeline = with_events(
        closes(market, spot, spot * market.perp.close[:, 0] / market.spot.close),
        calendar({"regulatory": dates}),
    )
    vol = one(event_windows(timeline, draws=500), "regulatory").measure("spot_vol")
    assert vol.inside < 0.7 * vol.outside
    assert vol.inside == pytest.approx(vol.usual, rel=0.25)
    assert vol.p > 0.05


def test_the_interval_excludes_zero_exactly_when_p_is_small() -> None:
    market = random_timeline(2 * YEAR_H, seed=1)
    for factor in (1.0, 1.2, 1.4, 1.6):
        timeline = with_events(plant(market, MEETINGS, factor), calendar({"macro": MEETINGS}))
        for measured in one(event_windows(timeline, draws=300)).measures:
            apart = measured.low > 1e-12 or measured.high < -1e-12
            assert apart == (measured.p <= 0.05), (factor, measured)
            assert measured.difference == pytest.approx(measured.inside - measured.usual)


def test_overlapping_windows_of_a_class_are_merged_and_classes_share_their_hours() -> None:
    dates = [500.0, 520.0, 548.0, 596.0, 2_000.0, 5_000.0]
    table = calendar({"macro": dates, "regulatory": [510.0]})
    effects = event_windows(with_events(random_timeline(YEAR_H), table), draws=100)
    macro, regulatory = one(effects), one(effects, "regulatory")
    # 500, 520 and 548 overlap; the window of 596 begins where that of 548 ends.
    assert (macro.events, macro.windows) == (6, 4)
    assert macro.hours_inside == (548 - 500 + 48) + 48 + 48 + 48
    assert macro.hours_inside + macro.hours_outside == YEAR_H - 1
    assert (regulatory.events, regulatory.hours_inside) == (1, 48)


def test_what_was_withdrawn_or_lies_outside_the_data_has_no_window() -> None:
    dates = [-20.0, 500.0, 900.0, 2_000.0, YEAR_H + 5.0]
    table = calendar({"macro": dates}, withdrawn={900.0: 850.0})
    found = one(event_windows(with_events(random_timeline(YEAR_H), table), draws=100))
    assert (found.events, found.hours_inside) == (2, 96)


def test_hours_without_a_price_are_left_out_and_never_filled() -> None:
    market = random_timeline(2 * YEAR_H, seed=3)
    spot, perp = market.spot.close.copy(), market.perp.close[:, 0].copy()
    spot[int(MEETINGS[0]) - 3] = np.nan  # breaks two returns and one basis
    hole = around(MEETINGS[1:2], len(perp))
    perp[hole] = np.nan
    timeline = with_events(closes(market, spot, perp), calendar({"macro": MEETINGS}))
    found = one(event_windows(timeline, draws=100))
    whole = one(event_windows(with_events(market, calendar({"macro": MEETINGS})), draws=100))
    assert found.hours_inside == whole.hours_inside - 2 - 48
    # One more: the return out of the hole.
    assert found.hours_outside == whole.hours_outside - 1
    # Funding was still settled there.
    assert found.events == 15
    assert found.measure("spot_vol").events == found.measure("basis_sd_bps").events == 14
    assert found.measure("funding_mean_bps").events == 15
    assert found.measure("funding_mean_bps").inside == whole.measure("funding_mean_bps").inside


def test_a_measure_that_is_nowhere_known_is_unknown_and_the_others_stay() -> None:
    market = random_timeline(2 * YEAR_H, seed=3)
    bare = replace(market, funding_settled=np.full_like(market.funding_settled, np.nan))
    found = one(event_windows(with_events(bare, calendar({"macro": MEETINGS})), draws=100))
    assert np.isnan(
        [found.measure("funding_sd_bps").inside, found.measure("funding_sd_bps").p]
    ).all()
    assert 0.0 < found.measure("spot_vol").p <= found.measure("spot_vol").p_holm <= 1.0


def test_funding_is_per_eight_hours_whatever_the_interval() -> None:
    market = random_timeline(YEAR_H, seed=3)
    hourly = replace(
        market,
        funding_settled=np.full((YEAR_H, 1), 1e-5),
        funding_interval_h=np.ones((YEAR_H, 1)),
    )
    found = one(event_windows(with_events(hourly, calendar({"macro": MEETINGS[:5]})), draws=100))
    assert found.measure("funding_mean_bps").inside == pytest.approx(0.8)


def test_too_few_events_have_a_row_and_no_p_value() -> None:
    table = calendar({"macro": MEETINGS[:4], "regulatory": MEETINGS[:7]})
    effects = event_windows(with_events(random_timeline(YEAR_H), table), draws=100)
    few = one(effects)
    assert few.too_few
    assert np.isfinite([measured.inside for measured in few.measures]).all()
    assert np.isnan([measured.p for measured in few.measures]).all()
    assert np.isnan([measured.p_holm for measured in few.measures]).all()
    assert verdict_of(few, 24, 24) == "FOMC statements: too few, 4 of the 5 events a p-value needs"
    assert [effect.kind for effect in effects] == list(CLASSES)
    assert verdict_of(effects[0], 24, 24) == "network upgrades: none inside the data"
    assert "of 8 tests" in overall(effects)


def test_the_same_seed_gives_the_same_numbers_and_a_class_does_not_move_another() -> None:
    market = random_timeline(2 * YEAR_H, seed=3)
    alone = with_events(market, calendar({"macro": MEETINGS}))
    beside = with_events(market, calendar({"macro": MEETINGS, "regulatory": [900.0]}))
    first, again, other = (event_windows(t, draws=200) for t in (alone, alone, beside))
    assert repr(first) == repr(again)
    assert repr(one(first)) == repr(one(other))
    assert event_windows(alone, draws=200, seed=12) != first


@given(st.integers(YEAR_H, 6 * YEAR_H), st.integers(0, 1_000))
def test_a_shift_keeps_weekday_hour_stretch_and_spacing(hours: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stretches = _Stretches.of(hours)
    assert stretches.step == 168
    assert hours <= stretches.length.sum() < hours + 168
    assert (stretches.length >= YEAR_H).all()
    at = np.sort(rng.integers(0, hours, 9))
    landed = stretches.draw(at, 20, rng)
    assert ((landed - at) % 168 == 0).all()
    number = np.searchsorted(stretches.begin, at, side="right") - 1
    assert (np.searchsorted(stretches.begin, landed, side="right") - 1 == number).all()
    for i in range(8):
        if number[i] == number[i + 1]:
            apart = (landed[:, i + 1] - landed[:, i]) % stretches.length[number[i]]
            assert (apart == at[i + 1] - at[i]).all()


def test_a_history_of_months_is_shifted_by_days() -> None:
    table = calendar({"macro": [100.0 + 300 * i for i in range(6)]})
    found = one(event_windows(with_events(random_timeline(100 * 24), table), draws=200))
    assert found.shift_h == 24
    # A hundred shifts are all there are; one of them is where the windows were.
    assert min(measured.p for measured in found.measures) >= 1 / 201


@given(
    st.lists(st.integers(0, 299), unique=True, max_size=9),
    st.lists(st.integers(0, 59), min_size=9, max_size=9),
)
def test_moments_read_back_from_the_clock_are_those_of_the_calendar(
    hours: list[int], minutes: list[int]
) -> None:
    at = [hour + minute / 60 for hour, minute in zip(sorted(hours), minutes, strict=False)]
    ts_ms = START_MS + HOUR_MS * np.arange(301, dtype=np.int64)
    clock = event_clock(calendar({"macro": at}), ts_ms)
    # Of two between the same two ticks the later one is on the clock.
    seen = {int(np.ceil(hour)): round(START_MS + hour * HOUR_MS) for hour in at}
    assert event_times(clock, ts_ms, "macro").tolist() == list(seen.values())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"before_h": -1}, "--before = -1: expected hours from 0 to 720"),
        ({"after_h": 721}, "--after = 721: expected hours from 0 to 720"),
        ({"before_h": 0, "after_h": 0}, "--after = 0: expected a window of at least an hour"),
        ({"draws": 99}, "study.draws = 99: expected at least 100"),
        ({"before_h": 720, "after_h": 720}, "hours outside the windows of macro events"),
    ],
)
def test_windows_that_make_no_sense_are_refused(wrong: dict[str, int], says: str) -> None:
    table = calendar({"macro": [float(hour) for hour in range(500, YEAR_H, 1_000)]})
    timeline = with_events(random_timeline(YEAR_H), table)
    with pytest.raises(FixConfig, match=says):
        event_windows(timeline, **({"draws": 100} | wrong))


def test_without_a_calendar_events_or_prices_there_is_nothing_to_measure() -> None:
    market = random_timeline(YEAR_H)
    with pytest.raises(NotEnoughData, match="Next: counterpoise data fetch events"):
        event_windows(replace(market, synthetic=False), draws=100)
    with pytest.raises(NotEnoughData, match="Next: name a lake of real data"):
        event_windows(market, draws=100)
    with pytest.raises(NotEnoughData, match="no event of the calendar falls inside the data, 2020"):
        event_windows(with_events(market, calendar({"macro": [-5.0, YEAR_H + 9.0]})), draws=100)
    unknown = Bars(*(np.full((YEAR_H, 1), np.nan) for _ in range(5)))
    with pytest.raises(NotEnoughData, match="no hour has a price of both"):
        event_windows(
            with_events(replace(market, perp=unknown), calendar({"macro": MEETINGS})), draws=100
        )


@pytest.mark.xdist_group("real")
def test_what_the_documentation_says_of_real_events_is_what_is_found(
    real_data: Path, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.import_folder(real_data)
    lake.write({EVENTS: load_calendar()})
    effects = event_windows(build_timeline(lake))
    assert [effect.events for effect in effects] == [12, 8, 46]
    assert not any(measured.significant for effect in effects for measured in effect.measures)
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    for effect in effects:
        vol, hedge = effect.measure("spot_vol"), effect.measure("hedge_effectiveness")
        assert f"{100 * vol.inside:.2f}" in page
        assert f"{hedge.inside:.4f} against {hedge.usual:.4f}" in " ".join(page.split())
