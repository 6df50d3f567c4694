"""Hedge all while shorts were paid well in the last three days, and 70 % otherwise."""

import numpy as np

from counterpoise.hedging import Intent, Situation, own_policy
from counterpoise.hedging.market_state import funding_bps_per_8h


@own_policy("paid_to_hedge", "all while funding pays 1 bp per 8 h, else 70 %")
def paid_to_hedge(situation: Situation) -> Intent:
    """Row t may use rows up to t only; NaN means that the policy does not know."""
    funding = funding_bps_per_8h(situation.timeline, hours=72)
    target = np.where(funding > 1.0, 1.0, 0.7)
    target = np.where(np.isnan(funding), np.nan, target)
    return situation.around(situation.daily(target), 0.05)
