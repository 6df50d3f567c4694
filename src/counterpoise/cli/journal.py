"""``journal verify | show | costs``: is it as written, what is in it, what did trading cost."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.fetch import moment
from counterpoise.cli.output import Config, Json, print_json, print_table
from counterpoise.errors import FixConfig, RejectData
from counterpoise.units import stamp, to_ms

if TYPE_CHECKING:
    from counterpoise.journal.reading import Reader

commands = typer.Typer(
    help="What was decided, sent and filled, and whether it is as it was written.",
    no_args_is_help=True,
)
app.add_typer(commands, name="journal")

Where = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="URL",
        help="Path or URL of the journal, without a password (default: from settings).",
    ),
]
_NS = 1_000_000
_MOST_FINDINGS = 20
#: What a table for people leaves out: what only a restart or a program reads.
_FOR_PROGRAMS = ("state", "memory", "chain", "inputs", "plan")


@commands.callback()
def journal() -> None:
    """What was decided, sent and filled, and whether it is as it was written."""


def _open(where: str | None, config: Path | None) -> "Reader":
    from counterpoise.cli.kill_switch import played
    from counterpoise.config import load_settings
    from counterpoise.journal.place import place_in
    from counterpoise.journal.reading import Reader

    if where is not None:
        return Reader(where)
    settings = load_settings(config)
    folder = played(settings.run.state)
    newest = folder / "journal.sqlite"
    return Reader(place_in(settings) if folder == settings.run.state else newest)


@commands.command()
def verify(
    noted: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A head noted earlier, which must still be a row."),
    ] = None,
    where: Where = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Recompute the hash of every row, and look for what is missing (docs/journal.md)."""
    from counterpoise.journal.chain import verify as check

    with _open(where, config) as reader, reader.snapshot() as connection:
        found = check(connection, noted)
    if json:
        print_json({"journal": reader.name} | asdict(found))
    else:
        for one in found.findings[:_MOST_FINDINGS]:
            place = f"table {one.table}" + (f", row {one.seq}" if one.seq else "")
            typer.echo(f"  {place}: {one.text}.")
        if len(found.findings) > _MOST_FINDINGS:
            typer.echo(f"  and {len(found.findings) - _MOST_FINDINGS:,} more; --json has them all.")
        state = "NOT as it was written" if found.findings else "as it was written"
        typer.echo(f"{reader.name}: {found.rows:,} rows, {state}.")
        typer.echo(f"Head: {found.head}")
    if found.findings:
        raise typer.Exit(RejectData.exit_code)


def _cell(name: str, value: Any) -> str:
    if name.endswith("_ns"):
        return f"{stamp(value // _NS)}:{value // 10**9 % 60:02d}"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


@commands.command()
def show(
    kind: Annotated[
        str, typer.Option(metavar="TABLE", help="decisions, orders, fills, alerts, … .")
    ] = "decisions",
    since: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="From this moment on (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows, the newest ones.")] = 20,
    where: Where = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List what a table of the journal holds, the newest rows last."""
    from counterpoise.journal.tables import LAYOUTS

    kinds: dict[str, type[Any]] = {layout.table.name: record for record, layout in LAYOUTS.items()}
    if kind not in kinds:
        raise FixConfig("--kind", kind, f"one of {', '.join(kinds)}", "name one of them")
    since_ns = 0 if since is None else to_ms(moment(since, "--since")) * _NS
    with _open(where, config) as reader:
        rows = [asdict(one) for one in reader.records(kinds[kind], since_ns, limit)]
    if json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"{reader.name}: no {kind}" + (f" since {since}." if since else "."))
        return
    names = [name for name in rows[0] if name not in _FOR_PROGRAMS]
    print_table(
        [(name, isinstance(rows[0][name], float)) for name in names],
        [[_cell(name, row[name]) for name in names] for row in rows],
    )


@commands.command()
def costs(where: Where = None, config: Config = None, json: Json = False) -> None:
    """Cost model of the simulator as the schedules worked so far imply it."""
    from counterpoise.execution.records import Plan
    from counterpoise.execution.shortfall import calibrate

    with _open(where, config) as reader:
        found = calibrate(reader.shortfalls(0), reader.records(Plan))
    if json:
        print_json(asdict(found))
        return
    typer.echo(f"# from {found.schedules} schedules, 95 % intervals beside")
    typer.echo("[costs]")
    for name in ("half_spread_bps", "taker_share", "impact_coefficient"):
        one = getattr(found, name)
        typer.echo(f"{name} = {one.value:.4g}  # {one.low:.4g} to {one.high:.4g}")
