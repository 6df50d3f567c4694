"""The one place that chooses how inner loops are compiled."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numba


def _forget_what_changed(package: Path) -> None:
    """Delete code on disk that was compiled from another state of the package.

    numba asks only whether the file of the outermost function changed, but functions are inlined
    across files: a kernel must not outlive an edit of the decision inside it.
    """
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        seen = source.stat()
        digest.update(f"{source.relative_to(package)} {seen.st_mtime_ns} {seen.st_size}\n".encode())
    state, kept = digest.hexdigest(), package / "__pycache__" / "compiled.state"
    try:
        if kept.exists() and kept.read_text(encoding="utf-8") == state:
            return
        for index in package.rglob("*.nbi"):
            index.unlink(missing_ok=True)
        kept.parent.mkdir(exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(state, encoding="utf-8")
        partial.replace(kept)
    except OSError:
        return  # where nothing can be written, nothing was edited in place


_forget_what_changed(Path(__file__).parent)


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
