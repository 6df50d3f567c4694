"""A journal that is not what was written is found out, and the first broken row named."""

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import RejectData
from counterpoise.journal.chain import Verified, verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from tests.journal.conftest import Database
from tests.journal.samples import NEXT_RUN, RUN, fill, moment_of, state

NOT_ITS_HASH = "its hash is not that of its content and the row before"


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


@pytest.mark.parametrize(
    ("table", "change", "first"),
    [
        ("decisions", "UPDATE decisions SET target_eth = 0 WHERE seq = 6", (6, NOT_ITS_HASH)),
        ("fills", "UPDATE fills SET mid = NULL", (5, NOT_ITS_HASH)),
        ("decisions", "UPDATE decisions SET memory = state WHERE seq = 2", (2, NOT_ITS_HASH)),
        ("decisions", "UPDATE decisions SET inputs = chain WHERE seq = 2", (2, NOT_ITS_HASH)),
        ("runs", "UPDATE runs SET version = '0.2.0'", (1, NOT_ITS_HASH)),
        ("runs", "DELETE FROM runs", (2, "row 1 before it is missing")),
        ("orders", "DELETE FROM orders WHERE seq = 4", (5, "row 4 before it is missing")),
        ("fills", "UPDATE fills SET seq = 9", (6, "row 5 before it is missing")),
        ("order_states", "UPDATE order_states SET seq = 8", (8, "a second row 8")),
        ("order_states", "UPDATE order_states SET seq = 99", (99, "rows 9 to 98 before it are")),
    ],
)
def test_what_was_changed_is_found_and_named(
    written: Database, table: str, change: str, first: tuple[int, str]
) -> None:
    written.without_triggers(table, change)
    seq, text = first
    found = look(written).findings[0]
    assert found.seq == seq
    assert found.text.startswith(text)


def test_a_changed_row_does_not_blame_those_after_it(written: Database) -> None:
    written.without_triggers("plans", "UPDATE plans SET size = 9 WHERE seq = 3")
    assert [(one.table, one.seq) for one in look(written).findings] == [("plans", 3)]


def test_the_last_rows_gone_are_missed(written: Database) -> None:
    written.without_triggers("order_states", "DELETE FROM order_states")
    (found,) = look(written).findings
    assert (found.table, found.seq) == ("journal", 9)
    assert "row 9, the last one, is missing" in found.text


def test_the_last_rows_gone_stop_the_next_run(written: Database) -> None:
    written.without_triggers("order_states", "DELETE FROM order_states")
    with pytest.raises(RejectData, match=r"row 8, the last one.*expected row 9.*journal verify"):
        Journal.open(written.where, run=NEXT_RUN)


def test_orders_of_a_decision_that_is_gone_tell_even_where_the_chain_was_made_anew(
    written: Database,
) -> None:
    written.without_triggers("decisions", "DELETE FROM decisions WHERE decision_id = 2")
    orphans = [one for one in look(written).findings if one.text == "its decision 2 is missing"]
    assert [(one.table, one.seq) for one in orphans] == [("plans", 7), ("orders", 8)]


def test_a_decision_out_of_its_number_is_found(written: Database) -> None:
    written.without_triggers("decisions", "UPDATE decisions SET decision_id = 7 WHERE seq = 6")
    assert "decision 7 where 2 was due" in [one.text for one in look(written).findings]


def test_a_trigger_that_was_taken_away_is_found(written: Database) -> None:
    if written.server is None:
        written.ask("DROP TRIGGER fills_delete")
    else:
        written.ask("ALTER TABLE fills DISABLE TRIGGER fills_delete")
    (found,) = look(written).findings
    assert (found.table, found.text) == ("fills", "its trigger that refuses changes is missing")


def test_a_row_replaced_past_the_triggers_of_sqlite_is_found(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.sqlite"))
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(moment_of(1))
    columns = "seq, ts_ns, run_id, mode, venue, symbol, account, version, settings, hash"
    database.ask(
        f"REPLACE INTO runs ({columns}) SELECT {columns.replace('version', 'hash')} FROM runs"
    )
    (found,) = look(database).findings
    assert (found.table, found.seq, found.text) == ("runs", 1, NOT_ITS_HASH)


def test_a_head_noted_elsewhere_tells_a_journal_written_anew(
    new_database: Callable[[], Database],
) -> None:
    """The same run, its second decision left out: a whole journal, but not the one it was."""
    true, false = new_database(), new_database()
    with Journal.open(true.where, run=RUN) as journal:
        journal.commit(moment_of(1))
        early = journal.head
        journal.commit(moment_of(2))
        late = journal.head
    with Journal.open(false.where, run=RUN) as journal:
        journal.commit(moment_of(1))
    for database, noted, texts in (
        (true, early, []),
        (true, late, []),
        (false, early, []),
        (false, late, [f"no row has the noted hash {late[:16]}…: rows were replaced or removed"]),
    ):
        with Reader(database.where) as reader, reader.snapshot() as connection:
            assert [one.text for one in verify(connection, noted).findings] == texts


def hash_by_hand(previous: str, table: str, row: Sequence[Any]) -> str:
    """What docs/journal.md says, from values sorted into their kinds by whoever calls."""
    whole = [int(value) for value in row if isinstance(value, int)]
    floats = [math.nan if value is None else value for value in row if not isinstance(value, int)]
    floats = [value for value in floats if isinstance(value, float)]
    rest = [value.encode() if isinstance(value, str) else value for value in row]
    rest = [value for value in rest if isinstance(value, bytes)]
    parts = [table.encode(), *(struct.pack("<q", value) for value in whole)]
    parts += [struct.pack("<d", value) for value in floats]
    parts += [struct.pack("<I", len(value)) for value in rest]
    return hashlib.sha256(previous.encode() + b"".join(parts + rest)).hexdigest()


def test_the_chain_can_be_recomputed_without_any_code_of_ours(written: Database) -> None:
    runs = "seq, ts_ns, run_id, mode, venue, symbol, account, version, settings"
    decisions = (
        "seq, ts_ns, decision_id, tick, reasons, exposure_eth, short_eth, target_eth, "
        "collateral_usd, lo, hi, cause, because, chain, inputs, state, memory"
    )
    plans = (
        "seq, ts_ns, schedule_id, decision_id, start_ns, end_ns, size, arrival_mid, side, "
        "status, plan"
    )
    orders = (
        'seq, ts_ns, schedule_id, decision_id, reduce_only, size, price, "trigger", arrival_mid, '
        "client_id, kind, side"
    )
    previous = "0" * 64
    for seq, (table, columns) in enumerate(
        [("runs", runs), ("decisions", decisions), ("plans", plans), ("orders", orders)], start=1
    ):
        ((*row, stored),) = written.ask(f"SELECT {columns}, hash FROM {table} WHERE seq = {seq}")
        assert hash_by_hand(previous, table, row) == stored
        previous = stored
