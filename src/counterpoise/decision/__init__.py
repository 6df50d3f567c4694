"""One step from state, market and intent to targets and reasons; every driver calls it."""

from counterpoise.decision.step import Reason, decide

__all__ = ["Reason", "decide"]
