"""The generated market has the faults and habits of the real one that hedging depends on."""

import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from counterpoise.errors import FixConfig
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, VALIDATORS, DatasetKey
from counterpoise.market.releases import us_federal_holidays
from counterpoise.market.schemas import SPECS
from counterpoise.market.synthetic import generate
from counterpoise.market.synthetic_perpetual import average_premium, settlements
from counterpoise.market.tables import validate
from counterpoise.quality.check import check
from counterpoise.units import HOUR_MS, to_ms

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=SEEDS)
def market(request):
    """Three years of one seed."""
    return generate(request.param, days=3 * 365)


def log_returns(market):
    return np.diff(np.log(market[SPOT]["close"].to_numpy()))


def test_the_past_of_volatility_forecasts_it_better_than_its_last_value(market):
    returns = log_returns(market)
    days = returns[: len(returns) // 24 * 24].reshape(-1, 24)
    log_rv = np.log(np.sqrt((days**2).sum(axis=1)))
    week = np.convolve(log_rv, np.ones(7) / 7, "valid")[15:-1]
    month = np.convolve(log_rv, np.ones(22) / 22, "valid")[:-1]
    regressors = np.column_stack([log_rv[21:-1], week, month, np.ones(len(month))])
    target = log_rv[22:]
    fitted = regressors @ np.linalg.lstsq(regressors, target, rcond=None)[0]
    har = 1 - np.mean((target - fitted) ** 2) / target.var()
    unchanged = 1 - np.mean((target - log_rv[21:-1]) ** 2) / target.var()
    assert har > 0.25
    assert har > unchanged + 0.05


def test_the_perpetual_follows_the_spot_price(market):
    both = market[SPOT].join(market[PERP], on="ts", suffix="_perp")
    basis = (both["close_perp"] / both["close"] - 1).to_numpy()
    assert np.abs(basis).max() < 0.02
    assert (
        np.corrcoef(*np.diff(np.log(both.select("close", "close_perp").to_numpy().T)))[0, 1] > 0.99
    )


def test_every_table_passes_the_checks_of_real_ones(market):
    for key, table in market.items():
        assert validate(table, SPECS[key.table], str(key), interval=key.interval).height > 0


def test_funding_is_never_so_wide_for_a_month_that_an_import_would_take_it_for_percent():
    for seed in range(40):
        funding = generate(seed, days=1000)[FUNDING]
        validate(funding, SPECS["funding"], f"seed {seed}", interval="8h")


def test_the_same_seed_gives_the_same_market_to_the_last_bit():
    first, again = generate(5, days=40), generate(5, days=40)
    assert first.keys() == again.keys()
    assert all(first[key].equals(again[key], null_equal=True) for key in first)
    assert not first[SPOT].equals(generate(6, days=40)[SPOT])


def test_a_thousand_days_take_less_than_a_second_of_computing():
    generate(1, days=2)
    before = time.process_time()
    generate(20, days=1000)
    assert time.process_time() - before < 1.0


def test_a_second_venue_does_not_disturb_the_first():
    one, two = generate(5, days=40), generate(5, days=40, venues=("binance", "bybit"))
    assert all(one[key].equals(two[key]) for key in (SPOT, FUNDING))
    assert not two[FUNDING].equals(two[DatasetKey("funding", "bybit", "ETHUSDT", "8h")])


def test_venues_share_their_mood_but_not_their_funding():
    """Binance and Bybit: 0.77 over 2021-01 to 2025-06."""
    together = []
    for seed in range(6):
        market = generate(seed, days=1000, venues=("binance", "bybit"))
        rates = [
            market[DatasetKey("funding", venue, "ETHUSDT", "8h")]["funding_rate"].to_numpy()
            for venue in ("binance", "bybit")
        ]
        together.append(np.corrcoef(*rates)[0, 1])
    assert 0.67 < np.mean(together) < 0.87


def test_some_bars_are_missing_as_in_life_unless_told_otherwise():
    holed = generate(1, days=240)
    assert holed[PERP].height == 240 * 24 - 4
    assert holed[SPOT].height == 240 * 24 - 6
    assert generate(1, days=240, with_gaps=False)[SPOT].height == 240 * 24


def test_a_generated_lake_says_so_and_raises_no_alarm(generated_lake):
    timeline = build_timeline(generated_lake)
    assert timeline.synthetic
    assert not timeline.suspects
    assert {found.severity for found in check(generated_lake)} <= {"info"}


def test_late_premium_samples_weigh_more():
    early, late = np.zeros(8), np.zeros(8)
    early[0] = late[-1] = 0.01
    assert average_premium(early) == pytest.approx(0.01 / 36)
    assert average_premium(late) == pytest.approx(0.01 * 8 / 36)
    assert average_premium(np.stack([early, late])) == pytest.approx([0.01 / 36, 0.08 / 36])


def test_funding_obeys_the_cap_of_its_day():
    # Two percent is beyond the cap of either day.
    hours = to_ms(datetime(2024, 10, 23, tzinfo=UTC)) + HOUR_MS * np.arange(48)
    settled = settlements("binance", hours, np.full(48, 0.02), np.full(48, 2500.0))
    # 00:00 on the 24th is settled by the rules of the 24th.
    assert settled["funding_rate"].to_list() == [0.00375] * 2 + [0.003] * 4


def test_each_settlement_uses_the_premium_of_its_own_eight_hours():
    hours = to_ms(datetime(2022, 1, 1, tzinfo=UTC)) + HOUR_MS * np.arange(24)
    premium = np.repeat([0.0020, 0.0030, -0.0020], 8)
    settled = settlements("binance", hours, premium, np.arange(24.0))
    assert settled["ts"].dt.hour().to_list() == [8, 16, 0]
    # Beyond the clamp the rate is the premium less (or plus) five basis points.
    assert settled["funding_rate"].to_list() == pytest.approx([0.0015, 0.0025, -0.0015])
    assert settled["mark_price"].to_list() == [7.0, 15.0, 23.0]


def test_dydx_pays_by_the_hour_what_its_own_rule_says():
    hours = to_ms(datetime(2022, 1, 1, tzinfo=UTC)) + HOUR_MS * np.arange(48)
    premium = np.linspace(-0.002, 0.002, 48)
    settled = settlements("dydx", hours, premium, np.ones(48))
    assert settled["funding_rate"].to_numpy() == pytest.approx((premium + 1e-4) / 8, abs=1e-8)
    funding = generate(2, days=60, venues=("binance", "dydx"), with_gaps=False)[
        DatasetKey("funding", "dydx", "ETHUSDT", "1h")
    ]
    assert funding.height == 60 * 24
    assert set(funding["interval_h"]) == {1.0}


def test_a_venue_without_a_contract_follows_the_rule_of_binance():
    hours = to_ms(datetime(2022, 1, 1, tzinfo=UTC)) + HOUR_MS * np.arange(48)
    premium = np.linspace(-0.002, 0.002, 48)
    ours, theirs = (settlements(name, hours, premium, np.ones(48)) for name in ("bybit", "binance"))
    assert ours.equals(theirs)


def test_a_thousand_days_of_premium_above_the_clamp_pay_more_than_the_interest():
    market = generate(3, days=1000, with_gaps=False)
    closes = market[PERP]["close"].to_numpy() / market[SPOT]["close"].to_numpy() - 1
    mean = closes.reshape(-1, 8).mean(axis=1)
    rate = market[FUNDING]["funding_rate"].to_numpy()
    assert rate[mean > 0.0010].min() > 1e-4
    assert rate[mean < -0.0008].max() < 1e-4


@pytest.mark.parametrize(
    ("start", "most_in", "most_out"),
    [
        # Nine validators per epoch at 600,000, 225 epochs a day.
        (datetime(2023, 6, 1, tzinfo=UTC), 2025, 2025),
        # EIP-7514 holds activations at eight, exits follow the set.
        (datetime(2024, 4, 1, tzinfo=UTC), 1800, 2025),
        # EIP-7251: 256 ETH per epoch, both ways.
        (datetime(2025, 6, 1, tzinfo=UTC), 1800, 1800),
    ],
    ids=["plain", "EIP-7514", "EIP-7251"],
)
def test_validators_come_and_go_no_faster_than_the_churn_rule_of_the_day(start, most_in, most_out):
    steps = []
    for seed in range(20):
        table = generate(seed, start, days=60)[VALIDATORS]
        table = table.filter(pl.col("ts") >= start).head(40)
        active = table["active_validators"].to_numpy()
        # The limit moves with the set; keep to days between 589,824 and 655,359 validators.
        inside = (active[:-1] >= 9 * 65_536) & (active[:-1] < 10 * 65_536)
        steps.append(np.diff(active)[inside])
        assert table["entry_queue_eth"].min() >= 0
        assert table["exit_queue_eth"].min() >= 0
    grown = np.concatenate(steps)
    assert len(grown) > 100
    assert grown.max() <= most_in
    assert grown.min() >= -most_out


def test_who_left_the_validator_set_had_queued():
    for seed in range(5):
        table = generate(seed, days=400)[VALIDATORS]
        left_eth = -np.diff(table["active_validators"].to_numpy()) * 32.0
        assert (left_eth <= table["exit_queue_eth"].to_numpy()[:-1]).all()


def test_markets_that_close_have_no_value_on_holidays_and_weekends():
    macro = generate(1, datetime(2022, 1, 1, tzinfo=UTC), days=365)[MACRO]
    closed = pl.Series(us_federal_holidays(2022)).cast(pl.Date)
    days = macro.filter(pl.col("series") == "vix_close")["ts"].dt.date()
    assert not days.is_in(closed.implode()).any()
    assert days.dt.weekday().max() == 5
    assert 240 < (days.dt.year() == 2022).sum() < 255


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 1},
        {"days": 10**6},
        {"first_price": 0.0},
        {"start": datetime(2021, 1, 1)},
        {"start": datetime(2021, 1, 1, 5, tzinfo=UTC)},
    ],
)
def test_what_cannot_be_generated_is_refused(wrong):
    with pytest.raises(FixConfig):
        generate(**wrong)


def test_two_days_are_enough_for_a_timeline(tmp_path):
    lake = Lake(tmp_path)
    lake.write(generate(days=2), synthetic=True)
    timeline = build_timeline(lake)
    assert len(timeline.ts_ms) == 48
    assert np.isfinite(timeline.funding_settled).sum() == 6
    assert np.isfinite(timeline.daily["vix_close"]).all()
