"""Tables of the journal: one per class of record, columns named after its fields.

Every row has ``seq``, 1, 2, 3, … over all tables in the order of commits, and ``hash``, its link of
the chain (``chain``). NaN is NULL, because SQLite has none; a dict is JSON as Python writes it, and
a tuple of floats is little-endian float64, exact and quick. Nothing here talks to a database.
"""

import json
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from operator import attrgetter
from typing import Any, get_origin, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.sqlite import REAL
from sqlalchemy.types import TypeEngine

from counterpoise.execution import records

#: Of the tables below; raised whenever a column of them changes.
SCHEMA = 1
_FINGERPRINT = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that writes the journal: its first row.

    Attributes
    ----------
    ts_ns : int
        Started.
    run_id : str
    mode : str
        ``paper``, ``testnet`` or ``live``.
    venue, symbol : str
    account, settings : str
        Fingerprints, 16 to 64 hex digits, such as ``sealed.digest`` of the account's key: a
        secret is never kept.
    version : str
        Of the product.

    Raises
    ------
    ValueError
        A fingerprint that is none.
    """

    ts_ns: int
    run_id: str
    mode: str
    venue: str
    symbol: str
    account: str
    version: str
    settings: str

    def __post_init__(self) -> None:
        for name in ("account", "settings"):
            if not _FINGERPRINT.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} of a run is a fingerprint: 16 to 64 hex digits")


_NUMBER: dict[type, TypeEngine[Any]] = {
    int: BigInteger().with_variant(Integer(), "sqlite"),
    bool: Boolean().with_variant(Integer(), "sqlite"),
    float: Double().with_variant(REAL(), "sqlite"),
}
#: Kinds of fields, in the order in which a row is written and hashed.
_ORDER: tuple[tuple[type, ...], ...] = ((int, bool), (float,), (str,), (dict,), (tuple,))
_json = json.JSONEncoder(separators=(",", ":")).encode
_metadata = MetaData()


def _packed(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _unpacked(content: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(content) // 8}d", content)


def _storable(text: str) -> str:
    """Text both databases take: a NUL or half a surrogate pair from outside is spelled out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _kind(hint: Any) -> type:
    """Kind of a field by its annotation; a ``Literal`` is text."""
    kind = get_origin(hint) or hint
    return kind if any(kind in kinds for kinds in _ORDER) else str


def _column(name: str, kind: type) -> Column[Any]:
    of_kind = _NUMBER.get(kind) or (LargeBinary() if kind is tuple else Text())
    return Column(name, of_kind, nullable=kind is float)


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Fields of a record as a tuple, whatever their number."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


class Layout:
    """How a class of record lies in its table.

    Parameters
    ----------
    record : type
    name : str
        Of the table.
    unique : sequence of str
        Fields that no two rows share together.

    Attributes
    ----------
    record, unique
    table : sqlalchemy.Table
    columns : tuple of str
        In the order of :meth:`row`: ``seq``, whole numbers and switches, floats, texts, dicts,
        tuples, ``hash``; each kind in the order of the record's fields.
    """

    def __init__(self, record: type, name: str, unique: Sequence[str] = ()) -> None:
        kinds = {field: _kind(hint) for field, hint in get_type_hints(record).items()}
        groups = [[field for field, kind in kinds.items() if kind in one] for one in _ORDER]
        self.record, self.unique = record, tuple(unique)
        self.columns = ("seq", *(field for group in groups for field in group), "hash")
        self._kinds = kinds
        self._whole = 1 + len(groups[0])
        self._numbers = self._whole + len(groups[1])
        self._get = [_getter(group) for group in groups]
        lengths = len(self.columns) - 1 - self._numbers
        self._head = struct.Struct(f"<{self._whole}q{len(groups[1])}d{lengths}I")
        self._name = name.encode()
        self.table = Table(
            name,
            _metadata,
            Column("seq", _NUMBER[int], primary_key=True, autoincrement=False),
            *(_column(field, kind) for field, kind in kinds.items()),
            _column("hash", str),
            sqlite_strict=True,
        )
        if unique:
            Index(f"{name}_once", *(self.table.c[field] for field in unique), unique=True)

    def row(self, seq: int, record: object) -> list[Any]:
        """Values of a record in the order of ``columns``, without the hash.

        Floats are as every database gives them back: one NaN, no negative zero.

        Raises
        ------
        TypeError, ValueError
            A field that its column cannot hold: a defect of whoever made the record.
        """
        whole, floats, texts, dicts, tuples = self._get
        return [
            seq,
            *whole(record),
            *(nan if isnan(value) else value + 0.0 for value in floats(record)),
            *map(_storable, texts(record)),
            *map(_json, dicts(record)),
            *map(_packed, tuples(record)),
        ]

    def canonical(self, row: Sequence[Any]) -> bytes:
        """One row as bytes, the same on every database: what the chain hashes.

        The name of the table; ``seq`` and the whole numbers (switches as 0 and 1) as little-endian
        int64; floats as float64; the lengths of what follows as uint32; texts and JSON in UTF-8,
        packed tuples as they are. In the order of ``columns``.
        """
        rest = [one.encode() if type(one) is str else one for one in row[self._numbers :]]
        head = self._head.pack(*row[: self._numbers], *map(len, rest))
        return b"".join((self._name, head, *rest))

    def stored(self, values: Sequence[Any]) -> list[Any]:
        """Row as :meth:`row` made it, from what a database gives back."""
        floats = [nan if one is None else one for one in values[self._whole : self._numbers]]
        return [*values[: self._whole], *floats, *values[self._numbers :]]

    def read(self, values: Sequence[Any]) -> Any:
        """Record of a row, given in the order of ``columns``."""
        named = dict(zip(self.columns, self.stored(values), strict=True))
        decode: dict[type, Callable[[Any], Any]] = {
            bool: bool,
            dict: json.loads,
            tuple: _unpacked,
        }
        return self.record(
            **{
                field: decode[kind](named[field]) if kind in decode else named[field]
                for field, kind in self._kinds.items()
            }
        )


LAYOUTS: dict[type, Layout] = {
    layout.record: layout
    for layout in (
        Layout(Run, "runs", unique=("run_id",)),
        Layout(records.Decision, "decisions", unique=("decision_id",)),
        Layout(records.Plan, "plans"),
        Layout(records.OrderSent, "orders", unique=("client_id",)),
        Layout(records.OrderState, "order_states"),
        Layout(records.FillBooked, "fills", unique=("client_id", "trade_id")),
        Layout(records.FundingBooked, "funding"),
        Layout(records.Shortfall, "shortfalls"),
        Layout(records.AccountSeen, "accounts"),
        Layout(records.AlertRaised, "alerts"),
        Layout(records.Mode, "modes"),
        Layout(records.Moved, "moves"),
    )
}

#: One row: whose journal it is, how many rows it has, and the hash of the last one.
JOURNAL = Table(
    "journal",
    _metadata,
    Column("id", _NUMBER[int], primary_key=True, autoincrement=False),
    Column("schema", _NUMBER[int], nullable=False),
    *(Column(name, Text(), nullable=False) for name in ("mode", "venue", "symbol", "account")),
    Column("rows", _NUMBER[int], nullable=False),
    Column("previous", Text(), nullable=False),
    Column("head", Text(), nullable=False),
    sqlite_strict=True,
)
TABLES = tuple(_metadata.sorted_tables)
