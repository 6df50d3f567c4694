"""From features to the value of every target: the same compiled code for one row and for many.

Boosters, linear models and the ensemble's forecasts are added up as the bundle says, then turned
into a value, a volatility or a calibrated probability. Whether a value may be used is decided in
``live``.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.signals.bundle import Bundle, Output
from counterpoise.signals.confidence import HIGHEST, LOWEST, Isotonic, Platt

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_KINDS: dict[Output, int] = {"value": 0, "log_variance": 1, "probability": 2}
_LOG_VARIANCE, _PROBABILITY = _KINDS["log_variance"], _KINDS["probability"]
_UNCALIBRATED, _PLATT, _ISOTONIC = range(3)


def calibrator_tensors(calibrator: Platt | Isotonic) -> dict[str, Floats]:
    """Arrays of a calibrator, as a bundle keeps them.

    Examples
    --------
    >>> calibrator_tensors(Platt(slope=0.5, intercept=-0.25))
    {'slope': array([0.5]), 'intercept': array([-0.25])}
    """
    if isinstance(calibrator, Platt):
        return {
            "slope": np.array([calibrator.slope]),
            "intercept": np.array([calibrator.intercept]),
        }
    return {"scores": calibrator.scores, "probabilities": calibrator.probabilities}


@njit
def _linear(X: Floats, coefficients: Floats, fill: Floats, made: Floats, at: int) -> None:
    """Linear models into the columns of ``made`` from ``at`` on. A NaN fill fills nothing."""
    for n in range(X.shape[0]):
        for model in range(coefficients.shape[0]):
            total = coefficients[model, 0]
            for f in range(X.shape[1]):
                weight = coefficients[model, f + 1]
                if weight != 0.0:
                    value = X[n, f]
                    total += weight * (fill[model, f] if np.isnan(value) else value)
            made[n, at + model] = total


@njit
def _calibrated(score: float, kind: int, points: Floats) -> float:
    """One score through ``confidence.Platt`` or ``confidence.Isotonic``."""
    if kind == _UNCALIBRATED:
        return min(max(score, 0.0), 1.0)
    if kind == _PLATT:
        safe = min(max(score, 1e-6), 1.0 - 1e-6)
        odds = points[1] + points[0] * np.log(safe / (1.0 - safe))
        mapped: float = 1.0 / (1.0 + np.exp(-odds))
    else:
        count = points.shape[0] // 2
        mapped = np.interp(score, points[:count], points[count:])
    return min(max(mapped, LOWEST), HIGHEST)


@njit
def _combine(
    made: Floats,
    first: Places,
    part: Places,
    weight: Floats,
    kind: Places,
    factor: Floats,
    calibrator: Places,
    point_at: Places,
    points: Floats,
    out: Floats,
) -> None:
    """Targets from what the models made (N, M); ``out`` is (N, K)."""
    for n in range(made.shape[0]):
        for k in range(kind.shape[0]):
            score = 0.0
            for p in range(first[k], first[k + 1]):
                score += weight[p] * made[n, part[p]]
            if np.isnan(score):
                out[n, k] = np.nan
            elif kind[k] == _LOG_VARIANCE:
                out[n, k] = factor[k] * np.exp(score / 2.0)
            elif kind[k] == _PROBABILITY:
                out[n, k] = _calibrated(score, calibrator[k], points[point_at[k] : point_at[k + 1]])
            else:
                out[n, k] = score


class Outputs:
    """Targets of a bundle, for rows of its features.

    Parameters
    ----------
    bundle : Bundle

    Attributes
    ----------
    names : tuple of str
        K targets, in the order of the values.
    columns : int
        How many forecasts of an LSTM ensemble the targets read; 0 for none.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.names = tuple(target.name for target in bundle.targets)
        self._forest = bundle.forest
        models = [part.model for target in bundle.targets for part in target.parts]
        linear = dict.fromkeys(model for model in models if model.startswith("linear."))
        groups = [bundle.tensors[model.removeprefix("linear.")] for model in linear]
        width = len(bundle.features)
        self._coefficients = np.array(
            [group["coefficients"] for group in groups], np.float64
        ).reshape(-1, width + 1)
        nothing = np.full(width, np.nan)
        self._fill = np.array([group.get("fill", nothing) for group in groups], np.float64)
        self._fill = self._fill.reshape(-1, width)
        asked = [int(model[5:]) for model in models if model.startswith("lstm.")]
        self.columns = max(asked, default=-1) + 1
        # Where each model's forecast stands in a row of them: boosters, linear, ensemble.
        boosters = [f"trees.{name}" for name in (self._forest.names if self._forest else ())]
        order = [*boosters, *linear, *(f"lstm.{k}" for k in range(self.columns))]
        place = {model: i for i, model in enumerate(order)}
        self._linear_at = slice(len(boosters), len(boosters) + len(linear))
        self._models = len(order)
        calibrators, points = [], []
        for target in bundle.targets:
            group = bundle.tensors.get(target.calibrator, {})
            keys = ("slope", "intercept") if "slope" in group else ("scores", "probabilities")
            kind = _UNCALIBRATED if not group else _PLATT if "slope" in group else _ISOTONIC
            calibrators.append(kind)
            points.append(np.concatenate([group[key] for key in keys]) if group else np.empty(0))
        self._plan = (
            np.cumsum([0, *(len(target.parts) for target in bundle.targets)], dtype=np.int64),
            np.array([place[model] for model in models], np.int64),
            np.array([part.weight for t in bundle.targets for part in t.parts], np.float64),
            np.array([_KINDS[target.output] for target in bundle.targets], np.int64),
            np.array([target.factor for target in bundle.targets], np.float64),
            np.array(calibrators, np.int64),
            np.cumsum([0, *(len(values) for values in points)], dtype=np.int64),
            np.concatenate(points).astype(np.float64),
        )

    def rows(self, X: Floats, ensemble: Floats | None = None) -> Floats:
        """Every target for many rows, each as if alone.

        Parameters
        ----------
        X : float64 (N, F)
            Features of the bundle, in its order; NaN where one is unknown.
        ensemble : float64 (N, columns or more), optional
            Forecasts of the LSTM ensemble; needed where a target reads one.

        Returns
        -------
        float64 (N, K)
            NaN where a part of the target is NaN.

        Raises
        ------
        FixConfig
            A target reads an ensemble, and none is given or it has too few columns.
        """
        if self.columns and (ensemble is None or ensemble.shape[1] < self.columns):
            given = 0 if ensemble is None else ensemble.shape[1]
            fix = "give the ensemble the bundle was trained with"
            raise FixConfig("ensemble", given, f"{self.columns} forecasts a row", fix)
        X = np.ascontiguousarray(X, np.float64)
        made = np.empty((len(X), self._models))
        if self._forest is not None:
            made[:, : self._linear_at.start] = self._forest.rows(X)
        if len(self._coefficients):
            _linear(X, self._coefficients, self._fill, made, self._linear_at.start)
        if ensemble is not None and self.columns:
            made[:, self._linear_at.stop :] = ensemble[:, : self.columns]
        out = np.empty((len(X), len(self.names)))
        _combine(made, *self._plan, out)
        return out
