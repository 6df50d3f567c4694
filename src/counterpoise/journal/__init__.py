"""Durable memory: every decision, order and fill, append-only, committed before an order leaves."""
