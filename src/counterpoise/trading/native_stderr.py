"""Keeps what native code says on its error stream out of the terminal, and in a file.

NautilusTrader writes its errors to file descriptor 2 whatever its log level is; a cancel that came
after a fill is one of them. Its log has them as well; a crash of native code is in this file alone.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The file descriptor that native code calls its error stream.
ERRORS = 2


@contextmanager
def native_stderr(into: Path) -> Iterator[None]:
    """Let file descriptor 2 lead to a file; Python's own stderr stays where it was.

    Parameters
    ----------
    into : Path
        Appended to.
    """
    python = sys.stderr
    python.flush()
    terminal = os.dup(ERRORS)
    with into.open("ab") as file, os.fdopen(terminal, "w", buffering=1) as here:
        if _fileno(python) == ERRORS:
            sys.stderr = here
        os.dup2(file.fileno(), ERRORS)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, ERRORS)
            sys.stderr = python


def _fileno(stream: object) -> int:
    """Descriptor of a stream; -1 of one that has none."""
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return -1
