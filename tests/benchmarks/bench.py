"""Speed as ratios against a named peer in the same run; writes bench.json.

Run by ``make bench``. Each entry is ``{value, unit, peer, ratio}``, where a ratio above 1 is better
than the peer.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from counterpoise.config import Settings
from counterpoise.decision.step import Limits
from counterpoise.hedging import Intent
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.simulation.simulate import arena, simulate
from tests.simulation.oracle import simulate as slow_simulate

HOURS, WARM_UP_H, PATHS = 48_000, 200, 16


def fastest(work: Callable[[], object], repeats: int = 5) -> float:
    """Least wall-clock seconds of several runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def random_market() -> Timeline:
    """Five years of hourly bars without gaps."""
    rng = np.random.default_rng(0)
    spot = 1_800 * np.exp(np.cumsum(rng.normal(0, 0.008, HOURS)))
    perp = (spot * (1 + rng.normal(0, 3e-4, HOURS)))[:, None]
    none = np.full((HOURS, 1), np.nan)
    settled = np.where(np.arange(HOURS) % 8 == 0, 1e-4, np.nan)[:, None]
    return Timeline(
        ts_ms=1_577_836_800_000 + 3_600_000 * np.arange(HOURS, dtype=np.int64),
        venues=("binance",),
        spot=Bars(spot, spot * 1.002, spot * 0.998, spot, np.full(HOURS, 1e4)),
        perp=Bars(perp, perp * 1.002, perp * 0.998, perp, np.full((HOURS, 1), 5e4)),
        mark_high=perp * 1.002,
        funding_settled=settled,
        funding_mark=none,
        funding_last=np.full((HOURS, 1), 1e-4),
        funding_interval_h=np.full((HOURS, 1), 8.0),
        daily={},
        suspects=(),
        notes=(),
        synthetic=True,
    )


def simulation() -> dict[str, object]:
    """Bar-steps per second by day, all cores, against the plain-Python simulator on one."""
    timeline, settings = random_market(), Settings()
    where = arena(timeline, settings, WARM_UP_H, HOURS)
    rng = np.random.default_rng(1)
    targets = 0.8 + 0.1 * np.clip(rng.normal(size=(PATHS, HOURS)).cumsum(axis=1) / 50, -2, 2)
    intents = [Intent.around(target, 0.05, venues=1, cap=1.0) for target in targets]
    seconds = fastest(lambda: list(simulate(where, intents, daily=True)))
    steps_per_s = PATHS * len(where.ts_ms) / seconds

    few = 5_000
    cut = slice(WARM_UP_H, WARM_UP_H + few)
    limits: Limits = where.limits
    start = time.perf_counter()
    slow_simulate(
        **{
            name: getattr(where.market, name)[:few]
            for name in (
                *("spot", "perp", "mark_high", "funding_settled", "funding_mark"),
                *("sigma_day", "volume_day_eth", "exposure_eth", "bucket"),
            )
        },
        **{
            name: getattr(intents[0], name)[cut]
            for name in ("lo", "hi", "to_lo", "to_hi", "urgency", "weights")
        },
        **{
            name: list(getattr(where.venue, name))
            for name in (
                *("maker_fee", "taker_fee", "step_eth", "min_notional_usd", "liquidation_fee"),
            )
        },
        tiers=[
            list(
                zip(
                    where.venue.tier_cap[0],
                    where.venue.tier_rate[0],
                    where.venue.tier_amount[0],
                    strict=True,
                )
            )
        ],
        **{**limits._asdict(), "grace_ticks": int(limits.grace_ticks)},
        **where.costs._asdict(),
    )
    slow_per_s = few / (time.perf_counter() - start)
    return {
        "value": steps_per_s,
        "unit": "bar-steps/s",
        "peer": "tests/simulation/oracle.py, plain Python, one core",
        "ratio": steps_per_s / slow_per_s,
    }


def help_seconds() -> dict[str, object]:
    """Time of ``counterpoise --help`` against an interpreter that does nothing."""

    def process(code: str, *arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [sys.executable, "-c", code, *arguments], check=False, capture_output=True
        )

    ours = fastest(process("from counterpoise.cli import main; main()", "--help"))
    bare = fastest(process("pass"))
    return {
        "value": ours,
        "unit": "s",
        "peer": "python -c pass",
        "ratio": bare / ours,
    }


def main() -> None:
    """Measure everything, print it and write bench.json."""
    found = {"simulate_bar_steps_per_s": simulation(), "help_seconds": help_seconds()}
    Path("bench.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, entry in found.items():
        print(
            f"{name}: {entry['value']:,.3g} {entry['unit']} "
            f"({entry['ratio']:,.3g} × {entry['peer']})"
        )


if __name__ == "__main__":
    main()
