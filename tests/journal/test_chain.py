"""A journal that is not what was written is found out, and the first broken row named."""

import hashlib
import struct

import pytest

from counterpoise.errors import RejectData
from counterpoise.journal.chain import Finding, Verified, verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from tests.journal.conftest import Database
from tests.journal.samples import NEXT_RUN, RUN, fill, moment_of, state

#: Every number of the change is a row of the journal below.
TAMPERED = {
    "a number": (
        "decisions",
        ["UPDATE decisions SET target_eth = 0 WHERE decision_id = 2"],
        Finding("decisions", 6, "its hash is not that of its content and the row before"),
    ),
    "NaN made a number": (
        "fills",
        ["UPDATE fills SET mid = NULL"],
        Finding("fills", 5, "its hash is not that of its content and the row before"),
    ),
    "packed memory": (
        "decisions",
        ["UPDATE decisions SET memory = state WHERE decision_id = 1"],
        Finding("decisions", 2, "its hash is not that of its content and the row before"),
    ),
    "a row deleted": (
        "orders",
        ["DELETE FROM orders WHERE client_id = 'cp-1'"],
        Finding("fills", 5, "row 4 before it are missing"),
    ),
    "rows renumbered": (
        "decisions",
        ["DELETE FROM decisions WHERE decision_id = 2"],
        Finding("plans", 7, "row 6 before it are missing"),
    ),
    "the last row deleted": (
        "order_states",
        ["DELETE FROM order_states"],
        Finding("journal", 9, ""),
    ),
}


@pytest.fixture
def written(database: Database) -> Database:
    """Rows 1 run, 2 decision, 3 plan, 4 order, 5 fill, 6 decision, 7 plan, 8 order, 9 state."""
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([*moment_of(1), fill("cp-1", "t1", 0.5)])
        journal.commit([*moment_of(2), state("cp-2", "open")])
    return database


def look(database: Database) -> Verified:
    with Reader(database.where) as reader, reader.snapshot() as connection:
        return verify(connection)


def test_an_untouched_journal_is_whole(written: Database) -> None:
    found = look(written)
    assert (found.rows, found.findings) == (9, ())


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_changed_is_found_and_named(written: Database, how: str) -> None:
    table, statements, expected = TAMPERED[how]
    written.without_triggers(table, *statements)
    first = look(written).findings[0]
    assert (first.table, first.seq) == (expected.table, expected.seq)
    assert first.text.startswith(expected.text)
