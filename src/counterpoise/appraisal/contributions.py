"""What the trees look at: mean absolute contributions of each feature (TreeSHAP)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.signals import inputs
from counterpoise.signals.boosted import FittedTrees, OnLog, Trees
from counterpoise.signals.programme import Programme
from counterpoise.signals.targets import Target
from counterpoise.signals.trees import contributions

Floats = NDArray[np.float64]

#: Rows looked at: a quarter of a year.
ROWS = 90 * 24
SHOWN = 12


@dataclass(frozen=True)
class Looked:
    """The features of one target, the most used first.

    Attributes
    ----------
    target : str
    features : tuple of str
    share : tuple of float
        Of the mean absolute contribution of all features.
    """

    target: str
    features: tuple[str, ...]
    share: tuple[float, ...]


def looked_at(programme: Programme, target: Target) -> Looked | None:
    """Shares of the features in the last refit's trees of a target; None where it has none."""
    total = np.zeros(len(inputs.NAMES))
    for candidate in target.candidates:
        for part in candidate.parts:
            model = part.model.inner if isinstance(part.model, OnLog) else part.model
            if not isinstance(model, Trees):
                continue
            label = part.outcome(programme.timeline)
            split = programme.splits(label)[-1]
            stop = split.train.stop
            y = label.values[:stop]
            if isinstance(part.model, OnLog):
                y = np.log(np.maximum(y, part.model.floor))
            fitted = model.fit(programme.X[:stop], y, programme.settings.seed)
            if not isinstance(fitted, FittedTrees) or fitted.text is None:
                continue
            end = split.predict.stop
            rows = programme.X[max(end - ROWS, 0) : end][:, fitted.columns]
            said = np.abs(contributions(fitted.text, rows)[:, :-1]).mean(axis=0)
            total[fitted.columns] += said / max(float(said.sum()), 1e-300)
    if not total.any():
        return None
    order = np.argsort(-total, kind="stable")[:SHOWN]
    share = total / total.sum()
    return Looked(
        target.key,
        tuple(inputs.NAMES[k] for k in order if share[k] > 0),
        tuple(float(share[k]) for k in order if share[k] > 0),
    )
