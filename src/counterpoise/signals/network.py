"""The network as a candidate of every target: its heads, its quarterly refits, its forecasts.

All folds and seeds are trained by one call of ``lstm.train``; each fold then forecasts the hours of
its quarter. Nothing is blended or judged here.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.sealed import digest
from counterpoise.signals import inputs
from counterpoise.signals.labels import Label
from counterpoise.signals.lstm_network import Head, Loss, Network, Recipe
from counterpoise.signals.programme import Programme
from counterpoise.signals.targets import SMALLEST_RISE, Target
from counterpoise.signals.walkforward import Split

Floats = NDArray[np.float64]

SEEDS = (0, 1, 2, 3, 4)
#: Every so many hours of the clock is a row to learn from; settlements are among them.
SAMPLED_H = 4
#: Months whose start refits the network.
QUARTERS = (1, 4, 7, 10)
NAME = "lstm"

_LOSS: dict[str, Loss] = {
    "probability": "logistic",
    "mean": "squared",
    "median": "absolute",
    "quantile": "pinball",
}


def heads(targets: Mapping[str, Target]) -> tuple[Head, ...]:
    """One head per target, in order."""
    return tuple(Head(key, _LOSS[target.loss], target.quantile) for key, target in targets.items())


def outcomes(targets: Mapping[str, Target], learned: Mapping[str, Label]) -> Floats:
    """Columns the heads learn: rises by their logarithm; shape (T, K)."""
    columns = []
    for key, target in targets.items():
        values = learned[key].values
        logged = target.loss == "quantile"
        columns.append(np.log(np.maximum(values, SMALLEST_RISE)) if logged else values)
    return np.column_stack(columns)


def said(targets: Mapping[str, Target], raw: Floats) -> Floats:
    """Forecasts in the units of the targets from what the networks say; shape (N, K)."""
    out = raw.copy()
    for k, target in enumerate(targets.values()):
        if target.loss == "probability":
            out[:, k] = 1.0 / (1.0 + np.exp(-raw[:, k]))
        elif target.loss == "quantile":
            out[:, k] = np.exp(raw[:, k])
    return out


def sampled_rows(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows to learn from, in order."""
    return np.flatnonzero(ts_ms // 3_600_000 % SAMPLED_H == 0).astype(np.int64)


def quarters(ts_ms: NDArray[np.int64], refits: Sequence[Split]) -> tuple[Split, ...]:
    """Monthly refits thinned to the first of each quarter, each forecasting until the next.

    Parameters
    ----------
    ts_ms : int64 (T,)
    refits : sequence of Split
        In order.
    """
    month = ts_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    kept = [
        split for i, split in enumerate(refits) if i == 0 or month[split.predict.start] in QUARTERS
    ]
    ends = [*(split.predict.start for split in kept[1:]), refits[-1].predict.stop]
    return tuple(
        Split(split.train, slice(split.predict.start, end))
        for split, end in zip(kept, ends, strict=True)
    )


def _walk(
    X: Floats,
    Y: Floats,
    rows: NDArray[np.int64],
    asked: tuple[Head, ...],
    folds: tuple[Split, ...],
    recipe: Recipe,
    seeds: tuple[int, ...],
) -> Floats:
    """Train every network and forecast: what a worker does; shape (T, K)."""
    from counterpoise.signals.lstm import train
    from counterpoise.signals.lstm_forward import forecast

    networks = train(X, Y, rows, asked, folds, recipe=recipe, seeds=seeds)
    out = np.full((len(X), len(asked)), np.nan)
    for n, fold in enumerate(folds):
        mine = [network for network in networks if network.fold == n]
        if mine:
            out[fold.predict] = forecast(mine, X, fold.predict)
    return out


def longest(learned: Mapping[str, Label]) -> Label:
    """The label that reaches furthest ahead: its purge holds for all."""
    return max(learned.values(), key=lambda label: label.horizon_h)


def walk(
    programme: Programme,
    targets: Mapping[str, Target],
    *,
    recipe: Recipe | None = None,
    seeds: tuple[int, ...] = SEEDS,
    backend: cluster.Backend = "threads",
    folder: Path | None = None,
    address: str | None = None,
    progress: cluster.Progress | None = None,
) -> dict[str, dict[str, Floats]]:
    """Out-of-sample forecasts of the network for every target.

    Parameters
    ----------
    programme : Programme
    targets : mapping of str to Target
    recipe, seeds
        As of :func:`counterpoise.signals.lstm.train`.
    backend, folder, address, progress
        As of :func:`counterpoise.cluster.run`.

    Returns
    -------
    dict of str to dict of str to float64 (T,)
        By target, under the candidate's name; what ``programme.run`` takes as ``given``.
    """
    recipe = recipe or Recipe()
    learned = {key: target.outcome(programme.timeline) for key, target in targets.items()}
    X = programme.X[:, inputs.places(inputs.NETWORK)]
    Y = outcomes(targets, learned)
    ts_ms = programme.timeline.ts_ms
    folds = quarters(ts_ms, programme.splits(longest(learned)))
    asked = heads(targets)
    rows = sampled_rows(ts_ms)
    spans = [[fold.train.stop, fold.predict.start, fold.predict.stop] for fold in folds]
    # Another release may learn otherwise.
    release = version("counterpoise")
    key = digest(release, X, Y, [repr(head) for head in asked], spans, repr(recipe), list(seeds))
    task = cluster.Task(key, _walk, (rows, asked, folds, recipe, seeds))
    (raw,) = cluster.run(
        [task],
        backend=backend,
        folder=folder,
        workers=1 if backend == "threads" else None,
        address=address,
        shared=(X, Y),
        progress=progress,
    )
    told = said(targets, raw)
    return {key: {NAME: told[:, k]} for k, key in enumerate(targets)}


def last_networks(
    programme: Programme,
    targets: Mapping[str, Target],
    *,
    recipe: Recipe | None = None,
    seeds: tuple[int, ...] = SEEDS,
) -> list[Network]:
    """Networks of the newest fold, for live use; none where history is too short."""
    from counterpoise.signals.lstm import train

    learned = {key: target.outcome(programme.timeline) for key, target in targets.items()}
    X = programme.X[:, inputs.places(inputs.NETWORK)]
    ts_ms = programme.timeline.ts_ms
    fold = quarters(ts_ms, programme.splits(longest(learned)))[-1]
    Y = outcomes(targets, learned)
    return train(X, Y, sampled_rows(ts_ms), heads(targets), [fold], recipe=recipe, seeds=seeds)
