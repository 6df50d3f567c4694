"""What the guard costs: bar-steps a second with every rule on, and one decision from Python.

Each measurement runs in a process of its own.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import Entry, median, run_process, seconds_of

REPEATS, CALLS = 5, 20_000
#: What one decision may take, in µs.
LIMIT_US = 3.0


def speed(folder: Path) -> dict[str, object]:
    """Seconds of the same policies without a guard and with every rule on, taking turns."""
    from counterpoise.risk.guard_rules import NO_GUARD
    from counterpoise.simulation.simulate import simulate
    from tests.benchmarks.market import intent_of, ours, prepare

    prepare(folder)
    given = ours(folder)
    ticks = len(given.where.ts_ms)
    rng = np.random.default_rng(2)
    rules = NO_GUARD._replace(
        active=True,
        drawdown_limit=0.2,
        lock_step=0.1,
        stop_distance=(0.15, 0.3, 0.3, 0.25),
        funding_limit=0.01,
        funding_keep=0.5,
    )
    limits = given.where.limits._replace(venue_usd=1e8, total_usd=1e8, order_usd=1e8, collar=0.1)
    near = np.arange(ticks) % 720 < 48
    watch = given.where.watch
    watch = watch._replace(
        event_floor=np.where(near, 0.7, 0.0),
        leverage_max=watch.leverage_max * rng.uniform(1.0, 1.2, ticks),
        cost=rng.normal(0.0, 0.004, watch.cost.shape),
    )
    guarded = replace(given.where, guard=rules, limits=limits, watch=watch)
    intents = [intent_of(target) for target in given.targets]

    def work(where: Any) -> list[Any]:
        return [path.reasons for path in simulate(where, intents, daily=True)]

    bound = np.concatenate(work(guarded))
    work(given.where)
    bare: list[float] = []
    full: list[float] = []
    for _ in range(REPEATS):
        bare += seconds_of(lambda: work(given.where), 1)
        full += seconds_of(lambda: work(guarded), 1)
    return {
        "bar_steps": ticks * len(intents),
        "bare": bare,
        "guarded": full,
        # A guard that nothing ever binds would be measured asleep.
        "days_bound": float(np.mean((bound & (0b111111 << 11)) != 0)),
    }


def decisions(_folder: Path) -> dict[str, object]:
    """Nanoseconds of writing a moment and deciding, every rule on, one venue."""
    from counterpoise.decision import moment as rows
    from counterpoise.decision.decide import Desk
    from counterpoise.decision.moment import Limits
    from counterpoise.risk.guard_rules import NO_GUARD

    rules = NO_GUARD._replace(
        active=True,
        drawdown_limit=0.2,
        lock_step=0.1,
        stop_distance=(0.15, 0.3, 0.3, 0.25),
        funding_limit=0.01,
        funding_keep=0.5,
    )
    limits = Limits(1.0, 0.8, 6.0, 1e8, 1e8, 1e8, 1e8, 0.1, 1.5, keep_alive=0.05)
    desk = Desk(1, limits, rules)
    book = desk.book
    book[rows.SHARE], book[rows.STEP], book[rows.MINIMUM] = 1.0, 0.001, 20.0
    book[rows.COST] = -0.002
    desk.intent[:4] = 0.75, 0.85, 0.75, 0.85
    price, rng = 2_000.0, np.random.default_rng(0)
    taken = []
    for call in range(CALLS):
        price *= float(np.exp(rng.normal(0.0, 0.002)))
        begin = time.perf_counter_ns()
        book[rows.PRICE, 0] = price
        desk.moment[:] = (
            *(call / 60, 0.0, 1_000.0, price, price, 1_000.0 * price, 1.0, 0.0, 0.0),
            *(0.0, np.nan, 0.0, 2.0, 3.0, 1e9, 1.0),
        )
        desk.decide()
        taken.append(time.perf_counter_ns() - begin)
        book[rows.SHORT, 0] = book[rows.TARGET, 0]
        book[rows.EQUITY, 0] = book[rows.COLLATERAL, 0]
    return {"ns": [int(np.percentile(taken[1_000:], share)) for share in (50, 99)]}


def guard() -> dict[str, Entry]:
    """Bar-steps per second under the full guard, and microseconds of one decision."""

    def found(what: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
            command = [sys.executable, "-m", "tests.benchmarks.guard", what, name]
            told: dict[str, Any] = json.loads(run_process(command).printed)
            return told

    sped, decided = found("speed"), found("decisions")
    if sped["days_bound"] < 0.05:
        raise SystemExit("the guard bound on hardly any day: this measures nothing")
    rate = sped["bar_steps"] / median(sped["guarded"])
    ratio = median(sped["bare"]) / median(sped["guarded"])
    told = f"the same policies without a guard; it binds on {sped['days_bound']:.0%} of the days"
    half, late = (ns / 1e3 for ns in decided["ns"])
    return {
        "simulate_guarded_bar_steps_per_s": Entry(rate, "bar-steps/s", told, ratio),
        "step_us_p50": Entry(
            half, "µs", f"limit {LIMIT_US:g} µs (p99 {late:.2f})", LIMIT_US / half
        ),
    }


def main() -> None:
    """``guard WHAT FOLDER``: one measurement in this process, as JSON."""
    parts = {part.__name__: part for part in (speed, decisions)}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
