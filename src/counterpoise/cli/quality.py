"""``data info | check | diff``: what the lake holds, what is wrong with it, where two differ."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.data import commands, open_lake, span_text
from counterpoise.cli.output import Config, Json, LakeOption, print_json, print_table
from counterpoise.errors import FixConfig, RejectData
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.market.lake import Lake
    from counterpoise.quality.compare import Comparison
    from counterpoise.quality.findings import Finding

#: Rows of a finding that are printed with ``--rows``, and of a difference.
MOST_ROWS = 10
SHOWN_DIFFERENCES = 3


@commands.command()
def info(lake: LakeOption = None, config: Config = None, json: Json = False) -> None:
    """List what the lake holds: tables, venues, spans, gaps, duplicates."""
    from counterpoise.quality.inventory import info as describe

    found = describe(open_lake(lake, config))
    if json:
        print_json([asdict(one) for one in found])
        return
    print_table(
        [
            ("table", False),
            ("venue", False),
            ("symbol", False),
            ("interval", False),
            ("span (UTC)", False),
            ("rows", True),
            ("expected", True),
            ("gaps", True),
            ("longest", True),
            ("duplicates", True),
            ("MB", True),
        ],
        [
            [
                one.table + (" (synthetic)" if one.synthetic else ""),
                one.venue,
                one.symbol,
                one.interval,
                span_text(one.first_ms, one.last_ms),
                f"{one.rows:,}",
                "–" if one.expected_rows is None else f"{one.expected_rows:,}",
                str(one.gaps),
                f"{one.longest_gap_ms / 3_600_000:,.0f} h" if one.gaps else "–",
                str(one.duplicates),
                f"{one.bytes / 1e6:.1f}",
            ]
            for one in found
        ],
    )


@commands.command()
def check(
    rows: Annotated[bool, typer.Option("--rows", help="Print the rows of every finding.")] = False,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Report what is missing, doubtful or damaged, and how it is treated (docs/quality.md)."""
    from counterpoise.quality.check import check as inspect

    store = open_lake(lake, config)
    findings = inspect(store)
    if json:
        print_json([asdict(one) for one in findings])
    else:
        _print_findings(store, findings, rows=rows)
    if any(one.severity == "error" for one in findings):
        raise typer.Exit(RejectData.exit_code)


def _print_findings(store: "Lake", findings: "list[Finding]", *, rows: bool) -> None:
    """Findings under their dataset; what is done about a kind is said once."""
    from collections import Counter

    before = None
    told: set[tuple[str, str]] = set()
    for one in findings:
        if one.key != before:
            typer.echo(f"\n{one.key}")
            before = one.key
            told = set()
        where = stamp(one.first_ms)
        if one.last_ms != one.first_ms:
            where = span_text(one.first_ms, one.last_ms)
        typer.echo(f"  {one.severity:<8} {one.kind}: {where}: {one.text}.")
        if (one.kind, one.treatment) not in told:
            typer.echo(f"           Treatment: {one.treatment}.")
            told.add((one.kind, one.treatment))
        if rows:
            _print_rows(store, one)
    counts = Counter(one.severity for one in findings)
    listed = ", ".join(
        f"{counts[name]} {name}" for name in ("error", "warning", "info") if counts[name]
    )
    typer.echo(f"\n{len(findings)} findings" + (f": {listed}." if findings else "."))


def _print_rows(store: "Lake", one: "Finding") -> None:
    """Stored rows of a finding, or the moments that have none."""
    stamps = list(one.at_ms[:MOST_ROWS])
    if one.kind in ("gap", "missing settlement"):
        typer.echo("           missing: " + ", ".join(stamp(at) for at in stamps))
    elif one.kind != "damaged" and stamps:
        import polars as pl

        table = store.read_span(one.key, stamps[0], stamps[-1] + 1).filter(
            pl.col("ts").dt.epoch("ms").is_in(stamps)
        )
        for row in table.drop("known_at").head(MOST_ROWS).iter_rows(named=True):
            values = ", ".join(f"{name} {value}" for name, value in row.items() if name != "ts")
            typer.echo(f"           {row['ts']:%Y-%m-%d %H:%M:%S}: {values}")
    left = one.rows - len(stamps)
    if left > 0:
        typer.echo(f"           and {left:,} more")


@commands.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="TABLE/VENUE/SYMBOL/INTERVAL, file, lake.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is said to be the same.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Relative difference that is none.")
    ] = 1e-9,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare two sources of the same truth over the span both cover."""
    from counterpoise.config import load_settings
    from counterpoise.market.lake import Lake
    from counterpoise.quality.compare import compare
    from counterpoise.quality.sides import paired, resolve

    if not 0.0 <= tolerance <= 1.0:
        raise FixConfig("--tolerance", tolerance, "a number from 0 to 1", "such as 1e-6")
    store = Lake(load_settings(config, {} if lake is None else {"lake": lake}).lake)
    pairs, alone = paired((a, b), resolve(a, store), resolve(b, store))
    found = []
    for pair in pairs:
        (key_a, read_a), (key_b, read_b) = pair.a, pair.b
        found.append(compare(pair.named, (key_a, read_a()), (key_b, read_b()), tolerance))
    if json:
        print_json(
            {
                "comparisons": [asdict(one) | {"same": one.same} for one in found],
                "only_a": [str(key) for key in alone],
            }
        )
    else:
        for one in found:
            _print_comparison(one)
        for key in alone:
            typer.echo(f"only in A: {key}")
    if not all(one.same for one in found) or alone:
        raise typer.Exit(RejectData.exit_code)


def _print_comparison(one: "Comparison") -> None:
    typer.echo(f"A  {one.a}\nB  {one.b}")
    if one.first_ms is None or one.last_ms is None:
        typer.echo("They cover no common span: nothing was compared.\n")
        return
    typer.echo(
        f"{span_text(one.first_ms, one.last_ms)} at {one.interval}: {one.both:,} rows in both, "
        f"{one.only_a:,} only in A, {one.only_b:,} only in B."
    )
    for name, stamps in (("A", one.only_a_ms), ("B", one.only_b_ms)):
        if stamps:
            typer.echo(f"only in {name}: {', '.join(stamp(at) for at in stamps[:6])} …")
    rows = [
        [
            column.name,
            f"{column.rows:,}",
            f"{column.largest:.6g}",
            f"{column.largest_relative:.3g}",
            "–" if column.factor is None else f"{column.factor:.6g}",
            "; ".join(
                f"{stamp(row.ts_ms)} {row.key}{' ' if row.key else ''}{row.a} / {row.b}"
                for row in column.examples[:SHOWN_DIFFERENCES]
            ),
        ]
        for column in one.columns
    ]
    if rows:
        print_table(
            [
                ("column", False),
                ("rows that differ", True),
                ("largest", True),
                ("relative", True),
                ("B / A", True),
                ("first ones: A / B", False),
            ],
            rows,
        )
    if one.lag is not None:
        side = "later" if one.lag > 0 else "earlier"
        rows_text = "row" if abs(one.lag) == 1 else "rows"
        typer.echo(
            f"B fits A far better {abs(one.lag)} {rows_text} {side}: stamps of one may be off."
        )
    typer.echo("The same.\n" if one.same else "They differ.\n")
