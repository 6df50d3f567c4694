"""A small random market in which every feature can speak: around the Deneb upgrade of 2024."""

import dataclasses

import numpy as np

from counterpoise.market.timeline import Timeline
from counterpoise.units import DAY_MS
from tests.random_timeline import random_timeline

START_MS = 1_709_251_200_000  # 2024-03-01 00:00 UTC, a Friday, 13 days before Deneb


def market(hours: int, *, seed: int = 0, gap_share: float = 0.0) -> Timeline:
    """Bars, funding every 8 h, and every daily series the catalog asks for."""
    timeline = random_timeline(hours, seed=seed, gap_share=gap_share, start_ms=START_MS)
    rng = np.random.default_rng(seed + 1)
    days, day_of_row = np.unique(timeline.ts_ms // DAY_MS, return_inverse=True)

    def daily(level: float, step: float) -> np.ndarray:
        return (level * np.exp(np.cumsum(step * rng.normal(size=len(days)))))[day_of_row]

    more = {
        "active_validators": np.round(daily(980_000, 0.001)),
        "staked_eth": daily(31_400_000, 0.001),
        "exit_queue_eth": np.round(daily(4e3, 0.5)),
        "us_hy_oas_pct": daily(3.2, 0.02),
        "sp500_close": daily(5_100, 0.01),
    }

    def hourly(level: float, step: float) -> np.ndarray:
        return level * np.exp(np.cumsum(step * rng.normal(size=hours)))

    volume = timeline.perp.volume[:, 0]
    btc = random_timeline(hours, seed=seed + 2, gap_share=gap_share, start_ms=START_MS).spot
    return dataclasses.replace(
        timeline,
        daily=timeline.daily | more,
        hourly={
            "open_interest_eth": hourly(1.6e6, 0.01),
            "base_fee_mean_wei": hourly(2e10, 0.2),
            "gas_used_ratio": rng.uniform(0.3, 0.7, hours),
            "taker_buy_base": rng.uniform(0.3, 0.7, hours) * volume,
            "bid_depth_eth": hourly(4e3, 0.1),
            "ask_depth_eth": hourly(4e3, 0.1),
            "btc_close": btc.close,
            "btc_high": btc.high,
            "btc_low": btc.low,
        },
        events={
            f"hours_{side}_{kind}": np.abs(np.arange(hours) * way + first) % 900.0
            for side, way in (("to", -1.0), ("since", 1.0))
            for kind, first in (("upgrade", 10.0), ("regulatory", 850.0), ("macro", 300.0))
        },
    )
