"""The Parquet files a dataset is kept in: one a year, or one a month where bars are short.

Files are named by their content and never rewritten, so that readers need no lock. Which of them
count is said by the ``manifest``; what may be stored in them, by the ``lake``.
"""

import io
from dataclasses import replace
from pathlib import Path

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.manifest import DatasetEntry, LiveFile, partition, sha256, write_durably
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms
from counterpoise.units import MINUTE_MS


def by_period(key: DatasetKey, table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows by the file they are kept in: a year, or a month where bars are below a minute."""
    form = "%Y-%m" if interval_ms(key.interval) < MINUTE_MS else "%Y"
    parts = table.with_columns(pl.col("ts").dt.strftime(form).alias("_period")).partition_by(
        "_period", as_dict=True, include_key=False, maintain_order=True
    )
    return {str(period): part for (period,), part in parts.items()}


def read_file(root: Path, key: DatasetKey, file: LiveFile) -> pl.DataFrame:
    """Rows of one live file, in the stored form of today: a column added since is null.

    Raises
    ------
    RejectData
        When it is missing, or is not what was written.
    """
    path = root / file.path
    again = "restore the file, or import its source again into a new lake"
    try:
        content = path.read_bytes()
    except OSError as refused:
        found = "no file" if isinstance(refused, FileNotFoundError) else refused.strerror
        raise RejectData(str(path), "whole file", found, "what was written", again) from None
    if len(content) != file.bytes:
        found, expected = f"{len(content)} bytes", f"{file.bytes} bytes"
        raise RejectData(str(path), "whole file", found, expected, again)
    if sha256(content) != file.sha256:
        raise RejectData(str(path), "whole file", "other bytes", "what was written", again)
    try:
        rows = pl.read_parquet(content, hive_partitioning=False)
    except pl.exceptions.PolarsError as broken:
        raise RejectData(
            str(path), "whole file", str(broken).splitlines()[0], "readable Parquet", again
        ) from None
    added = [
        pl.lit(None, column.dtype).alias(column.name)
        for column in SPECS[key.table].columns
        if column.name not in rows.columns
    ]
    return rows.with_columns(added).select(SPECS[key.table].stored) if added else rows


def store(
    root: Path, key: DatasetKey, table: pl.DataFrame, old: DatasetEntry | None, *, synthetic: bool
) -> DatasetEntry:
    """Write the rows of the periods concerned; a file that would be the same is left alone.

    Parameters
    ----------
    root : Path
        The lake's folder.
    key : DatasetKey
    table : DataFrame (N, ...)
        All rows, in order, of every period that any of them lies in.
    old : DatasetEntry or None
        What is live now; its other periods stay.
    synthetic : bool

    Returns
    -------
    DatasetEntry
        To be committed with the manifest: until then nothing has happened.
    """
    live = {file.period: file for file in old.files} if old else {}
    for period, part in by_period(key, table).items():
        buffer = io.BytesIO()
        part.write_parquet(buffer, compression="zstd", statistics=True)
        data = buffer.getvalue()
        digest = sha256(data)
        path = f"{partition(key, period)}/part-{digest[:16]}.parquet"
        stamps = part["ts"].dt.epoch("ms")
        first, last = int(stamps[0]), int(stamps[-1])
        file = LiveFile(path, period, part.height, first, last, len(data), digest)
        if live.get(period) != file or not (root / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_durably(root / path, data)
        live[period] = file
    files = [live[period] for period in sorted(live)]
    entry = DatasetEntry(key, synthetic, tuple(files))
    return entry if old is None else replace(old, files=entry.files)
