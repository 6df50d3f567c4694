"""What was committed is there, whole, once and unchanged, on either database."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.execution.records import Decision, FillBooked, OrderSent, Record
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from counterpoise.journal.tables import LAYOUTS, Run
from tests.journal.any_record import ANY_RECORD
from tests.journal.conftest import Database
from tests.journal.samples import (
    NEXT_RUN,
    RUN,
    decision,
    fill,
    moment_of,
    one_of_each,
    order,
    same,
)


def test_a_commit_is_read_back_as_it_was_given(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(moment_of(1))
    with Reader(database.where) as reader:
        for record in moment_of(1):
            (found,) = reader.records(type(record))
            assert same(found, record)
        assert reader.records(Run) == [RUN]


def accepted(batches: list[list[Record]]) -> list[list[Record]]:
    """The same records with numbers and ids that no other has."""
    made, decisions = [], 0
    for batch in batches:
        numbered: list[Record] = []
        for record in batch:
            if isinstance(record, Decision):
                decisions += 1
                numbered.append(replace(record, decision_id=decisions))
            elif isinstance(record, OrderSent | FillBooked):
                apart = f"{record.client_id}-{len(made)}-{len(numbered)}"
                numbered.append(replace(record, client_id=apart))
            else:
                numbered.append(record)
        made.append(numbered)
    return made


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(ANY_RECORD, min_size=1, max_size=8), min_size=1, max_size=3).map(
        accepted
    )
)
def test_any_record_comes_back_and_the_chain_holds(
    new_database: Callable[[], Database], batches: list[list[Record]]
) -> None:
    database = new_database()
    with Journal.open(database.where, run=RUN) as journal:
        for batch in batches:
            journal.commit(batch)
        assert journal.rows == 1 + sum(map(len, batches))
    with Reader(database.where) as reader:
        for kind in LAYOUTS:
            expected = [one for batch in batches for one in batch if type(one) is kind]
            if kind is not Run:
                assert same(reader.records(kind, -(2**63)), expected)
        with reader.snapshot() as connection:
            broken = [one.text for one in verify(connection).findings if "decision" not in one.text]
        assert broken == []


def test_rows_are_numbered_over_all_tables_in_the_order_of_commits(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([order(0, "a"), fill("a", "t1", 0.5), order(0, "b")])
        assert journal.rows == 4
    with Journal.open(database.where, run=NEXT_RUN) as journal:
        assert journal.rows == 5
    assert database.ask("SELECT seq FROM runs ORDER BY seq") == [(1,), (5,)]
    assert database.ask("SELECT seq, client_id FROM orders ORDER BY seq") == [(2, "a"), (4, "b")]
    assert database.ask("SELECT seq FROM fills") == [(3,)]


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ([fill("a", "t1", 1.0)], "table fills, columns client_id, trade_id: got ('a', 't1')"),
        ([order(0, "a")], "table orders, columns client_id: got ('a',)"),
        ([order(0, "new"), order(0, "new")], "table orders, columns client_id: got ('new',)"),
        ([decision(1)], "column decision_id: got 1, expected 2, the next one"),
        ([decision(3)], "column decision_id: got 3, expected 2, the next one"),
    ],
)
def test_what_is_there_already_is_refused_with_all_that_came_with_it(
    database: Database, batch: list[Record], says: str
) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([decision(1), order(0, "a"), fill("a", "t1", 0.5)])
        rows, head = journal.rows, journal.head
        with pytest.raises(RejectData) as refused:
            journal.commit([order(0, "fresh"), *batch])
        assert says in str(refused.value)
        assert (journal.rows, journal.head) == (rows, head)
        # A trade has one number per side of it, and both may be ours.
        journal.commit([decision(2), fill("b", "t1", 0.0)])
    assert database.ask("SELECT count(*) FROM orders") == [(1,)]
    with Reader(database.where) as reader, reader.snapshot() as connection:
        assert verify(connection).findings == ()


def test_text_that_no_database_takes_is_spelled_out(database: Database) -> None:
    odd = replace(order(0, "a"), kind="nul \0 and half \ud800 a pair, σ kept")
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([odd])
    with Reader(database.where) as reader:
        (found,) = reader.records(OrderSent)
    assert found.kind == "nul \\x00 and half \\ud800 a pair, σ kept"


@pytest.mark.parametrize("field", ["mode", "venue", "symbol", "account"])
def test_a_journal_of_somebody_else_is_refused(database: Database, field: str) -> None:
    Journal.open(database.where, run=RUN).close()
    other = replace(NEXT_RUN, **{field: "c3" * 16})
    with pytest.raises(FixConfig) as refused:
        Journal.open(database.where, run=other)
    assert f"the journal of {field} {'c3' * 16}, not of" in str(refused.value)
    assert "Next: give this run a journal of its own" in str(refused.value)
    # Nothing of the refused run was written, and the lock went with it.
    with Journal.open(database.where, run=NEXT_RUN) as journal:
        assert journal.rows == 2


def test_a_journal_of_another_schema_is_refused_to_write_and_to_read(database: Database) -> None:
    Journal.open(database.where, run=RUN).close()
    database.without_triggers("journal", 'UPDATE journal SET "schema" = 99')
    for use in (lambda: Journal.open(database.where, run=NEXT_RUN), lambda: Reader(database.where)):
        with pytest.raises(FixConfig, match="schema 1, not of 99"):
            use()


SECOND = """
import sys
from counterpoise.errors import RetryLater
from counterpoise.journal.store import Journal
from tests.journal.samples import NEXT_RUN
try:
    Journal.open(sys.argv[1], run=NEXT_RUN)
except RetryLater as refused:
    print(refused)
"""


def test_a_second_run_is_refused_and_told_whose_journal_it_is(database: Database) -> None:
    with Journal.open(database.where, run=RUN):
        done = subprocess.run(
            [sys.executable, "-c", SECOND, database.where],
            check=True,
            capture_output=True,
            text=True,
        )
        assert f"is being written by process {os.getpid()}" in done.stdout
        with pytest.raises(RetryLater, match=f"process {os.getpid()}"):
            Journal.open(database.where, run=NEXT_RUN)
    Journal.open(database.where, run=NEXT_RUN).close()


def test_the_database_itself_refuses_to_change_or_forget_any_row(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(one_of_each())
    for layout in LAYOUTS.values():
        name = layout.table.name
        assert database.ask(f"SELECT count(*) FROM {name}") == [(1,)]
        for change in (f"UPDATE {name} SET ts_ns = 0", f"DELETE FROM {name}"):
            with pytest.raises(Exception, match="append-only"):
                database.ask(change)


def test_the_head_only_moves_forward(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(moment_of(1))
    for change in (
        "UPDATE journal SET rows = 0",
        "UPDATE journal SET previous = head",
        "UPDATE journal SET previous = head, rows = rows + 1, venue = 'dydx'",
        "DELETE FROM journal",
    ):
        with pytest.raises(Exception, match="append-only"):
            database.ask(change)


def test_journals_side_by_side_are_written_at_once(new_database: Callable[[], Database]) -> None:
    one, other = new_database(), new_database()
    with Journal.open(one.where, run=RUN) as first, Journal.open(other.where, run=RUN) as second:
        first.commit(moment_of(1))
        second.commit(moment_of(1))
        assert first.head == second.head


def test_a_path_may_have_any_letter_and_no_folder_yet(tmp_path: Path) -> None:
    path = tmp_path / "σ ?&#%41" / "jour nal.sqlite"
    with Journal.open(path, run=RUN) as journal, Reader(path) as reader:
        journal.commit(moment_of(1))
        assert same(reader.last_decision(), decision(1))
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "jour nal.sqlite",
        "jour nal.sqlite.lock",
    ]
