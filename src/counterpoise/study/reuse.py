"""What earlier studies of a lake computed, kept under the hash of everything it depends on.

The key of a result covers every byte of its inputs, this package's source and the versions of the
libraries behind it, so nothing can be read back that would come out differently today. Which
results are worth keeping is decided by the callers.
"""

import contextlib
import hashlib
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import counterpoise
from counterpoise.config import Settings
from counterpoise.market.timeline import Timeline
from counterpoise.profiling import stage
from counterpoise.signals.forecasts import Fold, Forecasts

Arrays = Mapping[str, NDArray[Any]]

#: Folder of a lake that holds what its studies computed.
FOLDER = "studies"
#: Room for some hundred studies; beyond it what was not used for longest goes.
MOST_BYTES = 200_000_000
#: Libraries whose versions are part of every key.
LIBRARIES = ("arch", "lightgbm", "llvmlite", "numba", "numpy", "scipy")

_SEAL_BYTES = hashlib.sha256().digest_size
_PARTIAL = ".partial"
#: Age beyond which a partial entry belongs to a study that was killed.
_ABANDONED_S = 24 * 3600


def package_digest(package: Path) -> str:
    """SHA-256 of the source of a package and of what it is run with.

    Parameters
    ----------
    package : Path
        Its folder; every ``.py`` file below it counts, with its name.
    """
    digest = hashlib.sha256(repr((sys.version, [version(name) for name in LIBRARIES])).encode())
    for file in sorted(package.rglob("*.py")):
        text = file.read_bytes()
        digest.update(repr((file.relative_to(package).as_posix(), len(text))).encode())
        digest.update(text)
    return digest.hexdigest()


@cache
def _our_digest() -> str:
    return package_digest(Path(counterpoise.__file__).parent)


def fingerprint(*parts: object) -> str:
    """SHA-256 of values, to the last bit, and of their types and shapes.

    Parameters
    ----------
    *parts
        Numbers, text, None, arrays, and tuples, lists, dicts and dataclasses of them.

    Raises
    ------
    TypeError
        A value of another type, which might depend on more than its bytes.

    Examples
    --------
    >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros(2))
    True
    >>> fingerprint(np.zeros(2)) == fingerprint(-np.zeros(2))
    False
    """
    digest = hashlib.sha256()

    def feed(part: object) -> None:
        if part is None or isinstance(part, bool | int | float | str | bytes):
            text = repr(part)
            digest.update(f"{type(part).__name__} {len(text)} {text};".encode())
        elif isinstance(part, np.ndarray | np.generic) and part.dtype.kind in "biufM":
            digest.update(f"array {part.dtype.str} {part.shape} ".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, tuple | list):
            digest.update(f"{len(part)} of ".encode())
            for item in part:
                feed(item)
        elif isinstance(part, dict):
            feed(list(part.items()))
        elif is_dataclass(part) and not isinstance(part, type):
            feed([(field.name, getattr(part, field.name)) for field in fields(part)])
        else:
            raise TypeError(f"a fingerprint of {type(part).__name__} would not cover all of it")

    feed(parts)
    return digest.hexdigest()


class Shelf:
    """Results of earlier studies in one folder.

    Any number of studies may use a folder at once: entries are written whole under the hash of
    their inputs, so two writers of one entry write the same. A damaged entry is computed again.

    Parameters
    ----------
    folder : Path or None
        Made by the first entry; without one nothing is kept and nothing is found.
    code : str, optional
        Digest of the code behind the results; this package's by default.

    Attributes
    ----------
    reused, computed : Counter of str
        Results found, and results computed, by kind.
    refused : OSError or None
        Why an entry could not be written; the study goes on without it.
    """

    def __init__(self, folder: Path | None, code: str | None = None) -> None:
        self.folder = folder
        self.reused: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()
        self.refused: OSError | None = None
        self._code = code

    def recall(
        self, kind: str, inputs: tuple[object, ...], compute: Callable[[], Arrays]
    ) -> Arrays:
        """Arrays of an earlier study with the same inputs, else what ``compute`` returns.

        Parameters
        ----------
        kind : str
            What is computed, in one word; part of the key.
        inputs : tuple
            Everything the result depends on, for :func:`fingerprint`.
        compute : callable
            Must depend on ``inputs`` and on code alone.
        """
        if self.folder is None:
            self.computed[kind] += 1
            return compute()
        if self._code is None:
            self._code = _our_digest()
        file = self.folder / f"{kind}-{fingerprint(self._code, kind, inputs)}.npz"
        found = _read(file)
        if found is not None:
            self.reused[kind] += 1
            return found
        self.computed[kind] += 1
        computed = compute()
        try:
            _write(file, computed)
        except OSError as refused:
            self.refused = refused
        return computed

    def trim(self, most_bytes: int = MOST_BYTES) -> None:
        """Delete what was not used for longest until ``most_bytes`` are left."""
        if self.folder is None or not self.folder.is_dir():
            return
        held = []
        for file in self.folder.iterdir():
            try:
                found = file.stat()
            except FileNotFoundError:  # another study trims too
                continue
            if file.suffix != _PARTIAL:
                held.append((found.st_mtime_ns, found.st_size, file))
            elif found.st_mtime < time.time() - _ABANDONED_S:
                file.unlink(missing_ok=True)
        size = sum(one[1] for one in held)
        for _, freed, file in sorted(held):
            if size <= most_bytes:
                return
            file.unlink(missing_ok=True)
            size -= freed


def recall_forecasts(
    shelf: Shelf, timeline: Timeline, settings: Settings, compute: Callable[[], Forecasts]
) -> Forecasts:
    """Forecasts of an earlier study of the same history, else those of ``compute``.

    Parameters
    ----------
    shelf : Shelf
    timeline : Timeline
    settings : Settings
        The sections that ``signals.training.forecast`` reads count: signals, costs and venue.
    compute : callable
        Trains, or reads, the models and forecasts.
    """
    names = [field.name for field in fields(Forecasts) if field.name != "folds"]

    def arrays() -> Arrays:
        found = compute()
        folds = [(f.train_rows, f.train_end_ms, f.first_ms, f.last_ms) for f in found.folds]
        return {
            **{name: getattr(found, name) for name in names},
            "fold_targets": np.array([fold.target for fold in found.folds]),
            "fold_rows": np.array(folds, dtype=np.int64).reshape(-1, 4),
        }

    read = settings.model_dump(mode="json", include={"signals", "costs", "venue"})
    with stage("look for earlier results"):
        known = shelf.recall("forecasts", (read, timeline), arrays)
    folds = zip(known["fold_targets"].tolist(), known["fold_rows"].tolist(), strict=True)
    return Forecasts(
        **{name: known[name] for name in names},
        folds=tuple(Fold(target, *row) for target, row in folds),
    )


def _read(file: Path) -> dict[str, NDArray[Any]] | None:
    """Arrays of an entry, marked as used now; None where there is none or its seal is broken."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    seal, payload = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    if hashlib.sha256(payload).digest() != seal:
        return None
    # A lake that can only be read, or an entry just trimmed: what was read is good all the same.
    with contextlib.suppress(OSError):
        os.utime(file)
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return dict(arrays)


def _write(file: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **cast(dict[str, Any], dict(arrays)))
    payload = buffer.getvalue()
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=file.parent, suffix=_PARTIAL)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(hashlib.sha256(payload).digest() + payload)
        Path(partial).replace(file)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
