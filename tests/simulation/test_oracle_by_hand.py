"""Small runs of the slow simulator worked out by hand, so that the oracle itself has a judge.

One or two venues and a few hours each; every expected number is derived in the comment beside it.
They say nothing about the compiled simulator.
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
    "contract_usd": [100.0],
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
    "eth_cost_per_year": 0.0,
    "coin_value": 0.0,
    "inverse": False,
    "budget_usd": math.inf,
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


def run_two_venues(*, price: list[float], **given: object) -> OracleResult:
    """Simulate two calm venues, spot and both perpetuals at one price."""
    ticks = len(price)
    calm = {
        "mark_high": [[NAN, NAN]] * ticks,
        "funding_settled": [[NAN, NAN]] * ticks,
        "funding_mark": [[NAN, NAN]] * ticks,
        "volume_day_eth": [[500.0, 500.0]] * ticks,
        "sigma_day": [0.04] * ticks,
        "urgency": [NAN] * ticks,
        "exposure_eth": [10.0] * ticks,
        "bucket": list(range(ticks)),
    }
    both = {name: value * 2 for name, value in CALM.items() if isinstance(value, list)}
    series = {"spot": price, "perp": [[at, at] for at in price]}
    return simulate(**{**CALM, **both, **calm, **series, **given})


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
    # Tick 1: capital 5 000 paid in · 1e-5 = 0.05. ΔS = 100, ΔF = 110.
    #   delta 10 · 100 − 5 · 100 = 500, basis −5 · (110 − 100) = −50,
    #   equity 4 993.6 − 550 = 4 443.6.
    #   funding at the close: 5 · 2 110 · 0.0001 = 1.055, equity 4 444.655.
    #   h = 0.5 is in the band; 10 550 / 4 444.655 = 2.37 is between 2² / 4 = 1 and 4: margin stays.
    assert result.pnl[0] == pytest.approx([500.0, -50.0, 1.055, -3.8, -2.6, -0.05, 0.0])
    assert result.short_eth[0] == pytest.approx([5.0])
    assert result.equity[0] == pytest.approx([4444.655])
    assert result.reasons[0] == {"RAISE", "TOP_UP", "IN_BAND"}

    # Tick 2: capital 5 000e-5 = 0.05 whatever the short lost. ΔS = −50 with the exposure of the
    #   tick before: delta 10 · (−50) + 5 · 50 = −250; ΔF = −60: basis −5 · (−60 + 50) = 50;
    #   equity 4 744.655.
    #   funding at the given mark: 5 · 2 040 · (−0.0002) = −2.04, equity 4 742.615.
    #   The exposure is 20 now, h = 0.25 < 0.4, so to 10 ETH: 5 more, notional traded 10 250,
    #   fee 3.895, slip 2.665. 20 500 / 4 742.615 = 4.32 > 4, so margin to 20 500 / 2 = 10 250;
    #   equity 10 250 − 3.895 − 2.665 = 10 243.44.
    assert result.pnl[1] == pytest.approx([-250.0, 50.0, -2.04, -3.895, -2.665, -0.05, 0.0])
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
    #   The 3 000 paid in stay paid in, so every tick from here costs 3 000e-5 = 0.03.
    # Tick 1: h = 0.3 > 0.2, so to 2 ETH:
    #   fee 1 000 · 0.0001 = 0.1; 2 000 / 2 999.7 = 0.67 ≥ 1² / 2: margin stays, equity 2 999.6.
    # Tick 2, a gap, age 1: funding at the last close 2 · 1 000 · 0.001 = 2,
    #   equity 3 001.6.
    # Tick 3: ΔS = 1 200 − 1 000, ΔF = 210 over the gap:
    #   delta 10 · 200 − 2 · 200 = 1 600, basis −2 · 10 = −20, equity 3 001.6 − 420 = 2 581.6.
    #   age 2 ≤ 2: the band of tick 1 is held and h = 0.2 lies in it.
    # Tick 4: age 3 > 2: back up to 3 ETH, fee 1 · 1 210 · 0.0001 = 0.121;
    #   3 630 / 2 581.6 = 1.41 lies between 0.5 and 2: margin stays, equity 2 581.479.
    assert result.pnl[0] == pytest.approx([0.0, 0.0, 0.0, -0.3, 0.0, 0.0, 0.0])
    assert result.pnl[1] == pytest.approx([0.0, 0.0, 0.0, -0.1, 0.0, -0.03, 0.0])
    assert result.pnl[2] == pytest.approx([0.0, 0.0, 2.0, 0.0, 0.0, -0.03, 0.0])
    assert result.pnl[3] == pytest.approx([1600.0, -20.0, 0.0, 0.0, 0.0, -0.03, 0.0])
    assert result.pnl[4] == pytest.approx([0.0, 0.0, 0.0, -0.121, 0.0, -0.03, 0.0])

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
    #   What did not come home stays paid in and costs on: (443.137… + 27.215…) · 1e-5 a tick.
    # Tick 2: delta 10 · (−20) = −200. 0.04 ETH wanted, worth 40 < 50: not ordered.
    # Tick 3: delta 10 · 10 = 100. 0.057 ETH wanted, 5 steps = 0.05 ETH worth 50.5: ordered, margin
    #   50.5 / 10 = 5.05.
    exit_price = 5552 / 5.1
    lost = (5 * exit_price - 5000) + 0.025 * exit_price
    assert result.pnl[0] == pytest.approx([0.0] * 7)
    assert result.pnl[1] == pytest.approx(
        [200 - (5 * exit_price - 5000), 0.0, 0.0, 0.0, 0.0, -0.005, -0.025 * exit_price]
    )
    assert result.pnl[2] == pytest.approx([-200.0, 0.0, 0.0, 0.0, 0.0, -lost * 1e-5, 0.0])
    assert result.pnl[3] == pytest.approx([100.0, 0.0, 0.0, 0.0, 0.0, -lost * 1e-5, 0.0])

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


def band(*goals: float, width: float = 0.0) -> dict[str, list[float]]:
    """An intent to each goal, or to rest within ``width`` of it."""
    return {
        "lo": [goal - width for goal in goals],
        "hi": [goal + width for goal in goals],
        "to_lo": list(goals),
        "to_hi": list(goals),
    }


def change_of_wealth(result: OracleResult, first_spot: float, exposure: float) -> float:
    """USD won since the start by a constant holding whose accounts are empty again."""
    assert result.posted_eth[-1] == [0.0]
    held = result.exposure_eth[-1] * result.spot[-1] - result.paid_in[-1]
    return held - exposure * first_spot


def all_but_capital(result: OracleResult) -> float:
    """Sum of the components, the cost of capital left out (no account pays it)."""
    return sum(sum(row[:5]) + row[6] for row in result.pnl)


def test_eth_collateral_carries_a_debt_through_a_rally_and_gives_back_cash_first():
    price = [1000.0, 1200.0, 1400.0, 900.0, 900.0]
    result = run_one_venue(
        spot=price,
        perp=price,
        exposure_eth=[10.0] * 5,
        **band(0.5, 0.5, 0.5, 0.2, 0.0),
        bucket=[0, 1, 2, 3, 4],
        maker_fee=[0.0002],
        coin_value=0.8,
        eth_cost_per_year=0.0438,  # 0.0438 / 8760 = 5e-6 an hour
    )

    # Tick 0: 5 ETH, notional 5 000, margin 5 000 / 2 = 2 500 = 0.8 · 3.125 coins · 1 000.
    #   The fee, 5 000 · 0.0002 = 1, is a debt: cash −1, equity 2 499.
    # Tick 1: capital, on the debt and the coins, 1 · 1e-5 + 3.125 · 1 000 · 5e-6 = 0.015635.
    #   delta 10 · 200 − 5 · 200 = 1 000; cash −1 001; equity 2.5 · 1 200 − 1 001 = 1 999,
    #   a third of the notional 6 000 (between 1/4 and 1): margin stays.
    # Tick 2: capital 1 001e-5 + 3.125 · 1 200 · 5e-6 = 0.01001 + 0.01875 = 0.02876.
    #   delta 1 000; cash −2 001; equity 2.5 · 1 400 − 2 001 = 1 499. The notional 7 000 is more
    #   than 4 · 1 499, so up to 7 000 / 2 = 3 500: 2 001 USD of margin are 2 001 / (0.8 · 1 400)
    #   coins, and 10 − 3.125 are left to post.
    coins = 3.125 + 2001 / 1120
    # Tick 3: capital 2 001e-5 + coins · 1 400 · 5e-6 = 0.02001 + 0.007 · coins.
    #   delta (10 − 5) · (−500) = −2 500; cash −2 001 + 2 500 = 499; equity 499 + 720 · coins
    #   (4 035.36). Down to 2 ETH: notional 1 800 needs 900 and 1 800 · 4 < 4 · 4 035, so the rest
    #   goes home: the cash of 499 first, then coins until 720 · 1.25 = 900 are left.
    #   The fee, 3 · 900 · 0.0002 = 0.54, is a debt again.
    # Tick 4: capital: the 499 that came home earn what they would cost, the debt and the coins
    #   cost: (−499 + 0.54) · 1e-5 + 1.25 · 900 · 5e-6 = −0.0049846 + 0.005625 = 0.0006404.
    #   Closed for a fee of 2 · 900 · 0.0002 = 0.36: the debt of 0.9 is paid off, the coins go home.
    assert result.pnl[0] == pytest.approx([0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
    assert result.pnl[1] == pytest.approx([1000.0, 0.0, 0.0, 0.0, 0.0, -0.015635, 0.0])
    assert result.pnl[2] == pytest.approx([1000.0, 0.0, 0.0, 0.0, 0.0, -0.02876, 0.0])
    assert result.pnl[3] == pytest.approx(
        [-2500.0, 0.0, 0.0, -0.54, 0.0, -(0.02001 + 0.007 * coins), 0.0]
    )
    assert result.pnl[4] == pytest.approx([0.0, 0.0, 0.0, -0.36, 0.0, -0.0006404, 0.0])

    assert [row[0] for row in result.short_eth] == pytest.approx([5.0, 5.0, 5.0, 2.0, 0.0])
    posted = [row[0] for row in result.posted_eth]
    assert posted == pytest.approx([3.125, 3.125, coins, 1.25, 0.0])
    equities = [row[0] for row in result.equity]
    assert equities == pytest.approx([2499.0, 1999.0, 3500.0, 899.46, 0.0])
    assert result.paid_in == pytest.approx([0.0, 0.0, 0.0, -499.0, -498.1])
    ratios = [1999 / 6000, 1499 / 7000, (499 + 720 * coins) / 4500, 899.46 / 1800]
    assert result.margin_low == pytest.approx([NAN, *ratios], nan_ok=True)
    assert result.exposure_eth == result.exposure_mean == [10.0] * 5
    assert result.reasons[2:4] == [{"IN_BAND", "TOP_UP"}, {"LOWER", "RELEASE"}]

    # 10 ETH lost 100 each, 498.1 came home: −501.9, as much as the components.
    assert change_of_wealth(result, 1000.0, 10.0) == pytest.approx(-501.9)
    assert all_but_capital(result) == pytest.approx(-501.9)


def test_falling_coins_under_a_debt_liquidate_at_the_close():
    price = [1000.0, 1600.0, 1600.0, 952.0]
    result = run_one_venue(
        spot=price,
        perp=price,
        mark_high=[NAN, NAN, NAN, 1590.0],
        exposure_eth=[10.0] * 4,
        lo=[0.5, 0.5, 0.05, 0.0],
        hi=[0.5, 0.5, 0.05, 1.0],
        to_lo=[0.5, 0.5, 0.05, 0.0],
        to_hi=[0.5, 0.5, 0.05, 1.0],
        bucket=[0, 1, 2, 3],
        liquidation_fee=[0.01],
        coin_value=0.5,
        capital_cost_per_year=0.0,
    )

    # Tick 0: 5 ETH, margin 2 500 = 0.5 · 5 coins · 1 000.
    # Tick 1: delta (10 − 5) · 600 = 3 000; cash −3 000; equity 2.5 · 1 600 − 3 000 = 1 000, above
    #   the maintenance of 80, but 8 000 > 4 · 1 000: up to 4 000 with 3 000 / 800 = 3.75 coins.
    # Tick 2: down to 0.5 ETH, notional 800, but the debt of 3 000 is what margin must be there for:
    #   3 000 · 4 < 4 · 4 000, so 1 500 stay. No cash to give back: 2 500 / 800 = 3.125 coins go
    #   home, 5.625 stay.
    # Tick 3: at the high −3 000 + 2.8125 · 1 590 + 0.5 · 10 = 1 476.875 is enough. At the close
    #   −3 000 + 2.8125 · 952 + 0.5 · 648 = 1.5 is less than 0.01 · 476 = 4.76: liquidated there.
    #   The short won 324; the fee of 4.76 finds 1.5. delta 10 · (−648) + 324 = −6 156.
    #   Nothing is wanted: the debt of 3 000 − 324 + 1.5 is paid off, the coins go home.
    assert result.pnl[1] == pytest.approx([3000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert result.pnl[2] == pytest.approx([0.0] * 7)
    assert result.pnl[3] == pytest.approx([-6156.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.5])
    assert [row[0] for row in result.short_eth] == pytest.approx([5.0, 5.0, 0.5, 0.0])
    assert [row[0] for row in result.posted_eth] == pytest.approx([5.0, 8.75, 5.625, 0.0])
    assert [row[0] for row in result.equity] == pytest.approx([2500.0, 4000.0, 1500.0, 0.0])
    assert result.paid_in == pytest.approx([0.0, 0.0, 0.0, 2677.5])
    assert result.margin_low == pytest.approx([NAN, 1 / 8, 1 / 2, 1.5 / 476], nan_ok=True)
    assert result.reasons[2] == {"LOWER", "RELEASE"}
    assert result.liquidations == 1

    # 10 · (−48) − 2 677.5 = −3 157.5 = 3 000 − 6 156 − 1.5.
    assert change_of_wealth(result, 1000.0, 10.0) == pytest.approx(-3157.5)
    assert all_but_capital(result) == pytest.approx(-3157.5)


def test_a_coin_margined_short_shrinks_in_eth_pays_in_eth_and_is_liquidated():
    result = run_one_venue(
        spot=[2000.0, 2490.0, 3000.0],
        perp=[2000.0, 2500.0, 3000.0],
        mark_high=[NAN, NAN, 4000.0],
        exposure_eth=[10.0] * 3,
        lo=[0.5, 0.4, 0.0],
        hi=[0.5, 0.6, 1.0],
        to_lo=[0.5, 0.5, 0.0],
        to_hi=[0.5, 0.5, 1.0],
        funding_settled=[NAN, 0.000248, NAN],
        funding_mark=[NAN, 2480.0, NAN],
        bucket=[0, 1, 2],
        maker_fee=[0.0002],
        liquidation_fee=[0.005],
        tiers=[[(2.0, 0.01, 0.0), (1e9, 0.02, 0.02)]],  # ETH
        coin_value=1.0,
        inverse=True,
        eth_cost_per_year=0.0438,  # 5e-6 an hour
    )

    # Tick 0: 5 ETH = 100 contracts of 100 USD; margin 5 000 = 2.5 coins; the fee of 2 USD is
    #   0.001 coins: 2.499 are posted, won is −0.001, L = 9.999.
    # Tick 1: capital 2.499 · 2 000 · 5e-6 = 0.02499. ΔS = 490, ΔF = 500:
    #   delta (9.999 − 5) · 490 = 2 449.51; gained −5 · 500 / 2 500 = −1 ETH;
    #   basis −1 · 2 490 + 5 · 490 = −40; the short is 10 000 / 2 500 = 4 ETH now.
    #   funding 10 000 / 2 480 · 0.000248 = 0.001 ETH, 2.49 USD.
    #   won −0.001 − 1 + 0.001 = −1, coins 1.5, L = 9, h = 4 / 9 is in the band; equity 3 750 is
    #   between 1/4 and 1 of the notional 10 000.
    # Tick 2: capital 1.5 · 2 490 · 5e-6 = 0.018675. At the high 1.5 · 4 000 − 4 · 1 500 = 0 is
    #   left: liquidated. In the first tier 10 000 · 0.99 / (4 − 1.5) = 3 960, where the short is
    #   2.53 > 2 ETH; in the second p* = 10 000 · 0.98 / (4 − 1.5 − 0.02) = 9 800 / 2.48 (3 951.61).
    exit_price = 9800 / 2.48
    loss_eth = 4 * (exit_price - 2500) / exit_price
    fee_eth = 0.005 * 10_000 / exit_price
    #   1.5 − loss is 0.0306 coins, worth 121, so the fee of 50 is paid in full. Both are ETH,
    #   counted at the spot close; delta 9 · 510 − loss.
    #   Nothing is wanted: the coins that are left go home.
    assert result.pnl[0] == pytest.approx([0.0, 0.0, 0.0, -2.0, 0.0, 0.0, 0.0])
    assert result.pnl[1] == pytest.approx([2449.51, -40.0, 2.49, 0.0, 0.0, -0.02499, 0.0])
    assert result.pnl[2] == pytest.approx(
        [4590 - loss_eth * 3000, 0.0, 0.0, 0.0, 0.0, -0.018675, -fee_eth * 3000]
    )
    assert [row[0] for row in result.short_eth] == pytest.approx([5.0, 4.0, 0.0])
    assert [row[0] for row in result.posted_eth] == pytest.approx([2.499, 1.5, 0.0])
    assert [row[0] for row in result.equity] == pytest.approx([4998.0, 3750.0, 0.0])
    assert result.exposure_eth == pytest.approx([9.999, 9.0, 9 - loss_eth - fee_eth])
    assert result.exposure_mean == pytest.approx([10.0, 9.999, 9.0])
    # The notional is 10 000 USD at any price: (2.499 · 2 500 − 2 500) / 10 000 at tick 1.
    assert result.margin_low == pytest.approx([NAN, 0.37475, 0.0], nan_ok=True)
    assert result.paid_in == [0.0, 0.0, 0.0]
    assert result.liquidations == 1
    assert change_of_wealth(result, 2000.0, 10.0) == pytest.approx(all_but_capital(result))


def test_a_fully_hedged_coin_margined_holder_keeps_the_dollars_whatever_the_price_does():
    price = [2000.0, 2500.0, 1600.0, 4000.0, 400.0]
    result = run_one_venue(
        spot=price,
        perp=price,
        mark_high=[NAN, 100_000.0, NAN, NAN, NAN],
        exposure_eth=[10.0] * 5,
        **band(1.0, 1.0, 1.0, 1.0, 1.0, width=0.05),
        bucket=[0, 1, 2, 3, 4],
        leverage=1.0,
        leverage_max=2.0,
        coin_value=1.0,
        inverse=True,
        capital_cost_per_year=0.0,
    )

    # All 10 coins are posted behind 20 000 USD of contracts: 10 · p − 10 · (p − 2 000) = 20 000 at
    # any p, so no price liquidates (d = 10 − 10 = 0), not even 100 000. Short and L are both
    # 20 000 / p, so h stays 1 and no order is ever needed.
    dollars = [held * price for held, price in zip(result.exposure_eth, result.spot, strict=True)]
    assert dollars == pytest.approx([20_000.0] * 5)
    eth = [10.0, 8.0, 12.5, 5.0, 50.0]
    assert [row[0] for row in result.short_eth] == pytest.approx(eth)
    assert [row[0] for row in result.posted_eth] == pytest.approx(eth)
    assert result.traded_eth == pytest.approx([10.0, 0.0, 0.0, 0.0, 0.0])
    for row in result.pnl:
        assert row == pytest.approx([0.0] * 7, abs=1e-9)
    assert result.margin_low == pytest.approx([NAN, 1.0, 1.0, 1.0, 1.0], nan_ok=True)
    assert result.liquidations == 0


def test_a_usdt_account_out_of_budget_carries_what_it_can_and_is_liquidated():
    price = [1000.0, 1100.0, 1100.0, 1150.0, 1300.0]
    result = run_one_venue(
        spot=price,
        perp=price,
        mark_high=[NAN, NAN, NAN, NAN, 1400.0],
        exposure_eth=[10.0] * 5,
        **band(0.5, 0.8, 1.0, 0.9, 0.8, width=0.05),
        bucket=[0, 1, 2, 3, 4],
        min_notional_usd=[200.0],
        liquidation_fee=[0.005],
        budget_usd=3000.0,
        capital_cost_per_year=0.0,
    )

    # Tick 0: 5 ETH, margin 2 500 of the 3 000.
    # Tick 1: cash 2 000. 8 ETH are wanted: 8 800 > 4 · 2 000 asks for 4 400; the last 500 make it
    #   2 500, which carries 4 · 2 500 / 1 100 = 9.09 ETH: all 8, at more leverage than asked for.
    # Tick 2: 10 ETH are wanted: 11 000 > 4 · 2 500 and nothing is left. 9.09 − 8 is 10
    #   steps: 9 ETH.
    # Tick 3: delta (10 − 9) · 50 = 50; cash 2 500 − 450 = 2 050; 10 350 > 4 · 2 050 asks for more,
    #   in vain; the short in place is not cut.
    # Tick 4: at the high 2 050 − 9 · 250 < 0: liquidated at
    #   p* = (2 050 + 9 · 1 150) / (9 · 1.01) = 12 400 / 9.09 (1 364.14). The 12 400 less 9 · p*
    #   leave 0.09 · p*, the fee 0.045 · p*; so 0.045 · p* = 61.39 is left.
    #   delta 10 · 150 − 9 · p* + 10 350.
    #   8 ETH are wanted again: 61.39 carries 4 · 61.39 / 1 300 = 0.19 ETH, one step worth
    #   130 < 200: no order, and what is left goes home.
    exit_price = 12_400 / 9.09
    assert [sum(row) for row in result.pnl[:4]] == pytest.approx([0.0, 500.0, 0.0, 50.0])
    assert result.pnl[4] == pytest.approx(
        [1500 - (9 * exit_price - 10_350), 0.0, 0.0, 0.0, 0.0, 0.0, -0.045 * exit_price]
    )
    assert [row[0] for row in result.short_eth] == pytest.approx([5.0, 8.0, 9.0, 9.0, 0.0])
    assert [row[0] for row in result.equity] == pytest.approx([2500.0, 2500.0, 2500.0, 2050.0, 0.0])
    assert result.paid_in == pytest.approx(
        [2500.0, 3000.0, 3000.0, 3000.0, 3000 - 0.045 * exit_price]
    )
    assert result.reasons == [
        {"RAISE", "TOP_UP"},
        {"RAISE", "TOP_UP", "UNFUNDED"},
        {"RAISE", "TOP_UP", "UNFUNDED"},
        {"IN_BAND", "TOP_UP", "UNFUNDED"},
        {"RAISE", "TOP_UP", "UNFUNDED"},
    ]
    assert result.margin_low[4] == pytest.approx(-200 / (9 * 1400))
    assert result.liquidations == 1
    assert change_of_wealth(result, 1000.0, 10.0) == pytest.approx(all_but_capital(result))


def test_a_holding_that_fell_below_its_posted_coins_takes_no_margin_back():
    price = [1000.0, 1500.0]
    result = run_one_venue(
        spot=price,
        perp=price,
        exposure_eth=[10.0, 4.0],
        **band(0.5, 1.0),
        bucket=[0, 1],
        coin_value=0.5,
        capital_cost_per_year=0.0,
    )

    # Tick 0: 5 ETH, margin 2 500 = 0.5 · 5 coins · 1 000.
    # Tick 1: delta (10 − 5) · 500; cash −2 500, equity 2.5 · 1 500 − 2 500 = 1 250. 4 ETH are left
    #   to hedge: notional 6 000 > 4 · 1 250 asks for 3 000. 4 − 5 = −1 coin is available, which
    #   counts as none: all 5 coins stay, and the reduction is not undone.
    assert result.pnl[1] == pytest.approx([2500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert result.short_eth == [[5.0], [4.0]]
    assert result.posted_eth == [[5.0], [5.0]]
    assert result.equity == [[2500.0], [1250.0]]
    assert result.reasons[1] == {"LOWER", "TOP_UP", "UNFUNDED"}


def test_coins_owed_to_a_venue_cost_nothing_and_a_bar_below_the_last_mark_liquidates_at_its_high():
    result = run_one_venue(
        spot=[2000.0, NAN, 1900.0],
        perp=[2000.0, NAN, 1900.0],
        exposure_eth=[10.0] * 3,
        lo=[0.5, NAN, 0.0],
        hi=[0.5, NAN, 1.0],
        to_lo=[0.5, NAN, 0.0],
        to_hi=[0.5, NAN, 1.0],
        funding_settled=[NAN, -0.6, NAN],
        bucket=[0, 1, 2],
        liquidation_fee=[0.005],
        coin_value=1.0,
        inverse=True,
        eth_cost_per_year=0.0438,  # 5e-6 an hour
    )

    # Tick 0: 5 ETH, margin 5 000 = 2.5 coins.
    # Tick 1, a gap: capital 2.5 · 2 000 · 5e-6 = 0.025; funding 10 000 / 2 000 · (−0.6) = −3 ETH,
    #   so −0.5 coins are left.
    # Tick 2: no capital. At the high, which is the close, −0.5 · 1 900 + 5 · 100 = −450:
    #   liquidated. Equity met maintenance at 10 000 · 0.99 / (5 + 0.5) = 1 800, below the last mark
    #   of 2 000, which is above the bar: the exit is its high, 1 900. The short won 500,
    #   500 / 1 900 ETH; the coins are still below 0, so no fee.
    #   L was 7: delta 7 · (−100) + 500 = −200.
    assert result.pnl[1] == pytest.approx([0.0, 0.0, -6000.0, 0.0, 0.0, -0.025, 0.0])
    assert result.pnl[2] == pytest.approx([-200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert [row[0] for row in result.posted_eth] == pytest.approx([2.5, -0.5, 0.0])
    assert [row[0] for row in result.equity] == pytest.approx([5000.0, -1000.0, 0.0])
    assert result.exposure_eth == pytest.approx([10.0, 7.0, 7 + 500 / 1900])
    assert result.exposure_mean == pytest.approx([10.0, 10.0, 7.0])
    assert result.margin_low == pytest.approx([NAN, NAN, -450 / 10_000], nan_ok=True)
    assert result.liquidations == 1
    assert change_of_wealth(result, 2000.0, 10.0) == pytest.approx(-6200.0)


def test_a_move_between_venues_waits_until_all_of_it_can_be_carried():
    result = run_two_venues(
        price=[1000.0, 1400.0, 1100.0],
        **band(0.5, 0.5, 0.5, width=0.05),
        weights=[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        budget_usd=2500.0,
    )

    # Tick 0: 5 ETH on the first venue, margin 2 500, the whole budget.
    # Tick 1: capital 2 500e-5 = 0.025; delta (10 − 5) · 400; equity 500. The second venue asks for
    #   7 000 / 2 = 3 500; the first would free 500, which carry 4 · 500 / 1 400 = 1.43 ETH.
    #   1.4 of 5 ETH: nothing moves, and no margin either.
    # Tick 2: delta (10 − 5) · (−300); equity 2 000. The second venue asks for 5 500 / 2 = 2 750 and
    #   gets 2 000, which carry 4 · 2 000 / 1 100 = 7.27 ETH: 5 leave and all 5 arrive.
    assert result.pnl[1] == pytest.approx([2000.0, 0.0, 0.0, 0.0, 0.0, -0.025, 0.0])
    assert result.pnl[2] == pytest.approx([-1500.0, 0.0, 0.0, 0.0, 0.0, -0.025, 0.0])
    assert result.short_eth == [[5.0, 0.0], [5.0, 0.0], [0.0, 5.0]]
    assert result.equity == [[2500.0, 0.0], [500.0, 0.0], [0.0, 2000.0]]
    assert result.paid_in == [2500.0] * 3
    assert result.traded_eth == [5.0, 0.0, 10.0]
    assert result.reasons == [
        {"RAISE", "TOP_UP"},
        {"IN_BAND", "SWITCH", "TOP_UP", "UNFUNDED"},
        {"IN_BAND", "SWITCH", "TOP_UP", "UNFUNDED"},
    ]


def test_what_cannot_carry_an_order_on_one_venue_is_left_to_the_next():
    result = run_two_venues(
        price=[1000.0],
        **band(0.8),
        weights=[[0.5, 0.5]],
        min_notional_usd=[3700.0, 10.0],
        budget_usd=900.0,
    )

    # 4 ETH on each are wanted, margin 2 000 each. 900 carry 4 · 900 / 1 000 = 3.6 ETH: 3 600 is
    # below the minimum of the first venue, so all 900 go to the second.
    assert result.short_eth[0] == pytest.approx([0.0, 3.6])
    assert result.equity == [[0.0, 900.0]]
    assert result.paid_in == [900.0]
    assert result.reasons == [{"RAISE", "TOP_UP", "UNFUNDED"}]


def test_a_closed_venues_debt_is_paid_beside_the_budget_and_overdraws_it():
    result = run_two_venues(
        price=[1000.0, 1000.0, 1400.0],
        **band(0.5, 0.5, 0.5, width=0.05),
        weights=[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        funding_settled=[[NAN, NAN], [-0.52, NAN], [NAN, NAN]],
        budget_usd=5000.0,
    )

    # Tick 0: 5 ETH on the first venue, margin 2 500.
    # Tick 1: capital 0.025; funding 5 000 · (−0.52) = −2 600, cash −100. The short moves over:
    #   2 500 of the budget are left and 2 500 are needed. The debt of 100 is not an open short's,
    #   so it does not compete for them; it is paid as well: 5 100 are paid in.
    # Tick 2: capital 0.051; delta (10 − 5) · 400; equity 500 < 7 000 / 4 asks for 3 500. The budget
    #   is overdrawn by 100, which counts as nothing: the 500 stay.
    assert result.pnl[1] == pytest.approx([0.0, 0.0, -2600.0, 0.0, 0.0, -0.025, 0.0])
    assert result.pnl[2] == pytest.approx([2000.0, 0.0, 0.0, 0.0, 0.0, -0.051, 0.0])
    assert result.short_eth == [[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]]
    assert result.equity == [[2500.0, 0.0], [0.0, 2500.0], [0.0, 500.0]]
    assert result.paid_in == [2500.0, 5100.0, 5100.0]
    assert result.reasons[1:] == [
        {"IN_BAND", "SWITCH", "TOP_UP"},
        {"IN_BAND", "TOP_UP", "UNFUNDED"},
    ]
