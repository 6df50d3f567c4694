"""``data import | check | info``: tables into the lake, and what is in it."""

from pathlib import Path
from typing import Any

import typer

from counterpoise.cli import app
from counterpoise.config import load_settings

commands = typer.Typer(help="Bring market data into the lake and inspect it.", no_args_is_help=True)
app.add_typer(commands, name="data")


def _lake_path(lake: Path | None, config: Path | None) -> Path:
    overrides: dict[str, Any] = {} if lake is None else {"lake": lake}
    return load_settings(config, overrides).lake
