"""Every target judged: baseline, candidates and blend, by year, before and after the choice.

Plain types, ready for JSON. Forecasts are judged on the rows where all candidates of a target
that ever speak spoke, whose outcome was known by the end of the span. Nothing is chosen here.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal import choice, scores
from counterpoise.market.timeline import Timeline
from counterpoise.signals.confidence import brier, reliability_curve
from counterpoise.signals.programme import LEVEL, Walked
from counterpoise.signals.targets import Target, judged
from counterpoise.units import HOUR_MS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Json = dict[str, object]

#: Rows that stay together when an interval is drawn, a week of hours.
BLOCK_H = 168
ECE_DRAWS = 500
SEED = 11


def _probability(
    forecast: Floats,
    score: Floats,
    outcome: Floats,
    baseline: Floats,
    lags: int,
    overlap: int,
    gap_h: int,
) -> Json:
    """Of a probability, and by Diebold and Mariano on Brier scores against the baseline."""
    against = scores.diebold_mariano(
        (outcome - forecast) ** 2, (outcome - baseline) ** 2, overlap, gap_h=gap_h
    )
    ranked, raw = (
        scores.auc_interval(forecast, outcome, lags),
        scores.auc_interval(score, outcome, lags),
    )
    held = scores.calibration(forecast, outcome, block=BLOCK_H, draws=ECE_DRAWS, seed=SEED)
    curve, parts = reliability_curve(forecast, outcome), brier(forecast, outcome)
    points = zip(curve.forecast, curve.observed, curve.count, strict=True)
    return {
        "auc": ranked.value,
        "auc_low": ranked.low,
        "auc_high": ranked.high,
        "auc_before_calibration": raw.value,
        "ece": held.ece,
        "ece_low": held.ece_low,
        "ece_high": held.ece_high,
        "brier_skill": held.brier_skill,
        "brier": asdict(parts),
        "base_rate": float(outcome.mean()),
        "dm_t": against.t,
        "dm_p": against.p,
        "bins": [
            {"forecast": float(p), "observed": float(o), "count": int(n)} for p, o, n in points
        ],
    }


def _ratio(ours: Floats, theirs: Floats) -> float | None:
    """Mean of the one over that of the other; None where the other never erred."""
    whole = float(theirs.mean())
    return float(ours.mean()) / whole if whole > 0 else None


def _saved(ours: Floats, theirs: Floats) -> float | None:
    ratio = _ratio(ours, theirs)
    return None if ratio is None else 1.0 - ratio


def _value(
    target: Target,
    forecast: Floats,
    outcome: Floats,
    plain: Mapping[str, Floats],
    overlap: int,
    gap_h: int,
) -> Json:
    """Of a mean or a median, against no change and, by Diebold and Mariano, the baseline."""
    error = outcome - forecast
    unchanged = outcome - plain["no_change"]
    loss = np.square if target.loss == "mean" else np.abs

    def beaten(name: str) -> scores.Comparison:
        return scores.diebold_mariano(
            loss(error), loss(outcome - plain[name]), overlap, gap_h=gap_h
        )

    against = beaten(target.baseline)
    return {
        "r2": _saved(error**2, (outcome - outcome.mean()) ** 2),
        "r2_vs_no_change": _saved(error**2, unchanged**2),
        "mae_ratio": _ratio(np.abs(error), np.abs(unchanged)),
        "bias": float(error.mean()),
        "dm_t": against.t,
        "dm_p": against.p,
        "dm": {name: asdict(beaten(name)) for name in plain},
    }


def _quantile(target: Target, forecast: Floats, outcome: Floats, static: Floats) -> Json:
    ours = scores.pinball(forecast, outcome, target.quantile)
    theirs = scores.pinball(static, outcome, target.quantile)
    test = scores.diebold_mariano(ours, theirs, target.horizon_h)
    return {
        "pinball_gain": _saved(ours, theirs),
        "coverage": float((outcome <= forecast).mean()),
        "dm_t": test.t,
        "dm_p": test.p,
    }


def _inside(walked: Walked) -> Bools:
    lower = np.where(np.isfinite(walked.interval.lower), walked.interval.lower, -np.inf)
    return (walked.bounded <= walked.interval.upper) & (walked.bounded >= lower)


def _overlap(target: Target, rows: Bools) -> int:
    """Judged rows that one outcome spans."""
    places = np.flatnonzero(rows)
    gap = int(np.median(np.diff(places))) if len(places) > 1 else 1
    return max(target.horizon_h // max(gap, 1), 1)


def judge(walked: Walked, rows: Bools) -> Json:
    """One target on some rows.

    Parameters
    ----------
    walked : Walked
    rows : bool (T,)
        Where an outcome counts.

    Returns
    -------
    dict
        ``baseline``, ``best`` and ``candidates``, each with the measures of its kind; ``best`` has
        the ``coverage`` of its interval too. ``count`` 0 and nothing else without a row.
    """
    target = walked.target
    # One that never spoke at all cannot silence the others.
    spoke = {name: one for name, one in walked.candidates.items() if np.isfinite(one).any()}
    forecasts = {**spoke, "blend": walked.score, "best": walked.best}
    rows = rows & np.isfinite(walked.outcome)
    for forecast in forecasts.values():
        rows = rows & np.isfinite(forecast)
    needed = {target.baseline, *({"no_change"} if target.loss in ("mean", "median") else ())}
    if not rows.any() or not needed <= spoke.keys():
        return {"count": 0}
    outcome = walked.outcome[rows]
    overlap, gap_h = _overlap(target, rows), _gap(rows)
    plain = {name: forecast[rows] for name, forecast in spoke.items()}

    def measures(name: str) -> Json:
        forecast = forecasts[name][rows]
        if target.loss == "probability":
            score = walked.score if name == "best" else forecasts[name]
            lags = max(scores.LAG_H, 2 * target.horizon_h)
            base = plain[target.baseline]
            return _probability(forecast, score[rows], outcome, base, lags, overlap, gap_h)
        if target.loss == "quantile":
            return _quantile(target, forecast, outcome, plain[target.baseline])
        return _value(target, forecast, outcome, plain, overlap, gap_h)

    bounded = rows & np.isfinite(walked.bounded) & np.isfinite(walked.interval.upper)
    inside = _inside(walked)[bounded].astype(float)
    best = measures("best")
    if len(inside):
        lags = max(scores.LAG_H // _gap(bounded), 2 * overlap)
        share, error = scores.coverage_error(inside, lags)
        best |= {"coverage": share, "coverage_error": error}
        best["coverage_level"] = target.quantile if target.loss == "quantile" else LEVEL
    return {
        "count": int(rows.sum()),
        "baseline": {"name": target.baseline, **measures(target.baseline)},
        "best": best,
        "candidates": {name: measures(name) for name in (*spoke, "blend")},
    }


def _gap(rows: Bools) -> int:
    places = np.flatnonzero(rows)
    return max(int(np.median(np.diff(places))), 1) if len(places) > 1 else 1


def _years(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return ts_ms.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + 1970


def _deflated(judged: Json, trials: int) -> float | None:
    """One-sided p-value of the best forecast against the baseline, after every trial."""
    best = judged.get("best")
    if not isinstance(best, dict) or best.get("dm_t") is None:
        return None
    two_sided = float(best["dm_p"])
    one_sided = two_sided / 2.0 if best["dm_t"] > 0 else 1.0 - two_sided / 2.0
    return choice.deflated(one_sided, trials)


def report(
    timeline: Timeline,
    walked: Mapping[str, Walked],
    *,
    start_ms: int,
    end_ms: int,
    holdout_ms: int,
    trials: int = 1,
) -> Json:
    """Every target over the span, by year, and on either side of the holdout's start.

    Parameters
    ----------
    timeline : Timeline
    walked : mapping of str to Walked
        By key, ``direction.4h``.
    start_ms, end_ms : int
        Forecasts made from ``start_ms`` on whose outcome was known by ``end_ms``.
    holdout_ms : int
        Choices saw outcomes before this moment only.
    trials : int
        Configurations ever tried; the p-value of the best forecast is deflated by them.

    Returns
    -------
    dict
        ``{target: {horizon: {...}}}`` as of :func:`judge`, each with ``by_year``, ``selection``
        and ``holdout`` (best and baseline alone), ``weights`` of the last blend, and the
        ``overfitting_probability`` of picking the best candidate, ``spa_p`` of Hansen's test that
        none is better than the baseline, ``deflated_p`` of the best forecast after all trials, and
        the ``silent`` candidates, which forecast nothing.
    """
    found: dict[str, dict[str, object]] = {}
    ts_ms, years = timeline.ts_ms, _years(timeline.ts_ms)
    for one in walked.values():
        target = one.target
        known = (ts_ms >= start_ms) & (ts_ms + target.horizon_h * HOUR_MS <= end_ms)
        rows = known & judged(target, timeline)
        whole = judge(one, rows)

        def part(where: Bools, one: Walked = one, rows: Bools = rows) -> Json:
            inner = judge(one, rows & where)
            return {name: inner[name] for name in ("count", "baseline", "best") if name in inner}

        whole["by_year"] = {str(year): part(years == year) for year in np.unique(years[rows])}
        before = ts_ms + target.horizon_h * HOUR_MS <= holdout_ms
        whole["selection"], whole["holdout"] = part(before), part(ts_ms >= holdout_ms)
        weekly = choice.weekly_losses(one, rows)
        whole["overfitting_probability"] = choice.overfitting_probability(weekly)
        whole["spa_p"] = choice.superior_p(weekly, target.baseline)
        whole["deflated_p"] = _deflated(whole, trials)
        whole["silent"] = [name for name in one.candidates if name not in weekly]
        last = one.weights[max(one.weights)]
        members = [name for name in target.blended if name in one.candidates]
        whole["weights"] = dict(zip(members, map(float, last), strict=True))
        found.setdefault(target.name, {})[target.horizon] = whole
    return dict(found)
