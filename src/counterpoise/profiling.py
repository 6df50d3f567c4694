"""Where a command's time goes: named stages, timed only while a :func:`profiled` block is open.

Outside of one, a stage costs a look at a context variable. It knows wall-clock time of stages the
code names itself; it is no sampling profiler, and threads a stage starts count for that stage.
"""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: Name of the time no stage claims.
OTHER = "other"


@dataclass(frozen=True)
class StageTime:
    """Wall-clock seconds of one stage, without those of stages inside it, and its calls."""

    name: str
    seconds: float
    calls: int


class Profile:
    """Seconds by stage, from the moment it is made; :func:`profiled` makes one."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {OTHER: 0.0}
        self._calls: dict[str, int] = {OTHER: 1}
        self._open = [OTHER]
        self._since = time.perf_counter()

    def _book(self) -> None:
        """Give the time since the last change to the innermost open stage."""
        now = time.perf_counter()
        self._seconds[self._open[-1]] += now - self._since
        self._since = now

    def enter(self, name: str) -> None:
        """Begin a stage inside those that are open."""
        self._book()
        self._seconds.setdefault(name, 0.0)
        self._calls[name] = self._calls.get(name, 0) + 1
        self._open.append(name)

    def leave(self) -> None:
        """End the stage begun last."""
        self._book()
        self._open.pop()

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """Every stage in the order of its first call, then what no stage claimed.

        Their seconds add up to the time since the profile was made.
        """
        self._book()
        names = [*(name for name in self._seconds if name != OTHER), OTHER]
        return tuple(StageTime(name, self._seconds[name], self._calls[name]) for name in names)


_current: ContextVar[Profile | None] = ContextVar("profile", default=None)


@contextmanager
def profiled(wanted: bool = True) -> Iterator[Profile | None]:
    """Time the stages of a block; yields None and times nothing unless ``wanted``.

    Examples
    --------
    >>> with profiled() as profile:
    ...     with stage("read"):
    ...         pass
    >>> [(one.name, one.calls) for one in profile.stages]
    [('read', 1), ('other', 1)]
    """
    profile = Profile() if wanted else None
    token = _current.set(profile)
    try:
        yield profile
    finally:
        _current.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count a block, or as a decorator a function's calls, towards a stage of the open profile."""
    profile = _current.get()
    if profile is None:
        yield
        return
    profile.enter(name)
    try:
        yield
    finally:
        profile.leave()


def peak_memory_bytes() -> int:
    """Most memory this process has held at once, resident, since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
