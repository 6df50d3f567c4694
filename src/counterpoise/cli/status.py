"""``status``: one screen of how a run stands, and why nothing is traded if nothing is."""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.app import app
from counterpoise.cli.kill_switch import StateOption, played
from counterpoise.cli.output import Config, Json, print_json
from counterpoise.units import from_ms

if TYPE_CHECKING:
    from rich.console import RenderableType

    from counterpoise.watch.heartbeat import Heartbeat
    from counterpoise.watch.status import Picture


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second.")] = False,
    state: StateOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show exposure, short, band, margin and health of a run, and why it does not trade."""
    from counterpoise.config import load_settings
    from counterpoise.journal.place import place_in
    from counterpoise.watch.status import look

    settings = load_settings(config, {} if state is None else {"run": {"state": state}})
    folder, journal = played(settings.run.state), place_in(settings)
    if folder != settings.run.state:
        journal = folder / "journal.sqlite"

    def picture() -> "Picture":
        return look(folder, journal, round(time.time() * 1000))

    if json:
        print_json(_plain(picture()))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not watch:
        console.print(screen(picture(), folder))
        return
    from rich.live import Live

    with Live(screen(picture(), folder), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(1.0)
            live.update(screen(picture(), folder), refresh=True)


def _plain(picture: "Picture") -> dict[str, Any]:
    """Return the picture as one JSON document."""
    from counterpoise.watch.status import why_not_trading

    beat, standing, journal = picture.beat, picture.standing, picture.journal
    decision = journal.decision
    return {
        "running": picture.running,
        "heartbeat_age_s": picture.age_s,
        "why_not_trading": why_not_trading(picture),
        "heartbeat": None
        if beat is None
        else asdict(beat) | {"liquidation_distance": beat.liquidation_distance},
        "kill_switch": None if standing is None else asdict(standing),
        "journal": {
            "trouble": journal.trouble or None,
            "short_eth": journal.short_eth,
            "decision": None
            if decision is None
            else {
                "id": decision.decision_id,
                "ts_ns": decision.ts_ns,
                "cause": decision.cause,
                "because": decision.because,
            },
            "unsettled_orders": [one.client_id for one in journal.unsettled],
            "fills": [asdict(one) for one in journal.fills],
            "alerts": [asdict(one) for one in journal.alerts],
        },
    }


def screen(picture: "Picture", folder: Path) -> "RenderableType":
    """One screen; everything a run may not know is a dash."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from counterpoise.watch.status import why_not_trading

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()

    def row(name: str, value: "str | Text") -> None:
        grid.add_row(name, value if isinstance(value, Text) else Text(value))

    beat = picture.beat
    if beat is not None:
        for name, said in _run_rows(beat):
            row(name, said)
        row("health" if picture.running else "health then", _lights(beat))
    for name, said in _journal_rows(picture):
        row(name, said)
    why = why_not_trading(picture)
    head = Text()
    if picture.running:
        head.append("RUNNING", style="bold green")
    else:
        head.append("NOT RUNNING", style="bold red")
    if picture.standing is not None or (beat is not None and beat.halted_why):
        head.append("  HALTED", style="bold red")
    head.append(f"  {folder}" if beat is None else f"  {beat.mode} · {beat.venue} {beat.symbol}")
    if beat is not None:
        head.append(f" · pid {beat.pid} · heartbeat {_age(picture.age_s)} ago")
    told = [Text(f"Why nothing is traded: {one}", style="yellow") for one in why]
    working = [] if why else [Text("An order is being worked.", style="green")]
    return Group(head, *told, *working, grid)


def _run_rows(beat: "Heartbeat") -> list[tuple[str, str]]:
    """Rows of numbers that the run says of itself."""
    market = _moment(beat.market_ts_ms) if beat.market_ts_ms else "–"
    rows = [
        ("market", f"{_number(beat.mid, 2)} USD mid, {_number(beat.mark, 2)} mark at {market}"),
        ("exposure", f"{_number(beat.exposure_eth, 3)} ETH long"),
        (
            "short",
            f"{_number(beat.short_eth, 3)} ETH, target {_number(beat.target_eth, 3)} ETH",
        ),
        (
            "ratio",
            f"{_number(beat.ratio, 3)}, band {_number(beat.lo, 3)} to {_number(beat.hi, 3)}",
        ),
        ("reason", beat.reason or "–"),
    ]
    if beat.twap_side:
        rows.append(
            (
                "order",
                f"{beat.twap_side} {beat.twap_filled:,.3f} of {beat.twap_size:,.3f} ETH, until "
                f"{_moment(beat.twap_end_ms)}",
            )
        )
    distance = beat.liquidation_distance
    liquidation = "none"
    if math.isfinite(distance):
        liquidation = f"{_number(beat.liquidation, 2)} USD, {distance:.1%} above the mark"
    rows += [
        (
            "margin",
            f"{_number(beat.equity_usd, 0)} USD equity, {_number(beat.available_usd, 0)} free, "
            f"{_number(beat.leverage, 1)}x set, {_number(100 * beat.margin_ratio, 1)} % of the "
            "notional",
        ),
        ("liquidation", liquidation),
    ]
    if beat.latencies_ms:
        told = ", ".join(f"{name} {_number(ms, 1)} ms" for name, ms in beat.latencies_ms.items())
        rows.append(("latency", told))
    if beat.last_alert:
        rows.append(("last alert", beat.last_alert))
    if beat.alert_failure:
        rows.append(("alerts fail", beat.alert_failure))
    return rows


def _journal_rows(picture: "Picture") -> list[tuple[str, str]]:
    """Rows of the journal's end."""
    journal = picture.journal
    if journal.trouble:
        return [("journal", journal.trouble)]
    rows = [("journal", f"short counted {_number(journal.short_eth, 3)} ETH")]
    if journal.decision is not None:
        one = journal.decision
        when = _moment(one.ts_ns // 1_000_000)
        rows.append(("decision", f"{one.decision_id} at {when} ({one.cause}): {one.because}"))
    if journal.unsettled:
        names = ", ".join(one.client_id for one in journal.unsettled[:5])
        rows.append(("open or unknown", f"{len(journal.unsettled)} orders: {names}"))
    rows += [
        (
            "fill",
            f"{_moment(one.ts_ns // 1_000_000)} {one.side} {one.size:,.3f} at {one.price:,.2f}",
        )
        for one in journal.fills
    ]
    rows += [
        ("alert", f"{_moment(one.ts_ns // 1_000_000)} {one.severity}: {one.text}")
        for one in journal.alerts
    ]
    return rows


def _lights(beat: "Heartbeat") -> Any:
    """Green and red words for the parts of a run."""
    from rich.text import Text

    from counterpoise.watch.heartbeat import LIGHTS

    told = Text()
    for name in LIGHTS:
        light = beat.lights.get(name)
        if light is None:
            told.append(f"{name} ?  ", style="dim")
        elif light.ok:
            told.append(f"{name} ok  ", style="green")
        else:
            told.append(f"{name} OUT  ", style="bold red")
    return told


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def _moment(ts_ms: int) -> str:
    try:
        return from_ms(ts_ms).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "an impossible time"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7_200 else f"{seconds / 3_600:,.0f} h"
