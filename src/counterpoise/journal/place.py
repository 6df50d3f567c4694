"""Where a journal is: a SQLite file by its path, or a PostgreSQL database by its URL.

A URL has no password: PostgreSQL's own PGPASSWORD or password file has it, so that none can end in
a message, a settings file or a list of processes. What a database's error means to the operator is
said here as well.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from counterpoise.config import Settings
from counterpoise.errors import CounterpoiseError, FixConfig, RejectData, RetryLater, printable

KEY = "journal.url"
#: Seconds to wait for a lock or an answer of the database.
WAIT_S = 2.0
_POSTGRES = "postgresql+psycopg"
_EXPECTED = "the path of a SQLite file, or postgresql+psycopg://user@host/database"
#: Of an error of psycopg that no server sent.
_NO_CODE = "none"
#: What a server, or its library, says where another try would be the same.
_WRONG = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf")
_LOST = (
    "without a connection, whether a commit on its way arrived is seen at the next start",
    "check the server, and start the run again from its journal",
)
_OTHER = (
    "another run has written it since, and nothing was written",
    "stop one of the two, then run counterpoise journal verify",
)
_LOCKED = ("nothing was written", "find the program that locks it")
#: By the beginning of a code: what became of the commit, and what to do.
_LATER = {
    "SQLITE_FULL": ("nothing was written", "free some space"),
    "SQLITE_IOERR": ("nothing was written", "check the disk and its space"),
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_CONSTRAINT_TRIGGER": _OTHER,
    "53100": ("nothing was written", "free some space on the server"),
    "55P03": _LOCKED,
    "P0001": _OTHER,
    "57P": _LOST,
    "08": _LOST,
    _NO_CODE: _LOST,
}


@dataclass(frozen=True)
class Place:
    """Where a journal is.

    Attributes
    ----------
    name : str
        For messages: a path, or a URL without its parameters.
    file : Path or None
        Of SQLite.
    url : URL or None
        Of PostgreSQL.
    """

    name: str
    file: Path | None
    url: URL | None

    def engine(self, *, writes: bool) -> Engine:
        """Connections that commit statement by statement unless a transaction is begun.

        Parameters
        ----------
        writes : bool
            Without it the database itself refuses to be changed.
        """
        if self.file is not None:
            mode = "rwc" if writes else "ro"
            address = f"file:{quote(str(self.file))}?mode={mode}"

            def connect() -> sqlite3.Connection:
                return sqlite3.connect(
                    address,
                    timeout=WAIT_S,
                    isolation_level=None,
                    check_same_thread=False,
                    uri=True,
                )

            return create_engine("sqlite://", creator=connect)
        assert self.url is not None
        wait_ms = round(WAIT_S * 1e3)
        read_only = "off" if writes else "on"
        options = (
            f"{self.url.query.get('options', '')} -c lock_timeout={wait_ms} "
            f"-c default_transaction_read_only={read_only}"
        )
        given: Mapping[str, Any] = {
            "connect_timeout": max(2, round(WAIT_S)),
            "tcp_user_timeout": wait_ms,
            "options": options,
        }
        try:
            return create_engine(
                self.url,
                isolation_level="AUTOCOMMIT",
                connect_args=given,
                # A lost session is not to be rolled back.
                skip_autocommit_rollback=True,
                pool_reset_on_return=None,
            )
        except ModuleNotFoundError:
            raise FixConfig(
                KEY, self.name, "psycopg to be installed", "pip install 'counterpoise[postgres]'"
            ) from None


def place_of(where: str | Path) -> Place:
    """Read a path or a URL.

    Raises
    ------
    FixConfig
        Neither, a database in memory, or a URL with a password, which is not repeated.
    """
    if isinstance(where, Path) or "://" not in where:
        if not str(where).strip() or str(where) == ":memory:":
            raise FixConfig(KEY, str(where), _EXPECTED, f"change {KEY}")
        return Place(str(where), Path(where).resolve(), None)
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise FixConfig(KEY, "(not shown)", _EXPECTED, f"change {KEY}") from None
    if url.password is not None or {"password", "passfile", "sslpassword"} & set(url.query):
        raise FixConfig(
            KEY,
            "(not shown)",
            "a URL without a password",
            "put the password into PGPASSWORD or ~/.pgpass",
        )
    if url.drivername == "sqlite" and url.database and url.database != ":memory:" and not url.query:
        return place_of(Path(url.database))
    if url.drivername != _POSTGRES:
        raise FixConfig(KEY, url.set(query={}).render_as_string(), _EXPECTED, f"change {KEY}")
    return Place(url.set(query={}).render_as_string(), None, url)


def place_in(settings: Settings) -> str | Path:
    """Where the settings put the journal: the URL, or a file in the folder of the run."""
    return settings.journal.url or settings.run.state / "journal.sqlite"


def is_twice(error: Exception) -> bool:
    """Whether a database refused a row because its key is there already."""
    return _code(error) in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505")


def _code(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or _NO_CODE


def refusal(name: str, error: Exception) -> CounterpoiseError:
    """Say what an error of a database means, without a statement or a value of it.

    Parameters
    ----------
    name : str
        Of the place.
    error : Exception
        Of ``sqlite3`` or ``psycopg``, or of SQLAlchemy around one.
    """
    cause, code = getattr(error, "orig", None) or error, _code(error)
    told = printable(str(cause).strip().partition("\n")[0], most=160) or type(cause).__name__
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "25006", "42501")):
        return FixConfig(KEY, name, f"a journal that can be written ({told})", "check permissions")
    if code == "SQLITE_NOTADB" or (code == _NO_CODE and any(one in told for one in _WRONG)):
        return FixConfig(KEY, name, f"a journal ({told})", f"check {KEY}")
    if code.startswith(("SQLITE_CORRUPT", "XX001", "XX002")):
        return RejectData(name, "its file", told, "undamaged pages", "restore it from a backup")
    what, step = next(
        (words for known, words in _LATER.items() if code.startswith(known)),
        ("nothing was written", "check the database"),
    )
    return RetryLater(f"{printable(name)}: {told}; {what}. Next: {step}.")
