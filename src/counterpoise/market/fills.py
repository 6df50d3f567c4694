"""What a trader really did: fills of ETH perpetuals, read from venue exports and ccxt trades.

It reads, checks and joins files; nothing is filled in, and what is not used is said. It values
nothing (``simulation.actual`` does) and knows no position before the first fill.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.columns import Defects, read_moments, read_values
from counterpoise.market.fill_layouts import (
    FillLayout,
    is_hedged_contract,
    layout_of,
    plain,
    utc_offset,
)
from counterpoise.market.fill_text import text_rows, with_unit

Floats = NDArray[np.float64]

#: Coins that count as one dollar, as everywhere in the product.
DOLLARS = ("USD", "USDT", "USDC", "BUSD", "FDUSD")
#: Shares of the notional beyond which a fee is not one: the largest is that of a liquidation
#: (1.5 % on dYdX), the largest rebate 0.011 % (dYdX); a taker fee of the wrong sign lies outside.
MOST_FEE, MOST_REBATE = 0.02, 0.0003
#: What an export writes instead of rows.
_NO_ROWS = "No data matches the criteria."
#: Largest difference between a stated total and price × size: 0.1 %, and 2 cents of rounding.
_TOTAL_SHARE, _TOTAL_USD = 1e-3, 0.02
#: Exports of one fill differ by less: some write whole seconds.
_SAME_MS = 1_000


@dataclass(frozen=True)
class Fills:
    """Fills of ETH perpetuals in order of time; N of them.

    Attributes
    ----------
    ts_ms : int64 (N,)
        When they happened, UTC, non-decreasing.
    side : float64 (N,)
        +1 bought, −1 sold.
    price_usd, size_eth : float64 (N,)
        Positive.
    fee_usd : float64 (N,)
        Paid; negative where the venue gave a rebate.
    venue, fill_id : str (N,)
        Registered venue, and the venue's id or, where the export has none, its own row in words.
    notes : tuple of str
        What was read, turned round, counted once and left out, one sentence each.
    """

    ts_ms: NDArray[np.int64]
    side: Floats
    price_usd: Floats
    size_eth: Floats
    fee_usd: Floats
    venue: NDArray[np.str_]
    fill_id: NDArray[np.str_]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def short_change_eth(self) -> Floats:
        """What each fill adds to the short, ETH (N,): a sale its size, a purchase minus it."""
        return -self.side * self.size_eth


def read_fills(paths: Iterable[Path]) -> Fills:
    """Read one or more files of fills and join them.

    Parameters
    ----------
    paths : iterable of Path
        CSV or JSON in a layout of ``fill_layouts.LAYOUTS``, oldest or newest first. Files may
        overlap: a fill that is in several of them counts once.

    Raises
    ------
    FixConfig
        A file is not there, is named twice, or is neither CSV nor JSON.
    RejectData
        What cannot be read or does not hold, naming file, row and column.
    """
    files = list(paths)
    if not files or len({path.resolve() for path in files}) != len(files):
        named = [str(path) for path in files]
        raise FixConfig("--actual", named, "one or more distinct files", "name each file once")
    notes: list[str] = []
    parts = [_read_file(path, notes) for path in files]
    held = parts[0]
    for path, part in zip(files[1:], parts[1:], strict=True):
        held = _join(held, part, path.name, notes)
    if not held.height:
        raise RejectData(
            ", ".join(path.name for path in files),
            "whole file",
            "no fill of an ETH perpetual",
            "fills of ETHUSDT on Binance USD-M or ETH-USD on dYdX",
            "export the account that holds the hedge",
        )
    held = held.sort("ts_ms", maintain_order=True)
    ids, venue = (held[name].to_numpy().astype(np.str_) for name in ("id", "venue"))
    side, price, size, fee = (held[name].to_numpy() for name in ("side", "price", "size", "fee"))
    return Fills(held["ts_ms"].to_numpy(), side, price, size, fee, venue, ids, tuple(notes))


@dataclass(frozen=True)
class _Export:
    """One file: its name, its layout, its text under plain headings, and the headings it has."""

    file: str
    layout: FillLayout
    rows: pl.DataFrame
    headings: dict[str, str]

    def text(self, column: str) -> pl.Series:
        """A column as written, named as in the file."""
        return self.rows[column].alias(self.headings[column])

    def has(self, column: str) -> bool:
        """Whether the file has a column that not every file of its layout has."""
        return bool(column) and column in self.rows.columns


def _read_file(path: Path, notes: list[str]) -> pl.DataFrame:
    """ETH fills of one file, oldest first: ts_ms, side, price, size, fee, venue, id, named."""
    rows, file = text_rows(path), path.name
    if not rows.height or (rows.height == 1 and _NO_ROWS in rows.row(0)):
        raise RejectData(file, "whole file", "no rows", "fills", "export the span of the hedge")
    layout = layout_of(rows.columns, file)
    if layout.name.startswith("ccxt"):
        _refuse_other_venue(rows, file)
    headings = {plain(column): column for column in rows.columns}
    if len(headings) != rows.width:
        raise RejectData(
            file, "columns", ", ".join(rows.columns), "one column of each name", "drop the others"
        )
    plainly = rows.rename({column: name for name, column in headings.items()})
    export = _Export(file, layout, plainly, headings)
    used, others = _markets(export)
    moments, zone = _moments(export)
    table = pl.DataFrame(
        {
            "row": pl.Series(range(rows.height), dtype=pl.Int64),
            "ts_ms": moments.dt.epoch("ms"),
            **_numbers(export, used),
            "venue": [layout.venue] * rows.height,
        }
    ).filter(used)
    table, newest_first = _in_time_order(table, export)
    table = _identified(table, export)
    said = [f"{table.height} fills of {layout.symbol} ({layout.name})"]
    if zone is not None:
        by = "its heading" if utc_offset(headings[layout.time]) else "the name of the file"
        said.append(f"times are UTC{zone} by {by}")
    if newest_first:
        said.append("newest first, turned round")
    said += [f"{count} rows of {market} not used" for market, count in others.items()]
    notes.append(f"{file}: {'; '.join(said)}")
    return table.drop("row")


def _refuse_other_venue(rows: pl.DataFrame, file: str) -> None:
    """A ccxt trade does not name its venue; what the venue itself sent, where kept, does."""
    kept = [name for name in rows.columns if name == "info" or name.startswith("info.")]
    if not kept or "info.commissionAsset" in kept:
        return
    for row, sent in enumerate(rows[kept[0]]):
        if kept != ["info"] or "commissionAsset" not in (sent or ""):
            raise RejectData(
                file,
                f"row {row}, column {kept[0]}",
                sent,
                "trades of Binance USD-M, whose info has a commissionAsset",
                "export from Binance, or for dYdX take the indexer's /v4/fills",
            )


def _markets(export: _Export) -> tuple[pl.Series, dict[str, int]]:
    """Rows of the ETH perpetual, and how many rows other coins' markets have."""
    written = export.text(export.layout.market)
    symbols = written.str.strip_chars().fill_null("")
    others: dict[str, int] = {}
    for symbol in symbols.unique(maintain_order=True):
        found = is_hedged_contract(symbol, export.layout)
        if isinstance(found, str) or not symbol:
            row = int((symbols == symbol).arg_true()[0])
            raise RejectData(
                export.file,
                f"row {row}, column {written.name}",
                symbol,
                f"{export.layout.symbol} or a market of another coin, not {found or 'nothing'}",
                "remove these rows if they are no part of the hedge; they cannot be valued",
            )
        if not found:
            others[symbol] = int((symbols == symbol).sum())
    return symbols == export.layout.symbol, others


def _moments(export: _Export) -> tuple[pl.Series, str | None]:
    """Stamps in UTC, and the offset that was read from heading or file name where one was."""
    written = export.text(export.layout.time)
    heading = written.name
    if not export.layout.local_time:
        return read_moments(written, export.file), None
    zone = utc_offset(heading) or utc_offset(export.file)
    text = written.str.strip_chars()
    bare = text.str.contains(r"^\d{2,4}-\d{2}-\d{2}[ T][\d:.]+$").fill_null(False)
    if zone is None and bare.any():
        row = int(bare.arg_true()[0])
        raise RejectData(
            export.file,
            f"row {row}, column {heading}",
            text[row],
            "a time whose zone is known",
            "keep the name the venue gave the file, as in …(UTC+3)….csv, or, if the times are "
            f"UTC, rename the column to {heading}(UTC)",
        )
    # Some exports write the year with two digits.
    dated = text.str.replace(r"^(\d{2})-", "20${1}-") + (zone or "")
    zoned = dated.zip_with(bare, text)
    return read_moments(zoned.alias(heading), export.file), zone if bare.any() else None


def _numbers(export: _Export, used: pl.Series) -> dict[str, pl.Series]:
    """Side, price, size and fee of every row; refuses what cannot be right on a used one."""
    layout, number, defects = export.layout, pl.Float64(), Defects(export.file)
    side = export.text(layout.side)
    lower = side.str.strip_chars().str.to_lowercase().fill_null("")
    defects.add(~lower.is_in(["buy", "sell"]), side.name, side, "BUY or SELL", "export in English")
    price = read_values(export.text(layout.price), number, "price", False, defects)
    written = export.text(layout.size)
    amount, unit = with_unit(written)
    size = read_values(amount, number, "price", False, defects)
    defects.add(
        used & ~unit.is_in(["", "ETH"]),
        written.name,
        written,
        "a size in ETH",
        "export sizes in ETH, not in contracts or USD",
    )
    fee = _fees(export, price * size, used, defects)
    if export.has(layout.total):
        written = export.text(layout.total)
        total = read_values(with_unit(written)[0], number, "number", True, defects)
        off = (total - price * size).abs() > (price * size * _TOTAL_SHARE).clip(_TOTAL_USD)
        defects.add(
            used & off,
            written.name,
            written,
            "price × size",
            "check that the size is in ETH and not in contracts",
        )
    defects.refuse()
    signs = lower.replace_strict({"buy": 1.0, "sell": -1.0}, return_dtype=number)
    return {"side": signs, "price": price, "size": size, "fee": fee}


def _fees(export: _Export, notional: pl.Series, used: pl.Series, defects: Defects) -> pl.Series:
    """Fees in dollars; a coin that is none, and what cannot be the fee of its fill, is refused."""
    written = export.text(export.layout.fee)
    amount, coin = with_unit(written)
    fee = read_values(amount, pl.Float64(), "number", False, defects)
    shown = written
    if export.has(export.layout.fee_coin):
        shown = export.text(export.layout.fee_coin)
        coin = shown.fill_null("").str.strip_chars().str.to_uppercase()
    coin = coin.set(coin == "", export.layout.fee_in)
    defects.add(
        used & ~coin.is_in(list(DOLLARS)) & (fee != 0.0),
        shown.name,
        shown,
        f"a fee in dollars ({', '.join(DOLLARS)}), its coin named",
        "write the fee's worth in USDT at the time of the fill, and USDT as its coin",
    )
    share = fee / notional
    defects.add(
        used & ((share > MOST_FEE) | (share < -MOST_REBATE)),
        written.name,
        fee,
        f"a fee of at most {MOST_FEE:.0%} of price × size, a rebate of at most {MOST_REBATE:.2%}",
        "check the unit of the fee, and that what was paid is positive",
    )
    return fee


def _in_time_order(table: pl.DataFrame, export: _Export) -> tuple[pl.DataFrame, bool]:
    """Oldest first; a file that is exactly newest first is turned round."""
    steps = np.diff(table["ts_ms"].to_numpy())
    moved = np.flatnonzero(steps)
    newest_first = bool(len(moved) and steps[moved[0]] < 0)
    wrong = np.flatnonzero(steps > 0 if newest_first else steps < 0)
    if len(wrong):
        before, row = (int(table["row"][int(wrong[0]) + k]) for k in (0, 1))
        time, order = export.text(export.layout.time), "newest" if newest_first else "oldest"
        raise RejectData(
            export.file,
            f"row {row}, column {time.name}",
            time[row],
            f"a time in the order of the rows above, {order} first up to row {before}",
            "export the file again; what was put together from several files is given as those",
        )
    return (table.reverse() if newest_first else table), newest_first


def _identified(table: pl.DataFrame, export: _Export) -> pl.DataFrame:
    """Add the id of each fill and whether the venue gave it; refuse one that is there twice."""
    if not export.has(export.layout.fill_id):
        # Nothing tells two equal rows apart but their number, which is the same in an
        # overlapping export of the same fills.
        same = ["ts_ms", "side", "price", "size", "fee"]
        words = pl.format("{} {} {} {} {} #{}", *same, pl.int_range(pl.len()).over(same))
        return table.with_columns(words.alias("id"), pl.lit(False).alias("named"))
    written = export.text(export.layout.fill_id)
    ids = written.str.strip_chars().fill_null("")[table["row"].to_list()]
    table = table.with_columns(ids.alias("id"), pl.lit(True).alias("named"))
    absent = table.filter(pl.col("id") == "")
    # A trade with oneself has one id and two sides.
    twice = table.filter(pl.struct("id", "side").is_duplicated()).sort("id", "side", "row")
    if absent.height or twice.height:
        bad, expected = (absent, "an id") if absent.height else (twice, "an id that is there once")
        rows = bad["row"].to_list()[: 1 if absent.height else 2]
        raise RejectData(
            export.file,
            f"{'row' if len(rows) == 1 else 'rows'} {' and '.join(map(str, rows))}, "
            f"column {written.name}",
            bad["id"][0],
            expected,
            "export the file again",
        )
    return table


def _join(held: pl.DataFrame, new: pl.DataFrame, file: str, notes: list[str]) -> pl.DataFrame:
    """Add a file's fills to those held; one that is already there has to be the same."""
    unlike = held.join(new.select("venue", "named").unique(), on="venue").filter(
        (pl.col("named") != pl.col("named_right"))
        & pl.col("ts_ms").is_between(new["ts_ms"].min(), new["ts_ms"].max())
    )
    if unlike.height:
        raise RejectData(
            file,
            "whole file",
            "with ids" if new["named"][0] else "without ids",
            "files of one span all with or all without ids, or a fill could count twice",
            "export the span once",
        )
    key = ["venue", "id", "side"]
    both = new.join(held, on=key, how="inner", suffix="_held")
    close = pl.col("ts_ms").sub(pl.col("ts_ms_held")).abs() < _SAME_MS
    for name in ("price", "size", "fee"):
        close &= pl.col(name).sub(pl.col(f"{name}_held")).abs() <= 1e-9 * pl.col(name).abs()
    differing = both.filter(~close)
    if differing.height:
        one = differing.row(0, named=True)
        raise RejectData(
            file,
            f"fill {one['id']}",
            f"{one['size']:g} ETH at {one['price']:g}, fee {one['fee']:g}",
            "the same fill as in an earlier file: "
            f"{one['size_held']:g} ETH at {one['price_held']:g}, fee {one['fee_held']:g}",
            "keep the file that is right",
        )
    if both.height:
        notes.append(f"{file}: {both.height} of its fills are in an earlier file and count once")
    return pl.concat([held, new.join(held, on=key, how="anti")])
