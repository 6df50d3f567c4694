"""The kill switch: files in the state folder that any process can set and no crash forgets.

``HALT`` stops every order that would open or move the hedge; ``FLATTEN`` closes our position and
then stays halted. A file that is there counts, whatever is in it. The run looks at every turn.
"""

import getpass
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Literal

from counterpoise.errors import printable

Wanted = Literal["halt", "flatten"]
#: What is in force when both files are there comes first.
_FILES: tuple[tuple[Wanted, str], ...] = (("flatten", "FLATTEN"), ("halt", "HALT"))
#: There while a run that halted itself is to take the venue's position as true and go on.
_RESUME = "RESUME"
_SIGNALS: tuple[tuple[str, Wanted], ...] = (("SIGUSR1", "halt"), ("SIGUSR2", "flatten"))


@dataclass(frozen=True, slots=True)
class Standing:
    """An order of the operator that stands until it is taken back.

    Attributes
    ----------
    order : {"halt", "flatten"}
    who, why, when : str
        ``when`` is ISO 8601, UTC.
    """

    order: Wanted
    who: str
    why: str
    when: str

    def __str__(self) -> str:
        return f"{self.order} by {self.who} at {self.when}: {self.why}"


class KillSwitch:
    """The switch of one state folder.

    Parameters
    ----------
    state : Path
        Folder of the run; made when the switch is set first.
    """

    def __init__(self, state: Path) -> None:
        self.state = state

    def standing(self) -> Standing | None:
        """What is in force; two looks at the disk when nothing is.

        A file that cannot be read counts as an order of somebody unknown.
        """
        for order, name in _FILES:
            file = self.state / name
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                text = ""
            return _parsed(order, text)
        return None

    def set(self, order: Wanted, why: str, who: str | None = None) -> Standing:
        """Set the switch durably; what stands already keeps its first reason.

        Parameters
        ----------
        order : {"halt", "flatten"}
        why : str
        who : str, optional
            Default: this user on this machine.

        Raises
        ------
        OSError
            The folder cannot be written; nothing was set.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        self.resumed()
        file = self.state / dict(_FILES)[order]
        if file.exists():
            return _parsed(order, _text(file))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        wanted = Standing(order, who or this_user(), printable(why, most=400), now)
        draft = self.state / f".{file.name}.{os.getpid()}"
        try:
            with draft.open("w", encoding="utf-8") as out:
                json.dump(asdict(wanted), out, ensure_ascii=False, indent=2)
                out.flush()
                os.fsync(out.fileno())
            os.replace(draft, file)
        except OSError:
            # A full disk may have no room for a reason, but for a name.
            file.touch()
        _sync_folder(self.state)
        return wanted

    def ask_to_resume(self) -> None:
        """Have a run that halted itself, because the position was not its own, go on.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / _RESUME).touch()
        _sync_folder(self.state)

    def asked_to_resume(self) -> bool:
        """Whether somebody did, and it was not done yet."""
        return (self.state / _RESUME).exists()

    def resumed(self) -> None:
        """Know that it was done, or that there was nothing to do."""
        (self.state / _RESUME).unlink(missing_ok=True)

    def clear(self) -> list[Standing]:
        """Take everything back; what stood until now."""
        stood = []
        for order, name in _FILES:
            file = self.state / name
            text = _text(file)
            try:
                file.unlink()
            except (FileNotFoundError, NotADirectoryError):
                continue
            stood.append(_parsed(order, text))
        if stood:
            _sync_folder(self.state)
        return stood


def obey_signals(switch: KillSwitch, tell: Callable[[Standing], None]) -> None:
    """Let SIGUSR1 halt and SIGUSR2 flatten: the switch is set, then the shell is told.

    Parameters
    ----------
    switch : KillSwitch
    tell : callable
        Called in the main thread between two of its instructions: with a loop, give
        ``lambda standing: loop.call_soon_threadsafe(…)``.

    Notes
    -----
    Where the disk refuses the file, the shell is told all the same: it stops, and forgets at a
    restart. Systems without these signals have the files alone.
    """

    def handler(order: Wanted, name: str) -> Callable[[int, FrameType | None], None]:
        def handle(_number: int, _frame: FrameType | None) -> None:
            try:
                standing = switch.set(order, f"{name} was sent to the run", name)
            except OSError as refused:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                standing = Standing(order, name, f"not on disk: {refused.strerror}", now)
            tell(standing)

        return handle

    for name, order in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, handler(order, name))


def this_user() -> str:
    """Name of the user and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _text(file: Path) -> str:
    """What a file says; nothing where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _parsed(order: Wanted, text: str) -> Standing:
    """An order as its file has it; what is missing there is said to be."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    told = found if isinstance(found, dict) else {}
    who, why, when = (
        printable(str(told[key])) if told.get(key) else other
        for key, other in (
            ("who", "somebody unknown"),
            ("why", "the file says no reason"),
            ("when", "an unknown time"),
        )
    )
    return Standing(order, who, why, when)


def _sync_folder(folder: Path) -> None:
    """Make names in a folder outlast a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
