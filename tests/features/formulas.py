"""Parts of the oracles, each written from its formula."""

from datetime import UTC, datetime

import numpy as np

from counterpoise.market.timeline import Timeline


def weights(n: int, span: float) -> np.ndarray:
    """Weights of n values, oldest first: equal to begin with, exponential once n allows."""
    alpha = 2 / (span + 1)
    level = min(n, int(1 / alpha))
    tail = (1 - alpha) ** np.arange(n - level)[::-1]
    return np.concatenate([np.full(level, (1 - alpha) ** (n - level) / level), alpha * tail])


def mean_of(values: np.ndarray, span: float) -> float:
    return float(weights(len(values), span) @ values)


def known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def returns(timeline: Timeline) -> np.ndarray:
    close = timeline.spot.close
    return np.concatenate([[np.nan], np.log(close[1:] / close[:-1])])


def hourly_sigma(timeline: Timeline, t: int) -> float:
    return float(np.sqrt(mean_of(known(returns(timeline)[: t + 1]) ** 2, 168)))


def basis(timeline: Timeline, t: int) -> float:
    spot = timeline.spot.close[t]
    return (timeline.perp.close[t, 0] - spot) / spot


def clock(timeline: Timeline, t: int) -> datetime:
    return datetime.fromtimestamp(int(timeline.ts_ms[t]) / 1000, tz=UTC)
