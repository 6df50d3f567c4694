"""Histories as they were at a tick: cut there, begun later, or with another future.

Only the arrays change. Whoever is honest about time cannot tell these from the whole before the
tick.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.units import from_ms

Floats = NDArray[np.float64]

#: Share of the values of an invented future that are unknown, so that gaps are tried too.
GAP_SHARE = 0.1


def _mapped[T](held: T, ticks: int, change: Callable[[Floats], Floats]) -> T:
    """Frozen dataclass with every array over ``ticks`` changed, those in dicts included."""

    def visit(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape[:1] == (ticks,):
            return change(value)
        if isinstance(value, dict):
            return {name: visit(inner) for name, inner in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: visit(getattr(value, f.name)) for f in fields(value)})
        return value

    whole: T = visit(held)
    return whole


def until(timeline: Timeline, ticks: int) -> Timeline:
    """The first ``ticks`` ticks; what is said of the whole history (notes) is left out."""
    last_ms = int(timeline.ts_ms[ticks - 1])
    shorter = _mapped(timeline, len(timeline.ts_ms), lambda values: values[:ticks])
    suspects = tuple(one for one in timeline.suspects if one.ts_ms <= last_ms)
    return replace(shorter, suspects=suspects, notes=())


def since(timeline: Timeline, first: int) -> Timeline:
    """History begun at row ``first``."""
    return _mapped(timeline, len(timeline.ts_ms), lambda values: values[first:])


def other_values(values: Floats, rng: np.random.Generator) -> Floats:
    """Values of the same size that are not these: shuffled in time, scaled, some unknown.

    Parameters
    ----------
    values : float64 (N,) or (N, F)
    rng : Generator
    """
    shuffled = rng.permutation(values, axis=0)
    scaled = shuffled * np.exp(rng.normal(0.3, 0.3, size=values.shape))
    return np.where(rng.random(values.shape) < GAP_SHARE, np.nan, scaled)


def another_future(timeline: Timeline, ticks: int, seed: int) -> Timeline:
    """The same first ``ticks`` ticks and an invented rest; the clock stays."""
    rng = np.random.default_rng(seed)

    def change(values: Floats) -> Floats:
        return np.concatenate([values[:ticks], other_values(values[ticks:], rng)])

    changed = _mapped(timeline, len(timeline.ts_ms), change)
    return replace(changed, ts_ms=timeline.ts_ms)


def lake_until(lake: Lake, folder: Path, last_ms: int) -> Lake:
    """A lake of the rows that were known at a moment (``known_at``), in a folder of its own.

    Parameters
    ----------
    lake : Lake
    folder : Path
        Empty; the caller takes it away.
    last_ms : int
    """
    tables = {}
    for key in lake.datasets():
        rows = lake.read_key(key).filter(pl.col("known_at") <= from_ms(last_ms))
        if len(rows):
            tables[key] = rows
    shorter = Lake(folder)
    shorter.write(tables, synthetic=lake.synthetic)
    return shorter
