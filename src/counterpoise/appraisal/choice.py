"""How much of picking the best candidate is luck.

The losses of a target's candidates, week by week, go through combinatorially symmetric
cross-validation (in every halving of the weeks the best of one half is ranked in the other) and
through Hansen's test of superior predictive ability; a p-value is deflated by every configuration
ever tried.
"""

from math import expm1, log1p

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
#: Of the stationary bootstrap behind the test of superior ability.
BLOCK_WEEKS, DRAWS, SEED = 8, 2_000, 11


def losses(target: Target, forecast: Floats, outcome: Floats) -> Floats:
    """Loss of each row by the target's own measure; shape (N,)."""
    if target.loss == "quantile":
        return pinball(forecast, outcome, target.quantile)
    error = outcome - forecast
    return np.abs(error) if target.loss == "median" else error**2


def deflated(p: float, trials: int) -> float:
    """Chance that the best of so many useless trials has this p-value or a smaller one.

    Šidák's correction with every trial counted: severe, because trials that are alike count each.

    Examples
    --------
    >>> round(deflated(0.001, 100), 4), deflated(0.0, 100)
    (0.0952, 0.0)
    """
    return 1.0 if p >= 1.0 else -expm1(trials * log1p(-p))


def weekly_losses(walked: Walked, rows: NDArray[np.bool_]) -> dict[str, Floats]:
    """Mean loss of each candidate in each week in which all of them spoke.

    Parameters
    ----------
    walked : Walked
    rows : bool (T,)
        Where an outcome counts.

    Returns
    -------
    dict of str to float64 (weeks,)
        Candidates that never spoke are left out.
    """
    spoke = {name: one for name, one in walked.candidates.items() if np.isfinite(one).any()}
    good = rows & np.isfinite(walked.outcome)
    for forecast in spoke.values():
        good = good & np.isfinite(forecast)
    used, place = np.unique(np.flatnonzero(good) // WEEK_H, return_inverse=True)
    count = np.bincount(place, minlength=len(used))
    return {
        name: np.bincount(place, losses(walked.target, one[good], walked.outcome[good])) / count
        for name, one in spoke.items()
    }


def overfitting_probability(weekly: dict[str, Floats]) -> float | None:
    """Share of halvings in which the best candidate is below the median of the other half.

    Parameters
    ----------
    weekly : dict of str to float64 (weeks,)

    Returns
    -------
    float or None
        None with fewer than two candidates or 32 weeks.
    """
    if len(weekly) < 2 or len(next(iter(weekly.values()))) < FEWEST:
        return None
    performance = -np.column_stack(list(weekly.values()))
    return overfitting(performance, blocks=BLOCKS, statistic="mean").probability


def superior_p(weekly: dict[str, Floats], baseline: str) -> float | None:
    """Hansen's (2005) consistent p-value: no candidate has a smaller loss than the baseline.

    Parameters
    ----------
    weekly : dict of str to float64 (weeks,)
    baseline : str

    Returns
    -------
    float or None
        None where the baseline did not speak, nothing stands beside it, or with too few weeks.
    """
    from arch.bootstrap import SPA

    others = [one for name, one in weekly.items() if name != baseline]
    if baseline not in weekly or not others or len(weekly[baseline]) < FEWEST:
        return None
    test = SPA(
        weekly[baseline], np.column_stack(others), block_size=BLOCK_WEEKS, reps=DRAWS, seed=SEED
    )
    test.compute()
    return float(test.pvalues["consistent"])
