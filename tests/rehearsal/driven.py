"""Runs a foreign client in a process of its own while the venue is served from this one."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from counterpoise.rehearsal.binance_signing import ApiKey
from tests.rehearsal.steady import KEY

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / ".venv-clients" / "bin" / "python"


def foreign_python() -> str:
    """Interpreter of the environment with the clients that do not go with ours."""
    if not CLIENTS.exists():
        pytest.skip("no .venv-clients: make .venv-clients/.installed")
    return str(CLIENTS)


async def drive(
    script: str, *arguments: str, key: ApiKey = KEY, python: str = sys.executable
) -> Any:
    """What a driver under ``clients`` told after the word SEEN."""
    process = await asyncio.create_subprocess_exec(
        python,
        str(HERE / "clients" / script),
        arguments[0],
        key.key,
        key.secret,
        *arguments[1:],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    text = output.decode()
    told = [line for line in text.splitlines() if line.startswith("SEEN ")]
    assert process.returncode == 0, text[-4000:]
    assert told, text[-4000:]
    return json.loads(told[-1].removeprefix("SEEN "))
