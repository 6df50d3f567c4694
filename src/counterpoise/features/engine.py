"""Runs features over history and per event with the same compiled recursions.

``compute`` scans a timeline; ``Live`` takes one row at a time and remembers. Both call the very
same machine code, so their results agree to the last bit. Nothing here fills or drops a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES, Update
from counterpoise.market.timeline import Timeline
from counterpoise.units import HOUR_MS

Floats = NDArray[np.float64]

_UPDATE = types.FunctionType(types.float64(types.float64[::1], types.float64[::1]))
_SCAN = types.void(_UPDATE, types.float64[::1], types.float64[:, ::1], types.float64[::1])


def _scan(update: Update, state: Floats, rows: Floats, out: Floats) -> None:
    for t in range(rows.shape[0]):
        out[t] = update(state, rows[t])


# Typed by the recursion's signature, not by the recursion: one compilation serves every feature.
_compiled_scan = cast(
    Callable[[Update, Floats, Floats, Floats], None], numba.njit(_SCAN, cache=True)(_scan)
)


@dataclass(frozen=True)
class FeatureMatrix:
    """Features over history.

    Attributes
    ----------
    names : tuple of str
        F names of the catalog.
    values : float64 (T, F)
        Row t uses only what was known at tick t; NaN where a feature is unknown.
    """

    names: tuple[str, ...]
    values: Floats

    def __getitem__(self, name: str) -> Floats:
        """One feature over history; shape (T,)."""
        return self.values[:, self.names.index(name)]


def seen_settlements(timeline: Timeline) -> Floats:
    """Rates settled on the first venue, each at the tick where a trader had seen it.

    ``funding_settled`` is cash: a settlement booked seconds after the hour belongs to that hour's
    tick, yet was not known at it. It is seen once ``funding_last`` shows it.

    Returns
    -------
    float64 (T,)
        NaN where nothing new was seen; a rate replaced before it was ever seen is left out.
    """
    settled, last = timeline.funding_settled[:, 0], timeline.funding_last[:, 0]
    seen = np.where(settled == last, settled, np.nan)
    events = np.flatnonzero(np.isfinite(settled))
    following = np.append(events, len(settled))[1:]
    for event, until in zip(events, following, strict=True):
        if settled[event] != last[event]:
            later = np.flatnonzero(last[event : until + 1] == settled[event])
            if len(later):
                seen[event + later[0]] = settled[event]
    return seen


def column(timeline: Timeline, name: str) -> Floats:
    """One input of the features, as known at each tick.

    Parameters
    ----------
    timeline : Timeline
    name : str
        ``clock_h`` (hours since 1970), ``spot.close`` and the like, ``perp.close`` or
        ``funding_last`` and the like (of the first venue), ``funding_seen`` (see
        :func:`seen_settlements`), ``daily.vix_close`` and the like.

    Returns
    -------
    float64 (T,)
        All NaN for a daily series the lake does not hold.

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
    if group == "daily":
        held = timeline.daily.get(part)
        return np.full(len(timeline.ts_ms), np.nan) if held is None else held
    bars = {"spot": timeline.spot, "perp": timeline.perp}.get(group)
    found = getattr(timeline, name, None) if bars is None else getattr(bars, part, None)
    if not isinstance(found, np.ndarray) or found.dtype != np.float64:
        raise FixConfig(
            "input",
            name,
            "clock_h, funding_seen, or spot.*, perp.*, funding_*, daily.* of the timeline",
            "correct the feature's inputs in the catalog",
        )
    return cast(Floats, found if found.ndim == 1 else found[:, 0])


def compute(timeline: Timeline, names: Sequence[str] | None = None) -> FeatureMatrix:
    """Compute features over the whole timeline.

    Parameters
    ----------
    timeline : Timeline
    names : sequence of str, optional
        Names of the catalog, in the order wanted; all of them by default.

    Returns
    -------
    FeatureMatrix
        ``values`` (T, F), F = number of names.

    Raises
    ------
    FixConfig
        A name the catalog does not have.
    """
    chosen = tuple(FEATURES if names is None else names)
    values = np.empty((len(timeline.ts_ms), len(chosen)))
    out = np.empty(len(timeline.ts_ms))
    for i, name in enumerate(chosen):
        feature = FEATURES[name]
        rows = np.column_stack([column(timeline, part) for part in feature.inputs])
        _compiled_scan(feature.update, feature.memory.fresh(), np.ascontiguousarray(rows), out)
        values[:, i] = out
    return FeatureMatrix(chosen, values)


class Live:
    """Features per event, with their memory.

    Parameters
    ----------
    names : sequence of str, optional
        Names of the catalog; all of them by default.

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
        self.names = tuple(FEATURES if names is None else names)
        features = [FEATURES[name] for name in self.names]
        self.inputs = tuple(dict.fromkeys(part for f in features for part in f.inputs))
        self._parts = [
            (f.update, f.memory.fresh(), np.array([self.inputs.index(part) for part in f.inputs]))
            for f in features
        ]

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
        return np.array([update(state, row[where]) for update, state, where in self._parts])
