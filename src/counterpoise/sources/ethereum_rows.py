"""Reading what an Ethereum node answers: its numbers, fees by hour, and blocks.

A proxy or a young node may answer anything: what is not of the format is refused with its place.
What is asked of the node is in ``ethereum``.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from counterpoise.errors import RejectData
from counterpoise.sources.contract import Read
from counterpoise.sources.pages import AGAIN, END_MS, field_of, rows_of
from counterpoise.units import stamp

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
#: Fees in wei and times fit well below; what does not is no number of this chain.
_MOST = 1 << 63
_BLOCK = ("number", "hash", "parentHash", "timestamp", "gasUsed", "gasLimit")


def quantity(value: Any, place: str, name: str) -> int:
    """A whole number as JSON-RPC writes it, such as ``0x1f``.

    Raises
    ------
    RejectData
        When it is none, or beyond 63 bits.
    """
    if isinstance(value, str) and _QUANTITY.fullmatch(value) and (found := int(value, 16)) < _MOST:
        return found
    raise RejectData(name, place, value, "a number such as 0x1f", AGAIN)


def time_of(block: Any, name: str) -> int:
    """Time of a block, in seconds.

    Raises
    ------
    RejectData
        When it is no block, or of no year that can be.
    """
    at = quantity(field_of(block, "timestamp", name), "timestamp", name)
    if at * 1000 >= END_MS:
        raise RejectData(name, "timestamp", at, "seconds since 1970", AGAIN)
    return at


def block_of(block: Any, number: int, name: str) -> dict[str, Any]:
    """What is kept of a block: its numbers, and how many transactions it has.

    Raises
    ------
    RejectData
        When a field is missing or its transactions are no list.
    """
    what = f"{name}: block {number}"
    kept = {field: field_of(block, field, what) for field in _BLOCK}
    kept["baseFeePerGas"] = block.get("baseFeePerGas")
    transactions = field_of(block, "transactions", what)
    if not isinstance(transactions, list):
        raise RejectData(what, "transactions", str(transactions)[:60], "a list", AGAIN)
    return kept | {"transactions": len(transactions)}


def read_hours(pages: Iterator[Any], name: str) -> Read:
    """Gas of hours from their fee histories; hours before London have no row.

    Parameters
    ----------
    pages : iterator
        ``hour``, ``first`` and ``blocks`` as they were asked for, ``fees`` as the node answered.
    name : str
        Of the unit, for messages.

    Raises
    ------
    RejectData
        Other blocks than were asked for, or what is no number.
    """
    rows: list[dict[str, Any]] = []
    without = 0
    for page in pages:
        place = f"hour {stamp(page['hour'])}"
        base: list[int] = []
        used: list[float] = []
        tips: list[list[int]] = []
        for found in rows_of(page, "fees", ["baseFeePerGas", "gasUsedRatio"], name):
            ratios = _list(found["gasUsedRatio"], f"{place}, gasUsedRatio", name)
            fees = _list(found["baseFeePerGas"], f"{place}, baseFeePerGas", name)
            # The last base fee is that of the block after the answer's own.
            base += [quantity(fee, f"{place}, baseFeePerGas", name) for fee in fees[: len(ratios)]]
            used += [_share(ratio, f"{place}, gasUsedRatio", name) for ratio in ratios]
            for row in _list(found.get("reward") or [], f"{place}, reward", name):
                told = _list(row, f"{place}, reward", name)
                tips.append([quantity(tip, f"{place}, reward", name) for tip in told])
        if len(base) != page["blocks"] or len(used) != page["blocks"]:
            raise RejectData(name, place, f"{len(base)} base fees", page["blocks"], AGAIN)
        if not base:
            continue
        if not any(base):
            without += 1
            continue
        busy = [tip for tip, share in zip(tips, used, strict=False) if share > 0 and len(tip) == 3]
        ten, fifty, ninety = (_mean([tip[place] for tip in busy]) for place in range(3))
        rows.append(
            {
                "ts": page["hour"],
                "base_fee_first_wei": float(base[0]),
                "base_fee_mean_wei": sum(base) / len(base),
                "base_fee_max_wei": float(max(base)),
                "base_fee_last_wei": float(base[-1]),
                "gas_used_ratio": sum(used) / len(used),
                "priority_fee_p10_wei": ten,
                "priority_fee_p50_wei": fifty,
                "priority_fee_p90_wei": ninety,
                "blocks": len(base),
            }
        )
    notes = (f"{without} hours before London have no base fee and no row",) if without else ()
    return Read(pl.DataFrame(rows, infer_schema_length=None), notes)


def read_blocks(pages: Iterator[Any], name: str) -> Read:
    """Blocks that follow from one another.

    Parameters
    ----------
    pages : iterator
        Lists of blocks as :func:`block_of` keeps them.
    name : str
        Of the unit, for messages.

    Raises
    ------
    RejectData
        A number, parent or time that does not follow, or what is no number.
    """
    blocks = [block for page in pages for block in rows_of(page, "", _BLOCK, name)]
    times = [time_of(block, f"{name}: block {block['number']}") for block in blocks]
    numbers = [quantity(block["number"], "number", name) for block in blocks]
    for row in range(1, len(blocks)):
        place, parent = f"block {numbers[row]}", blocks[row - 1]["hash"]
        if numbers[row] != numbers[row - 1] + 1:
            raise RejectData(name, place, numbers[row], f"block {numbers[row - 1] + 1}", AGAIN)
        if blocks[row]["parentHash"] != parent:
            expected = f"parent {parent}"
            raise RejectData(name, place, blocks[row]["parentHash"], expected, AGAIN)
        if times[row] <= times[row - 1]:
            expected = f"a time after {times[row - 1]}"
            raise RejectData(name, place, times[row], expected, AGAIN)
    table: dict[str, list[Any]] = {"ts": [at * 1000 for at in times], "number": numbers}
    for column, field in (
        ("gas_used", "gasUsed"),
        ("gas_limit", "gasLimit"),
        ("base_fee_wei", "baseFeePerGas"),
    ):
        table[column] = [
            None
            # Blocks before London have no base fee.
            if field == "baseFeePerGas" and block.get(field) is None
            else quantity(block[field], f"block {number}, {field}", name)
            for number, block in zip(numbers, blocks, strict=True)
        ]
    table["tx_count"] = [block["transactions"] for block in blocks]
    return Read(pl.DataFrame(table, schema=dict.fromkeys(table, pl.Int64)))


def _list(value: Any, place: str, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise RejectData(name, place, str(value)[:60], "a list", AGAIN)
    return value


def _share(value: Any, place: str, name: str) -> float:
    """Share of a block's limit that was used."""
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        share = math.nan
    if isinstance(value, bool) or not 0.0 <= share <= 1.0:
        raise RejectData(name, place, value, "a number between 0 and 1", AGAIN)
    return share


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
