"""What it costs to remember before acting: a decision, its plan and its order in one commit.

The peer is the bare limit: one short row by the same SQLite, with the same promise to be on the
disk. Both take turns, some commits each, on files of their own in one folder.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from counterpoise.decision.moment import CHAIN, initial_state
from counterpoise.execution.records import Decision, OrderSent, Plan, Record
from counterpoise.journal.store import Journal
from counterpoise.journal.tables import Run
from counterpoise.risk.guard_rules import initial_memory

ROUNDS, TURN = 20, 100
RUN = Run(0, "bench", "paper", "binance", "ETHUSDT", "0" * 64, "0.1.0", "0" * 64)


def _records(number: int) -> list[Record]:
    """What a decision leads to, with numbers of full length."""
    draw = random.Random(number).random
    ts = 1_700_000_000_000_000_000 + number * 10**9
    state, memory = initial_state(1), initial_memory()
    return [
        Decision(
            ts_ns=ts,
            decision_id=number,
            cause="quote",
            tick=473_000,
            exposure_eth=500.0,
            short_eth=400 * draw(),
            target_eth=400 * draw(),
            collateral_usd=1e6 * draw(),
            lo=0.75,
            hi=0.85,
            reasons=5,
            because="the forecast of volatility rose: more of it is hedged",
            chain={name: draw() for name in CHAIN},
            state=tuple(float(one) for one in state),
            memory=tuple(float(one) for one in memory),
            inputs={name: draw() for name in ("bid", "ask", "mark", "equity", "age_ms")},
        ),
        Plan(
            ts, number, number, "sell", 12.5, 1800 * draw(), ts, ts + 900 * 10**9, "working",
            {"slices": 12, "done": 0, "seed": number},
        ),
        OrderSent(
            ts, f"cp-{number:08d}-0-0", number, number, "post_only", "sell", 1.0, 1800.1, 0.0,
            False, 1800.2,
        ),
    ]  # fmt: skip


def _bare(folder: Path) -> tuple[sqlite3.Connection, Callable[[], None]]:
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, what TEXT)")

    def commit() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows (what) VALUES (?)", ("x" * 100,))
        connection.execute("COMMIT")

    return connection, commit


def _micros(taken: list[int], quantile: float) -> float:
    return float(np.quantile(taken, quantile)) / 1e3


def journal() -> dict[str, dict[str, object]]:
    """Microseconds of a commit, at the median and at the 99th percentile.

    Returns
    -------
    dict
        ``journal_us_p50`` and ``journal_us_p99`` with ``value``, ``unit``, ``peer`` and ``ratio``.
    """
    ours: list[int] = []
    theirs: list[int] = []
    with tempfile.TemporaryDirectory(prefix="counterpoise-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        bare, commit = _bare(folder)
        with closing(bare), Journal.open(folder / "journal.sqlite", run=RUN) as store:
            for turn in range(ROUNDS):
                batches = [_records(turn * TURN + k + 1) for k in range(TURN)]
                for records in batches:
                    start = time.perf_counter_ns()
                    store.commit(records)
                    ours.append(time.perf_counter_ns() - start)
                for _ in range(TURN):
                    start = time.perf_counter_ns()
                    commit()
                    theirs.append(time.perf_counter_ns() - start)
    return {
        f"journal_us_p{round(100 * q)}": {
            "value": _micros(ours, q),
            "unit": "µs",
            "peer": f"sqlite3, one row of 100 letters, synchronous = FULL: "
            f"{_micros(theirs, q):.0f} µs",
            "ratio": _micros(theirs, q) / _micros(ours, q),
        }
        for q in (0.5, 0.99)
    }
