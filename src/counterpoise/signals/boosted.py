"""LightGBM as a model of the forecasting programme: columns, a recipe, and what it learns around.

An offset is a forecast that is already good, an input or a linear model; trees learn what it
misses. Training, reading from the cache and the text format are ``boosting``'s business.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.signals import boosting, inputs
from counterpoise.signals.linear import FittedLinear, Linear

Floats = NDArray[np.float64]

#: Fewest labelled rows of a fit: thirty days of outcomes that are known three times a day.
MIN_TRAIN_ROWS = 90


@dataclass(frozen=True)
class FittedTrees:
    """Trees that have learned.

    Attributes
    ----------
    text : str or None
        LightGBM text; None where there was too little to learn from.
    columns : int (K,)
        Places of the inputs, in the order of the text.
    offset_column, offset_factor : int or None, float
        An input times this is added to what the trees say.
    line : FittedLinear or None
        A linear model that is added to what the trees say.
    """

    text: str | None
    columns: NDArray[np.intp]
    offset_column: int | None
    offset_factor: float
    line: FittedLinear | None

    def around(self, X: Floats, rows: slice) -> Floats:
        """What the trees learn around; shape (rows,)."""
        if self.line is not None:
            return self.line.predict(X, rows)
        if self.offset_column is not None:
            return np.asarray(self.offset_factor * X[rows, self.offset_column])
        return np.zeros(rows.stop - rows.start)

    def predict(self, X: Floats, rows: slice) -> Floats:
        """See :class:`counterpoise.signals.model.Fitted`."""
        if self.text is None:
            return np.full(rows.stop - rows.start, np.nan)
        said = boosting.predict(self.text, X[rows][:, self.columns])
        return np.asarray(self.around(X, rows) + said)


@dataclass(frozen=True)
class Trees:
    """Gradient-boosted trees on named inputs.

    Attributes
    ----------
    name : str
    columns : tuple of str
    recipe : boosting.Recipe
    offset : (str, float) or None
        An input and a factor to learn around.
    line : Linear or None
        A linear model to learn around; not together with ``offset``.
    folder : Path or None
        Cache of trained models.
    """

    name: str
    columns: tuple[str, ...]
    recipe: boosting.Recipe
    offset: tuple[str, float] | None = None
    line: Linear | None = None
    folder: Path | None = field(default=None, repr=False)

    def fit(self, X: Floats, y: Floats, seed: int) -> FittedTrees:
        """See :class:`counterpoise.signals.model.Model`."""
        columns = inputs.places(self.columns)
        place, factor = (None, 0.0)
        if self.offset is not None:
            place, factor = int(inputs.places((self.offset[0],))[0]), self.offset[1]
        line = None if self.line is None else self.line.fit(X, y, seed)
        bare = FittedTrees(None, columns, place, factor, line)
        target = y - bare.around(X, slice(0, len(y)))
        rows = np.flatnonzero(np.isfinite(target))
        if len(rows) < MIN_TRAIN_ROWS:
            return bare
        rows = rows[:: self.recipe.stride]
        learned = target[rows]
        if self.recipe.objective == "binary" and learned.min() == learned.max():
            return bare
        half_life = self.recipe.half_life_h
        weight = None if half_life is None else 0.5 ** ((len(y) - 1 - rows) / half_life)
        text = boosting.train_or_read(
            X[np.ix_(rows, columns)],
            learned,
            self.recipe,
            seed=seed,
            folder=self.folder,
            weight=weight,
        )
        return FittedTrees(text, columns, place, factor, line)


@dataclass(frozen=True)
class FittedLog:
    """A model of a logarithm that has learned."""

    inner: FittedLinear | FittedTrees

    def predict(self, X: Floats, rows: slice) -> Floats:
        """See :class:`counterpoise.signals.model.Fitted`."""
        return np.exp(self.inner.predict(X, rows))


@dataclass(frozen=True)
class OnLog:
    """A model of the logarithm of its outcome: for medians and quantiles, which keep their place.

    Attributes
    ----------
    inner : Linear or Trees
    floor : float
        Outcomes below it count as it.
    """

    inner: Linear | Trees
    floor: float

    @property
    def name(self) -> str:
        """The inner model's."""
        return self.inner.name

    def fit(self, X: Floats, y: Floats, seed: int) -> FittedLog:
        """See :class:`counterpoise.signals.model.Model`."""
        return FittedLog(self.inner.fit(X, np.log(np.maximum(y, self.floor)), seed))
