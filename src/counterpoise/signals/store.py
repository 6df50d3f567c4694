"""Bundles on disk: one folder a run, there as a whole or not at all, and refused on any doubt.

Text, JSON and safetensors only: reading a run executes nothing. A run is written under a hidden
name and renamed when complete, and is never written again. What a bundle means is said in
``bundle``.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from counterpoise.errors import CounterpoiseError, FixConfig, NotEnoughData, RejectData
from counterpoise.features.catalog import FEATURES
from counterpoise.features.fingerprint import fingerprint
from counterpoise.signals.bundle import NAME, Bundle, Target
from counterpoise.units import json_ready

FORMAT = 1
MANIFEST = "manifest.json"
#: Libraries noted with each run.
LIBRARIES = ("counterpoise", "lightgbm", "numba", "numpy", "safetensors")
_SAVING = ".saving-"
#: A folder a killed writer left is swept away once it is so old: no save takes a day.
_SWEEP_AFTER_S = 86_400.0
_AGAIN = "train and save a new run"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    """What a manifest says; its seal has been checked before."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    run: str
    created_at: datetime
    targets: tuple[Target, ...]
    features: tuple[tuple[str, str], ...]
    features_sha256: str
    trained_from: datetime
    trained_to: datetime
    expires: datetime
    data_sha256: str
    metrics: dict[str, float | None]
    libraries: dict[str, str]
    files: dict[str, _File]


@dataclass(frozen=True)
class Run:
    """One run of a store, by its manifest; its other files have not been looked at.

    Attributes
    ----------
    path : Path
    created_at, trained_to, expires : datetime
    metrics : mapping of str to float
    """

    path: Path
    created_at: datetime
    trained_to: datetime
    expires: datetime
    metrics: Mapping[str, float]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False)


def schema_sha256(features: Sequence[str]) -> str:
    """SHA-256 of features in their order and of what each means (see ``fingerprint``), in hex."""
    return _sha256(_text([[name, fingerprint(name)] for name in features]).encode())


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as safetensors wants them: one piece, this machine's byte order."""
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")


def _contents(bundle: Bundle) -> dict[str, bytes]:
    """Every file of a run but its manifest."""
    texts = {f"{name}.txt": text.encode() for name, text in bundle.texts.items()}
    groups = {
        f"{name}.safetensors": tensor_bytes({key: _plain(a) for key, a in arrays.items()})
        for name, arrays in bundle.tensors.items()
    }
    return texts | groups


def _manifest(bundle: Bundle, contents: Mapping[str, bytes]) -> bytes:
    said = {
        "run": bundle.run,
        "created_at": bundle.created_at.isoformat(),
        "targets": [asdict(target) for target in bundle.targets],
        "features": [[name, fingerprint(name)] for name in bundle.features],
        "features_sha256": schema_sha256(bundle.features),
        "trained_from": bundle.trained_from.isoformat(),
        "trained_to": bundle.trained_to.isoformat(),
        "expires": bundle.expires.isoformat(),
        "data_sha256": bundle.data_sha256,
        "metrics": json_ready({name: float(value) for name, value in bundle.metrics.items()}),
        "libraries": {name: version(name) for name in LIBRARIES},
        "files": {
            name: {"bytes": len(content), "sha256": _sha256(content)}
            for name, content in contents.items()
        },
    }
    sealed = {"format": FORMAT, "seal": _sha256(_text(said).encode()), "content": said}
    return (_text(sealed) + "\n").encode()


def _write(file: Path, content: bytes) -> None:
    with file.open("xb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _settle(folder: Path) -> None:
    """Make names in a folder outlive a power cut, where the system can."""
    with suppress(OSError):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_SAVING}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _SWEEP_AFTER_S:
                shutil.rmtree(left)


def save(folder: Path, bundle: Bundle) -> Path:
    """Write a run, as a whole or not at all.

    Parameters
    ----------
    folder : Path
        The store, ``lake/models``; created where missing.
    bundle : Bundle

    Returns
    -------
    Path
        Folder of the run.

    Raises
    ------
    FixConfig
        The store already has a run of that name, or cannot be written.
    """
    contents = _contents(bundle)
    manifest = _manifest(bundle, contents)
    path = folder / bundle.run
    taken = FixConfig("run", bundle.run, f"a name not in {folder}", "choose another name")
    partial: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        if path.exists():
            raise taken
        partial = Path(tempfile.mkdtemp(prefix=_SAVING, dir=folder))
        for name, content in contents.items():
            _write(partial / name, content)
        _write(partial / MANIFEST, manifest)
        partial.chmod(0o755)
        _settle(partial)
        try:
            partial.rename(path)  # fails where another writer was first
        except OSError:
            if path.exists():
                raise taken from None
            raise
        _settle(folder)
    except OSError as refused:
        expected = f"a folder that can be written ({refused.strerror})"
        raise FixConfig("models folder", str(folder), expected, "check the path") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return path


def _read(path: Path, name: str, expected: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as refused:
        said = refused.strerror or "unreadable"
        raise RejectData(str(path), name, said, expected, f"{_AGAIN}, or restore it") from None


def _read_manifest(path: Path) -> _Manifest:
    where = str(path / MANIFEST)
    content = _read(path, MANIFEST, "the manifest of a saved run")
    unedited = f"{_AGAIN}, or restore the folder; a manifest is not edited"
    try:
        sealed = json.loads(content)
        form, said = sealed["format"], sealed["content"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RejectData(where, "text", content[:40], "a run's manifest", unedited) from None
    if isinstance(form, int) and form > FORMAT:
        raise RejectData(where, "format", form, f"{FORMAT} or less", "update counterpoise")
    # One bit off is another text: what was parsed must be, written again, what was read.
    try:
        whole = (_text(sealed) + "\n").encode() == content and set(sealed) == {
            *("format", "seal", "content")
        }
        good = whole and form == FORMAT and sealed["seal"] == _sha256(_text(said).encode())
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise RejectData(where, "seal", "broken", "the manifest as it was written", unedited)
    try:
        return _Manifest.model_validate(said)
    except ValidationError as broken:
        first = broken.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RejectData(where, place, first["input"], first["msg"], unedited) from None


def _check_features(where: str, manifest: _Manifest, features: Sequence[str]) -> None:
    trained = [name for name, _ in manifest.features]
    for i, (name, wanted) in enumerate(zip(trained, features, strict=False)):
        if name != wanted:
            raise RejectData(where, f"feature {i}", name, f"{wanted!r}, as asked for", _AGAIN)
    if len(trained) != len(features):
        raise RejectData(where, "features", len(trained), f"the {len(features)} asked for", _AGAIN)
    for name, known in manifest.features:
        if name not in FEATURES or fingerprint(name) != known:
            told = "the formula of today's catalog, which has changed since the training"
            raise RejectData(where, f"feature {name}", known[:12], told, _AGAIN)
    if manifest.features_sha256 != schema_sha256(features):
        told = "the fingerprint of the features it lists"
        raise RejectData(where, "features_sha256", manifest.features_sha256, told, _AGAIN)


def _check_time(where: str, manifest: _Manifest, now: datetime) -> None:
    if now.tzinfo is None:
        raise FixConfig("now", now, "a moment with a time zone", "add one")
    if now >= manifest.expires:
        expires = manifest.expires.isoformat()
        raise RejectData(where, "expires", expires, f"a moment after {now.isoformat()}", _AGAIN)
    if now < manifest.trained_to:
        told = f"training that ended by {now.isoformat()}"
        fix = "take an older run: this one has seen what was not known then"
        raise RejectData(where, "trained_to", manifest.trained_to.isoformat(), told, fix)


def _check_libraries(where: str, manifest: _Manifest) -> None:
    trained, here = manifest.libraries.get("lightgbm", "unknown"), version("lightgbm")
    if trained.partition(".")[0] != here.partition(".")[0]:
        fix = f"install lightgbm {trained}, or {_AGAIN}"
        raise RejectData(where, "libraries.lightgbm", trained, f"major version of {here}", fix)


def _read_files(path: Path, manifest: _Manifest) -> tuple[dict[str, str], dict[str, Any]]:
    texts: dict[str, str] = {}
    tensors: dict[str, Any] = {}
    for name, file in manifest.files.items():
        stem, _, kind = name.rpartition(".")
        if not NAME.fullmatch(stem) or kind not in {"txt", "safetensors"}:
            raise RejectData(str(path), "files", name, "a name this program gives", _AGAIN)
        content = _read(path, name, "a file of the run")
        if len(content) != file.bytes or _sha256(content) != file.sha256:
            told = f"{file.bytes} bytes of SHA-256 {file.sha256[:12]}, as saved"
            fix = f"{_AGAIN}, or restore the file"
            raise RejectData(str(path), name, f"{len(content)} bytes", told, fix)
        try:
            if kind == "txt":
                texts[stem] = content.decode()
            else:
                tensors[stem] = read_tensors(content)
        except (UnicodeDecodeError, SafetensorError) as broken:
            told = f"readable {kind} ({broken})"
            raise RejectData(str(path), name, "unreadable", told, _AGAIN) from None
    return texts, tensors


def load(folder: Path, *, features: Sequence[str], now: datetime) -> Bundle:
    """Read a run, or say why it must not be used.

    Parameters
    ----------
    folder : Path
        Of the run.
    features : sequence of str
        What the caller will feed the models, in its order.
    now : datetime
        The present: a run is refused once expired, and before its training ended.

    Returns
    -------
    Bundle

    Raises
    ------
    RejectData
        Anything missing, damaged, changed since the training, expired or newer than this program;
        it says what, and what to do.
    """
    where = str(folder / MANIFEST)
    manifest = _read_manifest(folder)
    if manifest.run != folder.name:
        raise RejectData(where, "run", manifest.run, f"{folder.name!r}, its folder", _AGAIN)
    _check_features(where, manifest, features)
    _check_time(where, manifest, now)
    _check_libraries(where, manifest)
    texts, tensors = _read_files(folder, manifest)
    try:
        return Bundle(
            run=manifest.run,
            created_at=manifest.created_at,
            targets=manifest.targets,
            features=tuple(name for name, _ in manifest.features),
            trained_from=manifest.trained_from,
            trained_to=manifest.trained_to,
            expires=manifest.expires,
            data_sha256=manifest.data_sha256,
            metrics={k: np.nan if v is None else v for k, v in manifest.metrics.items()},
            texts=texts,
            tensors=tensors,
        )
    except CounterpoiseError as wrong:
        raise RejectData(str(folder), "content", str(wrong), "a usable bundle", _AGAIN) from None


def features_of(folder: Path) -> tuple[str, ...]:
    """Features a run reads, in its order, by its manifest: for a caller that feeds by name.

    Raises
    ------
    RejectData
        A manifest that cannot be read.
    """
    return tuple(name for name, _ in _read_manifest(folder).features)


def list_runs(folder: Path) -> tuple[Run, ...]:
    """Runs of a store, oldest first; none where there is no such folder.

    Raises
    ------
    RejectData
        A manifest that cannot be read: it may be that of the newest run.
    """
    runs = []
    for path in folder.glob(f"*/{MANIFEST}"):
        if not path.parent.name.startswith(_SAVING):
            said = _read_manifest(path.parent)
            metrics = {k: np.nan if v is None else v for k, v in said.metrics.items()}
            runs.append(Run(path.parent, said.created_at, said.trained_to, said.expires, metrics))
    return tuple(sorted(runs, key=lambda run: (run.created_at, run.path)))


def newest(folder: Path) -> Path:
    """Folder of the run created last.

    Raises
    ------
    NotEnoughData
        The store has none.
    """
    runs = list_runs(folder)
    if not runs:
        raise NotEnoughData(f"{folder} holds no trained models. Next: {_AGAIN}.")
    return runs[-1].path
