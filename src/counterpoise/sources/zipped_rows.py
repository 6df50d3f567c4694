"""Streaming the lines of a large zipped CSV file, and the compiled scanner of its numbers.

A day of quotes is gigabytes of text, so only some megabytes of it are ever held. What the rows mean
is in ``trade_bars`` and ``quote_bars``.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import RejectData

Bytes = NDArray[np.uint8]

#: Bytes that are inflated at a time; a multiple of what the inflater gives at once.
CHUNK = 4 << 20
#: Largest uncompressed size that is believed: the largest day of quotes is some 10 GB.
MOST_BYTES = 64 << 30
#: Decimals that quantities are counted in; the venues use at most 8.
DECIMALS = 8

#: What reading a zip of random bytes may raise, by what of it is damaged.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OSError)

_AGAIN = "fetch it again; if it stays so, the file is damaged at the source"
_COMMA, _NEWLINE, _RETURN, _POINT, _ZERO = 44, 10, 13, 46, 48
#: 10^0 to 10^18: an integer below 2^53 over one of them up to 10^22 is correctly rounded.
_TENS = np.array([10**n for n in range(19)], dtype=np.int64)
_TENS_F = np.array([10.0**n for n in range(19)])


def only_file(archive: zipfile.ZipFile, name: str, most: int) -> zipfile.ZipInfo:
    """Return the one CSV file of a zip of an archive.

    Parameters
    ----------
    archive : ZipFile
    name : str
        Of the unit, for messages.
    most : int
        Largest size it may have uncompressed.

    Raises
    ------
    RejectData
        Several files, another one, one beyond ``most``, or one compressed as no archive does it.
    """
    members = archive.infolist()
    if len(members) != 1 or not members[0].filename.endswith(".csv"):
        held = ", ".join(member.filename for member in members[:3]) or "nothing"
        raise RejectData(name, "whole zip", held, "one .csv file", _AGAIN)
    (member,) = members
    if member.file_size > most:
        size = f"{member.file_size:,} bytes"
        raise RejectData(name, member.filename, size, f"at most {most:,}", _AGAIN)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = f"compression method {member.compress_type}"
        raise RejectData(name, member.filename, method, "a deflated file", _AGAIN)
    return member


def whole_lines(content: bytes, name: str, header: str) -> Iterator[Bytes]:
    """Text of the one file in a zip, in pieces that end with a line; without its header line.

    Parameters
    ----------
    content : bytes
        The zip.
    name : str
        Of the unit, for messages.
    header : str
        First column of a header, where there is one.

    Yields
    ------
    uint8 (N,)
        Each ends with a newline, which is added to a last line without one.

    Raises
    ------
    RejectData
        No zip, a damaged or truncated one, several files, another header, or no row.
    """
    try:
        with (
            zipfile.ZipFile(io.BytesIO(content)) as archive,
            archive.open(only_file(archive, name, MOST_BYTES)) as stream,
        ):
            yield from _pieces(stream, name, header)
    except BROKEN as broken:
        raise RejectData(name, "whole zip", str(broken), "a zip of one file", _AGAIN) from None


def _pieces(stream: IO[bytes], name: str, header: str) -> Iterator[Bytes]:
    rest = b""
    first = True
    while chunk := stream.read(CHUNK):
        if first and not rest and not chunk[:1].isdigit():
            line, _, chunk = chunk.partition(b"\n")
            told = line.decode("utf-8", "replace").split(",")[0].strip()
            if told != header:
                expected = f"a row that begins with a number, or a header with {header}"
                raise RejectData(name, "first line", told, expected, _AGAIN)
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest += chunk
            if len(rest) > CHUNK:
                raise RejectData(name, "first line", rest[:60], "lines of text", _AGAIN)
            continue
        first = False
        yield np.frombuffer(rest + chunk[:cut], np.uint8)
        rest = chunk[cut:]
    if rest:
        first = False
        yield np.frombuffer(rest + b"\n", np.uint8)
    if first:
        raise RejectData(name, "whole file", "no rows", "at least one row", _AGAIN)


@njit
def integer(text: Bytes, at: int) -> tuple[int, int]:
    """Whole number that begins at a place, and the place of what ends it.

    -1 where there is none, or more than 18 digits. A sign is no digit.
    """
    value, begin = 0, at
    while True:
        digit = int(text[at]) - _ZERO
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    if at == begin or at - begin > 18:
        return -1, at
    return value, at


@njit
def decimal(text: Bytes, at: int) -> tuple[int, int, int]:
    """Digits of a decimal number as one integer, how many are decimals, and the place after it.

    -1 where there is none, or more than 18 digits.
    """
    value, begin, point = 0, at, -1
    while True:
        digit = int(text[at]) - _ZERO
        if digit < 0 or digit > 9:
            if text[at] == _POINT and point < 0:
                point = at
                at += 1
                continue
            break
        value = value * 10 + digit
        at += 1
    digits = at - begin - (1 if point >= 0 else 0)
    if digits == 0 or digits > 18:
        return -1, 0, at
    return value, at - point - 1 if point >= 0 else 0, at


@njit
def to_float(value: int, decimals: int) -> float:
    """The double next to a decimal number, as reading its text gives; exact up to 15 digits."""
    return float(value / _TENS_F[decimals])


@njit
def to_fixed(value: int, decimals: int) -> int:
    """A decimal number in units of 10^-8; -1 where it has more decimals or is too large."""
    if decimals > DECIMALS:
        return -1
    scale = int(_TENS[DECIMALS - decimals])
    if value > 9_000_000_000_000_000_000 // scale:
        return -1
    return value * scale


def place_of(piece: Bytes, at: int) -> str:
    """Text of the line a place is in, for messages."""
    text = piece.tobytes()
    begin = text.rfind(b"\n", 0, at) + 1
    end = text.find(b"\n", at)
    return text[begin : end if end >= 0 else len(text)][:160].decode("utf-8", "replace").rstrip()
