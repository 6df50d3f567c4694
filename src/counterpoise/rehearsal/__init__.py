"""Local venues on 127.0.0.1 that speak the real wire protocols against a replayed market.

What the Binance USD-M venue matches, and what it does not model, is in docs/venue.md.
"""
