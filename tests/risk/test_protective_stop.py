"""A stop below the liquidation price buys back as little as lets the rest survive."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.risk.protective_stop import Short, margin_behind, stop_size
from counterpoise.venues import contract_at
from counterpoise.venues.contract import stack

RULES = stack([contract_at("binance", 1_735_689_600_000)])
TIERS = RULES.tier_cap[0], RULES.tier_rate[0], RULES.tier_amount[0]
SIZE, ENTRY = 727.934, 1_800.0


def naive_equity_above_maintenance(size: float, margin: float, taken: float, mark: float) -> float:
    """Equity less maintenance of a short whose margin was ``margin`` at ``taken``."""
    notional = size * mark
    rate, amount = next(
        (rate, amount) for cap, rate, amount in zip(*TIERS, strict=True) if notional <= cap
    )
    return margin - size * (mark - taken) - (rate * notional - amount)


@pytest.mark.parametrize(("leverage", "dies"), [(5, 2147.35), (3, 2385.80)])
def test_golden_liquidation_prices(leverage: float, dies: float) -> None:
    assert round(Short(SIZE, ENTRY, SIZE * ENTRY / leverage, TIERS).liquidation, 2) == dies


def test_golden_stop_agrees_with_the_formula_by_hand() -> None:
    # With equity E at the trigger t, (E - x·t·s) - (Q - x)·(p - t) = rate·(Q - x)·p - amount,
    # solved for x. The rest, 218 ETH at p = 2,254.71, is in the second tier: 0.5 % less 50.
    trigger, survive, slippage, rate, amount = 2_104.40, 2_254.71, 0.005, 0.005, 50.0
    equity = SIZE * ENTRY / 5 - SIZE * (trigger - ENTRY)
    per_eth = (survive - trigger) + rate * survive
    bought = (SIZE * per_eth - amount - equity) / (per_eth - trigger * slippage)
    short = Short(SIZE, ENTRY, SIZE * ENTRY / 5, TIERS)
    size = stop_size(short, trigger, survive, slippage, 0.001)
    assert size == pytest.approx(math.ceil(bought * 1000) / 1000, abs=1e-9)
    assert size == 510.382


@given(
    size=st.floats(0.01, 10_000.0),
    leverage=st.floats(1.0, 40.0),
    inside=st.floats(0.002, 0.2),
    further=st.floats(0.02, 1.0),
    slippage=st.floats(0.0, 0.1),
)
def test_the_rest_survives_and_nothing_smaller_would_do(
    size: float, leverage: float, inside: float, further: float, slippage: float
) -> None:
    size = round(size, 3)
    short = Short(size, ENTRY, size * ENTRY / leverage, TIERS)
    trigger = short.liquidation * (1.0 - inside)
    survive = short.liquidation * (1.0 + further)
    if trigger <= ENTRY:
        return
    bought = stop_size(short, trigger, survive, slippage, 0.001)
    assert 0.0 < bought <= size
    assert short.after_stop(trigger, bought, slippage) >= survive
    margin = short.margin_usd - size * (trigger - ENTRY)

    def above(eth: float) -> float:
        left = margin - eth * trigger * slippage
        return naive_equity_above_maintenance(size - eth, left, trigger, survive)

    if bought < size:
        assert above(bought) >= -1e-6
    less = bought - 0.001
    if less > 0.001:
        assert above(less) <= 1e-6


def test_a_fall_since_then_leaves_the_stop_where_it_is() -> None:
    short = Short(SIZE, ENTRY, SIZE * ENTRY / 5, TIERS)
    later = short.at(1_500.0)
    assert later.liquidation == pytest.approx(short.liquidation)
    assert stop_size(later, 2_104.40, 2_254.71, 0.005, 0.001) == 510.382


def test_the_venue_knows_of_less_margin_than_the_account_holds() -> None:
    isolated = SIZE * ENTRY / 5
    assert margin_behind(SIZE, ENTRY, 1e6, 2_147.3499, TIERS) == pytest.approx(isolated, rel=1e-5)
    assert margin_behind(SIZE, ENTRY, 1e5, 2_147.35, TIERS) == 1e5
    assert margin_behind(SIZE, ENTRY, 1e6, 0.0, TIERS) == 1e6


def test_all_of_it_where_only_that_helps() -> None:
    tiers = np.array([np.inf]), np.array([0.01]), np.array([0.0])
    short = Short(1.0, 2_000.0, 100.0, tiers)
    # A slippage beyond the rise to be survived: every ETH bought back costs more than it saves.
    assert stop_size(short, 2_060.0, 2_120.0, 0.1, 0.001) == 1.0
