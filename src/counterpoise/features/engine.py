"""Runs features over history and per tick with the same compiled recursions.

``compute`` scans a timeline, features side by side on all cores; ``Live`` takes one row at a time
and remembers. Both call the very same machine code, so their results agree to the last bit.
Nothing here fills or drops a row.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES, Feature, Shared, feeding
from counterpoise.features.program import Program
from counterpoise.features.rules import RULE_COLUMNS, rule_column
from counterpoise.market.timeline import Timeline
from counterpoise.units import HOUR_MS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMatrix:
    """Features over history.

    Attributes
    ----------
    names : tuple of str
        F names of the catalog.
    values : float64 (T, F)
        Row t uses only what was known at tick t; NaN where a feature is unknown. Each feature lies
        in one piece (Fortran order).
    """

    names: tuple[str, ...]
    values: Floats

    def __getitem__(self, name: str) -> Floats:
        """One feature over history; shape (T,)."""
        return self.values[:, self.names.index(name)]


@njit
def _seen(settled: Floats, last: Floats, out: Floats) -> None:
    waiting = np.nan
    for t in range(out.shape[0]):
        out[t] = np.nan
        if last[t] == waiting:
            out[t] = waiting
            waiting = np.nan
        if not np.isnan(settled[t]):
            waiting = np.nan
            if settled[t] == last[t]:
                out[t] = settled[t]
            else:
                waiting = settled[t]


def seen_settlements(timeline: Timeline) -> Floats:
    """Rates settled on the first venue, each at the tick where a trader had seen it.

    ``funding_settled`` is cash: a settlement booked seconds after the hour belongs to that hour's
    tick, yet was not known at it. It is seen once ``funding_last`` shows it.

    Returns
    -------
    float64 (T,)
        NaN where nothing new was seen; a rate replaced before it was ever seen is left out.
    """
    out = np.empty(len(timeline.ts_ms))
    settled, last = timeline.funding_settled[:, 0], timeline.funding_last[:, 0]
    _seen(np.ascontiguousarray(settled), np.ascontiguousarray(last), out)
    return out


def column(timeline: Timeline, name: str) -> Floats:
    """One input of the features, as known at each tick.

    Parameters
    ----------
    timeline : Timeline
    name : str
        ``clock_h`` (hours since 1970), ``spot.close`` and the like, ``perp.close`` or
        ``funding_last`` and the like (of the first venue), ``funding_seen`` (see
        :func:`seen_settlements`), ``daily.vix_close``, ``hourly.open_interest_eth``,
        ``events.hours_to_macro`` and the like, ``rule.*`` and ``churn.*`` (see ``rules``).

    Returns
    -------
    float64 (T,)
        All NaN for a series of ``daily``, ``hourly`` or ``events`` the lake does not hold.

    Raises
    ------
    FixConfig
        A name the timeline cannot have.
    """
    group, _, part = name.partition(".")
    if name == "clock_h":
        return timeline.ts_ms / HOUR_MS
    if name == "funding_seen":
        return seen_settlements(timeline)
    if name in RULE_COLUMNS:
        return rule_column(name, timeline.venues[0], timeline.ts_ms)
    series = {"daily": timeline.daily, "hourly": timeline.hourly, "events": timeline.events}
    if group in series:
        held = series[group].get(part)
        return np.full(len(timeline.ts_ms), np.nan) if held is None else held
    bars = {"spot": timeline.spot, "perp": timeline.perp}.get(group)
    found = getattr(timeline, name, None) if bars is None else getattr(bars, part, None)
    if not isinstance(found, np.ndarray) or found.dtype != np.float64:
        raise FixConfig(
            "input",
            name,
            "clock_h, funding_seen, or spot.*, perp.*, funding_*, daily.*, hourly.*, events.*, "
            "rule.*, churn.* of the timeline",
            "correct the feature's inputs in the catalog",
        )
    return cast(Floats, found if found.ndim == 1 else found[:, 0])


@dataclass(frozen=True)
class _Plan:
    """What to compute: columns of the timeline, then level after level of parts.

    A part is known by how an input would name it, and feeds on columns and earlier levels only.
    """

    columns: tuple[str, ...]
    levels: tuple[dict[str, Feature | Shared], ...]


def _plan(names: Sequence[str]) -> _Plan:
    # Columns are at level 0, a part one above the highest of its inputs.
    level: dict[str, int] = {}
    parts: dict[str, Feature | Shared] = {}

    def visit(part: str) -> int:
        if part not in level:
            source = feeding(part)
            level[part] = 0
            if source is not None:
                level[part] = 1 + max(visit(inner) for inner in source.inputs)
                parts[part] = source
        return level[part]

    highest = max((visit(f"feature.{name}") for name in names), default=0)
    return _Plan(
        tuple(part for part in level if level[part] == 0),
        tuple(
            {part: source for part, source in parts.items() if level[part] == height}
            for height in range(1, highest + 1)
        ),
    )


def _chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(FEATURES if names is None else names))


def _drain(
    scan: Callable[[str, Feature | Shared], None], waiting: deque[tuple[str, Feature | Shared]]
) -> None:
    """Scan whatever waits until nothing does; several threads may share the queue."""
    while True:
        try:
            part, source = waiting.popleft()
        except IndexError:
            return
        scan(part, source)


def compute(timeline: Timeline, names: Sequence[str] | None = None) -> FeatureMatrix:
    """Compute features over the whole timeline.

    Parameters
    ----------
    timeline : Timeline
    names : sequence of str, optional
        Names of the catalog, in the order wanted; all of them by default. A name given twice
        counts once.

    Returns
    -------
    FeatureMatrix
        ``values`` (T, F), F = number of names.

    Raises
    ------
    FixConfig
        A name the catalog does not have.
    """
    chosen = _chosen(names)
    plan = _plan(chosen)
    ticks = len(timeline.ts_ms)
    values = np.empty((len(chosen), ticks))
    found = {name: np.ascontiguousarray(column(timeline, name)) for name in plan.columns}
    outs = {f"feature.{name}": values[i] for i, name in enumerate(chosen)}

    def scan(part: str, source: Feature | Shared) -> None:
        out = outs[part] if part in outs else np.empty(ticks)
        source.update(source.memory.fresh(), tuple(found[name] for name in source.inputs), out)
        found[part] = out

    # The recursions free the interpreter, so threads run them side by side.
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for level in plan.levels:
            waiting = deque(level.items())
            list(pool.map(_drain, [scan] * workers, [waiting] * workers))
    return FeatureMatrix(chosen, values.T)


class Live:
    """Features per tick, with their memory.

    Parameters
    ----------
    names : sequence of str, optional
        Names of the catalog, each once; all of them by default.

    Attributes
    ----------
    names : tuple of str
        The F features returned.
    inputs : tuple of str
        The C columns a row must hold, in this order (see :func:`column`).

    Raises
    ------
    FixConfig
        A name the catalog does not have.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = _chosen(names)
        plan = _plan(self.names)
        self.inputs = plan.columns
        # In the order they are made: whatever feeds a part stands before it.
        parts = {part: source for level in plan.levels for part, source in level.items()}
        self._program = Program(self.inputs, parts)
        places = {name: i for i, name in enumerate([*self.inputs, *parts])}
        self._wanted = np.array([places[f"feature.{name}"] for name in self.names], dtype=np.intp)

    def update(self, row: Floats) -> Floats:
        """Take the columns of one tick, return the features as of it.

        Parameters
        ----------
        row : float64 (C,)
            Values of ``inputs``; NaN where there is none.

        Returns
        -------
        float64 (F,)
        """
        if row.shape != (len(self.inputs),):
            raise ValueError(f"a row holds {len(self.inputs)} values: {', '.join(self.inputs)}")
        now = self._program.now
        now[: len(row)] = row
        self._program.run()
        return now[self._wanted]
