"""The spot price of the generated market: clustered volatility, fat tails, jumps, busy hours.

Parameters were fitted to Binance ETHUSDT spot bars of 2020-01 to 2025-06; ``docs/synthetic.md``
holds what was measured beside what comes out. The price is a martingale unless an edge is planted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.market.synthetic_paths import heavy_scale, mean_reverting, wandering
from counterpoise.units import HOUR_MS, HOURS_PER_YEAR

Floats = NDArray[np.float64]

#: Annual volatility of the hourly returns.
ANNUAL_VOL = 0.80
#: Half-life in hours and deviation of the parts of log volatility: a season, a week, some hours.
#: Their sum is close to long memory, which is what heterogeneous autoregressions forecast.
LOG_VOL_PARTS = ((24.0 * 90, 0.40), (24.0 * 7, 0.29), (7.0, 0.35))
#: Falls raise the volatility of the hours after them, never of their own.
LEVERAGE_HALF_LIFE_H, LEVERAGE_DEVIATION = 12.0, 0.12
#: Degrees of freedom of the ordinary hourly shocks, on top of the changing volatility.
SHOCK_DF = 7.0
#: Jumps: how many a year, smallest and mean excess size in hourly volatilities, share of falls.
JUMPS_PER_YEAR, JUMP_SMALLEST, JUMP_EXCESS, JUMP_FALLS = 32.0, 3.5, 2.6, 0.68
#: Largest |hourly log return|: a quarter of the price, as on 2020-03-12.
LARGEST_RETURN = 0.25

#: Mean |return| of each UTC hour over that of all hours, 2020-01 to 2025-06.
HOUR_FACTORS = np.array(
    [
        1.21, 1.10, 0.90, 0.86, 0.75, 0.81, 0.82, 0.89, 0.97, 0.88, 0.91, 0.91,
        1.03, 1.15, 1.30, 1.21, 1.17, 1.05, 1.01, 1.01, 1.06, 1.02, 1.01, 0.99,
    ]
)  # fmt: skip
#: The same by weekday, Monday first.
WEEKDAY_FACTORS = np.array([1.11, 1.06, 1.08, 1.07, 1.04, 0.78, 0.87])

#: Volatility of the path inside an hour over that of its closes.
INSIDE_HOUR = 1.16
#: Median spot volume per hour, ETH; its elasticity to the bar's range and to the volatility that
#: was expected; the range at which it is the median.
VOLUME_ETH, VOLUME_ON_RANGE, VOLUME_ON_VOL, USUAL_RANGE = 18_400.0, 0.70, 0.45, 0.0089
#: Half-life in hours and deviation of what range does not explain of log volume, and white noise.
LOG_VOLUME_PARTS = ((24.0 * 60, 0.30), (8.0, 0.22))
LOG_VOLUME_NOISE = 0.22

#: Share of volume bought by takers: mean, deviation, how much of it the bar's own return explains.
FLOW_MEAN, FLOW_DEVIATION, FLOW_ON_RETURN = 0.496, 0.062, 0.53
FLOW_HALF_LIFE_H = 0.47


@dataclass(frozen=True)
class Spot:
    """One spot market, every array (T,); the bars span [ts, ts + 1 h).

    Attributes
    ----------
    ts_ms : int64
        Open of each bar.
    open, high, low, close : float64
        USD.
    volume : float64
        ETH.
    flow : float64
        Share of the volume bought by takers.
    hourly_vol : float64
        Volatility of the hour as its makers knew it at its open.
    shock : float64
        The hour's return in units of that volatility.
    busy : float64
        Realised activity of the hour, 1 on average.
    log_return : float64
    """

    ts_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    flow: Floats
    hourly_vol: Floats
    shock: Floats
    busy: Floats
    log_return: Floats


def _jumps(rng: np.random.Generator, hours: int) -> Floats:
    """Jump of each hour in hourly volatilities, 0 in most."""
    happens = rng.random(hours) < JUMPS_PER_YEAR / HOURS_PER_YEAR
    size = JUMP_SMALLEST + JUMP_EXCESS * rng.standard_exponential(hours)
    sign = np.where(rng.random(hours) < JUMP_FALLS, -1.0, 1.0)
    return np.where(happens, sign * size, 0.0)


def _jump_moments() -> tuple[float, float]:
    """Mean and variance that jumps add to an hour's shock."""
    rate = JUMPS_PER_YEAR / HOURS_PER_YEAR
    mean = rate * (1.0 - 2.0 * JUMP_FALLS) * (JUMP_SMALLEST + JUMP_EXCESS)
    square = JUMP_SMALLEST**2 + 2.0 * JUMP_SMALLEST * JUMP_EXCESS + 2.0 * JUMP_EXCESS**2
    return mean, rate * square - mean**2


def _hourly_vol(rng: np.random.Generator, ts_ms: NDArray[np.int64], shock: Floats) -> Floats:
    """Volatility of each hour, known at its open."""
    hours = len(ts_ms)
    fall = np.concatenate(([0.0], np.clip(-shock[:-1], -8.0, 8.0)))
    log_vol = mean_reverting(fall, LEVERAGE_HALF_LIFE_H, LEVERAGE_DEVIATION)
    for half_life, deviation in LOG_VOL_PARTS:
        log_vol += wandering(rng, hours, half_life, deviation)
    spread = sum(deviation**2 for _, deviation in LOG_VOL_PARTS) + LEVERAGE_DEVIATION**2
    # 1970-01-01 was a Thursday, weekday 3.
    hour, weekday = (ts_ms // HOUR_MS) % 24, (ts_ms // (24 * HOUR_MS) + 3) % 7
    season = HOUR_FACTORS[hour] * WEEKDAY_FACTORS[weekday]
    level = ANNUAL_VOL / np.sqrt(HOURS_PER_YEAR * (1.0 + _jump_moments()[1]))
    # The mean of exp(2·log_vol) is exp(2·spread): the variance keeps its level.
    return np.asarray(level * season * np.exp(log_vol - spread))


def _extreme(rng: np.random.Generator, log_return: Floats, inside_vol: Floats) -> Floats:
    """Highest point above the open of a Brownian bridge over the hour, drawn exactly; (T,)."""
    # P(max > m) = exp(-2·m·(m - r)/σ²) for m ≥ max(0, r).
    reach = np.sqrt(log_return**2 - 2.0 * inside_vol**2 * np.log(1.0 - rng.random(len(log_return))))
    return np.asarray((log_return + reach) / 2.0)


def _volume(rng: np.random.Generator, log_range: Floats, hourly_vol: Floats) -> Floats:
    hours = len(log_range)
    usual_vol = ANNUAL_VOL / np.sqrt(HOURS_PER_YEAR)
    log_volume = VOLUME_ON_RANGE * (log_range - np.log(USUAL_RANGE))
    log_volume += VOLUME_ON_VOL * np.log(hourly_vol / usual_vol)
    for half_life, deviation in LOG_VOLUME_PARTS:
        log_volume += wandering(rng, hours, half_life, deviation)
    log_volume += LOG_VOLUME_NOISE * rng.standard_normal(hours)
    return np.asarray(VOLUME_ETH * np.exp(log_volume))


def _flow(rng: np.random.Generator, shock: Floats) -> Floats:
    own = wandering(rng, len(shock), FLOW_HALF_LIFE_H, np.sqrt(1.0 - FLOW_ON_RETURN**2))
    lean = FLOW_ON_RETURN * np.clip(shock, -3.0, 3.0) + own
    return np.clip(FLOW_MEAN + FLOW_DEVIATION * lean, 0.02, 0.98)


def generate_spot(
    rng: np.random.Generator,
    ts_ms: NDArray[np.int64],
    price: float,
    signal: Floats,
    share: float,
    *,
    clustering: bool,
) -> Spot:
    """Draw the spot market.

    Parameters
    ----------
    rng : Generator
    ts_ms : int64 (T,)
        Open of each hourly bar.
    price : float
        First open, USD.
    signal : float64 (T,)
        Of unit variance, known at each bar's open.
    share : float
        Share κ of each hour's shock that the signal decides, so that its variance stays 1:
        κ·signal + √(1 − κ²)·noise. At 0 the price is a martingale.
    clustering : bool
        False draws the hourly volatilities in random order.
    """
    hours = len(ts_ms)
    scale = heavy_scale(rng, hours, SHOCK_DF)
    shock = scale * rng.standard_normal(hours) + _jumps(rng, hours)
    hourly_vol = _hourly_vol(rng, ts_ms, shock)
    if not clustering:
        hourly_vol = rng.permutation(hourly_vol)
    shock = share * signal + np.sqrt(1.0 - share**2) * shock
    # Half the variance and the mean jump: the expected price of the next hour is this hour's.
    fair = -(hourly_vol**2) / 2.0 - hourly_vol * _jump_moments()[0]
    log_return = np.clip(fair + hourly_vol * shock, -LARGEST_RETURN, LARGEST_RETURN)
    path = np.log(price) + np.cumsum(log_return)
    close = np.exp(path)
    open_ = np.concatenate(([price], close[:-1]))
    inside = INSIDE_HOUR * hourly_vol * scale
    up, down = _extreme(rng, log_return, inside), _extreme(rng, -log_return, inside)
    high, low = open_ * np.exp(up), open_ * np.exp(-down)
    busy = hourly_vol * scale
    return Spot(
        ts_ms=ts_ms,
        open=open_,
        # The exponential of a logarithm may miss the close by a rounding error.
        high=np.maximum(high, np.maximum(open_, close)),
        low=np.minimum(low, np.minimum(open_, close)),
        close=close,
        volume=_volume(rng, np.log(up + down), hourly_vol),
        flow=_flow(rng, shock),
        hourly_vol=hourly_vol,
        shock=shock,
        busy=busy / busy.mean(),
        log_return=log_return,
    )
