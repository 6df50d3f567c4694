"""``ratio`` and ``now``: one number from the formula, and what to do at this moment."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

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
    progress_bar,
    stale_warning,
)
from counterpoise.units import Collateral, stamp

if TYPE_CHECKING:
    from counterpoise.decision.margin_need import Margin


@app.command()
def ratio(
    exposure: Annotated[float, typer.Option(help="Long ETH L.")],
    beta: Annotated[float, typer.Option(help="Base hedge ratio β, in [0, 1].")],
    rho: Annotated[float, typer.Option(help="Correlation ρ, in [-1, 1].")],
    confidence: Annotated[float, typer.Option(help="Confidence C, in [0, 1].")],
    price: Annotated[float, typer.Option(help="ETH price in USD.")],
    max_ratio: Annotated[float, typer.Option(help="Cap of S/L.")] = 1.0,
    json: Json = False,
) -> None:
    """Short by the document's formula S = L·β / (1 + ρ·(1 - C)), and what moves it."""
    from counterpoise.errors import FixConfig
    from counterpoise.hedging.formula import formula_hedge

    if not (math.isfinite(price) and price > 0):
        raise FixConfig("--price", price, "a positive number of USD", "give the ETH price")
    if not (math.isfinite(max_ratio) and max_ratio > 0):
        raise FixConfig("--max-ratio", max_ratio, "a positive number", "give a cap such as 1")
    hedge = formula_hedge(exposure, beta, rho, confidence, max_ratio)
    cap_eth = max_ratio * exposure
    if not math.isfinite(hedge.short_eth * price):
        raise FixConfig(
            "--price", price, "a price at which the short has a finite value", "lower it"
        )
    if json:
        print_json(
            asdict(hedge)
            | {
                "notional_usd": hedge.short_eth * price,
                "hedge_ratio": hedge.short_eth / exposure if exposure else None,
                "per_point": {
                    "exposure": hedge.per_unit["exposure"],
                    **{key: hedge.per_unit[key] / 100 for key in ("beta", "rho", "confidence")},
                },
                "cap_eth": cap_eth,
            }
        )
        return
    typer.echo(f"short        {hedge.short_eth:,.2f} ETH")
    typer.echo(f"notional     {hedge.short_eth * price:,.2f} USD at {price:,.2f}")
    typer.echo(f"denominator  {hedge.denominator:.6g}   (1 + ρ·(1 - C))")
    before = " before clipping" if hedge.clipped else ""
    typer.echo(f"one more     of            changes the short{before} by")
    for words, key, unit in (
        ("1 ETH", "exposure", 1.0),
        ("0.01", "beta", 0.01),
        ("0.01", "rho", 0.01),
        ("0.01", "confidence", 0.01),
    ):
        typer.echo(f"  {words:<10} {key:<12}  {hedge.per_unit[key] * unit:+,.4f} ETH")
    if hedge.clipped:
        typer.echo(
            f"clipped      yes: the formula gives {hedge.unclipped_eth:,.2f} ETH, "
            f"the cap is {cap_eth:,.2f} ETH ({max_ratio:g} × exposure)"
        )
    else:
        typer.echo("clipped      no")


def _end_of(margin: "Margin") -> str:
    """What a liquidation would leave, and how long the worst funding would take to get there."""
    bankrupt = margin.bankruptcy_price_usd
    last = f"nothing at {bankrupt:,.2f}" if math.isfinite(bankrupt) else "never nothing"
    return (
        f"liquidated at {margin.liquidation_price_usd:,.2f} with {margin.left_usd:,.0f} USD of "
        f"margin left after the venue's largest fee ({last}); at this price and the venue's "
        f"largest funding rate against you the margin lasts {margin.worst_funding_days:,.0f} days"
    )


@app.command()
def now(
    exposure: Annotated[
        float | None,
        typer.Option(help="Long ETH held, whatever the settings hold (default: from settings)."),
    ] = None,
    short: Annotated[float, typer.Option(help="Short held now, in ETH.")] = 0.0,
    margin: Annotated[
        float | None,
        typer.Option(help="Margin equity held now, in USDT or ETH (default: assumed)."),
    ] = None,
    other_maintenance: Annotated[
        float,
        typer.Option(
            help="Cross margin: maintenance of other positions that share --margin, in USD "
            "(ETH if coin-margined)."
        ),
    ] = 0.0,
    other_pnl: Annotated[
        float,
        typer.Option(help="Cross margin: their unrealised P&L, in USD (ETH if coin-margined)."),
    ] = 0.0,
    collateral: Annotated[
        Collateral | None, typer.Option(help="What margins the short (default: from settings).")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy acted on (default: from settings).")
    ] = None,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What to do now: formula, recommended policy, full hedge and where you stand."""
    from counterpoise.cli.exposure import flow_sentences, only_eth
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {}
    if exposure is not None:
        overrides["exposure"] = only_eth(exposure)
    if collateral is not None:
        overrides["capital"] = {"collateral": collateral}
    if policy is not None:
        overrides["hedge"] = {"policy": policy}
    if lake is not None:
        overrides["lake"] = lake
    settings = load_settings(config, overrides)

    from counterpoise.hedging import policies
    from counterpoise.venues.agreement import refuse_what_venues_refuse

    policies[settings.hedge.policy]  # an unknown name is refused before the work
    refuse_what_venues_refuse(settings)

    from counterpoise.decision.advice import Advice, advise
    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.signals.training import forecast

    store = Lake(settings.lake)
    with progress_bar(quiet=json) as progress:
        timeline = build_timeline(store, settings.venue.names, settings.venue.symbol)
        forecasts = forecast(
            timeline, settings, model_folder=settings.lake / "models", progress=progress
        )
    advised = advise(
        timeline,
        forecasts,
        settings,
        short_eth=short,
        posted=margin,
        other_maintenance=other_maintenance,
        other_pnl=other_pnl,
    )
    age_h = age_hours(advised.as_of_ms)
    if json:
        print_json(
            asdict(advised)
            | {
                "as_of": stamp(advised.as_of_ms),
                "age_h": age_h,
                "stale": is_stale(age_h),
                "synthetic": timeline.synthetic,
                "collateral": settings.capital.collateral,
            }
        )
        return
    if timeline.synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    typer.echo(
        f"As of {stamp(advised.as_of_ms)} UTC · ETH perpetual {advised.price_usd:,.2f} USD · "
        f"exposure {advised.exposure_eth:,.12g} ETH · short {advised.short_eth:,.12g} ETH"
    )
    if advised.short_eth > advised.exposure_eth:
        net = advised.short_eth - advised.exposure_eth
        typer.echo(f"WARNING: the short exceeds the exposure: you are net short {net:,.12g} ETH.")
    if is_stale(age_h):
        typer.echo(stale_warning(age_h, "advice"))
    held = advised.held
    if settings.exposure.holdings or settings.exposure.flows:
        parts = [f"{one.name} {one.delta_eth:,.12g} ETH" for one in held.holdings]
        typer.echo(f"Exposure: {', '.join([*parts, *flow_sentences(held)])}.")
    for note in held.notes:
        typer.echo(f"Note: {note}.")
    for warning in held.warnings:
        typer.echo(f"WARNING: {warning}.")

    def money(value: float) -> str:
        return f"{value:+,.0f}" if math.isfinite(value) else "unknown"

    def cells(row: Advice) -> list[str]:
        margin = row.margin
        order = "none"
        if row.order_eth:
            verb = "sell" if row.order_eth > 0 else "buy"
            order = f"{verb} {abs(row.order_eth):,.3f} ETH\n({row.order_usd:,.0f} USD)"
        digits = 0 if margin.unit == "USDT" else 2
        dies = margin.liquidation_price_usd
        return [
            f"{'→ ' if row.acted_on else ''}{row.policy}\n{row.label}",
            f"{row.lo:.1%} – {row.hi:.1%}",
            "–" if row.rule_target != row.rule_target else f"{row.rule_target:.1%}",
            f"{row.target_eth:,.2f} ETH\n({row.target_ratio:.1%})",
            order,
            f"{row.order_cost_usd:,.0f}",
            f"{margin.amount:,.{digits}f} {margin.unit}",
            f"{dies:,.2f}" if dies != float("inf") else "never",
            money(row.funding_day_last_usd),
            money(row.funding_day_forecast_usd),
        ]

    print_table(
        [
            ("policy", False),
            ("band S/L", True),
            ("rule", True),
            ("short after", True),
            ("order", True),
            ("cost USD", True),
            ("margin", True),
            ("liquidation", True),
            ("funding/day\nlast USD", True),
            ("funding/day\nforecast USD", True),
        ],
        [cells(row) for row in advised.rows],
    )
    for row in advised.rows:
        typer.echo(f"{'→' if row.acted_on else ' '} {row.policy}: {row.because}")
        for warning in row.margin.warnings:
            typer.echo(f"  WARNING {row.policy}: {warning}.")
    for row in advised.rows:
        shown = row.acted_on or row.policy == "as_is"
        if shown and advised.price_usd < row.margin.liquidation_price_usd < math.inf:
            typer.echo(f"  {row.policy}: {_end_of(row.margin)}.")
    margined = settings.capital.collateral
    typer.echo(
        f"Margin in {margined} at {advised.leverage:.3g}× leverage. "
        "→ marks the policy acted on (hedge.policy)."
    )
    if margined == "coin-margined":
        typer.echo(
            "Coin-margined: sizes are ETH at this price (the contract is for a fixed USD amount, "
            "so they drift with it), funding is that of the linear contract, and tiers above "
            "2,000 ETH are assumed: ask the venue."
        )
