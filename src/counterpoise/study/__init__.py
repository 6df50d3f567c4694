"""Proof: metrics, honest intervals, and the report that compares AI with manual rules."""
