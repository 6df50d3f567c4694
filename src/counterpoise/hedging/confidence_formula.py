"""The document's formula as policies: one for each reading of C, with a cost-derived band."""

import numpy as np
from numpy.typing import NDArray

from counterpoise.hedging.formula import hedge_ratio, no_trade_half_width
from counterpoise.hedging.intent import Intent
from counterpoise.hedging.policy import Situation, policy
from counterpoise.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]

#: Days over which the target's own variability is measured.
TARGET_VARIANCE_DAYS = 30


def target_variance_per_year(target: Floats) -> Floats:
    """Trailing mean square of 24 h changes of a target, per year; shape (T,).

    Parameters
    ----------
    target : float64 (T,)
        Hourly target ratio; NaN where unknown.
    """
    change = np.full_like(target, np.nan)
    change[24:] = target[24:] - target[:-24]
    known = np.isfinite(change)
    square = np.concatenate([[0.0], np.cumsum(np.where(known, change, 0.0) ** 2)])
    count = np.concatenate([[0], np.cumsum(known)])
    window = 24 * TARGET_VARIANCE_DAYS
    end = np.arange(1, len(target) + 1)
    begin = np.maximum(end - window, 0)
    seen = count[end] - count[begin]
    mean = np.where(seen > 0, (square[end] - square[begin]) / np.maximum(seen, 1), np.nan)
    return np.asarray(mean * DAYS_PER_YEAR)


def formula_intent(situation: Situation, confidence: Floats) -> Intent:
    """Formula ratio for a series of C, inside its no-trade band.

    Parameters
    ----------
    situation : Situation
    confidence : float64 (T,)
        C in [0, 1]; NaN gives an unknown intent.
    """
    hedge = situation.settings.hedge
    raw = hedge_ratio(hedge.base_ratio, situation.forecasts.rho, confidence)
    width = no_trade_half_width(
        situation.one_way_cost,
        target_variance_per_year(np.clip(raw, 0.0, hedge.max_ratio)),
        hedge.risk_aversion,
        situation.forecasts.rv_168h**2,
    )
    return situation.around(raw, width)


@policy("formula_literal", "document's formula, C = P(up)", "formula")
def formula_literal(situation: Situation) -> Intent:
    """C as the document writes it: confidence that ETH rises."""
    return formula_intent(situation, situation.forecasts.p_up_4h)


@policy("formula_bearish", "document's formula, C = 1 - P(up)", "formula")
def formula_bearish(situation: Situation) -> Intent:
    """C with the sign a hedger means: confidence that ETH falls."""
    return formula_intent(situation, 1.0 - situation.forecasts.p_up_4h)


@policy("formula_hedge_value", "document's formula, C = P(hedge pays)", "formula")
def formula_hedge_value(situation: Situation) -> Intent:
    """C as the probability that a unit of hedge pays for itself after cost."""
    return formula_intent(situation, situation.forecasts.p_hedge_pays_4h)
