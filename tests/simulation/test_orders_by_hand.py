"""Order limits, transfers that take time and staying alive: the slow simulator, worked out by hand.

10 ETH at about 1 000 USD on calm venues; margin is half the notional, and asked for where the
notional is more than four times it. They say nothing about the compiled simulator.
"""

import pytest

from tests.simulation.test_guard_by_hand import run, shorts
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


# --- Transfers ------------------------------------------------------------------------------------


def capital(result) -> list[float]:
    return [row[5] for row in result.pnl]


def test_a_short_waits_an_hour_for_its_margin():
    result = run(
        [1000.0] * 3,
        **band(0.5, 0.5, 0.0),
        transfer_ticks=1,
        transfer_usd=3.0,
        capital_cost_per_year=ONE_PER_100_000_AN_HOUR,
    )

    # Tick 0: 2 500 leave for 3 USD; nothing is there to carry a short.
    # Tick 1: capital 2 500e-5 for what was on its way; it arrives and carries up to 10 ETH.
    # Tick 2: closed; the 2 500 come back at once, for 3 USD.
    assert result.coming == [[2500.0], [0.0], [0.0]]
    assert result.paid_in == [2500.0, 2500.0, 0.0]
    assert result.equity == [[0.0], [2500.0], [0.0]]
    assert shorts(result) == pytest.approx([0.0, 5.0, 0.0])
    assert capital(result) == pytest.approx([-3.0, -0.025, -3.025])
    assert result.reasons == [{"RAISE", "TOP_UP", "AWAITING"}, {"RAISE"}, {"LOWER"}]


def test_margin_on_its_way_is_not_asked_for_twice():
    result = run([1000.0] * 3, **band(0.5, 0.5, 0.5), transfer_ticks=2)
    assert result.coming == [[2500.0], [2500.0], [0.0]]
    assert result.paid_in == [2500.0] * 3
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0])
    assert result.reasons == [{"RAISE", "TOP_UP", "AWAITING"}, {"RAISE", "AWAITING"}, {"RAISE"}]


def test_coins_travel_as_coins():
    result = run(
        [1000.0, 1200.0],
        **band(0.5, 0.5),
        transfer_ticks=1,
        coin_value=0.5,
        eth_cost_per_year=0.0438,  # 5e-6 an hour
    )

    # 2 500 USD of margin are 5 coins at half of 1 000. They arrive worth 3 000, for 6 000 USD of
    # short; capital 5 · 1 000 · 5e-6 = 0.025.
    assert result.coming == [[5.0], [0.0]]
    assert result.posted_eth == [[0.0], [5.0]]
    assert result.equity == [[0.0], [3000.0]]
    assert capital(result) == pytest.approx([0.0, -0.025])
    assert shorts(result) == pytest.approx([0.0, 5.0])


def test_what_comes_too_late_comes_back_when_it_is_there():
    result = run(
        [1000.0] * 4,
        **band(0.5, 0.0, 0.0, 0.0),
        transfer_ticks=2,
        capital_cost_per_year=ONE_PER_100_000_AN_HOUR,
    )

    # Tick 1: nothing is wanted any more, but money on its way does not turn round.
    # Tick 2: it arrives, and leaves.
    assert result.coming == [[2500.0], [2500.0], [0.0], [0.0]]
    assert result.paid_in == [2500.0, 2500.0, 0.0, 0.0]
    assert result.equity == [[0.0]] * 4
    assert capital(result) == pytest.approx([0.0, -0.025, -0.025, 0.0])
    assert shorts(result) == [0.0] * 4


def test_nothing_arrives_or_is_decided_while_the_venues_are_closed():
    result = run(
        [1000.0, 1100.0, 1100.0],
        **band(0.5, 0.5, 0.5),
        transfer_ticks=1,
        is_open=[True, False, True],
    )

    # Marked at tick 1 nonetheless: delta 10 · 100.
    assert result.coming == [[2500.0], [2500.0], [0.0]]
    assert shorts(result) == pytest.approx([0.0, 0.0, 5.0])
    assert [row[0] for row in result.pnl] == pytest.approx([0.0, 1000.0, 0.0])
    assert result.reasons[1:] == [{"CLOSED"}, {"RAISE"}]


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
    result = run([1000.0] * 2, **band(0.5, 0.5), transfer_ticks=1, budget_usd=1000.0)

    # Tick 0: 2 500 are asked for, 1 000 leave, which would carry 4 ETH but are not there.
    # Tick 1: they are; another 1 500 are asked for in vain.
    assert result.coming == [[1000.0], [0.0]]
    assert result.equity == [[0.0], [1000.0]]
    assert shorts(result) == pytest.approx([0.0, 4.0])
    assert result.reasons == [
        {"RAISE", "TOP_UP", "UNFUNDED", "AWAITING"},
        {"RAISE", "TOP_UP", "UNFUNDED"},
    ]


def test_a_move_between_venues_sends_the_margin_ahead():
    result = run_two_venues(
        price=[1000.0] * 4,
        **band(0.5, 0.5, 0.5, 0.5, width=0.05),
        weights=[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        transfer_ticks=1,
        capital_cost_per_year=0.0,
    )

    # Tick 2: the second venue has no margin yet, so the first keeps the short; 2 500 leave.
    # Tick 3: they carry it, and what the first one held comes back.
    assert result.short_eth == [[0.0, 0.0], [5.0, 0.0], [5.0, 0.0], [0.0, 5.0]]
    assert result.coming == [[2500.0, 0.0], [0.0, 0.0], [0.0, 2500.0], [0.0, 0.0]]
    assert result.paid_in == [2500.0, 2500.0, 5000.0, 2500.0]
    assert result.reasons[2:] == [
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
        [1000.0, 1000.0, 1480.0, 1480.0],
        **band(0.5, 0.5, 0.5, 0.5),
        transfer_ticks=1,
        keep_alive=0.05,
    )

    # Tick 2: 100 are there, 3 600 leave; what is there counts: 0.6 ETH.
    # Tick 3: 3 700 carry 5 again.
    assert shorts(result) == pytest.approx([0.0, 5.0, 0.6, 5.0])
    assert result.coming[2] == [pytest.approx(3600.0)]
    assert result.equity[3] == [pytest.approx(3700.0)]
    assert result.reasons[2:] == [{"IN_BAND", "TOP_UP", "KEPT_ALIVE"}, {"RAISE"}]


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
