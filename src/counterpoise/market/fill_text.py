"""Files of fills as text: CSV and JSON brought to one row per fill, values as they are written.

It knows how files nest what they hold (a fee with its coin, a list inside an object, a number with
its unit), not what the columns mean.
"""

import ast
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.foreign_files import refuse_unfit


def text_rows(path: Path) -> pl.DataFrame:
    """Read a file as text, one row per fill.

    Parameters
    ----------
    path : Path
        ``.csv``, or ``.json`` holding a list of fills or ``{"fills": [...]}``.

    Returns
    -------
    DataFrame (N, ...)
        Text columns as headed in the file; a nested fee as ``fee.cost`` and ``fee.currency``.

    Raises
    ------
    FixConfig
        Nothing is there, or it is neither CSV nor JSON.
    RejectData
        It cannot be read.
    """
    if not path.is_file():
        raise FixConfig("--actual", str(path), "an existing file", "check the path")
    refuse_unfit(path, path.name)
    try:
        if path.suffix.lower() == ".csv":
            return _flat_fee(
                pl.read_csv(path, infer_schema=False, truncate_ragged_lines=False), path.name
            )
        if path.suffix.lower() == ".json":
            return _from_json(path)
    except (pl.exceptions.PolarsError, OSError, ValueError, RecursionError) as broken:
        said = str(broken).strip() or type(broken).__name__
        raise RejectData(
            path.name,
            "whole file",
            said.splitlines()[0],
            f"a readable {path.suffix[1:].lower()} file with one row per fill",
            "export it again",
        ) from None
    raise FixConfig("--actual", str(path), "a .csv or .json file", "unpack it, or export as CSV")


def _from_json(path: Path) -> pl.DataFrame:
    """Rows of a JSON list of fills, or of the indexer's ``{"fills": [...]}``, as text."""
    # Digits stay as they are written: a float would lose those of a long id.
    document = json.loads(path.read_text(encoding="utf-8-sig"), parse_float=str, parse_int=str)
    rows = document.get("fills") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('JSON that is neither a list of fills nor {"fills": [...]}')
    flat = [dict(_pairs(row)) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    return pl.DataFrame(
        {name: [row.get(name) for row in flat] for name in columns},
        schema=dict.fromkeys(columns, pl.String()),
    )


def _pairs(row: dict[str, Any]) -> Iterable[tuple[str, str | None]]:
    for key, value in row.items():
        if key == "fee" and isinstance(value, dict):
            yield from ((f"fee.{part}", _text(value.get(part))) for part in ("cost", "currency"))
        else:
            yield key, _text(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _flat_fee(rows: pl.DataFrame, file: str) -> pl.DataFrame:
    """Spread the fee of a trade that pandas wrote as a dict into two columns."""
    if "fee" not in rows.columns or "fee.cost" in rows.columns:
        return rows
    first = rows["fee"].drop_nulls().head(1).to_list()
    if not first or not first[0].lstrip().startswith("{"):
        return rows
    costs: list[str | None] = []
    coins: list[str | None] = []
    for row, written in enumerate(rows["fee"]):
        try:
            fee = ast.literal_eval(written)
            costs.append(_text(fee.get("cost")))
            coins.append(_text(fee.get("currency")))
        except (ValueError, SyntaxError, AttributeError):
            raise RejectData(
                file,
                f"row {row}, column fee",
                written,
                "a fee such as {'currency': 'USDT', 'cost': 0.1}",
                "write the trades again",
            ) from None
    return rows.drop("fee").with_columns(
        pl.Series("fee.cost", costs, dtype=pl.String),
        pl.Series("fee.currency", coins, dtype=pl.String),
    )


def with_unit(written: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Part numbers, still text, from the unit written behind them.

    Examples
    --------
    >>> [part.to_list() for part in with_unit(pl.Series(["0.036USDT", "2 eth", "7"]))]
    [['0.036', '2', '7'], ['USDT', 'ETH', '']]
    """
    parts = written.str.extract_groups(
        r"^\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)\s*$"
    ).struct.unnest()
    number = parts.to_series(0).fill_null(written)
    return number.alias(written.name), parts.to_series(1).fill_null("").str.to_uppercase()
