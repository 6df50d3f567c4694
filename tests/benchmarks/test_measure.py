"""The yardstick itself: memory and time of known pieces of work come out as known."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.bench import table
from tests.benchmarks.market import POLICIES, ours, prepare
from tests.benchmarks.measure import Entry, median, peak_above_start, run_process, seconds_of

on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux only"
)


@on_linux
@pytest.mark.parametrize("megabytes", [40, 120])
def test_peak_memory_is_what_the_work_held_at_once_and_nothing_of_before(megabytes: int) -> None:
    before = np.ones(20_000_000)  # 160 MB of inputs that must not count

    def work() -> float:
        passing = np.ones(megabytes * 125_000)
        total = float(passing.sum())
        del passing
        return total

    assert peak_above_start(work) == pytest.approx(megabytes * 1e6, abs=8e6)
    assert before.sum() == 20_000_000


def test_seconds_are_those_of_the_wall_clock() -> None:
    taken = seconds_of(lambda: time.sleep(0.02), 3)
    assert len(taken) == 3
    assert 0.02 <= median(taken) < 0.5


def test_a_process_reports_its_own_memory_and_what_it_printed() -> None:
    done = run_process([sys.executable, "-c", "held = bytearray(10**8); print(len(held))"])
    assert done.printed == "100000000\n"
    assert 1e8 < done.peak_bytes < 4e9
    assert done.seconds > 0


def test_a_process_that_fails_stops_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        run_process([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_table_keeps_values_units_and_peers_together() -> None:
    printed = table({"study_seconds": Entry(50.0, "s", "limit 300 s", 6.0)}).splitlines()
    assert printed[1].split() == ["study_seconds", "50", "s", "6", "×", "limit", "300", "s"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("bench")
    prepare(folder)
    return folder


def test_the_peer_is_given_every_order_of_every_policy_on_the_same_bars(prepared: Path) -> None:
    orders, bars = np.load(prepared / "orders.npy"), np.load(prepared / "bars.npy")
    given = ours(prepared)
    assert orders.shape == (len(given.where.ts_ms), POLICIES)
    assert np.array_equal(bars, given.where.market.perp[:, 0])
    held = -np.nancumsum(orders, axis=0) / given.where.market.exposure_eth[:, None]
    targets = given.targets[:, given.where.first : given.where.last].T
    # Each policy rests within 0.05 of its target, up to a contract step and the cap.
    assert np.abs(held - np.clip(targets, 0.0, 1.0)).max() < 0.05 + 1e-3
    steps = np.abs(orders[np.isfinite(orders)]) / 0.001
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    assert steps.min() > 0.99
