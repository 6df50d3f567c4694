"""An archive of trades to bars of a second, on one core, against polars and against inflate alone.

The file is made here in the archive's format: 2,000,000 trades of one day, seeded. Both sides begin
with the bytes of the zip. The benchmark stops where their bars differ.
"""

import io
import os
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import polars as pl

from counterpoise.sources.trade_bars import read_agg_trades
from counterpoise.units import DAY_MS
from tests.benchmarks.measure import peak_above_start

ROWS, REPEATS = 2_000_000, 7
DAY = 1_717_200_000_000
NAME = "ETHUSDT-aggTrades-2024-06-01.csv"


def archive() -> bytes:
    """Return the zip of one busy day."""
    random = np.random.default_rng(1)
    stamps = np.sort(random.integers(0, DAY_MS, ROWS)) + DAY
    prices = 3800 + np.cumsum(random.normal(0, 0.02, ROWS))
    sizes = np.round(random.exponential(1.2, ROWS) + 0.001, 3)
    counts = random.integers(1, 4, ROWS)
    first = np.cumsum(np.r_[0, counts[:-1]]) + 4_000_000_000
    sold = random.random(ROWS) < 0.5
    head = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    rows = (
        f"{2_000_000_000 + n},{prices[n]:.2f},{sizes[n]:.3f},{first[n]},"
        f"{first[n] + counts[n] - 1},{stamps[n]},{'true' if sold[n] else 'false'}"
        for n in range(ROWS)
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        made.writestr(NAME, "\n".join([head, *rows]) + "\n")
    return buffer.getvalue()


def ours(content: bytes) -> pl.DataFrame:
    """Return the bars that the product makes."""
    return read_agg_trades(content, NAME, DAY, DAY + DAY_MS).table


def inflated(content: bytes) -> bytes:
    """Return the text: what any reader has to do first."""
    return zipfile.ZipFile(io.BytesIO(content)).read(NAME)


def peer(content: bytes) -> pl.DataFrame:
    """Return the same bars by polars; nothing of the rows is checked."""
    table = pl.read_csv(inflated(content))
    taker = ~pl.col("is_buyer_maker")
    return (
        table.with_columns(
            ts=pl.col("transact_time") // 1000 * 1000,
            value=pl.col("price") * pl.col("quantity"),
            trades=pl.col("last_trade_id") - pl.col("first_trade_id") + 1,
        )
        .group_by("ts", maintain_order=True)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("quantity").sum(),
            quote_volume=pl.col("value").sum(),
            trades=pl.col("trades").sum(),
            taker_buy_base=pl.col("quantity").filter(taker).sum(),
            taker_buy_quote=pl.col("value").filter(taker).sum(),
        )
    )


def trades() -> dict[str, dict[str, float | str]]:
    """Rows a second, the share of the bare limit, and memory; in a process of its own.

    Raises
    ------
    SystemExit
        Where the two sides make different bars.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    content = archive()
    mine, theirs = ours(content), peer(content)
    for name in theirs.columns[1:]:
        if not np.allclose(mine[name], theirs[name], rtol=1e-9, atol=0):
            raise SystemExit(f"the bars differ in {name}")
    taken: dict[Callable[[bytes], object], list[float]] = {ours: [], peer: [], inflated: []}
    for _ in range(REPEATS):
        for work, seconds in taken.items():
            start = time.perf_counter()
            work(content)
            seconds.append(time.perf_counter() - start)
    our_s, peer_s, bare_s = (float(np.median(seconds)) for seconds in taken.values())
    memory = {work: peak_above_start(lambda work=work: work(content)) for work in (ours, peer)}
    polars = f"polars {version('polars')}, one thread, without any check"
    return {
        "aggtrades_rows_per_s": _entry(ROWS / our_s, "rows/s", polars, peer_s / our_s),
        "aggtrades_vs_inflate": _entry(our_s, "s", "inflating the same zip", bare_s / our_s),
        "aggtrades_peak_mb": _entry(memory[ours] / 1e6, "MB", polars, memory[peer] / memory[ours]),
    }


def _entry(value: float, unit: str, peer: str, ratio: float) -> dict[str, float | str]:
    return {"value": value, "unit": unit, "peer": peer, "ratio": ratio}
