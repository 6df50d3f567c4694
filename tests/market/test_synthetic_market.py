"""The generated market has the faults and habits of the real one that hedging depends on."""

from datetime import UTC, datetime

import numpy as np
import pytest

from counterpoise.errors import FixConfig
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.quality import check
from counterpoise.market.synthetic import _funding, average_premium, generate
from counterpoise.market.tables import SPECS, validate
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


def autocorrelation(values, lag):
    return np.corrcoef(values[:-lag], values[lag:])[0, 1]


def test_returns_have_fat_tails(market):
    returns = log_returns(market)
    assert np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 > 5
    assert 0.5 < returns.std() * np.sqrt(8760) < 1.1


def test_volatility_clusters_over_hours_days_and_a_week(market):
    size = np.abs(log_returns(market))
    assert autocorrelation(size, 1) > 0.12
    assert autocorrelation(size, 24) > 0.08
    assert autocorrelation(size, 24 * 7) > 0.02


def test_direction_does_not_cluster(market):
    assert abs(autocorrelation(log_returns(market), 1)) < 0.05


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


def test_funding_persists_and_often_rests_at_one_basis_point(market):
    rate = market[FUNDING]["funding_rate"].to_numpy()
    assert 0.5 < autocorrelation(rate, 1) < 0.95
    assert 0.2 < np.mean(rate == 1e-4) < 0.6
    assert 0.02 < np.mean(rate < 0) < 0.4
    assert np.abs(rate).max() <= 0.00375


def test_volume_rises_with_volatility(market):
    bars = market[SPOT]
    spread = np.log(bars["high"].to_numpy() / bars["low"].to_numpy())
    assert np.corrcoef(np.log(spread), np.log(bars["volume"].to_numpy()))[0, 1] > 0.3


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


def test_the_same_seed_gives_the_same_market_to_the_last_bit():
    first, again = generate(5, days=40), generate(5, days=40)
    assert first.keys() == again.keys()
    assert all(first[key].equals(again[key], null_equal=True) for key in first)
    assert not first[SPOT].equals(generate(6, days=40)[SPOT])


def test_a_second_venue_does_not_disturb_the_first():
    one, two = generate(5, days=40), generate(5, days=40, venues=("binance", "bybit"))
    assert all(one[key].equals(two[key]) for key in (SPOT, FUNDING))
    assert not two[FUNDING].equals(two[DatasetKey("funding", "bybit", "ETHUSDT", "8h")])


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


def test_funding_obeys_the_cap_of_its_day():
    # Two percent is beyond the cap of either day.
    hours = to_ms(datetime(2024, 10, 23, tzinfo=UTC)) + HOUR_MS * np.arange(48)
    settled = _funding("binance", hours, np.full(48, 0.02), np.full(48, 2500.0))
    # 00:00 on the 24th is settled by the rules of the 24th.
    assert settled["funding_rate"].to_list() == [0.00375] * 2 + [0.003] * 4


def test_dydx_pays_by_the_hour_what_its_own_rule_says():
    market = generate(2, days=60, venues=("binance", "dydx"), with_gaps=False)
    funding = market[DatasetKey("funding", "dydx", "ETHUSDT", "1h")]
    perp = market[DatasetKey("perp_bars", "dydx", "ETHUSDT", "1h")]["close"].to_numpy()
    basis = perp / market[SPOT]["close"].to_numpy() - 1
    assert funding.height == 60 * 24
    assert set(funding["interval_h"]) == {1.0}
    assert funding["funding_rate"].to_numpy() == pytest.approx((basis + 1e-4) / 8, abs=1e-8)


def test_a_venue_without_a_contract_follows_the_rule_of_binance():
    hours = to_ms(datetime(2022, 1, 1, tzinfo=UTC)) + HOUR_MS * np.arange(48)
    basis = np.linspace(-0.002, 0.002, 48)
    ours, theirs = (_funding(name, hours, basis, np.ones(48)) for name in ("bybit", "binance"))
    assert ours.equals(theirs)


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
