"""Bars of a longer interval from shorter ones."""

import polars as pl

from counterpoise.errors import FixConfig
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms
from counterpoise.units import MINUTE_MS

_OHLC = {"open": "first", "high": "max", "low": "min", "close": "last"}


def coarser(table: str, bars: pl.DataFrame, interval: str, to: str) -> pl.DataFrame:
    """Bars of ``to`` from bars of ``interval``, only where all of them are there.

    Parameters
    ----------
    table : str
        One of the bars of prices.
    bars : DataFrame (N, ...)
        Stored rows, in order of time.
    interval, to : str
        The second a multiple of the first. Bars below a minute exist only where something was
        traded, so that any number of them makes one.

    Returns
    -------
    DataFrame (M, ...)
        Same columns; flows are sums, and empty where one of them is.

    Raises
    ------
    FixConfig
        A table without bars of prices, or intervals of which one is no multiple of the other.
    """
    if interval == to:
        return bars
    step, wanted = interval_ms(interval), interval_ms(to)
    if not {"open", "high", "low", "close"} <= set(bars.columns) or wanted % step:
        raise FixConfig(
            "interval",
            f"{interval} to {to} of {table}",
            "bars of prices, and an interval that is a multiple of the other",
            "compare datasets of one interval",
        )
    flows = [c.name for c in SPECS[table].columns if c.name not in _OHLC]
    made = bars.group_by_dynamic("ts", every=f"{wanted}ms").agg(
        pl.len().alias("_rows"),
        pl.col("known_at").last(),
        *(getattr(pl.col(name), how)() for name, how in _OHLC.items()),
        *(
            pl.when(pl.col(name).is_null().any())
            .then(None)
            .otherwise(pl.col(name).sum())
            .alias(name)
            for name in flows
        ),
    )
    if step >= MINUTE_MS:
        made = made.filter(pl.col("_rows") == wanted // step)
    return made.select(bars.columns)
