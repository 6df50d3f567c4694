"""The audit of a model: does it look ahead, does it leak, and are its forecasts any good.

It sees a model from outside, by its two calls. What reads the future from a file of its own cannot
be caught by cutting what it is given; a score too good to be true is the last guard against that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.checks import Audit, Check, not_evaluated
from counterpoise.appraisal.exam import NO_SKILL, SCORE_NAMES, Exam
from counterpoise.appraisal.model_cuts import (
    beginning,
    forecast_look_ahead,
    memory,
    pipeline_look_ahead,
)
from counterpoise.appraisal.placebo import Standing, shifted, shuffled
from counterpoise.appraisal.walk import Pipeline, Walk, refits, refuse_short_purge
from counterpoise.signals.model import Kind, Model
from counterpoise.signals.walkforward import Split

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: A score beyond which a leak is likelier than a discovery.
TOO_GOOD: dict[Kind, float] = {"probability": 0.75, "value": 0.9, "quantile": 0.75}
#: Share of the placebos that skill has to beat.
BEATS = 0.95
LUCK = ": no skill that luck has not"
MADE_UP = ": a made-up market need not hold any skill to find"
#: Standard deviations above no skill that shuffled outcomes may score.
SHUFFLED_LIMIT = 4.0
#: Checks that fit the model, in their order.
OF_FITS = (
    "memory between fits",
    "look-ahead in forecasting",
    "look-ahead in training",
    "warm-up",
    "credible",
    "placebo",
    "shuffled labels",
)
#: Refits around which time is stopped, and rows of three refits where forecasts are made again.
TRAININGS, FORECASTS = 3, 20
#: Times that shuffled outcomes are learned from, over how many refits each.
SHUFFLES, SHUFFLED_REFITS = 4, 3
#: Hours of history before the first forecast, and the change of a forecast that passes with the
#: longest of them, in standard deviations.
BEGINNINGS_H, MOVES = (720, 2160), 0.01


def _spread(splits: Sequence[Split], count: int) -> tuple[Split, ...]:
    places = np.unique(np.linspace(0, len(splits) - 1, count).round().astype(int))
    return tuple(splits[place] for place in places)


def _inputs(subject: str, exam: Exam, splits: Sequence[Split]) -> Check:
    """Which features teach nothing in some training: never known there, or constant."""
    dead: dict[str, int] = {}
    for split in splits:
        for i, name in enumerate(exam.inputs):
            column = exam.X[split.train, i]
            known = column[np.isfinite(column)]
            if len(known) == 0 or known.min() == known.max():
                dead[name] = dead.get(name, 0) + 1
    told = ", ".join(f"{name} in {count}" for name, count in dead.items())
    if len(dead) == len(exam.inputs) and set(dead.values()) == {len(splits)}:
        finding = "every feature is unknown or constant in every training: nothing to learn from"
        return Check(
            subject, "inputs", "FAIL", float(len(dead)), "features that teach nothing", 0.0, finding
        )
    if dead:
        return not_evaluated(
            subject, "inputs", f"unknown or constant in some of {len(splits)} trainings: {told}"
        )
    return Check(
        subject,
        "inputs",
        "PASS",
        0.0,
        "features that teach nothing",
        0.0,
        f"each of {len(exam.inputs)} features varies in every training",
    )


def _outcomes(subject: str, exam: Exam, splits: Sequence[Split], apart_h: int) -> tuple[Check, ...]:
    """Whether outcomes were known at each refit, and whether every training has all kinds."""
    known = Check(
        subject,
        "labels",
        "PASS",
        float(apart_h),
        "hours between the last known outcome and a refit, at least",
        0.0,
        f"the last outcome learned from was known {apart_h} h before the refit or earlier",
    )
    alike = []
    for split in splits:
        for word, rows in (("training", split.train), ("forecast", split.predict)):
            y = exam.y[rows]
            y = y[np.isfinite(y)]
            if len(y) == 0 or y.min() == y.max():
                first = np.datetime64(int(exam.ts_ms[split.predict.start]), "ms")
                what = f"only {y[0]:g}" if len(y) else "no outcome"
                alike.append(f"{word} of {first.astype('datetime64[D]')} has {what}")
    one_sided = Check(
        subject,
        "folds",
        "FAIL" if alike else "PASS",
        float(len(alike)),
        "folds without two kinds of outcome",
        0.0,
        "; ".join(alike) if alike else f"each of {len(splits)} refits has outcomes that differ",
    )
    return known, one_sided


def _skill(subject: str, exam: Exam, standing: Standing | str, edge: bool) -> tuple[Check, ...]:
    """The score against what is credible, and among shifted placebos."""
    name = SCORE_NAMES[exam.kind]
    if isinstance(standing, str):
        return tuple(not_evaluated(subject, check, standing) for check in ("credible", "placebo"))
    limit = TOO_GOOD[exam.kind]
    beyond = standing.score > limit
    credible = Check(
        subject,
        "credible",
        "FAIL" if beyond else "PASS",
        standing.score,
        name,
        limit,
        f"{name} {standing.score:.3f} out of sample"
        + (f" is too good to be true (over {limit:g}): look for a leak" if beyond else ""),
    )
    low, high = np.quantile(standing.draws, (0.025, 0.975))
    nothing = NO_SKILL[exam.kind]
    skilled = standing.beaten >= BEATS and standing.score > nothing
    lacks = LUCK if standing.beaten < BEATS else f": no better than {nothing:g}, no skill at all"
    placebo = Check(
        subject,
        "placebo",
        "PASS" if skilled else "FAIL" if edge else "NOT EVALUATED",
        standing.beaten,
        "share of shifted placebos beaten",
        BEATS,
        f"{name} {standing.score:.3f} beats {standing.beaten:.1%} of {len(standing.draws)} "
        f"placebos with shifted outcomes (95 % of them from {low:.3f} to {high:.3f})"
        + ("" if skilled else lacks if edge else MADE_UP),
    )
    return credible, placebo


def shuffle_check(subject: str, exam: Exam, standing: Standing | str) -> Check:
    """Whether outcomes without any meaning were forecast.

    Parameters
    ----------
    subject : str
    exam : Exam
    standing : Standing or str
        As of :func:`~counterpoise.appraisal.placebo.shuffled`.
    """
    if isinstance(standing, str):
        return not_evaluated(subject, "shuffled labels", standing)
    leaks = standing.deviations > SHUFFLED_LIMIT
    return Check(
        subject,
        "shuffled labels",
        "FAIL" if leaks else "PASS",
        standing.deviations,
        "standard deviations above no skill",
        SHUFFLED_LIMIT,
        f"learning from shuffled outcomes it scores {SCORE_NAMES[exam.kind]} "
        f"{standing.score:.3f} on them, where no skill is {standing.draws.mean():.3f}"
        + (": it knows outcomes it should not" if leaks else ""),
    )


def audit_pipeline(
    subject: str, pipeline: Pipeline, exam: Exam, rows: Sequence[int], *, seed: int = 11
) -> Audit:
    """Audit a whole walk-forward, a user's own included: forecasts from features and outcomes.

    Parameters
    ----------
    subject : str
        What to call it.
    pipeline : callable
        Features (T, F) and outcomes (T,) to out-of-sample forecasts (T,), NaN where there are none.
        It is also run on histories cut short.
    exam : Exam
    rows : sequence of int
        Where time is stopped; the pipeline runs four times for each, and four times more.
    seed : int

    Returns
    -------
    Audit
        ``look-ahead in training``, ``shuffled labels``, ``credible`` and ``placebo``.
    """
    return Audit(
        (
            pipeline_look_ahead(subject, pipeline, exam, rows, seed),
            shuffle_check(subject, exam, shuffled(exam, pipeline, count=SHUFFLES, seed=seed)),
            *_skill(subject, exam, shifted(exam, pipeline(exam.X, exam.y), seed=seed), True),
        )
    )


def audit_model(
    model: Model,
    exam: Exam,
    *,
    embargo_h: int,
    min_train_days: int,
    seed: int = 11,
    edge: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Audit a model on a target: leaks first, then whether it is any good.

    Parameters
    ----------
    model : Model
        Learns some fifty times; refits are three months apart.
    exam : Exam
    embargo_h, min_train_days : int
        As of the settings (``signals``).
    seed : int
        Of the fits, the ticks, the invented futures and the placebos.
    edge : bool
        Whether there is anything to find; where not (a made-up market), a lack of skill is no
        failure.
    progress : callable, optional
        Called as ``progress(what, done, of)``.

    Returns
    -------
    Audit
        ``labels``: hours by which outcomes were known before a refit. ``inputs`` and ``folds``:
        features that teach nothing, folds with one kind of outcome, named. ``look-ahead in
        forecasting`` and ``in training``: forecasts that change when only the future does.
        ``memory between fits``. ``warm-up``: how far forecasts move when history begins 90 days
        before them, at most 0.01 standard deviations. ``credible``: the score, refused where it
        is too good. ``placebo``: share of 200 circular shifts it beats, at least 95 %, with a score
        above no skill. ``shuffled
        labels``: score on shuffled outcomes above no skill, at most 4 standard deviations.

    Raises
    ------
    FixConfig
        The purge is shorter than the horizon.
    NotEnoughData
        The history is too short for a refit.
    """
    splits = refits(exam, embargo_h=embargo_h, min_train_days=min_train_days)
    apart_h = refuse_short_purge(exam, splits)
    # A training with one kind of outcome is named; no model is asked to learn from it.
    walk = Walk(model, tuple(one for one in splits if not _one_sided(exam, one)), seed)
    rng = np.random.default_rng(seed)
    done, of = 0, len(walk.splits) + 5 + SHUFFLES
    subject = f"{model.name} {exam.name}"

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(subject, done, of)

    checks = [*_outcomes(subject, exam, splits, apart_h), _inputs(subject, exam, splits)]
    if not walk.splits:
        reason = "no training has two kinds of outcome"
        return Audit((*checks, *(not_evaluated(subject, name, reason) for name in OF_FITS)))
    checks.append(memory(subject, walk, exam))
    told()
    checks.append(forecast_look_ahead(subject, walk, exam, FORECASTS, seed))
    told()
    stops = [
        int(rng.integers(split.predict.start, split.predict.stop))
        for split in _spread(walk.splits, TRAININGS)
    ]
    checks.append(pipeline_look_ahead(subject, walk, exam, stops, seed))
    told()
    checks.append(beginning(subject, walk, exam, BEGINNINGS_H, MOVES))
    told()
    forecasts = np.full(len(exam.y), np.nan)
    for split in walk.splits:
        rows = split.predict
        forecasts[rows] = replace(walk, splits=(split,))(exam.X, exam.y)[rows]
        told()
    checks += _skill(subject, exam, shifted(exam, forecasts, seed=seed), edge)
    told()
    some = replace(walk, splits=_spread(walk.splits, SHUFFLED_REFITS))
    standing = shuffled(exam, some, count=SHUFFLES, seed=seed, told=told)
    checks.append(shuffle_check(subject, exam, standing))
    return Audit(tuple(checks))


def _one_sided(exam: Exam, split: Split) -> bool:
    y = exam.y[split.train]
    y = y[np.isfinite(y)]
    return len(y) == 0 or bool(y.min() == y.max())
