"""From scores to probabilities one can bet on, and how good those probabilities were.

Calibrators are increasing maps fitted on past scores whose outcomes are known; measures follow
SCIENCE §5. Nothing here knows what is being forecast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

Floats = NDArray[np.float64]

LOWEST, HIGHEST = 0.01, 0.99
#: Below so many non-overlapping outcomes a two-parameter map, above it a free one.
ISOTONIC_FROM = 1000
#: Non-overlapping outcomes each step of the free map rests on, so that no step is luck.
PER_STEP = 50
#: Fewest non-overlapping outcomes of a calibration.
FEWEST = 100


@dataclass(frozen=True)
class Platt:
    """Logistic map of the score's log odds, never decreasing (Platt 1999)."""

    slope: float
    intercept: float

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities in [0.01, 0.99]; NaN stays NaN. Shape (N,)."""
        odds = self.intercept + self.slope * _log_odds(scores)
        return np.clip(1.0 / (1.0 + np.exp(-odds)), LOWEST, HIGHEST)


@dataclass(frozen=True)
class Isotonic:
    """Increasing map through the points of a pooled-adjacent-violators fit.

    Attributes
    ----------
    scores, probabilities : float64 (K,)
        Increasing points; linear between them, flat beyond.
    """

    scores: Floats
    probabilities: Floats

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities in [0.01, 0.99]; NaN stays NaN. Shape (N,)."""
        mapped = np.interp(scores, self.scores, self.probabilities)
        return np.clip(np.where(np.isfinite(scores), mapped, np.nan), LOWEST, HIGHEST)


def _log_odds(scores: Floats) -> Floats:
    safe = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(safe / (1.0 - safe)))


def fit_platt(scores: Floats, outcomes: Floats) -> Platt:
    """Maximum likelihood with Platt's smoothed targets, by Newton's method.

    A negative slope, scores that misled in the past, becomes 0: the base rate.
    """
    rises = outcomes.sum()
    falls = len(outcomes) - rises
    high, low = (rises + 1.0) / (rises + 2.0), 1.0 / (falls + 2.0)
    targets = np.where(outcomes > 0, high, low)
    x = _log_odds(scores)
    centre, spread = float(x.mean()), float(x.std())
    base = float(_log_odds(np.array([targets.mean()]))[0])
    if spread < 1e-12:
        return Platt(0.0, base)
    z = (x - centre) / spread
    a, b = 0.0, base
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(a * z + b)))
        w = p * (1.0 - p)
        gradient = np.array([((p - targets) * z).sum(), (p - targets).sum()])
        hessian = np.array([[(w * z * z).sum(), (w * z).sum()], [(w * z).sum(), w.sum()]])
        step = np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient)
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-10:
            break
    if a <= 0.0:
        return Platt(0.0, base)
    return Platt(float(a / spread), float(b - a * centre / spread))


def fit_isotonic(scores: Floats, outcomes: Floats, *, horizon_h: int) -> Isotonic:
    """Increasing map fitted to the means of equally filled score bins.

    Parameters
    ----------
    scores, outcomes : float64 (N,)
        One per hour; outcomes overlap over ``horizon_h``.
    horizon_h : int
        A bin holds ``PER_STEP`` · ``horizon_h`` hours or more.
    """
    order = np.argsort(scores, kind="stable")
    bins = max(len(order) // (PER_STEP * horizon_h), 1)
    parts = np.array_split(order, bins)
    centres = np.array([scores[part].mean() for part in parts])
    rates = np.array([outcomes[part].mean() for part in parts])
    weights = np.array([float(len(part)) for part in parts])
    fitted = isotonic_regression(rates, weights=weights).x
    return Isotonic(centres, np.asarray(fitted, dtype=np.float64))


def fit_calibrator(scores: Floats, outcomes: Floats, *, horizon_h: int) -> Platt | Isotonic | None:
    """Choose and fit the calibration a past of this length supports.

    Parameters
    ----------
    scores, outcomes : float64 (N,)
        Hourly out-of-sample scores and their outcomes (0 or 1); NaN rows are left out.
    horizon_h : int
        Hours of an outcome; N / ``horizon_h`` of them do not overlap.

    Returns
    -------
    Platt, Isotonic or None
        Platt below 1,000 non-overlapping outcomes, isotonic from there; None below 100 or when
        the outcomes are all alike.
    """
    rows = np.isfinite(scores) & np.isfinite(outcomes)
    scores, outcomes = scores[rows], outcomes[rows]
    independent = len(scores) / horizon_h
    if independent < FEWEST or outcomes.min() == outcomes.max():
        return None
    if independent < ISOTONIC_FROM:
        return fit_platt(scores, outcomes)
    return fit_isotonic(scores, outcomes, horizon_h=horizon_h)


def fit_validated(scores: Floats, outcomes: Floats, *, horizon_h: int) -> Platt | Isotonic | None:
    """Like :func:`fit_calibrator`, but the free map has to have earned its freedom.

    With 1,000 non-overlapping outcomes or more, both maps are fitted on the first two thirds; the
    one with the smaller Brier score on the last third is fitted on all.

    Parameters
    ----------
    scores, outcomes : float64 (N,)
        In order of time; NaN rows are left out.
    horizon_h : int

    Returns
    -------
    Platt, Isotonic or None
        None as of :func:`fit_calibrator`.
    """
    rows = np.isfinite(scores) & np.isfinite(outcomes)
    scores, outcomes = scores[rows], outcomes[rows]
    if len(scores) / horizon_h < ISOTONIC_FROM or outcomes.min() == outcomes.max():
        return fit_calibrator(scores, outcomes, horizon_h=horizon_h)
    first, last = slice(0, 2 * len(scores) // 3), slice(2 * len(scores) // 3 + horizon_h, None)
    if outcomes[first].min() == outcomes[first].max():
        return fit_platt(scores, outcomes)

    def missed(calibrator: Platt | Isotonic) -> float:
        return float(((calibrator(scores[last]) - outcomes[last]) ** 2).mean())

    smooth = fit_platt(scores[first], outcomes[first])
    free = fit_isotonic(scores[first], outcomes[first], horizon_h=horizon_h)
    if missed(free) < missed(smooth):
        return fit_isotonic(scores, outcomes, horizon_h=horizon_h)
    return fit_platt(scores, outcomes)


def auc(scores: Floats, outcomes: Floats) -> float:
    """Chance that a rise scored above a fall, ties counting half; NaN without both kinds.

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.75
    """
    rises = int((outcomes > 0).sum())
    falls = len(outcomes) - rises
    if rises == 0 or falls == 0:
        return float("nan")
    ranks = rankdata(scores)[outcomes > 0].sum()
    return float((ranks - rises * (rises + 1) / 2) / (rises * falls))


@dataclass(frozen=True)
class Reliability:
    """Forecasts in equally filled bins against what happened.

    Attributes
    ----------
    forecast, observed, count : float64 (B,)
        Mean probability, share of rises and number of forecasts per bin.
    """

    forecast: Floats
    observed: Floats
    count: Floats


def reliability_curve(probabilities: Floats, outcomes: Floats, bins: int = 10) -> Reliability:
    """Points of a reliability plot; bins hold equal numbers, ties stay together."""
    edges = np.unique(np.quantile(probabilities, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    place = np.searchsorted(edges, probabilities, side="left")
    used = np.unique(place)
    parts = [place == k for k in used]
    return Reliability(
        np.array([probabilities[part].mean() for part in parts]),
        np.array([outcomes[part].mean() for part in parts]),
        np.array([float(part.sum()) for part in parts]),
    )


@dataclass(frozen=True)
class BrierScore:
    """Mean squared error of probabilities and where it comes from.

    ``score = reliability - resolution + uncertainty + within_bin``; the last part is what binning
    hides (Stephenson et al. 2008). ``skill = 1 - score / uncertainty``. ``ece`` is the mean
    absolute gap of the adaptive bins.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float
    skill: float
    ece: float


def brier(probabilities: Floats, outcomes: Floats, bins: int = 10) -> BrierScore:
    """Brier score with its decomposition over adaptive bins.

    Parameters
    ----------
    probabilities, outcomes : float64 (N,)
        Finite, N > 0.
    bins : int
        Equally filled bins.
    """
    curve = reliability_curve(probabilities, outcomes, bins)
    share = curve.count / curve.count.sum()
    base = float(outcomes.mean())
    score = float(((probabilities - outcomes) ** 2).mean())
    reliability = float((share * (curve.forecast - curve.observed) ** 2).sum())
    resolution = float((share * (curve.observed - base) ** 2).sum())
    uncertainty = base * (1.0 - base)
    return BrierScore(
        score=score,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within_bin=score - (reliability - resolution + uncertainty),
        skill=1.0 - score / uncertainty if uncertainty > 0 else float("nan"),
        ece=float((share * np.abs(curve.forecast - curve.observed)).sum()),
    )
