"""As-of joins of slow series onto the clock, and the sentences that say where values are missing.

A value speaks from the moment it was public until it is too old; before and after, the tick has
NaN. The bars themselves are placed by ``assemble``.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, ONCHAIN, VALIDATORS
from counterpoise.market.releases import RELEASES
from counterpoise.market.schemas import SPECS
from counterpoise.market.timeline import Floats
from counterpoise.units import DAY_MS, stamp

Millis = NDArray[np.int64]

#: Age of a daily on-chain value beyond which it says nothing about today.
DAILY_STALE_MS = 7 * DAY_MS


@dataclass
class Notes:
    """Sentences for the report, in the order they were found."""

    lines: list[str]

    def missing(self, what: str, ts_ms: Millis, absent: NDArray[np.bool_]) -> None:
        """Say how many ticks have no value, and where; quiet when none."""
        spans = spans_of(absent)
        if not spans:
            return
        parts = [
            stamp(int(ts_ms[first]))
            if first == last
            else f"{stamp(int(ts_ms[first]))} to {stamp(int(ts_ms[last]))}"
            for first, last in spans[:10]
        ]
        more = f" and {len(spans) - 10} more spans" if len(spans) > 10 else ""
        self.lines.append(
            f"{what}: {int(absent.sum())} of {len(absent)} hours missing, left empty "
            f"({', '.join(parts)}{more})"
        )


def spans_of(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of every run of True.

    Examples
    --------
    >>> spans_of(np.array([True, False, True, True]))
    [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def as_of(rows: pl.DataFrame, value: str, ts_ms: Millis, stale_ms: int) -> Floats:
    """Newest observation known at each tick, unless it is too old to speak; shape (T,)."""
    rows = rows.filter(pl.col(value).is_not_null()).sort("known_at", "ts")
    if rows.height == 0:
        return np.full(len(ts_ms), np.nan)
    about = rows["ts"].dt.epoch("ms").to_numpy()
    known = rows["known_at"].dt.epoch("ms").to_numpy()
    # A late release of an old observation must not hide a newer one.
    newest = np.maximum.accumulate(about)
    holder = np.maximum.accumulate(np.where(about == newest, np.arange(len(about)), 0))
    found = np.searchsorted(known, ts_ms, side="right") - 1
    row = holder[np.maximum(found, 0)]
    fresh = (found >= 0) & (ts_ms - known[row] <= stale_ms)
    return np.where(fresh, rows[value].to_numpy()[row], np.nan)


def daily_series(lake: Lake, ts_ms: Millis, notes: Notes) -> dict[str, Floats]:
    """Every daily series the product knows; an absent one is NaN throughout, and noted."""
    held = lake.datasets()
    daily: dict[str, Floats] = {}
    absent: list[str] = []
    for key in (ONCHAIN, VALIDATORS):
        names = [column.name for column in SPECS[key.table].columns]
        if key not in held:
            absent += names
            daily |= {name: np.full(len(ts_ms), np.nan) for name in names}
            continue
        table = lake.read_key(key)
        daily |= {name: as_of(table, name, ts_ms, DAILY_STALE_MS) for name in names}
    macro = lake.read_key(MACRO) if MACRO in held else None
    for series, release in RELEASES.items():
        if macro is None or not (rows := macro.filter(pl.col("series") == series)).height:
            absent.append(series)
            daily[series] = np.full(len(ts_ms), np.nan)
        else:
            daily[series] = as_of(rows, "value", ts_ms, release.stale_days * DAY_MS)
    if absent:
        notes.lines.append(f"daily series absent from the lake: {', '.join(absent)}")
    for name, values in daily.items():
        if name not in absent:
            notes.missing(f"daily {name} (none yet, or too old)", ts_ms, np.isnan(values))
    return daily
