"""The whole forecasting programme as a user runs it, from nothing kept: seconds and memory.

On real market data where this machine has it, else on the embedded synthetic market; the entry says
which. Every target, trees each month, five networks each quarter. The limits are those the project
promises on two cores.
"""

import tempfile
from pathlib import Path

from tests.benchmarks.measure import Entry
from tests.benchmarks.study import counterpoise, fresh_lake

LIMIT_S, LIMIT_GB = 900.0, 3.0


def walkforward() -> dict[str, Entry]:
    """Seconds and GB of ``signals report`` on a lake that holds no models."""
    with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
        lake = Path(name) / "lake"
        held = fresh_lake(lake)
        done = counterpoise("signals", "report", "--lake", lake, "--json")
    used = done.peak_bytes / 2**30
    return {
        "walkforward_seconds": Entry(
            done.seconds, "s", f"limit {LIMIT_S:.0f} s, {held}", LIMIT_S / done.seconds
        ),
        "walkforward_gb": Entry(used, "GB", f"limit {LIMIT_GB:.0f} GB, {held}", LIMIT_GB / used),
    }
