"""How good a forecast was: each measure with what it is worth knowing about its error.

Neighbouring hours share their outcome, so every error here comes from a long-run variance or from
blocks, never from the count of rows. Nothing here knows how a forecast was made.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from counterpoise.signals.confidence import auc, brier

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Hours of autocorrelation allowed for, beyond twice the horizon.
LAG_H = 168


def long_run_variance(values: Floats, lags: int) -> float:
    """Variance of the mean times n, by Bartlett's kernel (Newey and West 1987).

    Parameters
    ----------
    values : float64 (N,)
    lags : int
        Autocovariances counted, with falling weights.
    """
    centred = values - values.mean()
    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size)[: min(lags, n - 1) + 1] / n
    weight = 1.0 - np.arange(len(covariance)) / (lags + 1.0)
    total = covariance[0] + 2.0 * float((weight[1:] * covariance[1:]).sum())
    return max(float(total), float(covariance[0]) / n)


def standard_error(values: Floats, lags: int) -> float:
    """Of the mean of a series whose neighbours are alike."""
    return float(np.sqrt(long_run_variance(values, lags) / len(values)))


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve and its 95 % interval."""

    value: float
    low: float
    high: float


def auc_interval(scores: Floats, outcomes: Floats, lags: int) -> Auc:
    """AUC with an interval from its influence values (DeLong 1988), autocorrelation allowed for.

    Parameters
    ----------
    scores, outcomes : float64 (N,)
        In order of time; outcomes 0 or 1.
    lags : int
    """
    value = auc(scores, outcomes)
    rises, falls = outcomes > 0, outcomes <= 0
    if not rises.any() or not falls.any():
        return Auc(value, float("nan"), float("nan"))
    # Share of the other kind that each row beats, ties counting half.
    everywhere = rankdata(scores)
    place = np.empty(len(scores))
    place[rises] = (everywhere[rises] - rankdata(scores[rises])) / falls.sum()
    place[falls] = 1.0 - (everywhere[falls] - rankdata(scores[falls])) / rises.sum()
    share = rises.mean()
    influence = np.where(rises, (place - value) / share, (place - value) / (1.0 - share))
    error = 1.96 * standard_error(influence, lags)
    return Auc(value, value - error, value + error)


@dataclass(frozen=True)
class Comparison:
    """Diebold and Mariano's test of two forecasts.

    Attributes
    ----------
    gain : float
        Mean loss of the benchmark minus that of the forecast: positive is better.
    t : float
    p : float
        Two-sided.
    """

    gain: float
    t: float
    p: float


def diebold_mariano(loss: Floats, benchmark: Floats, overlap: int, *, gap_h: int = 1) -> Comparison:
    """Whether one forecast's loss is smaller, allowing for overlapping outcomes.

    Bartlett's kernel over twice the overlap and a week's worth at least (a quarter of the rows at
    most): errors of a rough and of a calm week are alike for longer than one outcome lasts. With
    the small-sample correction of Harvey, Leybourne and Newbold (1997) and Student's t.

    Parameters
    ----------
    loss, benchmark : float64 (N,)
        Losses on the same rows, in order of time.
    overlap : int
        Rows one outcome spans.
    gap_h : int
        Hours from row to row.
    """
    difference = benchmark - loss
    n = len(difference)
    if n < 8 or np.ptp(difference) == 0.0:
        return Comparison(float(difference.mean()) if n else float("nan"), 0.0, 1.0)
    lags = min(max(2 * overlap, LAG_H // gap_h), n // 4)
    t = float(difference.mean()) / standard_error(difference, lags)
    h = overlap
    corrected = max(n + 1 - 2 * h + h * (h - 1) / n, 1.0) / n
    t *= float(np.sqrt(corrected))
    return Comparison(float(difference.mean()), t, float(2.0 * student.sf(abs(t), n - 1)))


def pinball(forecast: Floats, outcome: Floats, quantile: float) -> Floats:
    """Pinball loss of each row; shape (N,).

    Examples
    --------
    >>> pinball(np.array([1.0, 1.0]), np.array([2.0, 0.0]), 0.9).round(6).tolist()
    [0.9, 0.1]
    """
    error = outcome - forecast
    return np.maximum(quantile * error, (quantile - 1.0) * error)


@dataclass(frozen=True)
class Calibration:
    """Brier skill and calibration error of probabilities, with 95 % intervals of the latter."""

    brier_skill: float
    ece: float
    ece_low: float
    ece_high: float


def calibration(
    probabilities: Floats, outcomes: Floats, *, block: int, draws: int, seed: int
) -> Calibration:
    """Brier skill, and adaptive-bin ECE with an interval over blocks of hours.

    Parameters
    ----------
    probabilities, outcomes : float64 (N,)
    block : int
        Rows that stay together in a draw.
    draws : int
    seed : int
    """
    whole = brier(probabilities, outcomes)
    random = np.random.default_rng(seed)
    count = -(-len(outcomes) // block)
    starts = random.integers(0, max(len(outcomes) - block + 1, 1), size=(draws, count))
    drawn = np.empty(draws)
    for i in range(draws):
        rows = (starts[i][:, None] + np.arange(block)).ravel()
        rows = rows[rows < len(outcomes)]
        drawn[i] = brier(probabilities[rows], outcomes[rows]).ece
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Calibration(whole.skill, whole.ece, float(low), float(high))


def coverage_error(inside: Floats, lags: int) -> tuple[float, float]:
    """Share inside and half its 95 % interval."""
    return float(inside.mean()), float(norm.ppf(0.975)) * standard_error(inside, lags)
