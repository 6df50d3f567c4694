"""A run of boosted folds and seeds in a process of its own, for tests that kill it."""

import argparse
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.sealed import digest
from counterpoise.signals import boosting

FOLDS, SEEDS = range(4), range(3)
HELD = ((2, 0), (2, 1))
BEFORE_HELD = 6
RECIPE = boosting.Recipe("regression", 60, 0.1, 15, 50, 0.5, 1.0, 1)

Floats = NDArray[np.float64]


def market(rows: int = 8_000) -> tuple[Floats, Floats]:
    """Features (rows, 27) large enough to be sent once, and outcomes (rows,)."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(rows, 27))
    return X, X[:, 0] * X[:, 1] + rng.normal(size=rows)


def fold(X: Floats, y: Floats, number: int, seed: int) -> Floats:
    """Forecasts of the rows after those learned from."""
    stop = 3_000 + 1_000 * number
    text = boosting.train(X[:stop], y[:stop], RECIPE, seed=seed)
    return boosting.predict(text, X[stop : stop + 1_000])


def seen_fold(X: Floats, y: Floats, number: int, seed: int, marks: str) -> Floats:
    """The same, after leaving a file that says who began it; some wait for a file to go away."""
    (Path(marks) / f"{number}-{seed}_{os.getpid()}_{uuid4().hex}").touch()
    while (number, seed) in HELD and hold(Path(marks)).exists():
        time.sleep(0.01)
    return fold(X, y, number, seed)


def hold(marks: Path) -> Path:
    """While this file exists, two tasks in the middle do not go on: both workers of a run."""
    return marks.with_suffix(".hold")


def deadly(number: int) -> int:
    """The third call of these ends its process, every time."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def tasks(marks: Path) -> Iterator[cluster.Task]:
    """One task per fold and seed; where it leaves its mark is not what it depends on."""
    data = digest(*market())
    for number in FOLDS:
        for seed in SEEDS:
            key = digest(data, number, seed)
            yield cluster.Task(key, seen_fold, (number, seed, str(marks)))


def fingerprint(results: list[Floats]) -> str:
    """Digest of every bit of every result, in order."""
    return hashlib.sha256(b"".join(one.tobytes() for one in results)).hexdigest()


def main() -> None:
    """Run and print the fingerprint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("backend")
    parser.add_argument("folder", type=Path)
    parser.add_argument("marks", type=Path)
    parser.add_argument("--address")
    given = parser.parse_args()
    results = cluster.run(
        tasks(given.marks),
        backend=given.backend,
        folder=given.folder,
        workers=2,
        address=given.address,
        shared=market(),
    )
    print(fingerprint(results))


if __name__ == "__main__":
    main()
