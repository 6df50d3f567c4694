"""``explain``: why the hedge of a run was what it was, at any moment, in a sentence."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Json, named_path, print_json

if TYPE_CHECKING:
    from counterpoise.study.explain import Explained


def _print(found: "Explained") -> None:
    from counterpoise.units import stamp

    typer.echo(f"{stamp(found.ts_ms)} UTC, {found.policy}: {found.sentence}")


@app.command()
def explain(
    run: Annotated[
        Path, typer.Argument(parser=named_path, metavar="RUN", help="Folder of a study (--out).")
    ],
    at: Annotated[
        str, typer.Option("--at", metavar="MOMENT", help="UTC, such as 2022-06-13T10:00.")
    ],
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="Default: the policy acted on."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say why: what was asked for, each guard that bound and at which number, the final target."""
    from counterpoise.study.explain import explain as explain_run

    found = explain_run(run, at, policy)
    if as_json:
        print_json(asdict(found))
    else:
        _print(found)
