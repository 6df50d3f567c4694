"""What a restart begins from, and what a page shows, read while a run writes."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import FixConfig
from counterpoise.execution.child_orders import ENDED
from counterpoise.execution.records import AlertRaised, Decision, FillBooked, Mode, Plan, Shortfall
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from tests.journal.conftest import Database
from tests.journal.samples import (
    RUN,
    T0,
    account,
    decision,
    fill,
    one_of_each,
    order,
    plan,
    same,
    state,
)


def test_a_new_journal_has_nothing_to_begin_from(database: Database) -> None:
    with Journal.open(database.where, run=RUN), Reader(database.where) as reader:
        assert reader.last_decision() is None
        assert reader.mode() is None
        assert reader.counted_short() is None
        assert reader.working_plans() == []
        assert reader.unsettled_orders() == []
        assert reader.fills(0) == []


def test_a_restart_finds_what_was_in_flight(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([decision(1), plan(1, 1), plan(1, 2), order(1, "a"), order(1, "b")])
        journal.commit([state("a", "open"), state("b", "unknown"), fill("a", "t1", 0.5)])
        journal.commit([decision(2), plan(1, 1, "replaced"), plan(2, 2), plan(2, 3)])
        journal.commit([order(2, "c"), state("a", "filled", 0.5), account(0.75)])
        journal.commit(
            [Mode(T0, "halted", "operator", ""), Mode(T0 + 1, "trading", "operator", "")]
        )
    with Reader(database.where) as reader:
        last = reader.last_decision()
        assert same(last, decision(2))
        assert [(one.schedule_id, one.decision_id) for one in reader.working_plans()] == [
            (2, 2),
            (3, 2),
        ]
        assert reader.unsettled_orders() == [order(1, "b"), order(2, "c")]
        assert reader.counted_short() == 0.75
        assert reader.mode() == Mode(T0 + 1, "trading", "operator", "")


@pytest.mark.parametrize("final", sorted(ENDED))
def test_an_order_with_a_final_state_is_settled_whatever_arrives_late(
    database: Database, final: Any
) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit([order(0, "a"), state("a", final), state("a", "open")])
        with Reader(database.where) as reader:
            assert reader.unsettled_orders() == []


def test_the_count_is_the_last_that_was_written_of_fills_and_accounts(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal, Reader(database.where) as reader:
        for record, short in (
            (fill("a", "t1", 1.0, T0 + 9), 1.0),
            (account(2.5), 2.5),
            (fill("a", "t2", 0.0), 0.0),
        ):
            journal.commit([record])
            assert reader.counted_short() == short
        journal.commit([account(math.nan)])
        unknown = reader.counted_short()
        assert unknown is not None
        assert math.isnan(unknown)


def test_rows_since_a_moment_come_in_the_order_they_were_committed(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(one_of_each())
        journal.commit([fill("a", f"t{k}", float(k), T0 + 10 - k) for k in range(5)])
        journal.commit([decision(2, T0 + 5), AlertRaised(T0 + 5, "info", "k", "text", "none")])
    with Reader(database.where) as reader:
        assert [one.short_eth for one in reader.fills(T0 + 7)] == [0.0, 1.0, 2.0, 3.0]
        assert [one.decision_id for one in reader.decisions(T0)] == [1, 2]
        assert [one.decision_id for one in reader.decisions(T0 + 1)] == [2]
        assert [one.key for one in reader.alerts(0)] == ["margin", "k"]
        assert [one.key for one in reader.alerts(T0 + 5)] == ["k"]
        assert reader.shortfalls(0) == [one for one in one_of_each() if type(one) is Shortfall]
        assert [one.decision_id for one in reader.records(Decision, newest=1)] == [2]


def test_what_the_last_decision_did_not_know_of_is_what_was_committed_after_it(
    database: Database,
) -> None:
    with Journal.open(database.where, run=RUN) as journal, Reader(database.where) as reader:
        journal.commit([fill("a", "t1", 1.0)])
        assert len(reader.after_decision(FillBooked)) == 1
        journal.commit([fill("a", "t2", 2.0), decision(1), fill("a", "t3", 3.0)])
        journal.commit([fill("a", "t4", 4.0, T0 - 1)])
        assert [one.trade_id for one in reader.after_decision(FillBooked)] == ["t3", "t4"]


def test_a_reader_cannot_write(database: Database) -> None:
    Journal.open(database.where, run=RUN).close()
    with (
        Reader(database.where) as reader,
        pytest.raises(Exception, match=r"read-?only"),
        reader.snapshot() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO modes VALUES (2, 0, '', '', '', '')")


def test_a_snapshot_is_one_moment_however_much_is_written_meanwhile(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal, Reader(database.where) as reader:
        with reader.snapshot() as connection:
            first = verify(connection)
            for number in range(1, 4):
                journal.commit([decision(number), plan(number, number)])
            assert verify(connection) == first
        with reader.snapshot() as connection:
            assert verify(connection).rows == 7


def test_threads_read_while_a_run_writes_and_see_whole_commits(database: Database) -> None:
    torn: list[str] = []

    def watch(reader: Reader, done: threading.Event) -> None:
        while not done.is_set():
            with reader.snapshot() as connection:
                torn.extend(one.text for one in verify(connection).findings)

    done = threading.Event()
    with Journal.open(database.where, run=RUN) as journal, Reader(database.where) as reader:
        threads = [threading.Thread(target=watch, args=(reader, done)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(1, 41):
            journal.commit([decision(number), plan(number, number), order(number, f"o{number}")])
        done.set()
        for thread in threads:
            thread.join()
        assert len(reader.records(Plan)) == 40
    assert torn == []


def test_threads_may_share_the_writer(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:

        def write(name: str) -> None:
            for number in range(20):
                journal.commit([order(0, f"{name}-{number}"), state(f"{name}-{number}", "open")])

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.rows == 1 + 4 * 20 * 2
    with Reader(database.where) as reader, reader.snapshot() as connection:
        assert verify(connection).findings == ()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "an existing journal"),
        (lambda path: path.touch(), "expected a journal"),
        (lambda path: path.write_bytes(b"not a database" * 100), "file is not a database"),
        (lambda path: path.mkdir(), "an existing journal"),
    ],
)
def test_what_is_no_journal_cannot_be_read(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "journal.sqlite"
    make(path)
    with pytest.raises(FixConfig, match=says):
        Reader(path)
