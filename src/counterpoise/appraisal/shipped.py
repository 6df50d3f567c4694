"""The project's own gradient-boosted trees behind the two calls of every model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.signals import boosting
from counterpoise.signals.model import Kind

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedTrees:
    """Trees as LightGBM text."""

    text: str

    def predict(self, X: Floats, rows: slice) -> Floats:
        """Probability or value of each row, from that row alone; shape (N,)."""
        return boosting.predict(self.text, X[rows])


@dataclass
class Trees:
    """The walk-forward's trees.

    Attributes
    ----------
    name : str
    recipe : Recipe
    """

    name: str
    recipe: boosting.Recipe

    def fit(self, X: Floats, y: Floats, seed: int) -> FittedTrees:
        """Learn from the labelled rows, every ``recipe.stride``-th of them."""
        rows = np.flatnonzero(np.isfinite(y))
        rows = rows[rows % self.recipe.stride == 0]
        return FittedTrees(boosting.train(X[rows], y[rows], self.recipe, seed=seed))


def trees(kind: Kind) -> Trees:
    """Trees with the recipe of direction for a probability, of volatility otherwise."""
    recipe = boosting.DIRECTION if kind == "probability" else boosting.VOLATILITY
    return Trees("trees", recipe)
