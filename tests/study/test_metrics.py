"""What a hedge earned and risked: one definition per metric."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import NotEnoughData
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.study import metrics
from counterpoise.units import DAY_MS

Build = Callable[..., SimulatedPath]
returns = st.lists(
    st.floats(-0.3, 0.3, allow_subnormal=False).map(lambda x: round(x, 6)), min_size=3, max_size=80
).map(np.array)


def test_a_day_is_measured_against_its_own_opening_spot(path: Build) -> None:
    timed = path(0.8, days=3)
    by_hand = [timed.pnl[d].sum() / (timed.exposure_eth[d] * timed.spot_open[d]) for d in range(3)]
    assert metrics.daily_returns(timed) == pytest.approx(by_hand, rel=1e-12)


def test_golden_numbers_of_five_days(path: Build) -> None:
    """Daily returns +2, −1, +1, −3, +1 %: every metric worked out on paper."""
    given_returns = np.array([0.02, -0.01, 0.01, -0.03, 0.01])
    five = path(0.5, days=5)
    pnl = np.zeros((5, 7))
    pnl[:, 0] = given_returns * five.exposure_eth * five.spot_open
    five = replace(five, pnl=pnl, traded_eth=np.full(5, 10.0), short_eth=np.full((5, 1), 400.0))
    found = metrics.summarise(five, 2.0 * given_returns)
    assert found["mean"] == pytest.approx(0.0, abs=1e-12)
    assert found["vol"] ** 2 == pytest.approx(365 * 0.0016 / 4)
    assert found["ce20"] == pytest.approx(-10 * 365 * 0.0004)
    assert found["ce5"] == pytest.approx(-2.5 * 365 * 0.0004)
    assert found["cvar95"] == pytest.approx(0.03)  # 0.25 of a day: the worst one
    assert found["max_drawdown"] == pytest.approx(-0.03)  # from +2 % to −1 %
    assert found["hedge_effectiveness"] == pytest.approx(0.75)
    assert found["turnover"] == pytest.approx(3.65)
    assert found["mean_ratio"] == pytest.approx(0.4)
    assert found["sortino"] == pytest.approx(0.0, abs=1e-10)


def test_the_summary_has_exactly_the_agreed_keys(path: Build) -> None:
    timed = path(0.8)
    found = metrics.summarise(timed, metrics.daily_returns(path(0.0)))
    assert tuple(found) == metrics.METRICS


def test_attribution_adds_up_to_the_mean(path: Build) -> None:
    timed = path(0.83)
    parts = metrics.attribution(timed)
    found = metrics.summarise(timed, metrics.daily_returns(path(0.0)))
    assert tuple(parts) == COMPONENTS
    assert sum(parts.values()) == pytest.approx(found["mean"], abs=1e-13)
    assert found["funding"] == pytest.approx(parts["funding"], abs=1e-15)
    assert found["cost"] == pytest.approx(
        -parts["fees"] - parts["slippage"] - parts["liquidation"], abs=1e-15
    )
    assert found["cost"] > 0
    assert found["capital"] == pytest.approx(-parts["capital"], abs=1e-15)


def test_a_liquidation_fee_is_a_cost(path: Build) -> None:
    timed = path(0.8, days=10)
    pnl = timed.pnl.copy()
    pnl[4, COMPONENTS.index("liquidation")] = -5_000.0
    hit = replace(timed, pnl=pnl, liquidations=1)
    unhedged = metrics.daily_returns(path(0.0, days=10))
    before, after = metrics.summarise(timed, unhedged), metrics.summarise(hit, unhedged)
    paid = 5_000.0 / (timed.exposure_eth[4] * timed.spot_open[4]) * 365 / 10
    assert after["cost"] - before["cost"] == pytest.approx(paid)
    assert before["mean"] - after["mean"] == pytest.approx(paid)
    assert after["liquidations"] == 1


def test_no_hedge_has_no_effectiveness_and_a_full_one_nearly_all(path: Build) -> None:
    unhedged = metrics.daily_returns(path(0.0))
    assert metrics.summarise(path(0.0), unhedged)["hedge_effectiveness"] == pytest.approx(0.0)
    assert metrics.summarise(path(1.0), unhedged)["hedge_effectiveness"] > 0.999


def test_effectiveness_of_a_static_hedge_is_one_minus_the_squared_rest() -> None:
    moves = np.random.default_rng(0).normal(0.0, 0.04, 1000)
    assert metrics.hedge_effectiveness(0.2 * moves, moves) == pytest.approx(1 - 0.2**2)


def test_the_fraction_of_a_worst_day_counts() -> None:
    """Thirty days: the worst 5 % are one and a half days."""
    daily = np.concatenate([[-0.06, -0.03], np.linspace(0.0, 0.01, 28)])
    assert metrics.cvar(daily, 0.05) == pytest.approx((0.06 + 0.5 * 0.03) / 1.5)


def test_a_first_day_that_loses_is_already_a_drawdown() -> None:
    assert metrics.max_drawdown(np.array([-0.05, 0.02])) == pytest.approx(-0.05)


@given(returns)
def test_cvar_is_at_least_the_mean_loss_and_at_most_the_worst_day(
    daily: np.ndarray,
) -> None:
    found = metrics.cvar(daily, 0.05)
    assert -daily.mean() - 1e-12 <= found <= -daily.min() + 1e-12
    assert metrics.cvar(daily, 0.01) >= found - 1e-12


@given(returns, st.floats(0.1, 3.0))
def test_risk_scales_with_the_position(daily: np.ndarray, size: float) -> None:
    for metric in (metrics.annual_vol, metrics.max_drawdown, lambda d: metrics.cvar(d, 0.05)):
        assert metric(size * daily) == pytest.approx(size * metric(daily), abs=1e-12)


@given(returns, st.floats(0.0, 0.05))
def test_a_sure_gain_lifts_every_certainty_equivalent_by_itself(
    daily: np.ndarray, gain: float
) -> None:
    before = metrics.certainty_equivalent(daily, 20.0)
    after = metrics.certainty_equivalent(daily + gain, 20.0)
    assert after - before == pytest.approx(365 * gain, abs=1e-9)
    assert metrics.max_drawdown(daily + gain) >= metrics.max_drawdown(daily) - 1e-12


@given(returns)
def test_the_drawdown_path_agrees_with_a_loop(daily: np.ndarray) -> None:
    equity = peak = 0.0
    for step, found in zip(daily, metrics.drawdowns(daily), strict=True):
        equity += step
        peak = max(peak, equity)
        assert found == pytest.approx(equity - peak, abs=1e-12)


def test_years_are_those_of_the_day_that_midnight_closes(path: Build) -> None:
    timed = path(0.8, days=400)
    years = metrics.yearly(timed)
    assert str(metrics.days_of(timed)[0]) == "2021-12-31"
    assert years == {2021: slice(0, 1), 2022: slice(1, 366), 2023: slice(366, 400)}


def test_a_day_that_ends_an_hour_before_midnight_is_the_same_day(path: Build) -> None:
    timed = path(0.8, days=400)
    hour_before = replace(timed, ts_ms=timed.ts_ms - 3_600_000)
    assert metrics.yearly(hour_before) == metrics.yearly(timed)


def test_a_year_on_its_own_is_the_summary_of_its_days(path: Build) -> None:
    timed, unhedged = path(0.8, days=400), metrics.daily_returns(path(0.0, days=400))
    rows = metrics.yearly(timed)[2022]
    daily = metrics.daily_returns(timed)[rows]
    found = metrics.by_year(timed, unhedged)
    assert found[2022]["vol"] == pytest.approx(daily.std(ddof=1) * 365**0.5)
    assert found[2022]["max_drawdown"] == pytest.approx(metrics.max_drawdown(daily))
    assert np.isnan(found[2021]["vol"])
    weighted = sum(found[y]["mean"] * (r.stop - r.start) for y, r in metrics.yearly(timed).items())
    assert weighted / 400 == pytest.approx(metrics.annual_mean(metrics.daily_returns(timed)))


def test_ratios_without_risk_are_unknown(path: Build) -> None:
    flat = path(0.8, days=5)
    pnl = np.zeros((5, 7))
    found = metrics.summarise(replace(flat, pnl=pnl), np.zeros(5))
    for name in ("sharpe", "sortino", "calmar", "hedge_effectiveness"):
        assert np.isnan(found[name])


def test_hourly_buckets_are_refused(path: Build) -> None:
    timed = path(0.8, days=48)
    hourly = replace(timed, ts_ms=timed.ts_ms[0] + 3_600_000 * np.arange(48))
    with pytest.raises(ValueError, match=r"row 1: 3600000 ms .* Bucket the simulation by day"):
        metrics.daily_returns(hourly)


def test_a_missing_day_is_refused_with_its_row(path: Build) -> None:
    timed = path(0.8, days=6)
    stamps = timed.ts_ms.copy()
    stamps[3:] += DAY_MS
    with pytest.raises(ValueError, match="row 3"):
        metrics.daily_returns(replace(timed, ts_ms=stamps))


def test_the_last_day_may_be_short(path: Build) -> None:
    timed = path(0.8, days=6)
    stamps = timed.ts_ms.copy()
    stamps[-1] -= 5 * 3_600_000
    assert metrics.daily_returns(replace(timed, ts_ms=stamps)).size == 6


@pytest.mark.parametrize("column", ["spot_open", "exposure_mean_eth"])
@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_a_day_without_price_or_exposure_is_refused(path: Build, column: str, value: float) -> None:
    timed = path(0.8, days=6)
    values = getattr(timed, column).copy()
    values[2] = value
    with pytest.raises(ValueError, match="row 2"):
        metrics.daily_returns(replace(timed, **{column: values}))


def test_two_windows_are_not_compared(path: Build) -> None:
    with pytest.raises(ValueError, match="one window"):
        metrics.summarise(path(0.8, days=10), metrics.daily_returns(path(0.0, days=9)))


def test_one_day_is_not_enough(path: Build) -> None:
    with pytest.raises(NotEnoughData, match=r"at least 2 days.*Next:"):
        metrics.summarise(path(0.8, days=1), metrics.daily_returns(path(0.0, days=1)))
