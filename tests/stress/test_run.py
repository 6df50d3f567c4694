"""Cases that hurt: who is liquidated, what is lost, and that a shock is what it says."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.decision.moment import Reason
from counterpoise.hedging import Situation
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.simulate import simulate, simulate_one
from counterpoise.stress.cases import (
    HISTORICAL,
    SHOCK_AT_H,
    SHOCK_DAYS,
    SHOCKS,
    Calm,
    Historical,
    calm_days,
)
from counterpoise.stress.run import (
    PEER,
    Case,
    Stress,
    forgotten,
    lead_hours,
    opened_once,
    outcome,
    run_cases,
)
from counterpoise.units import to_ms
from tests.random_timeline import random_timeline

HOURS = 24 * 60
START_MS = to_ms(datetime(2024, 5, 1, tzinfo=UTC))
SHOCK = {shock.name: shock for shock in SHOCKS}


def situation_of(settings: Settings, *, gaps: float = 0.0) -> Situation:
    """Sixty days from 2024-05-01 without any forecast: models fall back to the static ratio."""
    timeline = random_timeline(HOURS, seed=4, start_ms=START_MS, gap_share=gaps)
    unknown = np.full(HOURS, np.nan)
    names = dict.fromkeys(Forecasts.__dataclass_fields__, unknown)
    names.pop("folds")
    return Situation(timeline, Forecasts(**names), settings, one_way_cost=5e-4)


@pytest.fixture(scope="module")
def stressed() -> Stress:
    return run_cases(situation_of(Settings()))


@pytest.fixture(scope="module")
def calm() -> Calm:
    return calm_of(Settings())


def calm_of(settings: Settings) -> Calm:
    situation = situation_of(settings)
    lead = lead_hours(settings)
    first = calm_days(situation.timeline, SHOCK_DAYS + lead // 24)
    assert first is not None
    where = arena(situation.timeline, settings, first, first + lead + SHOCK_DAYS * 24 + 1)
    return Calm(where, lead + SHOCK_AT_H, situation.timeline, settings)


def case(found: Stress, name: str) -> Case:
    return next(one for one in found.cases if one.name == name)


def ratio(where: Arena, value: float) -> np.ndarray:
    return np.full(where.last, value)


def run(where: Arena, target: np.ndarray) -> SimulatedPath:
    situation = situation_of(Settings())
    whole = np.concatenate([target, np.full(HOURS - len(target), target[-1])])
    return simulate_one(where, situation.around(whole, 0.0))


def test_a_rally_kills_the_forgotten_short_and_no_other(stressed: Stress) -> None:
    rally = case(stressed, "rally_60").outcomes
    assert rally[PEER].liquidations == 1
    assert rally[PEER].min_margin_ratio < 0.01
    assert rally["full"].liquidations == 0
    assert rally["full"].min_margin_ratio > 0.1
    assert abs(rally["full"].loss) < 0.01
    # Who is liquidated on the way up is long from there on.
    assert rally[PEER].loss < rally["full"].loss - 0.1


def test_nothing_is_liquidated_at_the_default_settings(stressed: Stress) -> None:
    assert stressed.liquidations(peer=False) == 0
    assert stressed.liquidations(peer=True) > 0


def test_the_holder_of_a_full_hedge_loses_nothing_in_a_crash(stressed: Stress) -> None:
    crash = case(stressed, "gap_down_20").outcomes
    assert crash["unhedged"].loss - crash["full"].loss == pytest.approx(0.2, abs=0.1)
    assert np.isnan(crash["unhedged"].min_margin_ratio)
    assert crash["unhedged"].max_drawdown >= 0.2
    assert crash["full"].max_drawdown < 0.01


def test_days_the_lake_lacks_are_named_and_the_others_run(stressed: Stress) -> None:
    assert [one.name for one in stressed.cases] == ["rally_2024_05", *SHOCK]
    assert set(stressed.skipped) == {one.name for one in HISTORICAL} - {"rally_2024_05"}
    assert stressed.skipped["fall_2020_03"] == (
        "the lake holds 2024-05-01 00:00 to 2024-06-29 23:00, and the case needs "
        "2020-03-11 00:00 to 2020-03-13 00:00"
    )


def test_a_case_is_whole_days_and_begins_after_its_position(stressed: Stress) -> None:
    rally = case(stressed, "rally_2024_05")
    assert rally.opened_ms == to_ms(datetime(2024, 5, 19, tzinfo=UTC))
    assert rally.first_ms == to_ms(datetime(2024, 5, 20, tzinfo=UTC))
    assert rally.last_ms == to_ms(datetime(2024, 5, 24, tzinfo=UTC))
    assert Reason.FALLBACK in rally.reasons["volatility_timed"]
    assert Reason.FALLBACK not in rally.reasons["full"]


def test_hours_without_prices_are_no_case() -> None:
    found = run_cases(situation_of(Settings(), gaps=0.3))
    assert "hours have no price" in found.skipped["rally_2024_05"]
    assert "no whole days" in found.skipped["gap_up_20"]
    assert found.cases == ()


def test_a_slow_transfer_opens_the_position_earlier() -> None:
    assert lead_hours(Settings()) == 24
    assert lead_hours(Settings(capital={"transfer_h": 48})) == 72
    slow = run_cases(situation_of(Settings(capital={"transfer_h": 30})))
    assert case(slow, "rally_2024_05").outcomes[PEER].min_margin_ratio < 0.3
    assert case(slow, "rally_2024_05").opened_ms == to_ms(datetime(2024, 5, 18, tzinfo=UTC))


def test_the_peer_posts_a_fifth_once_and_never_again(calm: Calm) -> None:
    where = forgotten(calm.where)
    path = next(simulate(where, [opened_once(where, HOURS)]))
    first_price = where.market.perp[0, 0]
    assert path.short_eth[1:, 0] == pytest.approx(1_000.0)
    assert path.paid_in_usd == pytest.approx(1_000.0 * first_price / 5)
    assert path.traded_eth.sum() == pytest.approx(1_000.0)


def test_the_peer_opens_nothing_after_its_liquidation(calm: Calm) -> None:
    where = SHOCK["rally_60"].change(replace(calm, where=forgotten(calm.where)))
    path = next(simulate(where, [opened_once(where, HOURS)]))
    assert path.liquidations == 1
    dead = int(np.flatnonzero(path.pnl[:, 6])[0])
    assert not path.short_eth[dead:].any()
    assert path.traded_eth[dead:].sum() == 0.0


def test_loss_and_drawdown_count_from_the_first_hour(calm: Calm) -> None:
    path = run(calm.where, ratio(calm.where, 0.0))
    spot = calm.where.market.spot
    found = outcome(path, 24)
    assert found.loss == pytest.approx(1.0 - spot[-1] / spot[24])
    after = spot[24:]
    assert found.max_drawdown == pytest.approx(np.max(1.0 - after / np.maximum.accumulate(after)))


@pytest.mark.parametrize(("name", "factor"), [("gap_up_20", 1.2), ("gap_down_20", 0.8)])
def test_a_gap_happens_within_one_bar(calm: Calm, name: str, factor: float) -> None:
    before, after = calm.where.market, SHOCK[name].change(calm).market
    for field in ("spot", "perp", "funding_mark"):
        old, new = getattr(before, field), getattr(after, field)
        assert np.array_equal(new[: calm.at], old[: calm.at], equal_nan=True)
        assert np.allclose(new[calm.at :], factor * old[calm.at :], equal_nan=True)
    # A short is marked at least where the bar opened and closed.
    assert after.mark_high[calm.at, 0] >= after.perp[calm.at - 1 : calm.at + 1, 0].max()
    assert (after.mark_high >= after.perp)[np.isfinite(after.mark_high)].all()


def test_a_rally_takes_two_days(calm: Calm) -> None:
    grown = SHOCK["rally_60"].change(calm).market.spot / calm.where.market.spot
    assert grown[calm.at - 1] == 1.0
    assert grown[calm.at + 23] == pytest.approx(np.sqrt(1.6))
    assert grown[calm.at + 47 :] == pytest.approx(1.6)


def test_a_perpetual_below_spot_comes_back(calm: Calm) -> None:
    after = SHOCK["basis_down_5"].change(calm)
    below = after.market.perp[:, 0] / calm.where.market.perp[:, 0]
    assert np.array_equal(after.market.spot, calm.where.market.spot)
    assert below[calm.at : calm.at + 24] == pytest.approx(0.95)
    assert below[[calm.at - 1, calm.at + 24]] == pytest.approx(1.0)
    calm_pnl, shocked = (run(one, ratio(one, 1.0)).pnl for one in (calm.where, after))
    assert shocked[:, 1].sum() == pytest.approx(calm_pnl[:, 1].sum(), abs=1.0)
    assert shocked[calm.at, 1] > calm_pnl[calm.at, 1]


def test_funding_at_the_cap_costs_nine_settlements(calm: Calm) -> None:
    after = SHOCK["funding_cap"].change(calm)
    changed = after.market.funding_settled[:, 0] != calm.where.market.funding_settled[:, 0]
    changed &= np.isfinite(after.market.funding_settled[:, 0])
    assert np.count_nonzero(changed) == 9
    assert after.market.funding_settled[changed, 0] == pytest.approx(-0.75 * 0.005)
    path = run(after, ratio(after, 1.0))
    notional = 1_000.0 * after.market.perp[changed, 0]
    assert path.pnl[changed, 2] == pytest.approx(-0.75 * 0.005 * notional)
    # The guard expects what was settled to go on.
    assert after.watch.cost[calm.at + 71, 0] == pytest.approx(0.75 * 0.005 / 8 * 168)


def test_a_venue_that_is_down_delays_orders(calm: Calm) -> None:
    # Without the wait for margin, so that only the venue delays.
    quick = replace(calm.where, account=calm.where.account._replace(transfer_ticks=0))
    where = SHOCK["venue_down"].change(replace(calm, where=quick))
    closed = np.flatnonzero(~where.watch.is_open)
    assert list(closed) == list(range(calm.at + 9, calm.at + 15))
    moved = np.diff(np.log(where.market.spot / calm.where.market.spot))
    assert np.exp(moved.sum()) == pytest.approx(1.15)
    assert moved[closed - 1].min() > 2 * np.delete(moved, closed - 1).max()
    target = ratio(where, 0.5)
    target[where.first + closed[0] :] = 0.51
    path = run(where, target)
    assert not path.traded_eth[closed].any()
    assert np.all(path.reasons[closed] & int(Reason.CLOSED))
    assert path.traded_eth[closed[-1] + 1] == pytest.approx(10.0)
    at_once = run(replace(where, watch=calm.where.watch), target)
    assert at_once.traded_eth[closed[0]] == pytest.approx(10.0)


def test_a_doubled_haircut_counts_the_same_coins_for_less() -> None:
    calm = calm_of(Settings(capital={"collateral": "eth"}))
    after = SHOCK["haircut_double"].change(calm)
    single, double = (run(one, ratio(one, 1.0)) for one in (calm.where, after))
    until = slice(0, calm.at)
    assert double.posted_eth[until] == pytest.approx(single.posted_eth[until], rel=1e-3)
    counted = double.collateral_usd[calm.at - 1, 0] / single.collateral_usd[calm.at - 1, 0]
    assert counted == pytest.approx(0.8 / 0.9, abs=0.02)
    assert after.watch.leverage[calm.at] == calm.where.watch.leverage[calm.at]


def test_the_calmest_days_are_chosen() -> None:
    timeline = random_timeline(24 * 20, seed=1)
    spot = timeline.spot.close.copy()
    spot[24 * 7 : 24 * 10 + 1] = 200.0
    quiet = replace(timeline, spot=replace(timeline.spot, close=spot))
    assert calm_days(quiet, 3) == 24 * 7
    spot[24 * 8] = np.nan
    assert calm_days(quiet, 3) != 24 * 7
    assert calm_days(timeline, 30) is None


def test_cases_are_in_order_and_named_once() -> None:
    names = [one.name for one in (*HISTORICAL, *SHOCKS)]
    assert len(set(names)) == len(names)
    assert all(one.first <= one.last for one in HISTORICAL)
    assert HISTORICAL[0] == Historical(
        "rally_2021_01", "first above 1,000", "rally", date(2021, 1, 2), date(2021, 1, 4)
    )
