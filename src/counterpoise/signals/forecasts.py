"""The forecasts a policy may read, aligned on the decision clock."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """One refit of one model: what it was trained on and what it then forecast."""

    target: str
    train_rows: int
    train_end_ms: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True)
class Forecasts:
    """Out-of-sample forecasts; row t uses only what was known at t. NaN where there is none.

    Attributes
    ----------
    ts_ms : int64 (T,)
        The clock of the timeline.
    p_up_4h : float64 (T,)
        Calibrated probability that spot closes higher in 4 h.
    p_hedge_pays_4h : float64 (T,)
        Calibrated probability that one unit of short earns more than its round trip over 4 h.
    vol_24h : float64 (T,)
        Forecast volatility over the next 24 h, annualised fraction (LightGBM on log variance).
    vol_24h_har : float64 (T,)
        The same by the heterogeneous autoregressive baseline.
    rv_24h, rv_168h : float64 (T,)
        Trailing realised volatility, annualised fraction.
    funding_next : float64 (T,)
        Forecast rate per settlement interval of the first venue: mean of the last two settled.
    funding_next_har : float64 (T,)
        The same by HAR.
    rho : float64 (T,)
        Shrunk correlation of daily funding changes and daily log returns (the formula's ρ).
    rho_raw : float64 (T,)
        The same before shrinkage.
    direction_score : float64 (T,)
        Uncalibrated out-of-sample probability behind ``p_up_4h``.
    folds : tuple of Fold
        Every refit.
    """

    ts_ms: NDArray[np.int64]
    p_up_4h: Floats
    p_hedge_pays_4h: Floats
    vol_24h: Floats
    vol_24h_har: Floats
    rv_24h: Floats
    rv_168h: Floats
    funding_next: Floats
    funding_next_har: Floats
    rho: Floats
    rho_raw: Floats
    direction_score: Floats
    folds: tuple[Fold, ...] = field(default=())

    @classmethod
    def unknown(cls, ts_ms: NDArray[np.int64]) -> Self:
        """No forecast at any tick."""
        x = np.full(len(ts_ms), np.nan)
        return cls(ts_ms, x, x, x, x, x, x, x, x, x, x, x)
