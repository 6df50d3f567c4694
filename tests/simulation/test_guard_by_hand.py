"""The guard inside small runs of the slow simulator, worked out by hand.

10 ETH at about 1 000 USD on calm venues without any cost, so that V is what the coins are worth
plus what the short made. They say nothing about the compiled simulator.
"""

import math

import pytest

from tests.risk.guard_oracle import GuardOracle, GuardRules, Look
from tests.simulation.oracle import OracleResult
from tests.simulation.test_oracle_by_hand import NAN, band, run_one_venue, run_two_venues

ASKED, LEAST, FORCED, GOAL, VALUE, KEPT = range(6)

DRAWDOWN = {"active": True, "drawdown_limit": 0.2, "gap": 0.15}


def run(price: list[float], **given: object) -> OracleResult:
    """Simulate one venue hour by hour, spot and perpetual at one price, for a holder of 10 ETH."""
    calm = {
        "exposure_eth": [10.0] * len(price),
        "bucket": list(range(len(price))),
        "capital_cost_per_year": 0.0,
    }
    return run_one_venue(**{"spot": price, "perp": price, **calm, **given})


def shorts(result: OracleResult) -> list[float]:
    """ETH short on the first venue after each tick."""
    return [row[0] for row in result.short_eth]


def told(result: OracleResult, column: int) -> list[float]:
    """One column of the chain, tick by tick."""
    return [row[column] for row in result.chain]


def stop(kind: int, distance: float, ratio: float, cooldown_h: float, *, trailing: bool) -> dict:
    """Rules with one stop (0 portfolio, 1 spot, 2 short, 3 short_equity)."""
    return {
        "active": True,
        "stop_distance": [distance if k == kind else math.inf for k in range(4)],
        "stop_ratio": [ratio] * 4,
        "stop_cooldown_h": [cooldown_h] * 4,
        "stop_trailing": [trailing] * 4,
    }


# --- Drawdown and profit lock ---------------------------------------------------------------------


def test_the_floor_rises_as_the_cushion_shrinks_stays_and_goes_at_a_new_peak():
    result = run([1000.0, 900.0, 880.0, 890.0, 1200.0], **band(0.0, 0.0, 0.0, 0.0, 0.0), **DRAWDOWN)

    # Tick 0: V = peak = 10 000, kept 8 000; the cushion of 2 000 is more than the 0.15 · 10 000
    #   that the coins can lose: 0.
    # Tick 1: V 9 000; cushion 1 000, the coins can lose 0.15 · 9 000 = 1 350: need
    #   1 − 1 000/1 350 = 350/1 350 = 7/27: 2.59 ETH, 25 steps.
    # Tick 2: V 9 000 − 20 · (10 − 2.5) = 8 850; cushion 850, 0.15 · 8 800 = 1 320: need
    #   1 − 850/1 320 = 470/1 320 = 47/132 = 0.356: 10 steps more.
    # Tick 3: V 8 850 + 10 · 6.5 = 8 915; need 1 − 915/1 335 = 0.3146 is less, the floor stays;
    #   h = 0.35 is below it by less than a step.
    # Tick 4: V 8 915 + 310 · 6.5 = 10 930, a new peak: kept 8 744; the cushion of 2 186 is more
    #   than 0.15 · 12 000 = 1 800: floor 0.
    floors = [0.0, 7 / 27, 47 / 132, 47 / 132, 0.0]
    assert told(result, LEAST) == pytest.approx(floors)
    assert told(result, GOAL) == pytest.approx(floors)
    assert told(result, ASKED) == [0.0] * 5
    assert told(result, VALUE) == pytest.approx([10_000.0, 9000.0, 8850.0, 8915.0, 10_930.0])
    assert told(result, KEPT) == pytest.approx([8000.0, 8000.0, 8000.0, 8000.0, 8744.0])
    assert told(result, FORCED) == pytest.approx([NAN] * 5, nan_ok=True)
    assert shorts(result) == pytest.approx([0.0, 2.5, 3.5, 3.5, 0.0])
    assert result.lo == result.hi == told(result, LEAST)
    assert result.reasons == [
        {"IN_BAND"},
        {"DRAWDOWN", "RAISE", "TOP_UP"},
        {"DRAWDOWN", "RAISE"},
        {"DRAWDOWN", "RAISE"},
        {"LOWER"},
    ]


def test_after_a_short_that_lost_the_coins_can_lose_more_than_the_equity_says():
    result = run([1000.0, 1400.0], **band(1.0, 0.0), **DRAWDOWN)

    # Tick 1: fully hedged, V stays 10 000, a cushion of 2 000 above the 8 000 kept. That is a fifth
    #   of V, but the coins are worth 14 000 and 0.15 of them are 2 100: need
    #   1 − 2 000/2 100 = 1/21. 0.476 ETH are wanted, 95.2 steps less: 95 of them. 700 USD · 4 are
    #   less than 2² times the 5 000 − 10 · 400 = 1 000 of margin.
    assert told(result, VALUE) == pytest.approx([10_000.0, 10_000.0])
    assert told(result, LEAST) == pytest.approx([0.0, 1 / 21])
    assert shorts(result) == pytest.approx([10.0, 0.5])
    assert result.reasons[1] == {"DRAWDOWN", "LOWER", "RELEASE"}


@pytest.mark.parametrize(
    ("price", "given", "least"),
    [
        # Kept 9 000, V 9 100, all of it coins: 1 − 100/(0.1 · 9 100) = 0.89011, not quite nine
        # tenths.
        (910.0, {}, 1 - 100 / 910),
        # V 9 090: 1 − 90/909 = 0.90099: full.
        (909.0, {}, 1.0),
        # A reserve of 0.01 leaves a cushion of 9 900 − 9 000 = 900 to the 1 000 that can be lost
        # from the beginning: 0.1, 1 ETH. So V is 10 000 − 90 · 9 = 9 190, and the cushion
        # 0.99 · 9 190 − 9 000 = 98.1.
        (910.0, {"reserve": 0.01}, 1 - 98.1 / 910),
        # Full is 0.8: 0.8 · 0.90099 = 0.7208 ≥ 0.72.
        (909.0, {"max_ratio": 0.8}, 0.8),
    ],
)
def test_nine_tenths_are_full_before_the_limit_is_reached(price: float, given: dict, least: float):
    rules = {"active": True, "drawdown_limit": 0.1, "gap": 0.1}
    result = run([1000.0, price], **band(0.0, 0.0), **rules, **given)
    assert result.chain[1][LEAST] == pytest.approx(least)


def test_a_used_up_cushion_is_followed_by_a_new_one_at_the_equity_of_that_moment():
    result = run(
        [1000.0, 800.0, 700.0, 800.0, 720.0],
        **band(0.0, 0.0, 0.0, 0.0, 0.0),
        **DRAWDOWN,
        rerisk_h=2,
    )

    # Tick 1: V 8 000 = kept: full. Fully hedged, V stays 8 000 whatever spot does.
    # Tick 3: 2 h since the floor rose, still full: peak = 8 000, kept 6 400; the cushion of 1 600
    #   is more than 0.15 · 8 000 = 1 200: need 0.
    # Tick 4: V 8 000 − 80 · 10 = 7 200: cushion 800, need 1 − 800/1 080 = 280/1 080 = 7/27.
    assert told(result, LEAST) == pytest.approx([0.0, 1.0, 1.0, 0.0, 7 / 27])
    assert told(result, VALUE) == pytest.approx([10_000.0, 8000.0, 8000.0, 8000.0, 7200.0])
    assert told(result, KEPT) == pytest.approx([8000.0, 8000.0, 8000.0, 6400.0, 6400.0])
    assert shorts(result) == pytest.approx([0.0, 10.0, 10.0, 0.0, 2.5])
    assert result.reasons[3] == {"REARMED", "LOWER"}


def test_a_cushion_that_recovered_is_looked_at_anew_and_keeps_its_peak():
    result = run([1000.0, 900.0, 950.0, 950.0], **band(0.0, 0.0, 0.0, 0.0), **DRAWDOWN, rerisk_h=2)

    # Tick 1: floor 7/27, 2.5 ETH. Tick 2: V 9 000 + 50 · 7.5 = 9 375.
    # Tick 3: the coins can lose 0.15 · 9 500 = 1 425; need 1 − 1 375/1 425 = 50/1 425 = 2/57 is
    #   not full: floor 2/57. 0.35 ETH are wanted, 21.5 steps less: 21 of them.
    assert told(result, LEAST) == pytest.approx([0.0, 7 / 27, 7 / 27, 2 / 57])
    assert told(result, KEPT) == pytest.approx([8000.0] * 4)
    assert shorts(result) == pytest.approx([0.0, 2.5, 2.5, 0.4])
    assert result.reasons[3] == {"REARMED", "DRAWDOWN", "LOWER", "RELEASE"}


def test_a_deposit_is_no_gain_and_scales_the_peak():
    result = run([1000.0, 900.0], exposure_eth=[10.0, 20.0], **band(0.0, 0.0), **DRAWDOWN)

    # Tick 1: V 18 000, of which 9 000 came: flow 2, peak 20 000, kept 16 000. The cushion is 2 000,
    #   the coins can lose 0.15 · 18 000 = 2 700: need 1 − 2 000/2 700 = 7/27 of 20 ETH.
    assert result.chain[1][KEPT] == pytest.approx(16_000.0)
    assert result.chain[1][LEAST] == pytest.approx(7 / 27)
    assert shorts(result) == pytest.approx([0.0, 5.1])


def test_a_deposit_into_nothing_begins_anew():
    result = run(
        [1000.0, 2100.0, 2100.0],
        exposure_eth=[10.0, 10.0, 11.0],
        **band(2.0, 2.0, 2.0),
        **{**DRAWDOWN, "gap": 0.01},
        max_ratio=2.0,
        leverage=0.5,
    )

    # Tick 1: V 21 000 − 20 · 1 100 = −1 000: the full floor. Tick 2: V 1 100, of which 2 100 came,
    # so nothing of before can be scaled: peak 1 100, kept 880. The cushion is 220, the coins can
    # lose 0.01 · 11 · 2 100 = 231: a floor of 1 − 220/231 = 11/231 = 1/21 (below the peak of before
    # it would be full).
    assert told(result, VALUE) == pytest.approx([10_000.0, -1000.0, 1100.0])
    assert told(result, KEPT) == pytest.approx([8000.0, 8000.0, 880.0])
    assert told(result, LEAST) == pytest.approx([0.0, 1.0, 1 / 21])


def test_the_first_look_is_put_off_until_there_is_something_to_guard():
    spot_stop = stop(1, 0.1, 1.0, 24.0, trailing=False)
    del spot_stop["active"]
    guard = GuardOracle(GuardRules(drawdown_limit=0.2, gap=0.15, **spot_stop), full=1.0)

    def look(now: float, equity: float, spot: float, event_floor: float):
        return guard.look(
            Look(
                now=now,
                equity=equity,
                flow=1.0,
                spot=spot,
                mark=spot,
                profit=0.0,
                earned=0.0,
                exposure=10.0,
                short_eth=0.0,
                cost=[NAN],
                weights=[1.0],
                event_floor=event_floor,
            )
        )

    # Nothing but the event binds. 800 is less than 0.9 · 1 000, but 1 000 was not remembered.
    for now, spot in ((0.0, 1000.0), (1.0, 800.0)):
        put_off = look(now, -5.0, spot, 0.6)
        assert put_off.least == 0.6
        assert put_off.band(0.2, 0.3, 0.2, 0.3) == (0.6, 0.6, 0.6, 0.6)
        assert put_off.reasons(0.2) == {"EVENT"}
        assert put_off.kept == -math.inf
    # The first look, at hour 2: kept 0.8 · 100. Then 720 ≤ 0.9 · 800 fires.
    assert look(2.0, 100.0, 800.0, 0.0).kept == pytest.approx(80.0)
    assert look(3.0, 100.0, 720.0, 0.0).forced == 1.0


def test_half_of_a_gain_is_locked_from_a_step_on():
    result = run(
        [1000.0, 1090.0, 1200.0, 1150.0],
        **band(0.0, 0.0, 0.0, 0.0),
        active=True,
        lock_step=0.1,
        lock_keep=0.5,
        gap=0.15,
    )

    # Tick 1: 900 of 10 000 is no step. Tick 2: V 12 000: kept 10 000 + 0.5 · 2 000 = 11 000,
    #   need 1 − 1 000/(0.15 · 12 000) = 800/1 800 = 4/9.
    # Tick 3: V 12 000 − 50 · 5.6 = 11 720; cushion 720, the coins can lose 0.15 · 11 500 = 1 725:
    #   need 1 − 720/1 725 = 1 005/1 725 = 67/115 = 0.583.
    assert told(result, KEPT) == pytest.approx([NAN, NAN, 11_000.0, 11_000.0], nan_ok=True)
    assert told(result, LEAST) == pytest.approx([0.0, 0.0, 4 / 9, 67 / 115])
    assert shorts(result) == pytest.approx([0.0, 0.0, 4.4, 5.8])
    assert result.reasons[2] == {"LOCK", "RAISE", "TOP_UP"}


# --- Stops ----------------------------------------------------------------------------------------


def test_a_portfolio_stop_fires_cools_down_and_is_armed_again_from_then():
    result = run(
        [1000.0, 890.0, 950.0, 900.0, 850.0, 800.0],
        **band(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        **stop(0, 0.1, 1.0, 2.0, trailing=False),
    )

    # Tick 1: V 8 900 ≤ 9 000: full until hour 3, which keeps V at 8 900.
    # Tick 3: armed again at 8 900, and the policy un-hedges. Tick 4: 8 400 > 0.9 · 8 900 = 8 010.
    # Tick 5: 7 900: again.
    assert told(result, VALUE) == pytest.approx([10_000.0, 8900.0, 8900.0, 8900.0, 8400.0, 7900.0])
    forced = [NAN, 1.0, 1.0, NAN, NAN, 1.0]
    assert told(result, FORCED) == pytest.approx(forced, nan_ok=True)
    assert shorts(result) == pytest.approx([0.0, 10.0, 10.0, 0.0, 0.0, 10.0])
    assert [("STOP" in said) for said in result.reasons] == [False, True, True, False, False, True]
    # Neither drawdown nor lock is on: nothing is kept.
    assert told(result, KEPT) == pytest.approx([NAN] * 6, nan_ok=True)


@pytest.mark.parametrize(("trailing", "short"), [(True, 10.0), (False, 0.0)])
def test_a_trailing_spot_stop_counts_from_the_highest_spot(trailing: bool, short: float):
    rules = stop(1, 0.1, 1.0, 24.0, trailing=trailing)
    result = run([1000.0, 1200.0, 1090.0, 1070.0], **band(0.0, 0.0, 0.0, 0.0), **rules)

    # From 1 200 it fires at 1 080, from 1 000 at 900.
    assert shorts(result) == pytest.approx([0.0, 0.0, 0.0, short])


def test_a_short_stop_counts_from_the_lowest_mark_while_short_and_cuts():
    result = run(
        [1000.0, 900.0, 1000.0, 1000.0, 1000.0],
        **band(0.5, 0.5, 0.5, 0.5, 0.5),
        **stop(2, 0.1, 0.2, 2.0, trailing=True),
    )

    # Tick 0: nothing is held yet, the reference is 1 000. Tick 1: it is 900.
    # Tick 2: 1 000 ≥ 990: down to 0.2 until hour 4. Tick 4: armed again at 1 000.
    assert shorts(result) == pytest.approx([5.0, 5.0, 2.0, 2.0, 5.0])
    assert result.reasons[2] >= {"STOP", "LOWER"}
    assert result.reasons[4] >= {"RAISE"}
    assert "STOP" not in result.reasons[4]


def test_a_short_stop_that_flattens_stays_flat_through_its_cool_down():
    result = run(
        [1000.0, 1110.0, 1110.0, 1110.0],
        **band(0.5, 0.5, 0.5, 0.5),
        **stop(2, 0.1, 0.0, 2.0, trailing=False),
    )

    # Tick 1: 1 110 ≥ 1 100: flat until hour 3, short or not. Tick 3: armed again.
    assert shorts(result) == pytest.approx([5.0, 0.0, 0.0, 5.0])
    assert told(result, FORCED) == pytest.approx([NAN, 0.0, 0.0, NAN], nan_ok=True)
    assert [("STOP" in said) for said in result.reasons] == [False, True, True, False]


def test_a_short_equity_stop_counts_in_shares_of_the_exposure():
    result = run(
        [1000.0, 1100.0, 1200.0], **band(0.5, 0.5, 0.5), **stop(3, 0.05, 1.0, 24.0, trailing=False)
    )

    # Tick 1: P −500 > −0.05 · 10 · 1 100 = −550. Tick 2: −1 000 ≤ −600: the full hedge.
    assert shorts(result) == pytest.approx([5.0, 5.0, 10.0])


@pytest.mark.parametrize(("to_ratio", "goal"), [(0.2, 0.6), (0.8, 0.8)])
def test_a_stop_does_not_go_below_what_is_the_least(to_ratio: float, goal: float):
    rules = stop(1, 0.1, to_ratio, 24.0, trailing=False)
    result = run([1000.0, 800.0], **band(0.0, 0.0), **rules, event_floor=[0.0, 0.6])
    assert result.chain[1][LEAST] == 0.6
    assert result.chain[1][FORCED] == to_ratio
    assert result.chain[1][GOAL] == goal
    assert result.reasons[1] == {"STOP", "EVENT", "RAISE", "TOP_UP"}


# --- Funding --------------------------------------------------------------------------------------

WIDE = {"lo": [0.3] * 5, "hi": [0.9] * 5, "to_lo": [0.5] * 5, "to_hi": [0.8] * 5}


def test_an_expensive_short_goes_to_the_low_edge_until_it_costs_half_the_limit():
    result = run(
        [1000.0] * 5,
        **WIDE,
        active=True,
        funding_limit=0.01,
        funding_release=0.5,
        cost=[[0.0], [0.012], [0.007], [0.004], [0.008]],
    )

    # 0.012 > 0.01: on. 0.007 ≥ 0.005: still. 0.004: off. 0.008: not yet on again.
    assert shorts(result) == pytest.approx([5.0, 3.0, 3.0, 3.0, 3.0])
    assert result.hi == [0.9, 0.3, 0.3, 0.9, 0.9]
    on = [("FUNDING_COST" in said) for said in result.reasons]
    assert on == [False, True, True, False, False]


def test_half_of_the_highest_funding_earned_is_kept():
    result = run(
        [1000.0] * 5,
        **WIDE,
        active=True,
        funding_keep=0.5,
        funding_settled=[NAN, 0.001, -0.0006, NAN, NAN],
        cost=[[0.001], [0.001], [0.001], [-0.001], [0.001]],
    )

    # Earned 5 000 · 0.001 = 5, then 5 − 3 = 2 < 2.5: on. A cost of −0.001 ends it, and counting
    # begins at 2: tick 4 is not below 1.
    assert shorts(result) == pytest.approx([5.0, 5.0, 3.0, 3.0, 3.0])
    on = [("FUNDING_COST" in said) for said in result.reasons]
    assert on == [False, False, True, False, False]


def test_what_went_on_by_funding_lost_ends_when_the_short_pays_again_and_not_by_the_limit():
    result = run(
        [1000.0] * 5,
        **WIDE,
        active=True,
        funding_limit=0.01,
        funding_release=0.5,
        funding_keep=0.5,
        funding_settled=[NAN, 0.001, -0.0006, NAN, NAN],
        cost=[[0.001], [0.001], [0.001], [0.001], [0.0]],
    )

    # Tick 2: earned 5, then 2 < 2.5: on. Tick 3: 0.001 < 0.005 would end what the limit began.
    # Tick 4: it costs nothing any more.
    on = [("FUNDING_COST" in said) for said in result.reasons]
    assert on == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("rules", "cost"),
    [
        ({"funding_limit": 0.01, "funding_release": 0.5}, 0.012),
        ({"funding_keep": 0.5}, 0.001),
    ],
)
def test_an_unknown_cost_ends_what_funding_began(rules: dict, cost: float):
    result = run(
        [1000.0] * 5,
        **WIDE,
        active=True,
        funding_settled=[NAN, 0.001, -0.0006, NAN, NAN],
        cost=[[NAN], [NAN], [cost], [cost], [NAN]],
        **rules,
    )
    on = [("FUNDING_COST" in said) for said in result.reasons]
    assert on == [False, False, True, True, False]


def test_who_never_earned_has_nothing_to_keep():
    result = run(
        [1000.0] * 5,
        **WIDE,
        active=True,
        funding_keep=0.5,
        funding_settled=[NAN, -0.001, NAN, NAN, NAN],
        cost=[[0.001]] * 5,
    )
    # Earned −5 is less than half of 0, which was the most.
    assert shorts(result) == pytest.approx([5.0] * 5)
    assert not any("FUNDING_COST" in said for said in result.reasons)


@pytest.mark.parametrize(
    ("cost_there", "short_there"),
    [
        # It pays there: 5 ETH move. It costs there too, and there is no limit to bear: 3 do.
        (-0.0001, 5.0),
        (0.0002, 3.0),
    ],
)
def test_without_a_limit_only_a_venue_that_pays_keeps_the_size(cost_there, short_there):
    result = run_two_venues(
        price=[1000.0] * 3,
        **{name: values[:3] for name, values in WIDE.items()},
        weights=[[1.0, 0.0]] * 3,
        active=True,
        funding_keep=0.5,
        switch_gain=0.0005,
        funding_settled=[[NAN, NAN], [0.001, NAN], [-0.0006, NAN]],
        cost=[[0.001, cost_there]] * 3,
    )
    assert result.short_eth[1:] == [[5.0, 0.0], pytest.approx([0.0, short_there])]


@pytest.mark.parametrize(
    ("switch_gain", "short_eth"),
    [
        # 0.012 − 0.004 = 0.008 is worth it: all to the second venue, which is cheap enough to keep
        # the size. Tick 2: that one costs 0.02 now and the first 0.007: 0.013 is worth going back,
        # and 0.007 is within the limit. Tick 3: 0.004 is below 0.005: off, and in the band.
        (0.005, [[5.0, 0.0], [0.0, 5.0], [5.0, 0.0], [5.0, 0.0]]),
        # Not worth it: down to the low edge.
        (0.01, [[5.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0]]),
    ],
)
def test_a_cheaper_venue_takes_the_short_if_it_saves_enough(switch_gain, short_eth):
    result = run_two_venues(
        price=[1000.0] * 4,
        **{name: values[:4] for name, values in WIDE.items()},
        weights=[[1.0, 0.0]] * 4,
        active=True,
        funding_limit=0.01,
        funding_release=0.5,
        switch_gain=switch_gain,
        cost=[[NAN, NAN], [0.012, 0.004], [0.007, 0.02], [0.004, 0.02]],
    )
    assert result.short_eth == [pytest.approx(row) for row in short_eth]


# --- Events and waiting ---------------------------------------------------------------------------


def test_in_a_quiet_window_only_the_guard_moves_the_hedge():
    result = run(
        [1000.0] * 5,
        **band(0.5, 0.5, 0.9, 0.1, 0.9),
        active=True,
        event_floor=[0.0, 0.7, 0.7, 0.0, 0.0],
        quiet=[False, True, True, True, False],
    )

    # Tick 1: the event's floor. Tick 2: the policy wants more. Tick 3: it wants less.
    assert shorts(result) == pytest.approx([5.0, 7.0, 7.0, 7.0, 9.0])
    assert told(result, GOAL) == pytest.approx([0.5, 0.7, 0.7, 0.7, 0.9])
    assert told(result, ASKED) == pytest.approx([0.5, 0.5, 0.9, 0.1, 0.9])
    assert result.reasons[1:] == [
        {"EVENT", "RAISE"},
        {"RAISE", "WAIT"},
        {"LOWER", "WAIT"},
        {"RAISE"},
    ]


def test_the_policy_waits_between_two_moves_and_a_stop_does_not():
    calm = run([1000.0] * 3, **band(0.5, 0.6, 0.7), min_interval_h=2.0)
    # The first move was at hour 0: hour 1 waits, hour 2 moves.
    assert shorts(calm) == pytest.approx([5.0, 5.0, 7.0])
    assert calm.reasons[1] == {"RAISE", "WAIT"}
    # An inactive guard says nothing and binds nothing.
    assert calm.chain[1] == pytest.approx((0.6, 0.0, NAN, 0.5, NAN, NAN), nan_ok=True)

    rules = stop(1, 0.1, 1.0, 24.0, trailing=False)
    fallen = run([1000.0, 800.0], **band(0.5, 0.6), min_interval_h=2.0, **rules)
    assert shorts(fallen) == pytest.approx([5.0, 10.0])


def test_who_waits_keeps_the_venues():
    result = run_two_venues(
        price=[1000.0] * 4,
        **band(*[0.5] * 4, width=0.05),
        weights=[[0.6, 0.4], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],
        active=True,
        event_floor=[0.0, 0.7, 0.7, 0.7],
        quiet=[False, True, True, False],
    )

    # Tick 1: the event's floor, 7 ETH, where the 5 are: 4.2 and 2.8. Tick 3: to the second venue.
    assert result.short_eth == [
        pytest.approx([3.0, 2.0]),
        pytest.approx([4.2, 2.8]),
        pytest.approx([4.2, 2.8]),
        pytest.approx([0.0, 7.0]),
    ]
    assert result.reasons[1:3] == [{"EVENT", "RAISE"}, {"EVENT", "IN_BAND"}]
    assert "SWITCH" in result.reasons[3]


@pytest.mark.parametrize("waits", [{"quiet": [False, True, True]}, {"min_interval_h": 5.0}])
def test_who_waits_for_an_intent_is_still_raised_to_the_static_ratio(waits: dict):
    result = run(
        [1000.0] * 3,
        lo=[0.2, NAN, 0.1],
        hi=[0.2, NAN, 0.1],
        to_lo=[0.2, NAN, 0.1],
        to_hi=[0.2, NAN, 0.1],
        **waits,
    )
    # Tick 1: the fallback of 0.5 without waiting; 5 000 USD are more than 4 · 1 000. Tick 2: an
    #   intent again, which waits.
    assert shorts(result) == pytest.approx([2.0, 5.0, 5.0])
    assert result.reasons[1:] == [{"FALLBACK", "RAISE", "TOP_UP"}, {"LOWER", "WAIT"}]
