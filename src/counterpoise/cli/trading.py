"""``run`` and ``rehearse``: keep the hedge, for real or against a local venue."""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from counterpoise.cli.app import app
from counterpoise.cli.fetch import moment
from counterpoise.cli.kill_switch import LATEST
from counterpoise.cli.output import Config, Json, LakeOption, named_path, need_trading, print_json
from counterpoise.cli.run_lines import RunLines
from counterpoise.errors import FixConfig, RejectData
from counterpoise.units import DAY_MS, HOUR_MS, to_ms

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.credentials import Secret
    from counterpoise.execution.records import Record
    from counterpoise.rehearsal.at_venue import AtVenue
    from counterpoise.rehearsal.stage import Script

#: The embedded market: enough history for the forecasts, and a week to trade.
EMBEDDED_SEED, EMBEDDED_DAYS = 21, 400
#: Tells a rehearsal's state folder from that of a run.
REHEARSED = "REHEARSAL"
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


@app.command()
def run(
    context: typer.Context,
    confirm: Annotated[
        str | None,
        typer.Option(help="Repeat run.mode of the settings: testnet and live are asked twice."),
    ] = None,
    market: Annotated[
        Literal["synthetic", "lake", "live"],
        typer.Option(
            help="What a paper run trades on: a made market, your lake's bars, or the real market "
            "of now."
        ),
    ] = "synthetic",
    usd: Annotated[
        float | None,
        typer.Option(help="USDT of a new paper account on the live market.", min=1.0),
    ] = None,
    speed: Speed = 60.0,
    start: Start = None,
    hours: Annotated[int, typer.Option(help="Hours of a played market.", min=1, max=8_760)] = 24,
    policy: Annotated[str | None, typer.Option(help="Policy (default: from settings).")] = None,
    lake: LakeOption = None,
    state: StateOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Keep the hedge: on paper by default, on testnet or live when asked twice.

    Without options it plays a made market through a local venue, and nothing leaves this machine.
    With --market live the prices are the real ones of now, and the orders stay here.
    """
    need_trading()
    settings = _settings(config, lake, state, policy)
    mode = settings.run.mode
    if confirm is not None and confirm != mode:
        raise FixConfig(
            "--confirm",
            confirm,
            f"run.mode of the settings, which is {mode}",
            "set run.mode and repeat it with --confirm, both to the same",
        )
    _refuse_idle_options(context, mode, market)
    lines = RunLines(as_json=json)
    if mode == "paper":
        if market == "live":
            (settings.run.state / LATEST).unlink(missing_ok=True)
            _trade_on_paper(settings, usd, lines)
            return
        # A market that begins anew is no continuation: each run has a folder of its own.
        folder = settings.run.state / f"{market}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        script = _script(settings, folder, market, start, hours, speed, None)
        (settings.run.state / LATEST).write_text(folder.name, encoding="utf-8")
        _introduce(market, script, folder, lines.note)
        account = _play(settings, script, folder, lines.note, lines.watch)
        lines.end({"short_eth": account.short_eth, "wallet_usd": account.wallet_usd})
        return
    if confirm is None:
        raise FixConfig(
            "run.mode",
            mode,
            "to be asked for twice",
            f"counterpoise doctor, then counterpoise run --confirm {mode}",
        )
    _trade(settings, lines)


def _refuse_idle_options(context: typer.Context, mode: str, market: str) -> None:
    """Refuse options that say nothing about what is asked for."""
    played = ("speed", "start", "hours")
    idle = [*played] if market == "live" else ["usd"]
    if mode != "paper":
        idle = ["market", "usd", *played]
    what = f"run.mode {mode}" if mode != "paper" else f"--market {market}"
    for name in idle:
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            option = "--from" if name == "start" else f"--{name}"
            raise FixConfig(option, context.params[name], f"nothing: {what}", "leave it out")


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
    need_trading()
    settings = _settings(config, lake, None, policy)
    state = out / "state"
    if state.exists():
        if not (state / REHEARSED).exists():
            raise FixConfig(
                "--out", str(out), "a folder without a state of another run", "name another folder"
            )
        shutil.rmtree(state)
    state.mkdir(parents=True)
    (state / REHEARSED).touch()
    market: Literal["synthetic", "lake"] = "synthetic" if synthetic else "lake"
    script = _script(settings, out, market, start, hours, speed, recording)
    tell: Callable[[str], None] = (lambda _line: None) if json else typer.echo
    tell(
        f"A local venue plays {_span(script)} at {script.speed:g}× into {state}; nothing leaves "
        "this machine."
    )
    account = _play(settings, script, state, tell)
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
    from counterpoise.rehearsal.rehearse import TAIL_MS, exposure_of, script_of

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
    last_ms = first_ms + hours * HOUR_MS + TAIL_MS
    if recording is not None:
        from counterpoise.rehearsal.filters import rules_of
        from counterpoise.rehearsal.recorded import read_recording
        from counterpoise.venues import contract_at

        tape = read_recording(recording, rules_of(contract_at("binance", last_ms)))
        first_ms, last_ms = tape.first_ms, tape.last_ms
    return script_of(
        settings,
        lake,
        exposure_eth=exposure_of(settings, lake, first_ms),
        first_ms=first_ms,
        last_ms=last_ms,
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


def _introduce(market: str, script: "Script", state: Path, tell: Callable[[str], None]) -> None:
    """Say what a played market is, and what else there is."""
    what = "a made market" if market == "synthetic" else "your lake"
    tell(
        f"Paper trading on {what}: a local venue plays {_span(script)} at {script.speed:g}×. "
        "Nothing leaves this machine."
    )
    tell(
        "The real market on paper: counterpoise run --market live. Real orders: run.mode testnet "
        "or live in the settings, counterpoise doctor, then counterpoise run --confirm MODE."
    )
    tell(f"Ctrl-C ends it; counterpoise status --state {state} shows how it stands.")


def _play(
    settings: "Settings",
    script: "Script",
    state: Path,
    tell: Callable[[str], None],
    watch: "Callable[[Sequence[Record]], None] | None" = None,
) -> "AtVenue":
    """Run against a local venue; returns the account as the venue has it in the end."""
    from counterpoise.credentials import Secret
    from counterpoise.rehearsal.rehearse import rehearse as play

    _log_to(state, [Secret(script.key), Secret(script.secret)])
    return asyncio.run(play(settings, script, state, tell=tell, watch=watch))


def _trade_on_paper(settings: "Settings", usd: float | None, lines: RunLines) -> None:
    """Run on the live market with orders matched here, until stopped."""
    from counterpoise.rehearsal.paper import PaperVenue, paper_of, trade_on_paper
    from counterpoise.rehearsal.rehearse import exposure_of

    state = settings.run.state
    now_ms = round(time.time() * 1000)
    paper = paper_of(settings, exposure_of(settings, settings.lake, now_ms), usd)
    lines.note(
        f"Paper trading {paper.symbol} on the live market of {paper.rest_url}: real prices, orders "
        "matched on this machine; none leaves it."
    )
    venue = PaperVenue(paper)
    try:
        _log_to(state, [venue.credentials.api_key, venue.credentials.secret])
        found = venue.account()
        lines.note(
            f"The account in {paper.file}: short {found['short_eth']:,.3f} ETH, "
            f"{found['wallet_usd'] + found['outside_usd']:,.2f} USDT. Ctrl-C ends the run and "
            f"keeps it; counterpoise status --state {state} shows how it stands."
        )
        account = asyncio.run(
            trade_on_paper(
                settings, venue, tell=lines.note, watch=lines.watch, until=asyncio.Event()
            )
        )
        lines.end(account)
    finally:
        venue.close()


def _span(script: "Script") -> str:
    from counterpoise.units import stamp

    what = "a recorded book" if script.recording is not None else "hourly bars"
    return f"{what} from {stamp(script.first_ms)} on"


def _trade(settings: "Settings", lines: RunLines) -> None:
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
        await keep(
            settings,
            credentials,
            where,
            tell=lines.note,
            until=asyncio.Event(),
            watch=lines.watch,
        )

    asyncio.run(until_stopped())
    lines.end({})
