"""The journal as a run writes it: one writer, one transaction per commit, done when it is durable.

SQLite runs in WAL mode with ``synchronous = FULL``; PostgreSQL with ``synchronous_commit``. A
commit either is there whole, whatever happens afterwards, or raised and left nothing.
"""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import DBAPIError

from counterpoise.errors import FixConfig, RejectData
from counterpoise.execution.records import Decision, Record
from counterpoise.journal import triggers
from counterpoise.journal.chain import GENESIS, link
from counterpoise.journal.place import KEY, Place, is_twice, place_of, refusal
from counterpoise.journal.tables import JOURNAL, LAYOUTS, SCHEMA, TABLES, Layout, Run
from counterpoise.journal.writer_lock import lock_file, lock_session

_OWNER = ("mode", "venue", "symbol", "account")


class Journal:
    """Where a run writes; made by :meth:`open`, and a context manager.

    Attributes
    ----------
    name : str
        Path or URL, for messages.
    run : Run
    rows : int
        Committed, over all tables.
    head : str
        Hash of the last one.

    Notes
    -----
    Safe for threads. It does not read: ``reading.Reader`` does, at any time.
    """

    def __init__(self, place: Place, run: Run, held: ExitStack, connection: Connection) -> None:
        self.name, self.run = place.name, run
        self._held = held
        self._turn = threading.Lock()
        driver: Any = connection.connection.driver_connection
        self._driver = driver
        self._cursor = self._driver.cursor()
        sqlite = place.file is not None
        self._begin = "BEGIN IMMEDIATE" if sqlite else "BEGIN"
        # What follows is sent to PostgreSQL in one go; SQLite has nobody to send to.
        self._batch = nullcontext if sqlite else self._driver.pipeline
        self._mark = mark = "?" if sqlite else "%s"
        self._errors: tuple[type[Exception], ...] = (driver.Error, DBAPIError)
        self._inserts = {record: self._insert(layout) for record, layout in LAYOUTS.items()}
        self._move = f"UPDATE journal SET previous = {mark}, head = {mark}, rows = {mark}"
        journal = connection.execute(select(JOURNAL)).one()
        self.rows, self.head = journal.rows, journal.head
        decisions = LAYOUTS[Decision].table
        self._decisions = connection.scalar(select(func.max(decisions.c.decision_id))) or 0

    @classmethod
    def open(cls, where: str | Path, *, run: Run) -> Self:
        """Open a journal to write, made where there is none, and write the run into it.

        Parameters
        ----------
        where : str or Path
            Path of a SQLite file, or ``postgresql+psycopg://user@host/database``.
        run : Run

        Raises
        ------
        RetryLater
            Another run writes it, or the database does not answer.
        FixConfig
            A place that cannot be one, or the journal of another schema, mode, venue, symbol or
            account.
        RejectData
            The journal is damaged.
        """
        place = place_of(where)
        with ExitStack() as held:
            if place.file is not None:
                held.callback(os.close, lock_file(place.file, place.name))
            engine = place.engine(writes=True)
            held.callback(engine.dispose)
            try:
                connection = held.enter_context(engine.connect())
                _prepare(connection, place)
                _own(connection, place, run)
                journal = cls(place, run, held, connection)
                journal._check_end(connection)
            except DBAPIError as error:
                raise refusal(place.name, error) from None
            journal._commit([run])
            journal._held = held.pop_all()
        return journal

    def commit(self, records: Sequence[Record]) -> None:
        """Write records in one transaction; when this returns, they are on the disk.

        Parameters
        ----------
        records : sequence of Record
            Kept in this order; none is nothing to do.

        Raises
        ------
        RejectData
            A decision out of its number, or an order or a fill that is there already: it would be
            counted twice. Nothing of the commit was written.
        RetryLater
            No space, a lock, a lost connection. Nothing may be sent that rests on these records;
            after a lost connection, which may have lost the answer only, the journal is opened
            again.
        """
        if records:
            self._commit(records)

    def close(self) -> None:
        """End the run's turn; another may write."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _insert(self, layout: Layout) -> str:
        names = ", ".join(f'"{name}"' for name in layout.columns)
        marks = ", ".join([self._mark] * len(layout.columns))
        return f"INSERT INTO {layout.table.name} ({names}) VALUES ({marks})"

    def _commit(self, records: Iterable[Record | Run]) -> None:
        with self._turn:
            rows, head, decisions = self.rows, self.head, self._decisions
            batches: dict[type, list[list[Any]]] = {}
            for record in records:
                kind = type(record)
                if kind is Decision:
                    decisions += 1
                    self._refuse_number(record, decisions)
                layout = LAYOUTS[kind]
                rows += 1
                row = layout.row(rows, record)
                head = link(head, layout.canonical(row))
                row.append(head)
                batches.setdefault(kind, []).append(row)
            self._write(batches, (self.head, head, rows))
            self.rows, self.head, self._decisions = rows, head, decisions

    def _refuse_number(self, decision: Any, due: int) -> None:
        if decision.decision_id != due:
            raise RejectData(
                self.name,
                "table decisions, column decision_id",
                decision.decision_id,
                f"{due}, the next one",
                "begin from the last decision of the journal",
            )

    def _write(self, batches: Mapping[type, list[list[Any]]], move: tuple[str, str, int]) -> None:
        cursor = self._cursor
        try:
            with self._batch():
                cursor.execute(self._begin)
                # First: it stops a run that another has overtaken.
                cursor.execute(self._move, move)
                for kind, rows in batches.items():
                    if len(rows) == 1:
                        cursor.execute(self._inserts[kind], rows[0])
                    else:
                        cursor.executemany(self._inserts[kind], rows)
                cursor.execute("COMMIT")
        except BaseException as error:
            with suppress(*self._errors):
                self._driver.rollback()
            if isinstance(error, self._errors):
                if is_twice(error):
                    self._refuse_twice(batches)
                raise refusal(self.name, error) from None
            raise

    def _refuse_twice(self, batches: Mapping[type, list[list[Any]]]) -> None:
        """Name what is there already."""
        for kind, rows in batches.items():
            layout = LAYOUTS[kind]
            if not layout.unique:
                continue
            places = [layout.columns.index(name) for name in layout.unique]
            match = " AND ".join(f'"{name}" = {self._mark}' for name in layout.unique)
            wanted = f"SELECT seq FROM {layout.table.name} WHERE {match}"
            before = set()
            for row in rows:
                value = tuple(row[at] for at in places)
                with suppress(*self._errors):
                    if value in before or self._cursor.execute(wanted, value).fetchone():
                        raise RejectData(
                            self.name,
                            f"table {layout.table.name}, columns {', '.join(layout.unique)}",
                            value,
                            "one that is not there yet",
                            "begin again from what the journal has",
                        )
                before.add(value)

    def _check_end(self, connection: Connection) -> None:
        """Refuse to write on where the last rows are not those that were written last."""
        last, head = 0, GENESIS
        for layout in LAYOUTS.values():
            c = layout.table.c
            row = connection.execute(select(c.seq, c.hash).order_by(c.seq.desc()).limit(1)).first()
            if row is not None and row.seq > last:
                last, head = row
        if (last, head) != (self.rows, self.head):
            raise RejectData(
                self.name,
                f"row {last}, the last one",
                f"{head[:16]}…",
                f"row {self.rows} with the hash {self.head[:16]}…",
                "run counterpoise journal verify, and restore a backup",
            )


def _prepare(connection: Connection, place: Place) -> None:
    """Make sure that a commit is durable, and that nobody else commits."""
    if place.file is not None:
        there = inspect(connection).get_table_names()
        if there and JOURNAL.name not in there:
            raise FixConfig(KEY, place.name, "a journal or no file", f"change {KEY}")
        if connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar() != "wal":
            expected = "a local disk, where SQLite's write-ahead log works"
            raise FixConfig(KEY, place.name, expected, "put the journal on one, or on PostgreSQL")
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        return
    # A machine that vanished frees the lock within half a minute.
    for name, value in (("idle", 10), ("interval", 5), ("count", 3)):
        connection.exec_driver_sql(f"SET tcp_keepalives_{name} = {value}")
    lock_session(connection, place.name)
    if connection.exec_driver_sql("SHOW fsync").scalar() != "on":
        raise FixConfig(KEY, place.name, "a server with fsync = on", "turn it on")
    connection.exec_driver_sql("SET synchronous_commit = on")


def _own(connection: Connection, place: Place, run: Run) -> None:
    """Make the journal where there is none; refuse somebody else's."""
    owner = {name: getattr(run, name) for name in _OWNER}
    there = set(inspect(connection).get_table_names())
    if not there & {table.name for table in TABLES}:
        connection.exec_driver_sql("BEGIN")
        triggers.create(connection)
        first = {"id": 1, "schema": SCHEMA, "rows": 0, "previous": GENESIS, "head": GENESIS}
        connection.execute(JOURNAL.insert().values(**first, **owner))
        connection.exec_driver_sql("COMMIT")
        return
    refuse_schema(connection, place.name, there)
    journal = connection.execute(select(JOURNAL)).one()
    for name, wanted in owner.items():
        if getattr(journal, name) != wanted:
            raise FixConfig(
                KEY,
                place.name,
                f"the journal of {name} {wanted}, not of {getattr(journal, name)}",
                "give this run a journal of its own",
            )


def refuse_schema(connection: Connection, name: str, there: set[str]) -> None:
    """Refuse what is no journal, or one of another version of the tables.

    Raises
    ------
    FixConfig
    """
    if JOURNAL.name not in there:
        raise FixConfig(KEY, name, "a journal", f"change {KEY}")
    schema = connection.scalar(select(JOURNAL.c.schema))
    if schema != SCHEMA:
        raise FixConfig(
            KEY,
            name,
            f"a journal of schema {SCHEMA}, not of {schema}",
            "use the version of counterpoise that wrote it, or begin a new journal",
        )
