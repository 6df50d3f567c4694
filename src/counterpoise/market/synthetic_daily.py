"""The slow series of the generated market: gas, validators and macro, as plausible walks.

They carry no information about the generated price except where it is real: fees and the VIX rise
with volatility. A model that finds more in them than that has found noise.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.columns import TS
from counterpoise.market.layouts import MACRO, ONCHAIN, VALIDATORS, DatasetKey
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]

#: Days of slow series before the first bar, so that features have a past at the start.
LEAD_DAYS = 120


def _walk(
    rng: np.random.Generator, days: int, level: float, daily_sd: float, pull: float = 0.01
) -> Floats:
    """Walk around ``level``, drawn back to it by ``pull`` a day, in units of the level's log."""
    path = np.empty(days)
    gap = 0.0
    for day, shock in enumerate(rng.standard_normal(days)):
        gap = (1 - pull) * gap + daily_sd * shock
        path[day] = gap
    return np.asarray(level * np.exp(path))


def _onchain(rng: np.random.Generator, ts: pl.Series, close: Floats, vol: Floats) -> pl.DataFrame:
    days = len(ts)
    limit = np.round(_walk(rng, days, 30e6, 0.0005))
    blocks = 7_150
    used = limit * blocks * np.clip(0.5 + 0.02 * rng.standard_normal(days), 0.3, 0.7)
    stress = (vol / vol.mean()) ** 0.8
    return pl.DataFrame(
        {
            "ts": ts,
            "gas_used": np.round(used),
            "avg_gas_price_wei": np.round(_walk(rng, days, 25e9, 0.12, 0.05) * stress),
            "gas_limit_avg": limit,
            "tx_count": np.round(_walk(rng, days, 1.1e6, 0.03, 0.05)),
            "ether_price_usd": np.round(close, 2),
        }
    )


def _validators(rng: np.random.Generator, ts: pl.Series) -> pl.DataFrame:
    days = len(ts)
    churn = np.clip(700 + 500 * rng.standard_normal(days), -1500, 2500)
    active = np.round(np.maximum(500_000 + np.cumsum(churn), 100_000))
    # Queues are counted in validators of 32 ETH.
    entry, leaving = (
        32.0 * np.round(_walk(rng, days, level, 0.15, 0.05)) for level in (800.0, 150.0)
    )
    return pl.DataFrame(
        {
            "ts": ts,
            "active_validators": active,
            "staked_eth": active * 32.0,
            "entry_queue_eth": entry,
            "exit_queue_eth": leaving,
            "staking_apr_pct": np.round(3.4 * np.sqrt(700_000 / active), 2),
        }
    )


def _macro(rng: np.random.Generator, ts_ms: NDArray[np.int64], vol: Floats) -> pl.DataFrame:
    days = len(ts_ms)
    stress = (vol / vol.mean()) ** 0.25
    ten, two = _walk(rng, days, 3.6, 0.012), _walk(rng, days, 3.9, 0.014)
    business = {
        "us10y_pct": ten,
        "us2y_pct": two,
        "us30y_pct": ten + 0.3,
        "t10y2y_pct": ten - two,
        "vix_close": _walk(rng, days, 19.0, 0.06, 0.06) * stress,
        "sp500_close": _walk(rng, days, 4500.0, 0.01),
        "us_hy_oas_pct": _walk(rng, days, 4.2, 0.015),
        "broad_usd_index": _walk(rng, days, 119.0, 0.003),
        "wti_usd": _walk(rng, days, 78.0, 0.02),
        "on_rrp_busd": _walk(rng, days, 800.0, 0.03),
    }
    monthly = {
        "fedfunds_monthly_pct": _walk(rng, days, 4.0, 0.005),
        "cpi_monthly": 290.0 * np.exp(0.025 / 365 * np.arange(days)),
        "m2_monthly_busd": _walk(rng, days, 21_000.0, 0.0005),
    }
    weekly = {"fed_balance_sheet_weekly_musd": _walk(rng, days, 8.0e6, 0.001)}
    dates = ts_ms.astype("datetime64[ms]").astype("datetime64[D]")
    weekday = (dates.astype(np.int64) + 3) % 7
    first_of_month = dates == dates.astype("datetime64[M]").astype("datetime64[D]")
    parts = []
    for group, observed in (
        (business, weekday < 5),
        (weekly, weekday == 2),
        (monthly, first_of_month),
    ):
        for series, values in group.items():
            stamps = pl.Series(ts_ms[observed]).cast(TS)
            rounded = np.round(values[observed], 4)
            parts.append(
                pl.DataFrame({"ts": stamps, "value": rounded}).with_columns(
                    pl.lit(series).alias("series")
                )
            )
    return pl.concat([part for part in parts if part.height])


def generate_daily(
    rng: np.random.Generator, start_ms: int, day_close: Floats, day_vol: Floats
) -> dict[DatasetKey, pl.DataFrame]:
    """On-chain, validator and macro tables of a generated market.

    Parameters
    ----------
    rng : Generator
    start_ms : int
        Midnight UTC of the first day of bars.
    day_close : float64 (D,)
        Spot close of each day, USD.
    day_vol : float64 (D,)
        Realised volatility of each day, annualised fraction.

    Returns
    -------
    dict of DatasetKey to DataFrame
        Beginning :data:`LEAD_DAYS` before ``start_ms``.
    """
    close, vol = (
        np.concatenate((np.full(LEAD_DAYS, path[0]), path)) for path in (day_close, day_vol)
    )
    ts_ms = start_ms + DAY_MS * np.arange(-LEAD_DAYS, len(day_close), dtype=np.int64)
    ts = pl.Series(ts_ms).cast(TS)
    return {
        ONCHAIN: _onchain(rng, ts, close, vol),
        VALIDATORS: _validators(rng, ts),
        MACRO: _macro(rng, ts_ms, vol),
    }
