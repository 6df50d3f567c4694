"""What the bar clock and the fast numbers cost live: an hour's row, and one quote.

The hour is one of a generated market of five years, after the first one has trained the models and
filled what the next can take over; its lake is brought up to date from a whole one, not fetched.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import Entry, median, run_process

DAYS, HOURS, CALLS = 5 * 365, 12, 20_000
#: What an hour may take, in s, and a quote, in µs.
LIMIT_S, LIMIT_US = 2.0, 5.0


def hours(folder: Path) -> dict[str, object]:
    """Seconds of each part of the hours after the first."""
    from counterpoise.config import load_settings
    from counterpoise.market.lake import Lake
    from counterpoise.market.synthetic import START, generate
    from counterpoise.trading.bringing import FromPast
    from counterpoise.trading.hour_desk import HourDesk
    from counterpoise.units import HOUR_MS, to_ms

    whole = Lake(folder / "whole")
    whole.write(generate(1, days=DAYS, with_gaps=False), synthetic=True)
    overrides = {"lake": folder / "run", "capital": {"leverage_mode": "dynamic"}}
    settings = load_settings(overrides=overrides)
    desk = HourDesk(settings, FromPast(settings, whole))
    first_ms = to_ms(START) + (DAYS * 24 - HOURS - 1) * HOUR_MS
    found = [desk.hour(first_ms + k * HOUR_MS) for k in range(HOURS + 1)]
    if unknown := [hour.signals.why for hour in found if hour.signals.why]:
        raise SystemExit(f"an hour is unknown, this measures nothing: {unknown[0]}")
    return {"seconds": [hour.seconds for hour in found[1:]]}


def quotes(_folder: Path) -> dict[str, object]:
    """Nanoseconds of every fast number on one quote."""
    from counterpoise.features.fast import FastSignals
    from counterpoise.venues import contract_at

    live = FastSignals(contract_at("binance", 1_735_689_600_000).funding)
    rng = np.random.default_rng(0)
    bids = (2_000.0 + np.cumsum(rng.integers(-2, 3, CALLS)) * 0.01).tolist()
    sizes = rng.lognormal(1.0, 1.0, (CALLS, 2)).tolist()
    ts_ns = 1_735_689_600_000_000_000
    live.mark(2_000.0, ts_ns + 8 * 3_600_000_000_000)
    taken = []
    for call in range(CALLS):
        ts_ns += 50_000_000
        bid, (bid_size, ask_size) = bids[call], sizes[call]
        begin = time.perf_counter_ns()
        live.quote(ts_ns, bid, bid_size, bid + 0.01, ask_size)
        taken.append(time.perf_counter_ns() - begin)
    return {"ns": [int(np.percentile(taken[1_000:], share)) for share in (50, 99)]}


def feed() -> dict[str, Entry]:
    """Seconds of an hour's row from a warm worker, and microseconds of a quote."""

    def found(what: str) -> dict[str, list[object]]:
        with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
            command = [sys.executable, "-m", "tests.benchmarks.feed", what, name]
            told: dict[str, list[object]] = json.loads(run_process(command).printed)
            return told

    each, (half, late) = found("hours")["seconds"], found("quotes")["ns"]
    parts = {name: median([one[name] for one in each]) for name in each[0]}
    whole = median([sum(one.values()) for one in each])
    told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return {
        "hour_row_s": Entry(whole, "s", f"limit {LIMIT_S:g} s ({told})", LIMIT_S / whole),
        "fast_quote_us": Entry(
            half / 1e3,
            "µs",
            f"limit {LIMIT_US:g} µs (p99 {late / 1e3:.2f})",
            LIMIT_US * 1e3 / half,
        ),
    }


def main() -> None:
    """``feed WHAT FOLDER``: one measurement in this process, as JSON."""
    parts = {part.__name__: part for part in (hours, quotes)}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
