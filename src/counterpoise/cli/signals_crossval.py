"""``signals crossval``: how far a model's score depends on which years it is asked about."""

from pathlib import Path
from typing import Annotated

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


@commands.command()
def crossval(
    target: Annotated[str, typer.Option(help="Target, such as direction.4h.")] = "direction.4h",
    model: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Your own model, beside ours."),
    ] = None,
    groups: Annotated[int, typer.Option(min=3, max=12, help="Parts of the history.")] = 6,
    tested: Annotated[int, typer.Option(min=1, max=6, help="Parts held out at a time.")] = 2,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Cross-validate by combinatorial purged paths; later years teach earlier ones here."""
    from counterpoise.appraisal.crossval import cross_validate
    from counterpoise.appraisal.exam import SCORE_NAMES, exam_of
    from counterpoise.config import load_settings
    from counterpoise.signals.own_model import load_model
    from counterpoise.signals.targets import find, kind_of

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    asked = find(target)
    own = [] if model is None else [load_model(model, kind_of(asked))]
    given = "lake" in settings.model_fields_set
    with market_of(settings, given=given) as market, progress_bar(quiet=json) as progress:
        exam = exam_of(asked, market.timeline)
        ours = [
            part.model
            for candidate in asked.candidates
            for part in candidate.parts
            if part.outcome(market.timeline).horizon_h == asked.horizon_h
        ]
        found = []
        for i, one in enumerate((*ours, *own)):
            found.append(
                cross_validate(
                    one,
                    exam,
                    groups=groups,
                    tested=tested,
                    embargo_h=max(settings.signals.embargo_h, asked.horizon_h),
                    seed=settings.signals.seed,
                )
            )
            progress("models", i + 1, len(ours) + len(own))
        synthetic, note = market.timeline.synthetic, market.note
    name = SCORE_NAMES[exam.kind]
    if json:
        told = [
            {
                "model": one.model,
                "fits": one.fits,
                "paths": len(one.scores),
                "mean": one.mean,
                "spread": one.spread,
                "scores": one.scores.tolist(),
            }
            for one in found
        ]
        print_json(
            {"target": target, "score": name, "models": told, "synthetic": synthetic, "note": note}
        )
        return
    if synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if note:
        typer.echo(note)
    heads = [("model", False), (name, True), ("spread", True), ("least", True), ("most", True)]
    rows = [
        [
            one.model,
            f"{one.mean:.4f}",
            f"{one.spread:.4f}",
            f"{one.scores.min():.4f}",
            f"{one.scores.max():.4f}",
        ]
        for one in found
    ]
    print_table(heads, rows, f"{target}, {found[0].fits} fits, {len(found[0].scores)} paths each")
