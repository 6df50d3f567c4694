"""Two sources of the same truth, row by row: what only one has, and where they differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms
from counterpoise.quality.aggregate import coarser
from counterpoise.quality.inventory import stamps_of

Floats = NDArray[np.float64]

#: Rows that a comparison lists of each kind; its counts have all of them.
MOST_ROWS = 20
#: Shifts, in rows, at which the two are compared.
LAGS = tuple(range(-24, 25))
#: Rows needed before a shift or a factor is said.
ENOUGH = 50


@dataclass(frozen=True)
class Difference:
    """One row of which the two say different things.

    Attributes
    ----------
    ts_ms : int
    key : str
        Of the row within its moment, for tables of several series; else empty.
    a, b : float, str or None
    """

    ts_ms: int
    key: str
    a: float | str | None
    b: float | str | None


@dataclass(frozen=True)
class ColumnDifference:
    """How a column differs.

    Attributes
    ----------
    name : str
    rows : int
        Rows that differ by more than the tolerance, or that only one of the two has a value for.
    largest, largest_relative : float
        Absolute and relative; 0 where nothing differs, NaN for text.
    factor : float or None
        Typical ratio of B to A where it is far from 1: another unit or market.
    examples : list of Difference
        The first ones.
    """

    name: str
    rows: int
    largest: float
    largest_relative: float
    factor: float | None
    examples: list[Difference]


@dataclass(frozen=True)
class Comparison:
    """What two datasets have in common and what not.

    Attributes
    ----------
    a, b : str
        As they were named.
    interval : str
        At which they were compared: the longer of the two.
    first_ms, last_ms : int or None
        Span both cover.
    both : int
        Rows both have.
    only_a, only_b : int
        Rows one has within the span both cover.
    only_a_ms, only_b_ms : list of int
        The first of these.
    columns : list of ColumnDifference
        Of the columns both have a value in.
    lag : int or None
        Rows by which B runs late (or early, below 0) where it fits better so; None where it fits
        as it is.
    """

    a: str
    b: str
    interval: str
    first_ms: int | None
    last_ms: int | None
    both: int
    only_a: int
    only_b: int
    only_a_ms: list[int]
    only_b_ms: list[int]
    columns: list[ColumnDifference]
    lag: int | None

    @property
    def same(self) -> bool:
        """Whether there are common rows and nothing differs."""
        differing = any(column.rows for column in self.columns)
        return self.both > 0 and not (self.only_a or self.only_b or differing)


def compare(
    named: tuple[str, str],
    a: tuple[DatasetKey, pl.DataFrame],
    b: tuple[DatasetKey, pl.DataFrame],
    tolerance: float,
) -> Comparison:
    """Compare two datasets over the span that both cover.

    Parameters
    ----------
    named : (str, str)
        How the two are called.
    a, b : (DatasetKey, DataFrame)
        Stored rows of one table, or of two tables of bars. Shorter bars are made into longer ones.
    tolerance : float
        Relative difference below which two numbers are the same.

    Raises
    ------
    FixConfig
        Tables that have nothing in common, or intervals of which one is no multiple of the other.
    """
    (key_a, rows_a), (key_b, rows_b) = a, b
    spec = SPECS[key_a.table]
    if key_a.table != key_b.table and not _bars_alike(key_a, key_b):
        raise FixConfig(
            "B", named[1], f"a dataset of {key_a.table}, as A is, or bars", "name another one"
        )
    longest = max(key_a, key_b, key=lambda key: interval_ms(key.interval)).interval
    rows_a = coarser(key_a.table, rows_a, key_a.interval, longest)
    rows_b = coarser(key_b.table, rows_b, key_b.interval, longest)
    first = max(_edge(rows_a, 0), _edge(rows_b, 0))
    last = min(_edge(rows_a, -1), _edge(rows_b, -1))
    if first > last:
        return Comparison(*named, longest, None, None, 0, 0, 0, [], [], [], None)
    inside = pl.col("ts").dt.epoch("ms").is_between(first, last)
    rows_a, rows_b = rows_a.filter(inside), rows_b.filter(inside)
    only_a = rows_a.join(rows_b, on=spec.key, how="anti", maintain_order="left")
    only_b = rows_b.join(rows_a, on=spec.key, how="anti", maintain_order="left")
    both = rows_a.join(rows_b, on=spec.key, suffix=":b", maintain_order="left")
    values = [
        column.name
        for column in spec.columns
        if column.name not in spec.key and f"{column.name}:b" in both.columns
    ]
    columns = list(_columns(both, spec.series, values, tolerance))
    lag = _lag(rows_a, rows_b, spec.series, values)
    return Comparison(
        *named,
        longest,
        first,
        last,
        both.height,
        only_a.height,
        only_b.height,
        stamps_of(only_a)[:MOST_ROWS].tolist(),
        stamps_of(only_b)[:MOST_ROWS].tolist(),
        columns,
        lag,
    )


def _bars_alike(a: DatasetKey, b: DatasetKey) -> bool:
    priced = {"spot_bars", "perp_bars", "mark_bars"}
    return {a.table, b.table} <= priced


def _edge(rows: pl.DataFrame, end: int) -> int:
    if not rows.height:
        # No row: no span, wherever the other one is.
        return (1 << 62) if end == 0 else -1
    return int(stamps_of(rows)[end])


def _columns(
    both: pl.DataFrame, series: str | None, names: list[str], tolerance: float
) -> Iterator[ColumnDifference]:
    for name in names:
        a, b = both[name], both[f"{name}:b"]
        if a.null_count() == both.height or b.null_count() == both.height:
            continue
        if a.dtype.is_numeric():
            x = a.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            y = b.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            apart = np.abs(x - y)
            size = np.maximum(np.abs(x), np.abs(y))
            differs = (apart > tolerance * size) | (np.isnan(x) != np.isnan(y))
            relative = np.where(size > 0, apart / np.where(size > 0, size, 1.0), 0.0)
            largest, largest_relative = _most(apart[differs]), _most(relative[differs])
            factor = _factor(x, y)
        else:
            differs = a.ne_missing(b).to_numpy()
            largest = largest_relative = float("nan")
            factor = None
        rows = np.flatnonzero(differs)
        stamps = stamps_of(both)
        examples = [
            Difference(
                int(stamps[row]),
                "" if series is None else str(both[series][int(row)]),
                _plain(a[int(row)]),
                _plain(b[int(row)]),
            )
            for row in rows[:MOST_ROWS]
        ]
        yield ColumnDifference(name, len(rows), largest, largest_relative, factor, examples)


def _plain(value: object) -> float | str | None:
    return value if value is None or isinstance(value, (int, float)) else str(value)


def _most(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else 0.0


def _factor(a: Floats, b: Floats) -> float | None:
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    if usable.sum() < ENOUGH:
        return None
    factor = float(np.median(b[usable] / a[usable]))
    return factor if abs(factor - 1.0) > 0.02 else None


def _lag(a: pl.DataFrame, b: pl.DataFrame, series: str | None, names: list[str]) -> int | None:
    """Rows by which B fits A best, if that is better by far than as they are."""
    if series is not None or not names or not a[names[0]].dtype.is_numeric():
        return None
    name = "close" if "close" in names else names[0]
    joined = a.select("ts", name).join(b.select("ts", name), on="ts", how="full", coalesce=True)
    joined = joined.sort("ts")
    x, y = (
        np.diff(joined[column].cast(pl.Float64).fill_null(float("nan")).to_numpy())
        for column in (name, f"{name}_right")
    )
    scores = {lag: _score(x, y, lag) for lag in LAGS if abs(lag) < len(x) - ENOUGH}
    if not scores:
        return None
    best = max(scores, key=lambda lag: scores[lag])
    clear = scores[best] > 0.5 and scores.get(0, 0.0) < 0.5 * scores[best]
    return best if clear else None


def _score(x: Floats, y: Floats, lag: int) -> float:
    """Correlation of ``x`` at t with ``y`` at t + lag."""
    x, y = (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[: len(y) + lag])
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < ENOUGH or x[both].std() == 0 or y[both].std() == 0:
        return 0.0
    return float(np.corrcoef(x[both], y[both])[0, 1])
