"""One policy in both drivers, over a random market, under settings in which both mean the same."""

from typing import Any, NamedTuple

import numpy as np

from counterpoise.config import Settings
from counterpoise.hedging.intent import Intent
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import arena
from counterpoise.simulation.simulate import simulate_one
from counterpoise.trading.backtest import Backtested, backtest
from counterpoise.trading.divergence import Divergence, diverge, in_place

STEP = 0.001
#: First tick of a run: volatility and volume are known by then.
FIRST = 96
#: Orders that cross at once, fit into the touch, and cost the half spread and the taker's fee;
#: collateral that is there when asked for.
STRICT: dict[str, dict[str, Any]] = {
    "exposure": {"eth": 15.0},
    "costs": {"taker_share": 1.0, "impact_coefficient": 0.0, "half_spread_bps": 1.0},
    "twap": {
        "horizon_min_s": 1,
        "horizon_max_s": 60,
        "patience": 0,
        "slice_s": 1.0,
        "participation": 1.0,
    },
    "capital": {"transfer_usd": 0, "transfer_h": 0},
    "protection": {"transfer_min_usd": 1},
}


class Both(NamedTuple):
    path: SimulatedPath
    driven: Backtested
    whole: Divergence
    settled: Divergence


def strict(**sections: dict[str, Any]) -> Settings:
    """Strict settings, with some changed."""
    names = STRICT.keys() | sections.keys()
    return Settings(**{name: STRICT.get(name, {}) | sections.get(name, {}) for name in names})


def both(
    timeline: Timeline,
    intent: Intent,
    settings: Settings,
    *,
    hours: int = 48,
    first: int = FIRST,
    every_s: int = 3600,
) -> Both:
    """Run an intent through both drivers."""
    where = arena(timeline, settings, first, first + hours + 1)
    path = simulate_one(where, intent)
    driven = backtest(timeline, where, intent, settings, every_s=every_s)
    since = in_place(path, driven.driven, STEP)
    assert since is not None, "the hedge was never in place"
    return Both(
        path,
        driven,
        diverge(path, driven.driven, STEP),
        diverge(path, driven.driven, STEP, since),
    )


def wandering(timeline: Timeline, seed: int, lo: float = 0.3, hi: float = 1.0) -> np.ndarray:
    """A target that wanders between limits."""
    hours = np.arange(len(timeline.ts_ms))
    noise = 0.03 * np.random.default_rng(seed).normal(size=len(hours))
    return np.clip(0.5 * (lo + hi) + 0.5 * (hi - lo) * np.sin(hours / 5.0 + seed) + noise, lo, hi)


def band(target: np.ndarray, half_width: float = 0.05, *, to_target: bool = False) -> Intent:
    return Intent.around(target, half_width, venues=1, cap=1.0, to_target=to_target)
