"""From a timeline to forecasts: walk-forward training of every target.

Row t of a forecast uses only what was known at t: models, calibrations and corrections are refitted
at month starts from labels known by then. Cutting the timeline leaves all rows before the cut as
they were, to the byte. What they are worth is ``evaluation``'s business.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import FeatureMatrix, column, compute
from counterpoise.market.timeline import Timeline
from counterpoise.profiling import stage
from counterpoise.signals import baselines, boosting, labels
from counterpoise.signals.confidence import fit_calibrator
from counterpoise.signals.correlation import funding_correlation
from counterpoise.signals.forecasts import Fold, Forecasts
from counterpoise.signals.labels import Label
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import DAY_MS, stamp
from counterpoise.venues import contract_at
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
#: What a refit said of its rows, column by column, and the refit itself; by target and split.
Said = dict[tuple[str, Split], tuple[tuple[Floats, ...], Fold | None]]

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
    said: Said

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
        label: Label,
        recipe: boosting.Recipe,
        todo: Sequence[Split],
        target: Callable[[Split], Floats],
    ) -> Iterator[tuple[str, int] | None]:
        """Models of the splits in order, None for one that has said all; trained side by side.

        LightGBM frees the interpreter. Each training uses one thread: its own threads would wait
        for each other at every split of a tree, several times slower as soon as another process
        wants a core.
        """

        def one(split: Split) -> tuple[str, int] | None:
            if (label.name, split) in self.said:
                return None
            return self.boost(recipe, split, target(split))

        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            yield from pool.map(one, todo)
        finally:
            pool.shutdown(cancel_futures=True)

    def walk(
        self,
        label: Label,
        todo: Sequence[Split],
        models: Iterator[tuple[str, int] | None],
        columns: tuple[Floats, ...],
        refit: Callable[[Split, tuple[str, int] | None], Fold | None],
    ) -> list[Fold]:
        """Fill the columns split by split, by what was said before or by a refit."""
        folds = []
        for i, (split, model) in enumerate(zip(todo, models, strict=True)):
            key = (label.name, split)
            if key in self.said:
                values, fold = self.said[key]
                for column_, rows in zip(columns, values, strict=True):
                    column_[split.predict] = rows
            else:
                fold = refit(split, model)
                values = tuple(column_[split.predict].copy() for column_ in columns)
                self.said[key] = (values, fold)
            folds += [] if fold is None else [fold]
            if self.progress is not None:
                self.progress(label.name, i + 1, len(todo))
        return folds

    def fold(self, label: Label, split: Split, rows: int) -> Fold:
        ts_ms = self.timeline.ts_ms
        return Fold(
            target=label.name,
            train_rows=rows,
            train_end_ms=int(ts_ms[split.train.stop - 1]),
            first_ms=int(ts_ms[split.predict.start]),
            last_ms=int(ts_ms[split.predict.stop - 1]),
        )


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
    todo = run.splits(label)
    models = run.boost_all(label, recipe, todo, lambda _: label.values)

    def refit(split: Split, fitted: tuple[str, int] | None) -> Fold | None:
        if fitted is None:
            return None
        known = split.predict.start - label.horizon_h + 1
        calibrator = fit_calibrator(score[:known], label.values[:known], horizon_h=label.horizon_h)
        text, rows = fitted
        score[split.predict] = boosting.predict(text, run.features.values[split.predict])
        if calibrator is not None:
            probability[split.predict] = calibrator(score[split.predict])
        return run.fold(label, split, rows)

    folds = run.walk(label, todo, models, (score, probability), refit)
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
    todo = run.splits(label)

    def linear(split: Split) -> Floats:
        coefficients = baselines.fit_linear(terms[split.train], y[split.train])
        return baselines.apply_linear(coefficients, terms)

    def expected(log_variance: Floats, split: Split, residual: Floats) -> Floats | None:
        """Volatility of a split by past errors of its own; None where there are none."""
        known = slice(0, split.predict.start - label.horizon_h + 1)
        past = y[known] - log_variance[known]
        enough = np.isfinite(past).sum() >= MIN_RESIDUALS
        errors = past if enough else residual
        if not np.isfinite(errors).any():
            return None
        return np.asarray(np.exp(log_variance[split.predict] / 2.0) * _smearing(errors))

    def refit(split: Split, trained: tuple[str, int] | None) -> Fold | None:
        fitted = linear(split)
        residual = (y - fitted)[split.train]
        log_har[split.predict] = fitted[split.predict]
        if (by_har := expected(log_har, split, residual)) is not None:
            har[split.predict] = by_har
        if trained is None:
            return None
        text, rows = trained
        ahead = boosting.predict(text, run.features.values[split.predict])
        log_boosted[split.predict] = fitted[split.predict] + ahead
        if (by_trees := expected(log_boosted, split, residual)) is not None:
            boosted[split.predict] = by_trees
        return run.fold(label, split, rows)

    models = run.boost_all(label, boosting.VOLATILITY, todo, lambda split: y - linear(split))
    folds = run.walk(label, todo, models, (log_har, log_boosted, har, boosted), refit)
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
    said: Said | None = None,
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
    said : dict, optional
        What refits said of a timeline that this one goes on from; what these say is added.

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
    run = _Run(timeline, settings, features, model_folder, progress, {} if said is None else said)
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
