"""Others on the same wallet bring a liquidation nearer, funding moves it, and a fee ends it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.risk.liquidation import (
    bankruptcy_price,
    cross_liquidation_price,
    hours_to_liquidation,
    liquidated,
    liquidation_prices_after_funding,
)
from counterpoise.risk.margin import liquidation_price
from tests.risk.test_margin import (
    ENTRY,
    QUANTITY,
    Account,
    Rules,
    above_maintenance,
    accounts,
    is_close,
    slow_liquidation_price,
    tiers,
)

BINANCE, COIN_M = tiers("binance"), tiers("binance-coin-m")


def test_worked_cross_price_is_binance_s_formula() -> None:
    """The short of the worked example at 5×, wallet 262,056.24, and a position beside it.

    It needs 20,000 USD and is 30,000 under water. In tier 3 (0.65 %, cum 950):
    (262,056.24 - 20,000 - 30,000 + 950 + 727.934·1800) / (727.934·1.0065)
    = (213,006.24 + 1,310,281.20) / 732.665571 = 2,079.10.
    """
    wallet = QUANTITY * ENTRY / 5
    price = cross_liquidation_price(
        wallet, 0.0, 20_000.0, -30_000.0, QUANTITY, ENTRY, ENTRY, False, *BINANCE
    )
    assert round(price, 2) == 2_079.10


def test_the_mark_of_now_does_not_move_a_cross_price() -> None:
    """P&L since entry is in the formula once, wherever the mark is between entry and result."""
    found = [
        cross_liquidation_price(
            262_056.24, 0.0, 20_000.0, -30_000.0, QUANTITY, ENTRY, mark, False, *BINANCE
        )
        for mark in (1_500.0, 1_800.0, 2_050.0)
    ]
    assert found == pytest.approx([found[0]] * 3, rel=1e-12)


def test_worked_cross_price_of_an_inverse_short() -> None:
    """500,000 USD of contracts from 2,000, 50 ETH, of which another position takes 8 and owes 2.

    Tier 2 (0.65 %, 0.15 ETH): 500,000·0.9935 / (250 - 50 + 8 + 2 - 0.15) = 496,750 / 209.85
    = 2,367.17, taken here at a mark of 2,200, where the contracts are 227.27 ETH.
    """
    price = cross_liquidation_price(
        50.0, 0.0, 8.0, -2.0, 500_000.0 / 2_200.0, 2_000.0, 2_200.0, True, *COIN_M
    )
    assert round(price, 2) == 2_367.17


@given(accounts(), st.floats(0.7, 1.4), st.floats(0.0, 0.3), st.floats(-0.3, 0.3))
def test_cross_margin_is_what_the_others_leave(
    case: tuple[Account, Rules], entry_share: float, needed: float, gained: float
) -> None:
    """Against bisection over wallet, P&L since entry, and the others held where they are."""
    (cash, coins, short, mark, inverse), rules = case
    entry = mark * entry_share
    unit = short if inverse else short * mark
    wallet, others, pnl = (coins if inverse else cash), needed * unit, gained * unit
    counted = 0.0 if inverse else coins
    found = cross_liquidation_price(
        wallet, counted, others, pnl, short, entry, mark, inverse, *rules
    )
    own = short * mark * (1 / mark - 1 / entry) if inverse else -short * (mark - entry)
    behind = wallet - others + pnl + own
    account = (0.0, behind, short, mark, True) if inverse else (behind, coins, short, mark, False)
    assert is_close(found, slow_liquidation_price(account, rules))


def test_worked_funding_drain() -> None:
    """Three settlements at -0.3 % on 727.934 ETH marked at 1800, 1850 and 1900: 12,120.10 USD.

    727.934·0.003·(1800 + 1850 + 1900) = 12,120.10, and so
    (262,056.24 - 12,120.10 + 950 + 1,310,281.20) / 732.665571 = 2,130.80.
    """
    prices = liquidation_prices_after_funding(
        QUANTITY * ENTRY / 5,
        0.0,
        QUANTITY,
        ENTRY,
        False,
        np.full(3, -0.003),
        np.array([1_800.0, 1_850.0, 1_900.0]),
        *BINANCE,
    )
    assert round(prices[-1], 2) == 2_130.80
    assert all(np.diff(prices) < 0)


def test_worked_funding_of_an_inverse_short() -> None:
    """+0.1 % on 500,000 USD of contracts at a mark of 2,500 is 0.2 ETH: 50.2 instead of 50.

    496,750 / (250 - 50.2 - 0.15) = 496,750 / 199.65 = 2,488.10, were the mark not past 2,485.61.
    """
    drain = np.array([0.001])
    account = 0.0, 50.0, 250.0, 2_000.0, True
    late = liquidation_prices_after_funding(*account, drain, np.array([2_500.0]), *COIN_M)
    assert np.isnan(late).all()
    in_time = liquidation_prices_after_funding(*account, drain * 0.8, np.array([2_000.0]), *COIN_M)
    assert round(in_time[0], 2) == 2_488.10


@given(
    accounts(),
    st.lists(st.floats(-0.003, 0.003), min_size=1, max_size=5),
)
def test_funding_received_raises_it_and_funding_paid_lowers_it(
    case: tuple[Account, Rules], rates: list[float]
) -> None:
    account, rules = case
    marks = np.full(len(rates), account[3])
    before = liquidation_price(*account, *rules)
    after = liquidation_prices_after_funding(*account, np.array(rates), marks, *rules)
    for rate, price in zip(rates, after, strict=True):
        if not before > account[3]:
            assert math.isnan(price)
        elif rate >= 0:
            assert price >= before * (1 - 1e-12)
        else:
            assert price <= before * (1 + 1e-12)
        before = price


@given(accounts(), st.floats(1e-5, 0.01))
def test_funding_lasts_exactly_until_it_does_not(case: tuple[Account, Rules], paid: float) -> None:
    """One settlement earlier equity is above maintenance, then it is not."""
    account, rules = case
    hours = hours_to_liquidation(*account, -paid, 8.0, *rules)
    if above_maintenance(account, account[3], rules) <= 0:
        assert hours == 0
        return
    cash, coins, short, price, inverse = account
    size = short if inverse else short * price

    def left(settlements: float) -> float:
        drained = settlements * paid * size
        after = (0.0, coins - drained) if inverse else (cash - drained, coins)
        return above_maintenance((*after, short, price, inverse), price, rules) / size

    assert left(hours / 8) <= 1e-9
    assert left(hours / 8 - 1) > -1e-9


def test_worked_hours() -> None:
    """262,056.24 - (1,310,281.2·0.65 % - 950) = 254,489.41 above; 3,930.84 a settlement: 65th."""
    account = QUANTITY * ENTRY / 5, 0.0, QUANTITY, ENTRY, False
    assert hours_to_liquidation(*account, -0.003, 8.0, *BINANCE) == 65 * 8
    assert hours_to_liquidation(*account, 0.0, 8.0, *BINANCE) == math.inf
    assert math.isnan(hours_to_liquidation(*account, math.nan, 8.0, *BINANCE))


@given(accounts())
def test_bankruptcy_lies_at_or_beyond_liquidation(case: tuple[Account, Rules]) -> None:
    account, rules = case
    cash, coins, short, price, inverse = account
    bankrupt, dies = bankruptcy_price(*account), liquidation_price(*account, *rules)
    assert bankrupt >= dies * (1 - 1e-12)
    if price < bankrupt < 1e9:
        equity = coins + short * (price / bankrupt - 1)
        if not inverse:
            equity = cash + coins * bankrupt - short * (bankrupt - price)
        assert equity == pytest.approx(0, abs=1e-9 * short * bankrupt)


def test_worked_bankruptcy() -> None:
    """5× from 1800: everything is gone at 1800·1.2; inverse: 500,000 / (250 - 50)."""
    assert bankruptcy_price(QUANTITY * ENTRY / 5, 0.0, QUANTITY, ENTRY, False) == pytest.approx(
        2_160.0
    )
    assert bankruptcy_price(0.0, 50.0, 250.0, 2_000.0, True) == 2_500.0
    assert bankruptcy_price(0.0, 100.0, 100.0, 2_000.0, False) == math.inf


def test_a_fee_above_maintenance_takes_all_that_is_left() -> None:
    """At 2,147.35 the worked example has 9,210.33 of maintenance; 1.25 % would be 19,539."""
    end = liquidated(QUANTITY * ENTRY / 5, 0.0, QUANTITY, ENTRY, False, 0.0125, *BINANCE)
    assert round(end.price_usd, 2) == 2_147.35
    assert (round(end.fee, 2), round(end.left, 2)) == (9_210.33, 0.0)
    assert round(end.lost, 2) == round(QUANTITY * ENTRY / 5, 2)


def test_worked_end_of_an_inverse_short() -> None:
    """201.16 ETH at 2,485.61: maintenance 201.16·0.65 % - 0.15 = 1.1575, fee 0.5 % = 1.0058."""
    end = liquidated(0.0, 50.0, 250.0, 2_000.0, True, 0.005, *COIN_M)
    assert [round(part, 4) for part in end[1:]] == [1.0058, 0.1517, 49.8483]


@given(accounts(), st.floats(0.0, 0.02))
def test_what_is_lost_and_what_is_left_is_what_there_was(
    case: tuple[Account, Rules], fee: float
) -> None:
    """And what ETH collateral gained on the way."""
    account, rules = case
    cash, coins, short, price, inverse = account
    end = liquidated(*account, fee, *rules)
    if math.isinf(end.price_usd):
        assert math.isnan(end.left)
        return
    posted = coins if inverse else cash + coins * end.price_usd
    unit = short if inverse else short * end.price_usd
    assert end.lost + end.left == pytest.approx(posted, abs=1e-9 * unit)
    assert 0 <= end.fee <= fee * unit * (1 + 1e-12)
    if price < end.price_usd:
        assert end.left >= -1e-9 * unit
