"""The document's formula ``S = L·β / (1 + ρ·(1 - C))`` and the no-trade band beside it.

Pure arithmetic on numbers or arrays. Where C and ρ come from, and which reading of C is meant, is
decided elsewhere. Source: SCIENCE §1 and §2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FormulaHedge:
    """One evaluation of the formula.

    Attributes
    ----------
    short_eth : float
        Short S in ETH, after clipping to ``[0, max_ratio · L]``.
    unclipped_eth : float
        S as the formula gives it.
    denominator : float
        ``1 + ρ·(1 - C)``.
    per_unit : dict
        Partial derivatives of the unclipped S by exposure, beta, rho and confidence.
    clipped : bool
    """

    short_eth: float
    unclipped_eth: float
    denominator: float
    per_unit: dict[str, float]
    clipped: bool


def hedge_ratio(beta: Floats | float, rho: Floats | float, confidence: Floats | float) -> Floats:
    """Unclipped ratio ``β / (1 + ρ·(1 - C))``, elementwise; NaN where an input is NaN.

    Examples
    --------
    >>> round(float(1000 * hedge_ratio(0.8, 0.45, 0.78)), 2)
    727.93
    """
    denominator = 1.0 + np.asarray(rho) * (1.0 - np.asarray(confidence))
    with np.errstate(divide="ignore"):
        return np.asarray(beta / denominator)


def formula_hedge(
    exposure_eth: float, beta: float, rho: float, confidence: float, max_ratio: float = 1.0
) -> FormulaHedge:
    """Short for one exposure, with its sensitivities.

    Parameters
    ----------
    exposure_eth : float
        Long ETH L, >= 0.
    beta : float
        Base hedge ratio in [0, 1].
    rho : float
        Correlation of funding-rate changes and ETH price, in [-1, 1].
    confidence : float
        C in [0, 1].
    max_ratio : float
        Cap of S/L; the formula itself can exceed L when ρ is negative.

    Raises
    ------
    FixConfig
        An input is not finite or outside its domain, or (ρ, C) = (-1, 0), where the denominator
        is 0.
    """
    domains = {
        "exposure": (exposure_eth, 0.0, np.inf),
        "beta": (beta, 0.0, 1.0),
        "rho": (rho, -1.0, 1.0),
        "confidence": (confidence, 0.0, 1.0),
    }
    for name, (value, low, high) in domains.items():
        if not (np.isfinite(value) and low <= value <= high):
            domain = f"a finite number >= {low:g}" if high == np.inf else f"[{low:g}, {high:g}]"
            raise FixConfig(f"--{name}", value, domain, f"give --{name} inside that range")
    denominator = 1.0 + rho * (1.0 - confidence)
    if denominator <= 0.0:
        raise FixConfig(
            "--rho, --confidence",
            (rho, confidence),
            "a denominator 1 + ρ·(1 - C) above 0",
            "raise the confidence above 0 or rho above -1",
        )
    short = exposure_eth * beta / denominator
    bounded = min(max(short, 0.0), max_ratio * exposure_eth)
    per_unit = {
        "exposure": beta / denominator,
        "beta": exposure_eth / denominator,
        "rho": -exposure_eth * beta * (1.0 - confidence) / denominator**2,
        "confidence": exposure_eth * beta * rho / denominator**2,
    }
    return FormulaHedge(bounded, short, denominator, per_unit, clipped=bounded != short)


def no_trade_half_width(
    cost: float, target_variance_per_year: Floats, risk_aversion: float, price_variance: Floats
) -> Floats:
    """Half-width of the optimal no-trade band around a moving target ratio.

    Parameters
    ----------
    cost : float
        One-way proportional cost k, fraction of notional.
    target_variance_per_year : float64 (T,)
        Variance rate η² of the target ratio.
    risk_aversion : float
        λ, dimensionless.
    price_variance : float64 (T,)
        Annual variance σ² of the perpetual's return.

    Returns
    -------
    float64 (T,)
        ``(3·k·η² / (2·λ·σ²))^(1/3)``, in units of the hedge ratio.

    Notes
    -----
    Source: Whalley & Wilmott (1997) asymptotics; equal to theirs with η = Γ·S·σ.

    Examples
    --------
    >>> round(float(no_trade_half_width(5.5e-4, np.array(0.05**2 * 365), 20, np.array(0.79))), 3)
    0.036
    """
    return np.asarray(
        np.cbrt(3.0 * cost * target_variance_per_year / (2.0 * risk_aversion * price_variance))
    )


def mean_variance_ratio(
    min_variance_ratio: float,
    expected_funding: float,
    expected_return: float,
    risk_aversion: float,
    variance: float,
) -> float:
    """Mean-variance hedge ratio with carry: ``h_mv + (E[F] - E[r_F]) / (λ·Var)``.

    All moments over one horizon. Source: SCIENCE §2.

    Examples
    --------
    With P(up) = 0.55 the mean is (2p - 1)·σ·√(2/π):

    >>> mu = 0.10 * 0.019 * (2 / np.pi) ** 0.5
    >>> round(mean_variance_ratio(1.0, 0.0, mu, 20, 0.019**2), 3)
    0.79
    """
    return min_variance_ratio + (expected_funding - expected_return) / (risk_aversion * variance)
