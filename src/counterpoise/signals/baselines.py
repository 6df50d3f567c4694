"""What the machine has to beat: HAR, the mean of the last two, and no change at all.

HAR (Corsi 2009) regresses a quantity on its own means over a short, a middle and a long window.
Refitted by the same walk-forward as the machine; no more than least squares happens here.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.features.engine import FeatureMatrix, column
from counterpoise.market.timeline import Timeline
from counterpoise.signals.walkforward import Split

Floats = NDArray[np.float64]

VARIANCE_TERMS = ("log_rv_24h", "log_rv_168h", "log_rv_720h")
#: Settlements in the short, middle and long mean: one, a day, a week of 8 h intervals.
FUNDING_TERMS = (1, 3, 21)


def variance_terms(features: FeatureMatrix) -> Floats:
    """Log realised variances over 24, 168 and 720 h as of each tick; shape (T, 3)."""
    return np.column_stack([2.0 * features[name] for name in VARIANCE_TERMS])


def fit_linear(X: Floats, y: Floats) -> Floats | None:
    """Least squares with intercept on the rows without NaN.

    Parameters
    ----------
    X : float64 (N, K)
    y : float64 (N,)

    Returns
    -------
    float64 (K + 1,) or None
        Intercept first; None with fewer than ten rows per coefficient.
    """
    rows = np.isfinite(y) & np.isfinite(X).all(axis=1)
    if rows.sum() < 10 * (X.shape[1] + 1):
        return None
    design = np.column_stack([np.ones(rows.sum()), X[rows]])
    return np.asarray(np.linalg.lstsq(design, y[rows])[0])


def apply_linear(coefficients: Floats | None, X: Floats) -> Floats:
    """Fitted values; NaN without coefficients or where a term is NaN. Shape (N,)."""
    if coefficients is None:
        return np.full(len(X), np.nan)
    # One row at a time in effect: a matrix product may round by the number of rows it is given.
    fitted = np.full(len(X), coefficients[0])
    for k in range(X.shape[1]):
        fitted += coefficients[k + 1] * X[:, k]
    return fitted


def walk_linear(X: Floats, y: Floats, splits: list[Split]) -> Floats:
    """Out-of-sample fitted values of a linear model refitted at every split; shape (T,)."""
    out = np.full(len(y), np.nan)
    for split in splits:
        coefficients = fit_linear(X[split.train], y[split.train])
        out[split.predict] = apply_linear(coefficients, X[split.predict])
    return out


def settled_means(timeline: Timeline, counts: tuple[int, ...]) -> Floats:
    """Means over the last settlements of the first venue, as of each tick.

    Parameters
    ----------
    timeline : Timeline
    counts : tuple of int
        Settlements in each mean.

    Returns
    -------
    float64 (T, len(counts))
        NaN before enough were seen, and once a settlement is overdue by a whole interval.
    """
    settled = column(timeline, "funding_seen")
    events = np.flatnonzero(np.isfinite(settled))
    ticks = np.arange(len(settled))
    newest = np.searchsorted(events, ticks, side="right") - 1
    means = np.full((len(settled), len(counts)), np.nan)
    for k, count in enumerate(counts):
        if len(events) < count:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(settled[events], count)
        enough = newest >= count - 1
        means[enough, k] = windows.mean(axis=1)[newest[enough] - count + 1]
    seen = newest >= 0
    age_h = np.full(len(settled), np.inf)
    age_h[seen] = ticks[seen] - events[newest[seen]]
    means[~(age_h < 2.0 * timeline.funding_interval_h[:, 0])] = np.nan
    return means
