"""Reading a file the user names, running it if it is Python, and the names it may give.

A Python file is executed as it is, with the rights of whoever runs it; nothing of it is registered
or kept.
"""

import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

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


def line_in(file: Path, error: BaseException) -> int:
    """Line of the file an exception passed through last; 1 where it never did."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file) and frame.lineno
    ]
    return lines[-1] if lines else 1


def run_own_file(file: Path, text: str) -> dict[str, object]:
    """Names a Python file defines, from running it once.

    Parameters
    ----------
    file : Path
        Where the text is from, for messages.
    text : str

    Raises
    ------
    FixConfig
        It is no Python, or it fails; the file and the line are named.
    """
    module = ModuleType(f"counterpoise_own_{file.stem}")
    module.__file__ = str(file)
    # Dataclasses and annotations look their module up while the file runs.
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, str(file), "exec"), module.__dict__)
    except SyntaxError as error:
        raise FixConfig(
            f"{file} line {error.lineno}", error.msg, "valid Python", "mend that line"
        ) from None
    except (Exception, SystemExit) as error:
        raise FixConfig(
            f"{file} line {line_in(file, error)}",
            error,
            "a file that runs by itself: no argument, no file beside it to import",
            "mend that line",
        ) from error
    finally:
        del sys.modules[module.__name__]
    return vars(module)


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
