"""Whether features look ahead, and how long they remember where history began.

A feature is anything that makes a number per tick from a timeline: the catalog's, or a user's own.
Whether it is worth anything in a forecast is not judged here.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.checks import Audit, Check, not_evaluated
from counterpoise.appraisal.cuts import another_future, lake_until, since, until
from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES
from counterpoise.features.coverage import coverage
from counterpoise.features.engine import FeatureMatrix, compute
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.units import stamp

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Ticks at which history is cut, and at which its future is replaced.
TICKS = 8
#: Of those, at how many the tables themselves are cut and placed on the clock again.
TABLE_CUTS = 2
#: Later beginnings of history that are tried.
BEGINNINGS = 4
#: Hours after its declared warm-up within which a feature forgets where history began: the least
#: history a training may start from is twice as long.
FORGETS_H = 720
#: What "forgets" is: from then on no value differs by more than this share of the feature's
#: standard deviation.
TOLERANCE = 0.01


@dataclass(frozen=True)
class FeatureSet:
    """Features that are computed together.

    Attributes
    ----------
    names : tuple of str
        F of them.
    warm_up : tuple of int
        Ticks before the first value that each declares.
    compute : callable
        Timeline of T ticks to float64 (T, F).
    absent : callable
        Reason why a feature is never known on a timeline, by its name.
    """

    names: tuple[str, ...]
    warm_up: tuple[int, ...]
    compute: Callable[[Timeline], Floats]
    absent: Callable[[Timeline, str], str] = lambda _timeline, _name: "it is never known"

    def __call__(self, timeline: Timeline) -> Floats:
        """Values of every feature; shape (T, F).

        Raises
        ------
        FixConfig
            Another shape or dtype came back.
        """
        found: object = self.compute(timeline)
        given, wanted = type(found).__name__, (len(timeline.ts_ms), len(self.names))
        if isinstance(found, np.ndarray):
            if found.shape == wanted and found.dtype == np.float64:
                return found
            given = f"{found.dtype} of shape {found.shape}"
        raise FixConfig(
            f"feature {', '.join(self.names)}",
            given,
            f"float64 of shape {wanted}, one row per tick",
            "return one number per tick, NaN where unknown",
        )


def catalogued(names: Sequence[str] | None = None) -> FeatureSet:
    """Features of the catalog, all of them by default.

    Raises
    ------
    FixConfig
        A name the catalog does not have.
    """
    chosen = tuple(dict.fromkeys(FEATURES if names is None else names))
    warm_up = tuple(FEATURES[name].warm_up for name in chosen)

    def absent(timeline: Timeline, name: str) -> str:
        nothing = FeatureMatrix((name,), np.full((len(timeline.ts_ms), 1), np.nan))
        return coverage(timeline, nothing)[0].reason

    return FeatureSet(chosen, warm_up, lambda timeline: compute(timeline, chosen).values, absent)


def _ticks(rng: np.random.Generator, ticks: int, count: int) -> list[int]:
    """Lengths of history to cut at, spread over its last four fifths."""
    edges = np.linspace(ticks // 5 + 1, ticks, count + 1).astype(int)
    return sorted({int(rng.integers(a, b)) for a, b in pairwise(edges) if b > a})


def _unequal(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Where two arrays differ in a bit; NaN equals NaN whatever its bits."""
    unequal = a.view(np.int64) != b.view(np.int64)
    return np.asarray(unequal & ~(np.isnan(a) & np.isnan(b)))


@dataclass
class _Seen:
    """What the cuts have shown of one feature."""

    changed: int = 0
    told: str = ""


def _look_ahead(
    features: FeatureSet,
    timeline: Timeline,
    whole: Floats,
    others: Iterator[tuple[str, int, Timeline]],
) -> list[_Seen]:
    """Compare every feature with itself on other histories that share their first ticks."""
    seen = [_Seen() for _ in features.names]
    for how, ticks, other in others:
        a, b = np.ascontiguousarray(whole[:ticks]), np.ascontiguousarray(features(other)[:ticks])
        unequal = _unequal(a, b)
        for column in np.flatnonzero(unequal.any(axis=0)):
            rows = np.flatnonzero(unequal[:, column])
            row, one = int(rows[0]), seen[column]
            one.changed += len(rows)
            one.told = one.told or (
                f"at tick {row} ({stamp(int(timeline.ts_ms[row]))}) it is "
                f"{b[row, column]:.6g} {how} tick {ticks - 1} and {a[row, column]:.6g} with it; "
                "it uses what was not yet known"
            )
    return seen


def _other_histories(
    timeline: Timeline, cuts: Sequence[int], seed: int, told: Callable[[], None]
) -> Iterator[tuple[str, int, Timeline]]:
    for ticks in cuts:
        yield "without the hours after", ticks, until(timeline, ticks)
        if ticks < len(timeline.ts_ms):
            yield "with other hours after", ticks, another_future(timeline, ticks, seed + ticks)
        told()


def _other_tables(
    timeline: Timeline,
    lake: Lake,
    build: Callable[[Lake], Timeline],
    cuts: Sequence[int],
    told: Callable[[], None],
) -> Iterator[tuple[str, int, Timeline]]:
    for ticks in cuts:
        with tempfile.TemporaryDirectory(prefix="counterpoise-audit-") as folder:
            other = build(lake_until(lake, Path(folder), int(timeline.ts_ms[ticks - 1])))
        # The clock of the cut tables ends with their last bar, earlier where the tick is a gap.
        yield "from the tables known until", min(ticks, len(other.ts_ms)), other
        told()


def _differences(later: Floats, whole: Floats, spread: Floats) -> Floats:
    """Differences in standard deviations; infinite where only one of the two is known."""
    both = np.isfinite(later) & np.isfinite(whole)
    same = (later == whole) | (np.isnan(later) & np.isnan(whole))
    gap = np.divide(
        np.abs(np.where(both, later, 0.0) - np.where(both, whole, 0.0)),
        spread,
        out=np.full(later.shape, np.inf),
        where=(spread > 0) & both,
    )
    return np.where(same, 0.0, gap)


def _spread(values: Floats) -> Floats:
    """Standard deviation of the finite values of each column; 0 where there are none."""
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, values, 0.0).sum(axis=0) / count
    return np.asarray(np.sqrt((np.where(finite, values - mean, 0.0) ** 2).sum(axis=0) / count))


def _warm_up(
    features: FeatureSet, timeline: Timeline, whole: Floats, told: Callable[[], None]
) -> tuple[Floats, Floats]:
    """Hours after which each feature has forgotten the beginning, and the difference at warm-up.

    Worst of several beginnings, the difference in standard deviations; shapes (F,).
    """
    ticks = len(timeline.ts_ms)
    beginnings = np.linspace(ticks // 10, ticks // 2, BEGINNINGS).astype(int)
    spread = _spread(whole)
    settled, at_first = np.zeros(whole.shape[1]), np.zeros(whole.shape[1])
    for first in beginnings:
        with np.errstate(invalid="ignore"):
            apart = _differences(features(since(timeline, int(first))), whole[first:], spread)
        for column, warm_up in enumerate(features.warm_up):
            far = np.flatnonzero(apart[:, column] > TOLERANCE)
            settled[column] = max(settled[column], far[-1] + 1 if len(far) else 0)
            at_first[column] = max(at_first[column], apart[warm_up, column])
        told()
    return settled, at_first


def _warm_up_check(name: str, warm_up: int, settled: float, at_first: float, enough: bool) -> Check:
    if not enough:
        return not_evaluated(
            name, "warm-up", f"needs {2 * (warm_up + FORGETS_H)} h of history, there are fewer"
        )
    # Exactly there or nowhere: a value that is unknown in one of the two has no distance.
    apart = f"{at_first:.2g} standard deviations" if np.isfinite(at_first) else "unknown in one"
    limit = float(warm_up + FORGETS_H)
    finding = (
        f"{settled:.0f} h after a later beginning of history it is within {TOLERANCE:.0%} of a "
        f"standard deviation of itself; at its declared warm-up of {warm_up} h: {apart}"
    )
    if settled > limit:
        finding = f"it remembers where history began for longer than {limit:.0f} h: {finding}"
    return Check(
        name, "warm-up", "PASS" if settled <= limit else "FAIL", settled, "hours", limit, finding
    )


def audit_features(
    timeline: Timeline,
    features: FeatureSet,
    *,
    lake: Lake | None = None,
    build: Callable[[Lake], Timeline] | None = None,
    ticks: int = TICKS,
    seed: int = 11,
    progress: Progress | None = None,
) -> Audit:
    """Audit features: do they look ahead, does their beginning matter, do they vary at all.

    Parameters
    ----------
    timeline : Timeline
    features : FeatureSet
    lake, build : Lake, callable, optional
        What the timeline was built from, and how. With both of them two of the cuts are made in
        the tables themselves (``known_at``), and the timeline is built again.
    ticks : int
        Random ticks at which the history ends, and at which the future is another.
    seed : int
        Of the ticks and the invented futures.
    progress : callable, optional
        Called as ``progress(what, done, of)``.

    Returns
    -------
    Audit
        Three checks a feature. ``look-ahead``: values up to the tick that changed, to the bit;
        none may. ``warm-up``: hours after the history begins later until the feature is, for good,
        within 1 % of its standard deviation of what it was; at most its declared warm-up and 30
        days. ``varies``: number of different values.

    Raises
    ------
    FixConfig
        The features return something else than a number per tick.
    """
    rng = np.random.default_rng(seed)
    whole = features(timeline)
    hours = len(timeline.ts_ms)
    cuts = _ticks(rng, hours, ticks)
    tables = cuts[:: max(len(cuts) // TABLE_CUTS, 1)][:TABLE_CUTS] if lake and build else []
    done, of = 0, len(cuts) + len(tables) + BEGINNINGS

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("features", done, of)

    seen = _look_ahead(features, timeline, whole, _other_histories(timeline, cuts, seed, told))
    if lake is not None and build is not None:
        found = _look_ahead(
            features, timeline, whole, _other_tables(timeline, lake, build, tables, told)
        )
        for one, other in zip(seen, found, strict=True):
            one.changed += other.changed
            one.told = one.told or other.told
    longest = 2 * (max(features.warm_up) + FORGETS_H)
    evaluated = hours >= longest
    settled, at_first = np.zeros(len(features.names)), np.zeros(len(features.names))
    if evaluated:
        settled, at_first = _warm_up(features, timeline, whole, told)
    checks = []
    for i, name in enumerate(features.names):
        known = whole[np.isfinite(whole[:, i]), i]
        if len(known) == 0:
            reason = features.absent(timeline, name)
            checks += [not_evaluated(name, word, reason) for word in CHECKS]
            continue
        compared = f"{len(cuts)} cuts, {len(cuts)} other futures" + (
            f", {len(tables)} cuts of the tables" if tables else ""
        )
        checks.append(
            Check(
                name,
                "look-ahead",
                "FAIL" if seen[i].changed else "PASS",
                float(seen[i].changed),
                "values changed",
                0.0,
                seen[i].told or f"no value up to the tick changed: {compared}",
            )
        )
        checks.append(_warm_up_check(name, features.warm_up[i], settled[i], at_first[i], evaluated))
        checks.append(_varies(name, known))
    return Audit(tuple(checks))


#: Checks of a feature, in their order.
CHECKS = ("look-ahead", "warm-up", "varies")


def _varies(name: str, known: Floats) -> Check:
    if known.min() == known.max():
        reason = f"constant {known[0]:g} wherever it is known: nothing can be learned from it here"
        return not_evaluated(name, "varies", reason)
    different = float(len(np.unique(known)))
    return Check(
        name, "varies", "PASS", different, "different values", 2.0, f"{different:,.0f} values"
    )
