"""What goes wrong around a commit: no space, locks, lost connections, somebody else's hands."""

import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from counterpoise.config import Settings
from counterpoise.errors import CounterpoiseError, FixConfig, RejectData, RetryLater
from counterpoise.journal import place
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from tests.journal.conftest import Database
from tests.journal.postgres import Server
from tests.journal.samples import NEXT_RUN, RUN, decision, moment_of, plan

SECRET = "hunter2-do-not-tell"


def whole(database: Database) -> int:
    """Rows of a journal in which nothing is broken."""
    with Reader(database.where) as reader, reader.snapshot() as connection:
        found = verify(connection)
    assert found.findings == ()
    return found.rows


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond so many bytes of a file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def until_refused(journal: Journal) -> tuple[int, str]:
    """Commit until one is refused: how many were not, and what was said."""
    for done in range(200):
        try:
            journal.commit(moment_of(done + 1))
        except RetryLater as refused:
            return done, str(refused)
    raise AssertionError("every commit was taken")


def test_a_disk_without_space_refuses_a_commit_whole_and_takes_it_later(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.sqlite"))
    with Journal.open(database.where, run=RUN) as journal:
        with files_of_at_most(300_000):
            done, told = until_refused(journal)
        assert "nothing was written. Next: check the disk and its space." in told
        assert whole(database) == 1 + 3 * done
        journal.commit(moment_of(done + 1))
    assert whole(database) == 1 + 3 * (done + 1)


def test_a_database_at_its_limit_refuses_a_commit_whole(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.sqlite"))
    with Journal.open(database.where, run=RUN) as journal:
        pages = journal._cursor.execute("PRAGMA page_count").fetchone()[0]
        journal._cursor.execute(f"PRAGMA max_page_count = {pages + 3}")
        done, told = until_refused(journal)
    assert "full; nothing was written. Next: free some space." in told
    assert whole(database) == 1 + 3 * done


def test_a_locked_journal_is_waited_for_then_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "WAIT_S", 0.1)
    with Journal.open(database.where, run=RUN) as journal:
        with (
            _lock(database),
            pytest.raises(RetryLater, match=r"nothing was written\. Next: find the program"),
        ):
            journal.commit(moment_of(1))
        journal.commit(moment_of(1))
    assert whole(database) == 4


@contextmanager
def _lock(database: Database) -> Iterator[None]:
    """Hold the journal as a careless program would."""
    if database.server is None:
        with closing(sqlite3.connect(database.where, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with database.server.session(database.schema) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        yield
        other.execute("ROLLBACK")


def test_a_run_that_another_overtook_can_write_no_more(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(moment_of(1))
        database.ask("UPDATE journal SET previous = head, head = 'another', rows = rows + 1")
        with pytest.raises(RetryLater, match="another run has written it since"):
            journal.commit(moment_of(2))
    assert database.ask("SELECT count(*) FROM decisions") == [(1,)]


def test_a_lock_file_somebody_removed_lets_nobody_write_over_another(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "journal.sqlite"))
    with Journal.open(database.where, run=RUN) as first:
        Path(f"{database.where}.lock").unlink()
        with Journal.open(database.where, run=NEXT_RUN) as second:
            second.commit(moment_of(1))
            with pytest.raises(RetryLater, match="another run has written it since"):
                first.commit(moment_of(1))
    assert whole(database) == 5


def test_a_record_that_no_column_holds_leaves_the_journal_as_it_was(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        for odd, error in (
            (replace(plan(1, 1), plan={"object": object()}), TypeError),
            (replace(plan(1, 1), schedule_id=1.5), Exception),
            (replace(plan(1, 1), schedule_id=2**63), Exception),
            (replace(plan(1, 1), side=None), Exception),
        ):
            with pytest.raises(error):
                journal.commit([decision(1), odd])
        journal.commit(moment_of(1))
    assert whole(database) == 4


def test_a_damaged_file_is_told_to_be_restored(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, run=RUN) as journal:
        for number in range(1, 60):
            journal.commit(moment_of(number))
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    for use in (lambda: Journal.open(path, run=NEXT_RUN), lambda: Reader(path)):
        with pytest.raises(RejectData, match="restore it from a backup"):
            use()


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE orders (what TEXT)")
    before = path.read_bytes()
    for use, says in (
        (lambda: Journal.open(path, run=RUN), "expected a journal or no file"),
        (lambda: Reader(path), "expected a journal"),
    ):
        with pytest.raises(FixConfig, match=says):
            use()
    assert path.read_bytes() == before


def test_tables_of_another_program_on_a_server_are_not_taken_for_ours(
    on_server: Database,
) -> None:
    on_server.ask("CREATE TABLE orders (what text)")
    with pytest.raises(FixConfig, match="expected a journal"):
        Journal.open(on_server.where, run=RUN)
    on_server.ask("DROP TABLE orders", "CREATE TABLE customers (what text)")
    Journal.open(on_server.where, run=RUN).close()
    assert whole(on_server) == 1


UNPRIVILEGED = """
import os, sys
from counterpoise.errors import CounterpoiseError
from counterpoise.journal.store import Journal
from tests.journal.samples import NEXT_RUN, moment_of
if os.geteuid() == 0:
    os.setuid(65534)
try:
    Journal.open(sys.argv[1], run=NEXT_RUN)
except CounterpoiseError as refused:
    print(refused.exit_code, refused)
"""


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_a_journal_that_may_only_be_read_says_so(folder_mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        Journal.open(path, run=RUN).close()
        Path(f"{path}.lock").unlink()
        path.chmod(0o444)
        Path(folder).chmod(folder_mode)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        Path(folder).chmod(0o755)
    assert done.stdout.startswith(f"3 journal.url = '{path}': expected a")
    assert "permissions" in done.stdout


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("", "the path of a SQLite file"),
        (":memory:", "the path of a SQLite file"),
        ("sqlite://", "the path of a SQLite file"),
        ("sqlite:///:memory:", "the path of a SQLite file"),
        ("mysql://desk@host/database", "mysql://desk@host/database': expected the path of a"),
        (f"mysql://desk@host/database?token={SECRET}", "mysql://desk@host/database'"),
        (f"postgresql+psycopg://desk:{SECRET}@host/database", "put the password into PGPASSWORD"),
        (f"postgresql+psycopg://host/database?password={SECRET}", "put the password into"),
        (f"mysql://desk:{SECRET}@host/database", "put the password into"),
        (f"postgresql+psycopg://desk:{SECRET}@host:port/database", "(not shown)"),
        (f"://desk:{SECRET}@host", "(not shown)"),
        ("/proc/no-such-folder/journal.sqlite", "a place that can be written"),
    ],
)
def test_a_place_that_cannot_be_one_is_refused_without_its_secrets(where: str, says: str) -> None:
    uses: tuple[Callable[[], object], ...] = (lambda: Journal.open(where, run=RUN),)
    if not where.startswith("/"):
        uses += (lambda: Reader(where),)
    for use in uses:
        with pytest.raises(FixConfig) as refused:
            use()
        assert says in str(refused.value)
        assert SECRET not in str(refused.value)


def test_a_password_in_the_settings_is_in_no_report_of_them() -> None:
    settings = Settings.model_validate({"journal": {"url": f"postgresql://desk:{SECRET}@host/x"}})
    with pytest.raises(FixConfig) as refused:
        Reader(place.place_in(settings))
    for told in (str(settings), repr(settings), settings.model_dump_json(), str(refused.value)):
        assert SECRET not in told


def test_a_row_that_is_no_record_any_more_sends_to_verify(database: Database) -> None:
    with Journal.open(database.where, run=RUN) as journal:
        journal.commit(moment_of(1))
    database.without_triggers("decisions", "UPDATE decisions SET chain = '{'")
    with Reader(database.where) as reader, pytest.raises(RejectData, match="journal verify"):
        reader.last_decision()


def test_a_server_that_is_not_there_is_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    with pytest.raises(RetryLater, match="Next: check the server") as refused:
        Reader("postgresql+psycopg://desk@127.0.0.1:1/postgres")
    assert SECRET not in str(refused.value)


def test_a_wrong_password_or_database_is_told_without_it(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    for where in (postgres.tcp_url, postgres.socket_url.replace("/postgres?", "/nowhere?")):
        for use in (lambda at=where: Reader(at), lambda at=where: Journal.open(at, run=RUN)):
            with pytest.raises(CounterpoiseError) as refused:
                use()
            assert isinstance(refused.value, FixConfig)
            assert SECRET not in str(refused.value)


def test_a_role_that_owns_nothing_can_write_and_not_undo(
    postgres: Server, on_server: Database
) -> None:
    Journal.open(on_server.where, run=RUN).close()
    on_server.ask(
        "CREATE ROLE clerk LOGIN",
        f"GRANT USAGE ON SCHEMA {on_server.schema} TO clerk",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {on_server.schema} TO clerk",
    )
    clerk = on_server.where.replace("desk@", "clerk@")
    with pytest.raises(FixConfig, match="permission denied for table journal"):
        Journal.open(clerk, run=NEXT_RUN)
    on_server.ask("GRANT UPDATE (previous, head, rows) ON journal TO clerk")
    with Journal.open(clerk, run=NEXT_RUN) as journal:
        journal.commit(moment_of(1))
        for undo in ("DELETE FROM fills", "DROP TRIGGER fills_delete ON fills", "DROP TABLE fills"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                journal._cursor.execute(undo)
    assert whole(on_server) == 5


def test_a_lost_session_stops_the_run_and_the_next_goes_on(
    postgres: Server, on_server: Database
) -> None:
    with Journal.open(on_server.where, run=RUN) as journal:
        journal.commit(moment_of(1))
        postgres.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'counterpoise %'"
        )
        for _ in range(2):
            with pytest.raises(RetryLater, match="start the run again from its journal"):
                journal.commit(moment_of(2))
    with Journal.open(on_server.where, run=NEXT_RUN) as journal:
        journal.commit(moment_of(2))
    assert whole(on_server) == 8


def test_a_server_that_crashes_has_every_commit_that_was_done(
    postgres: Server, on_server: Database
) -> None:
    with Journal.open(on_server.where, run=RUN) as journal:
        for number in range(1, 20):
            journal.commit(moment_of(number))
        postgres.stop(signal.SIGQUIT)
        with pytest.raises(RetryLater):
            journal.commit(moment_of(20))
    postgres.start("fsync=off")
    with pytest.raises(FixConfig, match="a server with fsync = on"):
        Journal.open(on_server.where, run=NEXT_RUN)
    postgres.stop()
    postgres.start()
    assert whole(on_server) == 1 + 3 * 19
