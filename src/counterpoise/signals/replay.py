"""The last hours of a timeline through live signals: how a process starts after a pause.

Outcomes are told as they become known, so bounds and calibration are where they would be had the
process never stopped.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from counterpoise.features.engine import column
from counterpoise.market.timeline import Timeline
from counterpoise.signals import conformal
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.final import bounded
from counterpoise.signals.live import LiveSignals, Signals
from counterpoise.signals.targets import Target
from counterpoise.units import HOUR_MS, to_ms

Floats = NDArray[np.float64]

#: Warm-ups to replay: a recursion without end has then forgotten where it began.
WARM_UPS = 3


def start_row(live: LiveSignals, bundle: Bundle, timeline: Timeline) -> int:
    """Row to replay from: warm at the end of the training, or now if that is earlier."""
    last = len(timeline.ts_ms) - 1
    trained = (to_ms(bundle.trained_to) - int(timeline.ts_ms[0])) // HOUR_MS
    return int(max(min(trained, last) - WARM_UPS * live.warm_up_h, 0))


def replay(
    live: LiveSignals,
    targets: Mapping[str, Target],
    timeline: Timeline,
    *,
    start: int,
    fed: int | None = None,
) -> Iterator[Signals]:
    """Feed every hour from a row on, or those that came since.

    Parameters
    ----------
    live : LiveSignals
        Fresh, or as an earlier replay of a beginning of this timeline left it.
    targets : mapping of str to Target
        Those of the bundle, for their outcomes.
    timeline : Timeline
    start : int
    fed : int, optional
        Rows that the earlier replay had; with the same ``start``.

    Yields
    ------
    Signals
        Of each hour in turn.
    """
    rows = np.column_stack([column(timeline, name) for name in live.inputs])
    known = {
        key: conformal.delayed(bounded(target, timeline), target.horizon_h)
        for key, target in targets.items()
    }
    happened = {
        key: conformal.delayed(target.outcome(timeline).values, target.horizon_h)
        for key, target in targets.items()
        if key in live.calibration_z()
    }
    for t in range(start if fed is None else fed, len(rows)):
        ts_ms = int(timeline.ts_ms[t])
        told = {key: float(values[t]) for key, values in known.items()}
        yield live.update(rows[t], ts_ms=ts_ms, known=told)
        for key, values in happened.items():
            before = t - targets[key].horizon_h
            if before >= start:
                live.outcome(key, int(timeline.ts_ms[before]), float(values[t]))
