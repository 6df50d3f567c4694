"""``halt``, ``resume`` and ``flatten``: stop trading, go on, or close the position.

They write the switch's file and read the heartbeat; they send nothing to a venue.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.app import app
from counterpoise.cli.output import Config, named_path
from counterpoise.errors import FixConfig

if TYPE_CHECKING:
    from counterpoise.watch.heartbeat import Heartbeat

#: Names the newest run among the sub-folders of a state folder.
LATEST = "latest"

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        parser=named_path,
        metavar="FOLDER",
        help="State folder of the run (default: from settings).",
    ),
]
Why = Annotated[str, typer.Option("--why", help="Reason, for whoever finds it halted.")]


def state_folder(state: Path | None, config: Path | None) -> Path:
    """State folder of a command; settings are only read where none is given.

    Raises
    ------
    FixConfig
        As ``load_settings``; what is broken there must not keep anybody from halting, so the
        message says how to do without.
    """
    if state is not None:
        return played(state)
    from counterpoise.config import load_settings

    try:
        return played(load_settings(config).run.state)
    except FixConfig as broken:
        raise FixConfig(
            "run.state", str(broken), "settings that can be read", "give --state FOLDER"
        ) from None


def played(state: Path) -> Path:
    """Folder of the newest paper run on a made or past market, where one was begun in a folder."""
    pointer = state / LATEST
    return state / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else state


def _running(state: Path) -> "Heartbeat | None":
    """Heartbeat of a run that lives and beats, if any does."""
    from counterpoise.watch.heartbeat import STALE_S, process_lives, read_heartbeat

    beat = read_heartbeat(state)
    if beat is None or time.time() - beat.ts_ms / 1000 > STALE_S or not process_lives(beat.pid):
        return None
    return beat


def _confirmed() -> bool:
    try:
        return typer.confirm("Flatten?", default=False)
    except typer.Abort:
        return False


@app.command()
def halt(why: Why = "asked for by hand", state: StateOption = None, config: Config = None) -> None:
    """Stop trading: nothing is sent any more, orders in the book are cancelled."""
    from counterpoise.watch.kill_switch import KillSwitch

    folder = state_folder(state, config)
    standing = KillSwitch(folder).set("halt", why)
    typer.echo(f"HALT stands in {folder}: {standing.why} ({standing.who}, {standing.when}).")
    beat = _running(folder)
    if beat is None:
        typer.echo("Nothing runs here now; the next run starts halted.")
    else:
        typer.echo(
            f"The run (pid {beat.pid}, {beat.mode}) sees it within a second and cancels its open "
            f"orders; the short of {beat.short_eth:,.3f} ETH and its stop at the venue stay."
        )
    typer.echo("To go on: counterpoise resume. To close the position: counterpoise flatten.")


@app.command()
def resume(state: StateOption = None, config: Config = None) -> None:
    """Take halt and flatten back, and accept the venue's position where the run halted itself."""
    from counterpoise.watch.kill_switch import KillSwitch

    folder = state_folder(state, config)
    switch = KillSwitch(folder)
    stood = switch.clear()
    for one in stood:
        typer.echo(f"Taken back: {one}.")
    if not stood:
        typer.echo(f"Nothing stood in {folder}: trading was not halted by hand.")
    beat = _running(folder)
    if beat is None:
        if folder.is_dir():
            switch.ask_to_resume()
        typer.echo("Nothing runs here now; the next run starts trading.")
    elif stood:
        typer.echo(f"The run (pid {beat.pid}, {beat.mode}) goes on within a second.")
    elif beat.halted_why:
        switch.ask_to_resume()
        typer.echo(f"The run halted itself: {beat.halted_why}.")
        typer.echo(
            "It takes the venue's position as true at its next look, and goes on from there."
        )


@app.command()
def flatten(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Why = "asked for by hand",
    state: StateOption = None,
    config: Config = None,
) -> None:
    """Close the short, leaving what is held unhedged, and stay halted."""
    from counterpoise.watch.kill_switch import KillSwitch

    folder = state_folder(state, config)
    beat = _running(folder)
    if beat is None:
        typer.echo(
            "Nothing runs here now: no order leaves because of this. The next run closes the "
            "position first and stays halted; to close it sooner, use the venue's own page."
        )
    else:
        typer.echo(
            f"The run (pid {beat.pid}, {beat.mode}) buys back {beat.short_eth:,.3f} ETH of "
            f"{beat.symbol} and stays halted: {beat.exposure_eth:,.3f} ETH are unhedged then."
        )
    if not yes and not _confirmed():
        typer.echo("Nothing was done. Without a terminal to ask at, give --yes.")
        raise typer.Exit(1)
    standing = KillSwitch(folder).set("flatten", why)
    typer.echo(f"FLATTEN stands in {folder}: {standing.why} ({standing.who}, {standing.when}).")
    typer.echo("To see it happen: counterpoise status --watch. To go on: counterpoise resume.")
