"""Readings within the day speak from the moment they were known until they are too old."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from counterpoise.market.assemble import build_timeline
from counterpoise.market.hourly import NAMES
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import GAS, DatasetKey
from tests.market.small_tables import bars, settlements

START = datetime(2024, 3, 1, tzinfo=UTC)
HOURS = 12
METRICS = DatasetKey("futures_metrics", "binance", "ETHUSDT", "5m")
BTC = DatasetKey("spot_bars", "binance", "BTCUSDT", "1h")
BOOK = DatasetKey("book_depth", "binance", "ETHUSDT", "1m")
TICKS = [START + timedelta(hours=n + 1) for n in range(HOURS)]


def metrics(at: list[datetime], level: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"ts": at, "open_interest_eth": level, "open_interest_usd": [3e3 * one for one in level]}
    )


def timeline_with(lake: Lake, **tables):
    perp = bars([3000.0] * HOURS, start=START).with_columns(
        pl.Series("taker_buy_base", [n / 2 for n in range(HOURS)]),
        pl.lit(30_000.0).alias("quote_volume"),
        pl.lit(5).alias("trades"),
        pl.lit(15_000.0).alias("taker_buy_quote"),
    )
    lake.write(
        {
            DatasetKey("spot_bars", "binance", "ETHUSDT", "1h"): bars(
                [3000.0] * HOURS, start=START
            ),
            DatasetKey("perp_bars", "binance", "ETHUSDT", "1h"): perp,
            DatasetKey("funding", "binance", "ETHUSDT", "8h"): settlements([0.0001], start=START),
            **tables.get("more", {}),
        }
    )
    return build_timeline(lake)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_what_the_lake_lacks_is_unknown_and_what_bars_bring_is_there(lake):
    hourly = timeline_with(lake).hourly
    assert set(hourly) == set(NAMES)
    assert hourly["taker_buy_base"].tolist() == [n / 2 for n in range(HOURS)]
    for name in set(NAMES) - {"taker_buy_base"}:
        assert np.isnan(hourly[name]).all(), name


def test_a_metric_is_known_five_minutes_after_its_stamp_and_for_an_hour(lake):
    at = [START + timedelta(hours=2, minutes=50), START + timedelta(hours=2, minutes=55)]
    late = START + timedelta(hours=5)
    table = metrics([*at, late], [10.0, 11.0, 12.0])
    found = timeline_with(lake, more={METRICS: table}).hourly["open_interest_eth"]
    by_tick = dict(zip(TICKS, found.tolist(), strict=True))
    # The reading of 02:55 is known at 03:00 and, known for an hour, still at 04:00.
    assert by_tick[START + timedelta(hours=3)] == 11.0
    assert by_tick[START + timedelta(hours=4)] == 11.0
    # The one stamped 05:00 is not known at 05:00.
    assert np.isnan(by_tick[START + timedelta(hours=5)])
    assert by_tick[START + timedelta(hours=6)] == 12.0
    assert np.isnan(by_tick[START + timedelta(hours=7)])


def test_both_sides_of_the_book_come_from_their_own_band(lake):
    at = START + timedelta(hours=3, minutes=55)
    bands = [-5.0, -1.0, 1.0, 5.0]
    book = pl.DataFrame(
        {
            "ts": [at] * 4,
            "band_pct": bands,
            "depth_eth": [50.0, 7.0, 9.0, 60.0],
            "notional_usd": [1.0] * 4,
        }
    )
    hourly = timeline_with(lake, more={BOOK: book}).hourly
    tick = TICKS.index(START + timedelta(hours=4))
    assert hourly["bid_depth_eth"][tick] == 7.0
    assert hourly["ask_depth_eth"][tick] == 9.0
    assert np.isnan(hourly["bid_depth_eth"][tick + 1])


def test_the_base_fee_of_an_hour_is_known_at_the_tick_after_its_end(lake):
    hours = [START + timedelta(hours=n) for n in range(4)]
    gas = pl.DataFrame(
        {"ts": hours, "gas_used_ratio": [0.5, 0.6, 0.7, 0.8], "blocks": [300] * 4}
        | {
            f"base_fee_{part}_wei": [1e9, 2e9, 3e9, 4e9]
            for part in ("first", "mean", "max", "last")
        }
    )
    found = timeline_with(lake, more={GAS: gas}).hourly["base_fee_mean_wei"]
    # The hour from 00:00 ends at 01:00 and is known a minute later, so the tick of 02:00 sees it.
    assert found[:6].tolist() == pytest.approx([np.nan, 1e9, 2e9, 3e9, 4e9, 4e9], nan_ok=True)
    assert np.isnan(found[8:]).all()


def test_a_bar_of_bitcoin_is_known_at_its_close_and_a_missing_one_is_unknown(lake):
    table = bars([60_000.0 + n for n in range(HOURS)], start=START)
    hourly = timeline_with(lake, more={BTC: pl.concat([table[:4], table[5:]])}).hourly
    # The bar from 03:00 closes at the tick of 04:00; the one from 04:00 is missing.
    assert TICKS[3] == START + timedelta(hours=4)
    for part, more in (("close", 0.0), ("high", 1.0), ("low", -1.0)):
        expected = [60_000.0 + n + more if n != 4 else np.nan for n in range(HOURS)]
        np.testing.assert_array_equal(hourly[f"btc_{part}"], expected)


def test_cutting_the_bars_of_bitcoin_leaves_every_tick_before_the_cut_as_it_was(lake, tmp_path):
    table = bars(np.random.default_rng(2).uniform(5e4, 6e4, HOURS).tolist(), start=START)
    whole = timeline_with(lake, more={BTC: table}).hourly
    for cut in (1, 5, 11):
        short = timeline_with(Lake(tmp_path / f"cut{cut}"), more={BTC: table[:cut]}).hourly
        for name in ("btc_close", "btc_high", "btc_low"):
            assert short[name][:cut].tobytes() == whole[name][:cut].tobytes()
            assert np.isnan(short[name][cut:]).all()


def test_cutting_the_tables_leaves_every_tick_before_the_cut_as_it_was(lake, tmp_path):
    at = [START + timedelta(minutes=5 * n) for n in range(12 * HOURS)]
    level = np.random.default_rng(1).uniform(1.0, 2.0, len(at)).tolist()
    whole = timeline_with(lake, more={METRICS: metrics(at, level)}).hourly["open_interest_eth"]
    for cut in (30, 77, 100):
        part = Lake(tmp_path / f"cut{cut}")
        short = timeline_with(part, more={METRICS: metrics(at[:cut], level[:cut])})
        known = [n for n, tick in enumerate(TICKS) if tick <= at[cut - 1]]
        assert short.hourly["open_interest_eth"][known].tobytes() == whole[known].tobytes()
