"""From signals to intents: every hedge policy, manual or learned, is one type."""

# The order of these imports is the order of the report.
# isort: off
from counterpoise.hedging import manual  # noqa: F401
from counterpoise.hedging import variance  # noqa: F401
from counterpoise.hedging import confidence_formula  # noqa: F401
from counterpoise.hedging import volatility  # noqa: F401

# isort: on
from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Policy, Situation, own_policy, policies

#: The policy acted on unless the settings name another.
RECOMMENDED = "volatility_timed"

__all__ = ["RECOMMENDED", "Intent", "Policy", "Situation", "own_policy", "policies"]
