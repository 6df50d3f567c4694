"""Ray for as long as it is needed: started on this machine alone, or connected to.

A Ray started here listens to this machine only, takes calls with its own token only, shows no
dashboard, reports no use, and writes below /tmp, whichever folder the command was called from.
What runs on it is not decided here.
"""

import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from counterpoise.errors import FixConfig

#: Memory for arrays and results in flight of a Ray started here, bytes.
OBJECT_STORE_BYTES = 200 * 2**20
#: Read by Ray when it is imported: no report of use to its makers, no change of device variables.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
#: With it a Ray started here listens to this machine only; its name tells where that is a default.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def needs(backend: str, missing: ImportError) -> FixConfig:
    """Return the refusal of a backend whose packages are not installed."""
    return FixConfig(
        "backend",
        backend,
        f"an installed package {missing.name}",
        "pip install 'counterpoise[cluster]', or use backend threads",
    )


def _no_answer(address: str, told: str) -> FixConfig:
    return FixConfig(
        "--address",
        address,
        f"a Ray cluster that answers, as host:port or auto ({told})",
        "start one with: ray start --head, or leave the address out",
    )


def _refuse_silence(address: str, this_machine: str) -> None:
    """Refuse a cluster that is not there: Ray would wait a minute and end the process.

    Raises
    ------
    FixConfig
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise _no_answer(address, "not an address")
    # Ray takes localhost for this machine's address on its network.
    local = host == "localhost" or host.startswith("127.")
    for place in (host, this_machine) if local else (host,):
        try:
            socket.create_connection((place, int(port)), timeout=5).close()
            return
        except (OSError, OverflowError) as failed:
            told = str(failed)
    raise _no_answer(address, told)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Variables that Ray and the processes it starts read, for as long as it is needed."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _variables(address: str | None) -> dict[str, str]:
    if address is not None:
        return _QUIET
    # Without a token of its own Ray would write one to the home folder, and read it next time.
    token = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
    return _QUIET | _LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


@contextmanager
def connected(workers: int | None, address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster or started here and taken down again.

    One that this process is connected to already is used as it is, and stays.

    Parameters
    ----------
    workers : int, optional
        Cores of a Ray started here; by default those of this machine.
    address : str, optional
        Of a running cluster, ``host:port`` or ``auto``; without it one is started here.

    Yields
    ------
    module
        ``ray``.

    Raises
    ------
    FixConfig
        Ray is not installed, or no cluster answers.
    """
    with _environment(_variables(address)):
        try:
            import joblib  # noqa: F401
            import ray
        except ImportError as missing:
            raise needs("ray", missing) from None
        if ray.is_initialized():
            yield ray
            return
        # Short, for the sockets below it, and never in the folder the command was called from.
        logs = tempfile.mkdtemp(prefix="cp-", dir="/tmp")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        here = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=workers or os.cpu_count() or 1,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=logs,
                    **quiet,
                )
            else:
                here_as: Callable[[], str] = ray.util.get_node_ip_address
                _refuse_silence(address, here_as())
                try:
                    ray.init(address=address, **quiet)
                except (ConnectionError, RuntimeError, ValueError) as refused:
                    raise _no_answer(address, str(refused).splitlines()[0]) from None
            if here and handler is not None:
                signal.signal(signal.SIGTERM, handler)  # Ray put its own in its place
            yield ray
        finally:
            ray.shutdown()
            shutil.rmtree(logs, ignore_errors=True)
