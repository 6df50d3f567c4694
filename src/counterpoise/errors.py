"""Errors grouped by what the operator must do next, each ending with that next step.

The exit codes of the command line are the ``exit_code`` of these classes. Nothing here formats
tracebacks: an error of this module is an answer to the user, anything else is a defect.
"""


class CounterpoiseError(Exception):
    """Root of every error a user can act on."""

    exit_code = 1


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
        super().__init__(f"{key} = {value!r}: expected {expected}. Next: {next_step}.")
        self.key = key


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
        super().__init__(f"{file}: {place}: got {value!r}, expected {expected}. Next: {next_step}.")
        self.file = file
        self.place = place


class NotEnoughData(CounterpoiseError):
    """The lake does not hold what the command needs; import more or narrow the span."""

    exit_code = 5


class RetryLater(CounterpoiseError):
    """Another process holds what this one needs; the same command may succeed later."""

    exit_code = 6
