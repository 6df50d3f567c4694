"""Whatever goes wrong in a run: neither its key nor its secret is written or printed anywhere."""

import base64
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate
from tests.rehearsal.leaky import KEY, SECRET

ROOT = Path(__file__).parents[2]
HOW = {"signature": 1, "journal": 6, "defect": 1}
_SIGNATURE = re.compile(rb"signature[\"']?\s*[=:]\s*[\"']?[0-9A-Za-z%+/]{16}")


def spellings(secret: str) -> set[bytes]:
    """Ways in which a secret may be written."""
    plain = secret.encode()
    told = {plain, quote(secret, safe="").encode(), quote(secret).encode()}
    told |= {quote_plus(secret).encode(), plain.hex().encode(), plain[::-1]}
    for shift in range(3):
        # Base64 of a longer text that has it: the middle is the same wherever it begins.
        whole = base64.b64encode(b"x" * shift + plain)
        told |= {whole[4 * (shift > 0) : -4], whole.replace(b"+", b"-")[4 * (shift > 0) : -4]}
    return told | {plain[:24], plain[-20:]}


def found_in(content: bytes) -> list[bytes]:
    spelled = spellings(KEY) | spellings(SECRET)
    return [one for one in spelled if one in content] + _SIGNATURE.findall(content)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> "dict[str, tuple[Path, subprocess.CompletedProcess[bytes]]]":
    """One run a fault, all at a time."""
    folder = tmp_path_factory.mktemp("leaky")
    Lake(folder / "lake").write(generate(21, days=40, symbol="ETHUSDT"), synthetic=True)
    begun = {}
    for how in HOW:
        arguments = [
            "rehearse",
            "--lake",
            str(folder / "lake"),
            "--policy",
            "static_eth",
            "--hours",
            "3",
        ]
        arguments += ["--speed", "200", "--out", str(folder / how)]
        begun[how] = subprocess.Popen(
            [sys.executable, "-m", "tests.rehearsal.leaky", how, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    done = {}
    for how, process in begun.items():
        out, errors = process.communicate(timeout=240)
        told = subprocess.CompletedProcess([], process.returncode, out, errors)
        done[how] = folder / how, told
    return done


@pytest.mark.parametrize("how", HOW)
def test_no_secret_is_found_in_what_a_failing_run_leaves(runs, how) -> None:
    folder, told = runs[how]
    assert told.returncode == HOW[how], told.stderr.decode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"run.log", "nautilus.log"} <= {path.name for path in files} or how == "signature"
    leaks = {path.name: found_in(path.read_bytes()) for path in files}
    leaks |= {"stdout": found_in(told.stdout), "stderr": found_in(told.stderr)}
    assert {name: found for name, found in leaks.items() if found} == {}


def test_the_faults_were_met(runs) -> None:
    folder, told = runs["journal"]
    log = (folder / "state" / "run.log").read_text(encoding="utf-8")
    assert "clock of this machine" in log
    assert "status 503" in log
    assert "locked" in told.stderr.decode()
    assert b"code -1022" in runs["signature"][1].stderr
    assert b"ZeroDivisionError" in runs["defect"][1].stderr


def test_the_search_finds_what_it_looks_for() -> None:
    assert found_in(b"...?signature=0123456789abcdef0123")
    assert found_in(f"key={quote(KEY, safe='')}".encode())
    assert found_in(base64.b64encode(f"user:{SECRET}".encode()))
    assert not found_in(b"a signature is hidden: signature=(hidden)")
