"""Building blocks of the generated market: paths that return to their mean, and calm shocks.

Only arithmetic on shocks that the caller drew, so that every room of the generator keeps its own
random streams.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

Floats = NDArray[np.float64]


@njit
def mean_reverting(shocks: Floats, half_life: float, deviation: float) -> Floats:
    """Mean-reverting path around 0 (an AR(1)) driven by shocks of unit variance.

    Parameters
    ----------
    shocks : float64 (N,)
        Element t moves the path at t, not before.
    half_life : float
        Steps in which half of a deviation is gone.
    deviation : float
        Standard deviation of the path.

    Returns
    -------
    float64 (N,)
    """
    keep = 0.5 ** (1.0 / half_life)
    noise = deviation * np.sqrt(1.0 - keep * keep)
    path = np.empty(len(shocks))
    level = deviation * shocks[0]
    path[0] = level
    for step in range(1, len(shocks)):
        level = keep * level + noise * shocks[step]
        path[step] = level
    return path


def wandering(rng: np.random.Generator, size: int, half_life: float, deviation: float) -> Floats:
    """:func:`mean_reverting` on normal shocks drawn here; float64 (size,)."""
    return mean_reverting(rng.standard_normal(size), half_life, deviation)


def heavy_scale(rng: np.random.Generator, size: int, df: float) -> Floats:
    """Factors that turn normal shocks into Student shocks of unit variance; float64 (size,).

    A Student variable is a normal one of random variance; keeping the variance apart lets volume
    and range know how busy an hour was.
    """
    return np.sqrt((df - 2.0) / rng.chisquare(df, size))
