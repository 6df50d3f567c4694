"""How far the next and the last event of each class are, as known at each tick.

An event counts as coming from its announcement until it takes effect or is withdrawn, and as past
from then on. What was not announced yet, or withdrawn by then, does not exist.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.calendar import CLASSES
from counterpoise.market.timeline import Floats
from counterpoise.units import HOUR_MS

Millis = NDArray[np.int64]

_NEVER = np.iinfo(np.int64).max


def names_of(kind: str) -> tuple[str, str]:
    """Names of the two series of a class.

    Examples
    --------
    >>> names_of("network-upgrade")
    ('hours_to_upgrade', 'hours_since_upgrade')
    """
    short = kind.rpartition("-")[2]
    return f"hours_to_{short}", f"hours_since_{short}"


def event_clock(events: pl.DataFrame, ts_ms: Millis) -> dict[str, Floats]:
    """Hours to the next event and since the last one, by class.

    Parameters
    ----------
    events : DataFrame (N, ...)
        The table ``events``.
    ts_ms : int64 (T,)
        Ticks in ascending order.

    Returns
    -------
    dict of str to float64 (T,)
        Keys :func:`names_of`; infinite where none is announced, or none has been.
    """
    found: dict[str, Floats] = {}
    for kind in CLASSES:
        rows = events.filter(pl.col("class") == kind)
        effective = rows["ts"].dt.epoch("ms").to_numpy()
        known = rows["known_at"].dt.epoch("ms").to_numpy()
        withdrawn = rows["withdrawn_at"].dt.epoch("ms").fill_null(_NEVER).to_numpy()
        ahead = np.full(len(ts_ms), np.inf)
        behind = np.full(len(ts_ms), np.inf)
        for at, since, until in zip(effective, known, withdrawn, strict=True):
            first, last = np.searchsorted(ts_ms, (since, min(at, until)))
            span = slice(first, last)
            ahead[span] = np.minimum(ahead[span], (at - ts_ms[span]) / HOUR_MS)
            if until > at:
                past = slice(np.searchsorted(ts_ms, max(at, since)), None)
                behind[past] = np.minimum(behind[past], (ts_ms[past] - at) / HOUR_MS)
        to, past_name = names_of(kind)
        found |= {to: ahead, past_name: behind}
    return found


def event_times(events: dict[str, Floats], ts_ms: Millis, kind: str) -> Millis:
    """Moments at which events of a class took effect, read back from the clock.

    Parameters
    ----------
    events : dict of str to float64 (T,)
        What :func:`event_clock` gave.
    ts_ms : int64 (T,)
        The ticks it gave it for.
    kind : str
        One of the classes of the calendar.

    Returns
    -------
    int64 (N,)
        Ascending, from the first tick to the last. What was withdrawn never took effect; of two
        events between the same two ticks only the later one is on the clock.
    """
    since = events[names_of(kind)[1]]
    seen = np.isfinite(since)
    times: Millis = np.unique(ts_ms[seen] - np.rint(since[seen] * HOUR_MS).astype(np.int64))
    inside: Millis = times[times >= ts_ms[0]]
    return inside
