"""``stress``: rallies, crashes and shocks, and whether the drawdown limit holds."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Config, Json, LakeOption, Progress, print_json, progress_bar
from counterpoise.cli.stress_output import (
    NOTES,
    matrix,
    paragraph,
    print_proof,
    print_race,
    proof_json,
    race_json,
    sentences,
)
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.stress.leverage import Runner
    from counterpoise.stress.paths import Proof
    from counterpoise.stress.run import Stress


@app.command()
def stress(
    paths: Annotated[
        int,
        typer.Option(
            min=0, max=1_000_000, help="Made-up months for the drawdown limits; 0 leaves it out."
        ),
    ] = 0,
    leverage: Annotated[
        bool, typer.Option("--leverage", help="Compare dynamic with fixed leverage on the history.")
    ] = False,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Put the hedge through rallies, crashes and shocks, beside a short at 5× that is forgotten."""
    from counterpoise.config import load_settings

    settings = load_settings(config, {} if lake is None else {"lake": lake})

    from counterpoise.hedging import policies
    from counterpoise.venues.agreement import refuse_what_venues_refuse

    policies[settings.hedge.policy]  # an unknown name is refused before the work
    refuse_what_venues_refuse(settings)
    with progress_bar(quiet=json) as progress:
        found, proof, runners, synthetic, base = _work(settings, paths, leverage, progress)
    told = None if proof is None else proof_json(proof, paths, settings.study.seed)
    said = sentences(found, settings.hedge.policy)
    if json:
        print_json(
            {
                case.name: {n: asdict(one) for n, one in case.outcomes.items()}
                for case in found.cases
            }
            | {
                "cases": {
                    case.name: {
                        "label": case.label,
                        "kind": case.kind,
                        "opened": stamp(case.opened_ms),
                        "from": stamp(case.first_ms),
                        "to": stamp(case.last_ms),
                        "reasons": {
                            name: [flag.name for flag in flags]
                            for name, flags in case.reasons.items()
                        },
                    }
                    for case in found.cases
                },
                "acted_on": settings.hedge.policy,
                "synthetic": synthetic,
                "skipped": found.skipped,
                "paths": told,
                "leverage": race_json(runners) if leverage else None,
                "notes": NOTES,
                "verdict": said,
            }
        )
        return
    if synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if found.cases:
        names = list(found.cases[0].outcomes)
        matrix(found, "Loss over the case, % of the exposure's value; * liquidated", "loss", names)
        hedged = [name for name in names if name != "unhedged"]
        matrix(found, "Smallest margin, % of notional", "min_margin_ratio", hedged)
    if base:
        paragraph(base)
    for case, why in found.skipped.items():
        paragraph(f"Skipped {case}: {why}{'' if why.endswith('.') else '.'}")
    for note in NOTES:
        paragraph(f"Note: {note}.")
    typer.echo()
    if told is not None:
        print_proof(told)
    if leverage:
        print_race(race_json(runners))
    for sentence in said:
        paragraph(f"{sentence[0].upper()}{sentence[1:]}.")


def _work(
    settings: "Settings", paths: int, leverage: bool, progress: Progress
) -> "tuple[Stress, Proof | None, tuple[Runner, ...], bool, str]":
    """Read the lake, train or recall the forecasts, run everything."""
    from counterpoise.hedging import Situation
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.signals.training import forecast
    from counterpoise.simulation.arena import contracts_of
    from counterpoise.stress.leverage import race
    from counterpoise.stress.paths import prove
    from counterpoise.stress.run import run_cases
    from counterpoise.study.reuse import FOLDER, Shelf, recall_forecasts
    from counterpoise.venues.costs import one_way_cost

    timeline = build_timeline(Lake(settings.lake), settings.venue.names, settings.venue.symbol)
    forecasts = recall_forecasts(
        Shelf(settings.lake / FOLDER),
        timeline,
        settings,
        lambda: forecast(
            timeline, settings, model_folder=settings.lake / "models", progress=progress
        ),
    )
    contract = contracts_of(settings, int(timeline.ts_ms[-1]))[0]
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, contract))
    found = run_cases(situation, progress)
    proof = prove(situation, paths, progress) if paths else None
    runners = race(situation, progress) if leverage else ()
    shocks = [case for case in found.cases if case.kind == "shock"]
    base = ""
    if shocks:
        base = (
            f"Shocks are put on the calmest days of the lake's last 90, as they were: "
            f"{stamp(shocks[0].opened_ms)} to {stamp(shocks[0].last_ms)} UTC."
        )
    return found, proof, runners, timeline.synthetic, base
