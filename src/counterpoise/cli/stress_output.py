"""What ``stress`` prints: matrices, sentences, tables of breaches and of leverages; and as JSON."""

import math
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.stress.breaches import Breach
    from counterpoise.stress.leverage import Runner
    from counterpoise.stress.paths import Proof, Tally
    from counterpoise.stress.run import Stress

_WIDTH, _CASE, _CELL = 80, 14, 11
NOTES = (
    "positions are opened a day or more before a case, and losses count from its first hour; "
    "drawdowns are at the close of bars, margins at the worst mark",
    "policies do not see a shock: their bands are those of the calm days it is put on",
    "the haircut counts doubled from the first hour, but coins are posted as for the single one "
    "until the shock, so that margins before it look lower than they were",
    "fixed_5x is never topped up or cut, and nothing is opened after a liquidation",
)


def paragraph(text: str) -> None:
    """Print a paragraph within the width of a terminal."""
    typer.echo(textwrap.fill(text, _WIDTH, subsequent_indent="  "))


def _heading(name: str) -> list[str]:
    """Name of a policy over as many lines as its column needs."""
    lines = [""]
    for part in name.split("_"):
        longer = f"{lines[-1]}_{part}".lstrip("_")
        if len(longer) < _CELL or not lines[-1]:
            lines[-1] = longer[: _CELL - 1]
        else:
            lines.append(part[: _CELL - 1])
    return lines


def matrix(found: "Stress", title: str, key: str, names: list[str]) -> None:
    """Print one number of every case and policy; a star marks a liquidation."""
    heads = [_heading(name) for name in names]
    depth = max(map(len, heads))
    typer.echo(title)
    for row in range(depth):
        cells = [
            head[row - depth + len(head)] if row >= depth - len(head) else "" for head in heads
        ]
        typer.echo((" " * _CASE + "".join(f"{cell:>{_CELL}}" for cell in cells)).rstrip())
    for case in found.cases:
        cells = []
        for name in names:
            one = case.outcomes[name]
            value = getattr(one, key)
            shown = f"{100 * value:.1f}" if math.isfinite(value) else "–"
            cells.append(f"{shown}{'*' * (one.liquidations > 0)}")
        typer.echo(f"{case.name:<{_CASE}}" + "".join(f"{cell:>{_CELL}}" for cell in cells))
    typer.echo()


#: What is told of the policy acted on, by reason.
_BOUND = {
    "FALLBACK": "lacked a signal and fell back to the static ratio",
    "DRAWDOWN": "was raised by the drawdown limit",
    "LOCK": "was raised by the profit lock",
    "STOP": "was moved by a stop",
    "EVENT": "was raised by an event window",
    "FUNDING_COST": "was held down by the cost of funding",
    "UNFUNDED": "ran out of money to post",
    "KEPT_ALIVE": "was cut to keep it alive",
    "COLLAR": "had an order refused by the collar",
    "FAT_FINGER": "had an order refused as a mistake",
    "CLOSED": "met a venue that was down",
}


def sentences(found: "Stress", acted_on: str) -> list[str]:
    """What the cases come to, in plain words."""
    from counterpoise.decision.moment import Reason
    from counterpoise.stress.run import PEER

    if not found.cases:
        return ["no case could be run: the lake holds none of these days"]
    own = found.liquidations(peer=False)
    said = [f"at these settings {own or 'nothing'} was liquidated in {len(found.cases)} cases"]
    if own:
        where = [
            f"{name} in {case.name}"
            for case in found.cases
            for name, one in case.outcomes.items()
            if name != PEER and one.liquidations
        ]
        said = [f"at these settings {own} positions were liquidated: {', '.join(where)}"]
    dead = [case.name for case in found.cases if case.outcomes[PEER].liquidations]
    said.append(
        f"{PEER}, set and forgotten, was liquidated in {len(dead)}: {', '.join(dead)}"
        if dead
        else f"{PEER}, set and forgotten, survived them all"
    )
    said += [
        f"{PEER} survived {case.name} with a margin of "
        f"{case.outcomes[PEER].min_margin_ratio:.1%} of notional at the worst mark"
        for case in found.cases
        if case.kind == "rally" and not case.outcomes[PEER].liquidations
    ]
    for name in dict.fromkeys((acted_on, "full", PEER, "unhedged")):
        worst = max(found.cases, key=lambda case: case.outcomes[name].loss)
        deepest = max(found.cases, key=lambda case: case.outcomes[name].max_drawdown)
        said.append(
            f"worst loss of {name}: {worst.outcomes[name].loss:.1%} of the exposure's value in "
            f"{worst.name}; deepest drawdown {deepest.outcomes[name].max_drawdown:.1%} in "
            f"{deepest.name}"
        )
    for flag, words in _BOUND.items():
        where = [case.name for case in found.cases if Reason[flag] in case.reasons[acted_on]]
        if where:
            said.append(f"{acted_on} {words} in {', '.join(where)}")
    idle = [
        name
        for name in found.cases[0].outcomes
        if name != "unhedged"
        and all(math.isnan(case.outcomes[name].min_margin_ratio) for case in found.cases)
    ]
    if idle:
        said.append(f"without a short in any case: {', '.join(idle)}; look at the limits of orders")
    return said


def _tally_json(one: "Tally") -> dict[str, Any]:
    from counterpoise.decision.moment import Reason
    from counterpoise.stress.breaches import CAUSES

    def breach(found: "Breach | None") -> dict[str, Any] | None:
        if found is None:
            return None
        parts = asdict(found)
        step = parts.pop("step")
        return {
            "safe": stamp(parts.pop("safe_ms")),
            "worst": stamp(parts.pop("worst_ms")),
            **parts,
            "step": {
                "begin": stamp(step.pop("begin_ms")),
                **step,
                "reasons": [flag.name for flag in Reason(step["reasons"])],
            },
        }

    return {
        "paths": one.paths,
        "broken": one.broken,
        "breaches": one.breaches,
        "beyond_gap": one.causes["gap"],
        "not_a_gap": one.breaches - one.causes["gap"],
        "drawdown": one.drawdown,
        "causes": {cause: one.causes[cause] for cause in CAUSES},
        "worst": breach(one.worst),
        "worst_not_gap": breach(one.worst_not_gap),
    }


def proof_json(proof: "Proof", paths: int, seed: int) -> dict[str, Any]:
    """Breaches by rule, time of transfer and source of paths."""
    from counterpoise.stress import paths as made

    rule = next(iter(proof.rules.values()))
    return {
        "made_up": paths,
        "hours": made.PATH_H,
        "block_h": made.BLOCK_H,
        "jumps": {
            "per_year": made.JUMPS_PER_YEAR,
            "mean": made.JUMP_MEAN,
            "sd": made.JUMP_SD,
        },
        "seed": seed,
        "gap": rule.gap,
        "reserve": rule.reserve,
        "rerisk_h": rule.rerisk_h,
        "history_from": stamp(proof.first_ms),
        "history_to": stamp(proof.last_ms),
        "rules": {
            name: {
                f"transfer_{hours}h": {
                    source: _tally_json(proof.tallies[name, hours, source])
                    for source in made.SOURCES
                }
                for hours in proof.transfer_h
            }
            for name in proof.rules
        },
    }


def print_proof(found: dict[str, Any]) -> None:
    """Print what :func:`_proof_json` gives."""
    paragraph(
        f"Equity that was to be kept: a hedger of nothing under the guard alone, gap "
        f"{found['gap']:.0%}, reserve {found['reserve']:.0%}; history {found['history_from']} to "
        f"{found['history_to']}, and {found['made_up']:,} made-up months, every second one with "
        "jumps"
    )
    typer.echo(
        f"{'':<16}{'':<10}{'paths':>7}{'broken':>7}{'gap':>6}{'late':>6}"
        f"{'costs':>6}{'?':>4}{'worst':>8}{'not gap':>9}"
    )
    for name, by_transfer in found["rules"].items():
        for transfer, by_source in by_transfer.items():
            for source, one in by_source.items():
                if not one["paths"]:
                    continue
                causes = one["causes"]
                late = sum(causes[cause] for cause in ("on_its_way", "unfunded", "held_back"))

                def deep(key: str, one: dict[str, Any] = one) -> str:
                    return f"{100 * one[key]['of_peak']:.2f}" if one[key] else "–"

                label = f"{name} {transfer.removeprefix('transfer_')}"
                typer.echo(
                    f"{label:<16}{source:<10}{one['paths']:>7,}{one['broken']:>7,}"
                    f"{causes['gap']:>6,}{late:>6,}{causes['costs']:>6,}"
                    f"{causes['unexplained']:>4,}{deep('worst'):>8}{deep('worst_not_gap'):>9}"
                )
    typer.echo()
    paragraph(
        "Broken: paths on which equity fell below what was to be kept. Breaches by cause: gap, "
        "spot fell by more than the gap between two decisions; late, the hedge asked for was not "
        "there yet; costs, "
        "basis, funding, trading and capital took more than the reserve; ?, none of these. "
        "Worst: % of the peak below what was to be kept. 0h: with transfers that take no time."
    )
    typer.echo()
    for name, by_transfer in found["rules"].items():
        for transfer, by_source in by_transfer.items():
            tallies = [one for one in by_source.values() if one["worst"]]
            total: dict[str, int] = {}
            for one in by_source.values():
                for cause, count in one["causes"].items():
                    total[cause] = total.get(cause, 0) + count
            hours = transfer.removeprefix("transfer_")
            over_all = (
                f"Over all cushions of the history equity fell by up to "
                f"{100 * by_source['history']['drawdown']:.1f} % of its peak."
            )
            if not tallies:
                paragraph(f"{name} {hours}: no breach. {over_all}")
                continue
            worst = max((one["worst"] for one in tallies), key=lambda one: float(one["of_peak"]))
            parts = ", ".join(
                f"{part.replace('_', ' ')} {100 * value:+.2f}"
                for part, value in worst["parts"].items()
                if abs(value) >= 5e-5
            )
            listed = ", ".join(
                f"{count:,} {cause.replace('_', ' ')}" for cause, count in total.items() if count
            )
            paragraph(
                f"{name} {hours}: {listed}. Worst {100 * worst['of_peak']:.2f} % of the peak "
                f"({worst['cause'].replace('_', ' ')}; spot fell {worst['step']['fall']:.1%} at a "
                f"hedge of {worst['step']['ratio']:.2f}): "
                f"{100 * worst['spare']:.2f} above it before, {parts}. {over_all}"
            )
    typer.echo()


def race_json(runners: "tuple[Runner, ...]") -> list[dict[str, Any]]:
    """Rules of margin as JSON; beside a dynamic one, the fixed one that is as often liquidated."""
    from counterpoise.stress.leverage import margin_at

    return [
        asdict(one) | ({"fixed_margin": margin_at(runners, one)} if one.rule == "dynamic" else {})
        for one in runners
    ]


def print_race(rows: list[dict[str, Any]]) -> None:
    """Dynamic and fixed leverage side by side."""
    paragraph(
        "A full hedge opened on every day of the history and held for 30 days: margin ÷ "
        "notional, and how often it was liquidated, by the leverage that asks for a top-up or the "
        "quantile of the worst rise; equal: margin of the fixed leverage liquidated as often."
    )
    typer.echo(
        f"{'transfer':<9}{'days':<10}{'rule':<8}{'level':>6}{'windows':>8}{'liquidated':>11}"
        f"{'episodes':>9}{'margin':>8}{'equal':>8}"
    )
    for row in rows:
        if row["rule"] == "fixed" and row["level"] not in {3.0, 5.0, 8.0, 12.0}:
            continue
        equal = f"{row['fixed_margin']:.1%}" if row["rule"] == "dynamic" else ""
        hours = f"{row['transfer_h']} h"
        typer.echo(
            f"{hours:<9}{row['period']:<10}{row['rule']:<8}{row['level']:>6g}{row['windows']:>8,}"
            f"{row['liquidated']:>11.1%}{row['episodes']:>9}{row['margin']:>8.1%}{equal:>8}".rstrip()
        )
    typer.echo()
