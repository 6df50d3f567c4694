"""What is forecast, by whom, and against which plain baseline.

Each target names its outcome, the candidates that forecast it and the loss that judges them. The
choice was made on data to 2023-12-31; every configuration tried is in docs/trials.md. Changing a
recipe here is a new trial. Perpetual, funding and mark are those of the timeline's first venue:
another venue's forecasts are those of a timeline of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.features.engine import column
from counterpoise.market.timeline import Timeline
from counterpoise.signals import inputs, labels
from counterpoise.signals.boosted import OnLog, Trees
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.labels import Label
from counterpoise.signals.linear import Column, Linear, PastQuantile
from counterpoise.signals.model import Kind, Model
from counterpoise.signals.stack import Loss

Floats = NDArray[np.float64]
Outcome = Callable[[Timeline], Label]

#: Rises below this count as this where their logarithm is taken.
SMALLEST_RISE = 1e-4


@dataclass(frozen=True)
class Part:
    """A model and the outcome it learns, which may differ from the target's own."""

    model: Model
    outcome: Outcome


@dataclass(frozen=True)
class Candidate:
    """One forecast of a target: the plain mean of its parts (of log odds for probabilities)."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Target:
    """One question about the hours to come.

    Attributes
    ----------
    name, horizon : str
        ``direction``, ``4h``.
    horizon_h : int
        Hours until the outcome is known, at most.
    loss : str
        ``probability``, ``mean`` (squared errors), ``median`` (absolute errors) or ``quantile``.
    quantile : float
        Read by ``quantile``.
    outcome : callable
        Timeline to label.
    baseline : str
        The candidate every other has to beat.
    candidates : tuple of Candidate
    blended : tuple of str
        Candidates that enter the blend where they are there; ``lstm`` is given from ``network``.
    rate : float
        Step of the conformal bound after an outcome, in scales.
    """

    name: str
    horizon: str
    horizon_h: int
    loss: Loss
    quantile: float
    outcome: Outcome
    baseline: str
    candidates: tuple[Candidate, ...]
    blended: tuple[str, ...]
    rate: float

    @property
    def key(self) -> str:
        """``direction.4h``."""
        return f"{self.name}.{self.horizon}"


#: Hours whose sign is learned for each horizon: neighbours say the same with other noise.
_NEIGHBOURS = {1: (1, 2, 3), 4: (2, 3, 4, 6, 8), 24: (16, 24)}

#: Volatility of the hours before, as long as the horizon or a little longer.
_TRAILING = {4: "log_rv_6h", 24: "log_rv_24h", 168: "log_rv_168h"}

_DIRECTION = Recipe("binary", 100, 0.03, 7, 600, 0.5, 10.0, 1, half_life_h=1.5 * 8760)
_VOLATILITY = Recipe("regression", 150, 0.04, 15, 300, 0.5, 5.0, 3)
_FUNDING = Recipe("regression_l1", 150, 0.05, 7, 60, 0.6, 1.0, 1)
_RUNNING = Recipe("regression_l1", 150, 0.05, 15, 100, 0.7, 1.0, 1)


def _direction(hours: int, folder: Path | None) -> Target:
    def outcome(horizon_h: int) -> Outcome:
        return lambda timeline: labels.direction(timeline, horizon_h)

    columns = (*inputs.DIRECTION, *inputs.BITCOIN) if hours == 1 else inputs.DIRECTION
    trees = tuple(
        Part(Trees(f"trees_{h}h", columns, _DIRECTION, folder=folder), outcome(h))
        for h in _NEIGHBOURS[hours]
    )
    own = outcome(hours)
    return Target(
        "direction",
        f"{hours}h",
        hours,
        "probability",
        0.5,
        own,
        "reversal",
        (
            Candidate("reversal", (Part(Linear("reversal", inputs.REVERSAL, "logistic"), own),)),
            Candidate("trees", trees),
        ),
        ("reversal", "trees"),
        0.02,
    )


def _volatility(hours: int, horizon: str, stride: int, rate: float, folder: Path | None) -> Target:
    def own(timeline: Timeline) -> Label:
        return labels.log_variance(timeline, hours)

    recipe = Recipe(**{**vars(_VOLATILITY), "stride": stride})
    ranges = Linear("range_har", inputs.RANGE_HAR)
    week = ("log_parkinson_168h", 2.0)

    def alone(model: Model) -> Candidate:
        return Candidate(model.name, (Part(model, own),))

    return Target(
        "volatility",
        horizon,
        hours,
        "mean",
        0.5,
        own,
        "har",
        (
            alone(Column("no_change", _TRAILING[hours], 2.0)),
            alone(Linear("har", inputs.HAR, ridge=0.0)),
            alone(ranges),
            alone(Trees("trees", inputs.VOLATILITY, recipe, offset=week, folder=folder)),
            alone(Trees("trees_on_har", inputs.VOLATILITY, recipe, line=ranges, folder=folder)),
        ),
        ("range_har", "trees", "trees_on_har"),
        rate,
    )


def _funding(hours: int, horizon: str, folder: Path | None) -> Target:
    def own(timeline: Timeline) -> Label:
        return labels.mean_funding(timeline, hours)

    def alone(model: Model) -> Candidate:
        return Candidate(model.name, (Part(model, own),))

    median_har = Linear("median_har", inputs.FUNDING_HAR, "absolute")
    trees = Trees("trees", inputs.FUNDING_TREES, _FUNDING, folder=folder)
    return Target(
        "funding",
        horizon,
        hours,
        "median",
        0.5,
        own,
        "mean_of_two",
        (
            alone(Column("no_change", "funding_last")),
            alone(Column("mean_of_two", "funding_mean_2")),
            alone(median_har),
            alone(Linear("premia", inputs.FUNDING_LINEAR, "absolute")),
            alone(trees),
            # What the blend has to beat, if it is to be more than a plain mean.
            Candidate("mean_of_forecasts", (Part(median_har, own), Part(trees, own))),
        ),
        ("median_har", "premia", "trees", "lstm"),
        0.3,
    )


def _next_funding(folder: Path | None) -> Target:
    def own(timeline: Timeline) -> Label:
        return labels.running_funding(timeline)

    def alone(model: Model) -> Candidate:
        return Candidate(model.name, (Part(model, own),))

    return Target(
        "funding",
        "next",
        labels.FUNDING_HORIZON_H,
        "median",
        0.5,
        own,
        "mean_of_two",
        (
            alone(Column("no_change", "funding_last")),
            alone(Column("mean_of_two", "funding_mean_2")),
            alone(Column("rule", "predicted_funding_robust")),
            alone(Linear("running", inputs.RUNNING, "absolute", by="funding_elapsed")),
            alone(Trees("trees", inputs.RUNNING_TREES, _RUNNING, folder=folder)),
        ),
        ("running",),
        0.3,
    )


def _adverse_move(hours: int, quantile: float, horizon: str, folder: Path | None) -> Target:
    def own(timeline: Timeline) -> Label:
        return labels.adverse_move(timeline, hours)

    def alone(model: Model) -> Candidate:
        return Candidate(model.name, (Part(model, own),))

    recipe = Recipe("quantile", 150, 0.05, 7, 400, 0.5, 1.0, 2, quantile)
    raised = Linear("raised_mean", inputs.RANGE_HAR, raised_to=quantile)
    scaled = Linear("range_har", inputs.RANGE_HAR, "pinball", quantile, stride=2)
    trees = Trees(
        "trees", inputs.VOLATILITY, recipe, offset=("log_parkinson_168h", 1.0), folder=folder
    )
    return Target(
        "adverse_move",
        horizon,
        hours,
        "quantile",
        quantile,
        own,
        "static",
        (
            alone(PastQuantile("static", quantile)),
            alone(OnLog(scaled, SMALLEST_RISE)),
            alone(OnLog(raised, SMALLEST_RISE)),
            alone(OnLog(trees, SMALLEST_RISE)),
        ),
        ("range_har", "raised_mean", "trees"),
        0.01,
    )


def targets(folder: Path | None = None) -> dict[str, Target]:
    """Every target by its key.

    Parameters
    ----------
    folder : Path, optional
        Cache of trained trees.
    """
    found = (
        _direction(4, folder),
        _direction(1, folder),
        _direction(24, folder),
        _volatility(24, "24h", 3, 0.04, folder),
        _volatility(4, "4h", 2, 0.01, folder),
        _volatility(168, "7d", 6, 0.03, folder),
        _next_funding(folder),
        _funding(24, "1d", folder),
        _funding(168, "7d", folder),
        _adverse_move(24, 0.95, "24h", folder),
        _adverse_move(24, 0.99, "24h_99", folder),
    )
    return {target.key: target for target in found}


def trees_of(target: Target) -> Part:
    """The boosted trees of a target that learn its own outcome."""
    parts = next(one for one in target.candidates if one.name == "trees").parts
    own = f"trees_{target.horizon}"
    return next((part for part in parts if part.model.name == own), parts[0])


def kind_of(target: Target) -> Kind:
    """What a model's forecasts of a target are held to."""
    kinds: dict[Loss, Kind] = {"probability": "probability", "quantile": "quantile"}
    return kinds.get(target.loss, "value")


def choose(everyone: Mapping[str, Target], keys: Sequence[str]) -> dict[str, Target]:
    """Targets by key, in the order of ``everyone``; all of them where none is named.

    Raises
    ------
    FixConfig
        A key that is no target.
    """
    for key in keys:
        if key not in everyone:
            raise FixConfig("--target", key, f"one of {', '.join(everyone)}", "name one of these")
    return {key: target for key, target in everyone.items() if not keys or key in keys}


def find(key: str) -> Target:
    """One target of the programme by its key; without a cache of trained trees.

    Raises
    ------
    FixConfig
        There is none of that key.
    """
    return choose(targets(), (key,))[key]


def judged(target: Target, timeline: Timeline) -> NDArray[np.bool_]:
    """Ticks a target is judged at: each hour, but the next settlement an hour before it.

    Returns
    -------
    bool (T,)
    """
    if target.key != "funding.next":
        return np.ones(len(timeline.ts_ms), dtype=bool)
    elapsed = column(timeline, "clock_h") % timeline.funding_interval_h[:, 0]
    return np.asarray(elapsed == timeline.funding_interval_h[:, 0] - 1.0)
