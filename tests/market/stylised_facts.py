"""What a market looks like in numbers: the same measures for a real lake and for generated tables.

Measures only: what they gave on real data is kept in ``synthetic_facts``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from counterpoise.market.layouts import MACRO, ONCHAIN, VALIDATORS, DatasetKey
from counterpoise.units import BPS, DAY_MS, HOUR_MS, to_ms

Floats = NDArray[np.float64]
Tables = dict[DatasetKey, pl.DataFrame]

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
MARK = DatasetKey("mark_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
KEYS = (SPOT, PERP, MARK, FUNDING, ONCHAIN, VALIDATORS, MACRO)


@dataclass(frozen=True)
class Span:
    """Days [start, end) a group of facts was measured on."""

    start: datetime
    end: datetime

    @property
    def days(self) -> int:
        """Length in days."""
        return (self.end - self.start).days

    def cut(self, table: pl.DataFrame) -> pl.DataFrame:
        """Rows whose ``ts`` lies in the span."""
        return table.filter((pl.col("ts") >= self.start) & (pl.col("ts") < self.end))

    def __str__(self) -> str:
        return f"{self.start:%Y-%m} to {self.end:%Y-%m}"


def _span(start: str, end: str) -> Span:
    return Span(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end)))


HISTORY = _span("2020-01-01", "2025-07-01")
AFTER_2020 = _span("2021-01-01", "2025-07-01")
FIRST_YEARS = _span("2020-01-01", "2024-01-01")
HALF_YEAR = _span("2025-01-01", "2025-07-01")
FLOW_YEAR = _span("2024-06-01", "2025-07-01")
MERGED = _span("2022-09-16", "2025-07-01")
WITHDRAWALS = _span("2023-05-20", "2025-07-01")


def autocorrelation(values: Floats, lag: int) -> float:
    """Correlation with the value ``lag`` steps before, over pairs that are both known."""
    return correlation(values[:-lag], values[lag:])


def correlation(a: Floats, b: Floats) -> float:
    """Correlation over pairs that are both finite."""
    known = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[known], b[known])[0, 1])


def kurtosis(values: Floats) -> float:
    """Fourth standardised moment, 3 for a normal variable."""
    return float(stats.kurtosis(values[np.isfinite(values)], fisher=False))


def on_clock(table: pl.DataFrame, span: Span, *columns: str) -> list[Floats]:
    """Columns placed on the hours of a span, NaN where a bar is missing."""
    rows = (table["ts"].dt.epoch("ms").to_numpy() - to_ms(span.start)) // HOUR_MS
    placed = []
    for column in columns:
        values = np.full(span.days * 24, np.nan)
        values[rows] = table[column].to_numpy()
        placed.append(values)
    return placed


def log_of_positive(values: Floats) -> Floats:
    """Logarithm; NaN where there is none, as in a bar without a trade."""
    return np.log(np.where(values > 0, values, np.nan))


def returns_of(close: Floats) -> Floats:
    """Log returns between consecutive known closes; NaN at gaps."""
    return np.diff(np.log(close), prepend=np.nan)


def preceding_mean(values: Floats, window: int) -> Floats:
    """Mean of the known values among the ``window`` before each; NaN at the start."""
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    mean = np.full(len(values), np.nan)
    ends = np.arange(window, len(values))
    mean[window:] = (total[ends] - total[ends - window]) / (count[ends] - count[ends - window])
    return mean


def price_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Moments and memory of hourly and daily spot returns."""
    close, high, low, volume = on_clock(tables[SPOT], span, "close", "high", "low", "volume")
    r = returns_of(close)
    size = np.abs(r)
    by_day = r.reshape(-1, 24)
    daily = np.nansum(by_day, axis=1)
    log_rv = np.log(np.sqrt(np.nanmean(by_day**2, axis=1) * 24))
    usual = np.sqrt(np.pi / 2 * preceding_mean(np.r_[np.nan, size[1:] * size[:-1]], 168))
    jump = np.abs(r / usual)
    known = np.isfinite(jump)
    per_year = 8760 / known.sum()
    hour = np.arange(len(r)) % 24
    weekday = (np.arange(len(r)) // 24 + (to_ms(span.start) // DAY_MS + 3)) % 7
    log_range, log_volume = log_of_positive(np.log(high / low)), log_of_positive(volume)
    found = {
        "annualised volatility of hourly returns": np.nanstd(r) * np.sqrt(8760),
        "skewness of hourly returns": float(stats.skew(r[np.isfinite(r)])),
        "kurtosis of hourly returns": kurtosis(r),
        "autocorrelation of hourly returns, 1 h": autocorrelation(r, 1),
        "sd of log daily realised volatility": log_rv.std(),
        "daily return over its realised volatility: sd": (daily / np.exp(log_rv)).std(),
        "correlation of an hour's return with the next |return|": correlation(r[:-1], size[1:]),
        "|returns| beyond 4 usual ones, per year": (jump[known] > 4).sum() * per_year,
        "|returns| beyond 6 usual ones, per year": (jump[known] > 6).sum() * per_year,
        "|returns| beyond 10 usual ones, per year": (jump[known] > 10).sum() * per_year,
        "share of falls among those beyond 6": (r[known] < 0)[jump[known] > 6].mean(),
        "mean |return| 14-16 UTC over 4-6 UTC": np.nanmean(size[(hour >= 14) & (hour < 16)])
        / np.nanmean(size[(hour >= 4) & (hour < 6)]),
        "mean |return| at weekends over weekdays": np.nanmean(size[weekday >= 5])
        / np.nanmean(size[weekday < 5]),
        "Parkinson over close-to-close variance": np.nanmean(np.log(high / low) ** 2)
        / (4 * np.log(2) * np.nanmean(r**2)),
        "sd of log hourly volume": np.nanstd(log_volume),
        "correlation of log volume and log range": correlation(log_volume, log_range),
    }
    found |= {
        f"autocorrelation of |hourly return|, {lag} h": autocorrelation(size, lag)
        for lag in (1, 24, 168, 720)
    }
    found |= {
        f"autocorrelation of log daily realised volatility, {lag} d": autocorrelation(log_rv, lag)
        for lag in (1, 7, 30)
    }
    found |= {
        f"autocorrelation of log volume, {lag} h": autocorrelation(log_volume, lag)
        for lag in (1, 24, 168)
    }
    return found


def calm_facts(tables: Tables, span: Span) -> dict[str, float]:
    """What one crash would decide: measured from 2021 on."""
    (close,) = on_clock(tables[SPOT], span, "close")
    r = returns_of(close)
    return {
        "kurtosis of daily returns": kurtosis(np.nansum(r.reshape(-1, 24), axis=1)),
        "largest |hourly return|": float(np.nanmax(np.abs(r))),
    }


def flow_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Takers' share of spot volume."""
    spot = tables[SPOT].filter(pl.col("taker_buy_base").is_not_null() & (pl.col("volume") > 0))
    share = (spot["taker_buy_base"] / spot["volume"]).to_numpy()
    move = np.log((spot["close"] / spot["open"]).to_numpy())
    return {
        "taker-buy share: sd": float(share.std()),
        "taker-buy share: correlation with the bar's return": correlation(share, move),
        "taker-buy share: correlation with the next return": correlation(share[:-1], move[1:]),
    }


def _runs(negative: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Number of changes of sign, mean length of negative and of other runs."""
    edges = np.flatnonzero(np.diff(negative)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(negative)]]))
    first = np.concatenate([[0], edges])
    below = negative[first]
    return len(edges), float(lengths[below].mean()), float(lengths[~below].mean())


def funding_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Settled 8 h funding, basis of hourly closes, and how they hang together."""
    settled = tables[FUNDING].with_columns(pl.col("ts").dt.round("1h"))
    rate = settled["funding_rate"].to_numpy() / BPS
    row = (settled["ts"].dt.epoch("ms").to_numpy() - to_ms(span.start)) // HOUR_MS
    years = span.days / 365.25
    flips, below, above = _runs(rate < 0)
    (spot,) = on_clock(tables[SPOT], span, "close")
    (perp,) = on_clock(tables[PERP], span, "close")
    basis = (perp / spot - 1) / BPS
    whole = row >= 8
    with_gaps = np.stack([basis[end - 8 : end] for end in row[whole]])
    mean = np.full(len(with_gaps), np.nan)
    seen = np.isfinite(with_gaps).any(axis=1)
    mean[seen] = np.nanmean(with_gaps[seen], axis=1)
    paid = rate[whole]
    daily = rate[: len(rate) // 3 * 3].reshape(-1, 3).sum(axis=1)
    log_spot = np.log(spot)
    midnights = log_spot[23::24][: len(daily)]
    found = {
        "funding: mean, bp per 8 h": rate.mean(),
        "funding: sd, bp": rate.std(),
        "funding: kurtosis": kurtosis(rate),
        "funding: share at exactly 1 bp": np.mean(np.abs(rate - 1.0) < 1e-6),
        "funding: share negative": np.mean(rate < 0),
        "funding: autocorrelation, 8 h": autocorrelation(rate, 1),
        "funding: autocorrelation, 1 d": autocorrelation(rate, 3),
        "funding: autocorrelation, 7 d": autocorrelation(rate, 21),
        "funding: changes of sign per year": flips / years,
        "funding: mean negative run, settlements": below,
        "funding: mean other run, settlements": above,
        "funding: |rate| of 30 bp and more, per year": np.sum(np.abs(rate) >= 30) / years,
        "funding: smallest, bp": rate.min(),
        "funding: largest, bp": rate.max(),
        "basis: mean, bp": np.nanmean(basis),
        "basis: sd, bp": np.nanstd(basis),
        "basis: 1 % quantile, bp": np.nanquantile(basis, 0.01),
        "basis: 99 % quantile, bp": np.nanquantile(basis, 0.99),
        "basis: correlation with the return of the last 24 h": correlation(
            basis[24:], log_spot[24:] - log_spot[:-24]
        ),
        "8 h mean basis: correlation with its own settlement": correlation(mean, paid),
        "8 h mean basis: correlation with the settlement after": correlation(mean[:-1], paid[1:]),
        "change of daily funding: correlation with the daily return": correlation(
            np.diff(daily)[: len(midnights) - 1], np.diff(midnights)
        ),
        "correlation of perpetual and spot hourly returns": correlation(
            returns_of(perp), returns_of(spot)
        ),
    }
    return found | {
        f"basis: autocorrelation, {lag} h": autocorrelation(basis, lag) for lag in (1, 8, 24, 168)
    }


def mark_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Mark bars beside the perpetual's own."""
    both = tables[MARK].join(tables[PERP], on="ts", suffix="_perp")
    high = (both["high"] / both["high_perp"] - 1).to_numpy() / BPS
    ranges = [
        np.log((both[f"high{part}"] / both[f"low{part}"]).to_numpy()).mean()
        for part in ("", "_perp")
    ]
    close = (both["close"] / both["close_perp"] - 1).to_numpy() / BPS
    return {
        "mark high over perpetual high: mean, bp": high.mean(),
        "mean mark range over mean perpetual range": ranges[0] / ranges[1],
        "mark over perpetual close: sd, bp": close.std(),
    }


def gas_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Gas used, its price, and what volatility has to do with it."""
    chain = tables[ONCHAIN]
    used = (chain["gas_used"] / (chain["gas_limit_avg"] * 7200) - 0.5).to_numpy()
    price = np.log(chain["avg_gas_price_wei"].to_numpy() / 1e9)
    (close,) = on_clock(tables[SPOT], span, "close")
    log_rv = np.log(np.sqrt(np.nansum(returns_of(close).reshape(-1, 24) ** 2, axis=1)))
    # A shorter or holed daily table would not line up with the days of the price.
    assert chain.height == span.days
    weekend = chain["ts"].dt.weekday().to_numpy() >= 6
    steps = np.diff(price)
    return {
        "gas used over target: mean": used.mean(),
        "gas used over target: sd": used.std(),
        "gas used over target: autocorrelation, 1 d": autocorrelation(used, 1),
        "gas used over target: autocorrelation, 7 d": autocorrelation(used, 7),
        "log gas price: sd": price.std(),
        "log gas price: sd of daily change": steps.std(),
        "log gas price: autocorrelation, 7 d": autocorrelation(price, 7),
        "log gas price: weekends minus weekdays": price[weekend].mean() - price[~weekend].mean(),
        "changes of log gas price and log volatility: correlation": correlation(
            steps, np.diff(log_rv)
        ),
        "transactions: sd of the logarithm": float(np.log(chain["tx_count"].to_numpy()).std()),
    }


def validator_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Growth of the validator set and its queues since withdrawals."""
    table = tables[VALIDATORS]
    day = table["ts"].dt.epoch("ms").to_numpy() / DAY_MS
    active = table["active_validators"].to_numpy()
    growth = np.diff(active) / np.diff(day)
    entry, leaving = (
        table[name].cast(pl.Float64).to_numpy() for name in ("entry_queue_eth", "exit_queue_eth")
    )
    found = {
        "validators: mean growth per day": growth.mean(),
        "validators: sd of growth per day": growth.std(),
        "validators: largest growth per day": growth.max(),
        "validators: smallest growth per day": growth.min(),
        "validators: autocorrelation of growth, 1 d": autocorrelation(growth, 1),
        "validators: autocorrelation of growth, 7 d": autocorrelation(growth, 7),
        "staking yield: mean, %": float(table["staking_apr_pct"].drop_nulls().mean()),
    }
    for name, queue in (("entry", entry), ("exit", leaving)):
        for share in (0.5, 0.95):
            value = np.log10(1.0 + np.nanquantile(queue, share))
            found[f"{name} queue: log10 of its {share:.0%} quantile, ETH"] = float(value)
    return found


def macro_facts(tables: Tables, span: Span) -> dict[str, float]:
    """Changes of macro series, and how they go with ETH's return of the same UTC day."""
    (close,) = on_clock(tables[SPOT], span, "close")
    daily = np.nansum(returns_of(close).reshape(-1, 24), axis=1)
    found = {}
    for series, name, logarithmic in (
        ("us10y_pct", "10-year yield, points", False),
        ("us2y_pct", "2-year yield, points", False),
        ("vix_close", "log VIX", True),
        ("sp500_close", "log S&P 500", True),
        ("us_hy_oas_pct", "log high-yield spread", True),
        ("broad_usd_index", "log broad dollar", True),
    ):
        rows = tables[MACRO].filter(pl.col("series") == series)
        value = np.log(rows["value"].to_numpy()) if logarithmic else rows["value"].to_numpy()
        day = (rows["ts"].dt.epoch("ms").to_numpy() - to_ms(span.start)) // DAY_MS
        change = np.diff(value)
        found[f"{name}: sd of daily change"] = change.std()
        if series in ("vix_close", "sp500_close", "us_hy_oas_pct", "broad_usd_index"):
            found[f"{name}: correlation of change with ETH's return"] = correlation(
                change, daily[day[1:]]
            )
        if series == "vix_close":
            found[f"{name}: sd"] = value.std()
            found[f"{name}: autocorrelation, 21 observations"] = autocorrelation(value, 21)
    return found
