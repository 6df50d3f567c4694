"""``events``: whether scheduled events matter to a hedger, measured around each class of them."""

import math
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Config, Json, LakeOption, print_json
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.study.event_windows import EventEffect, Measured

_WIDTH = 80


def _paragraph(text: str) -> None:
    typer.echo(textwrap.fill(text, _WIDTH, subsequent_indent="  "))


def _line(label: str, inside: str, outside: str, usual: str, apart: str, p: str, adj: str) -> str:
    line = f"{label:<22} {inside:>7}  {outside:>7}  {usual:>7}  {apart:>15}  {p:>5}  {adj:>5}"
    return line.rstrip()


def _number(value: float, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:+.2f}" if sign else f"{value:.2f}"


def _share(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _row(one: "Measured") -> str:
    from counterpoise.study.event_words import SHOWN

    shown = SHOWN[one.name]
    inside, outside, usual, apart, half = (
        shown.scale * value
        for value in (one.inside, one.outside, one.usual, one.difference, one.high - one.difference)
    )
    gap = f"{_number(apart, sign=True)} ± {_number(half)}" if math.isfinite(apart) else "–"
    return _line(
        f"{shown.label} {shown.unit}",
        _number(inside),
        _number(outside),
        _number(usual),
        gap,
        _share(one.p),
        _share(one.p_holm),
    )


def _print_class(effect: "EventEffect") -> None:
    from counterpoise.study.event_words import CLASS_NAMES

    few = ", too few" if effect.too_few else ""
    _paragraph(
        f"{CLASS_NAMES[effect.kind]}: {effect.events} events{few}, {effect.windows} windows; "
        f"{effect.hours_inside:,} hours inside, {effect.hours_outside:,} outside"
    )
    if effect.events:
        typer.echo(_line("", "inside", "outside", "usual", "difference", "p", "Holm"))
        for one in effect.measures:
            typer.echo(_row(one))
    typer.echo()


@app.command()
def events(
    before: Annotated[
        int, typer.Option(min=0, max=720, metavar="HOURS", help="Hours before an event.")
    ] = 24,
    after: Annotated[
        int, typer.Option(min=0, max=720, metavar="HOURS", help="Hours after an event.")
    ] = 24,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Measure hedge, basis and funding around events, and say whether they matter."""
    from counterpoise.config import load_settings
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.study.event_windows import WEEK_H, event_windows
    from counterpoise.study.event_words import overall, verdict_of

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    timeline = build_timeline(Lake(settings.lake), settings.venue.names, settings.venue.symbol)
    study = settings.study
    found = event_windows(
        timeline, before_h=before, after_h=after, draws=study.draws, seed=study.seed
    )
    first, last = stamp(found[0].first_ms), stamp(found[0].last_ms)
    verdicts = [verdict_of(effect, before, after) for effect in found]
    if json:
        print_json(
            {
                "venue": timeline.venues[0],
                "from": first,
                "to": last,
                "before_h": before,
                "after_h": after,
                "shift_h": found[0].shift_h,
                "draws": study.draws,
                "seed": study.seed,
                "synthetic": timeline.synthetic,
                "verdict": overall(found),
                "classes": [
                    {
                        "class": effect.kind,
                        "events": effect.events,
                        "windows": effect.windows,
                        "too_few": effect.too_few,
                        "hours_inside": effect.hours_inside,
                        "hours_outside": effect.hours_outside,
                        "verdict": said,
                        "measures": {
                            one.name: {k: v for k, v in asdict(one).items() if k != "name"}
                            | {"significant": one.significant}
                            for one in effect.measures
                        },
                    }
                    for effect, said in zip(found, verdicts, strict=True)
                ],
            }
        )
        return
    if timeline.synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    _paragraph(
        f"{timeline.venues[0]} perpetual and spot, {first} to {last} UTC; windows from {before} h "
        f"before an event to {after} h after it."
    )
    typer.echo()
    for effect in found:
        _print_class(effect)
    steps = "weeks within their year" if found[0].shift_h == WEEK_H else "days"
    _paragraph(
        f"Usual: the mean of the same windows shifted by whole {steps} ({study.draws:,} shifts). "
        "Difference: inside - usual, ± what 95 % of the shifts stay within. "
        "Holm: p corrected for all classes and measures. Method: docs/events.md."
    )
    typer.echo()
    for said in (*verdicts, overall(found)):
        _paragraph(f"{said[0].upper()}{said[1:]}.")
