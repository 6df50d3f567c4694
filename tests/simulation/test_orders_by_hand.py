"""Order limits, transfers that take time and staying alive: the slow simulator, worked out by hand.

10 ETH at about 1 000 USD on calm venues; margin is half the notional, and asked for where the
notional is more than four times it. They say nothing about the compiled simulator.
"""

import pytest

from tests.simulation.test_guard_by_hand import DRAWDOWN, run, shorts
from tests.simulation.test_oracle_by_hand import (
    ONE_PER_100_000_AN_HOUR,
    band,
    run_two_venues,
)

# --- Order limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "short", "reason"),
    [
        # 5 ETH = 5 000 USD are wanted; 3 550 USD are 35 steps.
        ({"venue_usd": 3550.0}, 3.5, "VENUE_CAP"),
        # 5 is more than 0.49 of 10 ETH, and exactly 0.5 of it.
        ({"fat_finger": 0.49}, 0.0, "FAT_FINGER"),
        ({"fat_finger": 0.5}, 5.0, None),
        ({"order_usd": 2050.0}, 2.0, "ORDER_CAP"),
        # What the limit leaves of an order is below the minimum of the venue.
        ({"order_usd": 2050.0, "min_notional_usd": [2100.0]}, 0.0, "ORDER_CAP"),
        ({"minute_usd": 1000.0}, 1.0, "ORDER_CAP"),
        # The perpetual is 11 % above the index.
        ({"collar": 0.1, "spot": [900.0]}, 0.0, "COLLAR"),
        ({"collar": 0.12, "spot": [900.0]}, 5.0, None),
    ],
)
def test_a_limit_cuts_or_refuses_an_order(limits: dict, short: float, reason: str | None):
    result = run([1000.0], **band(0.5), **limits)
    assert shorts(result) == pytest.approx([short])
    margin = {"TOP_UP"} if short else set()
    assert result.reasons == [{"RAISE"} | margin | ({reason} if reason else set())]


def test_a_large_order_is_done_in_parts_both_ways():
    result = run([1000.0] * 6, **band(0.5, 0.5, 0.5, 0.0, 0.0, 0.0), order_usd=2050.0)
    assert shorts(result) == pytest.approx([2.0, 4.0, 5.0, 3.0, 1.0, 0.0])


def test_a_cap_that_the_price_breaks_cuts_the_short():
    result = run([1000.0, 1300.0], **band(0.5, 0.5), venue_usd=6000.0)
    # 6 500 USD > 6 000, which are 46 steps at 1 300.
    assert shorts(result) == pytest.approx([5.0, 4.6])
    assert result.reasons[1] == {"IN_BAND", "VENUE_CAP", "TOP_UP"}


@pytest.mark.parametrize(
    ("minimum", "short"),
    [
        # 5 150 USD hold 5.1 ETH; the 0.1 more are 100 USD.
        (100.0, 5.1),
        (200.0, 5.0),
    ],
)
def test_a_venue_cap_leaves_no_order_below_the_minimum(minimum: float, short: float):
    result = run([1000.0] * 2, **band(0.5, 0.7), venue_usd=5150.0, min_notional_usd=[minimum])
    assert shorts(result) == pytest.approx([5.0, short])
    assert result.reasons[1] == {"RAISE", "VENUE_CAP"}


def test_no_reduction_over_the_cap_is_a_mistake():
    # 9 ETH are more than 1.5 of 1 ETH, but h = 10 is over the cap of 1.
    over = run([1000.0] * 2, exposure_eth=[10.0, 1.0], **band(1.0, 1.0), fat_finger=1.5)
    assert shorts(over) == pytest.approx([10.0, 1.0])
    assert over.reasons[1] == {"LOWER", "RELEASE"}

    # h = 0.8 is not: 7 ETH are more than 0.49 of 10.
    under = run([1000.0] * 2, exposure_eth=[20.0, 10.0], **band(0.4, 0.1), fat_finger=0.49)
    assert shorts(under) == pytest.approx([8.0, 8.0])
    assert under.reasons[1] == {"LOWER", "FAT_FINGER"}


def test_a_refused_venue_does_not_undo_the_cut_of_another_where_nothing_moves():
    result = run_two_venues(
        price=[1000.0, 1300.0],
        perp=[[1000.0, 1000.0], [1300.0, 1450.0]],
        **band(1.0, 1.0),
        weights=[[0.5, 0.5]] * 2,
        venue_usd=6000.0,
        collar=0.1,
    )
    # 5 ETH on each. 6 500 USD > 6 000: 4.6. So are 7 250, but 1 450 is 11.5 % above the index.
    assert result.short_eth[1] == pytest.approx([4.6, 5.0])
    assert result.reasons[1] == {"IN_BAND", "VENUE_CAP", "COLLAR", "TOP_UP"}


def test_an_order_that_was_cut_does_not_start_the_interval():
    result = run([1000.0] * 4, **band(0.5, 0.5, 0.5, 0.7), order_usd=2050.0, min_interval_h=10.0)
    # The rest follows at once; the last of it, at hour 2, starts the interval.
    assert shorts(result) == pytest.approx([2.0, 4.0, 5.0, 5.0])
    assert ["WAIT" in said for said in result.reasons] == [False, False, False, True]
    assert ["ORDER_CAP" in said for said in result.reasons] == [True, True, False, False]


@pytest.mark.parametrize("limit", [{"total_usd": 4000.0}, {"minute_usd": 4000.0}])
def test_what_the_venues_before_take_is_gone(limit: dict):
    result = run_two_venues(price=[1000.0], **band(0.6), weights=[[0.5, 0.5]], **limit)
    # 3 ETH on each are wanted, and 4 000 USD are 3 and 1.
    assert result.short_eth[0] == pytest.approx([3.0, 1.0])


def test_a_refused_leg_refuses_the_move_between_venues():
    result = run_two_venues(
        price=[1000.0] * 2,
        perp=[[1000.0, 1000.0], [1000.0, 1200.0]],
        **band(0.5, 0.5, width=0.05),
        weights=[[1.0, 0.0], [0.0, 1.0]],
        collar=0.1,
    )
    assert result.short_eth == [[5.0, 0.0], [5.0, 0.0]]
    assert result.reasons[1] == {"IN_BAND", "SWITCH", "COLLAR"}


# --- A move between venues goes leg by leg --------------------------------------------------------

SIX_TICKS = {
    **band(*[0.5] * 6, width=0.05),
    "weights": [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3,
}


@pytest.mark.parametrize(
    ("given", "short_eth"),
    [
        # 2 050 USD of an order close 2 ETH at 1 000 and open 1.8 at 1 100: 1.8 both, twice; the
        # last 1.4 are 1 540 USD.
        ({"order_usd": 2050.0}, [[3.2, 1.8], [1.4, 3.6], [0.0, 5.0]]),
        # Half of the minute for each leg: 2 000 USD close 2 ETH and open 1.8.
        ({"minute_usd": 4000.0}, [[3.2, 1.8], [1.4, 3.6], [0.0, 5.0]]),
        # 1.8 ETH are 1 980 USD, below the minimum of the second venue: neither leg goes.
        ({"order_usd": 2050.0, "min_notional_usd": [10.0, 2000.0]}, [[5.0, 0.0]] * 3),
        # Whole ETH on the first venue: 2 850 USD close 2 and would open 2.5, so both 2; again; and
        # the last one.
        ({"order_usd": 2850.0, "step_eth": [1.0, 0.1]}, [[3.0, 2.0], [1.0, 4.0], [0.0, 5.0]]),
        # 3 050 USD close 3 and open 2.7: 0.3 are lacking, which is one whole ETH that stays, so 2
        # close and 5.7 are held. Then h = 0.57 is above the band of 0.55, so down to 5: the last 3
        # close, 2 530 USD open 2.3, and no limit cuts either.
        (
            {"order_usd": 3050.0, "step_eth": [1.0, 0.1]},
            [[3.0, 2.7], [0.0, 5.0], [0.0, 5.0]],
        ),
    ],
)
def test_the_legs_of_a_move_between_venues_are_matched(given: dict, short_eth: list):
    result = run_two_venues(price=[1000.0] * 6, perp=[[1000.0, 1100.0]] * 6, **SIX_TICKS, **given)
    assert result.short_eth[2] == pytest.approx([5.0, 0.0])
    assert result.short_eth[3:] == [pytest.approx(row) for row in short_eth]
    assert result.reasons[3] >= {"IN_BAND", "SWITCH", "ORDER_CAP"}


def test_the_legs_of_a_move_between_venues_are_matched_under_a_venue_cap():
    result = run_two_venues(
        price=[1000.0] * 3,
        **band(*[0.5] * 3, width=0.05),
        weights=[[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]],
        venue_usd=3000.0,
    )
    # 5 ETH are wanted on the first venue, which takes 3: 0.5 move. Then nothing does.
    assert result.short_eth == [
        pytest.approx([2.5, 2.5]),
        pytest.approx([3.0, 2.0]),
        pytest.approx([3.0, 2.0]),
    ]
    assert result.reasons[1:] == [{"IN_BAND", "SWITCH", "VENUE_CAP"}] * 2


def test_a_venue_over_its_cap_is_cut_even_if_its_short_has_nowhere_to_go():
    result = run_two_venues(
        price=[1000.0, 1300.0],
        **band(0.7, 0.7, width=0.05),
        weights=[[5 / 7, 2 / 7], [0.5, 0.5]],
        min_notional_usd=[10.0, 1960.0],
        venue_usd=6000.0,
    )
    # 5 and 2 ETH. 1.5 should move, which are 1 950 USD: too small, so nothing moves. But 6 500 USD
    # are over the cap: 4.6 ETH.
    assert result.short_eth[1] == pytest.approx([4.6, 2.0])
    assert result.reasons[1] == {"IN_BAND", "SWITCH", "BELOW_MINIMUM", "VENUE_CAP", "TOP_UP"}


# --- Legs that belong together while the hedge is raised ------------------------------------------


@pytest.mark.parametrize(
    ("perp", "short_eth", "margin"),
    [
        # The second venue is 15 % above the index and opens nothing. The 3.6 the first one would
        # close stay: of the 5 ETH none is lost.
        ([1000.0, 1150.0], [5.0, 0.0], set()),
        # The first one is, and keeps its 5. With the 5.6 of the second that were 10.6, 3.6 more
        # than the 7 that are wanted: 2 open, for 1 000 USD of margin. The first one's
        # 2 500 − 5 · 150 = 1 750 are enough for 5 750 / 4.
        ([1150.0, 1000.0], [5.0, 2.0], {"TOP_UP"}),
    ],
)
def test_a_refused_leg_neither_lowers_nor_doubles_a_hedge_that_is_raised(perp, short_eth, margin):
    result = run_two_venues(
        price=[1000.0] * 2,
        perp=[[1000.0, 1000.0], perp],
        **band(0.5, 0.7),
        weights=[[1.0, 0.0], [0.2, 0.8]],
        collar=0.1,
    )
    # From 5 and 0 to 0.2 · 7 = 1.4 and 0.8 · 7 = 5.6.
    assert result.short_eth == [[5.0, 0.0], pytest.approx(short_eth)]
    assert result.reasons[1] == {"RAISE", "SWITCH", "COLLAR"} | margin


def test_an_opening_leg_that_is_cut_holds_the_closing_one_back_while_the_hedge_is_raised():
    result = run_two_venues(
        price=[1000.0] * 4,
        perp=[[1000.0, 1100.0]] * 4,
        **band(0.5, 0.5, 0.7, 0.7),
        weights=[[1.0, 0.0]] * 2 + [[2 / 7, 5 / 7]] * 2,
        order_usd=3050.0,
    )

    # Ticks 0 and 1: 3 050 USD open 3 ETH, then the other 2; 5 000 USD are fewer than 4 · 1 500.
    # Tick 2: from 5 and 0 to 2 and 5. The 3 000 USD that close are within the limit, but 3 050
    #   open 2.7 at 1 100. Held would be 4.7, so 0.3 of the 3 stay. The second venue gets margin
    #   for 2 970 USD, 1 485.
    # Tick 3: the 0.3 close and 2 530 USD open the rest; 5 500 USD are fewer than 4 · 1 485.
    assert result.short_eth == [
        pytest.approx([3.0, 0.0]),
        pytest.approx([5.0, 0.0]),
        pytest.approx([2.3, 2.7]),
        pytest.approx([2.0, 5.0]),
    ]
    assert result.reasons[2:] == [
        {"RAISE", "SWITCH", "ORDER_CAP", "TOP_UP"},
        {"RAISE", "SWITCH"},
    ]


# --- Transfers ------------------------------------------------------------------------------------

# What the first decision of a run needs was sent before it. Where margin has to travel from the
# beginning, tick 0 is an hour that asks for nothing.


def capital(result) -> list[float]:
    return [row[5] for row in result.pnl]


def test_what_the_first_decision_needs_is_there():
    result = run([1000.0] * 3, **band(0.5, 0.5, 0.5), transfer_ticks=2, is_open=[False, True, True])

    # The first decision is that of tick 1: 2 500 USD carry 5 ETH at once.
    assert result.coming == [[0.0]] * 3
    assert result.paid_in == [0.0, 2500.0, 2500.0]
    assert shorts(result) == pytest.approx([0.0, 5.0, 5.0])
    assert result.reasons == [{"CLOSED"}, {"RAISE", "TOP_UP"}, {"IN_BAND"}]


def test_a_short_waits_an_hour_for_its_margin():
    result = run(
        [1000.0] * 4,
        **band(0.0, 0.5, 0.5, 0.0),
        transfer_ticks=1,
        transfer_usd=3.0,
        capital_cost_per_year=ONE_PER_100_000_AN_HOUR,
    )

    # Tick 1: 2 500 leave for 3 USD; nothing is there to carry a short.
    # Tick 2: capital 2 500e-5 for what was on its way; it arrives and carries up to 10 ETH.
    # Tick 3: closed; the 2 500 come back at once, for 3 USD.
    assert result.coming == [[0.0], [2500.0], [0.0], [0.0]]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 0.0]
    assert result.equity == [[0.0], [0.0], [2500.0], [0.0]]
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0, 0.0])
    assert capital(result) == pytest.approx([0.0, -3.0, -0.025, -3.025])
    assert result.reasons == [
        {"IN_BAND"},
        {"RAISE", "TOP_UP", "AWAITING"},
        {"RAISE"},
        {"LOWER"},
    ]


def test_margin_on_its_way_is_not_asked_for_twice():
    result = run([1000.0] * 4, **band(0.0, 0.5, 0.5, 0.5), transfer_ticks=2)
    # The 2 500 of tick 1 are under way at tick 2 and there at tick 3.
    assert result.coming == [[0.0], [2500.0], [2500.0], [0.0]]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 2500.0]
    assert shorts(result) == pytest.approx([0.0, 0.0, 0.0, 5.0])
    assert result.reasons == [
        {"IN_BAND"},
        {"RAISE", "TOP_UP", "AWAITING"},
        {"RAISE", "AWAITING"},
        {"RAISE"},
    ]


def test_coins_travel_as_coins():
    result = run(
        [1000.0, 1000.0, 1200.0],
        **band(0.0, 0.5, 0.5),
        transfer_ticks=1,
        coin_value=0.5,
        eth_cost_per_year=0.0438,  # 5e-6 an hour
    )

    # Tick 1: 2 500 USD of margin are 5 coins at half of 1 000.
    # Tick 2: they arrive worth 3 000, for 6 000 USD of short; capital 5 · 1 000 · 5e-6 = 0.025.
    assert result.coming == [[0.0], [5.0], [0.0]]
    assert result.posted_eth == [[0.0], [0.0], [5.0]]
    assert result.equity == [[0.0], [0.0], [3000.0]]
    assert capital(result) == pytest.approx([0.0, 0.0, -0.025])
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0])


def test_what_comes_too_late_comes_back_when_it_is_there():
    result = run(
        [1000.0] * 5,
        **band(0.0, 0.5, 0.0, 0.0, 0.0),
        transfer_ticks=2,
        transfer_usd=3.0,
        capital_cost_per_year=ONE_PER_100_000_AN_HOUR,
    )

    # Tick 1: 2 500 leave for 3 USD.
    # Tick 2: nothing is wanted any more, but money on its way does not turn round, and what does
    #   not move costs nothing. The 2 500 cost 2 500e-5 an hour.
    # Tick 3: it arrives, and leaves for 3 USD.
    assert result.coming == [[0.0], [2500.0], [2500.0], [0.0], [0.0]]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 0.0, 0.0]
    assert result.equity == [[0.0]] * 5
    assert capital(result) == pytest.approx([0.0, -3.0, -0.025, -3.025, 0.0])
    assert shorts(result) == [0.0] * 5


def test_a_release_leaves_the_margin_that_is_there_while_more_is_on_its_way():
    result = run(
        [1000.0, 1000.0, 1000.0, 1000.0, 1400.0, 1400.0, 1400.0],
        **band(0.0, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1),
        transfer_ticks=2,
        transfer_usd=3.0,
    )

    # Tick 1: 2 500 leave. Tick 3: they arrive and carry 5 ETH.
    # Tick 4: 2 500 − 5 · 400 = 500 are left behind 7 000, for which 3 500 are asked: 3 000 leave.
    # Tick 5: down to 1 ETH, 1 400 USD, for which 700 of the 3 500 are enough. The 500 that are
    #   there are less than that: nothing moves, and nothing is paid for.
    # Tick 6: the 3 000 arrive, 2 800 go home.
    assert shorts(result) == pytest.approx([0.0, 0.0, 0.0, 5.0, 5.0, 1.0, 1.0])
    assert [row[0] for row in result.equity[3:]] == pytest.approx([2500.0, 500.0, 500.0, 700.0])
    assert [row[0] for row in result.coming[3:]] == pytest.approx([0.0, 3000.0, 3000.0, 0.0])
    assert result.paid_in[4:] == pytest.approx([5500.0, 5500.0, 2700.0])
    assert capital(result) == pytest.approx([0.0, -3.0, 0.0, 0.0, -3.0, 0.0, -3.0])
    assert result.reasons[5:] == [{"LOWER", "RELEASE"}, {"IN_BAND", "RELEASE"}]


def test_a_closing_accounts_debt_is_paid_once():
    result = run(
        [1000.0] * 5,
        **band(0.0, 0.5, 0.5, 0.0, 0.0),
        transfer_ticks=1,
        transfer_usd=3.0,
        funding_settled=[float("nan")] * 3 + [-0.52, float("nan")],
    )

    # Tick 1: 2 500 leave for 3 USD. Tick 2: they carry 5 ETH.
    # Tick 3: funding 5 000 · (−0.52) = −2 600 leaves a debt of 100. The account is closed and the
    #   100 are paid there and then; no transfer leaves for an account that is no more.
    assert result.paid_in == pytest.approx([0.0, 2500.0, 2500.0, 2600.0, 2600.0])
    assert result.coming == [[0.0], [2500.0], [0.0], [0.0], [0.0]]
    assert result.equity[3:] == [[0.0], [0.0]]
    assert capital(result) == pytest.approx([0.0, -3.0, 0.0, 0.0, 0.0])
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0, 0.0, 0.0])


def test_margin_on_its_way_to_one_venue_does_not_pay_for_another():
    result = run_two_venues(
        price=[1000.0] * 4,
        **band(0.0, 0.5, 0.5, 0.5),
        weights=[[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2,
        transfer_ticks=2,
        capital_cost_per_year=0.0,
        budget_usd=2500.0,
    )

    # Tick 1: the whole budget leaves for the first venue.
    # Tick 2: the short belongs on the second one; what is on its way cannot turn round.
    # Tick 3: it is there, comes back and leaves for the second one.
    assert result.coming == [[0.0, 0.0], [2500.0, 0.0], [2500.0, 0.0], [0.0, 2500.0]]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 2500.0]
    assert result.short_eth == [[0.0, 0.0]] * 4
    assert result.reasons[2:] == [
        {"RAISE", "TOP_UP", "UNFUNDED"},
        {"RAISE", "TOP_UP", "AWAITING"},
    ]


def test_nothing_arrives_or_is_decided_while_the_venues_are_closed():
    result = run(
        [1000.0, 1000.0, 1100.0, 1100.0],
        **band(0.0, 0.5, 0.5, 0.5),
        transfer_ticks=1,
        is_open=[True, True, False, True],
    )

    # Tick 1: 2 500 leave, due at tick 2. That one is marked nonetheless: delta 10 · 100.
    # Tick 3: they arrive and carry 5 500 USD.
    assert result.coming == [[0.0], [2500.0], [2500.0], [0.0]]
    assert shorts(result) == pytest.approx([0.0, 0.0, 0.0, 5.0])
    assert [row[0] for row in result.pnl] == pytest.approx([0.0, 0.0, 1000.0, 0.0])
    assert result.reasons[2:] == [{"CLOSED"}, {"RAISE"}]


def test_hours_without_a_venue_count_as_hours_without_an_intent():
    result = run(
        [1000.0] * 3,
        lo=[0.2, 0.2, float("nan")],
        hi=[0.2] * 3,
        to_lo=[0.2] * 3,
        to_hi=[0.2] * 3,
        grace_ticks=1,
        is_open=[True, False, True],
    )
    # Age 1 after the closed hour, 2 > 1 at tick 2: the fallback of 0.5, whose 5 000 USD are more
    # than 4 · 1 000.
    assert shorts(result) == pytest.approx([2.0, 2.0, 5.0])
    assert result.reasons[1:] == [{"CLOSED"}, {"FALLBACK", "RAISE", "TOP_UP"}]


def test_a_budget_that_is_short_sends_what_there_is():
    result = run([1000.0] * 3, **band(0.0, 0.5, 0.5), transfer_ticks=1, budget_usd=1000.0)

    # Tick 1: 2 500 are asked for, 1 000 leave, which would carry 4 ETH but are not there.
    # Tick 2: they are; another 1 500 are asked for in vain.
    assert result.coming == [[0.0], [1000.0], [0.0]]
    assert result.equity == [[0.0], [0.0], [1000.0]]
    assert shorts(result) == pytest.approx([0.0, 0.0, 4.0])
    assert result.reasons[1:] == [
        {"RAISE", "TOP_UP", "UNFUNDED", "AWAITING"},
        {"RAISE", "TOP_UP", "UNFUNDED"},
    ]


def test_a_move_between_venues_sends_the_margin_ahead():
    result = run_two_venues(
        price=[1000.0] * 5,
        **band(0.0, *[0.5] * 4, width=0.05),
        weights=[[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2,
        transfer_ticks=1,
        capital_cost_per_year=0.0,
    )

    # Tick 1: 2 500 leave for the first venue. Tick 2: they carry 5 ETH there.
    # Tick 3: the second venue has no margin yet, so the first keeps the short; 2 500 leave.
    # Tick 4: they carry it, and what the first one held comes back.
    assert result.short_eth == [[0.0, 0.0]] * 2 + [[5.0, 0.0]] * 2 + [[0.0, 5.0]]
    assert result.coming == [[0.0, 0.0], [2500.0, 0.0], [0.0, 0.0], [0.0, 2500.0], [0.0, 0.0]]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 5000.0, 2500.0]
    assert result.reasons[3:] == [
        {"IN_BAND", "SWITCH", "TOP_UP", "AWAITING"},
        {"IN_BAND", "SWITCH"},
    ]


def test_a_move_between_venues_with_a_spent_budget_sends_nothing():
    result = run_two_venues(
        price=[1000.0] * 3,
        **band(0.5, 0.5, 0.5, width=0.05),
        weights=[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        transfer_ticks=1,
        capital_cost_per_year=0.0,
        budget_usd=2500.0,
    )

    # Tick 2: in the first round the margin of the first venue would pay for the second; in the
    # second round it stays with the short, and nothing is left.
    assert result.short_eth[2] == [5.0, 0.0]
    assert result.coming[2] == [0.0, 0.0]
    assert result.paid_in == [2500.0] * 3


def test_a_move_between_venues_sends_ahead_what_there_is():
    result = run_two_venues(
        price=[1000.0] * 5,
        **band(0.0, *[0.5] * 4, width=0.05),
        weights=[[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2,
        transfer_ticks=1,
        capital_cost_per_year=0.0,
        budget_usd=3500.0,
    )

    # Tick 1: 2 500 leave for the first venue. Tick 2: they carry 5 ETH there.
    # Tick 3: 2 500 are asked for, and 1 000 of the budget are left beside what the short needs.
    # Tick 4: they are there and stay there; they carry 4 of the 5 ETH, so nothing moves.
    assert result.short_eth == [[0.0, 0.0]] * 2 + [[5.0, 0.0]] * 3
    assert result.coming[3:] == [[0.0, 1000.0], [0.0, 0.0]]
    assert result.equity[4] == [2500.0, 1000.0]
    assert result.paid_in == [0.0, 2500.0, 2500.0, 3500.0, 3500.0]
    assert result.reasons[3:] == [{"IN_BAND", "SWITCH", "TOP_UP", "AWAITING"}] * 2


# --- Staying alive --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "short"),
    [
        # 100 USD of margin behind 7 400 is less than 0.05 of it: down to 100 / 0.1 = 1 000 USD,
        # 6 steps at 1 480.
        ({}, 0.6),
        # At most 5 000 USD at once, 33 steps.
        ({"order_usd": 5000.0}, 1.7),
        ({"keep_alive": 0.0}, 5.0),
    ],
)
def test_a_short_nobody_can_margin_is_cut_in_time(limits: dict, short: float):
    result = run(
        [1000.0, 1480.0],
        **band(0.5, 0.5),
        **{"keep_alive": 0.05, "budget_usd": 2500.0, **limits},
    )

    # Tick 0: 5 ETH, all of the budget. Tick 1: 2 500 − 5 · 480 = 100, above the maintenance of 74;
    #   3 700 are asked for in vain.
    assert shorts(result) == pytest.approx([5.0, short])
    assert result.equity == [[2500.0], [pytest.approx(100.0)]]
    kept = {"KEPT_ALIVE"} if short < 5 else set()
    assert result.reasons[1] == {"IN_BAND", "TOP_UP", "UNFUNDED"} | kept


def test_a_short_is_cut_until_its_margin_arrives():
    result = run(
        [1000.0, 1000.0, 1000.0, 1480.0, 1480.0],
        **band(0.0, 0.5, 0.5, 0.5, 0.5),
        transfer_ticks=1,
        keep_alive=0.05,
    )

    # Tick 1: 2 500 leave. Tick 2: they carry 5 ETH.
    # Tick 3: 2 500 − 5 · 480 = 100 are there, 3 600 leave; what is there counts: 0.6 ETH, as above.
    # Tick 4: 3 700 carry 5 again.
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0, 0.6, 5.0])
    assert result.coming[3] == [pytest.approx(3600.0)]
    assert result.equity[4] == [pytest.approx(3700.0)]
    assert result.reasons[3:] == [{"IN_BAND", "TOP_UP", "KEPT_ALIVE"}, {"RAISE"}]


def test_no_order_keeps_a_short_alive_outside_the_collar():
    result = run(
        [1000.0, 1480.0],
        perp=[1000.0, 1480.0],
        spot=[1000.0, 1300.0],
        **band(0.5, 0.5),
        keep_alive=0.05,
        budget_usd=2500.0,
        collar=0.1,
    )
    assert shorts(result) == pytest.approx([5.0, 5.0])


def test_margin_stands_ready_for_the_floor_of_the_next_gap():
    result = run(
        [1000.0, 1000.0, 1000.0, 860.0], **band(0.0, 0.0, 0.0, 0.0), **DRAWDOWN, transfer_ticks=1
    )

    # V = 10 000 of which 8 000 are kept: c = 2 000 is more than g = 0.15 · 10 000, the floor is 0.
    # After one gap V' = 8 500, c' = 500 against g' = 0.15 · 8 500 = 1 275: 1 − 20/51 = 31/51, which
    #   at the price of now is a hedge of 31/51 · 0.85 = 31/60: 31/60 · 10 000 / 4 = 1 291.67 of
    #   margin, topped up to 1.25 times it.
    # Tick 0 is the first decision: nothing is asked for that was not needed before it.
    # Tick 1: it departs, tick 2: it is there and rests.
    # Tick 3: V 8 600, c 600 against g 0.15 · 8 600 = 1 290: 1 − 600/1 290 = 23/43 = 0.5348: 5.3
    #   ETH, and 1 614.58 · 4 / 860 carries 7.5: no hour is lost.
    ready = 1.25 * 31 / 60 * 10_000 / 4
    assert result.coming[1] == pytest.approx([ready])
    assert result.equity[2] == pytest.approx([ready])
    assert result.reasons[:3] == [{"IN_BAND"}, {"IN_BAND", "TOP_UP"}, {"IN_BAND"}]
    assert shorts(result) == pytest.approx([0.0, 0.0, 0.0, 5.3])
    assert "AWAITING" not in result.reasons[3]
