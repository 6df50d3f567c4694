"""Does today still look like the training: features out of range, missing, drifted, or too old.

Everything is measured against the training rows alone, in constant time a tick, by recursions that
give the same numbers over history. What follows from an alarm is decided in ``live``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig, NotEnoughData

Floats = NDArray[np.float64]
Bytes = NDArray[np.int8]
Counts = NDArray[np.int64]

#: Bins of training values by their deciles, and one more for unknown values.
BINS = 11
_UNKNOWN = BINS - 1
#: What every bin holds on top of its count, so that an empty one has a logarithm.
_SMOOTHING = 0.5
#: Farthest a single feature can be, in robust standard deviations.
_FARTHEST = 10.0
#: Share of training rows that makes a feature one that is usually known.
_USUALLY = 0.95
#: A shift of this index is small (Siddiqi 2006: below 0.1 none, above 0.25 large).
_LEAST_INDEX = 0.25


@dataclass(frozen=True)
class DriftLimits:
    """When a measure becomes an alarm.

    Attributes
    ----------
    outside_share : float
        Most known features that may lie outside their training range at one tick.
    distance : float
        Most distance, as a multiple of what 99.9 % of the training rows keep.
    missing_share : float
        Most of the usually known features that may be unknown at one tick.
    drifted_share : float
        Most features whose last ``window_h`` may be spread unlike the training.
    window_h : int
        Ticks of that window.
    widen : float
        By how much of its width a training range is widened on either side, and by how much the
        worst drift index inside the training is raised.
    stale_h : float
        Oldest the newest input may be, hours.
    outcomes : int
        Known outcomes the rolling calibration rests on.
    z : float
        Standard errors that mean forecast and mean outcome may be apart.
    release : float
        Share of every limit but the age's that an alarm, once raised, must fall below to end.
    """

    outside_share: float = 0.15
    distance: float = 1.25
    missing_share: float = 0.2
    drifted_share: float = 0.25
    window_h: int = 720
    widen: float = 0.25
    stale_h: float = 2.0
    outcomes: int = 1000
    z: float = 4.0
    release: float = 0.8


class Measures(NamedTuple):
    """How far one tick is from the training.

    Attributes
    ----------
    outside, missing, drifted : float
        Shares of features, 0 to 1; ``drifted`` is NaN until the window is full.
    distance : float
        Mean distance from the training medians, each in robust standard deviations and at most
        10; NaN where nothing is known.
    """

    outside: float
    missing: float
    distance: float
    drifted: float


class _Reference(NamedTuple):
    """What the training rows looked like; one value, or row of values, a feature.

    ``used`` is 0 for a feature never known in training: models cannot have read it. ``usual`` is 1
    for one that was usually known.
    """

    low: Floats
    high: Floats
    centre: Floats
    spread: Floats
    used: Floats
    usual: Floats
    edges: Floats
    expected: Floats
    log_expected: Floats
    index_limit: Floats


@njit
def _step(
    row: Floats,
    reference: _Reference,
    log_share: Floats,
    ring: Bytes,
    counts: Counts,
    head: Counts,
    index: Floats,
    out: Floats,
) -> None:
    """One tick: measures into ``out`` (4,), the drift index of every feature into ``index`` (F,).

    ``ring`` (window, F) holds the bin of every value in the window, ``counts`` (F, bins) how many
    there are of each; ``head`` = [position, ticks seen].
    """
    window = ring.shape[0]
    position, full = head[0], head[1] >= window
    inside, outside, usual, missing, far, spread = 0, 0, 0, 0, 0.0, 0
    drifted, used = 0, 0
    for f in range(row.shape[0]):
        value = row[f]
        unknown = np.isnan(value)
        place = _UNKNOWN
        if not unknown:
            place = 0
            for edge in range(BINS - 2):
                place += value > reference.edges[f, edge]
        if full:
            counts[f, ring[position, f]] -= 1
        counts[f, place] += 1
        ring[position, f] = place
        index[f] = np.nan
        if reference.used[f] == 0.0:
            continue
        used += 1
        if reference.usual[f] > 0.0:
            usual += 1
            missing += unknown
        if not unknown:
            if reference.low[f] <= value <= reference.high[f]:
                inside += 1
            else:
                outside += 1
            if reference.spread[f] > 0.0:
                spread += 1
                far += min(abs(value - reference.centre[f]) / reference.spread[f], _FARTHEST)
        if head[1] + 1 >= window:
            total = 0.0
            for b in range(BINS):
                count = counts[f, b]
                share = (count + _SMOOTHING) / (window + BINS * _SMOOTHING)
                gap = share - reference.expected[f, b]
                total += gap * (log_share[count] - reference.log_expected[f, b])
            index[f] = total
            drifted += total > reference.index_limit[f]
    head[0] = position + 1 if position + 1 < window else 0
    head[1] += 1
    out[0] = outside / (inside + outside) if inside + outside > 0 else 0.0
    out[1] = missing / usual if usual > 0 else 0.0
    out[2] = far / spread if spread > 0 else np.nan
    out[3] = drifted / used if head[1] >= window and used > 0 else np.nan


@njit
def _scan(
    X: Floats,
    reference: _Reference,
    log_share: Floats,
    ring: Bytes,
    counts: Counts,
    head: Counts,
    index: Floats,
    out: Floats,
) -> None:
    """Many ticks; ``index`` (N, F) and ``out`` (N, 4)."""
    for n in range(X.shape[0]):
        _step(X[n], reference, log_share, ring, counts, head, index[n], out[n])


class _Memory:
    """The window of one run through time."""

    def __init__(self, features: int, window: int) -> None:
        shares = (np.arange(window + 1) + _SMOOTHING) / (window + BINS * _SMOOTHING)
        self.parts = (
            np.log(shares),
            np.zeros((window, features), np.int8),
            np.zeros((features, BINS), np.int64),
            np.zeros(2, np.int64),
        )


def _smoothed(share: Floats, window: int) -> Floats:
    return np.asarray((share * window + _SMOOTHING) / (window + BINS * _SMOOTHING))


def reference(X: Floats, limits: DriftLimits | None = None) -> dict[str, Floats]:
    """What the training rows looked like, as a bundle keeps it.

    Parameters
    ----------
    X : float64 (N, F)
        The training rows, consecutive hours; NaN where unknown.
    limits : DriftLimits, optional
        ``window_h`` and ``widen`` are read, and belong to the reference from then on.

    Returns
    -------
    dict of str to ndarray
        Arrays for :class:`Drift`, all finite. How large a drift index gets by itself is measured
        on the training rows: a slow feature visits few of its deciles in a month.

    Raises
    ------
    NotEnoughData
        Fewer than three windows.
    """
    limits = limits or DriftLimits()
    window = limits.window_h
    if len(X) < 3 * window:
        raise NotEnoughData(
            f"drift reference: {len(X)} training hours, fewer than three windows of {window} h. "
            "Next: train on a longer history."
        )
    count = X.shape[1]
    quantiles, share = np.zeros((count, BINS + 1)), np.zeros((count, BINS))
    centre, spread = np.zeros(count), np.zeros(count)
    at = [0.001, *np.linspace(0.1, 0.9, BINS - 2), 0.999]
    for f in range(count):
        values = X[np.isfinite(X[:, f]), f]
        share[f, _UNKNOWN] = np.isnan(X[:, f]).mean()
        if len(values):
            quantiles[f, : len(at)] = np.quantile(values, at)
            centre[f] = np.median(values)
            gap = np.abs(values - centre[f])
            # Where most values are one and the same, what the others do is the spread.
            spread[f] = 1.4826 * np.median(gap) or gap.mean()
        place = np.searchsorted(quantiles[f, 1 : BINS - 1], X[:, f], side="left")
        known = np.bincount(place[~np.isnan(X[:, f])], minlength=BINS - 1)
        share[f, :_UNKNOWN] = known / len(X)
    low, high = quantiles[:, 0], quantiles[:, len(at) - 1]
    found = {
        "low": low - limits.widen * (high - low),
        "high": high + limits.widen * (high - low),
        "centre": centre,
        "spread": spread,
        "known": 1.0 - share[:, _UNKNOWN],
        "edges": np.ascontiguousarray(quantiles[:, 1 : BINS - 1]),
        "share": share,
        "index_limit": np.full(count, np.finfo(np.float64).max),
        "distance": np.ones(1),
        "window": np.array([float(window)]),
    }
    drift = Drift(found, [str(f) for f in range(count)], limits)
    index = np.empty((len(X), count))
    far = drift.scan(X, index)[:, Measures._fields.index("distance")]
    far = far[np.isfinite(far)]  # of features that never move there is none
    found["distance"] = np.array([np.quantile(far, 0.999) if len(far) else _FARTHEST])
    worst = np.nan_to_num(index[window - 1 :]).max(axis=0)
    found["index_limit"] = np.maximum(_LEAST_INDEX, (1.0 + limits.widen) * worst)
    return found


class Drift:
    """The gate of every tick: how far it is from the training, and what that means.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        From :func:`reference`.
    features : sequence of str
        Names, for reasons.
    limits : DriftLimits

    Raises
    ------
    FixConfig
        Arrays that are not a reference of these features.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[Any]], features: Sequence[str], limits: DriftLimits
    ) -> None:
        self.features, self.limits = tuple(features), limits
        count = len(self.features)
        needed: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("low", "high", "centre", "spread", "known"), (count,)
        )
        needed |= {"index_limit": (count,), "edges": (count, BINS - 2), "share": (count, BINS)}
        needed |= {"distance": (1,), "window": (1,)}
        given = {name: values.shape for name, values in tensors.items()}
        if given != needed:
            fix = "make it with drift.reference from the training rows"
            raise FixConfig("drift reference", given, f"{needed}", fix)
        window = int(tensors["window"][0])
        expected = _smoothed(tensors["share"], window)
        known = tensors["known"]
        self._distance = float(tensors["distance"][0]) * limits.distance
        self._reference = _Reference(
            low=tensors["low"],
            high=tensors["high"],
            centre=tensors["centre"],
            spread=tensors["spread"],
            used=np.where(known > 0.0, 1.0, 0.0),
            usual=np.where(known >= _USUALLY, 1.0, 0.0),
            edges=tensors["edges"],
            expected=expected,
            log_expected=np.log(expected),
            index_limit=tensors["index_limit"],
        )
        self._memory = _Memory(count, window)
        self._index, self._out = np.empty(count), np.empty(len(Measures._fields))

    def update(self, row: Floats) -> Measures:
        """Take one tick's features (F,)."""
        _step(row, self._reference, *self._memory.parts, self._index, self._out)
        return Measures(*self._out.tolist())

    def scan(self, X: Floats, index: Floats | None = None) -> Floats:
        """Take many ticks (N, F); the fields of :class:`Measures` (N, 4), each as ``update``'s.

        ``index`` (N, F) takes the drift index of every feature where given.
        """
        index = np.empty(X.shape) if index is None else index
        out = np.empty((len(X), len(Measures._fields)))
        rows = np.ascontiguousarray(X)
        _scan(rows, self._reference, *self._memory.parts, index, out)
        self._index[:] = index[-1] if len(X) else self._index
        return out

    def drift_index(self) -> dict[str, float]:
        """Population stability index of every feature at the last tick; NaN where unknown."""
        return dict(zip(self.features, self._index.tolist(), strict=True))

    def reason(self, row: Floats, found: Measures, *, held: bool = False) -> str:
        """Why a tick must not be used, in plain words; empty where it may.

        ``held`` says that an alarm is on, which a tick must then be well clear of.
        """
        limits, ease = self.limits, self.limits.release if held else 1.0
        if np.isnan(row).all():
            return "missing feature: none is known"
        if found.missing > ease * limits.missing_share:
            unknown = np.isnan(row) & (self._reference.usual > 0.0)
            return f"missing feature: {self._named(unknown)} unknown, usually known"
        if found.outside > ease * limits.outside_share:
            low, high = self._reference.low, self._reference.high
            beyond = (self._reference.used > 0.0) & ((row < low) | (row > high))
            return f"out of distribution: {self._named(beyond)} outside the training range"
        farthest = ease * self._distance
        if found.distance > farthest:
            return (
                f"out of distribution: {found.distance:.2f} robust deviations from the training "
                f"on average, limit {farthest:.2f}"
            )
        if found.drifted > ease * limits.drifted_share:
            moved = self._index > self._reference.index_limit
            window = self._memory.parts[1].shape[0]
            return f"drift: {self._named(moved)} spread unlike the training over {window} h"
        return ""

    def _named(self, which: NDArray[np.bool_]) -> str:
        names = [self.features[f] for f in np.flatnonzero(which)]
        more = f" and {len(names) - 3} more of {len(self.features)}" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more


def stale(age_h: float, limits: DriftLimits) -> str:
    """Why inputs are too old, in plain words; empty where they are not. NaN: none was ever seen.

    Examples
    --------
    >>> stale(3.5, DriftLimits())
    'stale: the newest input is 3.5 h old, limit 2 h'
    >>> stale(1.0, DriftLimits())
    ''
    """
    if age_h <= limits.stale_h:
        return ""
    told = "no input was ever seen" if np.isnan(age_h) else f"the newest input is {age_h:.1f} h old"
    return f"stale: {told}, limit {limits.stale_h:g} h"
