"""dYdX v4 ETH-USD contract rules."""

import math
from datetime import date

from counterpoise.venues.contract import Contract, FundingRule, Tier, bps, venues

ETH_USD = Contract(
    venue="dydx",
    symbol="ETH-USD",
    effective=date(2023, 10, 26),
    source="dYdX v4 perpetual market parameters, large-cap tier, fee tier 1",
    linear=True,
    tick_usd=0.1,
    step_eth=0.001,
    min_notional_usd=0,
    maker_fee=bps(1),
    taker_fee=bps(5),
    liquidation_fee=bps(150),
    # Clamp ±6·(IM - MM) per 8 h; no damper: the default rate is added to the premium.
    funding=FundingRule(1, bps(1), 0.0, 6 * (0.02 - 0.012) / 8),
    tiers=(Tier(math.inf, 0.012, 50, 0),),
)

venues.add("dydx", (ETH_USD,))
