"""The compiled loop that drives ``decision.step`` over history, and what it accounts for."""
