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
        "" if name == "direction" else _p(best["dm_p"]),
        "–" if held is None else f"{held:.1%}",
        better(name, judged),
    ]


def _print(found: "Found") -> None:
    from counterpoise.appraisal.page import each

    print_table(_HEADS, [_row(*one) for one in each(found)])
    typer.echo(
        "Scores: direction AUC; volatility R² of log variance; funding mean absolute error over "
        "that of no change; adverse_move share of the static buffer's pinball loss saved."
    )
    typer.echo(
        f"Out of sample {found['start']} to {found['end']} UTC; choices saw data to "
        f"{found['holdout']} only; {found['trials']:,} configurations tried before."
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
        list[str] | None, typer.Option(help="Target, such as direction.4h; repeatable; all.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="FILE", help="Your own model, beside ours on each --target."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Write the page, as HTML."),
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

    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
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
    if page is not None:
        write_page(page, signals_page(found))
    if json:
        print_json(found | {"note": note, "page": None if page is None else str(page)})
        return
    if found["synthetic"]:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if note:
        typer.echo(note)
    _print(found)
    if page is not None:
        typer.echo(f"Page: {page}")
