"""Whether forecasts change when only what comes after them does."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.checks import Check
from counterpoise.appraisal.cuts import other_values
from counterpoise.appraisal.exam import Exam
from counterpoise.appraisal.walk import Pipeline, Walk, learned_from
from counterpoise.signals.model import Fitted
from counterpoise.units import stamp

Floats = NDArray[np.float64]

#: Change of a forecast that is no change, as a share of the largest forecast: sums rounded in
#: single precision, and in another order for another number of rows, differ by less.
ROUNDING = 1e-6


def first_change(base: Floats, other: Floats) -> int | None:
    """First place where forecasts differ by more than rounding, or only one of them is known.

    Parameters
    ----------
    base, other : float64 (N,)
    """
    known = np.isfinite(base)
    reach = float(np.abs(base[known]).max()) if known.any() else 0.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(base - other) > ROUNDING * reach
    unequal = np.flatnonzero(apart | (known != np.isfinite(other)))
    return int(unequal[0]) if len(unequal) else None


def _other_outcomes(exam: Exam, y: Floats) -> Floats:
    """Outcomes as different as can be: an event turned over, a number mirrored and moved."""
    if exam.kind == "probability":
        return 1.0 - y
    known = y[np.isfinite(y)]
    return 3.0 * known.max() - 2.0 * y if len(known) else y


def _histories(
    exam: Exam, row: int, rng: np.random.Generator
) -> Iterator[tuple[str, Floats, Floats]]:
    """Other features and outcomes that a trader at ``row`` could not have told from the true."""
    unknown = row - exam.horizon_h + 1
    y = exam.y.copy()
    y[max(unknown, 0) :] = _other_outcomes(exam, y[max(unknown, 0) :])
    X = np.concatenate([exam.X[: row + 1], other_values(exam.X[row + 1 :], rng)])
    yield f"with other hours after row {row}", X, y
    blank = exam.X.copy()
    blank[row + 1 :] = np.nan
    yield (
        f"with unknown hours after row {row}",
        blank,
        np.where(np.arange(len(y)) < unknown, exam.y, np.nan),
    )
    cut = np.where(np.arange(row + 1) < unknown, exam.y[: row + 1], np.nan)
    yield f"without the hours after row {row}", exam.X[: row + 1], cut


def _told(exam: Exam, at: int, how: str, now: float, then: float) -> str:
    moment = stamp(int(exam.ts_ms[at]))
    return f"the forecast of row {at} ({moment}) is {now:.6g}, and {then:.6g} {how}"


def pipeline_look_ahead(
    subject: str, pipeline: Pipeline, exam: Exam, rows: Sequence[int], seed: int
) -> Check:
    """Whether forecasts up to some rows change with the features and outcomes after them.

    Parameters
    ----------
    subject : str
    pipeline : callable
        Anything that makes out-of-sample forecasts (T,) from all features and outcomes: a user's
        own walk-forward included. A :class:`~counterpoise.appraisal.walk.Walk` is asked for the
        refit around a row only.
    exam : Exam
    rows : sequence of int
        Where time stops.
    seed : int
        Of the invented future.

    Returns
    -------
    Check
        ``look-ahead in training``: forecasts that changed. Outcomes not known at the row
        (its last ``horizon_h`` ones) are others as well.
    """
    changed, told = 0, ""
    for row in rows:
        rng = np.random.default_rng([seed, row])
        ask = pipeline.at(row) if isinstance(pipeline, Walk) else pipeline
        base = ask(exam.X, exam.y)[: row + 1]
        for how, X, y in _histories(exam, row, rng):
            other = ask(X, y)[: row + 1]
            at = first_change(base, other)
            if at is not None:
                changed += 1
                told = told or _told(exam, at, how, base[at], other[at])
    return Check(
        subject,
        "look-ahead in training",
        "FAIL" if changed else "PASS",
        float(changed),
        "histories that changed a forecast",
        0.0,
        f"it looks ahead, or learns from outcomes not yet known: {told}"
        if changed
        else f"no forecast changed at {len(rows)} rows with other, unknown or no hours after them",
    )


def forecast_look_ahead(subject: str, walk: Walk, exam: Exam, count: int, seed: int) -> Check:
    """Whether a fitted model's forecast of a row changes with the features after it.

    Parameters
    ----------
    subject : str
    walk : Walk
        The first, the middle and the last of its refits are asked.
    exam : Exam
    count : int
        Rows of each refit at which time stops; some of them right before and inside gaps.
    seed : int

    Returns
    -------
    Check
        ``look-ahead in forecasting``: histories that changed a forecast.
    """
    rng = np.random.default_rng(seed)
    places = sorted({0, len(walk.splits) // 2, len(walk.splits) - 1})
    changed, tried, told = 0, 0, ""
    for split in (walk.splits[place] for place in places):
        rows = split.predict
        fitted = walk.model.fit(*learned_from(exam.X, exam.y, split), walk.seed)
        base = fitted.predict(exam.X[: rows.stop], rows)
        for row in _places(exam, rows, count, rng):
            for how, other in _forecasts_of(fitted, exam, rows, row, base, rng):
                tried += 1
                at = first_change(base[: len(other)], other)
                if at is not None:
                    changed += 1
                    told = told or _told(exam, rows.start + at, how, base[at], other[at])
    return Check(
        subject,
        "look-ahead in forecasting",
        "FAIL" if changed else "PASS",
        float(changed),
        "histories that changed a forecast",
        0.0,
        f"it looks ahead: {told}" if changed else f"no forecast changed in {tried} histories",
    )


def _places(exam: Exam, rows: slice, count: int, rng: np.random.Generator) -> list[int]:
    """Rows where time stops: spread out, and a few where a feature goes missing or returns."""
    spread = rng.integers(rows.start, rows.stop, count)
    known = np.isfinite(exam.X[rows.start : rows.stop])
    edges = rows.start + np.flatnonzero(np.diff(known.astype(np.int8), axis=0).any(axis=1))
    some = edges[rng.permutation(len(edges))[: max(count // 4, 1)]]
    return sorted({int(row) for row in (*spread, *some)})


def _forecasts_of(
    fitted: Fitted, exam: Exam, rows: slice, row: int, base: Floats, rng: np.random.Generator
) -> Iterator[tuple[str, Floats]]:
    """Forecasts up to a row as they come out of other histories after it."""
    for how, X, _ in _histories(exam, row, rng):
        stop = min(rows.stop, len(X))
        yield how, fitted.predict(X[:stop], slice(rows.start, stop))[: row + 1 - rows.start]
    alone = fitted.predict(exam.X[: row + 1], slice(row, row + 1))
    yield f"where row {row} is asked for alone", np.concatenate([base[: row - rows.start], alone])


def memory(subject: str, walk: Walk, exam: Exam) -> Check:
    """Whether a model keeps something between fits: what it learned later must not show earlier.

    Fits the first refit, forecasts, learns from the whole history with other outcomes than the
    true ones, and does the first once more. What it kept from fits before this check it would show
    from the start; the other outcomes tell all the same.

    Returns
    -------
    Check
        ``memory between fits``: largest change of a forecast.
    """
    split = walk.splits[0]
    rows = split.predict
    first = walk.model.fit(*learned_from(exam.X, exam.y, split), walk.seed)
    base = first.predict(exam.X[: rows.stop], rows)
    walk.model.fit(exam.X, _other_outcomes(exam, exam.y), walk.seed + 1)
    again = walk.model.fit(*learned_from(exam.X, exam.y, split), walk.seed)
    found = {
        "asked again": first.predict(exam.X[: rows.stop], rows),
        "fitted again": again.predict(exam.X[: rows.stop], rows),
    }
    changed, told = 0.0, "after it learned from later hours it forecasts the earlier ones as before"
    for how, other in found.items():
        at = first_change(base, other)
        if at is None:
            continue
        both = np.isfinite(base) & np.isfinite(other)
        changed = max(changed, float(np.abs(base - other)[both].max(initial=0.0)))
        told = (
            f"the forecast of row {rows.start + at} is {base[at]:.6g}, and {other[at]:.6g} when "
            f"{how} after it learned from later hours: it keeps something between fits, or does "
            "not follow its seed"
        )
    failed = any(first_change(base, other) is not None for other in found.values())
    return Check(
        subject,
        "memory between fits",
        "FAIL" if failed else "PASS",
        changed,
        "largest change of a forecast",
        0.0,
        told,
    )


def beginning(subject: str, walk: Walk, exam: Exam, hours: Sequence[int], limit: float) -> Check:
    """How much forecasts depend on where the history of features begins.

    Parameters
    ----------
    subject : str
    walk : Walk
        The last of its refits is asked.
    exam : Exam
    hours : sequence of int
        Histories before the first forecast that are tried, ascending; the last one counts.
    limit : float
        Largest change that passes, in standard deviations of the forecasts.

    Returns
    -------
    Check
        ``warm-up``: largest change of a forecast with the longest of them.
    """
    split = walk.splits[-1]
    rows = split.predict
    fitted = walk.model.fit(*learned_from(exam.X, exam.y, split), walk.seed)
    base = fitted.predict(exam.X[: rows.stop], rows)
    known = np.isfinite(base)
    spread = float(base[known].std()) if known.any() else 0.0
    changes = {}
    for before in hours:
        first = max(rows.start - before, 0)
        X = exam.X[first : rows.stop]
        other = fitted.predict(X, slice(rows.start - first, rows.stop - first))
        both = known & np.isfinite(other)
        moved = float(np.abs(base - other)[both].max(initial=0.0))
        same = moved == 0.0 and np.array_equal(known, np.isfinite(other))
        whole = both.sum() == known.sum() == np.isfinite(other).sum()
        changes[before] = 0.0 if same else moved / spread if whole and spread > 0 else np.inf
    worst = changes[hours[-1]]
    told = ", ".join(f"{change:.2g} with {before} h" for before, change in changes.items())
    return Check(
        subject,
        "warm-up",
        "PASS" if worst <= limit else "FAIL",
        worst,
        "standard deviations",
        limit,
        f"largest change of a forecast where history begins that long before, in standard "
        f"deviations: {told}",
    )
