"""Margin and liquidation: what keeps a short alive."""
