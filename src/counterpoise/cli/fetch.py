"""``data fetch``: history from a source into the lake, and what of it could not be had."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.data import commands, span_text
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.sources.fetch_report import FetchReport

#: Lines of one kind that are printed; ``--json`` has all of them.
MOST_LINES = 8

#: Where a history begins when nothing is said: the first day of the perpetual's first whole year.
FIRST = "2020-01-01"


def moment(text: str, option: str) -> datetime:
    """Moment of an option, in UTC; refuses what is none."""
    from pydantic import TypeAdapter, ValidationError

    from counterpoise.sections import Moment

    try:
        return TypeAdapter[datetime](Moment).validate_python(text)
    except ValidationError:
        raise FixConfig(
            option, text, "a moment such as 2024-01-31 or 2024-01-31T08:00:00Z", "spell it so"
        ) from None


@commands.command()
def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="binance, dydx, bybit, okx, hyperliquid, ethereum, fred or events.",
            metavar="SOURCE",
        ),
    ],
    symbol: Annotated[
        str | None, typer.Option(help="Market (default: that of the settings).")
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help="What to fetch, by comma; a wrong one lists them.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Length of bars.")] = "1h",
    first: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="First moment, UTC.")
    ] = FIRST,
    last: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="End, UTC (default: now).")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, max=32, help="Downloads at the same time.")
    ] = None,
    replace: Annotated[
        bool, typer.Option(help="Let new values win over stored ones that differ.")
    ] = False,
    verify: Annotated[
        bool, typer.Option(help="Fetch again what was published anew under the same name.")
    ] = False,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Fetch history into the lake; what was fetched before is not asked for again."""
    from counterpoise.config import load_settings
    from counterpoise.market.lake import Lake
    from counterpoise.sources import SOURCES
    from counterpoise.sources.contract import Request
    from counterpoise.sources.fetch import fetch as bring
    from counterpoise.units import to_ms

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    first_ms = to_ms(moment(first, "--from"))
    last_ms = to_ms(moment(last, "--to")) if last else 1 << 53
    if first_ms >= last_ms:
        raise FixConfig("--from", first, f"a moment before --to = {last}", "swap or mend the two")
    made = SOURCES[source](settings.sources)
    names = [name.strip() for name in kinds.split(",")] if kinds else list(made.default_kinds)
    for name in names:
        if name not in made.kinds:
            listed = "; ".join(f"{kind} ({says})" for kind, says in made.kinds.items())
            raise FixConfig("--kinds", name, f"some of {listed}", "choose among them")
    request = Request(
        symbol or settings.venue.symbol, tuple(dict.fromkeys(names)), interval, first_ms, last_ms
    )
    with progress_bar(quiet=json) as progress:
        report = bring(
            Lake(settings.lake),
            source,
            made,
            request,
            parallel=parallel or settings.sources.parallel,
            replace=replace,
            verify=verify,
            progress=lambda done, total, _table: progress(f"fetching {source}", done, total),
        )
    if json:
        print_json(report_json(report))
    else:
        print_report(report)
    if report.refused:
        raise typer.Exit(RejectData.exit_code)
    if report.later:
        raise typer.Exit(RetryLater.exit_code)


def report_json(report: "FetchReport") -> dict[str, object]:
    """A fetch's report as plain values."""
    from dataclasses import asdict

    return asdict(report)


def print_report(report: "FetchReport") -> None:
    """Say what came, what is missing, what was set aside and what has to be tried again."""
    rows = [
        [
            str(one.key),
            str(one.units),
            f"{one.bytes / 1e6:,.1f}",
            f"{one.rows_new:,}",
            f"{one.rows_merged:,}",
            f"{one.rows_unchanged:,}",
            span_text(one.first_ms, one.last_ms) if one.first_ms and one.last_ms else "–",
        ]
        for one in report.datasets
    ]
    if rows:
        print_table(
            [
                ("dataset", False),
                ("units", True),
                ("MB", True),
                ("new", True),
                ("merged", True),
                ("unchanged", True),
                ("span (UTC)", False),
            ],
            rows,
        )
    for one in report.datasets:
        if one.rows_revised:
            typer.echo(
                f"{one.key}: {one.rows_revised:,} values were revised at the source; what was "
                "stored first stays (--replace takes the new ones)."
            )
    if report.known:
        typer.echo(f"{report.known} units were fetched before.")
    _listed("note", report.notes)
    _listed(
        "missing at the source",
        [f"{one.key} from {stamp(one.first_ms)} to {stamp(one.last_ms)}" for one in report.missing],
    )
    _listed("set aside", [f"{one.path}: {one.reason}" for one in report.refused])
    _listed("to be tried again", [f"{one.unit}: {one.reason}" for one in report.later])
    changed = any(one.rows_new or one.rows_merged for one in report.datasets)
    typer.echo("The lake changed." if changed else "Nothing new; the lake is as it was.")
    if report.refused:
        typer.echo(
            f"{len(report.refused)} units were refused; the rest is in the lake. Next: read the "
            "reasons above, and run this again."
        )
    if report.later:
        typer.echo(f"{len(report.later)} units are left. Next: run this again later.")


def _listed(kind: str, lines: list[str]) -> None:
    for line in lines[:MOST_LINES]:
        typer.echo(f"{kind}: {line}")
    if len(lines) > MOST_LINES:
        typer.echo(f"{kind}: and {len(lines) - MOST_LINES} more")
