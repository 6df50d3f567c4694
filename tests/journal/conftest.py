"""Every test of the journal runs on SQLite and on a real PostgreSQL."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.journal.postgres import Server, programs

_SCHEMAS = count(1)


@dataclass(frozen=True)
class Database:
    """Where a journal can be made, and a way to look at it behind the product's back."""

    where: str
    server: Server | None = None
    schema: str = "public"

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            if self.server is not None:
                rows = self.server.ask(statement, self.schema)
                continue
            with closing(sqlite3.connect(self.where, isolation_level=None)) as one:
                rows = one.execute(statement).fetchall()
        return rows

    def without_triggers(self, table: str, *statements: str) -> None:
        """Change a table as somebody would who took its triggers away, and put them back."""
        if self.server is not None:
            self.ask(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            self.ask(*statements)
            self.ask(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
            return
        kept = self.ask(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
        )
        self.ask(*(f"DROP TRIGGER {name}" for name, _ in kept))
        self.ask(*statements)
        self.ask(*(sql for _, sql in kept))


def empty_schema(server: Server) -> Database:
    """An empty place for a journal on a server."""
    schema = f"journal_{next(_SCHEMAS)}"
    server.ask(f"CREATE SCHEMA {schema}")
    return Database(f"{server.socket_url}&options=-csearch_path%3D{schema}", server, schema)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for all tests; skips where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        pytest.skip("no initdb on PATH: install PostgreSQL's server to test on it")
    server = Server(found)
    yield server
    server.remove()


@pytest.fixture
def on_server(postgres: Server) -> Database:
    """An empty place for a journal on PostgreSQL."""
    return empty_schema(postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    """Make an empty place for a journal, of either kind."""
    numbers = count(1)
    if request.param == "sqlite":
        return lambda: Database(str(tmp_path / f"journal-{next(numbers)}.sqlite"))
    server: Server = request.getfixturevalue("postgres")
    return lambda: empty_schema(server)


@pytest.fixture
def database(new_database: Callable[[], Database]) -> Database:
    """An empty place for a journal, of either kind."""
    return new_database()
