"""vectorbt's ``Portfolio.from_orders`` on the bars and orders of ``market.prepare``.

Runs in the peer's own environment, where counterpoise does not exist. What it models less than the
simulator it is compared with is told in docs/benchmarks.md.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import peak_above_start, seconds_of

#: One fee and one slippage for every order: half maker, half taker, and some spread and impact.
FEE, SLIPPAGE = 3.5e-4, 1e-4


def portfolio(bars: Any, orders: np.ndarray, count: int, engine: str) -> Any:
    """Every policy as a column: given amounts of a perpetual, fees and slippage on.

    As a careful user would call it: orders in the layout the engines read fastest and already in
    whole contract steps, room for ``count`` records and no more, the price as one column.
    """
    import vectorbt

    return vectorbt.Portfolio.from_orders(
        bars,
        size=orders,
        size_type="amount",
        direction="both",
        fees=FEE,
        slippage=SLIPPAGE,
        init_cash=1e9,
        max_orders=count,
        freq="1h",
        engine=engine,
    )


def main() -> None:
    """``peer_vectorbt FOLDER speed|memory ENGINE REPEATS``; prints JSON."""
    import pandas as pd

    folder, what, engine, repeats = sys.argv[1:]
    orders = np.load(Path(folder) / "orders.npy")
    index = pd.date_range("2020-01-01", periods=len(orders), freq="h")
    bars = pd.Series(np.load(Path(folder) / "bars.npy"), index=index)

    count = int(np.isfinite(orders).sum())

    def run(rows: int) -> Any:
        return portfolio(bars.iloc[:rows], orders[:rows], count, engine)

    run(1_000)
    found: dict[str, object]
    if what == "memory":
        found = {"peak_bytes": peak_above_start(lambda: run(len(orders)))}
    else:
        filled = run(len(orders)).order_records
        found = {
            "traded_eth": float(filled["size"].sum()),
            "seconds": seconds_of(lambda: run(len(orders)), int(repeats)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
