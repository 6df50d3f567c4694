"""What rows of one table must agree on: order, identity, bars and rates that can be.

These checks look across columns or rows; what makes a single value right is in ``columns``, which
columns a table has in ``tables``. They refuse and change nothing.
"""

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.market.columns import Defects

#: A settled rate beyond this cannot be a fraction: the widest ETH rate on record is 0.00375.
FUNDING_ABS_LIMIT = 0.05
#: The median |rate| of every venue on record is at most 0.0001; 0.01 would be 1 bp in percent.
FUNDING_MEDIAN_LIMIT = 0.002
#: Fewer settlements may all be extreme: in the week of the Merge one venue's median was 0.003.
FUNDING_MEDIAN_ROWS = 60
#: Rows of the running median, a month of 8 h settlements: a single bad month shows.
FUNDING_MEDIAN_WINDOW = 90
#: A settlement may carry the stamp of its bookkeeping, up to this much after the hour it is for; so
#: two stamps within it are one settlement.
SETTLEMENT_JITTER_MS = 60_000


def check_order(frame: pl.DataFrame, key: list[str], series: str | None, file: str) -> None:
    """Refuse repeated identities and rows that go back in time.

    Parameters
    ----------
    frame : DataFrame (N, ...)
        With ``ts`` parsed.
    key : list of str
        Columns that identify a row.
    series : str or None
        Column within whose groups time must ascend; None for the whole table.
    file : str
        Name for messages.

    Raises
    ------
    RejectData
        Naming both rows of the first duplicate, or the first row out of order.
    """
    twice = frame.select(key).is_duplicated()
    named = " and ".join(key)
    if twice.any():
        rows = frame.with_row_index("_row").filter(twice)
        first = rows.row(0, named=True)
        same = rows.filter([pl.col(name) == first[name] for name in key])["_row"].to_list()
        extra = rows.height - rows.select(key).n_unique()
        more = f" ({extra - 1} more duplicates follow)" if extra > 1 else ""
        one, other = frame.row(same[0], named=True), frame.row(same[1], named=True)
        apart = [name for name in frame.columns if one[name] != other[name]]
        raise RejectData(
            file,
            f"rows {same[0]} and {same[1]}, column {named}",
            ", ".join(str(first[name]) for name in key),
            f"each {named} once{more}",
            f"they differ in {apart[0]} ({one[apart[0]]} and {other[apart[0]]}): keep the row that "
            "is right"
            if apart
            else "the two rows are the same: remove one",
        )
    step = pl.col("ts").diff().dt.total_milliseconds()
    gaps = frame.select(step.over(series) if series else step).to_series()
    back = (gaps < 0).fill_null(False)
    if back.any():
        row = int(back.arg_true()[0])
        raise RejectData(
            file,
            f"row {row}, column ts",
            str(frame["ts"][row]),
            f"a time after the row before it ({int(back.sum())} rows go back in time)",
            "sort the file by time, and check why it was not",
        )


def check_bars(frame: pl.DataFrame, defects: Defects) -> None:
    """Note bars whose high, low, open and close, or whose parts and wholes, cannot both be.

    Parameters
    ----------
    frame : DataFrame (N, ...)
        Parsed bars; volumes may be absent.
    defects : Defects
        Where bad rows are noted.
    """
    body_high = frame.select(pl.max_horizontal("open", "close")).to_series()
    body_low = frame.select(pl.min_horizontal("open", "close")).to_series()
    fix = "look the bar up at the venue and mend or remove the row"
    for mask, column, expected in (
        (frame["high"] < frame["low"], "high", "high >= low"),
        (frame["high"] < body_high, "high", "high >= open and close"),
        (frame["low"] > body_low, "low", "low <= open and close"),
    ):
        defects.add(mask, column, frame[column], expected, fix)
    for part, whole in (("taker_buy_base", "volume"), ("taker_buy_quote", "quote_volume")):
        if part in frame.columns:
            # Venues round the two sums separately; a millionth is rounding, more is a mix-up.
            mask = frame[part] > frame[whole] * (1 + 1e-6)
            defects.add(mask, part, frame[part], f"at most {whole}", "check the column order")


def check_funding(frame: pl.DataFrame, file: str, defects: Defects) -> None:
    """Refuse rates that are no fractions per settlement: one too large, or a month of them.

    Parameters
    ----------
    frame : DataFrame (N, ...)
        Parsed funding in the file's order.
    file : str
        Name for messages.
    defects : Defects
        Bad values so far; they are refused with the first bad rate.

    Raises
    ------
    RejectData
        A rate beyond :data:`FUNDING_ABS_LIMIT`, or a median beyond :data:`FUNDING_MEDIAN_LIMIT`.
    """
    rate = frame["funding_rate"]
    percent = "divide by 100 if it is percent, by 10,000 if it is basis points"
    expected = "a fraction per settlement interval (1 basis point is 0.0001)"
    defects.add(rate.abs() > FUNDING_ABS_LIMIT, "funding_rate", rate, expected, percent)
    defects.refuse()
    window = min(FUNDING_MEDIAN_WINDOW, frame.height)
    if window < FUNDING_MEDIAN_ROWS:
        return
    median = rate.abs().rolling_median(window)
    wide = (median > FUNDING_MEDIAN_LIMIT).arg_max()
    if wide is not None and median[wide] is not None and median[wide] > FUNDING_MEDIAN_LIMIT:
        raise RejectData(
            file,
            f"rows {wide - window + 1} to {wide}, column funding_rate, median of |value|",
            round(float(median[wide]), 6),
            expected,
            percent,
        )


def check_settlements(table: pl.DataFrame, file: str, where: str = "row") -> None:
    """Refuse one settlement under two stamps: it would be paid twice.

    Parameters
    ----------
    table : DataFrame (N, ...)
        Funding in order of time.
    file : str
        Name for messages.
    where : str
        What its rows are called in messages.

    Raises
    ------
    RejectData
        Naming the second of the two.
    """
    stamps = table["ts"].dt.epoch("ms")
    close = (stamps.diff() <= SETTLEMENT_JITTER_MS).fill_null(False)
    if close.any():
        row = int(close.arg_true()[0])
        raise RejectData(
            file,
            f"{where} {row}, column ts",
            str(table["ts"][row]),
            f"more than a minute after the settlement of {table['ts'][row - 1]} before it "
            f"({int(close.sum())} follow too closely)",
            "keep one stamp of each settlement",
        )
