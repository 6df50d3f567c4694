"""The perpetual of a generated market: its premium, the funding that follows, its bars and mark.

Funding is the venue's own rule on the premium of the interval. The premium remembers the returns of
the past days and crashes; it knows nothing of the next return of spot. Parameters were fitted to
Binance ETHUSDT of 2020 to 2023; ``docs/synthetic.md`` holds the comparison.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.columns import TS
from counterpoise.market.synthetic_paths import heavy_scale, mean_reverting, wandering
from counterpoise.market.synthetic_spot import Spot
from counterpoise.units import BPS, DAY_MS, HOUR_MS
from counterpoise.venues import contract_at
from counterpoise.venues import venues as known_venues

Floats = NDArray[np.float64]

#: Whose funding rule a venue follows that has no registered contract.
RULE_OF_OTHERS = "binance"

#: Mood of all venues, a normal variable: half-life in hours and weight of its parts, and of those
#: each venue has for itself.
SHARED_MOOD = ((24.0 * 120, 0.95), (24.0 * 10, 0.45))
OWN_MOOD = ((48.0, 0.30), (3.0, 0.35))
#: Part of the mood that follows past returns: half-life, weight, and how its sign wanders (mean,
#: deviation, half-life): the correlation of funding and price comes and goes.
TREND_HALF_LIFE_H, TREND_WEIGHT = 140.0, 0.55
TREND_MEAN, TREND_DEVIATION, TREND_SIGN_HALF_LIFE_H = 0.6, 0.8, 24.0 * 30

_SHARED_VARIANCE = sum(weight**2 for _, weight in SHARED_MOOD) + TREND_WEIGHT**2 * (
    TREND_MEAN**2 + TREND_DEVIATION**2
)
_OWN_VARIANCE = sum(weight**2 for _, weight in OWN_MOOD)
#: The shared mood saturates here, below and above, in its own deviations: seasons of mood last,
#: extremes do not.
MOOD_LIMITS = (2.0, 2.5)
#: Share of time the premium is lower, and the premium in bp, beyond which only jumps take it.
#: Arbitrage holds it near the ends of the funding rule's clamp, -4 and +6 bp.
PREMIUM_QUANTILES = np.array(
    [
        (0.005, -7.84), (0.01, -7.01), (0.02, -6.33), (0.05, -5.64), (0.1, -5.13), (0.2, -4.71),
        (0.3, -4.32), (0.415, -4.00), (0.71, 6.00), (0.75, 6.62), (0.81, 8.14), (0.865, 9.80),
        (0.925, 12.70), (0.965, 17.00), (0.982, 21.40), (0.991, 25.00), (0.997, 33.00),
    ]
)  # fmt: skip
MOOD_KNOTS = np.array([NormalDist().inv_cdf(float(share)) for share in PREMIUM_QUANTILES[:, 0]])

#: What a jump leaves in the premium, bp per hourly volatility beyond the fifth, and its half-life.
DISLOCATION_BPS, DISLOCATION_FROM, DISLOCATION_HALF_LIFE_H = 4.2, 5.0, 6.0
#: Noise of the premium, and of last trades around it (Student shocks), bp in an average hour.
PREMIUM_NOISE_BPS, TRADE_NOISE_BPS, TRADE_NOISE_DF = 1.3, 1.2, 4.0

#: Log of perpetual over spot volume: mean, deviation, half-life.
LOG_VOLUME_RATIO, VOLUME_RATIO_DEVIATION, VOLUME_RATIO_HALF_LIFE_H = 1.63, 0.30, 24.0 * 20
#: How far wicks of the perpetual reach beyond spot's, as a share of the bar's range.
WICK = 0.018
#: Bars of the mean basis in the mark price.
MARK_WINDOW = 4


@dataclass(frozen=True)
class Perpetual:
    """One venue; every array (T,).

    Attributes
    ----------
    premium : float64
        What the venue's premium index averages over each hour, fraction of spot.
    basis : float64
        Last perpetual trade over last spot trade minus one.
    open, high, low, close : float64
        USD.
    volume : float64
        ETH.
    """

    premium: Floats
    basis: Floats
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def shared_mood(rng: np.random.Generator, spot: Spot) -> Floats:
    """Part of the mood that all venues have in common; (T,)."""
    hours = len(spot.ts_ms)
    wanders = wandering(rng, hours, TREND_SIGN_HALF_LIFE_H, TREND_DEVIATION)
    past = np.clip(spot.shock, -4.0, 4.0) * (TREND_MEAN + wanders)
    mood = mean_reverting(past, TREND_HALF_LIFE_H, TREND_WEIGHT)
    for half_life, weight in SHARED_MOOD:
        mood += wandering(rng, hours, half_life, weight)
    limit = np.where(mood < 0, *MOOD_LIMITS) * np.sqrt(_SHARED_VARIANCE)
    return np.asarray(limit * np.tanh(mood / limit))


def _premium(rng: np.random.Generator, spot: Spot, shared: Floats) -> Floats:
    hours = len(spot.ts_ms)
    mood = shared.copy()
    for half_life, weight in OWN_MOOD:
        mood += wandering(rng, hours, half_life, weight)
    level = np.interp(
        mood / np.sqrt(_SHARED_VARIANCE + _OWN_VARIANCE), MOOD_KNOTS, PREMIUM_QUANTILES[:, 1]
    )
    heat = spot.hourly_vol / spot.hourly_vol.mean()
    beyond = np.sign(spot.shock) * np.maximum(np.abs(spot.shock) - DISLOCATION_FROM, 0.0) * heat
    keep = 0.5 ** (1.0 / DISLOCATION_HALF_LIFE_H)
    # A jump counts in full at its own close and fades from there.
    left = mean_reverting(beyond, DISLOCATION_HALF_LIFE_H, DISLOCATION_BPS) / np.sqrt(1 - keep**2)
    noise = PREMIUM_NOISE_BPS * heat * rng.standard_normal(hours)
    return np.asarray((level + left + noise) * BPS)


def generate_perpetual(rng: np.random.Generator, spot: Spot, shared: Floats) -> Perpetual:
    """Draw one venue's perpetual on a spot market.

    Parameters
    ----------
    rng : Generator
        The venue's own.
    spot : Spot
    shared : float64 (T,)
        From :func:`shared_mood`, the same for every venue.
    """
    hours = len(spot.ts_ms)
    premium = _premium(rng, spot, shared)
    trades = heavy_scale(rng, hours, TRADE_NOISE_DF) * rng.standard_normal(hours)
    basis = premium + TRADE_NOISE_BPS * BPS * spot.busy * trades
    close = spot.close * (1 + basis)
    open_ = np.concatenate(([spot.open[0] * (1 + basis[0])], close[:-1]))
    wick = WICK * np.log(spot.high / spot.low) * np.abs(rng.standard_normal((2, hours)))
    high = np.maximum(np.maximum(open_, close), spot.high * (1 + basis)) * (1 + wick[0])
    low = np.minimum(np.minimum(open_, close), spot.low * (1 + basis)) * (1 - wick[1])
    ratio = LOG_VOLUME_RATIO + wandering(
        rng, hours, VOLUME_RATIO_HALF_LIFE_H, VOLUME_RATIO_DEVIATION
    )
    return Perpetual(premium, basis, open_, high, low, close, spot.volume * np.exp(ratio))


def average_premium(premium: Floats) -> Floats | float:
    """Premium of an interval from its samples, the late ones weighing more.

    The weights grow linearly, as on Binance ("Introduction to Binance Futures Funding Rates"); a
    single sample, as in an hourly interval here, is its own average.

    Parameters
    ----------
    premium : float64 (..., n)
        Samples of each interval in time order, fractions.

    Returns
    -------
    float or float64 (...)

    Examples
    --------
    >>> round(float(average_premium(np.array([0.0, 0.0, 0.001]))), 6)
    0.0005
    """
    weights = np.arange(1, premium.shape[-1] + 1)
    return premium @ weights / float(weights.sum())


def settlements(
    venue: str, ts_ms: NDArray[np.int64], premium: Floats, mark: Floats
) -> pl.DataFrame:
    """Settlements by the venue's rules in force, from the hourly premium before each.

    Parameters
    ----------
    venue : str
        One without a registered contract follows binance's rules.
    ts_ms : int64 (T,)
        Open of each hourly bar.
    premium : float64 (T,)
        Over each bar, fraction.
    mark : float64 (T,)
        Mark price at each close, USD.

    Returns
    -------
    DataFrame
        ``ts``, ``funding_rate``, ``interval_h``, ``mark_price``; the first interval of the history
        that is complete comes first.
    """
    closes = ts_ms + HOUR_MS
    rulebook = venue if venue in known_venues else RULE_OF_OTHERS
    interval_h = contract_at(rulebook, int(closes[0])).funding.interval_h
    due = np.flatnonzero((closes // HOUR_MS) % interval_h == 0)
    due = due[due >= interval_h - 1]
    samples = np.lib.stride_tricks.sliding_window_view(premium, interval_h)[due - interval_h + 1]
    average = np.asarray(average_premium(samples))
    rate = np.empty(len(due))
    days, day_of_row = np.unique(closes[due] // DAY_MS, return_inverse=True)
    contracts = [contract_at(rulebook, int(day) * DAY_MS) for day in days]
    for contract in dict.fromkeys(contracts):
        rows = np.array([other is contract for other in contracts])[day_of_row]
        rate[rows] = contract.funding.rate(average[rows])
    return pl.DataFrame(
        {
            "ts": pl.Series(closes[due]).cast(TS),
            # Venues publish eight decimals.
            "funding_rate": np.round(rate, 8),
            "interval_h": np.full(len(due), float(interval_h)),
            "mark_price": mark[due],
        }
    )


def mark_bars(spot: Spot, perp: Perpetual) -> pl.DataFrame:
    """Mark-price bars: index plus the mean basis, within the perpetual's own bar."""
    window = np.minimum(np.arange(1, len(perp.basis) + 1), MARK_WINDOW)
    total = np.concatenate(([0.0], np.cumsum(perp.basis)))
    ends = np.arange(1, len(perp.basis) + 1)
    mean = (total[ends] - total[ends - window]) / window
    close = spot.close * (1 + mean)
    open_ = np.concatenate(([perp.open[0]], close[:-1]))
    high = np.maximum(np.maximum(open_, close), np.minimum(perp.high, spot.high * (1 + mean)))
    low = np.minimum(np.minimum(open_, close), np.maximum(perp.low, spot.low * (1 + mean)))
    return pl.DataFrame(
        {
            "ts": pl.Series(spot.ts_ms).cast(TS),
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
        }
    )
