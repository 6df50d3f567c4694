"""Printing: tables for people, JSON for programs, progress on standard error."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from counterpoise.units import json_ready

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (default: counterpoise.toml here, if any)."),
]
LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the data lake (default: from settings).")
]

#: Called with (what, done, total).
Progress = Callable[[str, int, int], None]


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], title: str = ""
) -> None:
    """Print rows under headings; each column is (heading, right-aligned)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, right in columns:
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield report
