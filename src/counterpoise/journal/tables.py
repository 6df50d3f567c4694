"""Tables of the journal: one per class of record, columns named after its fields.

Every row has ``seq``, 1, 2, 3, … over all tables in the order of commits, and ``hash``, its link of
the chain (``chain``). NaN is NULL, because SQLite has none; a dict is JSON as Python writes it, and
a tuple of floats is little-endian float64, exact and quick. Nothing here talks to a database.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from types import GenericAlias
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
_metadata = MetaData()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _packed(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _unpacked(content: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(content) // 8}d", content)


def _storable(text: str) -> str:
    """Text both databases take: a NUL or half a surrogate pair from outside is spelled out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _number(value: float) -> float:
    """A float as every database gives it back: one NaN, no negative zero."""
    return math.nan if math.isnan(value) else float(value) + 0.0


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Fields of a record as a tuple, whatever their number."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


class Layout:
    """How a class of record lies in its table.

    Attributes
    ----------
    record : type
    table : sqlalchemy.Table
    columns : tuple of str
        In the order of :meth:`row`: ``seq``, whole numbers and switches, floats, texts, dicts,
        tuples, ``hash``; each kind in the order of the record's fields.
    """

    def __init__(self, record: type, name: str, unique: Sequence[str] = ()) -> None:
        hints = get_type_hints(record)
        kinds: dict[str, type] = {}
        for one in fields(record):
            hint = hints[one.name]
            origin = get_origin(hint)
            known = hint in _NUMBER or isinstance(hint, GenericAlias)
            kinds[one.name] = (origin or hint) if known else str
        self.record = record
        self._whole = [name for name, kind in kinds.items() if kind in (int, bool)]
        self._floats = [name for name, kind in kinds.items() if kind is float]
        self._texts = [name for name, kind in kinds.items() if kind is str]
        self._dicts = [name for name, kind in kinds.items() if kind is dict]
        self._tuples = [name for name, kind in kinds.items() if kind is tuple]
        self._switches = [name for name, kind in kinds.items() if kind is bool]
        self.columns = (
            *("seq", *self._whole, *self._floats, *self._texts, *self._dicts, *self._tuples),
            "hash",
        )
        self._get_whole, self._get_floats = _getter(self._whole), _getter(self._floats)
        self._get_texts, self._get_dicts = _getter(self._texts), _getter(self._dicts)
        self._get_tuples = _getter(self._tuples)
        self.unique = tuple(unique)
        self.table = Table(
            name,
            _metadata,
            Column("seq", _NUMBER[int], primary_key=True, autoincrement=False),
            *(
                Column(field, _column_type(kind), nullable=kind is float)
                for field, kind in kinds.items()
            ),
            Column("hash", Text(), nullable=False),
            sqlite_strict=True,
        )
        if unique:
            Index(f"{name}_once", *(self.table.c[field] for field in unique), unique=True)
        lengths = len(self.columns) - 2 - len(self._whole) - len(self._floats)
        self._head = struct.Struct(f"<{1 + len(self._whole)}q{len(self._floats)}d{lengths}I")
        self._name = name.encode()

    def row(self, seq: int, record: object) -> list[Any]:
        """Values of a record in the order of ``columns``, without the hash.

        Raises
        ------
        TypeError, ValueError
            A field that its column cannot hold: a defect of whoever made the record.
        """
        return [
            seq,
            *self._get_whole(record),
            *map(_number, self._get_floats(record)),
            *map(_storable, self._get_texts(record)),
            *map(_json, self._get_dicts(record)),
            *map(_packed, self._get_tuples(record)),
        ]

    def canonical(self, row: Sequence[Any]) -> bytes:
        """One row as bytes, the same on every database: what the chain hashes.

        The name of the table; ``seq`` and the whole numbers (switches as 0 and 1) as little-endian
        int64; floats as float64; the lengths of what follows as uint32; texts and JSON in UTF-8,
        packed tuples as they are. In the order of ``columns``.
        """
        numbers = 1 + len(self._whole) + len(self._floats)
        rest = [one.encode() if type(one) is str else one for one in row[numbers:]]
        head = self._head.pack(*row[:numbers], *map(len, rest))
        return b"".join((self._name, head, *rest))

    def stored(self, values: Sequence[Any]) -> list[Any]:
        """Row as :meth:`row` made it, from what a database gives back."""
        whole = 1 + len(self._whole)
        numbers = whole + len(self._floats)
        floats = [math.nan if value is None else value for value in values[whole:numbers]]
        return [*values[:whole], *floats, *values[numbers:]]

    def read(self, values: Sequence[Any]) -> Any:
        """Record of a row, given in the order of ``columns``."""
        named = dict(zip(self.columns, self.stored(values), strict=True))
        del named["seq"], named["hash"]
        for name in self._switches:
            named[name] = bool(named[name])
        for name in self._dicts:
            named[name] = json.loads(named[name])
        for name in self._tuples:
            named[name] = _unpacked(named[name])
        return self.record(**named)


def _column_type(kind: type) -> TypeEngine[Any]:
    if kind in _NUMBER:
        return _NUMBER[kind]
    return LargeBinary() if kind is tuple else Text()


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
