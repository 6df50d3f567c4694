"""``update``: everything the settings need, up to now; ends with what is fresh and what is not."""

from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.fetch import FIRST, moment
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.sources.update import Freshness


@app.command()
def update(
    first: Annotated[
        str,
        typer.Option("--from", metavar="MOMENT", help="Where a feed begins that the lake lacks."),
    ] = FIRST,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bring everything the settings need up to now, and say what is fresh and what is not."""
    import time

    from counterpoise.config import load_settings
    from counterpoise.sources.update import exit_code
    from counterpoise.sources.update import update as bring
    from counterpoise.units import to_ms

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    with progress_bar(quiet=json) as progress:
        found = bring(settings, to_ms(moment(first, "--from")), round(time.time() * 1000), progress)
    if json:
        print_json([_plain(one) for one in found])
    else:
        _print(found)
    if code := exit_code(found):
        raise typer.Exit(code)


def _plain(one: "Freshness") -> dict[str, object]:
    return {
        "dataset": str(one.feed.key),
        "source": one.feed.source or None,
        "fresh": one.fresh,
        "newest_known_ms": one.newest_ms,
        "rows_new": one.rows_new,
        "refused": one.refused,
        "later": one.later,
        "reason": one.reason,
    }


def _print(found: "list[Freshness]") -> None:
    print_table(
        [
            ("dataset", False),
            ("source", False),
            ("new rows", True),
            ("known up to (UTC)", False),
            ("", False),
        ],
        [
            [
                str(one.feed.key),
                one.feed.source or "–",
                f"{one.rows_new:,}",
                "–" if one.newest_ms is None else stamp(one.newest_ms),
                ("fresh" if one.whole else "INCOMPLETE") if one.fresh else "NOT FRESH",
            ]
            for one in found
        ],
    )
    for one in found:
        if one.reason:
            typer.echo(f"{one.feed.key}: {one.reason}")
    stale = sum(not one.fresh for one in found)
    torn = sum(one.fresh and not one.whole for one in found)
    if torn:
        typer.echo(
            f"{torn} of {len(found)} feeds are fresh but lack older rows, which the next update "
            "asks for again. Next: see the reasons above."
        )
    if stale:
        typer.echo(f"{stale} of {len(found)} feeds are not fresh. Next: see the reasons above.")
    elif not torn:
        typer.echo(f"All {len(found)} feeds are fresh.")
