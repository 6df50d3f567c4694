"""What lies beside the tables while they are fetched: downloads, refused files, and a ledger.

A download is kept until its rows are in the lake, so that a run that was killed begins where it
stopped. The ledger says which units the lake has and from which bytes; it is no part of the tables,
and without it everything is fetched again and found to be there. What was left out before newer
rows is noted, so that an update, which begins at the newest row, goes back for it.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterpoise.errors import RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.manifest import unusable, write_durably
from counterpoise.sources.contract import Unit

LEDGER = "fetched.json"
LEFT = "unfetched.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,=:+-]*(/[A-Za-z0-9_][A-Za-z0-9_.,=:+-]*)*")


@dataclass(frozen=True)
class Taken:
    """A unit the lake has whole.

    Attributes
    ----------
    sha256 : str or None
        Of the content, where the source publishes one.
    rows : int
    """

    sha256: str | None
    rows: int


@dataclass(frozen=True)
class Left:
    """Span of a dataset that a fetch asked for and did not get.

    Attributes
    ----------
    key : DatasetKey
    first_ms, last_ms : int
        Half open.
    """

    key: DatasetKey
    first_ms: int
    last_ms: int

    @classmethod
    def of(cls, unit: Unit) -> "Left":
        """Return the span of a unit."""
        return cls(unit.key, unit.first_ms, unit.last_ms)

    def within(self, unit: Unit) -> bool:
        """Whether a unit holds all of it."""
        return (
            self.key == unit.key and unit.first_ms <= self.first_ms and self.last_ms <= unit.last_ms
        )


class Spool:
    """Downloads that wait to be read, and what was refused of them, under the lake's folder.

    Parameters
    ----------
    lake : Path
    """

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._folder = lake / "spool"
        self._quarantine = lake / "quarantine"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a second fetch out while the body runs; leaves no empty folder behind.

        Raises
        ------
        RetryLater
            Another process is fetching into this lake.
        FixConfig
            The folder cannot be made or written.
        """
        busy = RetryLater(
            f"{self.lake} is being fetched into by another process. Next: run this again when it "
            "ends."
        )
        made = [path for path in (self.lake, *self.lake.parents) if not path.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            # Somebody who ended just now has removed it between the two.
            raise busy from None
        except OSError as refused:
            raise unusable(self.lake, refused) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise busy from None
            # A fetch that just ended has removed the folder this lock is on.
            if os.fstat(lock).st_nlink == 0:
                raise busy
            try:
                yield
            finally:
                # Only who holds the lock: folders of a fetch under way may be empty for a while.
                self._tidy()
        finally:
            for path in made:
                with suppress(OSError):
                    path.rmdir()
            os.close(lock)

    def _place(self, unit: Unit) -> Path:
        if not _NAME.fullmatch(unit.name):
            raise ValueError(f"a unit named {unit.name!r}")
        return self._folder / ("final" if unit.final else "tail") / unit.name

    def has(self, unit: Unit) -> bool:
        """Whether a download of the unit is waiting."""
        return self._place(unit).exists()

    def put(self, unit: Unit, content: bytes) -> None:
        """Keep a download, whole or not at all."""
        path = self._place(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)

    def get(self, unit: Unit) -> bytes:
        """Return the bytes of a waiting download."""
        return self._place(unit).read_bytes()

    def drop(self, unit: Unit) -> None:
        """Forget a download; nothing where there is none."""
        self._place(unit).unlink(missing_ok=True)

    def forget_tails(self, units: Mapping[str, Unit]) -> None:
        """Remove downloads of windows that no plan asks for any more."""
        top = self._folder / "tail"
        for path in sorted(top.rglob("*")):
            if path.is_file() and str(path.relative_to(top)) not in units:
                path.unlink()

    def quarantine(self, unit: Unit, content: bytes, reason: str) -> Path:
        """Set a refused download aside with the reason beside it.

        Returns
        -------
        Path
            Of the content; the reason is in the file of the same name with ``.reason.txt`` added.
        """
        path = self._quarantine / unit.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
        write_durably(path.with_name(f"{path.name}.reason.txt"), f"{reason}\n".encode())
        self.drop(unit)
        return path

    def release(self, unit: Unit) -> None:
        """Take a unit out of quarantine: it has been read after all."""
        path = self._quarantine / unit.name
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.reason.txt").unlink(missing_ok=True)

    def _tidy(self) -> None:
        for top in (self._folder, self._quarantine):
            for folder in sorted((one for one in top.rglob("*") if one.is_dir()), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                top.rmdir()


def load_ledger(lake: Path) -> dict[str, Taken]:
    """Units the lake has whole, by name.

    Raises
    ------
    RejectData
        When the ledger is damaged.
    """
    again = "remove the file: everything is then fetched again and compared with the lake"
    return _entries(lake / LEDGER, _taken, again)


def load_left(lake: Path) -> dict[str, Left]:
    """Units that earlier fetches did not get, by name.

    Raises
    ------
    RejectData
        When the file is damaged.
    """
    again = "remove the file, and fetch the whole history once: what is there is not asked for"
    return _entries(lake / LEFT, _left, again)


def _entries[T](path: Path, made: Callable[[Any], T], again: str) -> dict[str, T]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {name: made(entry) for name, entry in raw["units"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        what, expected = str(broken)[:80], "what the last fetch wrote"
        raise RejectData(str(path), "whole file", what, expected, again) from None


def _taken(entry: dict[str, Any]) -> Taken:
    taken = Taken(**entry)
    if type(taken.rows) is not int or not isinstance(taken.sha256, str | None):
        raise ValueError(f"an entry {entry}")
    return taken


def _left(entry: dict[str, Any]) -> Left:
    key = DatasetKey(**entry.pop("key"))
    left = Left(key, **entry)
    if type(left.first_ms) is not int or type(left.last_ms) is not int:
        raise ValueError(f"an entry {entry}")
    return left


def save_ledger(lake: Path, units: Mapping[str, Taken]) -> None:
    """Replace the ledger; its bytes depend on what was taken and not on when."""
    _save(lake / LEDGER, units)


def save_left(lake: Path, units: Mapping[str, Left]) -> None:
    """Replace the note of what was not had; no file where that is nothing."""
    if units:
        _save(lake / LEFT, units)
    else:
        (lake / LEFT).unlink(missing_ok=True)


def _save(path: Path, units: Mapping[str, Taken] | Mapping[str, Left]) -> None:
    raw = {"units": {name: asdict(units[name]) for name in sorted(units)}}
    write_durably(path, (json.dumps(raw, indent=0) + "\n").encode())
