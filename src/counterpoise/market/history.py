"""What was known of a market by a moment, as a lake of its own: how a rehearsal begins and goes on.

Rows are those of the whole lake, cut by ``known_at``. Nothing is fetched, made up or changed.
"""

from collections.abc import Callable

import polars as pl

from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.units import DAY_MS

#: Longest time between what a row is about and its being known; of any table.
_LATEST_MS = 400 * DAY_MS
#: An event is known before it happens: what a row is about may lie ahead.
_FOREVER_MS = 1 << 53


def history_until(
    whole: Lake,
    into: Lake,
    until_ms: int,
    *,
    after_ms: int | None = None,
    wanted: Callable[[DatasetKey], bool] = lambda key: True,
) -> int:
    """Write into a lake what was known by a moment.

    Parameters
    ----------
    whole : Lake
    into : Lake
        Of the same kind, real or synthetic; new, or made by an earlier call.
    until_ms : int
        Newest ``known_at``, inclusive.
    after_ms : int, optional
        The ``until_ms`` of the call before: only what became known since is looked at.
    wanted : callable, optional
        Which datasets; all of them by default.

    Returns
    -------
    int
        Rows that ``into`` did not have.

    Raises
    ------
    FixConfig, RejectData, RetryLater
        As ``Lake.write``.
    """
    tables = {}
    for key in whole.datasets():
        if wanted(key):
            since = 0 if after_ms is None else after_ms - _LATEST_MS
            rows = whole.read_span(key, since, _FOREVER_MS)
            known = pl.col("known_at").dt.epoch("ms")
            rows = rows.filter(known <= until_ms)
            if after_ms is not None:
                rows = rows.filter(known > after_ms)
            if rows.height:
                tables[key] = rows
    if not tables:
        return 0
    wrote = into.write(tables, synthetic=whole.synthetic)
    return sum(file.rows_new for file in wrote.files)
