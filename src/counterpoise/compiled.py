"""The one place that chooses how inner loops are compiled."""

from collections.abc import Callable
from typing import Any, cast

import numba


def njit[F: Callable[..., Any]](function: F) -> F:
    """Compile with numba, no Python objects, no interpreter lock, IEEE arithmetic, cached."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))


def njit_in_place[F: Callable[..., Any]](function: F) -> F:
    """As :func:`njit`, for a function that creates no array and is called in a hot loop.

    It counts no references: the counters are shared by all threads, and counting them at every
    call costs more than the work itself. A division by zero gives an infinity, not an error.
    """
    options: dict[str, Any] = {"_nrt": False}  # known to numba, unknown to its type stubs
    compiled = numba.njit(cache=True, nogil=True, forceinline=True, error_model="numpy", **options)
    return cast(F, compiled(function))


def njit_parallel[F: Callable[..., Any]](function: F) -> F:
    """As :func:`njit`, with ``numba.prange`` loops spread over the cores."""
    return cast(F, numba.njit(cache=True, parallel=True)(function))
