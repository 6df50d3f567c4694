"""Errors grouped by what the operator must do next, each ending with that next step.

The exit codes of the command line are the ``exit_code`` of these classes, and every message is one
line that a terminal can show as it is. Nothing here formats tracebacks: an error of this module is
an answer to the user, anything else is a defect.
"""

from collections.abc import Sequence
from datetime import datetime

#: Longest part of a message that is taken from outside: a path, a value, a parser's own words.
MOST_CHARACTERS = 240


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Text on one line: what a terminal would act on is escaped, the middle of long text left out.

    Parameters
    ----------
    text : str
        From outside: a file name, a value, a column.
    most : int
        Longest result, in characters.

    Examples
    --------
    >>> print(printable("a\nb"), printable("x" * 99, most=11))
    a\nb xxxxx…xxxxx
    """
    if len(text) > most:
        half = (most - 1) // 2
        text = f"{text[:half]}…{text[len(text) - half :]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


class CounterpoiseError(Exception):
    """Root of every error a user can act on; its message is one line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, most=len(message)))

    def __reduce__(self) -> tuple[object, ...]:
        """The finished message travels between processes; it is not put together again there."""
        return _arrived, (type(self), str(self), self.__dict__)


def _arrived(kind: type[CounterpoiseError], message: str, named: dict[str, object]) -> object:
    """An error that another process raised."""
    error = kind.__new__(kind)
    error.args = (message,)
    error.__dict__.update(named)
    return error


class FixConfig(CounterpoiseError):
    """A setting or an argument is wrong; change it and run again.

    Parameters
    ----------
    key : str
        The setting or argument, as the user spells it (``hedge.base_ratio``).
    value : object
        What was given.
    expected : str
        What would have been accepted.
    next_step : str
        What to do now.
    """

    exit_code = 3

    def __init__(self, key: str, value: object, expected: str, next_step: str) -> None:
        given = printable(_plain(value))
        super().__init__(f"{printable(key)} = {given}: expected {expected}. Next: {next_step}.")
        self.key = key


class ContradictorySettings(FixConfig):
    """Settings that do not go together; change one of them.

    Parameters
    ----------
    given : sequence of (str, object, str)
        Key, value and where it came from, each.
    expected : str
        What would agree.
    next_step : str
        What to do now.
    """

    def __init__(
        self, given: Sequence[tuple[str, object, str]], expected: str, next_step: str
    ) -> None:
        told = " and ".join(
            f"{key} = {printable(_plain(value))} ({printable(source)})"
            for key, value, source in given
        )
        CounterpoiseError.__init__(
            self, f"{told} contradict each other: expected {expected}. Next: {next_step}."
        )
        self.key = given[0][0]


def _plain(value: object) -> str:
    """A value as a settings file has it."""
    return value.isoformat() if isinstance(value, datetime) else repr(value)


class RejectData(CounterpoiseError):
    """A table breaks its contract; nothing of it was taken.

    Parameters
    ----------
    file : str
        File or table the value came from.
    place : str
        Row and column (``row 17, column close``); rows count from 0 without the header.
    value : object
        The offending value.
    expected : str
        What the contract asks.
    next_step : str
        What to do now.
    """

    exit_code = 4

    def __init__(self, file: str, place: str, value: object, expected: str, next_step: str) -> None:
        given = printable(repr(value))
        super().__init__(
            f"{printable(file)}: {printable(place)}: got {given}, expected {expected}. "
            f"Next: {next_step}."
        )
        self.file = file
        self.place = place


class NotEnoughData(CounterpoiseError):
    """The lake does not hold what the command needs; import more or narrow the span."""

    exit_code = 5


class RetryLater(CounterpoiseError):
    """Another process holds what this one needs; the same command may succeed later."""

    exit_code = 6
