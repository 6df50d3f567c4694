"""The command line: parse, call one house, print. No logic of the product lives here.

Heavy parts are imported inside the commands, so that ``--help`` answers at once.
"""

import os
import sys

import typer

from counterpoise import __version__
from counterpoise.errors import CounterpoiseError

EXIT_CODES = (
    "Exit codes: 0 done · 1 other failure · 2 wrong usage · 3 fix the configuration or an "
    "argument · 4 data rejected · 5 not enough data · 6 retry later (busy) · 130 interrupted."
)

app = typer.Typer(
    name="counterpoise",
    help=(
        "How much ETH to short against the ETH you hold, what it costs, and whether the machine "
        "beats your own rule."
    ),
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"counterpoise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Shared options of every command."""


from counterpoise.cli import advice, data, study  # noqa: E402, F401  (they register commands)


def main() -> None:
    """Entry point: run a command and turn errors into one line and an exit code."""
    try:
        app()
    except CounterpoiseError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing half-written was kept.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe left (``| head``); that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
