"""A small market with something to learn for every loss of the network."""

from dataclasses import dataclass

import numpy as np

from counterpoise.signals.lstm_network import Head, Recipe
from counterpoise.signals.walkforward import Split

HOURS = 10_000
#: Hours back to what the outcomes depend on: five steps.
BACK_H = 20
HEADS = (
    Head("probability", "logistic"),
    Head("mean", "squared"),
    Head("median", "absolute"),
    Head("quantile", "pinball", 0.9),
)
FOLDS = tuple(
    Split(slice(8, stop), slice(stop + 100, stop + 500)) for stop in (5_000, 6_700, 8_400)
)
RECIPE = Recipe(
    hidden=4,
    length=8,
    batch=64,
    steps=100,
    checks=10,
    learning_rate=1e-2,
    weight_decay=1e-2,
    purge_h=48,
)


@dataclass(frozen=True)
class Planted:
    """Inputs, outcomes and the rows to learn from."""

    X: np.ndarray
    Y: np.ndarray
    rows: np.ndarray


def planted(seed: int = 0, hours: int = HOURS) -> Planted:
    """Four inputs of noise; every outcome is the first of them five steps back, and a little noise.

    A fiftieth of inputs and outcomes is unknown.
    """
    rng = np.random.default_rng(seed)
    X = 2.0 + 3.0 * rng.normal(size=(hours, 4))
    signal = np.full(hours, np.nan)
    signal[BACK_H:] = (X[:-BACK_H, 0] - 2.0) / 3.0
    noisy = signal + 0.3 * rng.normal(size=hours)
    rise = noisy > 0
    Y = np.column_stack(
        [np.where(np.isnan(noisy), np.nan, rise), 5.0 + 2.0 * noisy, noisy, 0.01 * noisy]
    )
    X[rng.random(X.shape) < 0.02] = np.nan
    Y[rng.random(Y.shape) < 0.02] = np.nan
    return Planted(X, Y, np.arange(0, hours, 4))
