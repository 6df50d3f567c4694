"""A drawdown limit breaks by what it cannot know, and each time the reason is named."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.config import Settings
from counterpoise.decision.moment import CHAIN
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Intent, Situation
from counterpoise.risk.guard_rules import GuardRules
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.arrays import CostRules
from counterpoise.simulation.simulate import simulate_one
from counterpoise.stress.breaches import PARTS, Breach, breaches_of, could_breach, needed
from counterpoise.stress.paths import (
    BLOCK_H,
    JUMPS_PER_YEAR,
    PATH_H,
    SOURCES,
    explained,
    hours_of,
    made_up,
    prove,
    rules_tried,
    whole_history,
)
from tests.random_timeline import random_timeline

HOURS = 24 * 12
BEFORE = 60
RULES = rules_tried(gap=0.15, reserve=0.01, rerisk_h=168.0)
FREE = CostRules(0.0, 0.0, 0.0, 0.0, 0.0)


def market(steps: Sequence[float], *, transfer_h: int = 0, free: bool = True) -> Arena:
    """An hour flat, then these returns of spot and perpetual alike, then ten hours flat."""
    settings = Settings(capital={"transfer_h": transfer_h, "transfer_usd": 0.0})
    ticks = len(steps) + 12
    where = arena(random_timeline(HOURS, seed=2), settings, BEFORE, BEFORE + ticks)
    moves = np.concatenate([[0.0, 0.0], steps, np.zeros(10)])
    spot = 2_000.0 * np.cumprod(1.0 + moves)
    there = where.market._replace(
        spot=spot,
        perp=spot[:, None].copy(),
        mark_high=spot[:, None].copy(),
        funding_settled=np.full((ticks, 1), np.nan),
    )
    venue = where.venue
    if free:
        none = np.zeros_like(venue.maker_fee)
        where = replace(where, costs=FREE, venue=venue._replace(maker_fee=none, taker_fee=none))
    return replace(where, first=0, last=ticks, market=there)


def run(where: Arena, rules: GuardRules, target: float | np.ndarray = 0.0) -> SimulatedPath:
    ticks = where.last
    intent = Intent.around(np.full(ticks, 1.0) * target, 0.0, venues=1, cap=1.0)
    return simulate_one(replace(where, guard=rules), intent)


def found(where: Arena, name: str, target: float | np.ndarray = 0.0) -> list[Breach]:
    return breaches_of(run(where, RULES[name], target), RULES[name], near=1e-6)


def test_a_fall_beyond_the_gap_breaks_the_limit_and_is_called_a_gap() -> None:
    (one,) = found(market([-0.30]), "drawdown_20")
    assert one.cause == "gap"
    assert one.step.fall == pytest.approx(0.30)
    # 20 % of the peak could be lost, and at the peak nothing was hedged.
    assert one.spare == pytest.approx(0.20)
    assert one.step.ratio == 0.0
    assert one.of_peak == pytest.approx(0.10)
    assert one.parts["gap"] == pytest.approx(-0.30)
    assert sum(abs(one.parts[name]) for name in PARTS if name != "gap") < 1e-9


def test_after_a_gap_the_hedge_is_full_and_price_costs_nothing_more() -> None:
    (one,) = found(market([-0.30, -0.10, 0.10, -0.20]), "drawdown_20")
    assert one.parts["later_delta"] == pytest.approx(0.0, abs=1e-9)
    assert one.short_h == 0


@pytest.mark.parametrize("name", ["drawdown_10", "drawdown_20", "drawdown_30"])
@pytest.mark.parametrize("step", [0.01, 0.05, 0.10, 0.149])
def test_without_a_gap_there_is_no_breach(name: str, step: float) -> None:
    path = run(market([-step] * 30), RULES[name])
    assert not could_breach(path)
    assert path.spot[-1] < 0.8 * path.spot[0]


@given(st.lists(st.floats(-0.149, 0.0), min_size=1, max_size=30))
def test_no_sequence_of_falls_within_the_gap_breaks_a_limit(steps: list[float]) -> None:
    where = market(steps)
    for name in ("drawdown_10", "drawdown_20", "drawdown_30"):
        assert found(where, name) == []


def test_margin_on_its_way_is_named_where_it_cost_the_limit() -> None:
    falls = [-0.10, -0.14]
    assert found(market(falls), "drawdown_20") == []
    # Margin for the floor of the next gap is there; what the one after asks for comes too late.
    assert found(market(falls, transfer_h=1), "drawdown_20") == []
    (one,) = found(market(falls, transfer_h=5), "drawdown_20")
    assert one.cause == "on_its_way"
    assert one.step.ratio < one.step.floor
    assert one.step.floor >= one.step.needed
    assert one.step.fall == pytest.approx(0.14)


def test_a_closed_venue_is_named_where_it_cost_the_limit() -> None:
    where = market([-0.13, -0.13, -0.13])
    is_open = where.watch.is_open.copy()
    is_open[3] = False
    closed = replace(where, watch=where.watch._replace(is_open=is_open))
    assert found(where, "drawdown_30") == []
    (one,) = found(closed, "drawdown_30")
    # Two bars passed between two decisions: for the guard that is one fall.
    assert one.cause == "gap"
    assert one.step.fall == pytest.approx(1.0 - 0.87**2)


def test_an_order_limit_is_named_where_it_cost_the_limit() -> None:
    where = market([-0.10, -0.14])
    tight = replace(where, limits=where.limits._replace(order_usd=10_000.0))
    assert found(where, "drawdown_20") == []
    (one,) = found(tight, "drawdown_20")
    assert one.cause == "held_back"


def test_a_budget_is_named_where_it_cost_the_limit() -> None:
    where = market([-0.10, -0.14])
    poor = replace(where, account=where.account._replace(budget_usd=20_000.0))
    (one,) = found(poor, "drawdown_20")
    assert one.cause == "unfunded"


def test_costs_beyond_the_reserve_are_named() -> None:
    where = market([-0.149] * 3)
    perp = where.market.perp.copy()
    perp[-3:] *= 1.04  # the full hedge loses on its basis
    dear = replace(where, market=where.market._replace(perp=perp, mark_high=perp))
    assert found(where, "drawdown_20") == []
    (one,) = found(dear, "drawdown_20")
    assert one.cause == "costs"
    assert one.parts["basis"] == pytest.approx(-0.04 * 0.851**3, abs=1e-6)


def test_coins_worth_more_than_equity_do_not_break_the_limit_within_the_gap() -> None:
    """After a short that lost, the coins are worth twice the equity, and so is their fall."""
    rises = [0.1] * 8
    where = market([*rises, 0.0, -0.14])
    target = np.zeros(where.last)
    target[: len(rises) + 2] = 1.0
    path = run(where, RULES["drawdown_10"], target)
    before = len(rises) + 2
    assert path.spot[before] > 2.0 * path.chain[before, CHAIN.index("guarded_usd")] / 1_000.0
    assert path.ratio[before] < 0.9
    assert not could_breach(path)


def test_parts_add_up_to_what_equity_lost() -> None:
    where = market([-0.05, -0.30, -0.05, -0.05], transfer_h=1, free=False)
    path = run(where, RULES["drawdown_20"])
    (one,) = breaches_of(path, RULES["drawdown_20"], near=1e-6)
    assert one.parts["unexplained"] == pytest.approx(0.0, abs=1e-9)
    assert sum(one.parts.values()) == pytest.approx(-one.of_peak - one.spare, abs=1e-9)
    assert one.parts["trading"] < 0.0


def test_each_cushion_is_looked_at_for_itself() -> None:
    quick = RULES["drawdown_20"]._replace(rerisk_h=6.0)
    where = market([-0.30, *[0.0] * 12, -0.30])
    breaches = breaches_of(run(where, quick), quick, near=1e-6)
    assert [one.cause for one in breaches] == ["gap", "gap"]
    assert breaches[1].of_peak == pytest.approx(0.10, abs=0.01)


@given(
    equity=st.floats(1.0, 1e9),
    share=st.floats(0.5, 1.0),
    worth=st.floats(0.3, 3.0),
    gap=st.floats(0.05, 0.5),
    reserve=st.floats(0.0, 0.05),
)
def test_what_is_needed_survives_the_gap(
    equity: float, share: float, worth: float, gap: float, reserve: float
) -> None:
    rules = RULES["drawdown_10"]._replace(gap=gap, reserve=reserve)
    coins = equity * worth
    ratio = needed(rules, equity, share * equity, coins, 1.0)
    assert 0.0 <= ratio <= 1.0
    left = equity * (1.0 - reserve) - (1.0 - ratio) * gap * coins
    assert left >= share * equity * (1.0 - 1e-9) or ratio == 1.0


def test_made_up_hours_are_history_in_blocks() -> None:
    where = arena(random_timeline(24 * 100, seed=3), Settings(), 60, 24 * 100)
    hours = hours_of(where.market)
    path = made_up(hours, np.random.default_rng(1), spot=1_000.0, exposure_eth=5.0, jumps=False)
    moved = np.diff(np.log(path.spot))
    place = np.array([int(np.argmin(np.abs(hours.moved - step))) for step in moved])
    assert np.abs(hours.moved[place] - moved).max() < 1e-12
    in_block = np.diff(place) == 1
    assert np.mean(in_block) == pytest.approx(1.0 - 1.0 / BLOCK_H, abs=0.02)
    assert path.perp[1:, 0] / path.spot[1:] == pytest.approx(hours.basis[place, 0])
    funding = path.funding_settled[1:, 0]
    assert np.array_equal(funding, hours.funding[place, 0], equal_nan=True)
    assert (path.mark_high[1:] >= path.perp[:-1]).all()


def test_jumps_come_as_often_as_stated() -> None:
    where = arena(random_timeline(24 * 100, seed=3), Settings(), 60, 24 * 100)
    hours = hours_of(where.market)
    count, sizes = 0, []
    for seed in range(300):
        made = [
            made_up(hours, np.random.default_rng(seed), spot=1.0, exposure_eth=1.0, jumps=jumps)
            for jumps in (False, True)
        ]
        apart = np.diff(np.log(made[1].spot)) - np.diff(np.log(made[0].spot))
        sizes += list(apart[np.abs(apart) > 1e-9])
        count += np.count_nonzero(np.abs(apart) > 1e-9)
    assert count / 300 == pytest.approx(JUMPS_PER_YEAR * PATH_H / 8_760, rel=0.25)
    assert np.mean(sizes) == pytest.approx(-0.10, abs=0.03)
    assert np.std(sizes) == pytest.approx(0.10, abs=0.03)


def proof_situation(settings: Settings) -> Situation:
    timeline = random_timeline(24 * 100, seed=3)
    unknown = np.full(24 * 100, np.nan)
    names = dict.fromkeys(Forecasts.__dataclass_fields__, unknown)
    names.pop("folds")
    return Situation(timeline, Forecasts(**names), settings, 5e-4)


def test_every_rule_meets_every_source_and_the_same_paths() -> None:
    told: list[tuple[str, int, int]] = []
    situation = proof_situation(Settings())
    proof = prove(situation, 120, lambda *said: told.append(said))
    again = prove(situation, 120)
    assert set(proof.tallies) == {
        (rule, hours, source) for rule in RULES for hours in (1, 0) for source in SOURCES
    }
    assert told[-1] == ("drawdown paths", 3, 3)
    for key, tally in proof.tallies.items():
        assert tally.paths == {"history": 1, "bootstrap": 60, "jumps": 60}[key[2]]
        assert tally.breaches >= tally.broken
        assert tally.causes == again.tallies[key].causes
        assert tally.worst == again.tallies[key].worst
        if tally.worst is not None and key[0] == "drawdown_20":
            assert tally.drawdown >= 0.2 + tally.worst.of_peak - 1e-9
    jumped = proof.tallies["drawdown_20", 0, "jumps"]
    assert jumped.causes["gap"] > 0
    assert jumped.causes["unexplained"] == 0


def test_transfers_that_take_no_time_are_tried_once() -> None:
    proof = prove(proof_situation(Settings(capital={"transfer_h": 0})), 2)
    assert proof.transfer_h == (0,)


def test_less_than_a_full_hedge_keeps_no_limit() -> None:
    with pytest.raises(FixConfig, match=r"hedge\.max_ratio = 0\.9"):
        prove(proof_situation(Settings(hedge={"max_ratio": 0.9})), 2)


def test_a_lake_without_a_day_proves_nothing() -> None:
    timeline = random_timeline(40, seed=3)
    situation = replace(proof_situation(Settings()), timeline=timeline)
    with pytest.raises(NotEnoughData, match="no hour of the lake"):
        whole_history(situation)


def test_limits_of_orders_stay_in_force() -> None:
    where = market([-0.10, -0.14])
    tight = replace(where, limits=where.limits._replace(order_usd=10_000.0))
    broken = explained(tight, {"drawdown_20": RULES["drawdown_20"]}, (0,))
    breaches, drawdown = broken["drawdown_20", 0]
    assert [one.cause for one in breaches] == ["held_back"]
    assert drawdown == pytest.approx(0.2 + breaches[0].of_peak)
