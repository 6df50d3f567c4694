"""Rules of the settings by the hour: event windows, expected funding, caps against floors."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.decision.limits import (
    alive_ratio,
    event_windows,
    funding_cost,
    guard_rules,
    leverage_path,
    refuse_caps_below_floors,
)
from counterpoise.decision.moment import Reason
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Intent
from counterpoise.market.timeline import Timeline
from counterpoise.risk.guard_rules import NO_GUARD
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import arena
from counterpoise.simulation.simulate import simulate
from counterpoise.venues import contract_at
from tests.random_timeline import START_MS, random_timeline

HOURS, FIRST = 24 * 30, 24 * 10
UPGRADE, STATEMENT = FIRST + 100, FIRST + 130


def planted() -> Timeline:
    """A month with an upgrade that was announced 60 hours ahead, and a statement known for ever."""
    tick = np.arange(HOURS)
    far = np.full(HOURS, np.inf)

    def clock(at: int, announced: int) -> tuple[np.ndarray, np.ndarray]:
        ahead = np.where((tick >= announced) & (tick < at), at - tick, np.inf)
        return ahead, np.where(tick >= at, tick - at, np.inf)

    upgrade, statement = clock(UPGRADE, UPGRADE - 60), clock(STATEMENT, 0)
    events = {
        "hours_to_upgrade": upgrade[0],
        "hours_since_upgrade": upgrade[1],
        "hours_to_regulatory": far,
        "hours_since_regulatory": far,
        "hours_to_macro": statement[0],
        "hours_since_macro": statement[1],
    }
    return replace(random_timeline(HOURS, seed=3), events=events)


def rules(**events: dict[str, object]) -> Settings:
    return Settings(risk={"events": events})


UPGRADES = {"hedge_floor": 0.9, "leverage_cap": 2.0, "before_h": 100, "after_h": 12}
STATEMENTS = {"hedge_floor": 0.7, "new_orders": "none", "before_h": 24, "after_h": 6}


def test_a_window_begins_with_the_announcement_and_holds_both_its_edges() -> None:
    windows = event_windows(planted(), rules(network_upgrade=UPGRADES))
    inside = np.flatnonzero(windows.floor)
    assert (inside[0], inside[-1]) == (UPGRADE - 60, UPGRADE + 12)
    assert len(inside) == 73
    assert set(windows.floor[inside]) == {0.9}
    assert set(windows.kind[inside]) == {0.0}
    assert (windows.leverage_cap[inside] == 2.0).all()
    assert np.isinf(np.delete(windows.leverage_cap, inside)).all()
    assert np.isnan(np.delete(windows.kind, inside)).all()
    assert not windows.quiet.any()


def test_where_windows_meet_the_strictest_of_each_rule_counts() -> None:
    windows = event_windows(planted(), rules(network_upgrade=UPGRADES, macro=STATEMENTS))
    both = slice(STATEMENT - 24, UPGRADE + 13)
    assert (windows.floor[both] == 0.9).all()
    assert (windows.kind[both] == 0.0).all()
    assert windows.quiet[both].all()
    alone = slice(UPGRADE + 13, STATEMENT + 7)
    assert (windows.floor[alone] == 0.7).all()
    assert (windows.kind[alone] == 2.0).all()
    assert np.flatnonzero(windows.quiet).tolist() == list(range(STATEMENT - 24, STATEMENT + 7))


def test_a_rule_without_a_calendar_is_refused_and_no_rule_needs_none() -> None:
    bare = random_timeline(HOURS, seed=3)
    with pytest.raises(NotEnoughData, match=r"risk\.events\.macro is set.*data fetch events"):
        event_windows(bare, rules(macro=STATEMENTS))
    assert not event_windows(bare, Settings()).floor.any()
    # Other edges alone ask for nothing.
    assert not event_windows(bare, rules(macro={"before_h": 48})).quiet.any()


def run(settings: Settings, ratio: np.ndarray) -> SimulatedPath:
    where = arena(planted(), settings, FIRST, HOURS)
    (path,) = simulate(where, [Intent.around(ratio, 0.0, venues=1, cap=1.0)])
    return path


def test_an_event_raises_the_hedge_in_its_window_and_lets_go_after_it() -> None:
    path = run(rules(network_upgrade=UPGRADES), np.full(HOURS, 0.5))
    first, last = UPGRADE - 60 - FIRST, UPGRADE + 12 - FIRST
    assert path.ratio[first - 1] == pytest.approx(0.5)
    # Margin for the rest of it takes an hour.
    assert path.ratio[first + 1 : last + 1] == pytest.approx(0.9)
    assert path.ratio[last + 1] == pytest.approx(0.5)
    assert path.reasons[first] & int(Reason.EVENT)
    assert not path.reasons[last + 1] & int(Reason.EVENT)


def test_in_a_quiet_window_only_the_guard_moves_the_hedge() -> None:
    ratio = np.full(HOURS, 0.5)
    ratio[STATEMENT - 10 :] = 0.95
    quiet = run(rules(macro={"new_orders": "none", "after_h": 6}), ratio)
    until = STATEMENT + 6 - FIRST
    assert quiet.ratio[until] == pytest.approx(0.5)
    assert quiet.reasons[until] & int(Reason.WAIT)
    assert quiet.ratio[until + 2] == pytest.approx(0.95)
    floor = run(rules(macro={**STATEMENTS, "hedge_floor": 0.8}), ratio)
    assert floor.ratio[until] == pytest.approx(0.8)


def test_an_event_caps_the_leverage_and_margin_is_posted_for_it() -> None:
    settings = rules(network_upgrade=UPGRADES)
    path = run(settings, np.full(HOURS, 0.9))
    where = arena(planted(), settings, FIRST, HOURS)
    inside = where.watch.leverage_max == 2.0
    assert inside.sum() == 73
    assert where.watch.leverage[inside] == pytest.approx(2.0 * 2.0 / 3.0)
    leverage = path.short_eth[:, 0] * where.market.perp[:, 0] / path.collateral_usd[:, 0]
    settled = np.flatnonzero(inside)[2:]
    assert leverage[settled].max() <= 2.0 * 1.1


def test_the_expected_cost_is_the_mean_of_the_last_two_rates_as_known() -> None:
    timeline = random_timeline(HOURS, seed=3)
    cost = funding_cost(timeline, 24)
    settled = np.flatnonzero(np.isfinite(timeline.funding_settled[:, 0]))
    rates = timeline.funding_settled[settled, 0]
    assert np.isnan(cost[: settled[1], 0]).all()
    for place in (1, 7, len(settled) - 1):
        expected = -(rates[place] + rates[place - 1]) / 2 * 24 / 8
        assert cost[settled[place], 0] == pytest.approx(expected)
    cut = 300
    shorter = replace(
        timeline,
        funding_settled=np.where(np.arange(HOURS)[:, None] < cut, timeline.funding_settled, np.nan),
    )
    np.testing.assert_array_equal(funding_cost(shorter, 24)[:cut], cost[:cut])
    # A feed that fell silent says nothing after a day.
    last = settled[settled < cut][-1]
    assert np.isfinite(funding_cost(shorter, 24)[last + 24, 0])
    assert np.isnan(funding_cost(shorter, 24)[last + 25 :, 0]).all()


def test_a_span_without_a_perpetual_price_is_named() -> None:
    timeline = random_timeline(HOURS, seed=3)
    later = np.arange(HOURS)[:, None] >= FIRST
    perp = replace(timeline.perp, close=np.where(later, np.nan, timeline.perp.close))
    with pytest.raises(NotEnoughData, match="binance has no perpetual price from 2020-01-11"):
        arena(replace(timeline, perp=perp), Settings(), FIRST, HOURS)


def test_a_guard_without_a_rule_is_off() -> None:
    assert guard_rules(Settings()) == NO_GUARD
    on = guard_rules(Settings(risk={"stops": {"short": {"distance": 0.2, "action": "flatten"}}}))
    assert on.active
    assert on.stop_distance[2] == 0.2
    assert on.stop_ratio == (1.0, 1.0, 0.0, 1.0)
    assert guard_rules(rules(macro=STATEMENTS)).active
    assert not guard_rules(rules(macro={"new_orders": "none"})).active


def test_a_short_is_cut_above_the_maintenance_of_its_tier() -> None:
    contract = contract_at("binance", START_MS)
    assert alive_ratio(Settings(), [contract], 1e6) == 0.05
    # 300 million: the tier of 10 % less 9,506,450: 6.83 %, twice that.
    assert alive_ratio(Settings(), [contract], 3e8) == pytest.approx(2 * (0.1 - 9_506_450 / 3e8))
    assert alive_ratio(Settings(risk={"keep_alive": 0.0}), [contract], 3e8) == 0.0
    tight = Settings(capital={"leverage": 9.0, "leverage_max": 10.0})
    assert alive_ratio(tight, [contract], 3e8) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("risk", "keys"),
    [
        (
            {"drawdown": {"limit": 0.2}, "orders": {"total_usd": 1e6}},
            ("risk.orders.total_usd", "risk.drawdown.limit"),
        ),
        (
            {"profit_lock": {"step": 0.1}, "orders": {"venue_usd": 1e6}},
            ("risk.orders.venue_usd", "risk.profit_lock.step"),
        ),
        (
            {"events": {"macro": {"hedge_floor": 0.9}}, "orders": {"venue_usd": 1e6}},
            ("risk.orders.venue_usd", "risk.events.macro.hedge_floor"),
        ),
    ],
)
def test_a_cap_under_which_a_floor_cannot_be_reached_is_refused(
    risk: dict, keys: tuple[str, str]
) -> None:
    with pytest.raises(FixConfig) as refused:
        refuse_caps_below_floors(Settings(risk=risk), 2e6)
    for key in keys:
        assert f"{key} = " in str(refused.value)
    refuse_caps_below_floors(Settings(risk=risk), 1e6)


def test_dynamic_leverage_stays_in_its_range_and_is_careful_where_nothing_is_known() -> None:
    hours = 24 * 200
    timeline = random_timeline(hours, seed=5)
    settings = Settings(
        capital={
            "leverage_mode": "dynamic",
            "leverage_min": 2.0,
            "leverage_max": 12.0,
            "transfer_h": 12,
        }
    )
    contract = contract_at("binance", START_MS)
    exposure = np.full(hours, 1_000.0)
    after, asks = leverage_path(timeline, settings, [contract], exposure)
    assert (after[:2_000] == 2.0).all()
    assert (asks[:2_000] == 2.5).all()
    assert ((after >= 2.0) & (after < asks) & (asks <= 12.0)).all()
    assert np.unique(asks[4_000:]).size > 100
    half = leverage_path(random_timeline(hours, seed=5), settings, [contract], exposure * 0.5)
    assert (half[1] >= asks).all()
