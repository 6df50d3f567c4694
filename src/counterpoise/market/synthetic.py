"""A generated ETH market: hourly spot, perpetual, mark, funding, and the slow series beside them.

Its volatility clusters and has memory, its returns have fat tails, and its funding follows the
venue's own rule on its own premium, so every part of the product has something true to find. It
proves plumbing, not edge: nothing measured on it says anything about the real market.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.market.columns import TS
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.synthetic_daily import generate_daily
from counterpoise.units import BPS, DAY_MS, HOUR_MS, HOURS_PER_YEAR, to_ms
from counterpoise.venues import contract_at
from counterpoise.venues import venues as known_venues

Floats = NDArray[np.float64]

ANNUAL_VOL = 0.72
#: Degrees of freedom of the hourly shocks, on top of the changing volatility.
SHOCK_DF = 6.0
LONGEST_DAYS = 20 * 365
#: Largest |hourly log return|: a quarter of the price, as on 2020-03-12.
LARGEST_RETURN = 0.25

#: Whose funding rule a venue follows that has no registered contract.
RULE_OF_OTHERS = "binance"

START = datetime(2021, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Market:
    """One spot market, every array (T,); the bars span [ts, ts + 1 h)."""

    ts_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    hourly_vol: Floats
    log_return: Floats


@njit
def _ornstein_uhlenbeck(shocks: Floats, half_life: float, deviation: float) -> Floats:
    """Stationary mean-reverting path with the given half-life (in steps) and deviation."""
    keep = 0.5 ** (1.0 / half_life)
    noise = deviation * np.sqrt(1.0 - keep * keep)
    path = np.empty(len(shocks))
    level = deviation * shocks[0]
    for step in range(len(shocks)):
        level = keep * level + noise * shocks[step]
        path[step] = level
    return path


def _student(rng: np.random.Generator, size: int, df: float) -> Floats:
    """Student shocks of unit variance."""
    return np.asarray(rng.standard_t(df, size) * np.sqrt((df - 2) / df))


def _spot(rng: np.random.Generator, ts_ms: NDArray[np.int64], price: float) -> _Market:
    hours = len(ts_ms)
    shock = _student(rng, hours, SHOCK_DF)
    # Three speeds of log volatility: months, days, hours. Their sum is close to long memory,
    # which is what heterogeneous autoregressions forecast.
    slow = _ornstein_uhlenbeck(rng.standard_normal(hours), 24.0 * 45, 0.32)
    daily = _ornstein_uhlenbeck(rng.standard_normal(hours), 24.0 * 4, 0.30)
    fast = _ornstein_uhlenbeck(rng.standard_normal(hours), 9.0, 0.26)
    # Falls raise the volatility of the days after them (leverage), never of their own hour.
    fall = np.concatenate(([0.0], np.clip(-shock[:-1], -4.0, 4.0)))
    leverage = _ornstein_uhlenbeck(fall, 36.0, 0.12)
    hour = (ts_ms // HOUR_MS) % 24
    # Quietest around 05:00 UTC, busiest when New York opens.
    season = 1.0 + 0.22 * np.cos(2 * np.pi * (hour - 15) / 24) + 0.08 * (hour == 14)
    log_vol = slow + daily + fast + leverage
    spread = 0.32**2 + 0.30**2 + 0.26**2 + 0.12**2
    hourly_vol = ANNUAL_VOL / np.sqrt(HOURS_PER_YEAR) * season * np.exp(log_vol - spread)
    drift = 0.15 / HOURS_PER_YEAR - hourly_vol**2 / 2
    log_return = np.clip(drift + hourly_vol * shock, -LARGEST_RETURN, LARGEST_RETURN)
    close = price * np.exp(np.cumsum(log_return))
    open_ = np.concatenate(([price], close[:-1]))
    reach = hourly_vol * 0.45
    high = np.maximum(open_, close) * np.exp(reach * np.abs(rng.standard_normal(hours)))
    low = np.minimum(open_, close) * np.exp(-reach * np.abs(rng.standard_normal(hours)))
    busy = hourly_vol / hourly_vol.mean()
    volume = 15_000.0 * busy**1.1 * np.exp(0.35 * rng.standard_normal(hours) - 0.06)
    volume *= 0.7 + 0.3 * np.abs(shock)
    return _Market(ts_ms, open_, high, low, close, volume, hourly_vol, log_return)


def _basis(rng: np.random.Generator, spot: _Market) -> Floats:
    """Perpetual over spot minus one at each close: mood, its own noise, and the recent trend."""
    hours = len(spot.ts_ms)
    mood = _ornstein_uhlenbeck(_student(rng, hours, 3.5), 24.0 * 1.3, 7.0 * BPS)
    scaled = spot.log_return / spot.hourly_vol
    trend = _ornstein_uhlenbeck(np.clip(scaled, -4, 4), 24.0 * 3, 3.5 * BPS)
    noise = 1.5 * BPS * rng.standard_normal(hours)
    return np.asarray(2.2 * BPS + mood + trend + noise)


def average_premium(premium: Floats) -> float:
    """Premium of an interval from its samples, the late ones weighing more.

    The weights grow linearly, as on Binance ("Introduction to Binance Futures Funding Rates"); a
    single sample, as in an hourly interval here, is its own average.

    Parameters
    ----------
    premium : float64 (n,)
        Samples of the interval in time order, fractions.

    Returns
    -------
    float

    Examples
    --------
    >>> round(average_premium(np.array([0.0, 0.0, 0.001])), 6)
    0.0005
    """
    weights = np.arange(1, len(premium) + 1)
    return float(premium @ weights) / float(weights.sum())


def _rulebook(venue: str) -> str:
    return venue if venue in known_venues else RULE_OF_OTHERS


def _funding(venue: str, ts_ms: NDArray[np.int64], basis: Floats, mark: Floats) -> pl.DataFrame:
    """Settlements by the venue's rule in force, from the hourly premium before each."""
    closes = ts_ms + HOUR_MS
    rulebook = _rulebook(venue)
    interval_h = contract_at(rulebook, int(closes[0])).funding.interval_h
    due = np.flatnonzero((closes // HOUR_MS) % interval_h == 0)
    due = due[due >= interval_h - 1]
    rates = []
    for row in due:
        rule = contract_at(rulebook, int(closes[row])).funding
        rate = rule.rate(average_premium(basis[row - interval_h + 1 : row + 1]))
        # Venues publish eight decimals.
        rates.append(round(float(rate), 8))
    return pl.DataFrame(
        {
            "ts": _moments(closes[due]),
            "funding_rate": rates,
            "interval_h": [float(interval_h)] * len(due),
            "mark_price": mark[due],
        }
    )


def _moments(ts_ms: NDArray[np.int64]) -> pl.Series:
    return pl.Series(ts_ms).cast(TS)


def _bars(market: _Market, flow: Floats | None = None) -> pl.DataFrame:
    columns = {
        "ts": _moments(market.ts_ms),
        "open": market.open,
        "high": market.high,
        "low": market.low,
        "close": market.close,
        "volume": market.volume,
    }
    if flow is not None:
        middle = (market.open + market.close) / 2
        columns |= {
            "quote_volume": market.volume * middle,
            "trades": np.ceil(market.volume * 2.2).astype(np.int64),
            "taker_buy_base": market.volume * flow,
            "taker_buy_quote": market.volume * flow * middle,
        }
    return pl.DataFrame(columns)


def _perp(rng: np.random.Generator, spot: _Market, basis: Floats) -> _Market:
    close = spot.close * (1 + basis)
    open_ = np.concatenate(([spot.open[0] * (1 + basis[0])], close[:-1]))
    stretch = 0.3 * BPS * np.abs(rng.standard_normal((2, len(close))))
    high = np.maximum(np.maximum(open_, close), spot.high * (1 + basis)) * (1 + stretch[0])
    low = np.minimum(np.minimum(open_, close), spot.low * (1 + basis)) * (1 - stretch[1])
    volume = spot.volume * 6.5 * np.exp(0.2 * rng.standard_normal(len(close)))
    return _Market(spot.ts_ms, open_, high, low, close, volume, spot.hourly_vol, spot.log_return)


def _mark(spot: _Market, perp: _Market, basis: Floats) -> pl.DataFrame:
    """Mark bars: index plus the mean basis, within the perpetual's own bar."""
    window = np.minimum(np.arange(1, len(basis) + 1), 4)
    total = np.concatenate(([0.0], np.cumsum(basis)))
    mean = (total[1:] - total[np.arange(1, len(basis) + 1) - window]) / window
    close = spot.close * (1 + mean)
    open_ = np.concatenate(([perp.open[0]], close[:-1]))
    high = np.maximum(np.maximum(open_, close), np.minimum(perp.high, spot.high * (1 + mean)))
    low = np.minimum(np.minimum(open_, close), np.maximum(perp.low, spot.low * (1 + mean)))
    return pl.DataFrame(
        {"ts": _moments(spot.ts_ms), "open": open_, "high": high, "low": low, "close": close}
    )


def _without(bars: pl.DataFrame, rows: NDArray[np.intp]) -> pl.DataFrame:
    keep = np.ones(bars.height, dtype=np.bool_)
    keep[rows] = False
    return bars.filter(pl.Series(keep))


def generate(
    seed: int = 1,
    start: datetime = START,
    days: int = 365,
    *,
    venues: tuple[str, ...] = ("binance",),
    symbol: str = "ETHUSDT",
    first_price: float = 1500.0,
    with_gaps: bool = True,
) -> dict[DatasetKey, pl.DataFrame]:
    """A synthetic market, ready for ``Lake.write(tables, synthetic=True)``.

    Parameters
    ----------
    seed : int
        The same seed gives the same tables, to the last bit.
    start : datetime
        Open of the first bar, with a zone; midnight UTC.
    days : int
        Days of hourly bars; at least 2.
    venues : tuple of str
        Venues with perpetual, mark and funding. Spot is always on ``binance``. Funding follows
        the rule of the venue's contract in force (``dydx`` pays by the hour); a venue without a
        registered contract follows binance's.
    symbol : str
    first_price : float
        First spot open, USD.
    with_gaps : bool
        Leave out bars as real venues do: per 60 days one perpetual bar of each venue and, per 120
        days, spot maintenance of three hours. Funding is complete.

    Returns
    -------
    dict of DatasetKey to DataFrame
        Spot, perpetual and mark bars, funding, on-chain, validators and macro; the daily series
        begin 120 days before ``start``.

    Raises
    ------
    FixConfig
        A start without a zone or not at midnight, or days or price out of range.
    """
    if start.tzinfo is None or to_ms(start) % DAY_MS:
        raise FixConfig("start", start.isoformat(), "midnight UTC with a zone", "mend start")
    if not 2 <= days <= LONGEST_DAYS:
        raise FixConfig("days", days, f"2 to {LONGEST_DAYS}", "choose days in that range")
    if not 0 < first_price < 1e6:
        raise FixConfig("first_price", first_price, "0 to 1,000,000 USD", "mend first_price")
    # Each part has its own stream: a longer or richer market does not reshuffle the others.
    streams = np.random.SeedSequence(seed).spawn(4 + len(venues))
    spot_rng, flow_rng, gap_rng, daily_rng, *venue_rngs = map(np.random.default_rng, streams)
    ts_ms = to_ms(start) + HOUR_MS * np.arange(days * 24, dtype=np.int64)
    spot = _spot(spot_rng, ts_ms, first_price)
    lean = 0.05 * np.tanh(spot.log_return / spot.hourly_vol)
    flow = np.clip(0.5 + lean + 0.02 * flow_rng.standard_normal(len(ts_ms)), 0.05, 0.95)

    spot_bars = _bars(spot, flow)
    if with_gaps:
        maintenance = gap_rng.integers(1, len(ts_ms) - 4, size=days // 120)
        spot_bars = _without(spot_bars, (maintenance[:, None] + np.arange(3)).ravel())
    tables = {DatasetKey("spot_bars", "binance", symbol, "1h"): spot_bars}
    for venue, rng in zip(venues, venue_rngs, strict=True):
        basis = _basis(rng, spot)
        perp = _perp(rng, spot, basis)
        mark = _mark(spot, perp, basis)
        perp_bars = _bars(perp)
        if with_gaps:
            perp_bars = _without(perp_bars, gap_rng.integers(1, len(ts_ms) - 1, size=days // 60))
        settled = _funding(venue, ts_ms, basis, mark["close"].to_numpy())
        every = f"{settled['interval_h'][0]:.0f}h"
        tables[DatasetKey("perp_bars", venue, symbol, "1h")] = perp_bars
        tables[DatasetKey("mark_bars", venue, symbol, "1h")] = mark
        tables[DatasetKey("funding", venue, symbol, every)] = settled
    day_close = spot.close.reshape(days, 24)[:, -1]
    day_vol = np.sqrt((spot.log_return.reshape(days, 24) ** 2).sum(axis=1) * 365)
    return tables | generate_daily(daily_rng, to_ms(start), day_close, day_vol)
