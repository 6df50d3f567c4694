"""Joining new rows to stored ones: agreement merges, contradiction is refused.

A null meets a value and takes it; two different values are the user's decision, not ours.
"""

from dataclasses import dataclass

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.row_checks import check_settlements
from counterpoise.market.schemas import SPECS


@dataclass(frozen=True)
class Merged:
    """The joined table and what the new rows did to it."""

    table: pl.DataFrame
    rows_new: int
    rows_merged: int
    rows_unchanged: int


def merge(
    stored: pl.DataFrame | None,
    new: pl.DataFrame,
    key: DatasetKey,
    file: str,
    *,
    replacing: bool,
    beside: str | None = None,
) -> Merged:
    """Join validated rows to stored ones.

    Parameters
    ----------
    stored : DataFrame (N, ...) or None
        What the lake holds of the dataset.
    new : DataFrame (M, ...)
        Same columns.
    key : DatasetKey
    file : str
        Name for messages.
    replacing : bool
        Where both hold different values, take the new one instead of refusing.
    beside : str, optional
        File of the same import that ``stored`` comes from; without it, it comes from the lake.

    Raises
    ------
    RejectData
        Two different values for one place, naming both, or one settlement under two stamps.
    """
    identity = SPECS[key.table].key
    if stored is None:
        return Merged(new.sort(identity), new.height, 0, 0)
    values = [name for name in new.columns if name not in identity]
    both = stored.with_columns(pl.lit(True).alias("_old")).join(
        new.with_columns(pl.lit(True).alias("_new")),
        on=identity,
        how="full",
        coalesce=True,
        suffix=":new",
    )
    both = both.sort(identity)
    # known_at follows from ts by a rule of this version, so a newer rule is no contradiction.
    differs = {name: pl.col(name) != pl.col(f"{name}:new") for name in values if name != "known_at"}
    ruled = pl.col("known_at") != pl.col("known_at:new")
    gains = [pl.col(name).is_null() & pl.col(f"{name}:new").is_not_null() for name in values]
    overlap = pl.col("_old").is_not_null() & pl.col("_new").is_not_null()
    conflict = pl.any_horizontal([test.fill_null(False) for test in differs.values()]) & overlap
    if not replacing:
        _refuse_conflict(both.filter(conflict), list(differs), key, file, beside)
    filled = (pl.any_horizontal(gains) | ruled.fill_null(False)) & overlap
    counts = both.select(
        pl.col("_old").is_null().sum().alias("new"),
        (filled | conflict).sum().alias("merged"),
        overlap.sum().alias("overlap"),
    ).row(0, named=True)
    first, second = (":new", "") if replacing else ("", ":new")
    table = both.with_columns(
        pl.coalesce(f"{name}:new", name).alias(name)
        if name == "known_at"
        else pl.coalesce(f"{name}{first}", f"{name}{second}").alias(name)
        for name in values
    ).select(new.columns)
    if key.table == "funding":
        check_settlements(table, file, f"joined with {beside or 'the stored rows'}, row")
    return Merged(table, counts["new"], counts["merged"], counts["overlap"] - counts["merged"])


def _refuse_conflict(
    rows: pl.DataFrame, values: list[str], key: DatasetKey, file: str, beside: str | None
) -> None:
    if rows.height == 0:
        return
    row = rows.row(0, named=True)
    name = next(
        name
        for name in values
        if row[name] is not None
        and row[f"{name}:new"] is not None
        and row[name] != row[f"{name}:new"]
    )
    more = f"; {rows.height - 1} more rows differ" if rows.height > 1 else ""
    raise RejectData(
        file,
        f"{key}, ts {row['ts'].isoformat()}, column {name}",
        row[f"{name}:new"] if not hasattr(row[name], "isoformat") else str(row[f"{name}:new"]),
        f"{f'the value of {beside}' if beside else 'the stored value'} {row[name]}{more}",
        "keep the file that is right and remove the other"
        if beside
        else "if the new values are right, import again with --replace",
    )
