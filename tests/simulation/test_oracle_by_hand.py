"""Three runs of the slow simulator worked out by hand, so that the oracle itself has a judge.

One venue and a few hours each; every expected number is derived in the comment beside it. They say
nothing about the compiled simulator.
"""

import math

import pytest

from tests.simulation.oracle import OracleResult, simulate

NAN = math.nan
ONE_PER_100_000_AN_HOUR = 0.0876  # capital cost a year: 0.0876 / 8760 = 1e-5 an hour

# Everything a run needs besides its prices, exposure, intent and buckets: trading is free, nothing
# settles, margin is 1 % of the notional, and no limit is near.
CALM = {
    "maker_fee": [0.0],
    "taker_fee": [0.0],
    "step_eth": [0.1],
    "min_notional_usd": [10.0],
    "liquidation_fee": [0.0],
    "tiers": [[(1e9, 0.01, 0.0)]],
    "max_ratio": 1.0,
    "fallback_ratio": 0.5,
    "grace_ticks": 0,
    "leverage": 2.0,
    "leverage_max": 4.0,
    "taker_share": 0.0,
    "half_spread": 0.0,
    "impact_coefficient": 0.0,
    "capital_cost_per_year": ONE_PER_100_000_AN_HOUR,
}


def run_one_venue(*, spot: list[float], perp: list[float], **given: object) -> OracleResult:
    """Simulate one venue; per-venue series are given flat, absent ones are calm."""
    ticks = len(spot)
    calm = {
        "perp": perp,
        "mark_high": [NAN] * ticks,
        "funding_settled": [NAN] * ticks,
        "funding_mark": [NAN] * ticks,
        "volume_day_eth": [500.0] * ticks,
        "weights": [1.0] * ticks,
    }
    panels = {name: [[value] for value in given.pop(name, values)] for name, values in calm.items()}
    series = {"spot": spot, "sigma_day": [0.04] * ticks, "urgency": [NAN] * ticks}
    return simulate(**{**CALM, **series, **panels, **given})


def test_a_hedge_is_raised_marked_paid_and_raised_again():
    result = run_one_venue(
        spot=[2000.0, 2100.0, 2050.0],
        perp=[2000.0, 2110.0, 2050.0],
        exposure_eth=[10.0, 10.0, 20.0],
        lo=[0.4] * 3,
        hi=[0.6] * 3,
        to_lo=[0.5] * 3,
        to_hi=[0.5] * 3,
        urgency=[0.2] * 3,
        funding_settled=[NAN, 0.0001, -0.0002],
        funding_mark=[NAN, NAN, 2040.0],
        bucket=[0, 0, 1],
        maker_fee=[0.0002],
        taker_fee=[0.0005],
        taker_share=0.5,
        half_spread=0.0001,
        impact_coefficient=0.05,
    )

    # Every trade here is 5 ETH. s = 0.5 + 0.5 · 0.2 = 0.6, so a fee of
    # 0.6 · 0.0005 + 0.4 · 0.0002 = 0.00038 and a slippage of
    # 0.6 · 0.0001 + 0.05 · 0.04 · √(5 / 500) = 0.00006 + 0.0002 = 0.00026 of the notional.
    #
    # Tick 0: h = 0 < 0.4, so to 0.5 · 10 = 5 ETH, notional 10 000, margin 10 000 / 2 = 5 000.
    #   fee 3.8, slip 2.6, equity 5 000 − 6.4 = 4 993.6.
    # Tick 1: capital 4 993.6 · 1e-5 = 0.049936. ΔS = 100, ΔF = 110.
    #   delta 10 · 100 − 5 · 100 = 500, basis −5 · (110 − 100) = −50,
    #   equity 4 993.6 − 550 = 4 443.6.
    #   funding at the close: 5 · 2 110 · 0.0001 = 1.055, equity 4 444.655.
    #   h = 0.5 is in the band; 10 550 / 4 444.655 = 2.37 is between 2² / 4 = 1 and 4: margin stays.
    assert result.pnl[0] == pytest.approx([500.0, -50.0, 1.055, -3.8, -2.6, -0.049936, 0.0])
    assert result.short_eth[0] == pytest.approx([5.0])
    assert result.equity[0] == pytest.approx([4444.655])
    assert result.reasons[0] == {"RAISE", "TOP_UP", "IN_BAND"}

    # Tick 2: capital 4 444.655 · 1e-5 = 0.04444655. ΔS = −50 with the exposure of the tick before:
    #   delta 10 · (−50) + 5 · 50 = −250; ΔF = −60: basis −5 · (−60 + 50) = 50; equity 4 744.655.
    #   funding at the given mark: 5 · 2 040 · (−0.0002) = −2.04, equity 4 742.615.
    #   The exposure is 20 now, h = 0.25 < 0.4, so to 10 ETH: 5 more, notional traded 10 250,
    #   fee 3.895, slip 2.665. 20 500 / 4 742.615 = 4.32 > 4, so margin to 20 500 / 2 = 10 250;
    #   equity 10 250 − 3.895 − 2.665 = 10 243.44.
    assert result.pnl[1] == pytest.approx([-250.0, 50.0, -2.04, -3.895, -2.665, -0.04444655, 0.0])
    assert result.short_eth[1] == pytest.approx([10.0])
    assert result.equity[1] == pytest.approx([10243.44])
    assert result.reasons[1] == {"RAISE", "TOP_UP"}

    assert result.traded_eth == pytest.approx([5.0, 5.0])
    assert (result.lo, result.hi) == ([0.4, 0.4], [0.6, 0.6])
    assert result.exposure_eth == [10.0, 20.0]
    assert result.spot == [2100.0, 2050.0]
    assert result.spot_open == [2000.0, 2100.0]
    assert result.liquidations == 0


def test_unknown_intents_are_held_then_fall_back_and_a_gap_is_marked_when_it_ends():
    result = run_one_venue(
        spot=[1000.0, 1000.0, 1100.0, 1200.0, 1200.0],
        perp=[1000.0, 1000.0, NAN, 1210.0, 1210.0],
        exposure_eth=[10.0] * 5,
        lo=[NAN, 0.1, NAN, NAN, NAN],
        hi=[NAN, 0.2, NAN, NAN, NAN],
        to_lo=[NAN, 0.1, NAN, NAN, NAN],
        to_hi=[NAN, 0.2, NAN, NAN, NAN],
        funding_settled=[NAN, NAN, 0.001, NAN, NAN],
        bucket=[0, 1, 2, 3, 4],
        maker_fee=[0.0001],
        taker_fee=[0.001],
        max_ratio=0.8,
        fallback_ratio=0.3,
        grace_ticks=2,
        leverage=1.0,
        leverage_max=2.0,
    )

    # Tick 0: no intent was ever known, so 0.3 · 10 = 3 ETH, all as maker (no urgency):
    #   fee 3 000 · 0.0001 = 0.3, margin 3 000 / 1 − 0.3 = 2 999.7.
    # Tick 1: capital 2 999.7e-5 = 0.029997. h = 0.3 > 0.2, so to 2 ETH:
    #   fee 1 000 · 0.0001 = 0.1; 2 000 / 2 999.7 = 0.67 ≥ 1² / 2: margin stays, equity 2 999.6.
    # Tick 2, a gap, age 1: capital 0.029996; funding at the last close 2 · 1 000 · 0.001 = 2,
    #   equity 3 001.6.
    # Tick 3: capital 0.030016. ΔS = 1 200 − 1 000, ΔF = 210 over the gap:
    #   delta 10 · 200 − 2 · 200 = 1 600, basis −2 · 10 = −20, equity 3 001.6 − 420 = 2 581.6.
    #   age 2 ≤ 2: the band of tick 1 is held and h = 0.2 lies in it.
    # Tick 4: capital 0.025816. age 3 > 2: back up to 3 ETH, fee 1 · 1 210 · 0.0001 = 0.121;
    #   3 630 / 2 581.6 = 1.41 lies between 0.5 and 2: margin stays, equity 2 581.479.
    assert result.pnl[0] == pytest.approx([0.0, 0.0, 0.0, -0.3, 0.0, 0.0, 0.0])
    assert result.pnl[1] == pytest.approx([0.0, 0.0, 0.0, -0.1, 0.0, -0.029997, 0.0])
    assert result.pnl[2] == pytest.approx([0.0, 0.0, 2.0, 0.0, 0.0, -0.029996, 0.0])
    assert result.pnl[3] == pytest.approx([1600.0, -20.0, 0.0, 0.0, 0.0, -0.030016, 0.0])
    assert result.pnl[4] == pytest.approx([0.0, 0.0, 0.0, -0.121, 0.0, -0.025816, 0.0])

    assert [row[0] for row in result.short_eth] == pytest.approx([3.0, 2.0, 2.0, 2.0, 3.0])
    equities = [row[0] for row in result.equity]
    assert equities == pytest.approx([2999.7, 2999.6, 3001.6, 2581.6, 2581.479])
    assert result.traded_eth == pytest.approx([3.0, 1.0, 0.0, 0.0, 1.0])
    assert result.lo == [0.3, 0.1, 0.1, 0.1, 0.3]
    assert result.hi == [0.8, 0.2, 0.2, 0.2, 0.8]
    # The spot close of the gap is not used: a tick has prices on every market or none.
    assert result.spot == [1000.0, 1000.0, 1000.0, 1200.0, 1200.0]
    assert result.spot_open == [1000.0, 1000.0, 1000.0, 1000.0, 1200.0]
    assert result.reasons == [
        {"FALLBACK", "RAISE", "TOP_UP"},
        {"LOWER"},
        set(),
        {"HELD", "IN_BAND"},
        {"FALLBACK", "RAISE"},
    ]


def test_a_spike_liquidates_at_the_second_tier_and_dust_is_not_ordered():
    result = run_one_venue(
        spot=[1000.0, 1020.0, 1000.0, 1010.0],
        perp=[1000.0, 1020.0, 1000.0, 1010.0],
        mark_high=[NAN, 1089.0, NAN, NAN],
        exposure_eth=[10.0] * 4,
        lo=[0.7, 0.0, 0.004, 0.0057],
        hi=[0.7, 1.0, 1.0, 1.0],
        to_lo=[0.7, 0.0, 0.004, 0.0057],
        to_hi=[0.7, 1.0, 1.0, 1.0],
        bucket=[0, 1, 2, 3],
        step_eth=[0.01],
        min_notional_usd=[50.0],
        liquidation_fee=[0.005],
        tiers=[[(5200.0, 0.01, 0.0), (1e9, 0.02, 52.0)]],
        max_ratio=0.5,
        leverage=10.0,
        leverage_max=20.0,
    )

    # Tick 0: 7 ETH wanted, 0.5 · 10 = 5 allowed, margin 5 000 / 10 = 500.
    # Tick 1: at the high the notional is 5 445, in the second tier: 0.02 · 5 445 − 52 = 56.9 is
    #   needed (54.45 in the first), 500 − 5 · 89 = 55 is there: liquidated. The first tier's price
    #   5 500 / 5.05 = 1 089.1 has a notional of 5 445 > 5 200; the second's is
    #   p* = (500 + 5 000 + 52) / (5 · 1.02) = 5 552 / 5.1 = 1 088.627….
    #   loss 5 · p* − 5 000 = 443.137…; 56.862… is left and covers the fee 0.005 · 5 · p* = 27.215….
    #   delta 10 · 20 − 443.137…; capital 500e-5 = 0.005. The band 0 to 1 asks for nothing, and the
    #   rest of the margin goes home with the closed position.
    # Tick 2: delta 10 · (−20) = −200. 0.04 ETH wanted, worth 40 < 50: not ordered.
    # Tick 3: delta 10 · 10 = 100. 0.057 ETH wanted, 5 steps = 0.05 ETH worth 50.5: ordered, margin
    #   50.5 / 10 = 5.05.
    exit_price = 5552 / 5.1
    assert result.pnl[0] == pytest.approx([0.0] * 7)
    assert result.pnl[1] == pytest.approx(
        [200 - (5 * exit_price - 5000), 0.0, 0.0, 0.0, 0.0, -0.005, -0.025 * exit_price]
    )
    assert result.pnl[2] == pytest.approx([-200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert result.pnl[3] == pytest.approx([100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    assert [row[0] for row in result.short_eth] == pytest.approx([5.0, 0.0, 0.0, 0.05])
    assert [row[0] for row in result.equity] == pytest.approx([500.0, 0.0, 0.0, 5.05])
    assert result.traded_eth == pytest.approx([5.0, 0.0, 0.0, 0.05])
    assert result.liquidations == 1
    assert result.reasons == [
        {"RAISE", "CAPPED", "TOP_UP"},
        {"IN_BAND"},
        {"RAISE", "BELOW_MINIMUM"},
        {"RAISE", "TOP_UP"},
    ]
