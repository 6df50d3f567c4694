"""Metrics of one simulated path, each by the single definition of the evaluation protocol.

A day's return is its P&L over the day's mean exposure × its opening spot; all else is computed from
those returns. This module knows nothing about inference: no interval, no comparison.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import NotEnoughData
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.units import DAY_MS, DAYS_PER_YEAR

Floats = NDArray[np.float64]

#: Keys of :func:`summarise`, in reading order.
METRICS = (
    "mean",
    "vol",
    "ce5",
    "ce20",
    "cvar95",
    "max_drawdown",
    "hedge_effectiveness",
    "funding",
    "cost",
    "capital",
    "turnover",
    "mean_ratio",
    "sharpe",
    "sortino",
    "calmar",
    "cvar99",
    "liquidations",
)


def days_of(path: SimulatedPath) -> NDArray[np.datetime64]:
    """UTC day of each bucket, ``datetime64[D]`` (B,).

    A bucket whose last tick is midnight belongs to the day that midnight closes.
    """
    return ((path.ts_ms - 1) // DAY_MS).astype("datetime64[D]")


def daily_components(path: SimulatedPath) -> Floats:
    """Daily return by component of the P&L, as a fraction of the exposure at its opening spot.

    Parameters
    ----------
    path : SimulatedPath
        Bucketed by UTC day; B days.

    Returns
    -------
    float64 (B, 7)
        ``pnl / (exposure_mean_eth × spot_open)``, columns as ``COMPONENTS``.

    Raises
    ------
    ValueError
        The path is not bucketed by consecutive days (the last may be short), or a P&L, exposure
        or opening spot is not finite, or an exposure or opening spot is not positive.
    """
    steps = np.diff(path.ts_ms)
    wrong = steps != DAY_MS
    if wrong.size:
        wrong[-1] = not 0 < steps[-1] <= DAY_MS or np.diff(days_of(path)[-2:])[0].astype(int) != 1
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise ValueError(
            f"path row {row}: {steps[row - 1]} ms after the row before; a metric needs one bucket "
            f"per consecutive UTC day ({DAY_MS} ms). Bucket the simulation by day"
        )
    notional_usd = path.exposure_mean_eth * path.spot_open
    usable = np.isfinite(notional_usd) & (notional_usd > 0) & np.isfinite(path.pnl).all(axis=1)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"path row {row}: mean exposure {path.exposure_mean_eth[row]} ETH, opening spot "
            f"{path.spot_open[row]} USD, P&L {path.total[row]} USD; expected finite values and a "
            f"positive exposure and spot. Start the study where spot is known"
        )
    return np.asarray(path.pnl / notional_usd[:, None])


def daily_returns(path: SimulatedPath) -> Floats:
    """Daily P&L ÷ (mean exposure × opening spot); float64 (B,). Raises as the components."""
    return np.asarray(daily_components(path).sum(axis=1))


def annual_mean(daily: Floats) -> float:
    """Mean daily return × 365."""
    return float(daily.mean()) * DAYS_PER_YEAR


def annual_vol(daily: Floats) -> float:
    """Sample standard deviation (ddof = 1) × √365; NaN for a single day."""
    if daily.size < 2:
        return float("nan")
    return float(daily.std(ddof=1) * np.sqrt(DAYS_PER_YEAR))


def certainty_equivalent(daily: Floats, risk_aversion: float) -> float:
    """Annual mean − λ/2 · annual variance, a fraction per year."""
    return annual_mean(daily) - risk_aversion / 2.0 * annual_vol(daily) ** 2


def cvar(daily: Floats, tail: float) -> float:
    """Mean loss of the worst ``tail`` share of days, as a positive daily fraction.

    With n days the worst k = tail · n count. Where k is not whole, the next-worst day counts with
    the fraction that is left, and the sum is divided by k (Rockafellar & Uryasev 2002, the
    discrete case), so no day is dropped. Under 1/tail days, it is the worst day.

    Examples
    --------
    >>> round(cvar(np.array([-0.04, -0.02, 0.01, 0.01, 0.01, 0.01]), 0.25), 6)
    0.033333
    """
    worst = np.sort(daily)
    count = tail * daily.size
    weights = np.clip(count - np.arange(daily.size), 0.0, 1.0)
    return -float(worst @ weights) / float(weights.sum())


def drawdowns(daily: Floats) -> Floats:
    """Distance of the summed P&L below its highest point so far, ≤ 0; float64 (B,).

    The path starts at 0, so a first day that loses is already a drawdown. Returns are summed, not
    compounded: the exposure is held in ETH and its P&L is not reinvested.
    """
    equity = np.cumsum(daily)
    return np.asarray(equity - np.maximum(np.maximum.accumulate(equity), 0.0))


def max_drawdown(daily: Floats) -> float:
    """Deepest of :func:`drawdowns`, a negative fraction of exposure, or 0.

    Examples
    --------
    >>> max_drawdown(np.array([-0.25, 0.5, -0.5, 0.125]))
    -0.5
    """
    return float(drawdowns(daily).min())


def hedge_effectiveness(daily: Floats, unhedged_daily: Floats) -> float:
    """1 − Var(hedged)/Var(unhedged); NaN where the unhedged variance is 0 or undefined."""
    unhedged_vol = annual_vol(unhedged_daily)
    if not unhedged_vol > 0.0:
        return float("nan")
    return 1.0 - (annual_vol(daily) / unhedged_vol) ** 2


def attribution(path: SimulatedPath) -> dict[str, float]:
    """Annual return by component, a fraction per year; the components add up to ``mean``.

    Signs are those of the P&L: costs are negative.
    """
    per_year = daily_components(path).mean(axis=0) * DAYS_PER_YEAR
    return {name: float(value) for name, value in zip(COMPONENTS, per_year, strict=True)}


def yearly(path: SimulatedPath) -> dict[int, slice]:
    """Rows of each calendar year (UTC) of a path bucketed by day, in order."""
    years = days_of(path).astype("datetime64[Y]").astype(np.int64) + 1970
    found, first = np.unique(years, return_index=True)
    edges = [*first.tolist(), years.size]
    return {int(year): slice(edges[i], edges[i + 1]) for i, year in enumerate(found)}


def _part(path: SimulatedPath, unhedged_daily: Floats, rows: slice) -> dict[str, float]:
    """Every metric of some rows of a path, except the liquidation count, which has no date."""
    components = daily_components(path)[rows]
    daily = components.sum(axis=1)
    per_year = dict(
        zip(COMPONENTS, (components.mean(axis=0) * DAYS_PER_YEAR).tolist(), strict=True)
    )
    mean, vol, deepest = annual_mean(daily), annual_vol(daily), max_drawdown(daily)
    downside = float(np.sqrt(np.mean(np.minimum(daily, 0.0) ** 2) * DAYS_PER_YEAR))
    return {
        "mean": mean,
        "vol": vol,
        "ce5": certainty_equivalent(daily, 5.0),
        "ce20": certainty_equivalent(daily, 20.0),
        "cvar95": cvar(daily, 0.05),
        "max_drawdown": deepest,
        "hedge_effectiveness": hedge_effectiveness(daily, unhedged_daily[rows]),
        "funding": per_year["funding"],
        "cost": -(per_year["fees"] + per_year["slippage"] + per_year["liquidation"]),
        "capital": -per_year["capital"],
        "turnover": float(np.mean((path.traded_eth / path.exposure_eth)[rows])) * DAYS_PER_YEAR,
        "mean_ratio": float(np.mean(path.ratio[rows])),
        "sharpe": _over(mean, vol),
        "sortino": _over(mean, downside),
        "calmar": _over(mean, -deepest),
        "cvar99": cvar(daily, 0.01),
    }


def _over(value: float, risk: float) -> float:
    return value / risk if risk > 0.0 else float("nan")


def _same_days(path: SimulatedPath, unhedged_daily: Floats) -> None:
    if unhedged_daily.shape != path.ts_ms.shape:
        raise ValueError(
            f"unhedged_daily has shape {unhedged_daily.shape}, the path {path.ts_ms.shape}; "
            f"one window holds for every policy of a study"
        )


def summarise(path: SimulatedPath, unhedged_daily: Floats) -> dict[str, float]:
    """Every metric of one path.

    Parameters
    ----------
    path : SimulatedPath
        Bucketed by UTC day; B days.
    unhedged_daily : float64 (B,)
        Daily returns of the same exposure without a hedge, for hedge effectiveness.

    Returns
    -------
    dict of str to float
        Keys of ``METRICS``. ``mean``, ``vol``, ``ce5``, ``ce20`` annualised fractions of exposure
        (×365, √365, sample variance); ``cvar95``, ``cvar99`` positive daily losses;
        ``max_drawdown`` a negative fraction; ``hedge_effectiveness`` 1 − variance ratio;
        ``funding`` earned, ``cost`` (fees + slippage + liquidation) and ``capital`` (opportunity
        cost of collateral) paid, fractions per year; ``turnover`` ETH traded per ETH exposed and
        year; ``mean_ratio`` mean hedge ratio at the end of the days; ``sharpe`` mean ÷ vol,
        ``sortino`` mean ÷ downside deviation below 0, ``calmar`` mean ÷ |max_drawdown|, all NaN
        where the divisor is 0; ``liquidations`` a count.

    Raises
    ------
    NotEnoughData
        Fewer than two days.
    ValueError
        The path is not bucketed by day, holds values that are not finite, or does not match
        ``unhedged_daily``.
    """
    _same_days(path, unhedged_daily)
    if path.ts_ms.size < 2:
        raise NotEnoughData(
            f"a summary needs at least 2 days, the path has {path.ts_ms.size}. "
            f"Next: widen study.start .. study.end."
        )
    metrics = _part(path, unhedged_daily, slice(None))
    return {**metrics, "liquidations": float(path.liquidations)}


def by_year(path: SimulatedPath, unhedged_daily: Floats) -> dict[int, dict[str, float]]:
    """Metrics of each calendar year on its own, annualised on the days it has.

    As :func:`summarise`, without ``liquidations``, which carry no date. The drawdown of a year
    starts at 0 on its first day. A year of a single day has a NaN vol.
    """
    _same_days(path, unhedged_daily)
    return {year: _part(path, unhedged_daily, rows) for year, rows in yearly(path).items()}


#: Metrics that depend on the daily returns of one path alone, as functions of them.
RETURN_METRICS: dict[str, Callable[[Floats], float]] = {
    "mean": annual_mean,
    "vol": annual_vol,
    "ce5": lambda daily: certainty_equivalent(daily, 5.0),
    "ce20": lambda daily: certainty_equivalent(daily, 20.0),
    "cvar95": lambda daily: cvar(daily, 0.05),
    "max_drawdown": max_drawdown,
}
