"""Each tick of the timeline holds what a hedger had on the screen at that hour, and no more."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.assemble import base_asset, build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, ONCHAIN, VALIDATORS, DatasetKey
from counterpoise.units import HOUR_MS, to_ms
from tests.market.small_tables import MIDNIGHT, bars, settlements

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
MARK = DatasetKey("mark_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
FIRST_CLOSE = to_ms(MIDNIGHT) + HOUR_MS


@pytest.fixture
def build(tmp_path):
    """Build the timeline of hand-made tables: 24 quiet hours unless others are given."""

    def lay(changed=None, **arguments):
        quiet = {
            SPOT: bars(range(100, 124)),
            PERP: bars(range(101, 125)),
            FUNDING: settlements([0.0001, 0.0002, 0.0003]),
        }
        lake = Lake(tmp_path / "lake")
        tables = quiet | (changed or {})
        lake.write({key: table for key, table in tables.items() if table is not None})
        return build_timeline(lake, **arguments)

    return lay


def hour(timeline, clock):
    """Index of an hour of the first day."""
    return int((to_ms(MIDNIGHT) + clock * HOUR_MS - timeline.ts_ms[0]) // HOUR_MS)


def test_a_bar_appears_at_its_close(build):
    timeline = build()
    assert timeline.ts_ms[0] == FIRST_CLOSE
    assert len(timeline.ts_ms) == 24
    assert timeline.spot.close[0] == 100.0
    assert timeline.perp.close[hour(timeline, 5), 0] == 105.0
    assert not timeline.synthetic


def test_a_missing_bar_is_a_hole_and_a_note_never_a_copy(build):
    spot = bars(range(100, 124))
    timeline = build({SPOT: pl.concat([spot[:5], spot[7:]])})
    assert np.flatnonzero(np.isnan(timeline.spot.close)).tolist() == [5, 6]
    assert timeline.notes[0] == (
        "binance spot bars: 2 of 24 hours missing, left empty "
        "(2024-03-01 06:00 to 2024-03-01 07:00)"
    )


def test_funding_is_paid_at_its_hour_even_when_the_stamp_is_a_little_late(build):
    late = settlements([0.0001, 0.0002, 0.0003]).with_columns(
        pl.col("ts") + pl.Series([0, 5, 60_000]).cast(pl.Duration("ms"))
    )
    timeline = build({FUNDING: late})
    settled = timeline.funding_settled[:, 0]
    assert {int(i): settled[i] for i in np.flatnonzero(np.isfinite(settled))} == {
        hour(timeline, 8): 0.0002,
        hour(timeline, 16): 0.0003,
    }
    # Cash follows the schedule; knowledge follows the clock: 08:00:00.005 is not known at 08:00.
    assert timeline.funding_last[hour(timeline, 8), 0] == 0.0001
    assert timeline.funding_last[hour(timeline, 9), 0] == 0.0002


def test_a_settlement_later_than_a_minute_belongs_to_the_next_hour(build):
    late = settlements([0.0001, 0.0002], start=MIDNIGHT + timedelta(hours=2, milliseconds=60_001))
    timeline = build({FUNDING: late})
    assert timeline.funding_settled[hour(timeline, 3), 0] == 0.0001


def test_settlements_of_one_hour_are_all_paid(build):
    twice = settlements(
        [0.0001, 0.0002],
        start=MIDNIGHT + timedelta(hours=4, minutes=10),
        step=timedelta(minutes=20),
    )
    timeline = build({FUNDING: twice})
    assert timeline.funding_settled[hour(timeline, 5), 0] == pytest.approx(0.0003, abs=1e-18)


def test_a_rate_that_is_a_day_old_is_no_longer_the_last_rate(build):
    timeline = build(
        {SPOT: bars([100.0] * 48), PERP: bars([100.0] * 48), FUNDING: settlements([0.0001, 0.0002])}
    )
    last = timeline.funding_last[:, 0]
    assert last[hour(timeline, 32)] == 0.0002
    assert np.isnan(last[hour(timeline, 33)])
    assert np.isnan(timeline.funding_interval_h[hour(timeline, 33), 0])


def test_the_venue_may_call_ether_by_another_symbol(build):
    hyper = DatasetKey("funding", "binance", "ETHUSD", "1h")
    timeline = build({FUNDING: None, hyper: settlements([0.00001] * 24, step=timedelta(hours=1))})
    assert np.isfinite(timeline.funding_settled).sum() == 23
    assert timeline.funding_interval_h[5, 0] == 1.0


def test_a_wick_the_spot_market_never_saw_is_not_believed(build):
    perp = bars(range(101, 125)).with_columns(
        pl.when(pl.int_range(24) == 6).then(323.0).otherwise(pl.col("high")).alias("high")
    )
    timeline = build({PERP: perp})
    assert np.isnan(timeline.perp.high[6, 0])
    assert np.isnan(timeline.perp.low[6, 0])
    assert timeline.perp.close[6, 0] == 107.0
    suspect = timeline.suspects[0]
    assert (suspect.ts_ms, suspect.column, suspect.value) == (timeline.ts_ms[6], "high", 323.0)
    assert suspect.bound == pytest.approx(107 * 1.1)
    # The mark cannot have been above the spot high raised by the larger basis around the bar.
    assert timeline.mark_high[6, 0] == pytest.approx(107.0 * (1 + 1 / 105))
    assert any("perpetual high 323" in note for note in timeline.notes)


def test_the_published_mark_price_beats_the_bound(build):
    mark = bars(range(101, 125)).drop("volume").with_columns(pl.col("high") + 0.25)
    timeline = build({MARK: mark[:10]})
    np.testing.assert_array_equal(timeline.mark_high[:10, 0], mark["high"].to_numpy()[:10])
    assert timeline.mark_high[12, 0] <= timeline.perp.high[12, 0]


def test_without_spot_the_mark_is_at_least_what_traded_at_the_edges(build):
    spot = bars(range(100, 124))
    timeline = build({SPOT: pl.concat([spot[:5], spot[6:]])})
    assert timeline.mark_high[5, 0] == 106.0


def macro(values, series="us10y_pct", start=MIDNIGHT, step=timedelta(days=1)):
    return pl.DataFrame(
        {
            "ts": pl.Series([start + step * n for n in range(len(values))]).cast(
                pl.Datetime("ms", "UTC")
            ),
            "series": [series] * len(values),
            "value": values,
        }
    )


def long_day(hours):
    return {
        SPOT: bars([100.0] * hours),
        PERP: bars([100.0] * hours),
        FUNDING: settlements([0.0001] * (hours // 8)),
    }


def test_a_macro_value_speaks_from_its_release_until_it_is_stale(build):
    # Friday 2024-03-01 is released on Monday and surely known on Tuesday 00:00.
    timeline = build(long_day(24 * 14) | {MACRO: macro([4.2])})
    values = timeline.daily["us10y_pct"]
    spoken = np.flatnonzero(values == 4.2)
    assert spoken[0] == hour(timeline, 4 * 24)
    assert spoken[-1] == hour(timeline, (4 + 7) * 24)
    assert np.isnan(np.delete(values, spoken)).all()


def test_a_late_print_of_an_old_day_does_not_hide_a_newer_one(build):
    observed = macro([4.2, 4.3], step=timedelta(days=3)).with_columns(
        pl.Series("known_at", [MIDNIGHT + timedelta(days=9), MIDNIGHT + timedelta(days=7)]).cast(
            pl.Datetime("ms", "UTC")
        )
    )
    timeline = build(long_day(24 * 12) | {MACRO: observed})
    assert timeline.daily["us10y_pct"][hour(timeline, 8 * 24)] == 4.3
    assert timeline.daily["us10y_pct"][hour(timeline, 10 * 24)] == 4.3


def test_every_daily_series_has_its_place_even_when_absent(build):
    timeline = build()
    assert {"gas_used", "exit_queue_eth", "vix_close", "cpi_monthly"} <= set(timeline.daily)
    assert all(np.isnan(values).all() for values in timeline.daily.values())
    assert "daily series absent from the lake" in timeline.notes[-1]


def test_clipping_changes_no_value(generated_lake):
    whole = build_timeline(generated_lake, ("binance", "bybit"))
    begin, end = whole.ts_ms[500], whole.ts_ms[900]
    part = build_timeline(
        generated_lake,
        ("binance", "bybit"),
        start=datetime.fromtimestamp(begin / 1000, tz=UTC) - timedelta(minutes=59),
        end=datetime.fromtimestamp(end / 1000, tz=UTC) + timedelta(minutes=59),
    )
    assert (part.ts_ms[0], part.ts_ms[-1]) == (begin, end)
    np.testing.assert_array_equal(part.mark_high, whole.mark_high[500:901])
    np.testing.assert_array_equal(part.perp.high, whole.perp.high[500:901])
    np.testing.assert_array_equal(part.funding_last, whole.funding_last[500:901])
    for name, values in part.daily.items():
        np.testing.assert_array_equal(values, whole.daily[name][500:901])


def test_venues_keep_their_columns(generated_lake):
    one = build_timeline(generated_lake, ("bybit",))
    two = build_timeline(generated_lake, ("binance", "bybit"))
    assert two.venues == ("binance", "bybit")
    assert two.synthetic
    np.testing.assert_array_equal(two.perp.close[:, 1], one.perp.close[:, 0])
    np.testing.assert_array_equal(two.funding_settled[:, 1], one.funding_settled[:, 0])


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"venues": ()}, FixConfig, "distinct venue names"),
        ({"venues": ("binance", "binance")}, FixConfig, "distinct venue names"),
        ({"venues": ("kraken",)}, NotEnoughData, "has no perp_bars kraken ETHUSDT 1h"),
        ({"symbol": "SOLUSDT"}, FixConfig, "a market of ETH"),
        ({"start": MIDNIGHT, "end": MIDNIGHT}, FixConfig, "before end = 2024-03-01 00:00"),
        ({"start": MIDNIGHT.replace(tzinfo=None)}, FixConfig, "a moment with a zone"),
        (
            {"start": MIDNIGHT + timedelta(days=9)},
            NotEnoughData,
            "from 2024-03-01 01:00 to 2024-03-02 00:00",
        ),
    ],
)
def test_what_cannot_be_built_is_explained(build, arguments, error, says):
    with pytest.raises(error, match=says):
        build(**arguments)


def test_missing_tables_are_named(build):
    with pytest.raises(NotEnoughData, match="has no funding binance ETHUSDT of any interval"):
        build({FUNDING: None})


def test_spot_is_needed(build):
    with pytest.raises(NotEnoughData, match="has no spot_bars binance ETHUSDT 1h"):
        build({SPOT: None})


@pytest.mark.parametrize(
    ("symbol", "asset"), [("ETHUSDC", "ETH"), ("ETH-PERP", "ETH"), ("usdt", "USDT")]
)
def test_symbols_are_about_their_base_asset(symbol, asset):
    assert base_asset(symbol) == asset


def test_the_real_years_are_built_at_once_with_their_known_faults(real_lake):
    build_timeline(real_lake)
    began = time.perf_counter()
    timeline = build_timeline(real_lake)
    assert time.perf_counter() - began < 3.0
    assert len(timeline.ts_ms) == 48_191
    assert np.isnan(timeline.perp.close).sum() == 7
    assert np.isfinite(timeline.funding_settled).sum() == 6_023
    suspects = {(s.ts_ms, s.column) for s in timeline.suspects}
    assert suspects == {
        (to_ms(datetime(2020, 3, 13, 3, tzinfo=UTC)), "high"),
        (to_ms(datetime(2021, 5, 19, 14, tzinfo=UTC)), "low"),
    }
    crash = int(np.flatnonzero(timeline.ts_ms == min(suspects)[0])[0])
    assert timeline.mark_high[crash, 0] < 125.0


def test_a_bound_mark_is_close_to_the_real_one(real_lake):
    """Where the venue's mark is known (2025), the bound is its stand-in: within 10 bps mostly."""
    timeline = build_timeline(real_lake, start=datetime(2025, 1, 2, tzinfo=UTC))
    published = real_lake.read("mark_bars", venue="binance", symbol="ETHUSDT", interval="1h")
    spot, perp = timeline.spot, timeline.perp
    basis = perp.close[:, 0] / spot.close - 1
    bound = np.minimum(perp.high[:, 0], spot.high * (1 + np.maximum(basis, 0)))
    gap = bound[1:] / timeline.mark_high[1:, 0] - 1
    assert published.height == 4_368
    assert np.nanquantile(np.abs(gap), 0.95) < 0.001


def test_dataset_keys_of_daily_tables_are_where_the_builder_looks(generated):
    assert {ONCHAIN, VALIDATORS, MACRO} <= set(generated)
