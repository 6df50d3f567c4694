"""``doctor``: is everything fit to trade, and if not, what mends it."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Config, Json, print_json
from counterpoise.errors import CounterpoiseError, FixConfig

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.trading.facts import Facts
    from counterpoise.trading.findings import Finding

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


@app.command()
def doctor(
    url: Annotated[
        str | None,
        typer.Option(
            help="In paper mode: examine the venue at this address, with the testnet keys."
        ),
    ] = None,
    alert: Annotated[
        bool, typer.Option("--alert", help="Send a test alert to every address.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Examine keys, account, machine and settings; exit code 3 where one must not trade."""
    from counterpoise.config import load_settings
    from counterpoise.trading.doctor import examine

    settings = load_settings(config)
    findings = list(examine(facts_of(settings, url), settings))
    if alert:
        findings.append(_tried_alert(settings))
    failed = [one for one in findings if one.status == "FAIL"]
    if json:
        print_json({"fit": not failed, "findings": [asdict(one) for one in findings]})
    else:
        _print(findings)
    if failed:
        raise typer.Exit(FixConfig.exit_code)


def facts_of(settings: "Settings", url: str | None) -> "Facts":
    """Facts of this machine, and of the account where the mode has one."""
    import asyncio

    from counterpoise.credentials import Credentials, binance_credentials
    from counterpoise.trading.binance_rest import ENDPOINTS, Endpoints
    from counterpoise.trading.facts import Fact, Facts, Unknown, gather_account, gather_home

    mode = settings.run.mode
    if url is not None and mode != "paper":
        raise FixConfig(
            "--url", url, f"no address in {mode} mode, whose venue is known", "leave it out"
        )
    home = gather_home(settings)
    if mode == "paper" and url is None:
        return Facts(home, None)
    if url is not None:
        base = _address(url)
        endpoints = Endpoints(base, base, base.replace("http", "ws", 1))
    else:
        endpoints = ENDPOINTS["live" if mode == "live" else "testnet"]
    keys: Fact[Credentials]
    try:
        keys = binance_credentials("live" if mode == "live" else "testnet")
    except CounterpoiseError as missing:
        keys = Unknown(str(missing))
    return Facts(home, asyncio.run(gather_account(settings, endpoints, keys)))


def _address(url: str) -> str:
    """Base of a venue's REST calls, as it was given."""
    from pydantic import TypeAdapter, ValidationError

    from counterpoise.endpoints import Url

    try:
        return TypeAdapter(Url).validate_python(url)
    except ValidationError:
        raise FixConfig(
            "--url", url, "an address such as http://127.0.0.1:8080", "mend it"
        ) from None


def _tried_alert(settings: "Settings") -> "Finding":
    """Send an alert for which nobody has to get up, and say whether it arrived."""
    from counterpoise.execution.commands import Alarm
    from counterpoise.trading.findings import fail, ok
    from counterpoise.watch.alerts import VARIABLE, Alerts, alert_addresses

    addresses = alert_addresses()
    alerts = Alerts(addresses, settings.alerts.model_copy(update={"severity": "info"}))
    moment = time.strftime("%H:%M:%S UTC", time.gmtime())
    alerts.send(Alarm("info", "test", f"This is a test of {moment}.", "nothing: it arrived"))
    alerts.close(30.0)
    expected = f"{len(addresses)} messages delivered"
    if addresses and alerts.delivered == len(addresses):
        return ok("test alert", expected, expected)
    found = alerts.failure or f"{alerts.delivered} of {len(addresses)} delivered"
    return fail("test alert", found, expected, f"check {VARIABLE}: docs/operations.md")


def _print(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, soft_wrap=True)
    widest = max(len(one.check) for one in findings)
    for one in findings:
        line = Text(f"{one.status:<5}", style=_COLOURS[one.status])
        line.append(f"{one.check:<{widest}}  {one.found}", style="none")
        console.print(line)
        if one.status != "OK":
            lead = " " * (widest + 7)
            console.print(f"{lead}expected: {one.expected}\n{lead}fix: {one.fix}")
    failed = sum(one.status == "FAIL" for one in findings)
    warned = sum(one.status == "WARN" for one in findings)
    if failed:
        console.print(f"Not fit to trade: {failed} to mend, {warned} to know. Next: the first fix.")
    else:
        console.print(f"Nothing to mend of what was examined; {warned} to know.")
