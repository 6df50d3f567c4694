"""Append-only by the database itself: triggers that refuse UPDATE and DELETE.

The one row of ``journal`` may only move forward, from the hash it has to the next. A second writer
that slipped past the lock is stopped by that as well: what it wrote last is not what we wrote last.
"""

from sqlalchemy import Connection
from sqlalchemy.schema import CreateIndex, CreateTable

from counterpoise.journal.tables import JOURNAL, TABLES

REFUSED = "the journal is append-only"
_KEPT = ("id", "schema", "mode", "venue", "symbol", "account")
_FORWARD = " AND ".join(
    ("NEW.previous = OLD.head", "NEW.rows > OLD.rows", *(f"NEW.{n} = OLD.{n}" for n in _KEPT))
)


def _sqlite(table: str) -> list[str]:
    allowed = f" WHEN NOT ({_FORWARD})" if table == JOURNAL.name else ""
    body = f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
    return [
        f"CREATE TRIGGER {table}_update BEFORE UPDATE ON {table}{allowed} {body}",
        f"CREATE TRIGGER {table}_delete BEFORE DELETE ON {table} {body}",
    ]


def _postgres(table: str) -> list[str]:
    allowed = f" WHEN (NOT ({_FORWARD}))" if table == JOURNAL.name else ""
    on, run = f"ON {table}", "EXECUTE FUNCTION journal_refuses()"
    return [
        f"CREATE TRIGGER {table}_update BEFORE UPDATE {on} FOR EACH ROW{allowed} {run}",
        f"CREATE TRIGGER {table}_delete BEFORE DELETE {on} FOR EACH ROW {run}",
        f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE {on} FOR EACH STATEMENT {run}",
    ]


_FUNCTION = (
    "CREATE FUNCTION journal_refuses() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$"
)


def create(connection: Connection) -> None:
    """Make every table, index and trigger, within the caller's transaction."""
    dialect = connection.dialect
    statements = [] if dialect.name == "sqlite" else [_FUNCTION]
    for table in TABLES:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [str(CreateIndex(one).compile(dialect=dialect)) for one in table.indexes]
        statements += (_sqlite if dialect.name == "sqlite" else _postgres)(table.name)
    for statement in statements:
        connection.exec_driver_sql(statement)


def missing_triggers(connection: Connection) -> list[str]:
    """Tables that lack one of their triggers, or have one switched off."""
    if connection.dialect.name == "sqlite":
        there, each = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'", 2
    else:
        there = (
            "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND tgenabled <> 'D' "
            "AND relnamespace = current_schema()::regnamespace"
        )
        each = 3
    found = [row[0] for row in connection.exec_driver_sql(there)]
    return [table.name for table in TABLES if found.count(table.name) < each]
