"""The one place that chooses how inner loops are compiled."""

from collections.abc import Callable
from typing import Any, cast

import numba


def njit[F: Callable[..., Any]](function: F) -> F:
    """Compile with numba, no Python objects, IEEE arithmetic, cached on disk."""
    return cast(F, numba.njit(cache=True)(function))


def njit_parallel[F: Callable[..., Any]](function: F) -> F:
    """As :func:`njit`, with ``numba.prange`` loops spread over the cores."""
    return cast(F, numba.njit(cache=True, parallel=True)(function))
