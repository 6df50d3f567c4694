"""The chain of hashes: whether a journal is what was written, row by row.

A row's hash covers the hash before it and the whole row, over all tables in the order of ``seq``.
Against somebody who removes rows and computes every later hash anew, a head noted elsewhere helps.
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from counterpoise.journal.tables import JOURNAL, LAYOUTS, Layout
from counterpoise.journal.triggers import missing_triggers

#: Before the first row.
GENESIS = "0" * 64
#: Rows of a table that are held at once.
_BATCH = 2_000


def link(previous: str, canonical: bytes) -> str:
    """Hash of a row: SHA-256 of the hash before it and the row, as hex digits."""
    return hashlib.sha256(previous.encode() + canonical).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written: where, and what."""

    table: str
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at every row found; ``findings`` in the order of ``seq``, none if all is well."""

    rows: int
    head: str
    findings: tuple[Finding, ...]


def _rows(connection: Connection, layout: Layout) -> Iterator[tuple[Layout, Any]]:
    """Rows of a table by their ``seq``, some at a time."""
    c, after = layout.table.c, -(2**63)
    ask = select(*(c[name] for name in layout.columns)).order_by(c.seq).limit(_BATCH)
    while rows := connection.execute(ask.where(c.seq > after)).all():
        yield from ((layout, row) for row in rows)
        after = rows[-1].seq


def _gone(first: int, last: int, which: tuple[str, str]) -> str:
    if first == last:
        return f"row {first}{which[0]} is missing"
    return f"rows {first} to {last}{which[1]} are missing"


def _chain(connection: Connection, findings: list[Finding]) -> tuple[int, str]:
    """Add what breaks the chain; the ``seq`` and the hash it ends with."""
    before, previous = 0, GENESIS
    tables = (_rows(connection, layout) for layout in LAYOUTS.values())
    for layout, row in heapq.merge(*tables, key=lambda one: one[1].seq):
        seq, text = row.seq, None
        if seq <= before:
            text = f"a second row {seq}"
        elif seq > before + 1:
            text = _gone(before + 1, seq - 1, (" before it", " before it"))
        elif link(previous, layout.canonical(layout.stored(row[:-1]))) != row.hash:
            text = "its hash is not that of its content and the row before"
        if text is not None:
            findings.append(Finding(layout.table.name, seq, text))
        before, previous = seq, row.hash
    return before, previous


def _decisions(connection: Connection) -> Iterator[Finding]:
    """Decisions out of their numbers, and rows about decisions that are not there."""
    tables = {layout.table.name: layout.table for layout in LAYOUTS.values()}
    decisions = tables["decisions"]
    numbered = select(
        decisions.c.seq,
        decisions.c.decision_id,
        func.row_number().over(order_by=decisions.c.seq).label("due"),
    ).subquery()
    odd = select(numbered).where(numbered.c.due != numbered.c.decision_id).limit(1)
    for row in connection.execute(odd):
        yield Finding("decisions", row.seq, f"decision {row.decision_id} where {row.due} was due")
    for name in ("plans", "orders"):
        c = tables[name].c
        known = select(decisions.c.seq).where(decisions.c.decision_id == c.decision_id).exists()
        orphans = select(c.seq, c.decision_id).where(c.decision_id > 0, ~known).order_by(c.seq)
        for row in connection.execute(orphans.limit(1)):
            yield Finding(name, row.seq, f"its decision {row.decision_id} is missing")


def _end(journal: Any, seq: int, last_hash: str) -> Iterator[Finding]:
    """Whether the last row there is, is the one that was written last."""
    if seq < journal.rows:
        text = _gone(seq + 1, journal.rows, (", the last one,", ", the last ones,"))
        yield Finding(JOURNAL.name, journal.rows, text)
    elif (seq, last_hash) != (journal.rows, journal.head):
        yield Finding(JOURNAL.name, journal.rows, f"row {seq} came after the last that was written")


def _noted(connection: Connection, rows: int, head: str) -> Iterator[Finding]:
    """Whether a head that was noted elsewhere is still a row of the journal."""
    tables = (layout.table.c for layout in LAYOUTS.values())
    if not any(connection.scalar(select(c.seq).where(c.hash == head)) for c in tables):
        text = f"no row has the noted hash {head[:16]}…: rows were replaced or removed"
        yield Finding(JOURNAL.name, rows, text)


def verify(connection: Connection, noted: str | None = None) -> Verified:
    """Read every row and compare it with the chain, the head and what refers to it.

    Parameters
    ----------
    connection : Connection
        Within a transaction that sees one moment, see ``reading.Reader.snapshot``.
    noted : str, optional
        A head of this journal as it was noted elsewhere: with it, nothing up to that row can have
        been written anew.
    """
    journal = connection.execute(select(JOURNAL)).one()
    findings: list[Finding] = []
    end = _chain(connection, findings)
    findings += _decisions(connection)
    findings += _end(journal, *end)
    findings += () if noted is None else _noted(connection, journal.rows, noted)
    findings += [
        Finding(name, 0, "its trigger that refuses changes is missing")
        for name in missing_triggers(connection)
    ]
    return Verified(journal.rows, journal.head, tuple(findings))
