"""What is forecast as of the newest hour of a timeline, and why, ready for JSON."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.errors import FixConfig
from counterpoise.features.engine import compute
from counterpoise.market.timeline import Timeline
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.explain import Explainer
from counterpoise.signals.live import LiveSignals
from counterpoise.signals.replay import replay, start_row
from counterpoise.signals.store import list_runs, newest
from counterpoise.signals.targets import Target
from counterpoise.units import stamp

#: Contributions of each forecast that are named.
SHOWN = 5


def find_run(folder: Path, name: str | None) -> Path:
    """Folder of a run; of the newest where none is named.

    Raises
    ------
    FixConfig
        The store has no run of that name.
    NotEnoughData
        The store has none at all.
    """
    if name is None:
        return newest(folder)
    known = [run.path.name for run in list_runs(folder)]
    if name not in known:
        told = f"one of {', '.join(known)}" if known else f"a run; {folder} holds none"
        raise FixConfig("--run", name, told, "see: counterpoise signals runs")
    return folder / name


def current(
    bundle: Bundle, targets: Mapping[str, Target], timeline: Timeline, *, shown: int = SHOWN
) -> dict[str, Any]:
    """Replay the last hours and tell what holds at the newest.

    Parameters
    ----------
    bundle : Bundle
    targets : mapping of str to Target
        What the programme calls the targets of the bundle; those it does not know move no bound.
    timeline : Timeline
    shown : int
        Contributions of each forecast.

    Returns
    -------
    dict
        ``time``, ``run``, ``trained_to``, ``expires``; ``fallback`` and ``since`` (None where the
        values stand); ``c`` in its three readings; ``targets``: for each its value, interval, what
        the interval is ``about``, and ``score``, ``base``, ``unit``, ``contributions`` and
        ``notes`` of ``explain``. In fallback nothing is explained. Unknown numbers are NaN.
    """
    live = LiveSignals(bundle)
    known = {one.name: targets[one.name] for one in bundle.targets if one.name in targets}
    hours = replay(live, known, timeline, start=start_row(live, bundle, timeline))
    (signals,) = deque(hours, maxlen=1)
    explainer = None
    if signals.fallback is None:
        rows = np.ascontiguousarray(compute(timeline, bundle.features).values)
        explainer = Explainer(bundle, rows, len(rows) - 1)
    told = {}
    for target in bundle.targets:
        name = target.name
        about = "spot return" if target.output == "probability" else "the forecast itself"
        found: dict[str, Any] = {
            "value": signals.values[name],
            "lower": signals.lower[name],
            "upper": signals.upper[name],
            "about": about,
            "output": target.output,
            "horizon_h": target.horizon_h,
        }
        if explainer is not None:
            why = explainer.explain(name)
            found |= {"score": why.score, "base": why.base, "unit": why.unit}
            found |= {"contributions": why.top(shown), "notes": list(why.notes)}
        told[name] = found
    return {
        "time": stamp(signals.ts_ms),
        "ts_ms": signals.ts_ms,
        "run": bundle.run,
        "trained_to": bundle.trained_to.isoformat(),
        "expires": bundle.expires.isoformat(),
        "fallback": signals.fallback,
        "since": None if signals.since_ms is None else stamp(signals.since_ms),
        "c": {
            "literal": signals.literal,
            "bearish": signals.bearish,
            "hedge_value": signals.hedge_value,
        },
        "targets": told,
    }
