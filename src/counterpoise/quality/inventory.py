"""What a lake holds, in numbers; and where rows are missing."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from counterpoise.market.asof import Millis
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.schemas import SPECS
from counterpoise.market.settlement import settlement_gaps
from counterpoise.market.tables import interval_ms
from counterpoise.units import MINUTE_MS

#: Bars below a minute exist only where something was traded: shorter silence is no hole.
QUIET_MS = 5 * MINUTE_MS


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset in numbers.

    Attributes
    ----------
    table, venue, symbol, interval : str
    synthetic : bool
    rows : int
    first_ms, last_ms : int
        First and last ``ts``.
    expected_rows : int or None
        Rows a complete dataset of this span has; None for irregular ones (macro, events) and for
        bars below a minute.
    gaps : int
        Number of holes.
    longest_gap_ms : int
        Time between the rows around the longest hole, 0 without holes.
    duplicates : int
        Rows that repeat an identity; the lake refuses them, so anything but 0 is damage.
    bytes : int
        Size on disk.
    """

    table: str
    venue: str
    symbol: str
    interval: str
    synthetic: bool
    rows: int
    first_ms: int
    last_ms: int
    expected_rows: int | None
    gaps: int
    longest_gap_ms: int
    duplicates: int
    bytes: int


@dataclass(frozen=True)
class Hole:
    """Rows missing between two present ones."""

    before_ms: int
    after_ms: int
    missing: int

    def missing_ms(self, most: int) -> list[int]:
        """``ts`` that the missing rows would have; not more than so many."""
        step = (self.after_ms - self.before_ms) / (self.missing + 1)
        return [round(self.before_ms + step * n) for n in range(1, min(self.missing, most) + 1)]


def stamps_of(table: pl.DataFrame) -> Millis:
    """``ts`` of a stored table, int64 milliseconds (N,)."""
    return np.asarray(table["ts"].dt.epoch("ms").to_numpy(), dtype=np.int64)


def holes_of(key: DatasetKey, table: pl.DataFrame) -> list[Hole]:
    """Holes of a dataset whose rows follow a grid; none for the others."""
    stamps = stamps_of(table)
    if key.table == "funding":
        return [
            Hole(int(stamps[row - 1]), int(stamps[row]), missing)
            for row, missing in settlement_gaps(stamps)
        ]
    if not SPECS[key.table].regular or SPECS[key.table].series is not None:
        return []
    step = interval_ms(key.interval)
    tolerated = QUIET_MS if step < MINUTE_MS else step
    return [
        Hole(
            int(stamps[row]), int(stamps[row + 1]), int((stamps[row + 1] - stamps[row]) // step) - 1
        )
        for row in np.flatnonzero(np.diff(stamps) > tolerated)
    ]


def info(lake: Lake) -> list[DatasetInfo]:
    """Describe every dataset of a lake.

    Raises
    ------
    RejectData
        When a live file is missing or damaged.
    """
    described = []
    for key, entry in lake.datasets().items():
        table = lake.read_key(key)
        holes = holes_of(key, table)
        spec = SPECS[key.table]
        complete = table.height + sum(hole.missing for hole in holes)
        grid = spec.regular and spec.series is None and interval_ms(key.interval) >= MINUTE_MS
        described.append(
            DatasetInfo(
                table=key.table,
                venue=key.venue,
                symbol=key.symbol,
                interval=key.interval,
                synthetic=entry.synthetic,
                rows=table.height,
                first_ms=min(file.first_ms for file in entry.files),
                last_ms=max(file.last_ms for file in entry.files),
                expected_rows=complete if key.table == "funding" or grid else None,
                gaps=len(holes),
                longest_gap_ms=max((hole.after_ms - hole.before_ms for hole in holes), default=0),
                duplicates=table.height - table.select(spec.key).n_unique(),
                bytes=sum(file.bytes for file in entry.files),
            )
        )
    return described
