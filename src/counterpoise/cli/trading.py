"""``run`` and ``rehearse``: keep the hedge, for real or against a local venue."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from counterpoise.cli.app import app
from counterpoise.cli.fetch import moment
from counterpoise.cli.output import Config, Json, LakeOption, named_path, print_json
from counterpoise.errors import FixConfig, RejectData
from counterpoise.units import DAY_MS, HOUR_MS, to_ms

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.credentials import Secret
    from counterpoise.rehearsal.at_venue import AtVenue
    from counterpoise.rehearsal.stage import Script

#: The embedded market: enough history for the forecasts, and a week to trade.
EMBEDDED_SEED, EMBEDDED_DAYS = 21, 400
#: The log of a run, in its state folder.
LOG_FILE = "run.log"

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        parser=named_path,
        metavar="FOLDER",
        help="State folder: journal, log, kill switch (default: from settings).",
    ),
]
Recording = Annotated[
    Path | None,
    typer.Option(parser=named_path, metavar="FILE", help="A recorded book, .jsonl.gz."),
]
Start = Annotated[str | None, typer.Option("--from", metavar="MOMENT", help="First hour, UTC.")]
Speed = Annotated[float, typer.Option(help="Market seconds per second.", min=0.1, max=3600.0)]


def _settings(
    config: Path | None, lake: Path | None, state: Path | None, policy: str | None
) -> "Settings":
    from counterpoise.config import load_settings

    overrides: dict[str, Any] = {}
    if lake is not None:
        overrides["lake"] = lake
    if state is not None:
        overrides["run"] = {"state": state}
    if policy is not None:
        overrides["hedge"] = {"policy": policy}
    return load_settings(config, overrides)


def _need_trading() -> None:
    """Refuse where the extra is not installed."""
    from importlib.util import find_spec

    for package in ("nautilus_trader", "aiohttp", "apprise"):
        if find_spec(package) is None:
            raise FixConfig(
                package,
                "not installed",
                "the extra for trading",
                "pip install 'counterpoise[trading]'",
            )


@app.command()
def run(
    confirm: Annotated[
        str | None,
        typer.Option(help="Repeat run.mode of the settings: testnet and live are asked twice."),
    ] = None,
    market: Annotated[
        Literal["synthetic", "lake"],
        typer.Option(help="What a paper run trades on: a made market, or your lake's bars."),
    ] = "synthetic",
    speed: Speed = 60.0,
    start: Start = None,
    hours: Annotated[int, typer.Option(help="Hours of a paper run.", min=1, max=8_760)] = 24,
    policy: Annotated[str | None, typer.Option(help="Policy (default: from settings).")] = None,
    lake: LakeOption = None,
    state: StateOption = None,
    config: Config = None,
) -> None:
    """Keep the hedge: on paper by default, on testnet or live when asked twice."""
    _need_trading()
    settings = _settings(config, lake, state, policy)
    mode = settings.run.mode
    if confirm is not None and confirm != mode:
        raise FixConfig(
            "--confirm",
            confirm,
            f"run.mode of the settings, which is {mode}",
            "set run.mode and repeat it with --confirm, both to the same",
        )
    if mode == "paper":
        script = _script(settings, settings.run.state, market, start, hours, speed, None)
        _play(settings, script, settings.run.state)
        return
    if confirm is None:
        raise FixConfig(
            "run.mode",
            mode,
            "to be asked for twice",
            f"counterpoise doctor, then counterpoise run --confirm {mode}",
        )
    _trade(settings)


@app.command()
def rehearse(
    recording: Recording = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="On a made market, whatever the lake holds.")
    ] = False,
    start: Start = None,
    hours: Annotated[int, typer.Option(help="Hours to play.", min=1, max=8_760)] = 24,
    speed: Speed = 600.0,
    policy: Annotated[str | None, typer.Option(help="Policy (default: from settings).")] = None,
    out: Annotated[
        Path, typer.Option(parser=named_path, metavar="FOLDER", help="For state and page.")
    ] = Path("rehearsal"),
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Play hours of a market with the live run in it, and end with a page."""
    _need_trading()
    settings = _settings(config, lake, None, policy)
    state = out / "state"
    if state.exists():
        shutil.rmtree(state)
    market: Literal["synthetic", "lake"] = "synthetic" if synthetic else "lake"
    script = _script(settings, out, market, start, hours, speed, recording)
    account = _play(settings, script, state, quiet=json)
    from counterpoise.journal.reading import Reader
    from counterpoise.rehearsal.page import write_page
    from counterpoise.rehearsal.summary import summary_of
    from counterpoise.watch.heartbeat import read_heartbeat

    with Reader(state / "journal.sqlite") as reader:
        told = summary_of(reader, account, script, settings, read_heartbeat(state))
    page = write_page(told, out / "rehearsal.html")
    if json:
        print_json(told.as_json() | {"page": str(page)})
    else:
        for line in told.lines():
            typer.echo(line)
        typer.echo(f"page         {page}")
    if not told.passed:
        raise typer.Exit(RejectData.exit_code)


def _script(
    settings: "Settings",
    folder: Path,
    market: Literal["synthetic", "lake"],
    start: str | None,
    hours: int,
    speed: float,
    recording: Path | None,
) -> "Script":
    """What is to be played, on the lake or on a market made for it."""
    from counterpoise.market.lake import Lake
    from counterpoise.market.layouts import DatasetKey
    from counterpoise.market.synthetic import generate
    from counterpoise.rehearsal.rehearse import exposure_of, script_of

    lake = settings.lake
    if market == "synthetic":
        lake = folder / "embedded-lake"
        made = generate(EMBEDDED_SEED, days=EMBEDDED_DAYS, symbol=settings.venue.symbol)
        Lake(lake).write(made, synthetic=True, replace=True)
    key = DatasetKey("perp_bars", settings.venue.names[0], settings.venue.symbol, "1h")
    bars = Lake(lake).read_key(key)
    last_ms = int(bars["ts"].dt.epoch("ms")[-1]) + HOUR_MS
    first_ms = (last_ms - hours * HOUR_MS) // DAY_MS * DAY_MS
    if start is not None:
        first_ms = to_ms(moment(start, "--from")) // HOUR_MS * HOUR_MS
    if recording is not None:
        from counterpoise.rehearsal.filters import rules_of
        from counterpoise.rehearsal.recorded import read_recording
        from counterpoise.venues import contract_at

        tape = read_recording(recording, rules_of(contract_at("binance", last_ms)))
        first_ms, hours = tape.first_ms, 0
    return script_of(
        settings,
        lake,
        exposure_eth=exposure_of(settings, lake, first_ms),
        first_ms=first_ms,
        hours=hours,
        speed=speed,
        recording=recording,
    )


def _log_to(state: Path, secrets: Sequence["Secret"]) -> None:
    """Write the log into the state folder; what is secret is taken out of every line."""
    from counterpoise.credentials import RedactingFilter

    state.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(state / LOG_FILE, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter(secrets))
    root = logging.getLogger("counterpoise")
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def _play(settings: "Settings", script: "Script", state: Path, *, quiet: bool = False) -> "AtVenue":
    """Run against a local venue; returns the account as the venue has it in the end."""
    from counterpoise.credentials import Secret
    from counterpoise.rehearsal.rehearse import rehearse as play

    _log_to(state, [Secret(script.key), Secret(script.secret)])
    tell: Callable[[str], None] = (lambda _line: None) if quiet else typer.echo
    tell(
        f"A local venue plays {script.first_ms and _span(script)} at {script.speed:g}× into "
        f"{state}; nothing leaves this machine."
    )
    return asyncio.run(play(settings, script, state, tell=tell))


def _span(script: "Script") -> str:
    from counterpoise.units import stamp

    what = "a recorded book" if script.recording is not None else "hourly bars"
    return f"{what} from {stamp(script.first_ms)} on"


def _trade(settings: "Settings") -> None:
    """Run on testnet or live, after the doctor."""
    from counterpoise.cli.doctor import facts_of
    from counterpoise.credentials import binance_credentials
    from counterpoise.trading.binance_rest import ENDPOINTS
    from counterpoise.trading.doctor import examine, refuse_unfit
    from counterpoise.trading.node import Wires
    from counterpoise.trading.run import Where
    from counterpoise.trading.run import run as keep

    mode: Literal["testnet", "live"] = "live" if settings.run.mode == "live" else "testnet"
    refuse_unfit(examine(facts_of(settings, None), settings))
    credentials = binance_credentials(mode)
    _log_to(settings.run.state, credentials.secrets)
    where = Where(ENDPOINTS[mode], Wires(testnet=mode == "testnet"))

    async def until_stopped() -> None:
        await keep(settings, credentials, where, tell=typer.echo, until=asyncio.Event())

    asyncio.run(until_stopped())
