"""A blend of forecasts whose weights come from the past alone.

Weights are at least zero and add up to one, so a blend never leaves the range of its members. They
are chosen by the loss of the question on forecasts whose outcomes were known, and drawn towards
equal weights while little is known.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Loss = Literal["probability", "mean", "median", "quantile"]

#: Non-overlapping outcomes that equal weights count for.
PRIOR_OUTCOMES = 300.0
_REWEIGHTINGS = 12
_STEPS = 400


def _simplex(v: Floats) -> Floats:
    """Nearest point with entries >= 0 that add up to 1 (Duchi et al. 2008)."""
    # A shift moves the nearest point nowhere, and the 1 is not lost beside a long step.
    v = v - v.max()
    u = np.sort(v)[::-1]
    total = np.cumsum(u) - 1.0
    k = np.flatnonzero(u - total / np.arange(1, len(v) + 1) > 0)[-1]
    return np.asarray(np.maximum(v - total[k] / (k + 1), 0.0))


def _quadratic(gram: Floats, cross: Floats, start: Floats) -> Floats:
    """Minimise w'Gw/2 − c'w over the simplex by accelerated projected gradients."""
    step = 1.0 / max(float(np.linalg.eigvalsh(gram)[-1]), 1e-300)
    w, ahead, momentum = start, start, 1.0
    for _ in range(_STEPS):
        new = _simplex(ahead - step * (gram @ ahead - cross))
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = new + (momentum - 1.0) / following * (new - w)
        moved = float(np.abs(new - w).max())
        w, momentum = new, following
        if moved < 1e-10:
            break
    return w


def simplex_weights(P: Floats, y: Floats, loss: Loss, quantile: float = 0.5) -> Floats:
    """Weights that would have forecast best.

    Parameters
    ----------
    P : float64 (N, M)
        Forecasts of M members; finite.
    y : float64 (N,)
        Outcomes; finite.
    loss : str
        Squared errors for ``probability`` (the Brier score) and ``mean``; absolute ones for
        ``median``; the pinball loss at ``quantile``.
    quantile : float

    Returns
    -------
    float64 (M,)
        >= 0, adding up to 1.
    """
    members = P.shape[1]
    w = np.full(members, 1.0 / members)
    if loss in ("probability", "mean"):
        return _quadratic(P.T @ P / len(y), P.T @ y / len(y), w)
    level = 0.5 if loss == "median" else quantile
    floor = max(0.05 * float(np.abs(y - P.mean(axis=1)).mean()), 1e-300)
    for _ in range(_REWEIGHTINGS):
        error = y - P @ w
        side = np.where(error > 0.0, level, 1.0 - level) / np.maximum(np.abs(error), floor)
        side /= side.mean()
        weighted = P * side[:, None]
        w = _quadratic(weighted.T @ P / len(y), weighted.T @ y / len(y), w)
    return w


def past_weights(
    members: Mapping[str, Floats],
    outcome: Floats,
    until: int,
    *,
    horizon_h: int,
    loss: Loss,
    quantile: float = 0.5,
) -> Floats:
    """Weights known at row ``until``.

    Parameters
    ----------
    members : mapping of str to float64 (T,)
        Out-of-sample forecasts; NaN where a member said nothing.
    outcome : float64 (T,)
    until : int
        Outcomes of rows up to ``until - horizon_h`` are known.
    horizon_h : int
        Rows closer than a quarter of it are left out: they repeat each other.
    loss, quantile
        As for :func:`simplex_weights`.

    Returns
    -------
    float64 (M,)
        Drawn towards equal weights by :data:`PRIOR_OUTCOMES`; equal without a past.
    """
    equal = np.full(len(members), 1.0 / len(members))
    known = slice(0, max(until - horizon_h + 1, 0))
    P = np.column_stack([forecast[known] for forecast in members.values()])
    rows = np.flatnonzero(np.isfinite(P).all(axis=1) & np.isfinite(outcome[known]))
    if len(rows) < 2 * len(members):
        return equal
    gap = np.diff(rows).min() if len(rows) > 1 else 1
    independent = len(rows) * min(gap / horizon_h, 1.0)
    rows = rows[:: max(horizon_h // (4 * int(gap)), 1)]
    best = simplex_weights(P[rows], outcome[known][rows], loss, quantile)
    share = independent / (independent + PRIOR_OUTCOMES)
    return np.asarray(share * best + (1.0 - share) * equal)


def blend(members: Mapping[str, Floats], weights: Floats, rows: slice) -> Floats:
    """Weighted mean of the members that spoke; NaN where none did. Shape (rows,)."""
    P = np.column_stack([forecast[rows] for forecast in members.values()])
    spoke = np.isfinite(P)
    heard = spoke * weights
    total = heard.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mixed = (np.where(spoke, P, 0.0) * weights).sum(axis=1) / total
    silent = total <= 0.0
    if silent.any():
        # Those with weight are silent: the others speak with one voice each.
        count = spoke[silent].sum(axis=1)
        rest = np.where(spoke[silent], P[silent], 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            mixed[silent] = rest / np.where(count > 0, count, np.nan)
    return np.asarray(mixed)
