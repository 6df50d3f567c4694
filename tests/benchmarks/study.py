"""The whole study as a user runs it: seconds and memory, first and again with one rule changed.

On real market data where this machine has it, else on the embedded synthetic market; the entry
says which. The limits are those the project promises on two cores.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Entry, Finished, run_process
from tests.conftest import REAL_DATA

LIMIT_S, LIMIT_GB, LIMIT_AGAIN_S = 300.0, 2.0, 30.0
#: What the second run changes is the width of this rule's band.
RULE = """\
hold = 0.8
[rebalance]
every = "daily"
band = {width}
to = "edge"
"""


def counterpoise(*arguments: str | Path) -> Finished:
    """Run the command in a process of its own."""
    code = "from counterpoise.cli import main; main()"
    return run_process([sys.executable, "-c", code, *arguments])


def fresh_lake(lake: Path) -> str:
    """Fill a lake without models or earlier results; return what it holds, in words."""
    if (REAL_DATA / "MANIFEST.md").exists():
        counterpoise("data", "import", REAL_DATA, "--lake", lake)
        return "real data"
    code = (
        "import sys; from counterpoise.market.lake import Lake; "
        "from counterpoise.market.synthetic import generate; "
        "Lake(sys.argv[1]).write(generate(20), synthetic=True)"
    )
    run_process([sys.executable, "-c", code, str(lake)])
    return "synthetic market"


def study() -> dict[str, Entry]:
    """Seconds and GB of a first run, and seconds of a second one with one rule changed."""
    with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
        folder = Path(name)
        lake, rule, out = folder / "lake", folder / "my_rule.toml", folder / "out"
        held = fresh_lake(lake)

        def run(width: float) -> tuple[Finished, dict[str, object]]:
            rule.write_text(RULE.format(width=width), encoding="utf-8")
            done = counterpoise(
                "study", "--lake", lake, "--out", out, "--rule", rule, "--profile", "--json"
            )
            return done, json.loads(done.printed)

        first, found = run(0.05)
        again, _ = run(0.06)
    what = f"{held}, {found['days']} days"
    first_gb = first.peak_bytes / 1e9

    def entry(value: float, unit: str, limit: float) -> Entry:
        return Entry(value, unit, f"limit {limit:g} {unit} ({what})", limit / value)

    return {
        "study_seconds": entry(first.seconds, "s", LIMIT_S),
        "study_peak_gb": entry(first_gb, "GB", LIMIT_GB),
        "study_second_run_seconds": entry(again.seconds, "s", LIMIT_AGAIN_S),
    }
