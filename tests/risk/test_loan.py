"""Loans against ETH: the price at which the lender takes over, and what is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.risk.loan import after_liquidation, liquidation_price_usd, liquidation_ratio

sizes = st.floats(1e-3, 1e6)
thresholds = st.floats(0.05, 0.99)


def test_six_thousand_dollars_against_ten_thousand_at_eighty_percent() -> None:
    """The lender's own example has health 1.333: the price can fall by a quarter."""
    assert float(liquidation_price_usd(6_000.0, 5.0, 0.80)) == 1_500.0  # 5 ETH at 2,000


def test_a_loop_at_ninety_percent_and_threshold_ninety_three_stands_three_percent() -> None:
    assert float(liquidation_ratio(90.0, 100.0, 0.93)) == pytest.approx(0.967742, abs=1e-6)


def test_the_lender_takes_debt_and_penalty() -> None:
    assert after_liquidation(10.0, 8.0, 0.05) == pytest.approx((1.6, 0.4))


@given(sizes, sizes, thresholds)
def test_at_the_liquidation_price_debt_is_threshold_times_collateral(
    debt: float, collateral: float, threshold: float
) -> None:
    price = float(liquidation_price_usd(debt, collateral, threshold))
    assert threshold * collateral * price == pytest.approx(debt, rel=1e-14)


@given(sizes, st.floats(0.0, 2.0), st.floats(0.0, 0.3))
def test_what_is_left_and_what_was_lost_are_never_negative_and_add_up(
    collateral: float, share: float, penalty: float
) -> None:
    debt = share * collateral
    left, lost = after_liquidation(collateral, debt, penalty)
    assert 0.0 <= left <= collateral
    assert lost >= 0.0
    assert left + lost == pytest.approx(max(collateral - debt, 0.0), rel=1e-9, abs=1e-9)
    assert lost <= penalty * debt * (1 + 1e-9) + 1e-9 * collateral
