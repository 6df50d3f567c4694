"""What a lake's history lets one know of each feature: how often, from when to when, and why not.

Descriptions only: whether a feature is worth anything in a forecast is not judged here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.features.catalog import FEATURES, raw_inputs
from counterpoise.features.engine import FeatureMatrix, column
from counterpoise.market.timeline import Timeline

Floats = NDArray[np.float64]
State = Literal["varies", "constant", "not evaluated"]


@dataclass(frozen=True)
class Coverage:
    """How far one feature is known on a timeline.

    Attributes
    ----------
    name : str
    state : str
        ``constant`` where every known value is the same, ``not evaluated`` where none is known.
    reason : str
        Why it is not evaluated; empty otherwise.
    known : float
        Share of the ticks with a value.
    first_ms, last_ms : int or None
        First and last tick with a value.
    low, median, high : float
        5th, 50th and 95th percentile of the values; NaN where none is known.
    """

    name: str
    state: State
    reason: str
    known: float
    first_ms: int | None
    last_ms: int | None
    low: float
    median: float
    high: float


def _reason(name: str, timeline: Timeline) -> str:
    """Why a feature without a value has none."""
    absent = [part for part in raw_inputs(name) if not np.isfinite(column(timeline, part)).any()]
    if any(part.startswith("events.") for part in absent):
        return "the lake holds no calendar: counterpoise data fetch events"
    if any(part.startswith("hourly.btc_") for part in absent):
        return "the lake holds no spot bars of BTC: counterpoise update"
    series = [part.split(".")[1] for part in absent if part.startswith(("daily.", "hourly."))]
    if series:
        return f"the lake holds no {' and no '.join(series)}"
    if any(part.startswith("rule.") for part in absent):
        return f"no funding rule is registered for {timeline.venues[0]}"
    if absent:
        return f"the lake holds no {' and no '.join(absent)}"
    return f"its inputs are never known together for {max(FEATURES[name].warm_up, 1)} h on end"


def coverage(timeline: Timeline, features: FeatureMatrix) -> tuple[Coverage, ...]:
    """Coverage of each feature of a matrix, in its order.

    Parameters
    ----------
    timeline : Timeline
    features : FeatureMatrix
        Of this timeline.
    """
    found = []
    for name in features.names:
        values = features[name]
        ticks = np.flatnonzero(np.isfinite(values))
        if len(ticks) == 0:
            nothing = (0.0, None, None, np.nan, np.nan, np.nan)
            found.append(Coverage(name, "not evaluated", _reason(name, timeline), *nothing))
            continue
        known = values[ticks]
        low, median, high = (float(value) for value in np.percentile(known, (5, 50, 95)))
        found.append(
            Coverage(
                name,
                "constant" if known.min() == known.max() else "varies",
                "",
                len(ticks) / len(values),
                int(timeline.ts_ms[ticks[0]]),
                int(timeline.ts_ms[ticks[-1]]),
                low,
                median,
                high,
            )
        )
    return tuple(found)
