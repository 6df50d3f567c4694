"""A short dies where the venue's own formula says, whatever margins it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.risk.margin import (
    liquidation_price,
    maintenance_margin,
    maintenance_of_short,
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
    price = liquidation_price(equity, 0.0, QUANTITY, ENTRY, False, *tiers(venue))
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
    price = liquidation_price(equity, 0.0, quantity, entry, False, *tiers("binance"))
    left = equity - quantity * (price - entry)
    needed = maintenance_margin(quantity * price, *tiers("binance"))
    assert left == pytest.approx(needed, rel=1e-9, abs=1e-6)


@given(sizes, prices, leverages, st.floats(0.0, 0.5))
def test_eth_collateral_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float, haircut: float
) -> None:
    collateral = quantity / leverage / (1 - haircut)
    counted = collateral * (1 - haircut)
    price = liquidation_price(0.0, counted, quantity, entry, False, *tiers("binance"))
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
    price = liquidation_price(0.0, collateral, quantity, entry, True, *tiers("binance-coin-m"))
    if math.isinf(price):
        # Nothing is owed in the limit of an infinite price, maintenance credit included.
        assert collateral >= quantity * 0.9
        return
    left = collateral + notional * (1 / price - 1 / entry)
    needed = maintenance_margin(notional / price, *tiers("binance-coin-m"))
    assert left == pytest.approx(needed, rel=1e-6, abs=1e-9 * quantity)


def test_a_fully_collateralised_inverse_short_cannot_be_liquidated() -> None:
    rules = tiers("binance-coin-m")
    assert math.isinf(liquidation_price(0.0, 10.0, 10.0, 2_000.0, True, *rules))


def test_more_leverage_dies_sooner() -> None:
    died = [
        liquidation_price(
            QUANTITY * ENTRY / leverage, 0.0, QUANTITY, ENTRY, False, *tiers("binance")
        )
        for leverage in (2, 3, 5, 10)
    ]
    assert died == sorted(died, reverse=True)


def test_a_debt_brings_the_liquidation_of_eth_collateral_nearer() -> None:
    rules = tiers("binance")
    free, indebted = (
        liquidation_price(cash, 300.0, QUANTITY, ENTRY, False, *rules) for cash in (0.0, -100_000.0)
    )
    assert ENTRY < indebted < free
    left = -100_000.0 + 300.0 * indebted - QUANTITY * (indebted - ENTRY)
    assert left == pytest.approx(maintenance_margin(QUANTITY * indebted, *rules), rel=1e-9)


def test_an_inverse_short_shrinks_in_eth_as_the_price_rises() -> None:
    rules = tiers("binance-coin-m")
    usd = maintenance_of_short(100.0, 2_000.0, 4_000.0, True, *rules)
    assert usd == pytest.approx(4_000.0 * maintenance_margin(50.0, *rules))
    linear = maintenance_of_short(100.0, 2_000.0, 4_000.0, False, *tiers("binance"))
    assert linear == pytest.approx(maintenance_margin(400_000.0, *tiers("binance")))
