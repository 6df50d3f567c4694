"""The command that all the others hang on, with its help and its exit codes."""

import typer

from counterpoise import __version__

EXIT_CODES = (
    "Exit codes: 0 done · 1 other failure · 2 wrong usage · 3 fix the configuration or an "
    "argument · 4 data rejected · 5 not enough data · 6 retry later (busy) · 130 interrupted · "
    "143 stopped."
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
