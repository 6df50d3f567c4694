"""Linear models under the loss that fits the question: the strong simple half of every contest.

Squares for a mean, absolute errors for a median, the pinball loss for a quantile, the logistic loss
for a probability. Columns that were never known, or never moved, are left out and named.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.signals import inputs

Floats = NDArray[np.float64]
Loss = Literal["squared", "absolute", "pinball", "logistic"]

#: Fewest rows for each coefficient.
ROWS_PER_COEFFICIENT = 10
#: Standardised inputs are cut off here: a single false print must not steer a forecast.
LARGEST_INPUT = 8.0
_ROUNDS = 40


@dataclass(frozen=True)
class Line:
    """Coefficients of one fit.

    Attributes
    ----------
    columns : int (K,)
        Places of the inputs that were used.
    mean, scale : float64 (K,)
        Of the training rows.
    weights : float64 (K + 1,)
        Intercept first, for standardised inputs.
    """

    columns: NDArray[np.intp]
    mean: Floats
    scale: Floats
    weights: Floats

    def score(self, X: Floats) -> Floats:
        """Fitted values before any link; NaN where an input is unknown. Shape (N,)."""
        # Column by column: a matrix product may round by the number of rows it is given.
        fitted = np.full(len(X), self.weights[0])
        for k, column in enumerate(self.columns):
            z = (X[:, column] - self.mean[k]) / self.scale[k]
            fitted += self.weights[k + 1] * np.clip(z, -LARGEST_INPUT, LARGEST_INPUT)
        return fitted


@dataclass(frozen=True)
class FittedLinear:
    """One line, or one for each value of a column.

    Attributes
    ----------
    by : int or None
        Place of the column whose value picks the line.
    lines : dict of float to Line
        Under NaN where there is one line for all.
    probability : bool
        Whether the score goes through the logistic function.
    """

    by: int | None
    lines: dict[float, Line]
    probability: bool

    def predict(self, X: Floats, rows: slice) -> Floats:
        """See :class:`counterpoise.signals.model.Fitted`."""
        wanted = X[rows]
        if self.by is None:
            line = next(iter(self.lines.values()), None)
            score = np.full(len(wanted), np.nan) if line is None else line.score(wanted)
        else:
            score = np.full(len(wanted), np.nan)
            group = np.round(wanted[:, self.by], 6)
            for value, line in self.lines.items():
                inside = group == value
                score[inside] = line.score(wanted[inside])
        return 1.0 / (1.0 + np.exp(-score)) if self.probability else score


def _fitted(Z: Floats, w: Floats) -> Floats:
    """Z times w, rounded alike however many threads there are."""
    # A product of matrices may round by its number of threads, which a worker has fewer of: sums
    # here are written out, so that a fit is the same wherever it is made.
    return np.asarray(np.einsum("nk,k->n", Z, w))


def _weights(Z: Floats, y: Floats, loss: Loss, quantile: float, ridge: float) -> Floats:
    """Minimise a loss by reweighted least squares, or Newton's method for the logistic one."""
    penalty = ridge * np.diag([0.0] + [1.0] * (Z.shape[1] - 1))
    columns = np.ascontiguousarray(Z.T)

    def solve(row_weight: Floats, target: Floats) -> Floats:
        weighted = columns * row_weight
        gram = np.einsum("in,jn->ij", weighted, columns)
        gram += row_weight.sum() * penalty + 1e-9 * np.eye(len(columns))
        return np.asarray(np.linalg.solve(gram, np.einsum("in,n->i", weighted, target)))

    ones = np.ones(len(y))
    if loss == "logistic":
        w = np.zeros(Z.shape[1])
        for _ in range(8):
            p = 1.0 / (1.0 + np.exp(-_fitted(Z, w)))
            curvature = np.maximum(p * (1.0 - p), 1e-6)
            w = solve(curvature, _fitted(Z, w) + (y - p) / curvature)
        return w
    w = solve(ones, y)
    if loss == "squared":
        return w
    level = 0.5 if loss == "absolute" else quantile
    floor = max(0.02 * float(np.abs(y - np.median(y)).mean()), 1e-12)
    for _ in range(_ROUNDS):
        error = y - _fitted(Z, w)
        side = np.where(error > 0.0, level, 1.0 - level)
        step = solve(side / np.maximum(np.abs(error), floor), y)
        moved = float(np.abs(step - w).max())
        w = step
        if moved < 1e-7 * max(1.0, float(np.abs(w).max())):
            break
    return w


@dataclass(frozen=True)
class Linear:
    """A linear model of named inputs.

    Attributes
    ----------
    name : str
    columns : tuple of str
        Names of :data:`counterpoise.signals.inputs.NAMES`.
    loss : str
    quantile : float
        Read by the pinball loss.
    ridge : float
        Penalty on each standardised coefficient, per row.
    by : str or None
        A column with few values; each gets coefficients of its own.
    stride : int
        Learn from every so many-th known row.
    raised_to : float or None
        Where the outcomes scatter alike around the fit, a quantile is the fit plus a quantile of
        what was left: which one. It is learned from every row, not from the few in the tail.
    """

    name: str
    columns: tuple[str, ...]
    loss: Loss = "squared"
    quantile: float = 0.5
    ridge: float = 1e-3
    by: str | None = None
    stride: int = 1
    raised_to: float | None = None

    def fit(self, X: Floats, y: Floats, seed: int) -> FittedLinear:
        """See :class:`counterpoise.signals.model.Model`; the seed is not needed."""
        places = inputs.places(self.columns)
        known = np.flatnonzero(np.isfinite(y))[:: self.stride]
        probability = self.loss == "logistic"
        if self.by is None:
            line = self._line(X, y, places, known)
            return FittedLinear(None, {} if line is None else {float("nan"): line}, probability)
        by = inputs.places((self.by,))[0]
        group = np.round(X[known, by], 6)
        lines = {
            float(value): line
            for value in np.unique(group[np.isfinite(group)])
            if (line := self._line(X, y, places, known[group == value])) is not None
        }
        return FittedLinear(int(by), lines, probability)

    def _line(
        self, X: Floats, y: Floats, places: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> Line | None:
        """Fit some rows; None with too few of them, or a yes-or-no outcome that is all alike."""
        held = X[np.ix_(rows, places)]
        known = np.isfinite(held)
        # An input known in less than half of the rows would throw the other half away.
        useful = known.mean(axis=0) >= 0.5 if len(rows) else np.zeros(len(places), bool)
        whole = known[:, useful].all(axis=1)
        held, target = held[whole][:, useful], y[rows][whole]
        if len(target) < ROWS_PER_COEFFICIENT * (held.shape[1] + 1):
            return None
        if self.loss == "logistic" and target.min() == target.max():
            return None
        scale = held.std(axis=0)
        moving = scale > 1e-12 * np.maximum(np.abs(held).max(axis=0), 1e-300)
        held, scale = held[:, moving], scale[moving]
        mean = held.mean(axis=0)
        z = np.clip((held - mean) / scale, -LARGEST_INPUT, LARGEST_INPUT)
        Z = np.column_stack([np.ones(len(z)), z])
        w = _weights(Z, target, self.loss, self.quantile, self.ridge)
        if self.raised_to is not None:
            w[0] += np.quantile(target - _fitted(Z, w), self.raised_to)
        used = np.asarray(places, dtype=np.intp)[np.flatnonzero(useful)[moving]]
        return Line(used, mean, scale, w)


@dataclass(frozen=True)
class Column:
    """An input as the forecast itself: no change, a mean of the past, a rule of the venue.

    Attributes
    ----------
    name, column : str
    factor : float
        What to multiply it by.
    """

    name: str
    column: str
    factor: float = 1.0

    def fit(self, X: Floats, y: Floats, seed: int) -> "Column":
        """Nothing to learn."""
        return self

    def predict(self, X: Floats, rows: slice) -> Floats:
        """The column's rows."""
        return self.factor * X[rows, inputs.places((self.column,))[0]]


@dataclass(frozen=True)
class _Level:
    value: float

    def predict(self, X: Floats, rows: slice) -> Floats:
        return np.full(rows.stop - rows.start, self.value)


@dataclass(frozen=True)
class PastQuantile:
    """The same number always: a quantile of every outcome known so far."""

    name: str
    quantile: float

    def fit(self, X: Floats, y: Floats, seed: int) -> _Level:
        """See :class:`counterpoise.signals.model.Model`."""
        known = y[np.isfinite(y)]
        return _Level(float(np.quantile(known, self.quantile)) if len(known) else float("nan"))
