"""``make bench``: every measurement in turn, bench.json and a table at the end.

Each entry is ``{value, unit, peer, ratio}``, where a ratio above 1 is better than the peer. What
is measured and how: docs/benchmarks.md.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

from tests.benchmarks.feed import feed
from tests.benchmarks.guard import guard
from tests.benchmarks.latency import latency
from tests.benchmarks.lstm import lstm
from tests.benchmarks.measure import ROOT, Entry, median, run_process, seconds_of
from tests.benchmarks.simulation import simulation
from tests.benchmarks.study import study
from tests.benchmarks.walkforward import walkforward

BENCH_JSON = ROOT / "bench.json"


def help_seconds() -> dict[str, Entry]:
    """Seconds of ``counterpoise --help`` against an interpreter that does nothing."""

    def process(*code: str) -> Callable[[], object]:
        return lambda: run_process([sys.executable, "-c", *code])

    ours = process("from counterpoise.cli import main; main()", "--help")
    bare = process("pass")
    ours()
    taken, nothing = median(seconds_of(ours, 7)), median(seconds_of(bare, 7))
    return {"help_seconds": Entry(taken, "s", "python -c pass", nothing / taken)}


def features() -> dict[str, Entry]:
    """All features over history, in a process of their own."""
    code = (
        "import json; from tests.benchmarks.features import features as f; print(json.dumps(f()))"
    )
    found = json.loads(run_process([sys.executable, "-c", code]).printed)
    return {name: Entry(**entry) for name, entry in found.items()}


def live_signals() -> dict[str, Entry]:
    """All features and all trees of one tick, in a process of their own."""
    code = (
        "import json; from tests.benchmarks.live_signals import live_signals as f; "
        "print(json.dumps(f()))"
    )
    found = json.loads(run_process([sys.executable, "-c", code]).printed)
    return {name: Entry(**entry) for name, entry in found.items()}


def journal() -> dict[str, Entry]:
    """A commit of the journal, in a process of its own."""
    code = "import json; from tests.benchmarks.journal import journal as f; print(json.dumps(f()))"
    found = json.loads(run_process([sys.executable, "-c", code]).printed)
    return {name: Entry(**entry) for name, entry in found.items()}


def backtest() -> dict[str, Entry]:
    """Quotes a second of the event-driven backtest, in a process of its own."""
    told = run_process([sys.executable, "-m", "tests.benchmarks.backtest"]).printed
    return {name: Entry(**entry) for name, entry in json.loads(told).items()}


def trades() -> dict[str, Entry]:
    """An archive of trades to bars, on one core, in a process with one thread."""
    code = "import json; from tests.benchmarks.trades import trades as f; print(json.dumps(f()))"
    one = {**os.environ, "POLARS_MAX_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=one, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {name: Entry(**entry) for name, entry in json.loads(told.stdout).items()}


GROUPS = {
    "simulation": simulation,
    "guard": guard,
    "feed": feed,
    "backtest": backtest,
    "features": features,
    "live_signals": live_signals,
    "lstm": lstm,
    "trades": trades,
    "journal": journal,
    "latency": latency,
    "study": study,
    "walkforward": walkforward,
    "help": help_seconds,
}


def table(found: dict[str, Entry]) -> str:
    """One line per entry, readable in a terminal."""
    rows = [("name", "value", "unit", "ratio", "peer")]
    rows += [
        (name, f"{entry.value:,.4g}", entry.unit, f"{entry.ratio:,.3g} ×", entry.peer)
        for name, entry in found.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {row[2]:<{widths[2]}}  "
        f"{row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    )


def main() -> None:
    """Measure the groups named (all without a name), write bench.json, print the table.

    A single group prints its lines and leaves the file alone.
    """
    wanted = sys.argv[1:] or list(GROUPS)
    if unknown := sorted(set(wanted) - set(GROUPS)):
        raise SystemExit(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    found: dict[str, Entry] = {}
    for name in wanted:
        print(f"measuring {name} ...", file=sys.stderr)
        found |= GROUPS[name]()
    if len(wanted) == len(GROUPS):
        text = json.dumps({name: asdict(entry) for name, entry in found.items()}, indent=2)
        BENCH_JSON.write_text(text + "\n", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
