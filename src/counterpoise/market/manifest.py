"""The lake's commit point: which files are live, in one small file that is replaced atomically.

A reader sees the manifest before an import or after it, never between. The lock keeps a second
writer out; readers need none, because live files are named by their content and never rewritten.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterpoise.errors import CounterpoiseError, FixConfig, RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.schemas import SPECS
from counterpoise.market.tables import interval_ms

VERSION = 2
FILE = "manifest.json"


@dataclass(frozen=True)
class LiveFile:
    """One Parquet file of the lake.

    Attributes
    ----------
    path : str
        Relative to the lake.
    period : str
        Year of its rows, or year and month (``2024-05``) where bars are shorter than a minute.
    rows : int
    first_ms, last_ms : int
        First and last ``ts``.
    bytes : int
    sha256 : str
    """

    path: str
    period: str
    rows: int
    first_ms: int
    last_ms: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DatasetEntry:
    """Live files of one dataset, by period, and whether a generator made them."""

    key: DatasetKey
    synthetic: bool
    files: tuple[LiveFile, ...]


Manifest = dict[DatasetKey, DatasetEntry]


def partition(key: DatasetKey, period: str) -> str:
    """Folder of one period of a dataset, relative to the lake."""
    year, _, month = period.partition("-")
    return (
        f"table={key.table}/venue={key.venue}/symbol={key.symbol}/interval={key.interval}/"
        f"year={year}"
    ) + (f"/month={month}" if month else "")


def load_manifest(root: Path) -> Manifest:
    """Read the manifest; a lake without one is empty.

    Raises
    ------
    FixConfig
        When it was written by a newer version, or the lake is no folder that can be read.
    RejectData
        When it is damaged, or missing where tables are.
    """
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        if any(root.glob("table=*")):
            raise _damaged(root, "no file") from None
        return {}
    except (UnicodeDecodeError, IsADirectoryError):
        raise _damaged(root, "no UTF-8 text") from None
    except OSError as refused:
        raise unusable(root, refused) from None
    try:
        raw = json.loads(text)
        version = raw["version"]
        if isinstance(version, int) and version > VERSION:
            raise FixConfig(
                "lake",
                f"{root} (manifest version {version})",
                f"manifest version {VERSION}",
                "update counterpoise, or import into a new lake",
            )
        if version not in (1, VERSION):
            raise ValueError(f"version {version!r}")
        entries = [_entry(entry) for entry in raw["datasets"]]
        if len({entry.key for entry in entries}) < len(entries):
            raise ValueError("one dataset twice")
    except (KeyError, TypeError, RecursionError):
        raise _damaged(root, "JSON of another shape") from None
    except ValueError as broken:
        raise _damaged(root, str(broken)) from None
    return {entry.key: entry for entry in entries}


def _entry(raw: dict[str, Any]) -> DatasetEntry:
    """One dataset of the manifest; ValueError for what no import writes."""
    key = DatasetKey(**raw["key"])
    files = tuple(_live_file(file) for file in raw["files"])
    if key.table not in SPECS or not files:
        raise ValueError(f"{key} of {len(files)} files")
    try:
        interval_ms(key.interval)
    except FixConfig:
        raise ValueError(f"{key}: interval {key.interval!r}") from None
    for file in files:
        if file.path != f"{partition(key, file.period)}/part-{file.sha256[:16]}.parquet":
            raise ValueError(f"a file of {key} at {file.path}")
        if not all(
            isinstance(number, int)
            for number in (file.rows, file.first_ms, file.last_ms, file.bytes)
        ):
            raise ValueError(f"{file.path} of {file.rows!r} rows")
    return DatasetEntry(key, bool(raw["synthetic"]), files)


def _live_file(raw: dict[str, Any]) -> LiveFile:
    # Version 1 had whole years only, as numbers.
    if "year" in raw:
        raw = {"period": str(raw["year"])} | {name: raw[name] for name in raw if name != "year"}
    return LiveFile(**raw)


def _damaged(root: Path, told: str) -> RejectData:
    return RejectData(
        str(root / FILE),
        "whole file",
        told,
        "the manifest that the last import wrote",
        "restore it, or import the data again into a new lake",
    )


def unusable(root: Path, refused: OSError, held: str = "") -> FixConfig:
    """Return the error for a lake that cannot be opened or written, in the system's own words."""
    told = refused.strerror or str(refused)
    expected = f"a folder that can be read and written ({told}{held})"
    return FixConfig(
        "lake", str(root), expected, "free space or change permissions, or name another"
    )


def save_manifest(root: Path, manifest: Manifest) -> None:
    """Replace the manifest; when this returns, the import has happened for good."""
    raw = {
        "version": VERSION,
        "datasets": [asdict(manifest[key]) for key in sorted(manifest)],
    }
    write_durably(root / FILE, (json.dumps(raw, indent=1) + "\n").encode())


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and make it survive a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256(data: bytes) -> str:
    """Hex digest of a file's content."""
    return hashlib.sha256(data).hexdigest()


#: Names that only an import gives: nobody else's file in the lake is ever removed.
_OWN = re.compile(r"part-[0-9a-f]{16}\.parquet|\.part-[0-9a-f]{16}\.parquet\.tmp")


def remove_orphans(root: Path, manifest: Manifest) -> None:
    """Delete what no manifest entry names: files of imports that were replaced or interrupted."""
    live = {file.path for entry in manifest.values() for file in entry.files}
    unfinished = root / f".{FILE}.tmp"
    if unfinished.exists():
        unfinished.unlink()
    for folder in root.glob("table=*"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif _OWN.fullmatch(path.name) and str(path.relative_to(root)) not in live:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the lake's write lock, and take back what was written when the body fails.

    The lock is on the folder itself, so that it leaves nothing behind. What an interrupted body
    wrote and the manifest does not name is removed, and so is a folder made for it.

    Raises
    ------
    FixConfig
        The lake cannot be made or written: no permission, no space, a file in its place.
    RetryLater
        When another process holds it.
    """
    # os.path.exists is False where a path cannot be looked at, which making it then tells.
    first = not os.path.exists(root / FILE)
    made = [path for path in (root, *root.parents) if not os.path.exists(path)]
    try:
        for path in reversed(made):
            path.mkdir()
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except BaseException as stopped:
        _unmake(made)
        if isinstance(stopped, OSError):
            raise unusable(root, stopped) from None
        raise
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A first import that failed has just removed the folder again.
            taken = os.fstat(lock).st_nlink == 0
        except BlockingIOError:
            taken = True
        if taken:
            raise RetryLater(
                f"{root} is being written by another process. Next: run this again when it ends."
            )
        try:
            yield
        except BaseException as stopped:
            _take_back(root, first=first)
            _unmake(made)
            if isinstance(stopped, OSError):
                raise unusable(root, stopped, "; it is as it was") from None
            raise
    finally:
        os.close(lock)


def _take_back(root: Path, *, first: bool) -> None:
    """Remove what no commit names; what cannot be removed now, the next import removes."""
    with suppress(OSError, CounterpoiseError):
        # What is live is read back: the body may have failed after its commit.
        manifest = load_manifest(root)
        remove_orphans(root, manifest)
        if first and not manifest:
            (root / FILE).unlink(missing_ok=True)


def _unmake(made: list[Path]) -> None:
    """Remove folders made for a lake that did not come to be."""
    for path in made:
        with suppress(OSError):  # somebody else's by now
            path.rmdir()
