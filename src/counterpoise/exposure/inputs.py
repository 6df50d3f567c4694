"""Files of the holder: deposits and withdrawals, and exchange rates of tokens.

Every row is checked and a file is taken whole or not at all. What the numbers mean for the exposure
is ``path``'s matter.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig, RejectData
from counterpoise.holdings import MOST_ETH_PER_TOKEN
from counterpoise.market.columns import Defects, read_moments, read_values
from counterpoise.market.foreign_files import columns_of, read_columns, refuse_unfit
from counterpoise.market.parquet_guard import ParquetGuard
from counterpoise.market.row_checks import check_order

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flows:
    """Deposits (positive) and withdrawals (negative) in order of time; N of them.

    ``notes`` says what was seen twice and what was left out.
    """

    ts_ms: NDArray[np.int64]
    eth: Floats
    notes: tuple[str, ...] = ()

    def until(self, ts_ms: NDArray[np.int64]) -> Floats:
        """Sum of the flows up to each moment, that moment included; shape as given.

        Examples
        --------
        >>> flows = Flows(np.array([5, 8]), np.array([100.0, -30.0]))
        >>> flows.until(np.array([4, 5, 7, 8])).tolist()
        [0.0, 100.0, 100.0, 70.0]
        """
        total = np.concatenate(([0.0], np.cumsum(self.eth)))
        return np.asarray(total[np.searchsorted(self.ts_ms, ts_ms, side="right")])


NO_FLOWS = Flows(np.empty(0, dtype=np.int64), np.empty(0))


def _read(path: Path, key: str, wanted: tuple[str, ...]) -> pl.DataFrame:
    """Columns of a CSV or Parquet file, with those that are wanted among them."""
    if not path.is_file():
        raise FixConfig(key, str(path), "an existing file", "check the path")
    refuse_unfit(path, path.name)
    try:
        if path.suffix == ".parquet":
            with ParquetGuard() as guard:
                frame = read_columns(path, path.name, columns_of(path, path.name, guard), guard)
        elif path.suffix == ".csv":
            # Text throughout: a column's type must not depend on its first rows.
            frame = pl.read_csv(path, infer_schema=False)
        else:
            raise FixConfig(key, str(path), "a .csv or .parquet file", "convert the file")
    except (pl.exceptions.PolarsError, OSError) as broken:
        said = str(broken).strip() or type(broken).__name__
        raise RejectData(
            path.name,
            "whole file",
            said.splitlines()[0],
            f"a readable {path.suffix[1:]} file with the columns {', '.join(wanted)}",
            "write it again",
        ) from None
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise RejectData(
            path.name,
            f"column {missing[0]}",
            f"columns {', '.join(frame.columns)}",
            f"the columns {', '.join(wanted)}",
            "rename or add the column",
        )
    if frame.height == 0:
        raise RejectData(
            path.name, "whole file", "no rows", "at least one row", f"add rows or remove {key}"
        )
    return frame


def read_flows(path: Path) -> Flows:
    """Read deposits and withdrawals.

    Parameters
    ----------
    path : Path
        CSV or Parquet with ``ts`` (ISO 8601 with a zone, or epoch milliseconds) and ``eth``
        (positive in, negative out), in order of time. Two flows may share a moment.

    Raises
    ------
    FixConfig
        No such file, or of another kind.
    RejectData
        Naming file, row, column and value of the first bad place.
    """
    frame = _read(path, "exposure.flows", ("ts", "eth"))
    moments = read_moments(frame["ts"], path.name)
    defects = Defects(path.name)
    eth = read_values(frame["eth"], pl.Float64(), "number", False, defects)
    defects.add(
        moments.diff().dt.total_milliseconds() < 0,
        "ts",
        moments,
        "a time not before that of the row above",
        "sort the file by time, and check why it was not",
    )
    defects.refuse()
    notes = []
    twice = int(pl.DataFrame([moments, eth]).is_duplicated().sum())
    if twice:
        notes.append(f"{path.name}: {twice} rows equal another in ts and eth, and each is counted")
    extra = [name for name in frame.columns if name not in ("ts", "eth")]
    if extra:
        notes.append(f"{path.name}: columns not used: {', '.join(extra)}")
    return Flows(moments.dt.epoch("ms").to_numpy(), eth.to_numpy(), tuple(notes))


def read_rates(path: Path, key: str) -> pl.DataFrame:
    """Read the exchange rate of a token.

    Parameters
    ----------
    path : Path
        CSV or Parquet with ``ts``, ``eth_per_token`` and, where a rate was public later than the
        moment it is about, ``known_at``; in order of time, each moment once.
    key : str
        The setting that names the file, for messages.

    Returns
    -------
    DataFrame (N, 3)
        ``ts``, ``known_at`` (UTC milliseconds) and ``eth_per_token``.

    Raises
    ------
    FixConfig
        No such file, or of another kind.
    RejectData
        Naming file, row, column and value of the first bad place.
    """
    frame = _read(path, key, ("ts", "eth_per_token"))
    moments = read_moments(frame["ts"], path.name)
    known = moments
    if "known_at" in frame.columns:
        known = read_moments(frame["known_at"], path.name)
    defects = Defects(path.name)
    rate = read_values(frame["eth_per_token"], pl.Float64(), "price", False, defects)
    defects.add(
        rate > MOST_ETH_PER_TOKEN,
        "eth_per_token",
        rate,
        f"ETH per token, at most {MOST_ETH_PER_TOKEN:g}",
        "divide a price in USD by that of ETH, and an amount in wei by 1e18",
    )
    defects.add(known < moments, "known_at", known, "not before ts", "mend known_at")
    defects.refuse()
    table = pl.DataFrame({"ts": moments, "known_at": known, "eth_per_token": rate})
    check_order(table, ["ts"], None, path.name)
    return table
