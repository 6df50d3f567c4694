"""A short dies where the venue's own formula says, whatever margins it."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
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


Rules = tuple[np.ndarray, np.ndarray, np.ndarray]
#: Cash, counted coins, short, price of these, inverse.
Account = tuple[float, float, float, float, bool]


def tiers(venue: str) -> Rules:
    rules = stack([contract_at(venue, NOW_MS)])
    return rules.tier_cap[0], rules.tier_rate[0], rules.tier_amount[0]


def naive_maintenance(notional: float, rules: Rules) -> float:
    """Maintenance by the first tier whose cap holds the notional, one after the other."""
    for cap, rate, amount in zip(*rules, strict=True):
        if notional <= cap:
            return rate * notional - amount
    return rules[1][-1] * notional - rules[2][-1]


def above_maintenance(account: Account, mark: float, rules: Rules) -> float:
    """Equity less maintenance at a mark; in USD, or in ETH of an inverse contract."""
    cash, coins, short, price, inverse = account
    if inverse:
        contracts = short * price
        equity = coins + contracts / mark - contracts / price
        return equity - naive_maintenance(contracts / mark, rules)
    equity = cash + coins * mark - short * (mark - price)
    return equity - naive_maintenance(short * mark, rules)


def slow_liquidation_price(account: Account, rules: Rules) -> float:
    """Lowest mark from the price up at which equity is at or below maintenance, by bisection.

    Between two marks at which the tier changes the distance to maintenance is monotone.
    """
    _, _, short, price, inverse = account
    if above_maintenance(account, price, rules) <= 0:
        return price
    changes = [short * price / cap if inverse else cap / short for cap in rules[0][:-1]]
    marks = [price, *sorted(mark for mark in changes if price < mark < 1e12), 1e12]
    for low, high in pairwise(marks):
        # Just inside: at the change itself it may still be, or already be, the other tier.
        inside, until = low * (1 + 1e-12), high * (1 - 1e-12)
        if above_maintenance(account, inside, rules) <= 0:
            return low
        if above_maintenance(account, until, rules) > 0:
            continue
        for _ in range(200):
            middle = (inside + until) / 2
            if above_maintenance(account, middle, rules) > 0:
                inside = middle
            else:
                until = middle
        return until
    return math.inf


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


def dead(account: Account, rules: Rules) -> bool:
    """Whether equity is at or below maintenance at the price of the account."""
    return above_maintenance(account, account[3], rules) <= 0


sizes = st.floats(0.01, 20_000)
prices = st.floats(100, 20_000)
leverages = st.floats(1.0, 50.0)


@given(sizes, prices, leverages)
def test_linear_equity_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float
) -> None:
    equity = quantity * entry / leverage
    account = (equity, 0.0, quantity, entry, False)
    price = liquidation_price(*account, *tiers("binance"))
    if dead(account, tiers("binance")):
        assert price == entry
        return
    left = equity - quantity * (price - entry)
    needed = maintenance_margin(quantity * price, *tiers("binance"))
    assert left == pytest.approx(needed, rel=1e-9, abs=1e-6)


@given(sizes, prices, leverages, st.floats(0.0, 0.5))
def test_eth_collateral_equals_maintenance_at_the_liquidation_price(
    quantity: float, entry: float, leverage: float, haircut: float
) -> None:
    collateral = quantity / leverage / (1 - haircut)
    counted = collateral * (1 - haircut)
    account = (0.0, counted, quantity, entry, False)
    price = liquidation_price(*account, *tiers("binance"))
    if dead(account, tiers("binance")):
        assert price == entry
        return
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
    account = (0.0, collateral, quantity, entry, True)
    price = liquidation_price(*account, *tiers("binance-coin-m"))
    if dead(account, tiers("binance-coin-m")):
        assert price == entry
        return
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


@st.composite
def random_tiers(draw: st.DrawFn) -> Rules:
    """Rising caps and rates; amounts that join the tiers, or none at all (OKX: they jump)."""
    steps = draw(st.lists(st.floats(1.1, 5.0), min_size=1, max_size=5))
    rises = draw(st.lists(st.floats(1.0, 2.5), min_size=len(steps), max_size=len(steps)))
    cap = draw(st.floats(0.5, 50.0)) * np.cumprod(steps)
    rate = 0.004 * np.cumprod(rises)
    joined = np.concatenate([[0.0], np.cumsum(cap[:-1] * np.diff(rate))])
    return cap, rate, joined if draw(st.booleans()) else np.zeros(len(cap))


@st.composite
def accounts(draw: st.DrawFn) -> tuple[Account, Rules]:
    """An account with its tiers, margined in USD, in ETH or in both, with or without a debt."""
    cap, rate, amount = draw(random_tiers())
    inverse = draw(st.booleans())
    short, price = draw(st.floats(0.1, 100.0)), draw(st.floats(500.0, 5_000.0))
    coins = short * draw(st.floats(0.0, 1.3))
    if inverse:
        return (0.0, coins, short, price, True), (cap, rate, amount)
    cash = short * price * draw(st.floats(-0.5, 1.0))
    return (cash, coins, short, price, False), (cap * 2_000.0, rate, amount * 2_000.0)


def is_close(found: float, expected: float) -> bool:
    """Equal, or so far away that a hair of rounding decides between far and never."""
    return found == pytest.approx(expected, rel=1e-6) or min(found, expected) > 1e8


@given(accounts())
@settings(max_examples=500)
def test_the_price_is_the_lowest_mark_from_now_at_which_equity_meets_maintenance(
    case: tuple[Account, Rules],
) -> None:
    account, rules = case
    assert is_close(liquidation_price(*account, *rules), slow_liquidation_price(account, rules))


@given(accounts(), st.floats(1.0, 1.2), st.floats(0.0, 1.0))
def test_more_collateral_never_brings_it_nearer(
    case: tuple[Account, Rules], more: float, deposit: float
) -> None:
    (cash, coins, short, price, inverse), rules = case
    before = liquidation_price(cash, coins, short, price, inverse, *rules)
    after = liquidation_price(cash + deposit * price, coins * more, short, price, inverse, *rules)
    assert after >= before * (1 - 1e-12)


def test_below_maintenance_already_it_is_the_mark_of_now() -> None:
    rules = tiers("binance")
    assert liquidation_price(1_000.0, 0.0, QUANTITY, ENTRY, False, *rules) == ENTRY
    # 300 ETH behind a debt of 500,000 USD: a far higher mark would owe even more.
    assert liquidation_price(-500_000.0, 278.0, 100.0, ENTRY, False, *rules) == ENTRY
    coin_m = tiers("binance-coin-m")
    assert liquidation_price(0.0, 0.1, 100.0, ENTRY, True, *coin_m) == ENTRY


def test_a_step_in_maintenance_liquidates_at_the_cap() -> None:
    """1 % up to 100,000 USD, 5 % of everything above, as a venue without amounts has it.

    50 ETH at 1,900 with 8,000 USD. At the cap the mark is 2,000 and equity 8,000 - 50·100 = 3,000:
    more than the 1,000 of the first tier, less than the 5,000 of the second.
    """
    rules = np.array([100_000.0, np.inf]), np.array([0.01, 0.05]), np.array([0.0, 0.0])
    assert liquidation_price(8_000.0, 0.0, 50.0, 1_900.0, False, *rules) == 2_000.0


def test_the_tier_at_the_result_counts_not_that_of_now() -> None:
    """30 ETH at 1,000 with 60,000 USD: in tier 1 now (30,000), in tier 2 when it dies.

    Tier 1 to 50,000 at 0.4 %, tier 2 at 0.5 % less 50: (60,000 + 30,000 + 50) / (30·1.005) =
    2,986.73; tier 1 would say 90,000 / 30.12 = 2,988.05.
    """
    found = liquidation_price(60_000.0, 0.0, 30.0, 1_000.0, False, *tiers("binance"))
    assert round(found, 2) == 2_986.73


def test_worked_liquidation_price_of_an_inverse_short() -> None:
    """50,000 contracts of 10 USD from 2,000: 250 ETH of size, 50 ETH of margin.

    At the result the size is between 100 and 500 ETH: tier 2, 0.65 %, amount 100·0.15 % = 0.15.
    500,000·(1 - 0.0065) / (250 - 50 - 0.15) = 496,750 / 199.85 = 2,485.61; size 201.2 ETH.
    """
    found = liquidation_price(0.0, 50.0, 250.0, 2_000.0, True, *tiers("binance-coin-m"))
    assert round(found, 2) == 2_485.61


def test_worked_liquidation_price_of_eth_behind_a_haircut() -> None:
    """100 ETH short from 2,000 on 40 ETH that count 90 %: 36 ETH, 72,000 USD of margin.

    It is worth more as the mark rises. Tier 2 (0.5 %, less 50): (200,000 + 50) / (100·1.005 - 36) =
    200,050 / 64.5 = 3,101.55. The same 72,000 as USDT: 272,050 / 100.5 = 2,706.97.
    """
    rules = tiers("binance")
    coins = liquidation_price(0.0, 40 * 0.9, 100.0, 2_000.0, False, *rules)
    usdt = liquidation_price(72_000.0, 0.0, 100.0, 2_000.0, False, *rules)
    assert (round(coins, 2), round(usdt, 2)) == (3_101.55, 2_706.97)


def test_an_unknown_account_has_no_known_price() -> None:
    rules = tiers("binance")
    assert math.isnan(liquidation_price(math.nan, 0.0, QUANTITY, ENTRY, False, *rules))
    assert math.isnan(liquidation_price(0.0, math.nan, QUANTITY, ENTRY, False, *rules))
