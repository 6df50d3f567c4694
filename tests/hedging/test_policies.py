"""Every policy: its intent is a band, it sees no future, and it does what its name says."""

from dataclasses import fields, replace

import numpy as np
import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.hedging import Situation, policies
from counterpoise.hedging.confidence_formula import target_variance_per_year
from counterpoise.hedging.manual import usd_notional_ratio
from counterpoise.hedging.volatility_rule import reference_volatility
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import DAY_MS, from_ms
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost, order_cost
from tests.random_timeline import cut, random_timeline

HOURS = 24 * 200


def random_forecasts(hours: int, ts_ms: np.ndarray, seed: int = 0) -> Forecasts:
    """Forecasts that carry no information, with a hole and an unknown beginning."""
    rng = np.random.default_rng(seed)

    def holed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[:500] = np.nan
        values[2_000:2_060] = np.nan
        return values

    volatility = 0.6 * np.exp(0.3 * rng.normal(size=hours))
    share = rng.uniform(0.2, 0.8, hours)
    given = {
        field.name: holed(volatility if "vol" in field.name or "rv" in field.name else share)
        for field in fields(Forecasts)
        if field.name not in ("ts_ms", "folds")
    }
    given["rho"] = holed(rng.uniform(-0.5, 0.6, hours))
    return Forecasts(ts_ms=ts_ms, **given)


def random_situation(gap_share: float) -> Situation:
    """A market and forecasts without information."""
    timeline = random_timeline(HOURS, gap_share=gap_share)
    return Situation(
        timeline, random_forecasts(HOURS, timeline.ts_ms), load_settings(), one_way_cost=3.75e-4
    )


@pytest.fixture(scope="module")
def situation() -> Situation:
    """With gaps."""
    return random_situation(0.01)


@pytest.fixture(scope="module")
def whole() -> Situation:
    """Without gaps: a missing midnight bar would move a decision to the hour after it."""
    return random_situation(0.0)


def shortened(situation: Situation, hours: int) -> Situation:
    """The same situation as it was known after ``hours``."""
    forecasts = situation.forecasts
    held = {
        field.name: getattr(forecasts, field.name)[:hours]
        for field in fields(Forecasts)
        if field.name != "folds"
    }
    return replace(situation, timeline=cut(situation.timeline, hours), forecasts=Forecasts(**held))


@pytest.mark.parametrize("name", list(policies))
def test_an_intent_is_a_band_inside_the_cap(name: str, situation: Situation) -> None:
    intent = policies[name].build(situation)
    known = np.isfinite(intent.lo)
    assert known.any()
    for part in (intent.lo, intent.hi, intent.to_lo, intent.to_hi):
        assert (part[known] >= 0).all()
        assert (part[known] <= situation.settings.hedge.max_ratio).all()
    np.testing.assert_allclose(intent.weights.sum(axis=1), 1.0)


@pytest.mark.parametrize("name", list(policies))
@pytest.mark.parametrize("hours", [2_500, 4_321])
def test_a_policy_sees_no_future(name: str, hours: int, situation: Situation) -> None:
    whole = policies[name].build(situation)
    part = policies[name].build(shortened(situation, hours))
    for column in ("lo", "hi", "to_lo", "to_hi", "urgency", "target"):
        assert getattr(whole, column)[:hours].tobytes() == getattr(part, column).tobytes(), column


@pytest.mark.parametrize(("name", "ratio"), [("unhedged", 0.0), ("full", 1.0), ("static_eth", 0.8)])
def test_static_policies_ask_for_one_ratio_for_ever(
    name: str, ratio: float, situation: Situation
) -> None:
    intent = policies[name].build(situation)
    assert set(intent.lo) == set(intent.hi) == {ratio}


@pytest.mark.parametrize(
    "name", ["formula_literal", "formula_bearish", "volatility_timed", "manual_vol_7d"]
)
def test_a_missing_signal_is_an_unknown_intent_not_a_zero(name: str, situation: Situation) -> None:
    intent = policies[name].build(situation)
    assert np.isnan(intent.lo[:500]).all()
    assert np.isnan(intent.lo[2_016:2_040]).all()


def test_a_usd_hedge_covers_fewer_coins_as_the_price_rises(situation: Situation) -> None:
    ratio = usd_notional_ratio(situation, 0.8)
    spot = situation.timeline.spot.close
    months = np.array([from_ms(int(ts)).month for ts in situation.timeline.ts_ms])
    for month in range(2, 6):
        rows = np.flatnonzero((months == month) & np.isfinite(spot))
        notional = ratio[rows] * spot[rows]
        np.testing.assert_allclose(notional, 0.8 * spot[rows[0]])


def test_calendar_changes_its_mind_only_on_mondays_at_midnight(whole: Situation) -> None:
    intent = policies["calendar"].build(whole)
    changed = np.flatnonzero(np.diff(intent.lo) != 0) + 1
    moments = [from_ms(int(whole.timeline.ts_ms[row])) for row in changed]
    assert {(moment.weekday(), moment.hour) for moment in moments} == {(0, 0)}
    assert len(moments) >= HOURS // 24 // 7 - 2


def test_daily_rules_change_their_mind_only_at_midnight(whole: Situation) -> None:
    for name in ("static_usd", "volatility_timed", "manual_vol_24h"):
        intent = policies[name].build(whole)
        known = np.isfinite(intent.lo[1:]) & np.isfinite(intent.lo[:-1])
        changed = np.flatnonzero(known & (np.diff(intent.lo) != 0)) + 1
        hours = {from_ms(int(whole.timeline.ts_ms[row])).hour for row in changed}
        assert hours <= {0}, name


def test_every_manual_rule_hedges_from_the_first_hour(situation: Situation) -> None:
    for name in ("static_eth", "static_usd", "calendar", "threshold"):
        intent = policies[name].build(situation)
        assert (intent.lo[24 * 9 :] > 0).all() or np.nanmin(intent.lo[24 * 9 :]) > 0, name


def test_minimum_variance_goes_to_its_estimate_not_to_the_edge(situation: Situation) -> None:
    intent = policies["minimum_variance"].build(situation)
    known = np.isfinite(intent.target)
    capped = np.clip(intent.target[known], 0, 1)
    np.testing.assert_array_equal(intent.to_lo[known], capped)


def test_more_expected_volatility_leaves_less_unhedged(situation: Situation) -> None:
    forecasts = situation.forecasts
    calm = policies["volatility_timed"].build(situation)
    doubled = forecasts.vol_24h.copy()
    doubled[3_000:] *= 2  # from a midnight on
    wild = policies["volatility_timed"].build(
        replace(situation, forecasts=replace(forecasts, vol_24h=doubled))
    )
    known = np.isfinite(calm.lo[3_000:3_100])
    assert (wild.lo[3_000:3_100][known] >= calm.lo[3_000:3_100][known]).all()
    assert wild.lo[3_000:3_100][known].mean() > calm.lo[3_000:3_100][known].mean() + 0.05


def test_reference_volatility_is_the_median_of_the_days_so_far() -> None:
    days = np.repeat([10, 11, 12], 3)
    daily = np.repeat([0.5, np.nan, 0.9], 3)
    np.testing.assert_allclose(reference_volatility(daily, days), [0.5] * 3 + [0.5] * 3 + [0.7] * 3)


def test_the_registered_rule_leaves_fifteen_percent_open_at_usual_volatility(
    situation: Situation,
) -> None:
    """0.15·σ_ref/σ for β = 0.8, SCIENCE §3."""
    constant = replace(situation.forecasts, vol_24h=np.full(HOURS, 0.6))
    intent = policies["volatility_timed"].build(replace(situation, forecasts=constant))
    np.testing.assert_allclose(intent.target, 0.85)
    np.testing.assert_allclose(intent.lo, 0.80)
    np.testing.assert_allclose(intent.hi, 0.90)


def test_an_order_costs_fee_spread_and_the_square_root_of_its_share_of_volume() -> None:
    costs, contract = Settings().costs, contract_at("binance", 365 * 55 * DAY_MS)

    def per_dollar(size: float) -> float:
        usd = order_cost(
            size, 2_000, costs=costs, contract=contract, sigma_day=0.04, volume_day_eth=1e6
        )
        return usd / size / 2_000 - one_way_cost(costs, contract)

    assert per_dollar(10_000) == pytest.approx(0.7 * 0.04 * 0.1)
    assert per_dollar(40_000) == pytest.approx(2 * per_dollar(10_000))


def test_target_variance_is_the_mean_square_of_daily_changes() -> None:
    rng = np.random.default_rng(4)
    target = rng.uniform(0, 1, 24 * 80)
    found = target_variance_per_year(target)
    changes = (target[24:] - target[:-24])[-24 * 30 :]
    assert found[-1] == pytest.approx(np.mean(changes**2) * 365)


def test_the_formulas_band_narrows_as_trading_gets_cheaper(situation: Situation) -> None:
    def width(cost: float) -> float:
        intent = policies["formula_literal"].build(replace(situation, one_way_cost=cost))
        return float(np.nanmean(intent.hi - intent.lo))

    assert width(1e-5) < width(1e-4) < width(1e-3)


def test_one_way_cost_is_fee_plus_half_spread() -> None:
    costs = Settings().costs
    assert one_way_cost(costs, contract_at("binance", 365 * 50 * DAY_MS)) == pytest.approx(
        0.5 * 5e-4 + 0.5 * 2e-4 + 0.5 * 0.5e-4
    )
