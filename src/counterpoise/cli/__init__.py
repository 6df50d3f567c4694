"""The command line: parse, call one house, print. No logic of the product lives here.

Heavy parts are imported inside the commands, so that ``--help`` answers at once.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import cast

import typer
from typer.main import get_command

from counterpoise.cli import (
    advice,
    backtest,
    data,
    doctor,
    events,
    explain,
    exposure,
    features,
    fetch,
    journal,
    kill_switch,
    quality,
    signals,
    signals_crossval,
    signals_live,
    signals_report,
    status,
    stress,
    study,
    trading,
    tune,
    update,
)
from counterpoise.cli.app import app
from counterpoise.credentials import refuse_secrets_on_command_line
from counterpoise.errors import CounterpoiseError, printable

#: The rooms whose import hangs their commands on ``app``.
ROOMS = (
    advice,
    data,
    fetch,
    quality,
    exposure,
    features,
    events,
    signals,
    signals_crossval,
    signals_live,
    signals_report,
    tune,
    study,
    backtest,
    stress,
    explain,
    journal,
    update,
    trading,
    doctor,
    status,
    kill_switch,
)

#: What the parser raises for a wrong command line; only its children have public names.
_WrongUsage = cast(type[Exception], typer.BadParameter.__mro__[2])


class _Stopped(BaseException):
    """The system asked this process to end; what is half done is taken back first."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def main() -> None:
    """Entry point: run a command and turn what stops it into one line and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What is ignored stays ignored: that is what nohup is for.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal without the letter σ shows a question mark instead of failing.
        sys.stdout.reconfigure(errors="replace")
    raise SystemExit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code, after one line on what went wrong.

    Parameters
    ----------
    arguments : sequence of str
        Without the name of the program.
    """
    try:
        refuse_secrets_on_command_line(arguments)
        command = get_command(app)
        with command.make_context("counterpoise", list(arguments)) as context:
            command.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except _WrongUsage as wrong:
        return _tell_usage(wrong)
    except CounterpoiseError as error:
        return _tell(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _tell("interrupted; nothing half-written was kept.", 130, lead="")
    except _Stopped as stopped:
        return _tell("stopped; nothing half-written was kept.", stopped.exit_code, lead="")
    except (BrokenPipeError, SystemExit):
        # The reader of a pipe left (``| head``); that is its right. Tables are printed by a library
        # that ends the process itself then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except MemoryError:
        return _tell("out of memory. Next: free some, or narrow the span.", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        told = f"{where}{error.strerror or error}. Next: check disk space and permissions."
        # What could not be written is not tried again when the interpreter ends.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _tell(printable(told, most=len(told)), 1)
    return 0


def _tell(sentence: str, exit_code: int, *, lead: str = "error: ") -> int:
    sys.stderr.write(f"{lead}{sentence}\n")
    return exit_code


def _tell_usage(wrong: Exception) -> int:
    """Say what is wrong with the command line, and where it is explained."""
    told = " ".join(getattr(wrong, "format_message", wrong.__str__)().split()).rstrip(".")
    for idiom, plain in (("Input should be ", "expected "), ("Value error, ", "")):
        told = told.replace(idiom, plain)
    context = getattr(wrong, "ctx", None)
    path = context.command_path if context is not None else "counterpoise"
    # Without arguments the help has been printed, and there is nothing to add.
    if told:
        _tell(printable(f"{told}. Next: {path} --help.", most=2_000), 2)
    return 2
