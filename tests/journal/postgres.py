"""A real PostgreSQL server of our own, on a socket and on 127.0.0.1, gone when the tests are."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


def programs() -> Path | None:
    """Folder of ``initdb`` and ``postgres``; None where the server is not installed."""
    found = shutil.which("initdb")
    if found is None or not (Path(found).resolve().parent / "postgres").exists():
        return None
    return Path(found).resolve().parent


def _nobody() -> dict[str, Any]:
    """Arguments of a process that is not root's, which the server refuses to be."""
    if os.geteuid() != 0:
        return {}
    names = {one.pw_name for one in pwd.getpwall()}
    one = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": one.pw_uid, "group": one.pw_gid, "extra_groups": []}


def _memory() -> Path | None:
    """Folder in memory with room for a database, so that a busy disk does not matter, if any."""
    shm = Path("/dev/shm")
    roomy = shm.is_dir() and os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 2**30
    return shm if roomy else None


class Server:
    """A server with one superuser, ``desk``, whom the socket trusts and TCP asks for a password."""

    def __init__(self, bin_: Path) -> None:
        self._bin = bin_
        # The temporary folders of pytest are closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="counterpoise-pg-", dir=_memory()))
        self._as = _nobody()
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self.folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--locale=C")
        subprocess.run(
            [bin_ / "initdb", "-D", self.folder / "data", "-U", "desk", "-E", "UTF8", *auth],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def socket_url(self) -> str:
        """URL without a password, by the socket."""
        return f"postgresql+psycopg://desk@/postgres?host={self.folder}&port={self.port}"

    @property
    def tcp_url(self) -> str:
        """URL for which a password is asked."""
        return f"postgresql+psycopg://desk@127.0.0.1:{self.port}/postgres"

    def start(self, *settings: str) -> None:
        """Start, and wait until it answers."""
        given = (f"port={self.port}", "listen_addresses=127.0.0.1", *settings)
        self._process = subprocess.Popen(
            [
                *(self._bin / "postgres", "-D", self.folder / "data", "-k", self.folder),
                *(word for one in given for word in ("-c", one)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    @contextmanager
    def session(self, schema: str = "public") -> Iterator[psycopg.Connection[Any]]:
        """Session of the superuser, without any code of the product."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="desk", dbname="postgres", autocommit=True
        ) as one:
            one.execute(f"SET search_path = {schema}".encode())
            yield one

    def ask(self, statement: str, schema: str = "public") -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        with self.session(schema) as one:
            cursor = one.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT breaks off sessions, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop it at once and leave nothing behind."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)
