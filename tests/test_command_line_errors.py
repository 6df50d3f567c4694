"""Whatever is wrong, a command answers in one plain line with its code, and changes nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.cli import run_command
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from tests.market.small_tables import bars, contents

RATIO = {
    "--exposure": "1000",
    "--beta": "0.8",
    "--rho": "0.45",
    "--confidence": "0.78",
    "--price": "1800",
}
READERS = (
    ("data", "info"),
    ("data", "check"),
    ("now",),
    ("exposure",),
    ("features",),
    ("events",),
    ("signals", "audit"),
    ("study", "--out", "never"),
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith("COUNTERPOISE_"):
            monkeypatch.delenv(name)


def told(capfd: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Run a command that fails with this code; its one line."""
    before = contents(Path())
    assert run_command(arguments) == code
    said = capfd.readouterr().err
    assert said.startswith("error: ")
    assert said.endswith(".\n")
    assert said.removesuffix("\n").isprintable()
    assert "Next: " in said
    assert len(said) < 1_200
    assert contents(Path()) == before
    return said


@pytest.fixture
def lake() -> Path:
    """A lake of two bars: enough to be one, too little for anything else."""
    Lake("lake").write({DatasetKey("perp_bars", "binance", "ETHUSDT", "1h"): bars([2_000, 2_001])})
    return Path("lake")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_every_command_says_so_where_there_is_no_lake(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert "no-such-lake" in told(capfd, 5, *command, "--lake", "no-such-lake")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_every_command_refuses_a_lake_that_is_a_file(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    Path("file").touch()
    assert "lake = 'file': expected a folder" in told(capfd, 3, *command, "--lake", "file")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_every_command_refuses_a_lake_without_its_manifest(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...], lake: Path
) -> None:
    (lake / "manifest.json").unlink()
    assert "restore it" in told(capfd, 4, *command, "--lake", "lake")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_every_command_refuses_a_lake_of_a_newer_version(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...], lake: Path
) -> None:
    manifest = lake / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 99'))
    assert "update counterpoise" in told(capfd, 3, *command, "--lake", "lake")


@pytest.mark.parametrize("command", [*READERS, ("data", "import", ".")], ids=" ".join)
def test_every_command_refuses_a_folder_for_its_settings(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    Path("folder").mkdir()
    assert "--config = 'folder': expected a file" in told(capfd, 3, *command, "--config", "folder")


@pytest.mark.parametrize("command", [*READERS, ("demo",)], ids=" ".join)
def test_every_command_refuses_a_wrong_variable_before_any_work(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setenv("COUNTERPOISE_HEDGE__BAND", "0.9")
    said = told(capfd, 3, *command)
    assert said == (
        "error: hedge.band = '0.9': expected less than or equal to 0.5. "
        "Next: change COUNTERPOISE_HEDGE__BAND in the environment.\n"
    )


@pytest.mark.parametrize("option", RATIO)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "-1e400"])
def test_no_number_of_the_formula_may_be_missing_or_endless(
    capfd: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    given = RATIO | {option: value}
    words = [word for pair in given.items() for word in pair]
    assert f"{option} = " in told(capfd, 3, "ratio", *words)


def test_a_value_no_number_holds_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    given = RATIO | {"--exposure": "1e300", "--price": "1e300"}
    words = [word for pair in given.items() for word in pair]
    assert "--price = 1e+300" in told(capfd, 3, "ratio", *words)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("wat",), 2, "No such command 'wat'"),
        (("now", "--wat"), 2, "No such option"),
        (("now", "--exposure", "much"), 2, "'--exposure'"),
        (("now", "--short"), 2, "requires an argument"),
        (("now", "--collateral", "gold"), 2, "'gold'"),
        (("now", "extra"), 2, "extra"),
        (("ratio", "--exposure", "1"), 2, "Missing option"),
        (("study", "--from", "yesterday"), 2, "'--from'"),
        (("demo", "--seed", "-1"), 2, "'--seed'"),
        (("demo", "--seed", "9" * 30), 2, "'--seed'"),
        (("data", "info", "--lake", ""), 2, "a path without a name"),
        (("data", "import", " "), 2, "a path without a name"),
        (("study", "--out", ""), 2, "a path without a name"),
        (("data", "import"), 2, "Missing argument"),
        (("now", "--exposure", "nan"), 3, "exposure.eth = nan"),
        (("now", "--exposure", "1e400"), 3, "exposure.eth = inf"),
        (("now", "--exposure", "1e300"), 3, "exposure.eth = 1e+300"),
        (("now", "--exposure", "0"), 3, "exposure.eth = 0.0"),
        (("study", "--exposure", "-5"), 3, "exposure.eth = -5.0"),
        (("study", "--from", "0001-01-01"), 3, "study.start = 0001-01-01T00:00:00"),
        (("study", "--to", "9999-12-31"), 3, "study.end = 9999-12-31T00:00:00"),
        (("study", "--from", "2024-01-01", "--to", "2023-01-01"), 3, "contradict each other"),
        (("study", "--out", "x" * 5_000), 3, "File name too long"),
        (("study", "--out", "/dev/null/no"), 3, "--out"),
        (("now", "--config", "x" * 5_000), 3, "File name too long"),
        (("data", "info", "--lake", "x" * 5_000), 3, "File name too long"),
        (("data", "import", "x" * 5_000), 3, "File name too long"),
        (("data", "info", "--lake", "a\x1b[2J\nb"), 5, r"a\x1b[2J\nb"),
        (("data", "import", "no-such-folder"), 3, "no-such-folder"),
        (("data", "import", os.fsdecode(b"\xff")), 3, r"\udcff"),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert says in told(capfd, code, *arguments)


def test_without_arguments_there_is_help_and_nothing_else(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_command([]) == 2
    printed, said = capfd.readouterr()
    assert "Exit codes" in printed + said
    assert "error" not in said


@pytest.mark.parametrize("short", ["nan", "inf", "-1", "1e300"])
def test_a_short_nobody_holds_is_refused_even_without_data(
    capfd: pytest.CaptureFixture[str], short: str
) -> None:
    assert run_command(["now", "--lake", "no-such-lake", "--short", short]) in (3, 5)
    assert capfd.readouterr().err.count("\n") == 1


def test_an_unexpected_refusal_of_the_system_is_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "some\nfile")

    monkeypatch.setattr("counterpoise.config.load_settings", fail)
    assert r"some\nfile: Input/output error" in told(capfd, 1, "data", "info")
    monkeypatch.setattr(
        "counterpoise.config.load_settings", lambda *_: (_ for _ in ()).throw(MemoryError)
    )
    assert "out of memory" in told(capfd, 1, "data", "info")


def process(*arguments: str, before: str = "", **extra: object) -> subprocess.Popen[bytes]:
    """A command in a process of its own, after some preparation there."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\nfrom counterpoise.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **extra,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("arguments", [("--help",), ("data", "info", "--lake", "lake", "--json")])
def test_a_reader_that_leaves_is_no_error(lake: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = subprocess.Popen(
        [sys.executable, "-c", "from counterpoise.cli import main; main()", *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert running.communicate(timeout=60)[1] == b""
    assert running.returncode == 0


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    words = [word for pair in RATIO.items() for word in pair]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from counterpoise.cli import main; main()", "ratio", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: No space left on device. Next: check disk space and permissions.\n"
    )


def test_letters_a_terminal_does_not_have_are_no_error() -> None:
    words = [word for pair in RATIO.items() for word in pair]
    running = process("ratio", *words, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    printed, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (0, b"")
    assert b"727.93 ETH" in printed


STOP = """
import os
import counterpoise.market.assemble as room
def stopped(*_, **__):
    os.kill(os.getpid(), {number})
room.build_timeline = stopped
"""


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped")],
)
def test_a_study_that_is_stopped_says_so_and_leaves_no_half_results(
    lake: Path, number: int, code: int, says: str
) -> None:
    Path("out").mkdir()
    (Path("out") / "results.json").write_text("the earlier study")
    before = contents(Path())
    running = process("study", "--lake", "lake", before=STOP.format(number=int(number)))
    said = running.communicate(timeout=120)[1].decode()
    assert running.returncode == code
    assert said == f"{says}; nothing half-written was kept.\n"
    assert contents(Path()) == before
