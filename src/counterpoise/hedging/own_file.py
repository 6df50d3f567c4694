"""Reading a file the user names, and the names its policies may have."""

import re
from pathlib import Path

from counterpoise.errors import FixConfig

#: A rule or a policy of a page; anything larger is some other file.
LARGEST_BYTES = 1_000_000
LONGEST_LABEL = 120

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def read_own_file(option: str, file: Path, kind: str) -> str:
    """Text of a file given on the command line.

    Parameters
    ----------
    option : str
        The option it was given with (``--rule``).
    file : Path
    kind : str
        What it should be (``a TOML file``).

    Raises
    ------
    FixConfig
        No such file, a folder, unreadable, over 1 MB, or not UTF-8.
    """
    given, kind = str(file), f"{kind} in UTF-8"
    if not file.is_file():
        what = f"{kind}, not a folder" if file.is_dir() else f"{kind} that exists"
        raise FixConfig(option, given, what, "check the path")
    if file.stat().st_size > LARGEST_BYTES:
        raise FixConfig(option, given, f"{kind} of at most 1 MB", "check the path")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FixConfig(option, given, kind, "save it as UTF-8 or check the path") from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise FixConfig(option, given, f"{kind} ({reason})", "check its permissions") from None


def refuse_name(place: str, name: object, next_step: str) -> None:
    """Refuse a name that cannot stand in tables and file names.

    Raises
    ------
    FixConfig
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise FixConfig(place, name, "a letter, then at most 39 letters, digits, _ or -", next_step)


def refuse_label(place: str, label: object, next_step: str) -> None:
    """Refuse a label that is no line of words.

    Raises
    ------
    FixConfig
    """
    if not (
        isinstance(label, str)
        and label.strip()
        and len(label) <= LONGEST_LABEL
        and label.isprintable()
    ):
        raise FixConfig(place, label, f"one line of at most {LONGEST_LABEL} characters", next_step)
