"""What a policy asks for at each moment: a band for the hedge ratio, and where to go outside it.

Policies have no memory: the same signals give the same intent. What remembers (holding through a
missing signal, stops, floors) is the guard of ``decision.step``.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Intent:
    """Bands over history; row t holds from tick t on.

    Attributes
    ----------
    lo, hi : float64 (T,)
        The hedge ratio S/L may rest in [lo, hi]. NaN: the policy does not know.
    to_lo, to_hi : float64 (T,)
        Where to go from below ``lo`` and from above ``hi``.
    weights : float64 (T, V)
        Share of the short on each venue; rows sum to 1.
    urgency : float64 (T,)
        0 = patient (maker share as configured), 1 = all aggressive.
    target : float64 (T,)
        What the rule itself asks for, before band and cap; for explanations only.
    """

    lo: Floats
    hi: Floats
    to_lo: Floats
    to_hi: Floats
    weights: Floats
    urgency: Floats
    target: Floats

    def __post_init__(self) -> None:
        ticks = self.lo.shape[0]
        for name in ("hi", "to_lo", "to_hi", "urgency", "target"):
            if getattr(self, name).shape != (ticks,):
                raise ValueError(f"intent.{name} must have shape ({ticks},), as lo has")
        if self.weights.ndim != 2 or self.weights.shape[0] != ticks:
            raise ValueError(f"intent.weights must have shape ({ticks}, venues)")
        known = np.isfinite(self.lo) & np.isfinite(self.hi)
        ordered = (
            (self.lo <= self.to_lo)
            & (self.to_lo <= self.hi)
            & (self.lo <= self.to_hi)
            & (self.to_hi <= self.hi)
        )
        if not np.all(ordered[known]):
            row = int(np.flatnonzero(known & ~ordered)[0])
            raise ValueError(f"intent row {row}: destinations must lie inside [lo, hi]")

    @classmethod
    def around(
        cls,
        target: Floats,
        half_width: Floats | float,
        *,
        venues: int,
        cap: float,
        to_target: bool = False,
    ) -> Self:
        """Band of ``half_width`` around ``target``, clipped to [0, cap], all on the first venue.

        Parameters
        ----------
        target : float64 (T,)
            Desired hedge ratio; NaN where unknown.
        half_width : float or float64 (T,)
            Distance at which it pays to move.
        venues : int
            Number of venues V.
        cap : float
            Largest ratio ever asked for.
        to_target : bool
            Go to the target itself instead of the nearest edge.

        Examples
        --------
        >>> import numpy as np
        >>> Intent.around(np.array([0.8]), 0.05, venues=1, cap=1.0).hi
        array([0.85])
        """
        centre = np.clip(target, 0.0, cap)
        lo = np.clip(target - half_width, 0.0, cap)
        hi = np.clip(target + half_width, 0.0, cap)
        weights = np.zeros((len(target), venues))
        weights[:, 0] = 1.0
        to_lo, to_hi = (centre, centre) if to_target else (lo, hi)
        return cls(lo, hi, to_lo, to_hi, weights, np.zeros(len(target)), target)
