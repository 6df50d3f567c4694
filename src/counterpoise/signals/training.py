"""From a timeline to forecasts: walk-forward training of every target, and its evaluation.

Row t of a forecast uses only what was known at t: models, calibrations and corrections are refitted
at month starts from labels known by then. Cutting the timeline leaves all rows before the cut as
they were, to the byte. What a forecast is worth in a hedge is not decided here.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import FeatureMatrix, column, compute
from counterpoise.market.timeline import Timeline
from counterpoise.profiling import stage
from counterpoise.signals import baselines, boosting, labels
from counterpoise.signals.confidence import auc, brier, fit_calibrator, reliability_curve
from counterpoise.signals.correlation import funding_correlation
from counterpoise.signals.forecasts import Fold, Forecasts
from counterpoise.signals.labels import Label
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import DAY_MS, HOUR_MS, stamp
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Fewest labelled rows of a fit: half of the shortest history the settings allow.
MIN_TRAIN_ROWS = 30 * 24
#: Out-of-sample residuals that a level correction needs before it replaces the in-sample ones.
MIN_RESIDUALS = 30 * 24


@dataclass(frozen=True)
class _Run:
    """What the training of every target shares."""

    timeline: Timeline
    settings: Settings
    features: FeatureMatrix
    folder: Path | None
    progress: Progress | None

    def splits(self, label: Label) -> list[Split]:
        labelled = np.flatnonzero(np.isfinite(label.values))
        signals = self.settings.signals
        return list(
            splits(
                self.timeline.ts_ms,
                horizon_h=label.horizon_h,
                embargo_h=signals.embargo_h,
                min_train_days=signals.min_train_days,
                first_row=int(labelled[0]) if len(labelled) else len(label.values),
            )
        )

    def boost(self, recipe: boosting.Recipe, split: Split, y: Floats) -> tuple[str, int] | None:
        """Model text for one split and its number of rows; None with too few of them."""
        X = self.features.values[split.train]
        rows = np.flatnonzero(np.isfinite(y[split.train]))
        if len(rows) < MIN_TRAIN_ROWS:
            return None
        rows = rows[rows % recipe.stride == 0]
        text = boosting.train_or_read(
            X[rows],
            y[split.train][rows],
            recipe,
            seed=self.settings.signals.seed,
            folder=self.folder,
        )
        return text, len(rows)

    def boost_all(
        self,
        recipe: boosting.Recipe,
        todo: Sequence[Split],
        target: Callable[[Split], Floats],
    ) -> Iterator[tuple[str, int] | None]:
        """Models of many splits in order, trained side by side; LightGBM frees the interpreter.

        Each training uses one thread: its own threads would wait for each other at every split
        of a tree, several times slower as soon as another process wants a core.
        """
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            yield from pool.map(lambda split: self.boost(recipe, split, target(split)), todo)
        finally:
            pool.shutdown(cancel_futures=True)

    def fold(self, label: Label, split: Split, rows: int) -> Fold:
        ts_ms = self.timeline.ts_ms
        return Fold(
            target=label.name,
            train_rows=rows,
            train_end_ms=int(ts_ms[split.train.stop - 1]),
            first_ms=int(ts_ms[split.predict.start]),
            last_ms=int(ts_ms[split.predict.stop - 1]),
        )

    def tell(self, label: Label, done: int, of: int) -> None:
        if self.progress is not None:
            self.progress(label.name, done, of)


def round_trip_cost(timeline: Timeline, settings: Settings) -> Floats:
    """Cost of opening and closing a unit of short on the first venue at each tick, fraction.

    Twice: the taker share crosses the half spread at the taker fee, the rest pays the maker fee;
    fees are those of the contract in force.
    """
    days, day_of_row = np.unique(timeline.ts_ms // DAY_MS, return_inverse=True)
    contracts = [contract_at(timeline.venues[0], int(day) * DAY_MS) for day in days]
    one_way = np.array([one_way_cost(settings.costs, contract) for contract in contracts])
    return np.asarray(2.0 * one_way[day_of_row])


def _classify(
    run: _Run, label: Label, recipe: boosting.Recipe
) -> tuple[Floats, Floats, list[Fold]]:
    """Out-of-sample scores (T,), calibrated probabilities (T,) and refits of a yes-or-no target."""
    score = np.full(len(label.values), np.nan)
    probability = score.copy()
    folds = []
    todo = run.splits(label)
    models = run.boost_all(recipe, todo, lambda _: label.values)
    for i, (split, fitted) in enumerate(zip(todo, models, strict=True)):
        known = split.predict.start - label.horizon_h + 1
        calibrator = fit_calibrator(score[:known], label.values[:known], horizon_h=label.horizon_h)
        if fitted is not None:
            text, rows = fitted
            score[split.predict] = boosting.predict(text, run.features.values[split.predict])
            folds.append(run.fold(label, split, rows))
            if calibrator is not None:
                probability[split.predict] = calibrator(score[split.predict])
        run.tell(label, i + 1, len(todo))
    return score, probability, folds


def _smearing(log_variance_errors: Floats) -> float:
    """Mean of exp(error / 2): takes the median volatility to its mean (Duan 1983)."""
    errors = log_variance_errors[np.isfinite(log_variance_errors)]
    return float(np.exp(errors / 2.0).mean())


def _volatility(run: _Run, label: Label) -> tuple[Floats, Floats, list[Fold]]:
    """Expected volatility (T,) by LightGBM on HAR's residual, by HAR alone, and the refits."""
    terms = baselines.variance_terms(run.features)
    y = label.values
    log_har, log_boosted = np.full(len(y), np.nan), np.full(len(y), np.nan)
    har, boosted = log_har.copy(), log_boosted.copy()
    folds = []
    todo = run.splits(label)

    def linear(split: Split) -> Floats:
        coefficients = baselines.fit_linear(terms[split.train], y[split.train])
        return baselines.apply_linear(coefficients, terms)

    models = run.boost_all(boosting.VOLATILITY, todo, lambda split: y - linear(split))
    for i, (split, trained) in enumerate(zip(todo, models, strict=True)):
        fitted = linear(split)
        residual = y - fitted
        log_har[split.predict] = fitted[split.predict]
        known = slice(0, split.predict.start - label.horizon_h + 1)
        past = y[known] - log_har[known]
        enough = np.isfinite(past).sum() >= MIN_RESIDUALS
        errors = past if enough else residual[split.train]
        if np.isfinite(errors).any():
            har[split.predict] = np.exp(fitted[split.predict] / 2.0) * _smearing(errors)
        if trained is not None:
            text, rows = trained
            ahead = boosting.predict(text, run.features.values[split.predict])
            log_boosted[split.predict] = fitted[split.predict] + ahead
            past = y[known] - log_boosted[known]
            enough = np.isfinite(past).sum() >= MIN_RESIDUALS
            errors = past if enough else residual[split.train]
            boosted[split.predict] = np.exp(log_boosted[split.predict] / 2.0) * _smearing(errors)
            folds.append(run.fold(label, split, rows))
        run.tell(label, i + 1, len(todo))
    return boosted, har, folds


def _funding(run: _Run, label: Label) -> tuple[Floats, Floats]:
    """Next settlement (T,) by the mean of the last two, and by HAR."""
    last_two = baselines.settled_means(run.timeline, (2,))[:, 0]
    terms = baselines.settled_means(run.timeline, baselines.FUNDING_TERMS)
    # One training row per settlement, the moment it is known: the hours between repeat it.
    event = np.isfinite(column(run.timeline, "funding_seen"))
    y = np.where(event, label.values, np.nan)
    return last_two, baselines.walk_linear(terms, y, run.splits(label))


@stage("models")
def forecast(
    timeline: Timeline,
    settings: Settings,
    *,
    model_folder: Path | None = None,
    progress: Progress | None = None,
) -> Forecasts:
    """Train every target walk-forward and forecast out of sample.

    Volatility forecasts are expected volatilities: the exponential of half the log-variance
    forecast, times a smearing factor from past errors.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
        ``signals`` and ``costs`` are read.
    model_folder : Path, optional
        Cache of trained models; without it every model is trained afresh.
    progress : callable, optional
        Called as ``progress(target, refits done, refits in all)``.

    Returns
    -------
    Forecasts

    Raises
    ------
    NotEnoughData
        History too short for a single refit of the direction model.
    """
    with stage("features"):
        features = compute(timeline, boosting.INPUTS)
    run = _Run(timeline, settings, features, model_folder, progress)
    up = labels.direction(timeline)
    if not run.splits(up):
        days = settings.signals.min_train_days
        ts_ms = timeline.ts_ms
        span = f"{stamp(int(ts_ms[0]))} to {stamp(int(ts_ms[-1]))}" if len(ts_ms) else "no hours"
        raise NotEnoughData(
            f"timeline: {span} holds no month start {days} days after its first spot close. "
            "Next: import a longer history or lower signals.min_train_days."
        )
    score, p_up, up_folds = _classify(run, up, boosting.DIRECTION)
    pays = labels.hedge_pays(timeline, round_trip_cost(timeline, settings))
    _, p_pays, pays_folds = _classify(run, pays, boosting.HEDGE_PAYS)
    boosted, har, volatility_folds = _volatility(run, labels.log_variance(timeline))
    funding_next, funding_har = _funding(run, labels.next_funding(timeline))
    rho = funding_correlation(
        timeline,
        window_days=settings.signals.rho_window_days,
        prior_days=settings.signals.rho_prior_days,
    )
    return Forecasts(
        ts_ms=timeline.ts_ms,
        p_up_4h=p_up,
        p_hedge_pays_4h=p_pays,
        vol_24h=boosted,
        vol_24h_har=har,
        rv_24h=np.exp(run.features["log_rv_24h"]),
        rv_168h=np.exp(run.features["log_rv_168h"]),
        funding_next=funding_next,
        funding_next_har=funding_har,
        rho=rho.shrunk,
        rho_raw=rho.raw,
        direction_score=score,
        folds=(*up_folds, *pays_folds, *volatility_folds),
    )


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
