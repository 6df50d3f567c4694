"""``backtest``: one policy event by event in NautilusTrader's engine, beside the simulator."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.exposure import only_eth
from counterpoise.cli.fetch import moment
from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    need_trading,
    print_json,
    print_table,
    progress_bar,
)
from counterpoise.errors import NotEnoughData

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.trading.both_drivers import Both


@app.command()
def backtest(
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="First hour (default: 30 days before)."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Last hour (default: the newest).")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy to run (default: from settings).")
    ] = None,
    exposure: Annotated[
        float | None, typer.Option(help="Long ETH held (default: from settings).")
    ] = None,
    every: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds between quotes; divides an hour.")
    ] = 10,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Run a policy event by event, orders and all, and compare it with the simulator."""
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {}
    if policy is not None:
        overrides["hedge"] = {"policy": policy}
    if exposure is not None:
        overrides["exposure"] = only_eth(exposure)
    if lake is not None:
        overrides["lake"] = lake
    settings = load_settings(config, overrides)
    synthetic, both = _run(settings, begin, end, every, quiet=json)

    from counterpoise.trading.both_drivers import results_of

    found = {
        "policy": settings.hedge.policy,
        "venue": settings.venue.names[0],
        "every_s": every,
        "synthetic": synthetic,
        **results_of(both),
    }
    if json:
        print_json(found)
    else:
        _print(found)


def _run(
    settings: "Settings", begin: str | None, end: str | None, every_s: int, *, quiet: bool
) -> "tuple[bool, Both]":
    """Refuse what can be refused at once, then read the lake, train or recall, and run."""
    from counterpoise.hedging import policies
    from counterpoise.market.quote_path import quotes_per_bar
    from counterpoise.venues.agreement import refuse_what_venues_refuse

    policies[settings.hedge.policy]  # an unknown name is refused before the work
    refuse_what_venues_refuse(settings)
    quotes_per_bar(every_s)
    since = None if begin is None else moment(begin, "--from")
    until = None if end is None else moment(end, "--to")
    need_trading()

    from counterpoise.market.assemble import build_timeline
    from counterpoise.market.lake import Lake
    from counterpoise.signals.forecasts import Forecasts
    from counterpoise.signals.training import forecast
    from counterpoise.study.reuse import FOLDER, Shelf, recall_forecasts
    from counterpoise.trading.both_drivers import (
        refuse_what_only_the_simulator_does,
        run_both,
        span_of,
    )

    refuse_what_only_the_simulator_does(settings)
    with progress_bar(quiet=quiet) as progress:
        timeline = build_timeline(
            Lake(settings.lake), settings.venue.names, settings.venue.symbol, end=settings.study.end
        )
        first, last = span_of(timeline, since, until)
        try:
            forecasts = recall_forecasts(
                Shelf(settings.lake / FOLDER),
                timeline,
                settings,
                lambda: forecast(
                    timeline, settings, model_folder=settings.lake / "models", progress=progress
                ),
            )
        except NotEnoughData:
            # Not every policy reads them; one that does says that it knows nothing.
            forecasts = Forecasts.unknown(timeline.ts_ms)
        both = run_both(
            timeline, forecasts, settings, first, last, every_s=every_s, progress=progress
        )
    return timeline.synthetic, both


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def _print(found: dict[str, Any]) -> None:
    if found["synthetic"]:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    typer.echo(
        f"{found['policy']} on {found['venue']}, {found['from']} to {found['to']} UTC: "
        f"{found['exposure_eth']:,.10g} ETH, {found['quotes']:,} quotes, one every "
        f"{found['every_s']} s, at {found['quotes_per_s']:,.0f} quotes/s."
    )
    ours, theirs = found["hedge"]["simulated"], found["hedge"]["driven"]
    print_table(
        [("hedge", False), ("simulator", True), ("event by event", True)],
        [
            ["P&L, USD", _number(ours["pnl_usd"]), _number(theirs["pnl_usd"])],
            ["P&L, bp of exposure", _number(ours["pnl_bps"], 1), _number(theirs["pnl_bps"], 1)],
            ["mean ratio", _number(ours["mean_ratio"], 3), _number(theirs["mean_ratio"], 3)],
            [
                "hourly variance removed",
                f"{ours['variance_removed']:.2%}",
                f"{theirs['variance_removed']:.2%}",
            ],
            ["liquidations", str(found["liquidations_simulated"]), str(len(found["liquidations"]))],
        ],
    )
    orders, shortfall = found["orders"], found["shortfall"]
    typer.echo(
        f"Orders: {orders['schedules']:,} schedules, {orders['sent']:,} orders, "
        f"{orders['fills']:,} fills, {orders['traded_eth']:,.3f} ETH, fees "
        f"{orders['fees_usd']:,.2f} USD, maker share "
        + (f"{orders['maker_share']:.0%}." if math.isfinite(orders["maker_share"]) else "–.")
    )
    typer.echo(
        f"Implementation shortfall: median {_number(shortfall['median_bps'], 1)} bp, worst "
        f"{_number(shortfall['worst_bps'], 1)} bp, {shortfall['sum_usd']:,.2f} USD in all."
    )
    for when in found["liquidations"]:
        typer.echo(f"LIQUIDATED at {when} UTC.")
    for alarm in found["alarms"]:
        typer.echo(
            f"{alarm['severity'].upper()} {alarm['count']}× {alarm['key']}: {alarm['first']}"
        )
    for name, title in (
        ("whole", "What differs, all of it"),
        ("settled", "What differs, from when the hedge was first in place on"),
    ):
        if found["divergence"][name] is not None:
            _print_divergence(title, found["divergence"][name])


def _print_divergence(title: str, told: dict[str, Any]) -> None:
    print_table(
        [
            ("", False),
            ("simulator", True),
            ("event by event", True),
            ("difference", True),
            ("unit", False),
            ("why", False),
        ],
        [
            [
                row["what"],
                _number(row["simulated"], 3),
                _number(row["driven"], 3),
                f"{row['difference']:+,.3f}",
                row["unit"],
                row["why"],
            ]
            for row in told["rows"]
        ],
        title=(
            f"{title}: {told['hours']:,} h, {told['targets_differ']} targets and "
            f"{told['reached_differ']} positions differ"
        ),
    )
