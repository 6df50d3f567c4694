"""The chain of hashes: whether a journal is what was written, row by row.

A row's hash covers the hash before it and the whole row, over all tables in the order of ``seq``.
What it cannot tell is a journal rewritten from some row on by somebody who computes all hashes
anew: against that, a head noted elsewhere helps.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from counterpoise.journal.tables import JOURNAL, LAYOUTS, Layout
from counterpoise.journal.triggers import missing_triggers

#: Before the first row.
GENESIS = "0" * 64
#: Rows that are held at once.
_BATCH = 10_000


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


def _rows(connection: Connection, last: int) -> Iterator[tuple[Layout, Any]]:
    """Every row of every table by its ``seq``."""
    for first in range(1, last + 1, _BATCH):
        batch: list[tuple[Layout, Any]] = []
        for layout in LAYOUTS.values():
            c = layout.table.c
            wanted = select(*(c[name] for name in layout.columns)).where(
                c.seq.between(first, first + _BATCH - 1)
            )
            batch += [(layout, row) for row in connection.execute(wanted)]
        yield from sorted(batch, key=lambda one: one[1].seq)


def _chain(connection: Connection, last: int) -> Iterator[Finding | str]:
    """What breaks the chain, and at the end the hash it ends with."""
    before, previous = 0, GENESIS
    for layout, row in _rows(connection, last):
        name, seq = layout.table.name, row.seq
        if seq == before:
            yield Finding(name, seq, f"a second row {seq}")
        if seq > before + 1:
            gone = f"row {before + 1}" if seq == before + 2 else f"rows {before + 1} to {seq - 1}"
            yield Finding(name, seq, f"{gone} before it are missing")
        elif link(previous, layout.canonical(layout.stored(row[:-1]))) != row.hash:
            yield Finding(name, seq, "its hash is not that of its content and the row before")
        before, previous = seq, row.hash
    yield previous


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


def verify(connection: Connection) -> Verified:
    """Read every row and compare it with the chain, the head and what refers to it.

    Parameters
    ----------
    connection : Connection
        Within a transaction that sees one moment, see ``reading.Reader.snapshot``.
    """
    journal = connection.execute(select(JOURNAL)).one()
    last = max(
        journal.rows,
        *(
            connection.scalar(select(func.max(layout.table.c.seq))) or 0
            for layout in LAYOUTS.values()
        ),
    )
    *found, end = _chain(connection, last)
    findings = [one for one in found if isinstance(one, Finding)]
    findings += _decisions(connection)
    if end != journal.head:
        text = f"{journal.rows} rows with the last hash {journal.head[:16]}… were written"
        findings.append(Finding("journal", journal.rows, f"{text}; the last of them are missing"))
    findings += [
        Finding(name, 0, "its trigger that refuses changes is missing")
        for name in missing_triggers(connection)
    ]
    return Verified(journal.rows, journal.head, tuple(findings))
