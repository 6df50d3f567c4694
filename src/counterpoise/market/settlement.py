"""When funding is settled, how often, and where a settlement is missing.

Venues stamp settlements with some jitter and change the interval without notice, so both are read
from the stamps themselves. What a rate is worth in cash is the simulation's matter.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.row_checks import SETTLEMENT_JITTER_MS
from counterpoise.market.tables import interval_ms
from counterpoise.units import HOUR_MS


def settlement_interval_h(funding: pl.DataFrame, nominal: str) -> pl.DataFrame:
    """Fill ``interval_h`` of a funding table where its source has none.

    The hours since the previous settlement if that is 1, 2, 4 or 8, else the previous row's
    interval; the first row takes the dataset's nominal one. Only the past is used, so a
    longer table never changes the earlier rows.

    Parameters
    ----------
    funding : DataFrame (N, ...)
        A stored funding table, in time order.
    nominal : str
        Interval of the dataset, such as ``8h``.

    Returns
    -------
    DataFrame (N, ...)
        With ``interval_h`` float64, complete.
    """
    since_ms = pl.col("ts").diff().dt.total_milliseconds()
    hours = (since_ms / HOUR_MS).round()
    jitter = (since_ms - hours * HOUR_MS).abs()
    derived = (
        pl.when(hours.is_in([1.0, 2.0, 4.0, 8.0]) & (jitter <= SETTLEMENT_JITTER_MS))
        .then(hours)
        .otherwise(None)
    )
    return funding.with_columns(
        pl.coalesce("interval_h", derived)
        .forward_fill()
        .fill_null(interval_ms(nominal) / HOUR_MS)
        .alias("interval_h")
    )


def settlement_gaps(stamps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Holes in a funding series: spacing that is equal before and after, and a multiple between.

    Parameters
    ----------
    stamps : int64 (N,)
        Settlement times in milliseconds, ascending.

    Returns
    -------
    list of (int, int)
        Row after each hole, and how many settlements are missing there.

    Examples
    --------
    >>> settlement_gaps(np.array([0, 8, 16, 40, 48]) * 3_600_000)
    [(3, 2)]
    """
    hours = np.round(np.diff(stamps) / HOUR_MS)
    usual = hours[:-2]
    hole = (usual > 0) & (usual == hours[2:]) & (hours[1:-1] >= 2 * usual)
    return [(int(row) + 2, round(hours[row + 1] / usual[row]) - 1) for row in np.flatnonzero(hole)]
