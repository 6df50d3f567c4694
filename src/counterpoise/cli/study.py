"""``study`` and ``demo``: the comparison on the lake, or on an embedded synthetic market."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.actual import Fills, OpeningShort, print_ledger, read_actual
from counterpoise.cli.app import app
from counterpoise.cli.exposure import only_eth
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    Progress,
    named_path,
    print_json,
    progress_bar,
)
from counterpoise.cli.run_output import print_profile, profile_json, reuse_json, reuse_sentence
from counterpoise.cli.study_output import print_study
from counterpoise.profiling import Profile, profiled, stage

if TYPE_CHECKING:
    from counterpoise.config import Settings

#: The demo's market: years enough to train on one and compare the rest.
DEMO_SEED, DEMO_DAYS, DEMO_BURN_IN_DAYS = 20, 1_000, 400


def _run(
    settings: "Settings",
    out: Path,
    *,
    json: bool,
    rules: Sequence[Path] = (),
    scripts: Sequence[Path] = (),
    fills: Sequence[Path] = (),
    opening_short_eth: float | None = None,
    profile: Profile | None = None,
) -> None:
    """Run a study on the lake of the settings and print what it found."""
    with stage("load libraries"):
        from counterpoise.hedging import policies
        from counterpoise.hedging.own import load_own
        from counterpoise.market.assemble import build_timeline
        from counterpoise.market.lake import Lake
        from counterpoise.signals import trial_file
        from counterpoise.signals.training import forecast
        from counterpoise.simulation.actual import refuse_strange_prices
        from counterpoise.study.actual import Ledger, is_short, ledger_alone, ledger_json
        from counterpoise.study.compare import Study, run_study
        from counterpoise.study.results import refuse_unwritable, results_of, write_study
        from counterpoise.study.reuse import FOLDER, Shelf, recall_forecasts
        from counterpoise.study.trials import own_tried_before, remember_own
        from counterpoise.venues.agreement import refuse_what_venues_refuse

    # What is wrong without any data is refused before the work.
    policies[settings.hedge.policy]
    refuse_what_venues_refuse(settings)
    own = load_own(rules, scripts, settings)
    actual = read_actual(fills, opening_short_eth)
    refuse_unwritable(out)
    shelf = Shelf(settings.lake / FOLDER)

    def work(progress: Progress) -> Study | Ledger:
        with stage("read lake"):
            timeline = build_timeline(
                Lake(settings.lake),
                settings.venue.names,
                settings.venue.symbol,
                end=settings.study.end,
            )
        if actual is not None:
            refuse_strange_prices(actual.fills, timeline)
        models = settings.lake / "models"
        forecasts = recall_forecasts(
            shelf,
            timeline,
            settings,
            lambda: forecast(timeline, settings, model_folder=models, progress=progress),
        )
        if actual is not None and is_short(actual, timeline, forecasts, settings):
            return ledger_alone(actual, timeline, forecasts, settings)
        study = run_study(timeline, forecasts, settings, progress, own, shelf, actual)
        searched = trial_file.count(settings.lake / "models" / trial_file.FILE)
        return replace(study, own_before=own_tried_before(settings.lake, own) + searched)

    with progress_bar(quiet=json) as progress:
        study = work(progress)
        if isinstance(study, Ledger):
            _finish_alone(ledger_json(study), out, json=json)
            return
        files = write_study(study, out)
    if study.holdout is not None:
        try:
            remember_own(settings.lake, own)
        except OSError as error:
            typer.echo(
                f"WARNING: the lake could not remember that your own were tried ({error}), so the "
                "next count of trials is too low. Next: check disk space and permissions.",
                err=True,
            )
    shelf.trim()
    results = results_of(study)
    times = None if profile is None else profile_json(profile)
    if json:
        found = {"files": {key: str(path) for key, path in files.items()}, **results}
        print_json(found | {"reuse": reuse_json(shelf)} | ({"profile": times} if times else {}))
        return
    print_study(results, files)
    typer.echo(reuse_sentence(shelf))
    if times:
        print_profile(times)


def _finish_alone(ledger: dict[str, Any], out: Path, *, json: bool) -> None:
    """Print the ledger of a span that is too short for a study."""
    if json:
        print_json({"files": {}, "actual": ledger})
        return
    print_ledger(ledger)
    typer.echo(
        f"{ledger['days']} days are too few to compare policies, so nothing was written to {out}. "
        "Next: add fills of earlier months with another --actual, or widen --from .. --to."
    )


@app.command()
def study(
    begin: Annotated[
        datetime | None, typer.Option("--from", help="First day compared (UTC).")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Last moment used (UTC).")] = None,
    exposure: Annotated[
        float | None, typer.Option(help="Long ETH held (default: from settings).")
    ] = None,
    rule: Annotated[
        list[Path] | None,
        typer.Option(help="TOML file of a hedge rule of your own (docs/rules.md); repeatable."),
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="Python file with a policy of your own (docs/rules.md); repeatable."),
    ] = None,
    actual: Fills = None,
    actual_opening_short: OpeningShort = None,
    out: Annotated[
        Path,
        typer.Option(
            parser=named_path, metavar="FOLDER", help="Folder for report, results and paths."
        ),
    ] = Path("out"),
    lake: LakeOption = None,
    config: Config = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time went.")] = False,
    json: Json = False,
) -> None:
    """Compare every policy, and your own, on the lake's history and write the report."""
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {}
    span = {"start": begin, "end": end}
    if begin is not None or end is not None:
        overrides["study"] = {key: moment for key, moment in span.items() if moment is not None}
    if exposure is not None:
        overrides["exposure"] = only_eth(exposure)
    if lake is not None:
        overrides["lake"] = lake
    with profiled(profile) as times:
        _run(
            load_settings(config, overrides),
            out,
            json=json,
            rules=rule or (),
            scripts=policy or (),
            fills=actual or (),
            opening_short_eth=actual_opening_short,
            profile=times,
        )


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(parser=named_path, metavar="FOLDER", help="Folder for lake and report.")
    ] = Path("demo-out"),
    seed: Annotated[
        int, typer.Option(help="Seed of the synthetic market.", min=0, max=2**31 - 1)
    ] = DEMO_SEED,
    json: Json = False,
) -> None:
    """Run the study on an embedded synthetic market: proves plumbing, not edge."""
    from counterpoise.config import settings_without_file
    from counterpoise.market.lake import Lake
    from counterpoise.market.synthetic import generate

    settings = settings_without_file(
        {"lake": out / f"lake-{seed}", "study": {"burn_in_days": DEMO_BURN_IN_DAYS}}
    )
    # A lake of an earlier version may hold other values: the generator is the truth.
    Lake(settings.lake).write(generate(seed, days=DEMO_DAYS), synthetic=True, replace=True)
    _run(settings, out, json=json)
