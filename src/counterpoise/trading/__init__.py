"""The shell around the machines: NautilusTrader in backtest and live, and the account's own API.

The only house that imports NautilusTrader, which comes with the extra ``trading``.
"""
