"""``data import``: tables into the lake."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    named_path,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.errors import NotEnoughData
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.market.lake import Lake

commands = typer.Typer(help="Bring market data into the lake and inspect it.", no_args_is_help=True)
app.add_typer(commands, name="data")


def _lake_path(lake: Path | None, config: Path | None) -> Path:
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
    return load_settings(config, overrides).lake


def open_lake(lake: Path | None, config: Path | None) -> "Lake":
    """Lake of the settings; refuses one that holds nothing."""
    from counterpoise.market.lake import Lake

    store = Lake(_lake_path(lake, config))
    if not store.datasets():
        raise NotEnoughData(
            f"the lake {store.path} holds no tables. Next: counterpoise data import DIR, "
            "or name another lake with --lake."
        )
    return store


def span_text(first_ms: int, last_ms: int) -> str:
    """First and last moment of a span."""
    return f"{stamp(first_ms)} → {stamp(last_ms)}"


@commands.command("import")
def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=named_path, metavar="FOLDER", help="Folder of Parquet or CSV tables."
        ),
    ],
    replace: Annotated[
        bool, typer.Option(help="Let new values win over stored ones that differ.")
    ] = False,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Validate foreign tables and take them into the lake, all or nothing."""
    from counterpoise.market.lake import Lake

    store = Lake(_lake_path(lake, config))
    with progress_bar(quiet=json) as progress:
        report = store.import_folder(
            folder,
            replace=replace,
            progress=lambda done, total, _name: progress("reading tables", done, total),
        )
    if json:
        print_json(asdict(report))
        return
    print_table(
        [
            ("file", False),
            ("table", False),
            ("venue", False),
            ("symbol", False),
            ("interval", False),
            ("span (UTC)", False),
            ("new", True),
            ("merged", True),
            ("unchanged", True),
        ],
        [
            [
                one.file,
                one.table,
                one.venue,
                one.symbol,
                one.interval,
                span_text(one.first_ms, one.last_ms),
                f"{one.rows_new:,}",
                f"{one.rows_merged:,}",
                f"{one.rows_unchanged:,}",
            ]
            for one in report.files
        ],
    )
    for one in report.files:
        if one.ignored_columns:
            typer.echo(f"ignored columns of {one.file}: {', '.join(one.ignored_columns)}")
    if report.skipped:
        reasons: dict[str, list[str]] = {}
        for skipped in report.skipped:
            reasons.setdefault(skipped.reason, []).append(skipped.path)
        for reason, paths in reasons.items():
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            typer.echo(f"skipped {len(paths)} ({reason}): {', '.join(paths[:3])}{more}")
    typer.echo("The lake changed." if report.changed else "Nothing new; the lake is as it was.")
