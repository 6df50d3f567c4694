"""The command ``signals tune`` under a root of its own, in a process of its own."""

import sys

import typer

from counterpoise.cli import run_command
from counterpoise.cli.app import app
from counterpoise.cli.tune import tune

signals = typer.Typer()
signals.command("tune")(tune)


@signals.callback()
def group() -> None:
    """Keep the name of the command, although it is the only one here."""


if __name__ == "__main__":
    app.add_typer(signals, name="signals")
    sys.exit(run_command(["signals", "tune", *sys.argv[1:]]))
