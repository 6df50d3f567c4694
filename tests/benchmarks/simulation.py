"""Speed and memory of the simulator, against plain Python and against vectorbt on the same bars.

Every measurement runs in a process of its own; ours and the peer's take turns, so that a busy
minute of the machine hits both.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.measure import ROOT, Entry, median, peak_above_start, run_process, seconds_of

Floats = NDArray[np.float64]

PEER_PYTHON = ROOT / ".venv-vectorbt" / "bin" / "python"
VECTORBT = "vectorbt 1.2.0 Portfolio.from_orders"
#: The peer's engines: Numba, which the package brings, then compiled Rust, an extra of it.
ENGINES = ("numba", "rust")
ROUNDS, REPEATS = 3, 5
#: Ticks of the plain-Python simulator: enough for a rate, little enough to wait for.
FEW = 5_000


def speed(folder: Path) -> dict[str, object]:
    """Seconds from finished intents to the daily P&L of every policy."""
    from counterpoise.simulation.simulate import simulate
    from tests.benchmarks.market import intent_of, ours

    given = ours(folder)
    intents = [intent_of(target) for target in given.targets]

    def work() -> list[Floats]:
        return [path.total for path in simulate(given.where, intents, daily=True)]

    work()
    traded = sum(path.traded_eth.sum() for path in simulate(given.where, intents, daily=True))
    return {
        "traded_eth": float(traded),
        "bar_steps": len(given.where.ts_ms) * len(intents),
        "seconds": seconds_of(work, REPEATS),
    }


def memory(folder: Path) -> dict[str, object]:
    """Most memory on the way to the daily P&L of every policy, above bars and targets.

    The intents are made on the way and count.
    """
    from counterpoise.simulation.simulate import simulate
    from tests.benchmarks.market import intent_of, ours

    given = ours(folder)

    def work(policies: int) -> list[Floats]:
        intents = map(intent_of, given.targets[:policies])
        return [path.total for path in simulate(given.where, intents, daily=True)]

    work(2)
    return {"peak_bytes": peak_above_start(lambda: work(len(given.targets)))}


def oracle(folder: Path) -> dict[str, object]:
    """Bar-steps per second of the simulator in plain Python, on one core."""
    from counterpoise.simulation.arrays import IntentArrays
    from tests.benchmarks.market import WARM_UP_H, intent_of, ours
    from tests.simulation.oracle import simulate as slow_simulate

    given = ours(folder)
    where, intent = given.where, intent_of(given.targets[0])
    cut = slice(WARM_UP_H, WARM_UP_H + FEW)
    market = {name: values[:FEW] for name, values in where.market._asdict().items()}
    wanted = {name: getattr(intent, name)[cut] for name in IntentArrays._fields}
    venue = {
        name: list(values)
        for name, values in where.venue._asdict().items()
        if name != "highest_rate" and not name.startswith("tier_")
    }
    tiers = (where.venue.tier_cap[0], where.venue.tier_rate[0], where.venue.tier_amount[0])
    limits = where.limits._asdict()
    limits.pop("mark_max_age_s")  # history has no stale mark
    watch = {name: values[:FEW] for name, values in where.watch._asdict().items()}
    watch.pop("event_class")  # only told
    rules = {
        **{**limits, "grace_ticks": int(where.limits.grace_ticks)},
        **watch,
        **where.guard._asdict(),
        **where.costs._asdict(),
        **where.account._asdict(),
    }
    start = time.perf_counter()
    slow_simulate(**market, **wanted, **venue, tiers=[list(zip(*tiers, strict=True))], **rules)
    return {"bar_steps_per_s": FEW / (time.perf_counter() - start)}


def speed_on_one_core(folder: Path) -> dict[str, object]:
    """As :func:`speed`, with the process bound to one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return speed(folder)


def _ours(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.simulation", what, folder]
    found: dict[str, Any] = json.loads(run_process(command).printed)
    return found


def _peer(what: str, folder: Path, engine: str) -> dict[str, Any]:
    command = [PEER_PYTHON, "-m", "tests.benchmarks.peer_vectorbt", folder, what, engine]
    found: dict[str, Any] = json.loads(run_process([*command, str(REPEATS)]).printed)
    return found


def simulation() -> dict[str, Entry]:
    """Bar-steps per second on all cores and on one, and both ratios to vectorbt."""
    with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
        folder = Path(name)
        prepared = _ours("prepare", folder)
        ours: list[float] = []
        peers: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        bar_steps = 0
        for _ in range(ROUNDS):
            found = _ours("speed", folder)
            _same_orders("ours", found, prepared)
            bar_steps = found["bar_steps"]
            ours += found["seconds"]
            for engine in ENGINES:
                found = _peer("speed", folder, engine)
                _same_orders(f"vectorbt {engine}", found, prepared)
                peers[engine] += found["seconds"]
        single = _ours("speed_on_one_core", folder)["seconds"]
        plain = _ours("oracle", folder)["bar_steps_per_s"]
        our_bytes = median([_ours("memory", folder)["peak_bytes"] for _ in range(ROUNDS)])
        peer_bytes = {
            engine: median([_peer("memory", folder, engine)["peak_bytes"] for _ in range(ROUNDS)])
            for engine in ENGINES
        }
    rate = bar_steps / median(ours)
    alone = bar_steps / median(single)
    rates = {engine: bar_steps / median(seconds) for engine, seconds in peers.items()}
    least = min(peer_bytes, key=lambda engine: peer_bytes[engine])
    python = "tests/simulation/oracle.py, plain Python, one core"
    found_entries = {
        "simulate_bar_steps_per_s": Entry(rate, "bar-steps/s", python, rate / plain),
        "simulate_bar_steps_per_s_one_core": Entry(alone, "bar-steps/s", python, alone / plain),
    }
    for engine in ENGINES:
        name = "simulate_vs_vectorbt" + ("" if engine == ENGINES[0] else f"_{engine}")
        told = f"{VECTORBT}, {engine} engine, {rates[engine] / 1e6:.1f} M bar-steps/s"
        found_entries[name] = Entry(rate / rates[engine], "×", told, rate / rates[engine])
    told = (
        f"{VECTORBT}, {least} engine, {peer_bytes[least] / 1e6:.0f} MB above its inputs "
        f"(ours {our_bytes / 1e6:.0f} MB)"
    )
    leaner = peer_bytes[least] / our_bytes
    found_entries["simulate_vs_vectorbt_memory"] = Entry(leaner, "×", told, leaner)
    return found_entries


def _same_orders(who: str, found: dict[str, Any], prepared: dict[str, Any]) -> None:
    """Refuse to compare two sides that did not trade the same."""
    traded, expected = found["traded_eth"], prepared["traded_eth"]
    if abs(traded - expected) > 1e-6 * expected:
        raise SystemExit(f"{who} traded {traded:,.3f} ETH, expected {expected:,.3f}: not one work")


def main() -> None:
    """``simulation WHAT FOLDER``: one measurement in this process, as JSON."""
    from tests.benchmarks.market import prepare

    parts = {part.__name__: part for part in (prepare, speed, speed_on_one_core, memory, oracle)}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
