"""What one hour costs live: every feature, and every tree of a bundle, for one row.

Rows are those of a random market with every input. Both sides take turns in one process, call for
call on the same row.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import lightgbm
import numpy as np

from counterpoise.features.catalog import FEATURES, SHARED
from counterpoise.features.engine import Live, column, compute
from counterpoise.signals import boosting, trees
from counterpoise.signals.boosting import Recipe
from tests.features.market import market

HOURS, CALLS, COLD = 12_000, 3_000, 200
#: Fourteen boosters: five of 7 leaves, five of 15, four of 11.
RECIPES = (
    *(Recipe("binary", 100, 0.03, 7, 300, 0.5, 10.0, 1) for _ in range(5)),
    *(Recipe("regression", 150, 0.04, 15, 150, 0.5, 5.0, 1) for _ in range(5)),
    *(Recipe("quantile", 125, 0.04, 11, 150, 0.5, 5.0, 1) for _ in range(4)),
)


def _turns(works: list[Callable[[np.ndarray], object]], rows: np.ndarray) -> list[float]:
    """Median microseconds of each, called in turn on every row."""
    taken = np.empty((len(rows), len(works)))
    for n, row in enumerate(rows):
        for k, work in enumerate(works):
            start = time.perf_counter_ns()
            work(row)
            taken[n, k] = time.perf_counter_ns() - start
    return [float(ns) / 1e3 for ns in np.median(taken[COLD:], axis=0)]


def _forest(X: np.ndarray) -> dict[str, str]:
    """Boosters on targets that some features have a part in."""
    rng = np.random.default_rng(0)
    known = np.nan_to_num(X)
    scaled = known / (known.std(axis=0) + 1e-12)
    texts = {}
    for seed, recipe in enumerate(RECIPES):
        y = scaled @ rng.normal(size=X.shape[1]) + 5.0 * rng.normal(size=len(X))
        y = (y > 0) * 1.0 if recipe.objective == "binary" else y
        texts[f"booster-{seed}"] = boosting.train(X, y, recipe, seed=seed)
    return texts


def _every_tree(X: np.ndarray) -> dict[str, object]:
    texts = _forest(X)
    forest = trees.read(texts)
    boosters = [lightgbm.Booster(model_str=text) for text in texts.values()]
    rows = X[np.random.default_rng(1).integers(0, len(X), CALLS)]

    def theirs(row: np.ndarray) -> list[Any]:
        return [booster.predict(row[None, :], num_threads=1)[0] for booster in boosters]

    for row in rows[:100]:
        np.testing.assert_allclose(forest.row(row), theirs(row), rtol=0, atol=1e-12)
    (ours,) = _turns([forest.row], rows)
    all_of_them, one = _turns(
        [theirs, lambda row: boosters[0].predict(row[None, :], num_threads=1)], rows[:800]
    )
    return {
        "value": ours,
        "unit": "µs",
        "peer": (
            f"lightgbm {version('lightgbm')}, the same {len(texts)} boosters "
            f"({forest.trees:,} trees) on the same row; one of them alone takes {one:.1f} µs"
        ),
        "ratio": all_of_them / ours,
    }


def _bare_loop(live: Live) -> Callable[[np.ndarray], None]:
    """A call of Python for every recursion: the same machine code, entered one by one."""
    order: dict[str, Any] = {}

    def visit(part: str) -> None:
        group, _, name = part.partition(".")
        source = {"feature": FEATURES, "shared": SHARED}.get(group)
        if source is not None and part not in order:
            for inner in source[name].inputs:
                visit(inner)
            order[part] = source[name]

    for name in live.names:
        visit(f"feature.{name}")
    place = {name: i for i, name in enumerate([*live.inputs, *order])}
    now = np.full(len(place), np.nan)
    cell = {name: now[i : i + 1] for name, i in place.items()}
    calls = [
        (part.update, part.memory.fresh(), tuple(cell[name] for name in part.inputs), cell[made])
        for made, part in order.items()
    ]

    def tick(row: np.ndarray) -> None:
        now[: len(row)] = row
        for update, state, x, out in calls:
            update(state, x, out)

    return tick


def live_signals() -> dict[str, dict[str, object]]:
    """Median microseconds of all trees and of all features of one tick.

    Returns
    -------
    dict
        ``trees_us_p50`` and ``features_us_p50`` with ``value``, ``unit``, ``peer`` and ``ratio``.
    """
    timeline = market(HOURS)
    live = Live()
    rows = np.column_stack([column(timeline, name) for name in live.inputs])[:CALLS]
    ours, loop = _turns([live.update, _bare_loop(live)], rows)
    return {
        "trees_us_p50": _every_tree(np.ascontiguousarray(compute(timeline).values[1_000:])),
        "features_us_p50": {
            "value": ours,
            "unit": "µs",
            "peer": f"a loop in Python over the same recursions, {len(live.names)} features",
            "ratio": loop / ours,
        },
    }
