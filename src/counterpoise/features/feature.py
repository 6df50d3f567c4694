"""What a feature is: a recursion bound to its inputs and memory, and what to know before using it.

Recursions and their entries live in the rooms ``catalog`` imports; ``engine`` runs them.

A recursion is ``update(state, x, out)``, compiled. ``x`` holds one array per input, each of the
same n consecutive ticks; ``out`` takes n values. History is one call over every tick, live is one
call per tick, and both are the same machine code: what a call has to remember for the next it
leaves in ``state``. Every recursion states the head of its state; the rest, where there is any, is
a ring as long as the window, or several side by side. Windows move with the clock, so in a ring a
gap takes its place: as NaN, or as 0 beside a flag of 0 where the ring is summed. Unless a docstring
says otherwise a NaN input gives NaN and leaves the state alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.registry import Registry

Floats = NDArray[np.float64]
Update = Callable[[Floats, tuple[Floats, ...], Floats], None]
Known = Literal["bar close", "settlement", "reading", "day's end", "release", "announced", "always"]

#: When the newest input of a feature could first have been had.
KNOWN_AT: dict[Known, str] = {
    "bar close": "at the close of the hourly bar",
    "settlement": "when the funding rate has been settled",
    "reading": "when it was read; 5 minutes late for metrics, an hour for gas",
    "day's end": "after its UTC day has ended, as the lake's known_at says",
    "release": "after its release, as the lake's known_at says",
    "announced": "when the date was announced, as the lake's known_at says",
    "always": "by the clock alone",
}
HOURS_PER_YEAR = 8760.0
#: Share of a window that must be known before it says anything (20 of 24 hours).
KNOWN_SHARE = 5.0 / 6.0


@dataclass(frozen=True)
class Memory:
    """Preallocated state of a recursion.

    Attributes
    ----------
    head : tuple of float
        Named slots and parameters, in the order the recursion states.
    ring : int
        Slots that follow: one window, or several of one length side by side.
    empty : float
        What the slots hold at first: NaN (nothing known yet), or 0 where they are summed.
    """

    head: tuple[float, ...] = ()
    ring: int = 0
    empty: float = float("nan")

    def fresh(self) -> Floats:
        """A state that has seen nothing; shape (len(head) + ring,)."""
        return np.concatenate([np.array(self.head, float), np.full(self.ring, self.empty)])


@dataclass(frozen=True)
class Shared:
    """A number several features feed on, computed once: no feature by itself.

    Attributes
    ----------
    inputs : tuple of str
        As of :class:`Feature`.
    update : callable
    memory : Memory
    """

    inputs: tuple[str, ...]
    update: Update
    memory: Memory


@dataclass(frozen=True)
class Feature:
    """One number per tick, made by one recursion.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        In the order of the recursion's ``x``: columns of the timeline (``engine.column``),
        ``shared.NAME`` of :data:`SHARED`, or ``feature.NAME`` of another feature.
    update : callable
        Compiled recursion.
    memory : Memory
    warm_up : int
        Ticks of gap-free input, settlements every 8 h, before the first value.
    unit : str
    known_at : str
        A key of :data:`KNOWN_AT`.
    formula : str
    pitfall : str
    """

    name: str
    inputs: tuple[str, ...]
    update: Update
    memory: Memory
    warm_up: int
    unit: str
    known_at: Known
    formula: str
    pitfall: str


FEATURES: Registry[Feature] = Registry("feature")
SHARED: Registry[Shared] = Registry("shared number")


def add(
    name: str,
    inputs: str,
    update: Update,
    memory: Memory,
    *,
    warm_up: int,
    unit: str,
    known_at: Known,
    formula: str,
    pitfall: str,
) -> None:
    """Register a feature; ``inputs`` are separated by blanks."""
    parts = tuple(inputs.split())
    FEATURES.add(
        name, Feature(name, parts, update, memory, warm_up, unit, known_at, formula, pitfall)
    )


@njit
def newest_weight(span: float, count: float) -> float:
    """Weight of the newest of ``count`` values: an EWMA that starts as a plain mean."""
    return max(2.0 / (span + 1.0), 1.0 / count)


@njit
def median(values: Floats, scratch: Floats) -> float:
    """Median of the values known, NaN where none is; ``scratch`` is as long and is overwritten.

    By insertion: for the few values of a small ring nothing is faster, and nothing is allocated.
    """
    known = 0
    for value in values:
        if np.isnan(value):
            continue
        place = known
        while place > 0 and scratch[place - 1] > value:
            scratch[place] = scratch[place - 1]
            place -= 1
        scratch[place] = value
        known += 1
    if known == 0:
        return np.nan
    return float(0.5 * (scratch[(known - 1) // 2] + scratch[known // 2]))
