"""Contract rules of every venue, as dated data."""

from counterpoise.venues import binance, dydx  # noqa: F401  (each registers its contracts)
from counterpoise.venues.contract import Contract, FundingRule, Tier, contract_at, venues

__all__ = ["Contract", "FundingRule", "Tier", "contract_at", "venues"]
