"""The ledger of trials a machine keeps: one line of JSON for each, only ever appended to.

It lies beside the models it tried. The same configuration tried twice counts once, whatever its
score; a trial that helped nothing counts like any other. Trials entered by hand are elsewhere.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from counterpoise.errors import RejectData
from counterpoise.sealed import digest

#: Name of the file in the folder of the models.
FILE = "trials.jsonl"

Parameter = float | int | str | list[int]


@dataclass(frozen=True)
class Trial:
    """One configuration and what came of it.

    Attributes
    ----------
    what : str
        What was tried, in words.
    target : str
        What was forecast: ``direction.4h``.
    parameters : dict
        Every choice that was made, by name.
    data_until : str
        Last moment the choice could see, ISO 8601.
    measure : str
        What the score is: ``auc``.
    score : float or None
        Out of sample; None where it is undefined.
    when : str
        Moment of the trial, ISO 8601.
    """

    what: str
    target: str
    parameters: dict[str, Parameter]
    data_until: str
    measure: str
    score: float | None
    when: str

    @property
    def configuration(self) -> str:
        """Digest of what makes this a trial of its own: all but the score and the moment."""
        return digest(self.what, self.target, self.parameters, self.data_until, self.measure)


@contextmanager
def _locked(path: Path, mode: str, kind: int) -> Iterator[IO[bytes]]:
    with path.open(mode, buffering=0) as file:
        fcntl.flock(file, kind)
        yield file


def _broken(path: Path, row: int, line: bytes, expected: str) -> RejectData:
    return RejectData(
        str(path),
        f"line {row}",
        line.decode("utf-8", errors="replace"),
        expected,
        "restore that line from a copy, or delete it and run that trial again",
    )


def _trials(path: Path, content: bytes) -> list[Trial]:
    found = []
    lines = content.split(b"\n")
    if lines.pop():
        last = len(lines) + 1
        raise _broken(path, last, content.split(b"\n")[-1], "a whole line, this one has no end")
    for row, line in enumerate(lines, start=1):
        try:
            raw = json.loads(line)
            seal = raw.pop("seal")
            trial = Trial(**raw)
            if seal != digest(asdict(trial)):
                raise ValueError
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise _broken(path, row, line, "a trial as it was appended") from None
        found.append(trial)
    return found


def read(path: Path) -> list[Trial]:
    """Every trial of a ledger in the order of appending; none where there is no file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    RejectData
        A line that is not as it was appended, named by its number; a last one cut short is such
        a line, so no trial is lost in silence.
    """
    try:
        with _locked(path, "rb", fcntl.LOCK_SH) as file:
            return _trials(path, file.read())
    except FileNotFoundError:
        return []


def count(path: Path) -> int:
    """How many configurations a ledger holds; the same one twice counts once."""
    return len({trial.configuration for trial in read(path)})


def append(path: Path, trial: Trial) -> bool:
    """Append a trial, whole or not at all; several runs may append at once.

    Parameters
    ----------
    path : Path
        Made where missing, with its folder.
    trial : Trial

    Returns
    -------
    bool
        False where this configuration with this score is there already: a run taken up again.

    Raises
    ------
    RejectData
        The ledger is damaged; nothing is appended to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, "a+b", fcntl.LOCK_EX) as file:
        file.seek(0)
        content = file.read()
        before = {(one.configuration, one.score) for one in _trials(path, content)}
        if (trial.configuration, trial.score) in before:
            return False
        raw = asdict(trial) | {"seal": digest(asdict(trial))}
        line = (json.dumps(raw, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            # On a full disk part of a line may be there: the next reader must not stumble over it.
            os.ftruncate(file.fileno(), len(content))
            raise
    return True
