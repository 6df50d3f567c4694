"""What the forecasts of the walk-forward were worth: calibration, skill and bias over a span.

What they are worth in a hedge is the study's business.
"""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.features.engine import column
from counterpoise.market.timeline import Timeline
from counterpoise.signals import labels
from counterpoise.signals.confidence import auc, brier, reliability_curve
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.labels import Label
from counterpoise.signals.training import round_trip_cost
from counterpoise.units import HOUR_MS

Floats = NDArray[np.float64]


def _known(value: float) -> float | None:
    """None for NaN, which JSON does not have."""
    return value if np.isfinite(value) else None


def _confidence(probability: Floats, outcome: Floats) -> dict[str, object]:
    rows = np.isfinite(probability) & np.isfinite(outcome)
    if not rows.any():
        return {"count": 0}
    probability, outcome = probability[rows], outcome[rows]
    curve = reliability_curve(probability, outcome)
    parts = asdict(brier(probability, outcome))
    points = zip(curve.forecast, curve.observed, curve.count, strict=True)
    return {
        "count": int(rows.sum()),
        "base_rate": float(outcome.mean()),
        "auc": _known(auc(probability, outcome)),
        "brier": {name: _known(value) for name, value in parts.items()},
        "bins": [
            {"forecast": float(p), "observed": float(o), "count": int(n)} for p, o, n in points
        ],
    }


def _skill(candidates: dict[str, Floats], outcome: Floats, benchmark: str) -> dict[str, object]:
    """R², bias and MAE ratio of each candidate over the rows where all of them spoke."""
    rows = np.isfinite(outcome)
    for values in candidates.values():
        rows &= np.isfinite(values)
    if not rows.any():
        return {"count": 0}
    errors = {name: outcome[rows] - values[rows] for name, values in candidates.items()}
    spread = float(outcome[rows].var())
    plain = float(np.abs(errors[benchmark]).mean())
    skill: dict[str, object] = {"count": int(rows.sum())}
    for name, error in errors.items():
        skill[name] = {
            "r2": 1.0 - float((error**2).mean()) / spread if spread > 0 else None,
            "bias": float(error.mean()),
            "mae_ratio": float(np.abs(error).mean()) / plain if plain > 0 else None,
        }
    return skill


def evaluate(
    timeline: Timeline,
    forecasts: Forecasts,
    start_ms: int,
    end_ms: int,
    *,
    settings: Settings | None = None,
) -> dict[str, object]:
    """How good the forecasts were over a span; plain types, ready for JSON.

    Parameters
    ----------
    timeline : Timeline
    forecasts : Forecasts
        Of this timeline.
    start_ms, end_ms : int
        Forecasts made from ``start_ms`` on whose outcome was known by ``end_ms``.
    settings : Settings, optional
        Costs of the ``hedge_pays`` outcome; without them that target is left out.

    Returns
    -------
    dict
        ``direction`` (and ``hedge_pays``): count, base rate, AUC of the calibrated confidence,
        Brier decomposition with skill and adaptive-bin ECE, reliability bins; ``auc_score`` is
        that of the direction score before calibration.
        ``volatility``: no change, HAR and LightGBM against log realised variance. ``funding``: no
        change, mean of the last two and HAR, one forecast per settlement. ``r2`` is one minus the
        mean squared error over the variance of the outcome; ``bias`` is mean outcome minus
        forecast, which the correction to expected volatility makes negative. A target without a
        row says ``count`` 0; an undefined ratio is None.
    """
    ts_ms = timeline.ts_ms

    def outcome(label: Label) -> Floats:
        inside = (ts_ms >= start_ms) & (ts_ms + label.horizon_h * HOUR_MS <= end_ms)
        return np.where(inside, label.values, np.nan)

    up = outcome(labels.direction(timeline))
    direction = _confidence(forecasts.p_up_4h, up)
    scored = np.isfinite(up) & np.isfinite(forecasts.p_up_4h)
    direction["auc_score"] = _known(auc(forecasts.direction_score[scored], up[scored]))
    found: dict[str, object] = {"direction": direction}
    if settings is not None:
        pays = labels.hedge_pays(timeline, round_trip_cost(timeline, settings))
        found["hedge_pays"] = _confidence(forecasts.p_hedge_pays_4h, outcome(pays))
    found["volatility"] = _skill(
        {
            "no_change": 2.0 * np.log(forecasts.rv_24h),
            "har": 2.0 * np.log(forecasts.vol_24h_har),
            "lightgbm": 2.0 * np.log(forecasts.vol_24h),
        },
        outcome(labels.log_variance(timeline)),
        "no_change",
    )
    settled_now = np.isfinite(column(timeline, "funding_seen"))
    found["funding"] = _skill(
        {
            "no_change": timeline.funding_last[:, 0],
            "mean_of_two": forecasts.funding_next,
            "har": forecasts.funding_next_har,
        },
        np.where(settled_now, outcome(labels.next_funding(timeline)), np.nan),
        "no_change",
    )
    return found
