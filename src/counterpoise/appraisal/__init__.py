"""Are the forecasts any good, and is there a leak: audits, placebos, combinatorial validation."""
