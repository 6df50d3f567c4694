"""Scheduled events: how far the next one is, how long ago the last one was, whether one is near.

Their inputs are the calendar of the lake (``timeline.events``), by when each date was announced.
What ``x``, ``state`` and ``out`` are, and how gaps are kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import Floats, Memory, add

#: Beyond a month an event says nothing about the hours ahead.
HORIZON_H = 720.0
#: Hours around an event that count as near it.
WINDOW_H = 24.0


@njit
def within_horizon(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Hours, at most the horizon: an event further away, or none at all, reads as the horizon.

    ``x`` = (hours,); head = [horizon]. NaN only where there is no calendar.

    Formula: min(h, 720).
    Unit: hours.
    Pitfall: the horizon itself means "none within a month", announced or not.
    Source: SCIENCE §6.
    """
    for t in range(out.shape[0]):
        hours = x[0][t]
        out[t] = hours if np.isnan(hours) else min(hours, state[0])


@njit
def near(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """1 within the window before or after an event, else 0.

    ``x`` = (hours to the next, hours since the last); head = [window]. NaN only where there is no
    calendar.

    Formula: 1(to ≤ 24 or since ≤ 24).
    Unit: 0 or 1.
    Pitfall: a surprise is near only once it has happened.
    Source: SCIENCE §6.
    """
    to, since = x
    for t in range(out.shape[0]):
        if np.isnan(to[t]) or np.isnan(since[t]):
            out[t] = np.nan
        else:
            out[t] = 1.0 if min(to[t], since[t]) <= state[0] else 0.0


for _kind, _what, _pitfall in (
    (
        "upgrade",
        "network upgrade",
        "the Merge had a range of days, not a date, until the week of it",
    ),
    ("regulatory", "regulatory date", "deadlines are known, decisions are not"),
    ("macro", "FOMC statement", "other releases, such as CPI, are not in the shipped calendar"),
):
    for _side, _words in (("to", "to the next"), ("since", "since the last")):
        add(
            f"hours_{_side}_{_kind}",
            f"events.hours_{_side}_{_kind}",
            within_horizon,
            Memory((HORIZON_H,)),
            warm_up=0,
            unit="hours",
            known_at="announced",
            formula=f"min(hours {_words} {_what}, 720)",
            pitfall=_pitfall,
        )
    add(
        f"near_{_kind}",
        f"events.hours_to_{_kind} events.hours_since_{_kind}",
        near,
        Memory((WINDOW_H,)),
        warm_up=0,
        unit="0 or 1",
        known_at="announced",
        formula=f"1 within 24 h before or after a {_what}",
        pitfall=_pitfall,
    )
