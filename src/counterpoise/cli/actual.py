"""``study --actual``: reading what was done, and printing its ledger.

Numbers come from ``study.actual``; nothing is computed here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.output import print_table

if TYPE_CHECKING:
    from counterpoise.study.actual import Actual

Fills = Annotated[
    list[Path] | None,
    typer.Option(
        help="Your own fills: export of Binance or dYdX, or ccxt trades (docs/actual.md); "
        "repeatable. Their span is what is compared."
    ),
]
OpeningShort = Annotated[
    float | None,
    typer.Option(help="ETH short before the first fill of --actual; negative is long."),
]


def read_actual(paths: Sequence[Path], opening_short_eth: float | None) -> "Actual | None":
    """Fills of the files named, or None where none are.

    Raises
    ------
    FixConfig
        An opening short that is no number, or without fills.
    RejectData
        From ``market.fills``.
    """
    import math

    from counterpoise.errors import FixConfig
    from counterpoise.market.fills import read_fills
    from counterpoise.study.actual import Actual

    if opening_short_eth is not None and not (paths and math.isfinite(opening_short_eth)):
        raise FixConfig(
            "--actual-opening-short",
            opening_short_eth,
            "a number of ETH, together with --actual",
            "name the file of your fills too",
        )
    return Actual(read_fills(paths), opening_short_eth or 0.0) if paths else None


def print_ledger(ledger: dict[str, Any]) -> None:
    """Print what was done in USD, beside the machine and the static hedge of its size.

    Parameters
    ----------
    ledger : dict
        As ``study.actual.ledger_json`` gives it.
    """
    parts = list(next(iter(ledger["rows"].values()))["usd"])
    print_table(
        [("USD", False), *((part, True) for part in (*parts, "total", "mean S/L"))],
        [
            [
                name,
                *(f"{row['usd'][part]:,.0f}" for part in parts),
                f"{row['total_usd']:,.0f}",
                f"{row['mean_ratio']:.3f}",
            ]
            for name, row in ledger["rows"].items()
        ],
        title=f"what you did, {ledger['from']} to {ledger['to']} UTC, {ledger['days']} days",
    )
    for name, found in ledger["differences"].items():
        interval = (
            "too few days for an interval"
            if found["low_usd"] is None
            else f"95 % interval {found['low_usd']:+,.0f} to {found['high_usd']:+,.0f}"
        )
        typer.echo(f"You minus {name}: {found['difference_usd']:+,.0f} USD ({interval})")
    slippage = ledger["slippage_bps"]
    against = (
        "" if slippage is None else f", slippage {slippage:+.1f} bp against their hours' close"
    )
    typer.echo(
        f"{ledger['fills']} fills: {ledger['sold_eth']:,.3f} ETH sold, "
        f"{ledger['bought_eth']:,.3f} bought, {ledger['notional_usd']:,.0f} USD{against}."
    )
    for note in ledger["notes"]:
        typer.echo(f"Note: {note}.")
