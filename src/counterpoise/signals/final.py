"""The models to go live with: every blended candidate fitted once more on all that is known.

Fits keep the purge and the embargo of a refit at the last tick. Blend weights, calibrators and the
memory of the bounds come from the out-of-sample forecasts of the walk, so nothing here is judged on
what it learned from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.timeline import Timeline
from counterpoise.sealed import digest
from counterpoise.signals import boosting, conformal, drift, inputs, labels, stack
from counterpoise.signals.boosted import FittedLog, FittedTrees, Trees
from counterpoise.signals.boosting import INPUTS
from counterpoise.signals.bounds import PHASE, RANGES, Bounds
from counterpoise.signals.bundle import COLUMNS, NETWORK, Bundle, Member, Output, Part
from counterpoise.signals.bundle import Target as Live
from counterpoise.signals.confidence import Isotonic, Platt, auc, brier, fit_validated
from counterpoise.signals.linear import Column, FittedLinear
from counterpoise.signals.live import PAYS, REFERENCE
from counterpoise.signals.lstm_network import Network
from counterpoise.signals.model import Fitted
from counterpoise.signals.network import NAME as LSTM
from counterpoise.signals.outputs import calibrator_tensors, linear_tensors
from counterpoise.signals.programme import LEVEL, SCALE_HALF_LIFE, Programme, Walked
from counterpoise.signals.targets import Candidate, Target, judged
from counterpoise.signals.targets import Part as Learner
from counterpoise.signals.targets import targets as targets_of
from counterpoise.signals.training import round_trip_cost
from counterpoise.units import from_ms

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

#: Days after the last hour of the training that models may be used.
LIFETIME_DAYS = 45
_OUTPUTS: dict[str, Output] = {"probability": "probability", "quantile": "quantile"}


def hedge_pays(settings: Settings, folder: Path | None = None) -> Target:
    """Whether a unit of short earns more than its round trip: the third reading of C.

    Parameters
    ----------
    settings : Settings
        ``costs`` are read.
    folder : Path, optional
        Cache of trained trees.
    """
    name, horizon = PAYS.split(".")
    trees = Trees("trees", INPUTS, boosting.HEDGE_PAYS, folder=folder)

    def outcome(timeline: Timeline) -> labels.Label:
        return labels.hedge_pays(timeline, round_trip_cost(timeline, settings))

    return Target(
        name,
        horizon,
        labels.DIRECTION_HORIZON_H,
        "probability",
        0.5,
        outcome,
        "trees",
        (Candidate("trees", (Learner(trees, outcome),)),),
        ("trees",),
        0.02,
    )


def live_targets(settings: Settings, folder: Path | None = None) -> dict[str, Target]:
    """Every target of the programme, and whether the hedge pays.

    Parameters
    ----------
    settings : Settings
    folder : Path, optional
        Cache of trained trees.
    """
    return {**targets_of(folder), PAYS: hedge_pays(settings, folder)}


def output_of(target: Target) -> Output:
    """What a bundle calls a target's forecast."""
    return _OUTPUTS.get(target.loss, "value")


def bounded(target: Target, timeline: Timeline) -> Floats:
    """What a target's bounds are about: the return for a probability; shape (T,)."""
    if target.loss == "probability":
        return labels.log_return(timeline, target.horizon_h).values
    return target.outcome(timeline).values


def fit_parts(programme: Programme, candidate: Candidate) -> list[Fitted]:
    """Every part of a candidate, fitted as at a refit at the last tick."""
    found = []
    for part in candidate.parts:
        label = part.outcome(programme.timeline)
        embargo = max(programme.settings.embargo_h, label.horizon_h)
        stop = max(len(programme.X) - label.horizon_h - embargo, 0)
        y = label.values[:stop]
        found.append(part.model.fit(programme.X[:stop], y, programme.settings.seed))
    return found


def blend_weights(target: Target, walked: Walked) -> dict[str, float]:
    """Weights known at the last tick, by blended candidate."""
    names = [name for name in target.blended if name in walked.candidates]
    weights = stack.past_weights(
        {name: walked.candidates[name] for name in names},
        walked.outcome,
        len(walked.outcome) - 1,
        horizon_h=target.horizon_h,
        loss=target.loss,
        quantile=target.quantile,
    )
    return dict(zip(names, weights.tolist(), strict=True))


def _columns(fitted: Fitted) -> list[int]:
    """Places, in the matrix of all inputs, of what a model reads."""
    if isinstance(fitted, FittedLog):
        return _columns(fitted.inner)
    if isinstance(fitted, FittedLinear):
        read = [int(c) for line in fitted.lines.values() for c in line.columns]
        return read if fitted.by is None else [*read, fitted.by]
    if isinstance(fitted, FittedTrees):
        read = [int(column) for column in fitted.columns]
        read += [] if fitted.line is None else _columns(fitted.line)
        return read if fitted.offset_column is None else [*read, fitted.offset_column]
    if isinstance(fitted, Column):
        return [int(inputs.places((fitted.column,))[0])]
    told = "lines, trees, their exponentials or an input"
    raise FixConfig("blended model", type(fitted).__name__, told, "leave it out of the blend")


def _knows(fitted: Fitted) -> bool:
    """Whether a model learned enough to ever speak."""
    if isinstance(fitted, FittedLog):
        return _knows(fitted.inner)
    if isinstance(fitted, FittedTrees):
        return fitted.text is not None and (fitted.line is None or _knows(fitted.line))
    return bool(fitted.lines) if isinstance(fitted, FittedLinear) else True


@dataclass
class _Packed:
    """Texts and tensors of a bundle in the making."""

    features: tuple[str, ...]
    place: Places
    texts: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Places] = field(default_factory=dict)
    tensors: dict[str, dict[str, NDArray[np.generic]]] = field(default_factory=dict)

    @staticmethod
    def of(used: Sequence[int]) -> "_Packed":
        """Room for models that read these inputs."""
        order = sorted(set(used))
        place = np.full(len(inputs.NAMES), -1, np.int64)
        place[order] = np.arange(len(order))
        return _Packed(tuple(inputs.NAMES[k] for k in order), place)

    def line(self, name: str, fitted: FittedLinear) -> str:
        self.tensors[name] = linear_tensors(fitted, self.place)
        return f"linear.{name}"

    def part(self, name: str, fitted: Fitted) -> Part:
        """Keep a model, and say how it is read."""
        if isinstance(fitted, FittedLog):
            return replace(self.part(name, fitted.inner), link="exp")
        if isinstance(fitted, FittedLinear):
            return Part(
                (self.line(name, fitted),), "logistic" if fitted.probability else "identity"
            )
        if isinstance(fitted, Column):
            return Part(offset=fitted.column, factor=fitted.factor)
        if not isinstance(fitted, FittedTrees) or fitted.text is None:
            raise TypeError(f"{type(fitted).__name__} is not for a bundle")
        self.texts[name] = fitted.text
        self.columns[name] = self.place[fitted.columns]
        trees = f"trees.{name}"
        if fitted.line is not None:
            return Part((self.line(f"{name}-line", fitted.line), trees))
        if fitted.offset_column is None:
            return Part((trees,))
        return Part((trees,), "identity", inputs.NAMES[fitted.offset_column], fitted.offset_factor)


def _head(target: Target, head: int) -> Part:
    """A head of the networks in the units of the target, as ``network.said``."""
    if target.loss == "probability":
        return Part((f"lstm.{head}",), "logistic")
    return Part((f"lstm.{head}",), "exp" if target.loss == "quantile" else "identity")


def _bounds(programme: Programme, target: Target, walked: Walked) -> Bounds:
    """Bounds that have seen all of history but the last tick, which is the first to forecast."""
    phases = None
    if target.key == "funding.next":
        elapsed = np.round(programme.features[PHASE], 6)
        phases = np.unique(elapsed[np.isfinite(elapsed)])
    found = Bounds.fresh(
        output_of(target),
        target.horizon_h,
        rate=target.rate,
        level=target.quantile if target.loss == "quantile" else LEVEL,
        half_life=SCALE_HALF_LIFE,
        phases=phases,
    )
    best = walked.score if target.loss == "quantile" else walked.best
    known = conformal.delayed(walked.bounded, target.horizon_h)
    ranges = programme.X[:, inputs.places(RANGES)]
    found.scan(best[:-1], known[:-1], ranges[:-1], programme.features[PHASE][:-1])
    return found


def metrics_of(walked: Walked, rows: NDArray[np.bool_]) -> dict[str, float]:
    """How good the best forecast was out of sample, on some rows; NaN where it cannot be said."""
    target, y, best = walked.target, walked.outcome, walked.best
    plain = walked.candidates[target.baseline]
    rows = rows & np.isfinite(y) & np.isfinite(best) & np.isfinite(plain)
    y, best, plain = y[rows], best[rows], plain[rows]
    found = {"rows": float(len(y))}
    if len(y) == 0:
        return found
    if target.loss == "probability":
        found |= {"auc": auc(best, y), "brier_skill": brier(best, y).skill}
    elif target.loss == "quantile":
        found["held"] = float((y <= best).mean())
    else:
        spread, missed = float(y.var()), float(np.abs(y - plain).mean())
        found["r2"] = 1.0 - float(((y - best) ** 2).mean()) / spread if spread else float("nan")
        found["error_ratio"] = float(np.abs(y - best).mean()) / missed if missed else float("nan")
    return found


def _fit_all(programme: Programme, target: Target) -> dict[str, list[Fitted]]:
    """Blended candidates that learned enough to speak, by name."""
    voices = {
        one.name: fit_parts(programme, one)
        for one in target.candidates
        if one.name in target.blended
    }
    return {name: parts for name, parts in voices.items() if all(map(_knows, parts))}


def _calibrator(target: Target, walked: Walked) -> Platt | Isotonic | None:
    """The calibration known at the last tick; None for what is no probability, or too little."""
    if target.loss != "probability":
        return None
    known = slice(0, max(len(walked.score) - target.horizon_h, 0))
    return fit_validated(walked.score[known], walked.outcome[known], horizon_h=target.horizon_h)


def train_bundle(
    programme: Programme,
    targets: Mapping[str, Target],
    *,
    walked: Mapping[str, Walked],
    created_at: datetime,
    networks: Sequence[Network] = (),
    heads: Sequence[str] = (),
    run: str | None = None,
    expires: datetime | None = None,
    limits: drift.DriftLimits | None = None,
) -> Bundle:
    """Fit what goes live.

    Parameters
    ----------
    programme : Programme
    targets : mapping of str to Target
    walked : mapping of str to Walked
        The walk of each target over this history.
    created_at : datetime
    networks : sequence of Network, optional
        See ``network.last_networks``.
    heads : sequence of str
        Targets of the networks' heads, in order.
    run : str, optional
        By default the moment of creation and the start of the data's fingerprint.
    expires : datetime, optional
        By default :data:`LIFETIME_DAYS` after the last tick.
    limits : DriftLimits, optional

    Returns
    -------
    Bundle
        Without the targets nothing can be said about yet: no model with enough rows, or too few
        outcomes to calibrate a probability.

    Raises
    ------
    NotEnoughData
        There is no target left, or history is too short for a drift reference.
    """
    ts_ms, X = programme.timeline.ts_ms, programme.X
    calibrators = {key: _calibrator(target, walked[key]) for key, target in targets.items()}
    fitted = {
        key: _fit_all(programme, target)
        for key, target in targets.items()
        if target.loss != "probability" or calibrators[key] is not None
    }
    said = {key for key in fitted if networks and LSTM in walked[key].candidates}
    usable = {key: targets[key] for key in fitted if fitted[key] or key in said}
    if not usable:
        raise NotEnoughData(
            f"{', '.join(targets)}: no model has enough rows and outcomes to be used. Next: train "
            "on a longer history."
        )
    models = [part for key in usable for parts in fitted[key].values() for part in parts]
    used = [int(place) for place in inputs.places((*RANGES, PHASE))]
    used += [column for model in models for column in _columns(model)]
    used += [int(place) for place in inputs.places(inputs.NETWORK)] if said else []
    packed = _Packed.of(used)
    live = []
    metrics: dict[str, float] = {}
    for key, target in usable.items():
        stem = key.replace(".", "_")
        members = []
        for name, weight in blend_weights(target, walked[key]).items():
            parts = [
                packed.part(f"{stem}-{name}-{i}", part)
                for i, part in enumerate(fitted[key].get(name, ()))
            ]
            if name == LSTM and key in said:
                parts = [_head(target, list(heads).index(key))]
            members += [Member(name, weight, tuple(parts))] if parts else []
        calibrator, map_ = "", calibrators[key]
        if map_ is not None:
            calibrator = f"{stem}-calibrator"
            packed.tensors[calibrator] = dict(calibrator_tensors(map_))
        bounds = f"{stem}-bounds"
        packed.tensors[bounds] = _bounds(programme, target, walked[key]).to_tensors()
        output = output_of(target)
        live.append(Live(key, target.horizon_h, tuple(members), output, calibrator, bounds))
        told = metrics_of(walked[key], judged(target, programme.timeline))
        metrics |= {f"{key}.{name}": value for name, value in told.items()}
    places = inputs.places(packed.features)
    tensors: dict[str, Mapping[str, NDArray[np.generic]]] = dict(packed.tensors)
    tensors[REFERENCE] = drift.reference(np.ascontiguousarray(X[:, places]), limits)
    tensors[COLUMNS] = packed.columns
    if said:
        tensors[NETWORK] = {"columns": packed.place[inputs.places(inputs.NETWORK)]}
        tensors |= {f"{NETWORK}-{k}": one.to_tensors() for k, one in enumerate(networks)}
    data = digest(ts_ms, X, *(walked[key].outcome for key in targets))
    ended = from_ms(int(ts_ms[-1]))
    return Bundle(
        run=run or f"{created_at:%Y%m%d-%H%M%S}-{data[:8]}",
        created_at=created_at,
        targets=tuple(live),
        features=packed.features,
        trained_from=from_ms(int(ts_ms[0])),
        trained_to=ended,
        expires=expires or ended + timedelta(days=LIFETIME_DAYS),
        data_sha256=data,
        metrics=metrics,
        texts=packed.texts,
        tensors=tensors,
    )
