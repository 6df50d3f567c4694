"""``features``: every number the models may use, what it is, and how far the lake knows it."""

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Config, Json, LakeOption, print_json
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.features.coverage import Coverage

_WIDTH = 80


def _month(ts_ms: int | None) -> str:
    return "–" if ts_ms is None else stamp(ts_ms)[:7]


def _paragraph(text: str, *, indent: str = "") -> None:
    typer.echo(textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent))


def _line(name: str, unit: str, known_at: str, share: str, span: str) -> str:
    return f"{name:<24}  {unit:<14}  {known_at:<10}  {share:>7}  {span}".rstrip()


def _print_table(rows: "dict[str, Coverage]") -> None:
    from counterpoise.features.catalog import FEATURES, KNOWN_AT, UNAVAILABLE

    typer.echo(_line("feature", "unit", "known at", "known", "from – to"))
    for name in rows:
        feature, row = FEATURES[name], rows[name]
        share, span = f"{row.known:.1%}", f"{_month(row.first_ms)} – {_month(row.last_ms)}"
        if row.state == "not evaluated":
            share, span = "–", "not evaluated"
        typer.echo(_line(name, feature.unit, feature.known_at, share, span))
    typer.echo()
    for name, row in rows.items():
        if row.state == "constant":
            _paragraph(f"Constant: {name} is {row.median:g} wherever it is known.")
        elif row.state == "not evaluated":
            _paragraph(f"Not evaluated: {name}: {row.reason}.")
    for name, reason in UNAVAILABLE.items():
        _paragraph(f"Not evaluated: {name}: {reason}.")
    for key, words in KNOWN_AT.items():
        typer.echo(f"{key:<10}  known {words}")
    typer.echo("More of one: counterpoise features NAME. Plots: --plot features.html")


def _print_one(row: "Coverage") -> None:
    from counterpoise.features.catalog import FEATURES, KNOWN_AT, raw_inputs

    feature = FEATURES[row.name]
    typer.echo(row.name)
    parts = {
        "formula": feature.formula,
        "unit": feature.unit,
        "known": KNOWN_AT[feature.known_at],
        "warm-up": f"{feature.warm_up} h",
        "inputs": ", ".join(raw_inputs(row.name)),
        "pitfall": feature.pitfall,
    }
    if row.first_ms is None or row.last_ms is None:
        parts["lake"] = f"not evaluated: {row.reason}"
    else:
        parts["lake"] = (
            f"known at {row.known:.1%} of the hours, {stamp(row.first_ms)} to "
            f"{stamp(row.last_ms)} UTC"
        )
        parts["values"] = (
            f"constant {row.median:g}"
            if row.state == "constant"
            else f"5 % {row.low:.4g}, median {row.median:.4g}, 95 % {row.high:.4g}"
        )
    for key, text in parts.items():
        lines = textwrap.wrap(text, _WIDTH - 11)
        typer.echo(f"  {key:<9}" + ("\n" + " " * 11).join(lines))


@app.command()
def features(
    names: Annotated[
        list[str] | None, typer.Argument(help="Features to show in full (default: list all).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a page with a plot of each, as HTML.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the catalog as Markdown; needs no lake.")
    ] = False,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the features: unit, when known, how far the lake knows them; or plot them."""
    from counterpoise.features.catalog import FEATURES, KNOWN_AT, UNAVAILABLE, raw_inputs
    from counterpoise.features.reference import markdown_tables

    chosen = tuple(dict.fromkeys(names or FEATURES))
    for name in chosen:
        FEATURES[name]  # an unknown name is refused before the work
    if markdown:
        typer.echo(markdown_tables(chosen))
        return

    from counterpoise.config import load_settings
    from counterpoise.features.coverage import coverage
    from counterpoise.features.engine import compute
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake

    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
    settings = load_settings(config, overrides)
    timeline = build_timeline(Lake(settings.lake), settings.venue.names, settings.venue.symbol)
    matrix = compute(timeline, chosen)
    rows = {row.name: row for row in coverage(timeline, matrix)}
    if plot is not None:
        from counterpoise.study.feature_page import write_feature_page

        write_feature_page(timeline, matrix, tuple(rows.values()), plot)
    if json:
        print_json(
            {
                "features": [
                    {
                        "name": name,
                        "unit": FEATURES[name].unit,
                        "known_at": FEATURES[name].known_at,
                        "known_at_rule": KNOWN_AT[FEATURES[name].known_at],
                        "warm_up_h": FEATURES[name].warm_up,
                        "inputs": raw_inputs(name),
                        "formula": FEATURES[name].formula,
                        "pitfall": FEATURES[name].pitfall,
                        "coverage": {
                            **{k: v for k, v in asdict(row).items() if k[-3:] != "_ms"},
                            "first": None if row.first_ms is None else stamp(row.first_ms),
                            "last": None if row.last_ms is None else stamp(row.last_ms),
                        },
                    }
                    for name, row in rows.items()
                ],
                "unavailable": UNAVAILABLE,
                "synthetic": timeline.synthetic,
                "plot": None if plot is None else str(plot),
            }
        )
        return
    if timeline.synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if names:
        for row in rows.values():
            _print_one(row)
    else:
        _print_table(rows)
    if plot is not None:
        typer.echo(f"Plots: {plot}")
