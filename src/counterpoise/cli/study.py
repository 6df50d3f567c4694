"""``study`` and ``demo``: the comparison on the lake, or on an embedded synthetic market."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    Progress,
    print_json,
    print_table,
    progress_bar,
)

if TYPE_CHECKING:
    from counterpoise.config import Settings

#: The demo's market: years enough to train on one and compare the rest.
DEMO_SEED, DEMO_DAYS, DEMO_BURN_IN_DAYS = 20, 1_000, 400

#: Metric, heading, digits, as a percentage.
_COLUMNS = (
    ("mean", "mean/yr", 2, True),
    ("vol", "vol/yr", 2, True),
    ("ce20", "CE20/yr", 2, True),
    ("cvar95", "CVaR95/day", 2, True),
    ("max_drawdown", "drawdown", 1, True),
    ("hedge_effectiveness", "HE", 4, False),
    ("funding", "funding/yr", 2, True),
    ("cost", "cost/yr", 2, True),
    ("turnover", "turnover", 1, False),
    ("mean_ratio", "mean S/L", 3, False),
    ("liquidations", "liq.", 0, False),
)


def _run(settings: "Settings", out: Path, *, json: bool) -> None:
    """Run a study on the lake of the settings and print what it found."""
    from counterpoise.hedging import RECOMMENDED, policies
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.signals.training import forecast
    from counterpoise.study.compare import Study, run_study
    from counterpoise.study.results import refuse_unwritable, results_of, write_study

    acted_on = policies[settings.hedge.policy].name
    refuse_unwritable(out)

    def work(progress: Progress) -> Study:
        timeline = build_timeline(
            Lake(settings.lake),
            settings.venue.names,
            settings.venue.symbol,
            end=settings.study.end,
        )
        forecasts = forecast(
            timeline, settings, model_folder=settings.lake / "models", progress=progress
        )
        return run_study(timeline, forecasts, settings, progress)

    with progress_bar(quiet=json) as progress:
        study = work(progress)
        files = write_study(study, out)
    results = results_of(study)
    if json:
        print_json({"files": {key: str(path) for key, path in files.items()}, **results})
        return
    synthetic = " (SYNTHETIC MARKET: proves plumbing, not edge)" if results["synthetic"] else ""
    rows = []
    for name, row in results["policies"].items():
        mark = "→ " if name == acted_on else "  "
        cells = [
            "–"
            if row[key] is None
            else f"{row[key]:.{digits}%}"
            if share
            else f"{row[key]:.{digits}f}"
            for key, _, digits, share in _COLUMNS
        ]
        rows.append([f"{mark}{name}", *cells])
    print_table(
        [("policy", False), *((heading, True) for _, heading, _, _ in _COLUMNS)],
        rows,
        title=f"{results['from']} to {results['to']} UTC, {results['days']} days{synthetic}",
    )
    matched = []
    for name, metrics in results["versus_matched"].items():
        for metric in ("vol", "cvar95", "ce20"):
            found = metrics[metric]
            holm = f"{found['p_holm']:.3f}" + ("" if found["preregistered"] else " (explor.)")
            matched.append(
                [
                    name if metric == "vol" else "",
                    metric,
                    f"{found['difference']:+.2%}",
                    f"{found['low']:+.2%} to {found['high']:+.2%}",
                    f"{found['p']:.3f}",
                    holm,
                ]
            )
    print_table(
        [
            ("against its matched static", False),
            ("metric", False),
            ("difference", True),
            ("95 % interval", True),
            ("p", True),
            ("Holm p", True),
        ],
        matched,
    )
    typer.echo(f"Verdict: {results['verdict']}")
    for warning in results["warnings"]:
        typer.echo(f"WARNING: {warning}.")
    typer.echo(
        f"Trials: {results['trials']['total']} configurations in all; "
        f"registered in advance: {RECOMMENDED}."
    )
    if synthetic:
        typer.echo("This market is synthetic: it proves plumbing, not edge.")
    typer.echo(f"Report: {files['report']}")
    typer.echo(f"Results: {files['results']} · paths: {files['paths']}")


@app.command()
def study(
    begin: Annotated[
        datetime | None, typer.Option("--from", help="First day compared (UTC).")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Last moment used (UTC).")] = None,
    exposure: Annotated[
        float | None, typer.Option(help="Long ETH held (default: from settings).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report, results and paths.")] = Path("out"),
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare every policy on the lake's history and write the report."""
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {}
    span = {"start": begin, "end": end}
    if begin is not None or end is not None:
        overrides["study"] = {key: moment for key, moment in span.items() if moment is not None}
    if exposure is not None:
        overrides["exposure"] = {"eth": exposure}
    if lake is not None:
        overrides["lake"] = lake
    _run(load_settings(config, overrides), out, json=json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for lake and report.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(help="Seed of the synthetic market.")] = DEMO_SEED,
    json: Json = False,
) -> None:
    """Run the study on an embedded synthetic market: proves plumbing, not edge."""
    from counterpoise.config import Settings
    from counterpoise.market.lake import Lake
    from counterpoise.market.synthetic import generate

    settings = Settings(
        lake=out / f"lake-{seed}",
        study={"burn_in_days": DEMO_BURN_IN_DAYS},
    )
    # A lake of an earlier version may hold other values: the generator is the truth.
    Lake(settings.lake).write(generate(seed, days=DEMO_DAYS), synthetic=True, replace=True)
    _run(settings, out, json=json)
