"""How much of picking the best candidate is luck: the probability of backtest overfitting.

The losses of a target's candidates, week by week, go through combinatorially symmetric
cross-validation: in every halving of the weeks the best of one half is ranked in the other.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.crossval import overfitting
from counterpoise.appraisal.scores import pinball
from counterpoise.signals.programme import Walked
from counterpoise.signals.targets import Target

Floats = NDArray[np.float64]

WEEK_H = 168
BLOCKS = 16
#: Fewest weeks worth halving.
FEWEST = 2 * BLOCKS


def losses(target: Target, forecast: Floats, outcome: Floats) -> Floats:
    """Loss of each row by the target's own measure; shape (N,)."""
    if target.loss == "quantile":
        return pinball(forecast, outcome, target.quantile)
    error = outcome - forecast
    return np.abs(error) if target.loss == "median" else error**2


def overfitting_probability(walked: Walked, rows: NDArray[np.bool_]) -> float | None:
    """Share of halvings in which the best candidate is below the median of the other half.

    Parameters
    ----------
    walked : Walked
    rows : bool (T,)
        Where an outcome counts.

    Returns
    -------
    float or None
        None with fewer than two candidates or 32 weeks in which all of them spoke.
    """
    candidates = [values for values in walked.candidates.values() if np.isfinite(values).any()]
    good = rows & np.isfinite(walked.outcome)
    for forecast in candidates:
        good = good & np.isfinite(forecast)
    week = np.flatnonzero(good) // WEEK_H
    used, place = np.unique(week, return_inverse=True)
    if len(candidates) < 2 or len(used) < FEWEST:
        return None
    count = np.bincount(place)
    performance = np.column_stack(
        [
            -np.bincount(place, losses(walked.target, one[good], walked.outcome[good])) / count
            for one in candidates
        ]
    )
    return overfitting(performance, blocks=BLOCKS, statistic="mean").probability
