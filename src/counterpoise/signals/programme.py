"""The forecasting programme: every target walk-forward, blended, calibrated and bounded.

Row t of every array here uses only what was known at t: models are refitted at month starts on
outcomes known an embargo before, blends and calibrations on outcomes known by then, conformal
bounds move with each outcome as it becomes known. What a forecast is worth is judged elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.config import SignalSettings
from counterpoise.errors import NotEnoughData
from counterpoise.features.engine import FeatureMatrix, compute
from counterpoise.market.timeline import Timeline
from counterpoise.sealed import digest
from counterpoise.signals import conformal, inputs, labels, stack
from counterpoise.signals.confidence import fit_validated
from counterpoise.signals.conformal import Interval
from counterpoise.signals.labels import Label
from counterpoise.signals.model import Model
from counterpoise.signals.own_model import OwnModel
from counterpoise.signals.targets import Target
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import HOURS_PER_YEAR, stamp

Floats = NDArray[np.float64]

#: Share of outcomes an interval is to hold.
LEVEL = 0.90
#: Half-life, in outcomes, of the mean absolute error that scales an interval.
SCALE_HALF_LIFE = 720.0


@dataclass(frozen=True)
class Walked:
    """One target over history.

    Attributes
    ----------
    target : Target
    outcome : float64 (T,)
        Realised later; NaN where it could not be measured.
    candidates : dict of str to float64 (T,)
        Out-of-sample forecasts of each candidate.
    best : float64 (T,)
        The blend; calibrated where it is a probability, the adaptive bound where it is a quantile.
    score : float64 (T,)
        The blend before that.
    weights : dict of int to float64 (M,)
        Of the blended candidates, by the row of the refit.
    interval : Interval
        Of the outcome, of the return where the target is its direction; for a quantile the upper
        bound alone, the lower one NaN.
    bounded : float64 (T,)
        What the interval is about.
    splits : tuple of Split
    """

    target: Target
    outcome: Floats
    candidates: dict[str, Floats]
    best: Floats
    score: Floats
    weights: dict[int, Floats]
    interval: Interval
    bounded: Floats
    splits: tuple[Split, ...]


@dataclass(frozen=True)
class Programme:
    """What the targets share: the clock, the inputs, and how to refit.

    Attributes
    ----------
    timeline : Timeline
    settings : SignalSettings
    features : FeatureMatrix
        Every input of :data:`counterpoise.signals.inputs.NAMES`.
    X : float64 (T, F)
        The same in rows.
    """

    timeline: Timeline
    settings: SignalSettings
    features: FeatureMatrix
    X: Floats = field(repr=False)

    @staticmethod
    def of(timeline: Timeline, settings: SignalSettings) -> "Programme":
        """Compute the inputs of a timeline."""
        features = compute(timeline, inputs.NAMES)
        return Programme(timeline, settings, features, np.ascontiguousarray(features.values))

    def splits(self, label: Label) -> tuple[Split, ...]:
        """Refits of a walk-forward on a label, in order.

        Raises
        ------
        NotEnoughData
            History too short for a single one.
        """
        labelled = np.flatnonzero(np.isfinite(label.values))
        found = tuple(
            splits(
                self.timeline.ts_ms,
                horizon_h=label.horizon_h,
                embargo_h=max(self.settings.embargo_h, label.horizon_h),
                min_train_days=self.settings.min_train_days,
                first_row=int(labelled[0]) if len(labelled) else len(label.values),
            )
        )
        if not found:
            ts_ms = self.timeline.ts_ms
            span = f"{stamp(int(ts_ms[0]))} to {stamp(int(ts_ms[-1]))}" if len(ts_ms) else "none"
            raise NotEnoughData(
                f"{label.name} over {label.horizon_h} h: hours {span} hold no month start "
                f"{self.settings.min_train_days} days after the first outcome. Next: import a "
                "longer history or lower signals.min_train_days."
            )
        return found


def combine(target: Target, parts: list[Floats]) -> Floats:
    """Mean of a candidate's parts; of log odds where they are probabilities. Shape (T,)."""
    if len(parts) == 1:
        return parts[0]
    if target.loss != "probability":
        return np.asarray(np.mean(parts, axis=0))
    safe = [np.clip(part, 1e-6, 1.0 - 1e-6) for part in parts]
    odds = np.mean([np.log(part / (1.0 - part)) for part in safe], axis=0)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def blended(
    target: Target, outcome: Floats, candidates: Mapping[str, Floats], refits: tuple[Split, ...]
) -> tuple[Floats, dict[int, Floats]]:
    """The blend (T,) and its weights by the row of each refit."""
    members = {name: candidates[name] for name in target.blended if name in candidates}
    score = np.full(len(outcome), np.nan)
    weights = {}
    for split in refits:
        start = split.predict.start
        weights[start] = stack.past_weights(
            members,
            outcome,
            start,
            horizon_h=target.horizon_h,
            loss=target.loss,
            quantile=target.quantile,
        )
        score[split.predict] = stack.blend(members, weights[start], split.predict)
    return score, weights


def calibrated(target: Target, outcome: Floats, score: Floats, refits: tuple[Split, ...]) -> Floats:
    """Probabilities by the calibration known at each refit; shape (T,)."""
    out = np.full(len(score), np.nan)
    for split in refits:
        known = slice(0, max(split.predict.start - target.horizon_h + 1, 0))
        calibrator = fit_validated(score[known], outcome[known], horizon_h=target.horizon_h)
        if calibrator is not None:
            out[split.predict] = calibrator(score[split.predict])
    return out


def trailing_error(center: Floats, outcome: Floats, delay: int) -> Floats:
    """Exponential mean of absolute errors known at each tick; shape (T,), NaN before the first."""
    error = conformal.delayed(np.abs(outcome - center), delay)
    keep = 0.5 ** (1.0 / SCALE_HALF_LIFE)
    scale = np.full(len(center), np.nan)
    mean, seen = np.nan, 0.0
    for t in np.flatnonzero(np.isfinite(error)):
        seen += 1.0
        share = max(1.0 - keep, 1.0 / seen)
        mean = error[t] if seen == 1.0 else mean + share * (error[t] - mean)
        scale[t] = mean
    places = np.where(np.isfinite(scale), np.arange(len(scale)), -1)
    last = np.maximum.accumulate(places)
    return np.where(last >= 0, scale[np.maximum(last, 0)], np.nan)


def _bounds(
    programme: Programme, target: Target, outcome: Floats, best: Floats
) -> tuple[Interval, Floats]:
    """Interval of the outcome and what it is about."""
    horizon_h = target.horizon_h
    if target.loss == "probability":
        returns = labels.log_return(programme.timeline, horizon_h).values
        day, week = (programme.features[f"log_parkinson_{h}h"] for h in (24, 168))
        scale = np.exp((day + week) / 2.0) * np.sqrt(horizon_h / HOURS_PER_YEAR)
        center = np.where(np.isfinite(best), 0.0, np.nan)
        return (
            conformal.interval(
                center, scale, returns, delay=horizon_h, level=LEVEL, rate=target.rate
            ),
            returns,
        )
    if target.loss == "quantile":
        upper = conformal.bound(
            best,
            best,
            outcome,
            delay=horizon_h,
            tail=1.0 - target.quantile,
            rate=target.rate,
            upper=True,
            multiple=0.0,
        )
        return Interval(np.full(len(best), np.nan), upper), outcome
    lower, upper = np.full(len(best), np.nan), np.full(len(best), np.nan)
    for phase in _phases(programme, target):
        center = np.where(phase, best, np.nan)
        scale = trailing_error(center, outcome, horizon_h)
        found = conformal.interval(
            center, scale, outcome, delay=horizon_h, level=LEVEL, rate=target.rate
        )
        lower[phase], upper[phase] = found.lower[phase], found.upper[phase]
    return Interval(lower, upper), outcome


def _phases(programme: Programme, target: Target) -> list[NDArray[np.bool_]]:
    """Ticks that share an interval: all, or for a running settlement those equally far from it."""
    if target.key != "funding.next":
        return [np.ones(len(programme.X), dtype=bool)]
    elapsed = np.round(programme.features["funding_elapsed"], 6)
    return [elapsed == value for value in np.unique(elapsed[np.isfinite(elapsed)])]


def finish(
    programme: Programme, target: Target, label: Label, candidates: dict[str, Floats]
) -> Walked:
    """Blend, calibrate and bound the candidates of a target."""
    refits = programme.splits(label)
    score, weights = blended(target, label.values, candidates, refits)
    best = score
    if target.loss == "probability":
        best = calibrated(target, label.values, score, refits)
    interval, bounded = _bounds(programme, target, label.values, best)
    if target.loss == "quantile":
        best = interval.upper
    return Walked(target, label.values, candidates, best, score, weights, interval, bounded, refits)


def _refit(
    X: Floats, Y: Floats, model: Model, column: int, stop: int, rows: tuple[int, int], seed: int
) -> Floats:
    """Forecasts of one refit: what a worker does."""
    fitted = model.fit(X[:stop], np.ascontiguousarray(Y[:stop, column]), seed)
    return np.asarray(fitted.predict(X[: rows[1]], slice(*rows)), dtype=np.float64)


class _How(TypedDict):
    """Where tasks run."""

    backend: cluster.Backend
    folder: Path | None
    workers: int | None
    address: str | None


_Place = tuple[str, str, int]


def _tasks(
    programme: Programme, models: Mapping[_Place, Model], labels_of: Mapping[_Place, Label]
) -> tuple[list[cluster.Task], list[tuple[_Place, slice]]]:
    """One task for each refit, and which rows of which part it forecasts."""
    tasks, rows_of = [], []
    # Another release may learn otherwise.
    data, seed = digest(programme.X, version("counterpoise")), programme.settings.seed
    for column, (place, label) in enumerate(labels_of.items()):
        model, outcome = models[place], digest(label.values)
        for split in programme.splits(label):
            rows = (split.predict.start, split.predict.stop)
            key = digest(data, outcome, repr(model), split.train.stop, list(rows), seed)
            arguments = (model, column, split.train.stop, rows, seed)
            tasks.append(cluster.Task(key, _refit, arguments))
            rows_of.append((place, split.predict))
    return tasks, rows_of


def run(
    programme: Programme,
    targets: Mapping[str, Target],
    *,
    given: Mapping[str, Mapping[str, Floats]] | None = None,
    backend: cluster.Backend = "threads",
    folder: Path | None = None,
    workers: int | None = None,
    address: str | None = None,
    progress: cluster.Progress | None = None,
) -> dict[str, Walked]:
    """Walk every target forward; the same numbers on every backend.

    Parameters
    ----------
    programme : Programme
    targets : mapping of str to Target
    given : mapping of str to mapping of str to float64 (T,), optional
        Out-of-sample forecasts made elsewhere, by target and candidate (the network's).
    backend, folder, workers, address, progress
        As of :func:`counterpoise.cluster.run`; ``folder`` keeps the forecasts of each refit, so a
        run that was killed goes on where it was.

    Returns
    -------
    dict of str to Walked
    """
    outcomes = {key: target.outcome(programme.timeline) for key, target in targets.items()}
    learned = {
        (key, candidate.name, i): part
        for key, target in targets.items()
        for candidate in target.candidates
        for i, part in enumerate(candidate.parts)
    }
    walked = {place: np.full(len(programme.X), np.nan) for place in learned}
    places = list(learned)
    shipped = [place for place in places if not isinstance(learned[place].model, OwnModel)]
    # A user's file was run here and stays here: what it defines cannot be sent to a worker.
    own = [place for place in places if place not in shipped]
    local: _How = {"backend": "threads", "folder": None, "workers": 1, "address": None}
    asked: _How = {"backend": backend, "folder": folder, "workers": workers, "address": address}
    for these, how in ((shipped, asked), (own, local)):
        labels_of = {place: learned[place].outcome(programme.timeline) for place in these}
        tasks, rows_of = _tasks(programme, {p: learned[p].model for p in these}, labels_of)
        if not tasks:
            continue
        Y = np.column_stack([label.values for label in labels_of.values()])
        found = cluster.run(tasks, shared=(programme.X, Y), progress=progress, **how)
        for (place, rows), forecast in zip(rows_of, found, strict=True):
            walked[place][rows] = forecast
    done = {}
    for key, target in targets.items():
        candidates = {
            candidate.name: combine(
                target, [walked[key, candidate.name, i] for i in range(len(candidate.parts))]
            )
            for candidate in target.candidates
        }
        candidates |= dict((given or {}).get(key, {}))
        done[key] = finish(programme, target, outcomes[key], candidates)
    return done
