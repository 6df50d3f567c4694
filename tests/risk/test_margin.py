"""A short dies where the venue's own formula says, whatever margins it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.risk.margin import (
    liquidation_price_eth_collateral,
    liquidation_price_inverse,
    liquidation_price_linear,
    maintenance_margin,
)
from counterpoise.venues import contract_at
from counterpoise.venues.contract import stack

NOW_MS = 1_735_689_600_000
QUANTITY, ENTRY = 727.934, 1800.0


def tiers(venue: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rules = stack([contract_at(venue, NOW_MS)])
    return rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0]


@pytest.mark.parametrize(
    ("venue", "leverage", "expected"),
    [("binance", 5, 2147.35), ("binance", 3, 2385.80), ("dydx", 5, 2134.39)],
)
def test_worked_liquidation_prices(venue: str, leverage: float, expected: float) -> None:
    equity = QUANTITY * ENTRY / leverage
    price = liquidation_price_linear(equity, QUANTITY, ENTRY, *tiers(venue))
    assert round(price, 2) == expected


@pytest.mark.parametrize("venue", ["binance", "dydx", "binance-coin-m"])
def test_maintenance_margin_is_continuous_across_tiers(venue: str) -> None:
    cap, rate, amount = tiers(venue)
    for k in range(len(cap) - 1):
        below = maintenance_margin(cap[k], cap, rate, amount)
        above = rate[k + 1] * cap[k] - amount[k + 1]
        assert below == pytest.approx(above, abs=1e-6)


sizes = st.floats(0.01, 20_000)
prices = st.floats(100, 20_000)
leverages = st.floats(1.0, 50.0)


@given(sizes, prices, leverages)
def test_linear_equity_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float
) -> None:
    equity = quantity * entry / leverage
    price = liquidation_price_linear(equity, quantity, entry, *tiers("binance"))
    left = equity - quantity * (price - entry)
    needed = maintenance_margin(quantity * price, *tiers("binance"))
    assert left == pytest.approx(needed, rel=1e-9, abs=1e-6)


@given(sizes, prices, leverages, st.floats(0.0, 0.5))
def test_eth_collateral_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float, haircut: float
) -> None:
    collateral = quantity / leverage / (1 - haircut)
    price = liquidation_price_eth_collateral(
        collateral, haircut, quantity, entry, *tiers("binance")
    )
    if math.isinf(price):
        assert collateral * (1 - haircut) >= quantity  # ETH worth more than it owes per dollar up
        return
    left = collateral * (1 - haircut) * price - quantity * (price - entry)
    needed = maintenance_margin(quantity * price, *tiers("binance"))
    assert left == pytest.approx(needed, rel=1e-6, abs=1e-6 * quantity * entry)


@given(st.floats(0.01, 10_000), prices, st.floats(1.05, 50.0))
def test_inverse_equity_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float
) -> None:
    notional, collateral = quantity * entry, quantity / leverage
    price = liquidation_price_inverse(collateral, notional, entry, *tiers("binance-coin-m"))
    if math.isinf(price):
        # Nothing is owed in the limit of an infinite price, maintenance credit included.
        assert collateral >= quantity * 0.9
        return
    left = collateral + notional * (1 / price - 1 / entry)
    needed = maintenance_margin(notional / price, *tiers("binance-coin-m"))
    assert left == pytest.approx(needed, rel=1e-6, abs=1e-9 * quantity)


def test_a_fully_collateralised_inverse_short_cannot_be_liquidated() -> None:
    assert math.isinf(liquidation_price_inverse(10.0, 20_000.0, 2_000.0, *tiers("binance-coin-m")))


def test_more_leverage_dies_sooner() -> None:
    died = [
        liquidation_price_linear(QUANTITY * ENTRY / leverage, QUANTITY, ENTRY, *tiers("binance"))
        for leverage in (2, 3, 5, 10)
    ]
    assert died == sorted(died, reverse=True)
