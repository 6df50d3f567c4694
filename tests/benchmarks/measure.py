"""How time and memory are taken, one way for us and for every peer.

It needs nothing but the standard library, because peers run in environments of their own. What is
measured, and on which inputs, is the caller's business.
"""

import gc
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Entry:
    """One line of bench.json; ``ratio`` above 1 is better than the peer."""

    value: float
    unit: str
    peer: str
    ratio: float


@dataclass(frozen=True)
class Finished:
    """A process that ended well: wall-clock seconds, most resident memory, what it printed."""

    seconds: float
    peak_bytes: int
    printed: str


def seconds_of(work: Callable[[], object], repeats: int) -> list[float]:
    """Wall-clock seconds of several runs of ``work``; warm it up before."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def _resident(line: str) -> int:
    """Bytes of one line of this process's status (``VmRSS`` now, ``VmHWM`` at most)."""
    for row in _STATUS.read_text(encoding="ascii").splitlines():
        name, _, rest = row.partition(":")
        if name == line:
            return int(rest.split()[0]) * 1024
    raise SystemExit(f"{_STATUS} has no {line}: memory is measured on Linux only")


def peak_above_start(work: Callable[[], object]) -> int:
    """Most resident memory while ``work`` runs and its result lives, above what was held before.

    The kernel's high-water mark is reset first, so what imports and inputs needed does not count.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident("VmRSS")
    result = work()
    peak = _resident("VmHWM")
    del result
    return peak - before


def run_process(command: Sequence[str | Path]) -> Finished:
    """Run a command to its end in the repository's root.

    The caller must be small: a child's high-water mark begins with the memory of its parent.

    Raises
    ------
    SystemExit
        It failed; what it said is repeated.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return Finished(time.perf_counter() - start, used.ru_maxrss * 1024, printed)


def median(values: Sequence[float]) -> float:
    """Middle value: one disturbed run does not move it."""
    return statistics.median(values)
