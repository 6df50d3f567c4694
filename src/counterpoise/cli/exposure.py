"""``exposure``: what is being hedged at the last hour of the lake, holding by holding."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    age_hours,
    is_stale,
    print_json,
    print_table,
    stale_warning,
)
from counterpoise.units import stamp

if TYPE_CHECKING:
    from counterpoise.exposure.now import ExposureNow, HoldingNow


def only_eth(eth: float) -> dict[str, Any]:
    """Section ``exposure`` of ``--exposure``: so much ETH, whatever the settings hold."""
    return {"eth": eth, "holdings": (), "flows": None}


def flow_sentences(found: "ExposureNow") -> list[str]:
    """Say what was deposited and withdrawn, where anything was."""
    said = []
    for count, eth, when in (
        (found.flow_count, found.flow_eth, "up to then"),
        (found.later_flow_count, found.later_flow_eth, "after it, not counted"),
    ):
        if count:
            flows = "1 flow" if count == 1 else f"{count} flows"
            said.append(f"{flows} {when}: {eth:+,.12g} ETH")
    return said


def _owed(one: "HoldingNow") -> str:
    if one.debt_usd:
        return f"{one.debt_usd:,.0f} USD"
    return f"{one.debt_eth:,.3f} ETH" if one.debt_eth else "–"


def _limit(one: "HoldingNow") -> str:
    if math.isfinite(one.liquidation_price_usd):
        return f"{one.liquidation_price_usd:,.2f} USD"
    return f"{one.liquidation_ratio:.4f} × rate" if math.isfinite(one.liquidation_ratio) else "–"


def _cells(one: "HoldingNow") -> list[str]:
    return [
        one.name,
        f"{one.amount:,.10g}",
        f"{one.eth_per_token:.6f}",
        f"{one.delta_eth:,.3f}",
        f"{one.value_usd:,.0f}",
        f"{one.yield_per_year:.2%}" if one.yield_per_year else "–",
        _owed(one),
        f"{one.interest_per_year:.2%}" if one.interest_per_year else "–",
        _limit(one),
        f"{one.distance:.1%}" if math.isfinite(one.distance) else "–",
    ]


@app.command()
def exposure(lake: LakeOption = None, config: Config = None, json: Json = False) -> None:
    """List what is being hedged: holdings, their deltas, loans and flows."""
    from counterpoise.config import load_settings
    from counterpoise.exposure.now import exposure_now
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake

    settings = load_settings(config, {} if lake is None else {"lake": lake})
    timeline = build_timeline(Lake(settings.lake), settings.venue.names, settings.venue.symbol)
    found = exposure_now(settings, timeline)
    age_h = age_hours(found.as_of_ms)
    if json:
        print_json(
            asdict(found)
            | {
                "as_of": stamp(found.as_of_ms),
                "age_h": age_h,
                "stale": is_stale(age_h),
                "synthetic": timeline.synthetic,
            }
        )
        return
    if timeline.synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    typer.echo(f"As of {stamp(found.as_of_ms)} UTC · ETH spot {found.price_usd:,.2f} USD")
    if is_stale(age_h):
        typer.echo(stale_warning(age_h, "the exposure"))
    print_table(
        [
            ("holding", False),
            ("tokens", True),
            ("ETH per token", True),
            ("delta ETH", True),
            ("value USD", True),
            ("yield/yr", True),
            ("debt", True),
            ("interest/yr", True),
            ("liquidated at", True),
            ("distance", True),
        ],
        [_cells(one) for one in found.holdings],
    )
    for sentence in flow_sentences(found):
        typer.echo(f"Flows: {sentence}.")
    value = sum(one.value_usd for one in found.holdings) + found.flow_eth * found.price_usd
    typer.echo(
        f"Exposure {found.exposure_eth:,.3f} ETH, "
        f"{found.exposure_eth * found.price_usd:,.0f} USD; value after loans {value:,.0f} USD."
    )
    for note in found.notes:
        typer.echo(f"Note: {note}.")
    for warning in found.warnings:
        typer.echo(f"WARNING: {warning}.")
