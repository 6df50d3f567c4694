"""``signals train``, ``runs`` and ``now``: models that are saved, checked and used as of now."""

import math
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.output import (
    Config,
    Json,
    LakeOption,
    age_hours,
    is_stale,
    named_path,
    print_json,
    print_table,
    progress_bar,
    stale_warning,
)
from counterpoise.cli.signals import Market, commands, market_of

if TYPE_CHECKING:
    from counterpoise.config import Settings
    from counterpoise.signals.bundle import Bundle

_WIDTH = 80
#: Trained where ``now`` has no lake: the readings of C and a number, within a minute or two.
_DEMO = ("direction.4h", "volatility.24h", "hedge_pays.4h")
_NOT_KEPT = (
    "No lake here: trained on the embedded market, and not kept. Next, for your own data: --lake "
    "FOLDER, or counterpoise data import."
)
_TRAINED_NOW = (
    "No lake here: a few targets were trained on the embedded market just now. Next, for your own "
    "data: --lake FOLDER, or counterpoise data import; then counterpoise signals train."
)


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else "–"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _say(text: str) -> None:
    typer.echo(textwrap.fill(text, _WIDTH, subsequent_indent="  "))


def _settings(config: Path | None, lake: Path | None) -> "Settings":
    from counterpoise.config import load_settings

    return load_settings(config, {} if lake is None else {"lake": lake})


@commands.command()
def train(
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target, such as direction.4h; repeatable (default: all)."),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network/--no-network", help="Train the LSTM too (minutes).")
    ] = True,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Train every forecast on the lake as it is, and save a run to use live."""
    from counterpoise.signals.final import live_targets
    from counterpoise.signals.retrain import train_live
    from counterpoise.signals.store import save
    from counterpoise.signals.targets import choose

    settings = _settings(config, lake)
    keys = tuple(dict.fromkeys(target or ()))
    wanted = choose(live_targets(settings, None), keys)
    given = "lake" in settings.model_fields_set
    with market_of(settings, given=given) as market, progress_bar(quiet=json) as progress:
        folder = market.lake.path / "models"
        bundle = train_live(
            market.timeline,
            settings,
            created_at=datetime.now(UTC),
            keys=keys,
            network=network,
            folder=folder,
            progress=progress,
        )
        path = save(folder, bundle)
        synthetic, note = market.timeline.synthetic, _NOT_KEPT if market.note else ""
    there = {one.name for one in bundle.targets}
    absent = [key for key in wanted if key not in there]
    found = {
        "run": bundle.run,
        "path": None if note else str(path),
        "trained_from": bundle.trained_from.isoformat(),
        "trained_to": bundle.trained_to.isoformat(),
        "expires": bundle.expires.isoformat(),
        "features": len(bundle.features),
        "targets": sorted(there),
        "not_trained": absent,
        "metrics": dict(bundle.metrics),
        "synthetic": synthetic,
        "note": note,
    }
    if json:
        print_json(found)
        return
    _head(synthetic=synthetic, note=note)
    _say(
        f"Run {bundle.run}: trained on {_minute(bundle.trained_from)} to "
        f"{_minute(bundle.trained_to)} UTC, to be used until {_minute(bundle.expires)}."
    )
    rows = []
    for one in bundle.targets:
        told = {
            name.removeprefix(f"{one.name}."): value
            for name, value in bundle.metrics.items()
            if name.startswith(f"{one.name}.")
        }
        measures = ", ".join(f"{key} {_number(value)}" for key, value in list(told.items())[1:])
        rows.append([one.name, f"{told['rows']:,.0f}", measures])
    print_table([("target", False), ("rows out of sample", True), ("measures", False)], rows)
    if absent:
        _say(f"Not trained, too few outcomes yet: {', '.join(absent)}.")


def _head(*, synthetic: bool, note: str) -> None:
    if synthetic:
        typer.echo("SYNTHETIC MARKET: proves plumbing, not edge.")
    if note:
        _say(note)


@commands.command()
def runs(lake: LakeOption = None, config: Config = None, json: Json = False) -> None:
    """List the runs saved in a lake, oldest first."""
    from counterpoise.signals.store import list_runs

    folder = _settings(config, lake).lake / "models"
    found = list_runs(folder)
    if json:
        print_json(
            [
                {
                    "run": run.path.name,
                    "created_at": run.created_at.isoformat(),
                    "trained_to": run.trained_to.isoformat(),
                    "expires": run.expires.isoformat(),
                    "metrics": dict(run.metrics),
                }
                for run in found
            ]
        )
        return
    if not found:
        _say(f"{folder} holds no trained models. Next: counterpoise signals train.")
        return
    print_table(
        [("run", False), ("created", False), ("trained to", False), ("expires", False)],
        [
            [run.path.name, *map(_minute, (run.created_at, run.trained_to, run.expires))]
            for run in found
        ],
    )


@contextmanager
def _trained(
    settings: "Settings", run: str | None, *, quiet: bool
) -> Iterator[tuple[Market, "Bundle"]]:
    """A market and a run to forecast it with; both made here where there is no lake."""
    from counterpoise.errors import FixConfig
    from counterpoise.signals import store
    from counterpoise.signals.current import find_run
    from counterpoise.signals.retrain import train_live
    from counterpoise.units import from_ms

    given = "lake" in settings.model_fields_set
    with market_of(settings, given=given) as market, tempfile.TemporaryDirectory() as room:
        folder = market.lake.path / "models"
        newest = from_ms(int(market.timeline.ts_ms[-1]))
        if market.note:
            if run is not None:
                raise FixConfig("--run", run, "a lake that holds it", "name it: --lake FOLDER")
            folder = Path(room)
            with progress_bar(quiet=quiet) as progress:
                made = train_live(
                    market.timeline,
                    settings,
                    created_at=datetime.now(UTC),
                    keys=_DEMO,
                    network=False,
                    progress=progress,
                )
            store.save(folder, made)
        path = find_run(folder, run)
        yield market, store.load(path, features=store.features_of(path), now=newest)


@commands.command()
def now(
    run: Annotated[
        str | None, typer.Option(metavar="ID", help="Which run (default: the newest).")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Draw what moved them, as HTML."),
    ] = None,
    lake: LakeOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Forecast as of the newest hour of the lake, with intervals and reasons."""
    from counterpoise.errors import FixConfig
    from counterpoise.signals.current import current
    from counterpoise.signals.final import live_targets

    settings = _settings(config, lake)
    if plot is not None and plot.suffix != ".html":
        raise FixConfig("--plot", str(plot), "a file ending in .html", "name one")
    with _trained(settings, run, quiet=json) as (market, bundle):
        found = current(bundle, live_targets(settings), market.timeline)
        synthetic, note = market.timeline.synthetic, _TRAINED_NOW if market.note else ""
    age_h = age_hours(found["ts_ms"])
    warning = stale_warning(age_h, "a forecast") if is_stale(age_h) and not note else ""
    found |= {"synthetic": synthetic, "note": note, "warning": warning}
    if plot is not None:
        from counterpoise.appraisal.now_page import now_page
        from counterpoise.appraisal.page import write_page

        write_page(plot, now_page(found))
    if json:
        print_json(found | {"plot": None if plot is None else str(plot)})
        return
    _head(synthetic=synthetic, note=note)
    if warning:
        _say(warning)
    _print(found)
    if plot is not None:
        typer.echo(f"Page: {plot}")


def _print(found: dict[str, Any]) -> None:
    _say(
        f"As of {found['time']} UTC, by run {found['run']}, trained to {found['trained_to'][:16]}, "
        f"to be used until {found['expires'][:16]}."
    )
    if found["fallback"]:
        _say(f"FALLBACK since {found['since']}: {found['fallback']}. Nothing may be used.")
    rows = [
        [name, *(_number(one[key]) for key in ("value", "lower", "upper")), one["about"]]
        for name, one in found["targets"].items()
    ]
    heads = [("target", False), ("forecast", True), ("lower", True), ("upper", True)]
    print_table([*heads, ("interval of", False)], rows)
    c = found["c"]
    _say(
        f"C: P(up 4 h) {_number(c['literal'])}, bearish {_number(c['bearish'])}, P(hedge pays 4 h) "
        f"{_number(c['hedge_value'])}."
    )
    for name, one in found["targets"].items():
        if "unit" not in one:
            continue
        moved = one["contributions"].items()
        told = ", ".join(f"{feature} {value:+.3g}" for feature, value in moved) or "–"
        notes = "".join(f" ({note})" for note in one["notes"])
        score = f"{one['unit']} {_number(one['score'])} from {_number(one['base'])}"
        _say(f"{name}, {score}: {told}{notes}.")
