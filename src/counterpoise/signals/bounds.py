"""Bounds of every target, hour by hour: what ``programme`` does over history, kept in a bundle.

A bound is the forecast plus a multiple of a scale (see ``conformal``). The scale of a number is
the mean of its recent errors, that of a return comes from the ranges of the last day and week,
that of a quantile is the forecast itself.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.signals import conformal
from counterpoise.signals.bundle import Output
from counterpoise.units import HOURS_PER_YEAR

Floats = NDArray[np.float64]

#: Features that scale the interval of a return.
RANGES = ("log_parkinson_24h", "log_parkinson_168h")
#: The feature whose values have intervals of their own in ``funding.next``.
PHASE = "funding_elapsed"
_HEAD = 5
#: error: [mean, outcomes seen] and a ring of forecasts.
_ERROR_HEAD = 2


@njit
def _error(state: Floats, position: int, center: float, known: float, keep: float) -> float:
    """Exponential mean of absolute errors known now, as ``programme.trailing_error``."""
    missed = abs(known - state[_ERROR_HEAD + position])
    if np.isfinite(missed):
        state[1] += 1.0
        share = max(1.0 - keep, 1.0 / state[1])
        state[0] = missed if state[1] == 1.0 else state[0] + share * (missed - state[0])
    state[_ERROR_HEAD + position] = center
    return float(state[0]) if state[1] > 0.0 else np.nan


@njit
def _step(
    center: Floats,
    scale: Floats,
    known: Floats,
    phase: Floats,
    phases: Floats,
    keep: float,
    lower: Floats,
    upper: Floats,
    errors: Floats,
    low: Floats,
    high: Floats,
) -> None:
    """Bounds of consecutive ticks. Without rows in ``errors`` the scale is given, not measured."""
    c, s = np.empty(1), np.empty(1)
    down, up = np.full(1, np.nan), np.empty(1)
    for t in range(center.shape[0]):
        low[t] = high[t] = np.nan
        for p in range(phases.shape[0]):
            mine = phases.shape[0] == 1 or phase[t] == phases[p]
            c[0] = center[t] if mine else np.nan
            s[0] = scale[t]
            if errors.shape[0] > 0:
                s[0] = _error(errors[p], int(upper[p, 1]), c[0], known[t], keep)
            if lower.shape[0] > 0:
                conformal.track(lower[p], c, s, known[t : t + 1], down)
            conformal.track(upper[p], c, s, known[t : t + 1], up)
            if mine:
                low[t], high[t] = down[0], up[0]


class Bounds:
    """Lower and upper bound of one target.

    Parameters
    ----------
    output : str
        ``probability`` is bounded in the return to come, ``value`` in itself, ``quantile`` from
        above alone.
    horizon_h : int
        Ticks until an outcome is known.
    keep : float
        What the mean error keeps of itself at each outcome.
    phases : float64 (P,)
        Values of :data:`PHASE` with an interval each; one value: an interval for all.
    lower, upper : float64 (P or 0, 5 + horizon_h)
        States of ``conformal``.
    errors : float64 (P or 0, 2 + horizon_h)
        Means of absolute errors, numbers of outcomes and rings of forecasts.
    """

    def __init__(
        self,
        output: Output,
        horizon_h: int,
        keep: float,
        phases: Floats,
        lower: Floats,
        upper: Floats,
        errors: Floats,
    ) -> None:
        self.output, self.horizon_h, self._keep = output, horizon_h, keep
        self.phases = phases
        self._states = (lower, upper, errors)

    @staticmethod
    def fresh(
        output: Output,
        horizon_h: int,
        *,
        rate: float,
        level: float,
        half_life: float,
        phases: Floats | None = None,
    ) -> "Bounds":
        """Bounds that have seen nothing.

        Parameters
        ----------
        output, horizon_h, phases
            As of the class.
        rate : float
            Step after each outcome, in scales.
        level : float
            Share of the outcomes inside, or under a quantile.
        half_life : float
            Of the mean error, in outcomes.
        """
        phases = np.zeros(1) if phases is None or len(phases) < 2 else phases
        alone = output == "quantile"
        tail = 1.0 - level if alone else (1.0 - level) / 2.0
        start = 0.0 if alone else NormalDist().inv_cdf(1.0 - tail)

        def side(upper: bool) -> Floats:
            state = conformal.fresh(
                delay=horizon_h, tail=tail, rate=rate, upper=upper, multiple=start
            )
            return np.tile(state, (len(phases), 1))

        errors = np.full((len(phases), _ERROR_HEAD + horizon_h), np.nan)
        errors[:, :_ERROR_HEAD] = 0.0
        return Bounds(
            output,
            horizon_h,
            0.5 ** (1.0 / half_life),
            phases,
            side(False)[: 0 if alone else None],
            side(True),
            errors[: None if output == "value" else 0],
        )

    def scan(
        self, best: Floats, known: Floats, ranges: Floats, phase: Floats
    ) -> tuple[Floats, Floats]:
        """Take consecutive ticks, return their bounds.

        Parameters
        ----------
        best : float64 (n,)
            The forecast; a quantile's blend.
        known : float64 (n,)
            What became of the tick ``horizon_h`` before, known now: the return for a probability.
        ranges : float64 (n, 2)
            The features :data:`RANGES`; read by a probability.
        phase : float64 (n,)
            The feature :data:`PHASE`; read where there are several phases.

        Returns
        -------
        float64 (n,), float64 (n,)
            Lower (NaN for a quantile) and upper.
        """
        center, scale = best, best
        if self.output == "probability":
            center = np.where(np.isfinite(best), 0.0, np.nan)
            yearly = np.exp((ranges[:, 0] + ranges[:, 1]) / 2.0)
            scale = yearly * np.sqrt(self.horizon_h / HOURS_PER_YEAR)
        low, high = np.empty(len(best)), np.empty(len(best))
        rounded = np.round(phase, 6)
        _step(center, scale, known, rounded, self.phases, self._keep, *self._states, low, high)
        return low, high

    def skip(self, ticks: int) -> None:
        """Let ticks pass of which nothing is known."""
        n = min(ticks, self.horizon_h)
        nothing = np.full(n, np.nan)
        self.scan(nothing, nothing, np.full((n, 2), np.nan), nothing)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Arrays as a bundle keeps them: what is unknown is marked, and 0."""
        arrays: dict[str, NDArray[Any]] = {"keep": np.array([self._keep]), "phases": self.phases}
        for name, values in zip(("lower", "upper", "errors"), self._states, strict=True):
            arrays[name] = np.nan_to_num(values)
            arrays[f"{name}_unknown"] = np.isnan(values)
        return arrays

    @staticmethod
    def of(output: Output, horizon_h: int, tensors: Mapping[str, NDArray[Any]]) -> "Bounds":
        """Bounds as they were saved; each call gives a memory of its own.

        Raises
        ------
        FixConfig
            Arrays that are not the bounds of such a target.
        """
        try:
            states = [
                np.where(tensors[f"{name}_unknown"].astype(bool), np.nan, tensors[name])
                for name in ("lower", "upper", "errors")
            ]
            phases, keep = np.array(tensors["phases"], np.float64), float(tensors["keep"][0])
            fitting = [values.shape for values in states]
        except (KeyError, ValueError, IndexError):
            phases, keep, fitting = np.empty(0), 0.0, []
        count, delay = len(phases), horizon_h
        wanted = [
            (0 if output == "quantile" else count, _HEAD + delay),
            (count, _HEAD + delay),
            (count if output == "value" else 0, _ERROR_HEAD + delay),
        ]
        inside = fitting == wanted and all(
            ((values[:, 1] >= 0) & (values[:, 1] < delay)).all() for values in states[:2]
        )
        if not (count and inside):
            fix = "make them with Bounds.to_tensors"
            raise FixConfig("bounds", fitting, f"{wanted}", fix)
        return Bounds(output, horizon_h, keep, phases, *states)
