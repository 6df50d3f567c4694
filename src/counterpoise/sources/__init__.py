"""Everything that talks to the outside for data; what it brings is written to the lake."""

from counterpoise.sources import binance, ccxt_venues, dydx, ethereum, events, fred
from counterpoise.sources.contract import SOURCES

#: The rooms whose import adds their sources to the registry.
ROOMS = (binance, ccxt_venues, dydx, ethereum, events, fred)

__all__ = ["ROOMS", "SOURCES"]
