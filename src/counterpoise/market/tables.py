"""Schemas of the market tables and the validation every row passes before it may be stored.

Validation refuses; it never fills, sorts, clips or drops. Each table says when its rows become
known, and that moment (``known_at``) is stored beside what the row is about (``ts``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
from counterpoise.units import DAY_MS, HOUR_MS, stamp

Kind = Literal["price", "amount", "number", "text", "moment"]
Known = Literal["after interval", "at settlement", "after the day", "at release", "announced"]

_UNIT_MS = {"s": 1000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}

#: What this machine's clock may be behind the venue's.
CLOCK_SLACK_MS = 60_000


@dataclass(frozen=True)
class Column:
    """One column: name, stored type, rule of its values, whether it may be empty or absent."""

    name: str
    kind: Kind
    nullable: bool = False
    integer: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def dtype(self) -> pl.DataType:
        """Stored polars type."""
        if self.kind == "text":
            return pl.String()
        if self.kind == "moment":
            return TS
        return pl.Int64() if self.integer else pl.Float64()


@dataclass(frozen=True)
class TableSpec:
    """Contract of one table.

    Attributes
    ----------
    name : str
    columns : tuple of Column
        All but ``ts`` and ``known_at``.
    known : str
        When a row becomes known.
    delay_ms : int
        Added to the day's end for ``after the day``.
    series : str or None
        Column that, with ``ts``, identifies a row; None where ``ts`` alone does.
    regular : bool
        True when rows sit on a grid of their interval.
    """

    name: str
    columns: tuple[Column, ...]
    known: Known
    delay_ms: int = 0
    series: str | None = None
    regular: bool = True

    @property
    def key(self) -> list[str]:
        """Columns that identify a row, in sort order."""
        return ["ts"] if self.series is None else ["ts", self.series]

    @property
    def stored(self) -> list[str]:
        """Stored columns in their order."""
        return ["ts", "known_at", *(column.name for column in self.columns)]


_OHLC = tuple(Column(name, "price") for name in ("open", "high", "low", "close"))
_FLOW = (
    Column("volume", "amount"),
    Column("quote_volume", "amount", nullable=True),
    Column("trades", "amount", nullable=True, integer=True),
    Column("taker_buy_base", "amount", nullable=True),
    Column("taker_buy_quote", "amount", nullable=True),
)

#: Every table of the lake, by name.
SPECS: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        TableSpec("spot_bars", _OHLC + _FLOW, "after interval"),
        TableSpec("perp_bars", _OHLC + _FLOW, "after interval"),
        TableSpec("mark_bars", _OHLC, "after interval"),
        TableSpec(
            "funding",
            (
                Column("funding_rate", "number"),
                Column("interval_h", "price", nullable=True),
                Column("mark_price", "price", nullable=True),
                Column("premium", "number", nullable=True),
            ),
            "at settlement",
            regular=False,
        ),
        TableSpec(
            "onchain_daily",
            (
                Column("gas_used", "amount"),
                Column("avg_gas_price_wei", "amount"),
                Column("gas_limit_avg", "amount"),
                Column("tx_count", "amount"),
                Column("ether_price_usd", "amount", nullable=True),
            ),
            "after the day",
            delay_ms=HOUR_MS,
        ),
        TableSpec(
            "validators_daily",
            (
                Column("active_validators", "amount"),
                Column("staked_eth", "amount", aliases=("staked_eth_approx",)),
                Column("entry_queue_eth", "amount", nullable=True),
                Column("exit_queue_eth", "amount", nullable=True),
                Column("staking_apr_pct", "amount", nullable=True, aliases=("apr_pct",)),
            ),
            "after the day",
        ),
        TableSpec(
            "macro_daily",
            (Column("series", "text"), Column("value", "number")),
            "at release",
            series="series",
        ),
        TableSpec(
            "events",
            (
                Column("name", "text"),
                Column("class", "text"),
                Column("announced_at", "moment"),
                Column("source", "text"),
            ),
            "announced",
            series="name",
            regular=False,
        ),
    )
}


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
    if spec.known == "at settlement":
        return frame["ts"]
    if spec.known == "at release":
        stamps = frame["ts"].dt.epoch("ms").to_numpy()
        known = np.empty(frame.height, dtype=np.int64)
        names = frame["series"].to_numpy()
        for series in frame["series"].unique().to_list():
            rows = names == series
            known[rows] = released_ms(series, stamps[rows])
        return pl.Series(known).cast(TS)
    length = DAY_MS if spec.known == "after the day" else length_ms
    return frame["ts"].dt.offset_by(f"{length + spec.delay_ms}ms")


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
            parsed[column.name] = read_moments(frame[column.name], file)
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
