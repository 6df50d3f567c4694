"""What a model is: the seam where a user's own model enters the same walk-forward and audit.

Nothing here learns. The project's own models (``linear``, ``trees``, ``lstm``) go through the same
two calls as a user's.
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: What a forecast is: of an event in [0, 1], of a number, or of the number it stays under.
Kind = Literal["probability", "value", "quantile"]


class Fitted(Protocol):
    """A model that has learned."""

    def predict(self, X: Floats, rows: slice) -> Floats:
        """Forecasts of some rows.

        Parameters
        ----------
        X : float64 (N, F)
            Features of consecutive hours from the first of history to ``rows.stop``; NaN where one
            is unknown. A model may look back from a row as far as it likes, never ahead.
        rows : slice
            Rows wanted, ``start`` and ``stop`` given, within X.

        Returns
        -------
        float64 (rows.stop - rows.start,)
            A probability, a value or a quantile, as the target asks; NaN where there is none.
        """
        ...


class Model(Protocol):
    """How a model learns.

    Attributes
    ----------
    name : str
        Short and unique; the report and the ledger call it so.
    """

    @property
    def name(self) -> str:
        """Short and unique."""
        ...

    def fit(self, X: Floats, y: Floats, seed: int) -> Fitted:
        """Learn from the past.

        Parameters
        ----------
        X : float64 (N, F)
            Features of consecutive hours from the first of history to the last one to learn from;
            NaN where one is unknown.
        y : float64 (N,)
            Outcome of each hour, known before the forecasts are made; NaN: not to learn from.
        seed : int
            Equal seeds must give equal models.
        """
        ...
