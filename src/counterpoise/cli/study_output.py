"""What a study prints: one wide table, or two that fit a narrow terminal, then what follows.

Numbers come from ``results.json``; nothing is computed here. Everything not printed is in the
report, to which the last lines point.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from counterpoise.cli.actual import print_ledger
from counterpoise.cli.output import fits_terminal, print_table

#: Metric, heading, digits, as a percentage.
_RESULT = (
    ("mean", "mean\n/yr", 2, True),
    ("vol", "vol\n/yr", 2, True),
    ("ce20", "CE20\n/yr", 2, True),
    ("cvar95", "CVaR95\n/day", 2, True),
    ("max_drawdown", "draw-\ndown", 1, True),
    ("mean_ratio", "mean\nS/L", 3, False),
)
_MEANS = (
    ("hedge_effectiveness", "HE", 4, False),
    ("funding", "funding\n/yr", 2, True),
    ("cost", "cost\n/yr", 2, True),
    ("turnover", "turn-\nover", 1, False),
    ("liquidations", "liq.", 0, False),
)
_METRICS = ("vol", "cvar95", "ce20")

Columns = Sequence[tuple[str, str, int, bool]]


def _cell(value: float | None, digits: int, *, percent: bool) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}%}" if percent else f"{value:.{digits}f}"


def _p_value(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _policies(results: dict[str, Any], columns: Columns) -> list[list[str]]:
    return [
        [
            f"{'→' if name == results['acted_on'] else ' '} {name}",
            *(_cell(row[key], digits, percent=share) for key, _, digits, share in columns),
        ]
        for name, row in results["policies"].items()
    ]


def _heads(columns: Columns) -> list[tuple[str, bool]]:
    return [("policy", False), *((heading, True) for _, heading, _, _ in columns)]


def _differences(found: dict[str, Any], metrics: Iterable[str] = _METRICS) -> list[list[str]]:
    """Rows of one comparison: metric, difference, interval, p, Holm p."""
    return [
        [
            metric,
            f"{found[metric]['difference']:+.2%}",
            f"{found[metric]['low']:+.2%} to {found[metric]['high']:+.2%}",
            _p_value(found[metric]["p"]),
            _p_value(found[metric]["p_holm"]),
        ]
        for metric in metrics
    ]


def _print_differences(title: str, found: dict[str, list[list[str]]]) -> None:
    if not found:
        return
    print_table(
        [
            ("", False),
            ("metric", False),
            ("diff.", True),
            ("95 % interval", True),
            ("p", True),
            ("Holm p", True),
        ],
        [
            [name if i == 0 else "", *cells]
            for name, rows in found.items()
            for i, cells in enumerate(rows)
        ],
        title=title,
    )


def _print_collateral(policy: str, rows: list[dict[str, Any]]) -> None:
    """Cost, capital tied up and survival of one policy on each kind of collateral."""
    print_table(
        [
            ("collateral", False),
            ("mean\n/yr", True),
            ("capital\n/yr", True),
            ("tied up\nmean", True),
            ("tied up\npeak", True),
            ("most\nUSDT", True),
            ("lowest\nmargin", True),
            ("liq.", True),
        ],
        [
            [
                row["collateral"],
                _cell(row["mean"], 2, percent=True),
                _cell(row["capital"], 2, percent=True),
                _cell(row["tied_up_mean"], 0, percent=True),
                _cell(row["tied_up_peak"], 0, percent=True),
                f"{row['usdt_peak']:,.0f}",
                _cell(row["margin_low"], 0, percent=True),
                str(row["liquidations"]),
            ]
            for row in rows
            if row["policy"] == policy
        ],
        title=f"{policy} on each kind of collateral",
    )


def print_study(results: dict[str, Any], files: dict[str, Path]) -> None:
    """Print what a study found, in as many columns as the terminal has.

    Parameters
    ----------
    results : dict
        As ``study.results.results_of`` gives them.
    files : dict of str to Path
        ``report``, ``results`` and ``paths``.
    """
    synthetic = " (SYNTHETIC MARKET: proves plumbing, not edge)" if results["synthetic"] else ""
    span = f"{results['from']} to {results['to']} UTC, {results['days']} days{synthetic}"
    whole = (*_RESULT[:-1], *_MEANS, _RESULT[-1])
    if fits_terminal(_heads(whole), _policies(results, whole)):
        print_table(_heads(whole), _policies(results, whole), title=span)
    else:
        print_table(_heads(_RESULT), _policies(results, _RESULT), title=span)
        print_table(_heads(_MEANS), _policies(results, _MEANS), title="how each came to it")

    recommended = results["recommended"]
    versus = {name: _differences(found) for name, found in results["versus_matched"].items()}
    _print_differences(
        "against a static hedge of its own mean S/L: registered in advance",
        {recommended: versus.pop(recommended)},
    )
    _print_differences("the same, exploratory", versus)
    own = [name for name, row in results["policies"].items() if row["family"] in ("own", "actual")]
    _print_differences(
        f"{recommended} minus your own, each at its own size, exploratory",
        {name: _differences(results["versus_rules"][name], (*_METRICS, "mean")) for name in own},
    )

    _print_collateral(recommended, results["collateral"])
    if "actual" in results:
        print_ledger(results["actual"])
    typer.echo(f"Verdict: {results['verdict']}")
    for warning in results["warnings"]:
        typer.echo(f"WARNING: {warning}.")
    for note in results["notes"]:
        typer.echo(f"Note: {note}.")
    trials = results["trials"]
    mine = trials["own"] + trials["own_before"]
    yours = f", {mine} of them your own" if mine else ""
    typer.echo(
        f"Trials: {trials['total']} configurations in all{yours}; registered in advance: "
        f"{recommended}."
    )
    if synthetic:
        typer.echo("This market is synthetic: it proves plumbing, not edge.")
    typer.echo(f"Report: {files['report']}")
    typer.echo(f"Results: {files['results']} · paths: {files['paths']}")
