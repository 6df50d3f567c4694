"""One step from state, market and intent to targets and reasons; every driver calls it."""

from counterpoise.decision.decide import decide
from counterpoise.decision.moment import Reason

__all__ = ["Reason", "decide"]
