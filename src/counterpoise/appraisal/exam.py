"""What a model is examined on, and the one number that says how it did.

An exam is arrays: features, outcomes and the clock. Where they come from is not its business.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.scores import pinball
from counterpoise.features.engine import compute
from counterpoise.market.timeline import Timeline
from counterpoise.signals import inputs
from counterpoise.signals.confidence import auc
from counterpoise.signals.model import Kind
from counterpoise.signals.targets import Target, kind_of

Floats = NDArray[np.float64]

#: What the score of each kind of forecast is called.
SCORE_NAMES: dict[Kind, str] = {
    "probability": "AUC",
    "value": "R²",
    "quantile": "pinball skill",
}
#: Scores of what knows nothing: a coin, and a constant known afterwards.
NO_SKILL: dict[Kind, float] = {"probability": 0.5, "value": 0.0, "quantile": 0.0}


@dataclass(frozen=True)
class Exam:
    """One target with the features to forecast it from.

    Attributes
    ----------
    name : str
        Of the target (``direction.4h``).
    inputs : tuple of str
        Names of the F features.
    X : float64 (T, F)
        NaN where a feature is unknown.
    y : float64 (T,)
        Outcome of the ``horizon_h`` hours after each tick; NaN where it cannot be measured.
    ts_ms : int64 (T,)
        Consecutive hours.
    horizon_h : int
        The outcome of tick t is known at t + ``horizon_h``.
    kind : str
        ``probability`` (outcomes 0 and 1), ``value`` or ``quantile``.
    level : float
        Of the quantile; not used otherwise.
    """

    name: str
    inputs: tuple[str, ...]
    X: Floats
    y: Floats
    ts_ms: NDArray[np.int64]
    horizon_h: int
    kind: Kind
    level: float = 0.5

    def score(self, forecasts: Floats, outcomes: Floats) -> float:
        """Score of forecasts of this kind; see :func:`score`."""
        return score(self.kind, forecasts, outcomes, self.level)


def score(kind: Kind, forecasts: Floats, outcomes: Floats, level: float = 0.5) -> float:
    """How good forecasts were; larger is better.

    Parameters
    ----------
    kind : str
    forecasts, outcomes : float64 (N,)
        Rows where either is NaN are left out.
    level : float
        Of the quantile.

    Returns
    -------
    float
        AUC of a probability (0.5: no skill). Of a value one minus its mean squared error over that
        of the outcomes' own mean, of a quantile one minus its pinball loss over that of the
        outcomes' own quantile (0: no better than a constant known afterwards). NaN where there is
        nothing to tell apart.
    """
    rows = np.isfinite(forecasts) & np.isfinite(outcomes)
    forecasts, outcomes = forecasts[rows], outcomes[rows]
    if len(outcomes) == 0 or outcomes.min() == outcomes.max():
        return float("nan")
    if kind == "probability":
        return auc(forecasts, outcomes)
    if kind == "value":
        return 1.0 - float(((outcomes - forecasts) ** 2).mean()) / float(outcomes.var())
    constant = np.full(len(outcomes), np.quantile(outcomes, level))
    plain = float(pinball(constant, outcomes, level).mean())
    missed = float(pinball(forecasts, outcomes, level).mean())
    return 1.0 - missed / plain if plain > 0 else float("nan")


def exam_of(target: Target, timeline: Timeline) -> Exam:
    """A target of the programme, with every feature of the catalog to forecast it from."""
    label = target.outcome(timeline)
    matrix = compute(timeline, inputs.NAMES)
    return Exam(
        target.key,
        matrix.names,
        np.ascontiguousarray(matrix.values),
        label.values,
        timeline.ts_ms,
        label.horizon_h,
        kind_of(target),
        target.quantile,
    )
