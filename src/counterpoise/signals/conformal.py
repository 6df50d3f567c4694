"""Intervals whose coverage is held to its level while the world drifts.

A bound is the forecast plus a multiple of a scale. The multiple moves by a small step after every
outcome: out when it was outside, in when it was inside, so that over any long stretch the share
outside is the level, whatever the distribution does. Over T outcomes it can differ by no more than
the way the multiple travelled divided by rate · T, and the outcomes that overlap the ends.

Source: Gibbs and Candès (2021), adaptive conformal inference; the additive form is quantile
tracking, Angelopoulos, Candès and Tibshirani (2023).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit

Floats = NDArray[np.float64]

#: state: [multiple, position, rate, tail, side] and a ring of bounds.
_HEAD = 5


@njit
def track(state: Floats, center: Floats, scale: Floats, known: Floats, out: Floats) -> None:
    """Bounds of consecutive ticks; history is one call, live is a call per tick.

    Parameters
    ----------
    state : float64 (5 + delay,)
        From :func:`fresh`; left as the next call needs it.
    center, scale : float64 (n,)
        Forecast and scale of each tick; a bound is NaN where either is.
    known : float64 (n,)
        Outcome of the tick ``delay`` before, known now; NaN where there is none.
    out : float64 (n,)
        Bounds.
    """
    multiple, rate, tail, side = state[0], state[2], state[3], state[4]
    ring = state[_HEAD:]
    position = int(state[1])
    for t in range(out.shape[0]):
        before = ring[position]
        if not np.isnan(before) and not np.isnan(known[t]):
            outside = side * known[t] > side * before
            multiple += rate * ((1.0 if outside else 0.0) - tail)
        out[t] = center[t] + side * multiple * scale[t]
        ring[position] = out[t]
        position += 1
        if position == ring.shape[0]:
            position = 0
    state[0], state[1] = multiple, position


def fresh(*, delay: int, tail: float, rate: float, upper: bool, multiple: float) -> Floats:
    """State of a bound that has seen nothing.

    Parameters
    ----------
    delay : int
        Ticks until an outcome is known, >= 1.
    tail : float
        Share of outcomes that may lie outside.
    rate : float
        Step after each outcome, in multiples of the scale.
    upper : bool
    multiple : float
        Where to start.
    """
    head = np.array([multiple, 0.0, rate, tail, 1.0 if upper else -1.0])
    return np.concatenate([head, np.full(delay, np.nan)])


@dataclass(frozen=True)
class Interval:
    """Lower and upper bounds; float64 (T,) each, NaN where there is none."""

    lower: Floats
    upper: Floats


def delayed(outcome: Floats, delay: int) -> Floats:
    """What is known at each tick: the outcome of ``delay`` ticks before. Shape (T,)."""
    known = np.full(len(outcome), np.nan)
    known[delay:] = outcome[: max(len(outcome) - delay, 0)]
    return known


def bound(
    center: Floats,
    scale: Floats,
    outcome: Floats,
    *,
    delay: int,
    tail: float,
    rate: float,
    upper: bool,
    multiple: float,
) -> Floats:
    """One bound over history; shape (T,). Parameters as of :func:`track` and :func:`fresh`."""
    out = np.empty(len(center))
    state = fresh(delay=delay, tail=tail, rate=rate, upper=upper, multiple=multiple)
    track(state, center, scale, delayed(outcome, delay), out)
    return out


def interval(
    center: Floats, scale: Floats, outcome: Floats, *, delay: int, level: float, rate: float
) -> Interval:
    """Bounds that hold ``level`` of the outcomes, each side its half of the rest.

    Parameters
    ----------
    center, scale, outcome : float64 (T,)
    delay : int
    level : float
        In (0, 1).
    rate : float

    Returns
    -------
    Interval
    """
    from statistics import NormalDist

    tail = (1.0 - level) / 2.0
    start = NormalDist().inv_cdf(1.0 - tail)

    def side(upper: bool) -> Floats:
        return bound(
            center, scale, outcome, delay=delay, tail=tail, rate=rate, upper=upper, multiple=start
        )

    return Interval(side(False), side(True))
