"""``signals audit``: whether features and models look ahead, leak, and are any good."""

import math
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    Progress,
    named_path,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.cli.study import DEMO_DAYS, DEMO_SEED

if TYPE_CHECKING:
    from counterpoise.appraisal.checks import Audit, Check
    from counterpoise.appraisal.feature_audit import FeatureSet
    from counterpoise.config import Settings
    from counterpoise.market.lake import Lake
    from counterpoise.market.timeline import Timeline

commands = typer.Typer(
    help="Forecasts: are they any good, and is there a leak.", no_args_is_help=True
)
app.add_typer(commands, name="signals")

_WIDTH = 80
_EMBEDDED = (
    "No lake here: this is the embedded market. Next, for your own data: --lake FOLDER, or "
    "counterpoise data import."
)


@commands.callback()
def signals() -> None:
    """Forecasts: are they any good, and is there a leak."""


@dataclass(frozen=True)
class Market:
    """What is audited on, and what was said of it."""

    lake: "Lake"
    timeline: "Timeline"
    note: str


@contextmanager
def market_of(settings: "Settings", *, given: bool) -> Iterator[Market]:
    """The lake of the settings; the embedded market where there is none and none was named."""
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake

    lake = Lake(settings.lake)
    if given or lake.path.exists():
        yield Market(lake, build_timeline(lake, settings.venue.names, settings.venue.symbol), "")
        return
    from counterpoise.market.synthetic import generate

    with tempfile.TemporaryDirectory(prefix="counterpoise-market-") as folder:
        lake = Lake(folder)
        lake.write(generate(DEMO_SEED, days=DEMO_DAYS), synthetic=True)
        yield Market(lake, build_timeline(lake), _EMBEDDED)


def _audit_features(
    names: Sequence[str], market: Market, settings: "Settings", progress: Progress
) -> "list[Audit]":
    """Audit of catalogued features together, and of each file of the user's own."""
    from counterpoise.appraisal.feature_audit import audit_features, catalogued
    from counterpoise.appraisal.own_feature import load_feature
    from counterpoise.market.assemble import build_timeline

    listed = [name for name in names if not name.endswith(".py")]
    sets: list[FeatureSet] = [load_feature(Path(name)) for name in names if name.endswith(".py")]
    if listed or not names:
        sets.insert(0, catalogued(listed or None))
    embedded = bool(market.note)

    def build(lake: "Lake") -> "Timeline":
        if embedded:
            return build_timeline(lake)
        return build_timeline(lake, settings.venue.names, settings.venue.symbol)

    return [
        audit_features(
            market.timeline,
            features,
            lake=market.lake,
            build=build,
            seed=settings.signals.seed,
            progress=progress,
        )
        for features in sets
    ]


@commands.command()
def audit(
    feature: Annotated[
        list[str] | None,
        typer.Option(help="Feature to audit, or a Python file with feature(timeline); repeatable."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="FILE", help="Python file that defines your own model."
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="What the model forecasts: direction.4h, volatility.24h, ...")
    ] = "direction.4h",
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Audit features and a model for look-ahead, leaks and skill; exit code 1 where one fails.

    Without --feature and --model: every feature of the catalog and the shipped trees.
    """
    from counterpoise.appraisal.audit import audit_model
    from counterpoise.appraisal.checks import joined
    from counterpoise.appraisal.exam import exam_of
    from counterpoise.config import load_settings
    from counterpoise.signals.own_model import load_model
    from counterpoise.signals.targets import find, kind_of, trees_of

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    # What is wrong with the command line is told before the work.
    asked = find(target)
    own = None if model is None else load_model(model, kind_of(asked))
    given = "lake" in settings.model_fields_set
    with market_of(settings, given=given) as market, progress_bar(quiet=json) as progress:
        audits = []
        if feature or own is None:
            audits += _audit_features(feature or (), market, settings, progress)
        if own is not None or not feature:
            audits.append(
                audit_model(
                    own or trees_of(asked).model,
                    exam_of(asked, market.timeline),
                    embargo_h=settings.signals.embargo_h,
                    min_train_days=settings.signals.min_train_days,
                    seed=settings.signals.seed,
                    edge=not market.timeline.synthetic,
                    progress=progress,
                )
            )
        synthetic = market.timeline.synthetic
        note = market.note
    found = joined(audits)
    if json:
        print_json(found.as_dict() | {"synthetic": synthetic, "note": note})
    else:
        if synthetic:
            typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
        if note:
            typer.echo(textwrap.fill(note, _WIDTH))
        _print(found)
    if found.verdict == "FAIL":
        raise typer.Exit(1)


def _print(found: "Audit") -> None:
    """Tables of every check, then what failed and what could not be evaluated, in sentences."""
    from counterpoise.appraisal.feature_audit import CHECKS

    subjects: dict[str, list[Check]] = {}
    for check in found.checks:
        subjects.setdefault(check.subject, []).append(check)
    features = {
        name: checks
        for name, checks in subjects.items()
        if tuple(check.name for check in checks) == CHECKS
    }
    if features:
        columns = [("feature", False), *((name, False) for name in CHECKS), ("settles, h", True)]
        rows = [
            [name, *(check.verdict for check in checks), _number(checks[1].value)]
            for name, checks in features.items()
        ]
        print_table(columns, rows)
    for name, checks in subjects.items():
        if name not in features:
            print_table(
                [(name, False), ("verdict", False), ("found", False)],
                [[check.name, check.verdict, check.finding] for check in checks],
            )
    unknown: dict[str, list[str]] = {}
    for name, checks in features.items():
        for check in checks:
            if check.verdict == "FAIL":
                _say(f"FAIL {name}, {check.name}: {check.finding}.")
            elif check.verdict == "NOT EVALUATED":
                names = unknown.setdefault(check.finding, [])
                names += [] if name in names else [name]
    for reason, names in unknown.items():
        _say(f"Not evaluated: {', '.join(names)}: {reason}.")
    counts = ", ".join(
        f"{sum(check.verdict == word for check in found.checks)} {word}" for word in _WORDS
    )
    failed = ", ".join(f"{check.name} of {check.subject}" for check in found.failures())
    _say(f"Verdict: {found.verdict} ({counts}){': ' if failed else ''}{failed}.")


_WORDS = ("PASS", "FAIL", "NOT EVALUATED")


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def _say(text: str) -> None:
    typer.echo(textwrap.fill(text, _WIDTH, subsequent_indent="  "))
