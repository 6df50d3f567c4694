r"""Results in files that prove themselves: an open format, then a line with their SHA-256.

Arrays are kept as NumPy's ``.npy``, text and structures as JSON, neither of which can hold code.
The seal covers the key a result is kept under, so a file under another name is no result either.
What a key stands for is the caller's business.
"""

import hashlib
import io
import json
import re
import time
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any
from uuid import uuid4

import numpy as np

_SEAL = b"\ncounterpoise_sha256="
_ARRAY = b"\x93NUMPY"
_KEY = re.compile(r"[0-9a-f]{64}")
#: Age after which an unfinished file belongs to a run that is gone; writing one takes less than
#: a second.
_FORGOTTEN_S = 3600.0


def digest(*parts: object) -> str:
    """SHA-256 of values, as 64 hex digits; equal digests mean equal values in equal order.

    Parameters
    ----------
    *parts : array, bytes, function, dataclass, or what JSON can hold
        A function counts by its name, not by what is written in it.

    Examples
    --------
    >>> digest(np.zeros(2), "a") == digest(np.zeros((2, 1)), "a")
    False
    """
    whole = hashlib.sha256()
    for part in parts:
        whole.update(_digest_of(part))
    return whole.hexdigest()


def _digest_of(part: object) -> bytes:
    if isinstance(part, np.ndarray):
        if part.dtype.hasobject:
            raise TypeError("an array of objects has no digest")
        inner = hashlib.sha256(f"array {part.dtype.str} {part.shape}\n".encode())
        inner.update(np.ascontiguousarray(part).data)
        return inner.digest()
    if isinstance(part, bytes):
        return hashlib.sha256(b"bytes\n" + part).digest()
    if isinstance(part, FunctionType):
        name = f"{part.__module__}.{part.__qualname__}"
        return hashlib.sha256(f"function\n{name}".encode()).digest()
    if is_dataclass(part) and not isinstance(part, type):
        part = [type(part).__qualname__, asdict(part)]
    text = json.dumps(part, sort_keys=True, allow_nan=False)
    return hashlib.sha256(f"json\n{text}".encode()).digest()


def pack(result: object) -> bytes:
    """An array as ``.npy``, anything else as JSON.

    Raises
    ------
    TypeError, ValueError
        A result neither can hold: objects, NaN outside an array.
    """
    if isinstance(result, np.ndarray):
        out = io.BytesIO()
        np.save(out, result, allow_pickle=False)
        return out.getvalue()
    return json.dumps(result, ensure_ascii=False, allow_nan=False).encode()


def unpack(payload: bytes) -> Any:
    """What was packed; tuples as lists, keys of a structure as text."""
    if payload.startswith(_ARRAY):
        return np.load(io.BytesIO(payload), allow_pickle=False)
    return json.loads(payload)


def _proof(key: str, payload: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + payload).hexdigest().encode()


def seal(key: str, result: object) -> bytes:
    """Content of the file that keeps a result under a key."""
    payload = pack(result)
    return payload + _SEAL + _proof(key, payload) + b"\n"


def open_sealed(key: str, content: bytes) -> bytes:
    """Packed result within a file's content.

    Raises
    ------
    ValueError
        The seal is broken: the content is not what was kept under this key.
    """
    payload, _, proof = content.rpartition(_SEAL)
    if proof != _proof(key, payload) + b"\n":
        raise ValueError(f"the seal of {key} is broken")
    return payload


class Shelf:
    """Sealed results in a folder, one file per key; with no folder nothing is kept.

    Parameters
    ----------
    folder : Path or None
        Made where missing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob(".*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > _FORGOTTEN_S:
                    partial.unlink()

    def read(self, key: str) -> bytes | None:
        """Content kept under a key; None where there is none or its seal is broken."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"a key is 64 hex digits, not {key!r}")
        if self._folder is None:
            return None
        for suffix in (".npy", ".json"):
            with suppress(FileNotFoundError, ValueError):
                content = (self._folder / (key + suffix)).read_bytes()
                open_sealed(key, content)
                return content
        return None

    def keep(self, key: str, content: bytes) -> None:
        """Keep a sealed result whole or not at all.

        A power cut may leave a file without its end: the seal tells, and it is done again.
        """
        if self._folder is None:
            return
        suffix = ".npy" if content.startswith(_ARRAY) else ".json"
        partial = self._folder / f".{key}.{uuid4().hex}.partial"
        try:
            partial.write_bytes(content)
            partial.replace(self._folder / (key + suffix))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
