"""dYdX v4 ETH-USD contract rules."""

import math
from datetime import date

from counterpoise.venues.contract import Contract, FundingRule, Tier, bps, venues

ETH_USD = Contract(
    venue="dydx",
    symbol="ETH-USD",
    effective=date(2023, 10, 26),
    source="dYdX v4 perpetual market parameters, large-cap tier, fee tier 1",
    # It takes USDC, which is counted as USDT here.
    collateral=("usdt",),
    linear=True,
    contract_usd=0,
    tick_usd=0.1,
    step_eth=0.001,
    min_notional_usd=0,
    maker_fee=bps(1),
    taker_fee=bps(5),
    # The most it can be: max_liquidation_fee_ppm = 15,000 of the mainnet genesis.
    liquidation_fee=bps(150),
    # No damper: the default rate is added. Clamp ±6·(IM - MM) per 8 h, an eighth of it an hour.
    funding=FundingRule(1, bps(1), None, 6 * (0.02 - 0.012) / 8),
    tiers=(Tier(math.inf, 0.012, 50, 0),),
)

venues.add("dydx", (ETH_USD,))
