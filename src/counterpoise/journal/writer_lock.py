"""One writer per journal: a lock that goes with its process, however that ends."""

import fcntl
import os
import socket
from pathlib import Path

from sqlalchemy import Connection

from counterpoise.errors import FixConfig, RetryLater
from counterpoise.journal.place import KEY

#: Our own number among the advisory locks of a PostgreSQL database; the other half is the schema.
_OURS = 0x0EC0
#: Of a session, in bytes.
_LONGEST_NAME = 63
_STEP = "stop that one, or give this one a journal of its own"


def _taken(name: str, by: str) -> RetryLater:
    return RetryLater(f"{name} is being written by {by}. Next: {_STEP}.")


def lock_file(file: Path, name: str) -> int:
    """Lock a SQLite journal by the file beside it, which holds the number of the process.

    Returns
    -------
    int
        To be closed at the end.

    Raises
    ------
    RetryLater
        Another run has it.
    FixConfig
        The folder cannot be made or written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as refused:
        expected = f"a place that can be written ({refused.strerror})"
        raise FixConfig(KEY, name, expected, "check the folder and its permissions") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held = os.read(lock, 20).decode("ascii", "replace").strip()
        os.close(lock)
        raise _taken(name, f"process {held}" if held else "another process") from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def lock_session(connection: Connection, name: str) -> None:
    """Lock a PostgreSQL journal for as long as this session lives.

    Raises
    ------
    RetryLater
        Another run has it.
    """
    schema = "hashtext(current_schema())"
    # Sessions are listed by name: so a refusal can say whose it is.
    ours = f"counterpoise {os.getpid()} on {socket.gethostname()}"[:_LONGEST_NAME]
    connection.exec_driver_sql("SELECT set_config('application_name', %s, false)", (ours,))
    if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_OURS}, {schema})").scalar():
        return
    by = connection.exec_driver_sql(
        "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) "
        f"AND classid = {_OURS} AND objid::bigint = {schema}::bigint & 4294967295"
    ).scalar()
    raise _taken(name, by.replace("counterpoise", "process") if by else "another process")
