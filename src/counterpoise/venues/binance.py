"""Binance ETHUSDT (USD-M, linear) and ETHUSD_PERP (COIN-M, inverse) contract rules."""

from dataclasses import replace
from datetime import date

from counterpoise.venues.contract import Contract, FundingRule, Tier, bps, venues

_USD_M_TIERS = (
    Tier(50_000, 0.004, 125, 0),
    Tier(600_000, 0.005, 100, 50),
    Tier(3_000_000, 0.0065, 75, 950),
    Tier(12_000_000, 0.01, 50, 11_450),
    Tier(50_000_000, 0.02, 25, 131_450),
    Tier(65_000_000, 0.025, 20, 381_450),
    Tier(150_000_000, 0.05, 10, 2_006_450),
    Tier(320_000_000, 0.10, 5, 9_506_450),
)

USD_M = Contract(
    venue="binance",
    symbol="ETHUSDT",
    effective=date(2024, 10, 24),
    source="Binance USD-M leverage brackets and fee page as of 2024-10-24, VIP 0",
    collateral=("usdt", "eth"),
    linear=True,
    contract_usd=0,
    tick_usd=0.01,
    step_eth=0.001,
    min_notional_usd=20,
    maker_fee=bps(2),
    taker_fee=bps(5),
    # liquidationFee of the venue's exchangeInfo.
    liquidation_fee=bps(125),
    # The cap is 0.75 of the first tier's maintenance rate.
    funding=FundingRule(8, bps(1), bps(5), 0.75 * _USD_M_TIERS[0].rate),
    tiers=_USD_M_TIERS,
)

#: From the listing on. Settled rates down to -0.356 % (2021-05-19) show that the cap was wider
#: than today's ±0.30 %; it is 0.75 of the 0.5 % the first tier then had.
USD_M_2019 = replace(
    USD_M,
    effective=date(2019, 11, 27),
    source=(
        "funding cap 0.75 x 0.5 %, consistent with settled rates down to -0.356 % on 2021-05-19; "
        "fees, filters and tiers of that time are taken from 2024-10-24 for want of older tables"
    ),
    funding=replace(USD_M.funding, cap=0.75 * 0.005),
)

venues.add("binance", (USD_M_2019, USD_M))


def _continuous(brackets: tuple[tuple[float, float, float], ...]) -> tuple[Tier, ...]:
    """Tiers from (cap, rate, leverage), with the amounts that make maintenance continuous."""
    tiers: list[Tier] = []
    amount, cap_below, rate_below = 0.0, 0.0, brackets[0][1]
    for cap, rate, leverage in brackets:
        amount += cap_below * (rate - rate_below)
        tiers.append(Tier(cap, rate, leverage, amount))
        cap_below, rate_below = cap, rate
    return tuple(tiers)


COIN_M = Contract(
    venue="binance-coin-m",
    symbol="ETHUSD_PERP",
    effective=date(2020, 12, 1),
    source=(
        "Binance COIN-M ETHUSD brackets as of 2021-07 up to 2,000 ETH; above that assumed on the "
        "careful side, query leverageBracket before relying on it"
    ),
    collateral=("coin-margined",),
    linear=False,
    contract_usd=10,
    tick_usd=0.01,
    step_eth=0.0,
    min_notional_usd=10,
    maker_fee=bps(2),
    taker_fee=bps(5),
    # Unverified: no source found; liquidationFee of the venue's COIN-M exchangeInfo would tell.
    liquidation_fee=bps(150),
    funding=FundingRule(8, bps(1), bps(5), 0.75 * 0.005),
    tiers=_continuous(
        (
            (100, 0.005, 100),
            (500, 0.0065, 75),
            (1_000, 0.01, 50),
            (2_000, 0.025, 20),
            (4_000, 0.05, 10),
            (20_000, 0.10, 5),
            (50_000, 0.125, 4),
        )
    ),
)

venues.add("binance-coin-m", (COIN_M,))
