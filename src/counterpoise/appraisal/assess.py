"""One call from a timeline to the report of its forecasts; plain types, ready for JSON.

Walks every target forward, judges it, and asks on request what each group of features adds. Prints
nothing and writes nothing but the cache it is given.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.appraisal.ablation import ASKED, ablate
from counterpoise.appraisal.contributions import looked_at
from counterpoise.appraisal.report import report
from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.features.catalog import UNAVAILABLE
from counterpoise.market.timeline import Timeline
from counterpoise.signals import inputs, trial_file
from counterpoise.signals.model import Model
from counterpoise.signals.programme import Programme, Walked, run
from counterpoise.signals.targets import Candidate, Part, Target, choose, targets
from counterpoise.study.trials import trials_before
from counterpoise.units import DAY_MS, stamp, to_ms

Json = dict[str, object]
#: Names of the report that no user's model may bear, beside those of a target's candidates.
OURS = ("lstm", "blend", "best")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What to assess and where to run it.

    Attributes
    ----------
    keys : tuple of str
        Targets; all of them when empty.
    ablation : bool
    network : bool
        Whether the LSTM takes part.
    models, results : Path or None
        Caches of trained trees and of the forecasts of each refit.
    backend, workers, address
        As of :func:`counterpoise.cluster.run`.
    """

    keys: tuple[str, ...] = ()
    ablation: bool = False
    network: bool = True
    models: Path | None = None
    results: Path | None = None
    backend: cluster.Backend = "threads"
    workers: int | None = None
    address: str | None = None


def with_own(found: Mapping[str, Target], own: Mapping[str, Model]) -> dict[str, Target]:
    """Targets with a user's model, by target, among their candidates; it enters no blend.

    Raises
    ------
    FixConfig
        It bears the name of one of ours: the two could not be told apart.
    """
    for key in own.keys() & found.keys():
        taken = [*(one.name for one in found[key].candidates), *OURS]
        if own[key].name in taken:
            raise FixConfig(
                f"--model on {key}: name",
                own[key].name,
                f"a name of its own, none of {', '.join(taken)}",
                "rename it in its file",
            )
    return {
        key: replace(
            target,
            candidates=(
                *target.candidates,
                *(
                    [Candidate(own[key].name, (Part(own[key], target.outcome),))]
                    if key in own
                    else []
                ),
            ),
        )
        for key, target in found.items()
    }


def first_judged(timeline: Timeline, walked: Mapping[str, Walked], settings: Settings) -> int:
    """Moment from which forecasts are judged, ms.

    ``study.start``, or the first midnight after the burn-in at which every target is forecast.

    Raises
    ------
    NotEnoughData
        No such midnight.
    """
    ts_ms = timeline.ts_ms
    if settings.study.start is not None:
        return to_ms(settings.study.start)
    spoken = np.all([np.isfinite(_filled(one.best)) for one in walked.values()], axis=0)
    ready = np.flatnonzero((ts_ms % DAY_MS == 0) & spoken)
    burnt_in = int(ts_ms[0]) + settings.study.burn_in_days * DAY_MS
    later = ready[ts_ms[ready] >= burnt_in]
    if len(later):
        return int(ts_ms[later[0]])
    if len(ready):
        return int(ts_ms[ready[0]])
    raise NotEnoughData(
        f"{stamp(int(ts_ms[0]))} to {stamp(int(ts_ms[-1]))} is too short to train every target "
        f"(signals.min_train_days = {settings.signals.min_train_days}). Next: import a longer "
        "history, lower signals.min_train_days, or name fewer targets with --target."
    )


def _filled(best: NDArray[np.float64]) -> NDArray[np.float64]:
    """A forecast that has begun counts as begun, gaps and all."""
    begun = np.maximum.accumulate(np.isfinite(best))
    return np.where(begun, 0.0, np.nan)


def _searched(models: Path | None) -> int:
    """Configurations a machine search tried on this lake."""
    return 0 if models is None else trial_file.count(models / trial_file.FILE)


def _absent(programme: Programme) -> list[str]:
    unknown = ~np.isfinite(programme.X).any(axis=0)
    names = [name for name, nothing in zip(inputs.NAMES, unknown, strict=True) if nothing]
    never = [f"{', '.join(names)}: the lake never knows them"] if names else []
    return [*never, *(f"{name}: {reason}" for name, reason in UNAVAILABLE.items())]


def assess(
    timeline: Timeline,
    settings: Settings,
    asked: Asked,
    *,
    own: Mapping[str, Model] | None = None,
    progress: Progress | None = None,
) -> tuple[Json, dict[str, Walked]]:
    """Walk, judge and explain.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
        ``signals`` and ``study`` are read.
    asked : Asked
    own : mapping of str to Model, optional
        A user's model for some targets, by key.
    progress : callable, optional
        Called as ``progress(what, done, of)``.

    Returns
    -------
    dict
        As of :func:`counterpoise.appraisal.report.report`, with ``start``, ``end``, ``holdout``,
        ``synthetic``, ``trials``, ``not_evaluated``, ``contributions``, ``ablation``.
    dict of str to Walked

    Raises
    ------
    FixConfig
        An unknown target.
    NotEnoughData
        History too short.
    """
    wanted = with_own(choose(targets(asked.models), asked.keys), own or {})
    programme = Programme.of(timeline, settings.signals)

    def tell(what: str) -> cluster.Progress | None:
        return None if progress is None else lambda done, of: progress(what, done, of)

    given = {}
    if asked.network:
        from counterpoise.signals import network

        given = network.walk(
            programme,
            wanted,
            backend=asked.backend,
            folder=asked.results,
            address=asked.address,
            progress=tell("network"),
        )
    walked = run(
        programme,
        wanted,
        given=given,
        backend=asked.backend,
        folder=asked.results,
        workers=asked.workers,
        address=asked.address,
        progress=tell("refits"),
    )
    start = first_judged(timeline, walked, settings)
    end = int(timeline.ts_ms[-1])
    if settings.study.end is not None:
        end = min(end, to_ms(settings.study.end))
    holdout = to_ms(settings.study.holdout_start)
    trials = trials_before() + _searched(asked.models)
    found = report(timeline, walked, start_ms=start, end_ms=end, holdout_ms=holdout, trials=trials)
    looked = [looked_at(programme, target) for target in wanted.values()]
    found |= {
        "start": stamp(start),
        "end": stamp(end),
        "holdout": stamp(holdout),
        "synthetic": timeline.synthetic,
        "trials": trials,
        "not_evaluated": _absent(programme),
        "contributions": [asdict(one) for one in looked if one is not None],
    }
    if asked.ablation:
        ts_ms = timeline.ts_ms
        rows = (ts_ms >= start) & (ts_ms + 7 * DAY_MS <= end)
        told = ablate(
            programme,
            rows,
            asked=[key for key in ASKED if key in wanted],
            models=asked.models,
            folder=asked.results,
            backend=asked.backend,
            progress=tell("ablation"),
        )
        found["ablation"] = [asdict(one) for one in told]
    return found, walked
