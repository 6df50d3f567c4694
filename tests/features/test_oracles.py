"""Every feature against a slow oracle written from its formula, never from its recursion."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from counterpoise.features.catalog import FEATURES
from counterpoise.features.engine import compute
from counterpoise.market.timeline import Timeline
from counterpoise.venues import contract_at
from tests.features.formulas import basis, clock, hourly_sigma, known, mean_of, returns
from tests.features.market import market
from tests.features.window_oracles import (
    BITCOIN,
    FUNDING,
    MEAN_GAPS,
    PREMIUM,
    RANGES,
    VOLUME_RATIOS,
    WEEKENDS,
)

TIMELINE = market(1100, seed=3, gap_share=0.01)
MATRIX = compute(TIMELINE)


def scaled_return(hours: int) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        if t < hours or len(known(returns(timeline)[: t + 1])) < 24:
            return np.nan
        close = timeline.spot.close
        move = np.log(close[t] / close[t - hours])
        return move / (hourly_sigma(timeline, t) * np.sqrt(hours))

    return at


def momentum(timeline: Timeline, t: int) -> float:
    close = timeline.spot.close
    if np.isnan(close[t]) or len(known(returns(timeline)[: t + 1])) < 168:
        return np.nan
    seen = np.log(known(close[: t + 1]))
    return (mean_of(seen, 24) - mean_of(seen, 168)) / (hourly_sigma(timeline, t) * np.sqrt(24))


def window_returns(timeline: Timeline, t: int, hours: int) -> np.ndarray | None:
    """Returns of the last hours, NaN kept in place; None when too few are known."""
    window = returns(timeline)[max(t - hours + 1, 0) : t + 1]
    if np.isnan(timeline.spot.close[t]) or len(known(window)) * 6 < 5 * hours:
        return None
    return window


def log_rv(hours: int) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        window = window_returns(timeline, t, hours)
        if window is None:
            return np.nan
        return float(np.log(np.sqrt(365 * 24 * np.mean(known(window) ** 2))))

    return at


def downside(timeline: Timeline, t: int) -> float:
    window = window_returns(timeline, t, 24)
    if window is None:
        return np.nan
    seen = known(window)
    return float((seen[seen < 0] ** 2).sum() / (seen**2).sum())


def semivolatility(sign: int) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        window = window_returns(timeline, t, 24)
        if window is None:
            return np.nan
        seen = known(window)
        one_way = seen[np.sign(seen) == sign]
        return float(np.sqrt(365 * 24 * (one_way**2).sum() / len(seen)))

    return at


def bipower_variance(window: np.ndarray) -> float:
    return float(np.pi / 2 * known(np.abs(window[1:]) * np.abs(window[:-1])).mean())


def log_bipower(timeline: Timeline, t: int) -> float:
    window = window_returns(timeline, t, 24)
    return np.nan if window is None else np.log(np.sqrt(8760 * bipower_variance(window)))


def jumps(timeline: Timeline, t: int) -> float:
    window = window_returns(timeline, t, 24)
    if window is None:
        return np.nan
    return max(0.0, 1 - bipower_variance(window) / (known(window) ** 2).mean())


def parkinson(timeline: Timeline, t: int) -> float:
    high, low = timeline.spot.high, timeline.spot.low
    ranges = known(np.log(high / low)[max(t - 23, 0) : t + 1])
    if np.isnan(high[t]) or len(ranges) < 20:
        return np.nan
    return float(np.log(np.sqrt(8760 * (ranges**2).mean() / (4 * np.log(2)))))


def basis_change(hours: int) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        return basis(timeline, t) - basis(timeline, t - hours) if t >= hours else np.nan

    return at


def basis_zscore(timeline: Timeline, t: int) -> float:
    gaps = timeline.perp.close[:, 0] / timeline.spot.close - 1
    before = known(gaps[:t])
    if len(before) < 168:
        return np.nan
    mean = mean_of(before, 168)
    return (gaps[t] - mean) / np.sqrt(mean_of((before - mean) ** 2, 168))


def funding_momentum(timeline: Timeline, t: int) -> float:
    seen = known(timeline.funding_settled[: t + 1, 0])
    return mean_of(seen, 3) - mean_of(seen, 21) if len(seen) >= 21 else np.nan


def premium_elapsed(timeline: Timeline, t: int) -> float:
    """Weighted by hand from the close at which the running 8 h interval began."""
    gone = clock(timeline, t).hour % 8
    samples = {
        k: basis(timeline, t - gone + k - 1) for k in range(1, gone + 2) if t >= gone - k + 1
    }
    if np.isnan(samples[gone + 1]):
        return np.nan
    seen = {k: sample for k, sample in samples.items() if np.isfinite(sample)}
    return sum(k * sample for k, sample in seen.items()) / sum(seen)


def predicted_funding(timeline: Timeline, t: int) -> float:
    return float(
        contract_at("binance", int(timeline.ts_ms[t])).funding.rate(premium_elapsed(timeline, t))
    )


def queue_epochs(side: str) -> Callable[[Timeline, int], float]:
    """The consensus specification, step by step, up to Deneb."""

    def at(timeline: Timeline, t: int) -> float:
        limit = max(4, int(timeline.daily["active_validators"][t]) // 65_536)
        if side == "entry" and clock(timeline, t) >= datetime(2024, 3, 13, 13, 55, 35, tzinfo=UTC):
            limit = min(8, limit)
        return float(timeline.daily[f"{side}_queue_eth"][t]) / 32 / limit

    return at


def volume_surprise(timeline: Timeline, t: int) -> float:
    before = known(timeline.spot.volume[:t])
    if len(before) < 168:
        return np.nan
    return float(np.log(timeline.spot.volume[t])) - mean_of(np.log(before), 168)


def change(series: str, *, log: bool) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        seen = known(timeline.daily[series][: t + 1])
        levels = seen[np.concatenate([[True], np.diff(seen) != 0])]
        if len(levels) < 2:
            return np.nan
        newest, older = levels[-1], levels[-2]
        return float(np.log((1 + newest) / (1 + older))) if log else newest - older

    return at


def hour_angle(timeline: Timeline, t: int) -> float:
    return 2 * np.pi * clock(timeline, t).hour / 24


def weekday_angle(timeline: Timeline, t: int) -> float:
    now = clock(timeline, t)
    return 2 * np.pi * (24 * now.weekday() + now.hour) / 168


def day_log_change(name: str) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        values = timeline.hourly[name]
        return float(np.log(values[t]) - np.log(values[t - 24])) if t >= 24 else np.nan

    return at


def taker_share(timeline: Timeline, t: int) -> float:
    first = max(t - 23, 0)
    buys = timeline.hourly["taker_buy_base"][first : t + 1]
    volume = timeline.perp.volume[first : t + 1, 0]
    both = np.isfinite(buys) & np.isfinite(volume)
    if not both[-1] or both.sum() < 20:
        return np.nan
    return float(buys[both].sum() / volume[both].sum())


def depth_imbalance(timeline: Timeline, t: int) -> float:
    bids, asks = timeline.hourly["bid_depth_eth"][t], timeline.hourly["ask_depth_eth"][t]
    return float((bids - asks) / (bids + asks))


def within_a_month(name: str) -> Callable[[Timeline, int], float]:
    return lambda timeline, t: float(np.clip(timeline.events[name][t], None, 24 * 30))


def near(kind: str) -> Callable[[Timeline, int], float]:
    def at(timeline: Timeline, t: int) -> float:
        hours = [timeline.events[f"hours_{side}_{kind}"][t] for side in ("to", "since")]
        return float(any(one <= 24 for one in hours))

    return at


ORACLES: dict[str, Callable[[Timeline, int], float]] = {
    **{f"return_{h}h": scaled_return(h) for h in (1, 4, 24, 2, 3, 6, 8, 12, 16, 36, 48, 72, 168)},
    "momentum_24h_168h": momentum,
    **MEAN_GAPS,
    "volume_surprise": volume_surprise,
    **VOLUME_RATIOS,
    "log_rv_6h": log_rv(6),
    "log_rv_24h": log_rv(24),
    "log_rv_72h": log_rv(72),
    "log_rv_168h": log_rv(168),
    "log_rv_720h": log_rv(720),
    "upside_volatility_24h": semivolatility(1),
    "downside_volatility_24h": semivolatility(-1),
    "downside_share_24h": downside,
    "log_bipower_24h": log_bipower,
    "jump_share_24h": jumps,
    "log_parkinson_24h": parkinson,
    **RANGES,
    "basis": basis,
    "basis_zscore": basis_zscore,
    "basis_change_1h": basis_change(1),
    "basis_change_24h": basis_change(24),
    "funding_last": lambda tl, t: tl.funding_last[t, 0],
    "funding_momentum": funding_momentum,
    "funding_elapsed": lambda tl, t: clock(tl, t).hour % 8 / 8,
    "premium_elapsed": premium_elapsed,
    "predicted_funding": predicted_funding,
    **PREMIUM,
    **FUNDING,
    "gas_over_target": lambda tl, t: (
        tl.daily["gas_used"][t] / (86_400 / 12 * tl.daily["gas_limit_avg"][t]) - 0.5
    ),
    "gas_price_change": change("avg_gas_price_wei", log=True),
    "active_validators_change": change("active_validators", log=True),
    "entry_queue_change": change("entry_queue_eth", log=True),
    "exit_queue_change": change("exit_queue_eth", log=True),
    "entry_queue_epochs": queue_epochs("entry"),
    "exit_queue_epochs": queue_epochs("exit"),
    "vix_change": change("vix_close", log=False),
    "dollar_change": change("broad_usd_index", log=False),
    "us10y_change": change("us10y_pct", log=False),
    "hy_spread_change": change("us_hy_oas_pct", log=False),
    "sp500_change": change("sp500_close", log=True),
    "hour_sin": lambda tl, t: np.sin(hour_angle(tl, t)),
    "hour_cos": lambda tl, t: np.cos(hour_angle(tl, t)),
    "weekday_sin": lambda tl, t: np.sin(weekday_angle(tl, t)),
    "weekday_cos": lambda tl, t: np.cos(weekday_angle(tl, t)),
    **WEEKENDS,
    "open_interest_change_24h": day_log_change("open_interest_eth"),
    "base_fee_change_24h": day_log_change("base_fee_mean_wei"),
    "gas_over_target_1h": lambda tl, t: tl.hourly["gas_used_ratio"][t] - 0.5,
    "taker_buy_share_24h": taker_share,
    "depth_imbalance_1pct": depth_imbalance,
    **{
        name: oracle
        for kind in ("upgrade", "regulatory", "macro")
        for name, oracle in (
            (f"hours_to_{kind}", within_a_month(f"hours_to_{kind}")),
            (f"hours_since_{kind}", within_a_month(f"hours_since_{kind}")),
            (f"near_{kind}", near(kind)),
        )
    },
    **BITCOIN,
}


def test_every_feature_of_the_catalog_has_an_oracle() -> None:
    assert list(ORACLES) == list(FEATURES)


@pytest.mark.parametrize("name", ORACLES)
def test_feature_equals_its_formula_at_every_tick(name: str) -> None:
    expected = np.array([ORACLES[name](TIMELINE, t) for t in range(len(TIMELINE.ts_ms))])
    assert np.isfinite(expected).sum() > 200
    np.testing.assert_allclose(MATRIX[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_feature_speaks_first_after_its_stated_warm_up(name: str) -> None:
    clean = compute(market(800, seed=5), [name])
    assert np.flatnonzero(np.isfinite(clean[name]))[0] == FEATURES[name].warm_up
