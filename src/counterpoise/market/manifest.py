"""The lake's commit point: which files are live, in one small file that is replaced atomically.

A reader sees the manifest before an import or after it, never between. The lock keeps a second
writer out; readers need none, because live files are named by their content and never rewritten.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.layouts import DatasetKey

VERSION = 1
FILE = "manifest.json"


@dataclass(frozen=True)
class LiveFile:
    """One Parquet file of the lake.

    Attributes
    ----------
    path : str
        Relative to the lake.
    year : int
    rows : int
    first_ms, last_ms : int
        First and last ``ts``.
    bytes : int
    sha256 : str
    """

    path: str
    year: int
    rows: int
    first_ms: int
    last_ms: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DatasetEntry:
    """Live files of one dataset, by year, and whether a generator made them."""

    key: DatasetKey
    synthetic: bool
    files: tuple[LiveFile, ...]


Manifest = dict[DatasetKey, DatasetEntry]


def load_manifest(root: Path) -> Manifest:
    """Read the manifest; a lake without one is empty.

    Raises
    ------
    FixConfig
        When it was written by a newer version.
    RejectData
        When it is damaged.
    """
    try:
        raw = json.loads((root / FILE).read_text(encoding="utf-8"))
        if raw["version"] != VERSION:
            raise FixConfig(
                "lake",
                f"{root} (manifest version {raw['version']})",
                f"manifest version {VERSION}",
                "update counterpoise, or import into a new lake",
            )
        entries = [
            DatasetEntry(
                DatasetKey(**entry["key"]),
                bool(entry["synthetic"]),
                tuple(LiveFile(**file) for file in entry["files"]),
            )
            for entry in raw["datasets"]
        ]
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as broken:
        raise RejectData(
            str(root / FILE), "whole file", str(broken), "a manifest", "import the data again"
        ) from None
    return {entry.key: entry for entry in entries}


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
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256(data: bytes) -> str:
    """Hex digest of a file's content."""
    return hashlib.sha256(data).hexdigest()


def remove_orphans(root: Path, manifest: Manifest) -> None:
    """Delete what no manifest entry names: files of imports that were replaced or interrupted."""
    live = {file.path for entry in manifest.values() for file in entry.files}
    for folder in root.glob("table=*"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif str(path.relative_to(root)) not in live:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the lake's write lock.

    Raises
    ------
    RetryLater
        When another process holds it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as refused:
        raise FixConfig(
            "lake", str(root), f"a folder that can be made ({refused.strerror})", "name another"
        ) from None
    with (root / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetryLater(
                f"{root} is being written by another process. Next: run this again when it ends."
            ) from None
        yield
