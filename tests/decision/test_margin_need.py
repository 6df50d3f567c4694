"""What holding a short takes, in each collateral, and when it cannot be held."""

import math

import pytest

from counterpoise.config import CapitalSettings
from counterpoise.decision.margin_need import Margin, margin_for
from counterpoise.units import Collateral
from counterpoise.venues import contract_at

NOW_MS = 1_735_689_600_000


def need(
    short: float = 727.934,
    price: float = 1800.0,
    collateral: Collateral = "usdt",
    leverage: float = 5.0,
    exposure: float = 1000.0,
    posted: float | None = None,
    other_maintenance: float = 0.0,
    other_pnl: float = 0.0,
) -> Margin:
    venue = "binance-coin-m" if collateral == "coin-margined" else "binance"
    capital = CapitalSettings(leverage=leverage, leverage_max=leverage + 1)
    return margin_for(
        short,
        price,
        collateral,
        capital,
        contract_at(venue, NOW_MS),
        exposure_eth=exposure,
        posted=posted,
        other_maintenance=other_maintenance,
        other_pnl=other_pnl,
    )


def test_the_worked_example_in_usdt() -> None:
    margin = need()
    assert (margin.unit, round(margin.amount, 2)) == ("USDT", 262_056.24)
    assert round(margin.liquidation_price_usd, 2) == 2147.35
    assert margin.warnings == ()


def test_eth_collateral_is_grossed_up_by_its_haircut_and_dies_later() -> None:
    margin = need(collateral="eth")
    assert margin.unit == "ETH"
    assert margin.amount == pytest.approx(727.934 / 5 / 0.9)
    assert margin.liquidation_price_usd > need().liquidation_price_usd


def test_a_fully_coin_margined_short_never_dies() -> None:
    assert math.isinf(need(collateral="coin-margined", leverage=1.0).liquidation_price_usd)


def test_what_is_posted_counts_instead_of_the_configured_leverage() -> None:
    assert need(posted=1e6).liquidation_price_usd > need().liquidation_price_usd
    assert "liquidate at once" in " ".join(need(posted=1.0).warnings)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"short": 20_000, "leverage": 40.0}, "allows at most 25×"),
        ({"short": 1_000_000}, "largest tier of binance (320,000,000 USD)"),
        ({"short": 20_000, "collateral": "coin-margined", "leverage": 20.0}, "at most 5×"),
        ({"collateral": "eth", "leverage": 1.0, "exposure": 800.0}, "exceeds the 800 ETH held"),
    ],
)
def test_limits_of_venue_and_holder_are_said(given: dict, says: str) -> None:
    assert says in " ".join(need(**given).warnings)


def test_no_short_needs_no_margin() -> None:
    margin = need(short=0.0)
    assert (margin.amount, margin.warnings) == (0.0, ())
    assert math.isinf(margin.liquidation_price_usd)


@pytest.mark.parametrize(
    ("collateral", "amount", "needed", "lost", "dies"),
    [
        # (262,056.24 - 20,000 - 30,000 + 950 + 1,310,281.20) / (727.934·1.0065)
        ("usdt", 262_056.24, 20_000, -30_000, 2_079.10),
        # 1,310,281.20·(1 - 1 %) / (727.934 - 200 + 10 + 20 - 1.9), where it is 561.6 ETH: tier 3
        ("coin-margined", 200.0, 10, -20, 2_332.91),
        # (-20,000 - 30,000 + 950 + 1,310,281.20) / (727.934·1.0065 - 0.9·200)
        ("eth", 200.0, 20_000, -30_000, 2_282.09),
    ],
)
def test_others_on_the_same_margin_bring_liquidation_nearer(
    collateral: Collateral, amount: float, needed: float, lost: float, dies: float
) -> None:
    shared = need(collateral=collateral, posted=amount, other_maintenance=needed, other_pnl=lost)
    assert round(shared.liquidation_price_usd, 2) == dies
    alone = need(collateral=collateral, posted=amount)
    assert shared.liquidation_price_usd < alone.liquidation_price_usd
    assert shared.worst_funding_days < alone.worst_funding_days
    assert shared.amount == amount


def test_what_a_liquidation_leaves_and_how_long_funding_takes() -> None:
    """5x in USDT: the fee of 1.25 % takes all of the 0.65 % maintenance.

    -0.3 % of 1,310,281.20 every 8 h: 254,489.41 above maintenance lasts 65 settlements.
    """
    margin = need()
    assert margin.bankruptcy_price_usd == pytest.approx(2_160.0)
    assert margin.left_usd == 0.0
    assert margin.worst_funding_days == pytest.approx(65 / 3)
    coins = need(collateral="coin-margined", leverage=1.0)
    assert (coins.bankruptcy_price_usd, math.isnan(coins.left_usd)) == (math.inf, True)
