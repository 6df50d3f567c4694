"""Schemas of the market tables and the validation every row passes before it may be stored.

Validation refuses; it never fills, sorts, clips or drops. Each table says when its rows become
known, and that moment (``known_at``) is stored beside what the row is about (``ts``).
"""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.columns import TS, Defects, read_moments, read_values
from counterpoise.market.releases import RELEASES, released_ms
from counterpoise.market.row_checks import (
    check_bars,
    check_funding,
    check_order,
    check_settlements,
)
from counterpoise.market.schemas import Column, TableSpec
from counterpoise.units import DAY_MS, HOUR_MS, MINUTE_MS, stamp

_UNIT_MS = {"s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}

#: What this machine's clock may be behind the venue's.
CLOCK_SLACK_MS = MINUTE_MS


def interval_ms(interval: str) -> int:
    """Length of an interval written as the venues write it.

    Raises
    ------
    FixConfig
        When it is not a number followed by s, m, h or d.

    Examples
    --------
    >>> interval_ms("5m"), interval_ms("8h")
    (300000, 28800000)
    """
    match = re.fullmatch(r"([1-9]\d*)([smhd])", interval)
    if match is None:
        raise FixConfig("interval", interval, "such as 1m, 1h, 8h or 1d", "spell it like that")
    return int(match[1]) * _UNIT_MS[match[2]]


def empty(spec: TableSpec) -> pl.DataFrame:
    """A table of no rows in its stored form."""
    kinds: dict[str, pl.DataType] = {"ts": TS, "known_at": TS}
    return pl.DataFrame(schema=kinds | {column.name: column.dtype for column in spec.columns})


def refuse_missing_columns(columns: Sequence[str], spec: TableSpec, file: str) -> None:
    """Refuse a table without a column it needs, before any of its rows is read.

    Raises
    ------
    RejectData
        Naming the first missing column, what is there, and a name that differs only in case.
    """
    known = {"ts": ("ts",)} | {
        column.name: (column.name, *column.aliases)
        for column in spec.columns
        if not column.nullable
    }
    missing = [name for name, names in known.items() if not set(names) & set(columns)]
    if not missing:
        return
    plain = {column.strip().lower(): column for column in columns}
    near = [f"{plain[name]!r} to {name}" for name in missing if name in plain]
    raise RejectData(
        file,
        f"column {missing[0]}",
        f"columns {', '.join(columns)}",
        f"columns {', '.join(known)} ({len(missing)} missing: {', '.join(missing)})",
        f"rename {', '.join(near)}" if near else "rename or add the column",
    )


def _known_at(frame: pl.DataFrame, spec: TableSpec, length_ms: int) -> pl.Series:
    if spec.known == "announced":
        return frame["announced_at"]
    if spec.known == "at release":
        stamps = frame["ts"].dt.epoch("ms").to_numpy()
        known = np.empty(frame.height, dtype=np.int64)
        names = frame["series"].to_numpy()
        for series in frame["series"].unique().to_list():
            rows = names == series
            known[rows] = released_ms(series, stamps[rows])
        return pl.Series(known).cast(TS)
    length = {"after the day": DAY_MS, "after interval": length_ms}.get(spec.known, 0)
    return frame["ts"].dt.offset_by(f"{length + spec.delay_ms}ms")


def _moments(values: pl.Series, column: Column, file: str) -> pl.Series:
    """Moments, of which a nullable column may lack some."""
    if not column.nullable or values.null_count() == 0:
        return read_moments(values, file)
    there = values.is_not_null()
    read = pl.Series(column.name, [None] * len(values), dtype=column.dtype)
    if there.any():
        read = read.scatter(there.arg_true(), read_moments(values.filter(there), file))
    return read


def _not_over(table: pl.DataFrame, spec: TableSpec, length_ms: int, now_ms: int) -> pl.Series:
    """Rows about what is not over yet: a running bar or day, a settlement still ahead."""
    if spec.known == "announced":
        over_ms = table["announced_at"].dt.epoch("ms")
    else:
        over_ms = table["ts"].dt.epoch("ms")
        if spec.known in ("after interval", "after the day"):
            over_ms = over_ms + length_ms
    return over_ms > now_ms + CLOCK_SLACK_MS


def validate(
    frame: pl.DataFrame,
    spec: TableSpec,
    file: str,
    *,
    interval: str = "1h",
    now_ms: int | None = None,
) -> pl.DataFrame:
    """Return the table in its stored form, or refuse it.

    Parameters
    ----------
    frame : DataFrame (N, ...)
        As read; text columns (a CSV file) are parsed. Columns outside the schema are left out:
        the layout that read the file reports them.
    spec : TableSpec
    file : str
        Name for messages.
    interval : str
        Bar length; for regular tables the grid ``ts`` must lie on.
    now_ms : int, optional
        The present: rows about what is not over by then are refused. Without it any time passes.

    Returns
    -------
    DataFrame (N, ...)
        Columns ``spec.stored``; ``ts`` and ``known_at`` in UTC milliseconds. A ``known_at`` that
        the source brings is kept where it is not earlier than the table's rule allows.

    Raises
    ------
    RejectData
        Naming the first bad row and column, what was expected, and how many more there are.
    """
    renames = {
        alias: column.name
        for column in spec.columns
        for alias in column.aliases
        if alias in frame.columns and column.name not in frame.columns
    }
    frame = frame.rename(renames)
    refuse_missing_columns(frame.columns, spec, file)
    if frame.height == 0:
        raise RejectData(file, "whole file", "no rows", "at least one row", "check the download")
    length_ms = DAY_MS if spec.known in ("after the day", "at release") else interval_ms(interval)
    defects = Defects(file)
    parsed = {"ts": read_moments(frame["ts"], file)}
    if spec.regular:
        off_grid = parsed["ts"].dt.epoch("ms") % length_ms != 0
        expected = f"a multiple of {interval if length_ms != DAY_MS else 'one day (00:00 UTC)'}"
        defects.add(off_grid, "ts", parsed["ts"], expected, "use the open time of the period")
    for column in spec.columns:
        if column.name not in frame.columns:
            parsed[column.name] = pl.Series(column.name, [None] * frame.height, dtype=column.dtype)
        elif column.kind == "moment":
            parsed[column.name] = _moments(frame[column.name], column, file)
        else:
            parsed[column.name] = read_values(
                frame[column.name], column.dtype, column.kind, column.nullable, defects
            )
    table = pl.DataFrame(parsed)
    if now_ms is not None:
        defects.add(
            _not_over(table, spec, length_ms, now_ms),
            "ts",
            table["ts"],
            f"what was over at {stamp(now_ms)} UTC, the present by this machine's clock",
            "remove rows that are not complete yet, or set the clock right",
        )
    if "high" in parsed:
        check_bars(table, defects)
    if spec.name == "funding":
        check_funding(table, file, defects)
    if spec.name == "macro_daily":
        strange = ~table["series"].is_in(list(RELEASES))
        defects.add(
            strange, "series", table["series"], f"one of {', '.join(RELEASES)}", "remove the series"
        )
    defects.refuse()
    check_order(table, spec.key, spec.series, file)
    if spec.name == "funding":
        check_settlements(table, file)
    rule = _known_at(table, spec, length_ms).alias("known_at")
    if "known_at" in frame.columns:
        given = read_moments(frame["known_at"], file)
        early = given < rule
        defects.add(early, "known_at", given, f"not before the {spec.known} rule", "mend known_at")
        defects.refuse()
        rule = given
    return table.with_columns(rule.alias("known_at")).select(spec.stored)
