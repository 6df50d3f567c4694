"""Rolling calibration: do forecasts still come true as often as they say.

Mean forecast against mean outcome over the last outcomes known, in constant time for each, by a
recursion that gives the same numbers over history. It corrects nothing.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.signals.drift import DriftLimits

Floats = NDArray[np.float64]


@njit
def _step(probability: float, outcome: float, horizon_h: int, ring: Floats, head: Floats) -> float:
    """``head`` = [position, outcomes known, sum of p − outcome, sum of p(1 − p)]; ``ring`` both.

    The sums are taken afresh each time the ring wraps, so rounding cannot build up.
    """
    size = ring.shape[0]
    if not np.isnan(probability - outcome):
        position = int(head[0])
        for k, value in enumerate((probability - outcome, probability * (1.0 - probability))):
            head[2 + k] += value - ring[position, k]
            ring[position, k] = value
        head[1] += 1.0
        head[0] = position + 1
        if position + 1 == size:
            head[0] = 0.0
            head[2] = ring[:, 0].sum()
            head[3] = ring[:, 1].sum()
    if head[1] < size or head[3] <= 0.0:
        return np.nan
    # Of ``size`` hourly outcomes only one in ``horizon_h`` is a new one.
    return float(head[2] / np.sqrt(head[3] * horizon_h))


@njit
def _scan(
    p: Floats, outcome: Floats, horizon_h: int, ring: Floats, head: Floats, z: Floats
) -> None:
    for n in range(z.shape[0]):
        z[n] = _step(p[n], outcome[n], horizon_h, ring, head)


class Calibration:
    """Mean forecast against mean outcome over the last outcomes known.

    Parameters
    ----------
    horizon_h : int
        Of the outcomes: so many hourly ones overlap, and tell as much as one.
    limits : DriftLimits
        ``outcomes`` and ``z`` are read.
    """

    def __init__(self, horizon_h: int, limits: DriftLimits) -> None:
        self.horizon_h, self.limits = horizon_h, limits
        self._ring = np.zeros((limits.outcomes, 2))
        self._head = np.zeros(4)

    def update(self, probability: float, outcome: float) -> float:
        """Take a forecast whose outcome (0 or 1) is known; return z, NaN before enough are.

        A NaN forecast or outcome tells nothing and changes nothing.
        """
        return float(_step(probability, outcome, self.horizon_h, self._ring, self._head))

    def scan(self, probabilities: Floats, outcomes: Floats) -> Floats:
        """Take many; z after each, (N,), each as ``update``'s."""
        z = np.empty(len(probabilities))
        _scan(probabilities, outcomes, self.horizon_h, self._ring, self._head, z)
        return z

    def reason(self, z: float, *, held: bool = False) -> str:
        """Why forecasts must not be used, in plain words; empty where they may.

        ``held`` says that an alarm is on, which ``z`` must then be well clear of.
        """
        if not abs(z) > self.limits.z * (self.limits.release if held else 1.0):
            return ""
        way = "too high" if z > 0 else "too low"
        return (
            f"drift: forecasts were {way} by {abs(z):.1f} standard errors over the last "
            f"{self.limits.outcomes} outcomes, limit {self.limits.z:g}"
        )
