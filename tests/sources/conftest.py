"""A real Ethereum node on 127.0.0.1, and settings that do not wait long."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoise.endpoints import SourceSettings

INSTALLED = Path(__file__).parents[2] / ".anvil" / "node_modules" / "@foundry-rs"


class Anvil:
    """A node whose chain the test drives.

    Attributes
    ----------
    url : str
    accounts : list of str
        Funded ones, which the node signs for.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def rpc(self, method: str, *params: Any) -> Any:
        """Ask the node directly, without any code of the product."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            told = json.load(response)
        if told.get("error"):
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]

    def block(self, number: int) -> dict[str, Any]:
        """Return a block as the node tells it."""
        return self.rpc("eth_getBlockByNumber", hex(number), False)

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start_anvil() -> Iterator[Any]:
    """Start nodes of the main net's chain id whose genesis is at a given time."""
    binary = next(iter(sorted(INSTALLED.glob("anvil-*/bin/anvil*"))), None)
    if binary is None:
        pytest.skip("no anvil: `make test` installs it where npm is on PATH")
    running: list[subprocess.Popen[bytes]] = []

    def start(genesis_s: int) -> Anvil:
        port = _free_port()
        arguments = ["--port", str(port), "--chain-id", "1", "--no-mining", "--quiet"]
        running.append(
            subprocess.Popen(
                [str(binary), *arguments, "--host", "127.0.0.1", "--timestamp", str(genesis_s)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        node = Anvil(f"http://127.0.0.1:{port}")
        for _ in range(200):
            try:
                node.rpc("eth_chainId")
                return node
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("anvil did not start")

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def quick() -> SourceSettings:
    """Return settings that try three times and do not wait for long."""
    return SourceSettings(attempts=3, timeout_s=2.0)
