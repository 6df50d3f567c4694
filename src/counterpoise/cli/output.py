"""Printing: tables for people, JSON for programs, progress on standard error."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from counterpoise.errors import FixConfig
from counterpoise.units import json_ready


def named_path(given: str | Path) -> Path:
    """Path of an option; an empty one is a variable that was not set, not the current folder."""
    if not str(given).strip():
        raise typer.BadParameter("a path without a name")
    return Path(given)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=named_path,
        metavar="FILE",
        help="Settings file (default: counterpoise.toml here, if any).",
    ),
]
LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        parser=named_path,
        metavar="FOLDER",
        help="Folder of the data lake (default: from settings).",
    ),
]

#: Age of the newest data beyond which it is not about now.
STALE_AFTER_H = 2.0
#: Hours the newest data may be ahead of this machine's clock before one of the two is wrong.
AHEAD_H = 0.1
#: Padding and rule between two columns of a table.
_BETWEEN_COLUMNS = 3

#: Called with (what, done, total).
Progress = Callable[[str, int, int], None]


def age_hours(ts_ms: int) -> float:
    """Hours since a moment."""
    return time.time() / 3600 - ts_ms / 3_600_000


def is_stale(age_h: float) -> bool:
    """Whether data of this age is not about now: too old, or ahead of the clock."""
    return not -AHEAD_H <= age_h <= STALE_AFTER_H


def stale_warning(age_h: float, what: str) -> str:
    """Sentence for data that is not about now; ``what`` is what rests on them."""
    if age_h < 0:
        return (
            f"WARNING: the newest data is {-age_h:,.1f} hours ahead of this machine's clock; "
            f"whether this is {what} for now cannot be told. Next: set the clock."
        )
    return (
        f"WARNING: the newest data is {age_h / 24:,.1f} days old; this is {what} for that "
        "moment, not for now. Next: import newer data."
    )


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False))


def fits_terminal(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> bool:
    """Whether :func:`print_table` prints this unfolded; always where there is no terminal.

    Examples
    --------
    >>> fits_terminal([("policy", False), ("vol", True)], [["full", "0.85%"]])
    True
    """
    from rich.console import Console

    console = Console()
    widths = [
        max(len(line) for row in [heading, *cells] for line in row.splitlines() or [""])
        for (heading, _), *cells in zip(columns, *rows, strict=True)
    ]
    needed = sum(widths) + _BETWEEN_COLUMNS * (len(widths) - 1)
    return not console.is_terminal or needed <= console.width


def print_table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], title: str = ""
) -> None:
    """Print rows under headings; each column is (heading, right-aligned).

    Where the terminal is narrow, words fold; numbers are never cut.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, right in columns:
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=500)
    console.print(table)


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """Progress bar on standard error; silent when that is not a terminal or ``quiet``."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield report


def need_trading() -> None:
    """Refuse a command that trades where its extra is not installed.

    Raises
    ------
    FixConfig
    """
    from importlib.util import find_spec

    for package in ("nautilus_trader", "aiohttp", "apprise"):
        if find_spec(package) is None:
            raise FixConfig(
                package,
                "not installed",
                "the extra for trading",
                "pip install 'counterpoise[trading]'",
            )
