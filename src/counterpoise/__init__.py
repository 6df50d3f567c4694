"""Hedging of Ethereum with perpetual futures, sized by forecasts and proven after all costs."""

__version__ = "0.1.0"
