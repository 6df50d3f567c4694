"""The slow series of the generated market: gas, validators and macro, each day by its own rules.

They are related to the generated price only where it is real and past: fees rise with volatility,
stocks and the VIX move on the days ETH moves, and all of it is known later than the move. They say
nothing about the next return unless direction is planted on the gas used.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.market.columns import TS
from counterpoise.market.layouts import MACRO, ONCHAIN, VALIDATORS, DatasetKey
from counterpoise.market.releases import us_federal_holidays
from counterpoise.market.synthetic_paths import heavy_scale, mean_reverting, wandering
from counterpoise.units import DAY_MS

Floats = NDArray[np.float64]

#: Days of slow series before the first bar, so that features have a past at the start.
LEAD_DAYS = 120

#: Gas used over its limit, minus a half: mean and deviation; half-life in days and share of the
#: variance of its slow part, the rest is new every day. Since the Merge (2022-09).
GAS_MEAN, GAS_DEVIATION = 0.001, 0.0040
GAS_HALF_LIFE, GAS_SLOW = 40.0, 0.60
BLOCKS_PER_DAY, GAS_LIMIT = 7_200, 30e6
#: Log gas price: median in gwei; half-life in days and deviation of its parts; its elasticity to
#: the day's volatility; how much cheaper a weekend is.
GAS_PRICE_GWEI = 25.0
GAS_PRICE_PARTS = ((250.0, 1.25), (6.0, 0.27), (0.3, 0.155))
GAS_PRICE_ON_VOL, WEEKEND_DISCOUNT = 0.25, 0.30
TRANSACTIONS, TRANSACTION_PARTS = 1.15e6, ((60.0, 0.10), (0.5, 0.05))

#: Validators at the first day; those who come and go in a day: median, and half-life in days and
#: deviation of the parts of its logarithm.
ACTIVE_VALIDATORS = 570_000.0
ARRIVALS, ARRIVAL_PARTS = 420.0, ((40.0, 0.8), (1.5, 1.0))
EXITS, EXIT_PARTS = 14.0, ((20.0, 1.0), (0.5, 1.9))
EPOCHS_PER_DAY = 225
ETH_PER_VALIDATOR = 32.0
#: Yearly yield in percent at 700,000 validators, and its elasticity to their number.
APR_PCT, APR_ON_VALIDATORS = 4.0, -0.6


@dataclass(frozen=True)
class _Walk:
    """One macro series on business days.

    ``level`` is its median, ``daily`` the deviation of a day's change (of the logarithm where
    ``logarithmic``), ``half_life`` in business days; ``eth`` and ``risk`` are the shares of its
    shock that are ETH's return of that day and the common mood of markets.
    """

    level: float
    daily: float
    half_life: float
    eth: float = 0.0
    risk: float = 0.0
    logarithmic: bool = True


#: Medians and daily changes of FRED series of 2020-01 to 2025-06.
_BUSINESS = {
    "us10y_pct": _Walk(2.9, 0.0625, 350.0, logarithmic=False),
    "us2y_pct": _Walk(2.7, 0.0646, 350.0, logarithmic=False),
    "vix_close": _Walk(19.5, 0.074, 30.0, eth=-0.32, risk=-0.60),
    "sp500_close": _Walk(4400.0, 0.0130, 500.0, eth=0.34, risk=0.65),
    "us_hy_oas_pct": _Walk(3.8, 0.0246, 120.0, eth=-0.18, risk=-0.50),
    "broad_usd_index": _Walk(119.6, 0.0034, 200.0, eth=-0.15, risk=-0.25),
    "wti_usd": _Walk(73.0, 0.028, 200.0, eth=0.08, risk=0.25),
    "on_rrp_busd": _Walk(900.0, 0.05, 200.0),
}
#: Share of the two-year yield's shock that is the ten-year yield's.
_YIELDS_TOGETHER = 0.76
_TERM_PREMIUM_30Y = 0.35
#: Degrees of freedom of macro shocks, and what volatility of ETH adds to the logarithm of the VIX.
_MACRO_DF, _VIX_ON_VOL = 5.0, 0.06
_WEEKLY = {"fed_balance_sheet_weekly_musd": (7.7e6, 0.0008)}
_MONTHLY = {"fedfunds_monthly_pct": (2.6, 0.006), "m2_monthly_busd": (20_500.0, 0.0006)}
_CPI, _INFLATION = 290.0, 0.04


@dataclass(frozen=True)
class Days:
    """What the slow series may follow of the price, by day from ``LEAD_DAYS`` before the first bar.

    Attributes
    ----------
    ts_ms : int64 (D,)
        Midnights UTC.
    close : float64 (D,)
        Spot close, USD.
    shock : float64 (D,)
        The day's return in units of a usual day's, about unit variance.
    log_vol : float64 (D,)
        Log of realised over median volatility.
    """

    ts_ms: NDArray[np.int64]
    close: Floats
    shock: Floats
    log_vol: Floats


def gas_signal(rng: np.random.Generator, days: int) -> Floats:
    """Share of gas used, standardised; (LEAD_DAYS + days,) and normal, of unit variance."""
    total = LEAD_DAYS + days
    slow = wandering(rng, total, GAS_HALF_LIFE, np.sqrt(GAS_SLOW))
    return np.asarray(slow + np.sqrt(1.0 - GAS_SLOW) * rng.standard_normal(total))


def gas_memory() -> float:
    """Correlation of :func:`gas_signal` with its value of the day after."""
    return float(GAS_SLOW * 0.5 ** (1.0 / GAS_HALF_LIFE))


def _sum_of(rng: np.random.Generator, days: int, parts: tuple[tuple[float, float], ...]) -> Floats:
    total = np.zeros(days)
    for half_life, deviation in parts:
        total += wandering(rng, days, half_life, deviation)
    return total


def _weekday(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Monday is 0; 1970-01-01 was a Thursday."""
    return np.asarray((ts_ms // DAY_MS + 3) % 7)


def _onchain(rng: np.random.Generator, days: Days, signal: Floats) -> pl.DataFrame:
    count = len(days.ts_ms)
    limit = np.round(GAS_LIMIT * np.exp(wandering(rng, count, 30.0, 0.0005)))
    used = limit * BLOCKS_PER_DAY * np.clip(0.5 + GAS_MEAN + GAS_DEVIATION * signal, 0.0, 1.0)
    log_price = _sum_of(rng, count, GAS_PRICE_PARTS) + GAS_PRICE_ON_VOL * days.log_vol
    log_price -= WEEKEND_DISCOUNT * (_weekday(days.ts_ms) >= 5)
    return pl.DataFrame(
        {
            "ts": pl.Series(days.ts_ms).cast(TS),
            "gas_used": np.round(used),
            "avg_gas_price_wei": np.round(GAS_PRICE_GWEI * 1e9 * np.exp(log_price)),
            "gas_limit_avg": limit,
            "tx_count": np.round(TRANSACTIONS * np.exp(_sum_of(rng, count, TRANSACTION_PARTS))),
            "ether_price_usd": np.round(days.close, 2),
        }
    )


#: First days of EIP-7514 (at most 8 activations per epoch) and EIP-7251 (256 ETH per epoch both
#: ways), mainnet activation of Dencun and Pectra.
_EIP_7514_MS = int(np.datetime64("2024-03-13", "ms").astype(np.int64))
_EIP_7251_MS = int(np.datetime64("2025-05-07", "ms").astype(np.int64))


@njit
def _queues(
    active: float,
    arrivals: Floats,
    exits: Floats,
    ts_ms: NDArray[np.int64],
    eip_7514_ms: int,
    eip_7251_ms: int,
) -> tuple[Floats, Floats, Floats]:
    """Active validators and both queues at the start of each day, by the churn rule of the day.

    max(4, active // 65,536) validators per epoch may enter and as many may leave (the consensus
    specification); activations at most 8 from EIP-7514 on, both 8 (256 ETH) from EIP-7251 on.
    Who arrives in a day waits at least for the next.
    """
    days = len(ts_ms)
    held, entering, leaving = np.empty(days), np.empty(days), np.empty(days)
    entry = leave = 0.0
    for day in range(days):
        held[day], entering[day], leaving[day] = active, entry, leave
        out_limit = max(4.0, np.floor(active / 65_536.0))
        in_limit = min(out_limit, 8.0) if ts_ms[day] >= eip_7514_ms else out_limit
        if ts_ms[day] >= eip_7251_ms:
            out_limit = in_limit = 8.0
        activated = min(entry, 225.0 * in_limit)
        exited = min(leave, 225.0 * out_limit)
        active += activated - exited
        entry += arrivals[day] - activated
        leave += exits[day] - exited
    return held, entering, leaving


def _validators(rng: np.random.Generator, days: Days) -> pl.DataFrame:
    count = len(days.ts_ms)
    arrivals = np.round(ARRIVALS * np.exp(_sum_of(rng, count, ARRIVAL_PARTS)))
    exits = np.round(EXITS * np.exp(_sum_of(rng, count, EXIT_PARTS)))
    active, entry, leaving = _queues(
        ACTIVE_VALIDATORS, arrivals, exits, days.ts_ms, _EIP_7514_MS, _EIP_7251_MS
    )
    return pl.DataFrame(
        {
            "ts": pl.Series(days.ts_ms).cast(TS),
            "active_validators": active,
            "staked_eth": active * ETH_PER_VALIDATOR,
            "entry_queue_eth": entry * ETH_PER_VALIDATOR,
            "exit_queue_eth": leaving * ETH_PER_VALIDATOR,
            "staking_apr_pct": np.round(APR_PCT * (active / 700_000.0) ** APR_ON_VALIDATORS, 2),
        }
    )


def _shocks(rng: np.random.Generator, count: int) -> Floats:
    return heavy_scale(rng, count, _MACRO_DF) * rng.standard_normal(count)


def _walked(walk: _Walk, shocks: Floats, open_days: NDArray[np.bool_]) -> Floats:
    """Path over all days that moves on open days only."""
    keep = 0.5 ** (1.0 / walk.half_life)
    gap = np.zeros(len(shocks))
    moved = mean_reverting(shocks[open_days], walk.half_life, walk.daily / np.sqrt(1.0 - keep**2))
    gap[open_days] = moved
    return walk.level * np.exp(gap) if walk.logarithmic else walk.level + gap


def _business(
    rng: np.random.Generator, days: Days, open_days: NDArray[np.bool_]
) -> dict[str, Floats]:
    count = len(days.ts_ms)
    risk, yields = _shocks(rng, count), _shocks(rng, count)
    smooth = mean_reverting(days.log_vol, 7.0, 1.0)
    series: dict[str, Floats] = {}
    for name, walk in _BUSINESS.items():
        shocks = _shocks(rng, count)
        if name.endswith("y_pct"):
            own = np.sqrt(1.0 - _YIELDS_TOGETHER**2)
            shocks = yields if name == "us10y_pct" else _YIELDS_TOGETHER * yields + own * shocks
        else:
            own = np.sqrt(1.0 - walk.eth**2 - walk.risk**2)
            shocks = walk.eth * days.shock + walk.risk * risk + own * shocks
        series[name] = _walked(walk, shocks, open_days)
    ten, two = series["us10y_pct"], series["us2y_pct"]
    return series | {
        "us30y_pct": ten + _TERM_PREMIUM_30Y,
        "t10y2y_pct": ten - two,
        "vix_close": series["vix_close"] * np.exp(_VIX_ON_VOL * smooth),
    }


def _macro(rng: np.random.Generator, days: Days) -> pl.DataFrame:
    count = len(days.ts_ms)
    dates = days.ts_ms.astype("datetime64[ms]").astype("datetime64[D]")
    years = range(dates[0].astype(object).year, dates[-1].astype(object).year + 1)
    holidays = np.array(
        [day.isoformat() for year in years for day in us_federal_holidays(year)],
        dtype="datetime64[D]",
    )
    open_days = np.is_busday(dates, holidays=holidays)
    business = _business(rng, days, open_days)
    slow = {
        name: level * np.exp(wandering(rng, count, 300.0, daily * np.sqrt(300.0)))
        for name, (level, daily) in (_WEEKLY | _MONTHLY).items()
    }
    slow["cpi_monthly"] = _CPI * np.exp(_INFLATION / 365 * np.arange(count))
    first_of_month = dates == dates.astype("datetime64[M]").astype("datetime64[D]")
    parts = []
    for series, values in (business | slow).items():
        observed = open_days
        if series not in business:
            observed = _weekday(days.ts_ms) == 2 if series in _WEEKLY else first_of_month
        parts.append(
            pl.DataFrame(
                {
                    "ts": pl.Series(days.ts_ms[observed]).cast(TS),
                    "value": np.round(values[observed], 4),
                    "series": [series] * int(observed.sum()),
                }
            )
        )
    return pl.concat([part for part in parts if part.height])


def generate_daily(
    onchain: np.random.Generator,
    validators: np.random.Generator,
    macro: np.random.Generator,
    start_ms: int,
    log_return: Floats,
    day_close: Floats,
    signal: Floats,
) -> dict[DatasetKey, pl.DataFrame]:
    """On-chain, validator and macro tables of a generated market.

    Parameters
    ----------
    onchain, validators, macro : Generator
    start_ms : int
        Midnight UTC of the first day of bars.
    log_return : float64 (D, 24)
        Hourly log returns of spot.
    day_close : float64 (D,)
        Spot close of each day, USD.
    signal : float64 (LEAD_DAYS + D,)
        From :func:`gas_signal`.

    Returns
    -------
    dict of DatasetKey to DataFrame
        Beginning :data:`LEAD_DAYS` before ``start_ms``.
    """
    realised = np.sqrt((log_return**2).sum(axis=1))
    past = macro.standard_normal(LEAD_DAYS)
    days = Days(
        ts_ms=start_ms + DAY_MS * np.arange(-LEAD_DAYS, len(day_close), dtype=np.int64),
        close=np.concatenate((np.full(LEAD_DAYS, day_close[0]), day_close)),
        shock=np.concatenate((past, log_return.sum(axis=1) / realised.mean())),
        log_vol=np.concatenate((np.zeros(LEAD_DAYS), np.log(realised / np.median(realised)))),
    )
    return {
        ONCHAIN: _onchain(onchain, days, signal),
        VALIDATORS: _validators(validators, days),
        MACRO: _macro(macro, days),
    }
