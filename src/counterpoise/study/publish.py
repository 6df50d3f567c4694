"""Putting a finished study in the place of an earlier one: all of it, or the earlier one stays.

What a study writes goes to a hidden folder beside it and is moved into place when complete; a move
that fails is taken back. Only the few renames themselves could be caught half-way, by a kill.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".study-"


@contextmanager
def replacing(out: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Folder to write a study into; what is in it replaces what ``out`` holds when the body ends.

    Parameters
    ----------
    out : Path
        Made where it is missing. Two studies that finish at once take turns.
    names : tuple of str
        Files and folders the body writes.

    Raises
    ------
    OSError
        No permission or no space; ``out`` is as it was.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    lock = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever holds the lock is the only writer: these were left by a study that was killed.
        for left in out.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out))
        try:
            yield staging
            _move_in(staging, out, names)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(lock)
        if made:
            with suppress(OSError):  # not empty: the study is in it
                out.rmdir()


def _move_in(staging: Path, out: Path, names: tuple[str, ...]) -> None:
    """Move what was written into place; where that fails, move the old back."""
    old, new = staging / "old", staging / "new"
    old.mkdir()
    new.mkdir()
    touched: list[str] = []
    try:
        for name in names:
            touched.append(name)
            if (out / name).is_dir():
                os.replace(out / name, old / name)
            elif (out / name).exists():
                # Copied, not moved: a file is never absent.
                shutil.copy2(out / name, old / name)
            os.replace(staging / name, out / name)
    except BaseException:
        for name in touched:
            with suppress(OSError):
                if (staging / name).exists():
                    if not (out / name).exists():
                        os.replace(old / name, out / name)
                    continue
                os.replace(out / name, new / name)
                os.replace(old / name, out / name)
        raise
