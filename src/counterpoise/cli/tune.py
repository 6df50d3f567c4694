"""``signals tune``: search recipes of the trees for one target, here or on a cluster."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.output import Config, Json, LakeOption, print_json, print_table, progress_bar
from counterpoise.cli.signals import commands

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.signals.tuning import Search

#: Parameters of a trial in the order a person reads them, and their headings.
_COLUMNS = {
    "rounds": "trees",
    "learning_rate": "rate",
    "leaves": "leaves",
    "min_leaf_rows": "rows/leaf",
    "feature_share": "features",
    "l2": "ridge",
    "stride": "every",
}
_SHOWN = 10


def _refuse_holdout(until: datetime, settings: "Settings") -> None:
    """Refuse a search that would see what the study is judged on."""
    from counterpoise.errors import FixConfig

    first = settings.study.holdout_start
    if until >= first:
        raise FixConfig(
            "--until",
            until,
            f"a moment before study.holdout_start ({first:%Y-%m-%d}), whose data judge the choice",
            "search on earlier data, or move study.holdout_start",
        )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _print(search: "Search", until: datetime) -> None:
    present = search.trials[0]
    scored = [(one.score, one) for one in search.trials if one.score is not None]
    ranked = [one for _, one in sorted(scored, key=lambda pair: -pair[0])][:_SHOWN]
    rows = [
        [
            _score(one.score),
            *(f"{one.parameters[name]:.4g}" for name in _COLUMNS),
            "present" if one is present else "",
        ]
        for one in ranked
    ]
    headings = [present.measure, *_COLUMNS.values()]
    print_table([*((heading, True) for heading in headings), ("", False)], rows, search.target)
    typer.echo(
        f"{len(search.trials)} recipes on data to {until:%Y-%m-%d %H:%M} UTC; best "
        f"{present.measure} {_score(search.best.score)}, present {_score(present.score)}."
    )
    typer.echo(
        f"{search.entered} entered in the ledger, which holds {search.configurations}. The best of "
        "many looks better than it is; nothing was changed."
    )


@commands.command()
def tune(
    target: Annotated[
        str, typer.Option(help="What to forecast: direction.4h or volatility.24h.")
    ] = "direction.4h",
    trials: Annotated[int, typer.Option(help="Recipes to try, the present one too.", min=1)] = 20,
    batch: Annotated[
        int, typer.Option(help="Recipes proposed at a time; decides which are tried.", min=1)
    ] = 4,
    seeds: Annotated[int, typer.Option(help="Seeds of the trees per recipe.", min=1)] = 1,
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Last moment seen.")
    ] = datetime(2023, 12, 31),
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Run on Ray: here, or where --address says.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, host:port or auto; with --cluster.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Refits at a time (default: one per core).", min=1)
    ] = None,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Search recipes of the trees by walk-forward score; each trial is entered in the ledger."""
    from counterpoise.config import load_settings
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.signals.tuning import search, targets

    targets[target]
    if address is not None and not cluster:
        raise typer.BadParameter("--address needs --cluster")
    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
    settings = load_settings(config, overrides)
    until = until.replace(tzinfo=UTC)
    _refuse_holdout(until, settings)
    timeline = build_timeline(
        Lake(settings.lake), settings.venue.names, settings.venue.symbol, end=until
    )
    with progress_bar(quiet=json) as progress:
        found = search(
            timeline,
            settings,
            target,
            until=until,
            models=settings.lake / "models",
            trials=trials,
            batch=batch,
            seeds=seeds,
            backend="ray" if cluster else "local",
            workers=workers,
            address=address,
            progress=progress,
        )
    if json:
        from dataclasses import asdict

        print_json(
            {
                "target": found.target,
                "data_until": found.trials[0].data_until,
                "best": asdict(found.best),
                "present": asdict(found.trials[0]),
                "trials": [asdict(one) for one in found.trials],
                "entered": found.entered,
                "configurations": found.configurations,
                "synthetic": timeline.synthetic,
            }
        )
        return
    if timeline.synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    _print(found, until)
