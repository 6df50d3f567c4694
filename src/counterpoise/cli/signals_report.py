"""``signals report``: every forecast beside its baseline, as a table, JSON or a page."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    named_path,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.cli.signals import commands, market_of

if TYPE_CHECKING:
    from counterpoise.appraisal.page import Json as Found

_HEADS = (
    ("target", False),
    ("rows", True),
    ("baseline", False),
    ("its score", True),
    ("best", True),
    ("95 % interval", True),
    ("p", True),
    ("after all trials", True),
    ("holds", True),
    ("verdict", False),
)


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _p(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else _number(value)


def _row(name: str, horizon: str, judged: "Found") -> list[str]:
    from counterpoise.appraisal.page import better

    best, baseline = judged["best"], judged["baseline"]
    key = {"direction": "auc", "volatility": "r2", "funding": "mae_ratio"}.get(name, "pinball_gain")
    span = ""
    if name == "direction":
        span = f"{_number(best['auc_low'])} – {_number(best['auc_high'])}"
    held = best.get("coverage")
    return [
        f"{name}.{horizon}",
        f"{judged['count']:,}",
        str(baseline["name"]),
        _number(baseline[key]),
        _number(best[key]),
        span,
        _p(best["dm_p"]),
        _p(judged.get("deflated_p")),
        "–" if held is None else f"{held:.1%}",
        better(name, judged),
    ]


def _own_row(name: str, horizon: str, judged: "Found", own: str) -> list[str]:
    """The user's model on one target, held against the same baseline."""
    told = judged["candidates"].get(own)
    start = [f"{name}.{horizon}", f"{judged['count']:,}", str(judged["baseline"]["name"])]
    if told is None:
        return [*start, "", own, "", "", "", "", "not evaluated: it forecast nothing"]
    row = _row(name, horizon, {**judged, "best": told, "deflated_p": None})
    better, key = row[-1], row[4]
    return [*row[:4], f"{own} {key}", *row[5:-1], better]


def _print(found: "Found", own: "dict[str, str]") -> None:
    from counterpoise.appraisal.page import each

    rows = []
    for name, horizon, judged in each(found):
        rows.append(_row(name, horizon, judged))
        if f"{name}.{horizon}" in own:
            rows.append(_own_row(name, horizon, judged, own[f"{name}.{horizon}"]))
    print_table(_HEADS, rows)
    typer.echo(
        "Scores: direction AUC; volatility R² of log variance; funding mean absolute error over "
        "that of no change; adverse_move share of the static buffer's pinball loss saved."
    )
    typer.echo(
        f"Out of sample {found['start']} to {found['end']} UTC; choices were made on data to "
        f"{found['holdout']}; {found['trials']:,} configurations tried before, and p after all of "
        "them is Šidák's."
    )
    for row in found.get("ablation", []):
        told = f"{row['target']} {row['change']} {row['group']}"
        if not math.isnan(row["gain"]):
            told += f": loss saved {row['gain']:+.2%}, p {_p(row['p'])}"
        typer.echo(f"{told}: {row['verdict']}.")
    if found["not_evaluated"]:
        typer.echo("Not evaluated: " + "; ".join(found["not_evaluated"]) + ".")


@commands.command()
def report(
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target, such as direction.4h; repeatable (default: all)."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="FILE", help="Your own model, beside ours; needs --target."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Write the page, as HTML."),
    ] = None,
    venue: Annotated[
        str | None, typer.Option(help="Perpetual and funding of this venue, not the settings'.")
    ] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Ask what each group of features adds (minutes).")
    ] = False,
    network: Annotated[
        bool, typer.Option("--network/--no-network", help="Train the LSTM too (minutes).")
    ] = True,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Run the refits on a Ray cluster.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="A running cluster, host:port or auto; with --cluster.")
    ] = None,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Walk every forecast forward and judge it beside its plain baseline."""
    from counterpoise.appraisal.assess import Asked, assess
    from counterpoise.appraisal.page import signals_page, write_page
    from counterpoise.config import load_settings
    from counterpoise.errors import FixConfig
    from counterpoise.signals.own_model import load_model
    from counterpoise.signals.targets import find, kind_of
    from counterpoise.study.trials import remember_own

    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
    if venue is not None:
        overrides["venue"] = {"names": (venue,)}
    settings = load_settings(config, overrides)
    keys = tuple(dict.fromkeys(target or ()))
    for key in keys:
        find(key)
    if page is not None and page.suffix != ".html":
        raise FixConfig("--page", str(page), "a file ending in .html", "name one")
    if address is not None and not cluster:
        raise FixConfig("--address", address, "--cluster beside it", "add --cluster")
    if model is not None and not keys:
        raise FixConfig("--model", str(model), "a --target it forecasts", "add --target KEY")
    own = {key: load_model(model, kind_of(find(key))) for key in keys} if model else {}
    given = "lake" in settings.model_fields_set
    with market_of(settings, given=given) as market, progress_bar(quiet=json) as progress:
        caches = market.lake.path / "models"
        asked = Asked(
            keys=keys,
            ablation=ablation,
            network=network,
            models=caches,
            results=caches / "results",
            backend="ray" if cluster else "threads",
            address=address,
        )
        found, _ = assess(market.timeline, settings, asked, own=own, progress=progress)
        note = market.note
        if own and not note:
            remember_own(settings.lake, own.values())
    if page is not None:
        write_page(page, signals_page(found))
    if json:
        print_json(
            found
            | {
                "venue": settings.venue.names[0],
                "note": note,
                "page": None if page is None else str(page),
            }
        )
        return
    if found["synthetic"]:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if note:
        typer.echo(note)
    _print(found, {key: one.name for key, one in own.items()})
    if page is not None:
        typer.echo(f"Page: {page}")
