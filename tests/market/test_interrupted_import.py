"""Whatever stops an import, and whenever: the lake is the old one or the new one."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from counterpoise.errors import FixConfig
from counterpoise.market import manifest
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from tests.market.small_tables import MIDNIGHT, bars, contents, settlements

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
BEFORE = {SPOT: bars(range(100, 148), start=MIDNIGHT.replace(month=12, day=31))}
ADDED = {SPOT: bars(range(100, 172), start=MIDNIGHT.replace(month=12, day=31))} | {
    FUNDING: settlements([0.0001, 0.0002])
}


class PowerCut(BaseException):
    """The moment at which everything stops."""


@contextmanager
def stopping_at(moment: int, *, clean: bool):
    """Stop at the n-th touch of the disk; without ``clean`` nothing is taken back, as by a kill."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise PowerCut

    def ticking(call: Callable, *, after: bool) -> Callable:
        def wrapped(*given, **named):
            tick()
            done = call(*given, **named)
            if after:  # it has happened and was not noticed
                tick()
            return done

        return wrapped

    def opening(path: Path, mode: str = "r", *given, **named):
        if "w" in mode:
            tick()
        return opened(path, mode, *given, **named)

    def take_back(*given, **named) -> None:
        nonlocal count
        count = 1_000_000  # nothing stops it again
        taken_back(*given, **named)

    opened, taken_back = Path.open, manifest._take_back
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", ticking(lambda _: None, after=False))
        patch.setattr(os, "replace", ticking(os.replace, after=True))
        patch.setattr(os, "open", ticking(os.open, after=False))
        patch.setattr(Path, "mkdir", ticking(Path.mkdir, after=False))
        patch.setattr(Path, "open", opening)
        if clean:
            patch.setattr(manifest, "_take_back", take_back)
        else:
            patch.setattr(manifest, "_take_back", lambda *_, **__: None)
            patch.setattr(manifest, "_unmake", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def states(tmp_path) -> tuple[dict, dict]:
    """Bytes of the lake before and after the import."""
    lake = Lake(tmp_path / "reference")
    lake.write(BEFORE)
    before = contents(lake.path)
    lake.write(ADDED)
    return before, contents(lake.path)


@pytest.mark.parametrize("clean", [True, False], ids=["interrupted", "killed"])
@pytest.mark.parametrize("first", [True, False], ids=["first import", "later import"])
def test_stopped_at_any_touch_of_the_disk_the_lake_is_old_or_new(tmp_path, first, clean):
    before, after = states(tmp_path)
    Lake(tmp_path / "old").write(BEFORE)
    for moment in range(1, 1_000):
        lake = Lake(tmp_path / f"{moment}" / "lake")
        if not first:
            shutil.copytree(tmp_path / "old", lake.path)
        stopped = False
        try:
            with stopping_at(moment, clean=clean):
                lake.write(ADDED)
        except PowerCut:
            stopped = True
        live = lake.datasets()
        if clean and stopped:
            assert contents(lake.path) in ({} if first else before, after), moment
            assert lake.path.parent.exists() is (not first or bool(live))
        # Readers see one state or the other, never a mixture.
        rows = lake.rows(SPOT), lake.rows(FUNDING)
        assert rows in ((0, 0), (72, 2)) if first else rows in ((48, 0), (72, 2)), moment
        assert lake.damaged() == []
        if not (clean and stopped):
            # The next import ends where an undisturbed one does, litter included.
            lake.write(ADDED)
            assert contents(lake.path) == after, moment
        if not stopped:
            assert live == lake.datasets()
            return
    pytest.fail("the import never ended")


@contextmanager
def room_for(size: int):
    """No file may grow beyond a size: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("first", [True, False], ids=["first import", "later import"])
def test_a_full_disk_leaves_the_lake_as_it_was(tmp_path, first):
    before, after = states(tmp_path)
    lake = Lake(tmp_path / "new" / "lake")
    if not first:
        lake.write(BEFORE)
    # Too little for the tables, for the manifest alone, and for all but the last byte of it.
    for size in (0, 100, 1_500, len(after["manifest.json"]) - 1):
        with (
            pytest.raises(FixConfig, match=r"it is as it was\). Next: free space") as refused,
            room_for(size),
        ):
            lake.write(ADDED)
        assert str(lake.path) in str(refused.value)
        assert contents(lake.path) == ({} if first else before)
        assert lake.path.exists() is not first
    lake.write(ADDED)
    assert contents(lake.path) == after


CHILD = """
import os, signal, sys
from counterpoise.market import manifest
from counterpoise.cli import main

moment, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
replace, count = os.replace, 0

def replacing(*given):
    global count
    count += 1
    if count == moment:
        os.kill(os.getpid(), number)
    replace(*given)

manifest.os.replace = replacing
main()
"""


def imported(tables: Path, lake: Path, *, moment: int = 0, number: int = 0) -> tuple[int, str]:
    """Import in a process of its own, which sends itself a signal before its n-th commit."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", CHILD, str(moment), str(number)),
            *("data", "import", str(tables), "--lake", str(lake)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


@pytest.fixture
def tables(tmp_path):
    """A folder of CSV tables, one of which spans three years."""
    folder = tmp_path / "tables"
    (folder / "funding").mkdir(parents=True)
    days = bars(range(2_000, 2_800), start=MIDNIGHT.replace(month=1, day=1, year=2022))
    form = {"datetime_format": "%+"}
    days.write_csv(folder / "binance_spot_ethusdt_1h.csv", **form)
    settlements([0.0001] * 9).write_csv(folder / "funding/binance_ethusdt_8h.csv", **form)
    return folder


SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped", signal.SIGHUP: "stopped"}


@pytest.mark.parametrize(
    ("number", "moment", "code"),
    [
        (signal.SIGINT, 1, 130),
        (signal.SIGTERM, 2, 143),
        (signal.SIGHUP, 3, 129),
        (signal.SIGKILL, 1, -9),
        (signal.SIGKILL, 3, -9),
    ],
)
def test_a_signal_half_way_leaves_the_old_lake(tmp_path, tables, number, moment, code):
    lake = Lake(tmp_path / "lake")
    lake.write(BEFORE)
    before = contents(lake.path)
    ended, said = imported(tables, lake.path, moment=moment, number=number)
    assert ended == code
    if code > 0:
        assert said == f"{SAID[number]}; nothing half-written was kept.\n"
        assert contents(lake.path) == before
    assert list(lake.datasets()) == [SPOT]
    assert lake.rows(SPOT) == 48
    lake.import_folder(tables)
    undisturbed = Lake(tmp_path / "undisturbed")
    undisturbed.write(BEFORE)
    undisturbed.import_folder(tables)
    assert contents(lake.path) == contents(undisturbed.path)


def test_of_two_imports_at_once_each_happens_wholly_or_asks_to_come_back(tmp_path):
    lake = tmp_path / "lake"
    running = {}
    for n, venue in enumerate(("binance", "bybit", "okx")):
        folder = tmp_path / venue
        folder.mkdir()
        rows = bars(range(1_000 * (n + 1), 1_000 * (n + 1) + 500))
        rows.write_csv(folder / f"{venue}_spot_ethusdt_1h.csv", datetime_format="%+")
        arguments = ["data", "import", str(folder), "--lake", str(lake)]
        running[venue] = subprocess.Popen(
            [sys.executable, "-c", CHILD, "0", "0", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    ended = {}
    for venue, process in running.items():
        said = process.communicate(timeout=120)[1]
        ended[venue] = process.returncode
        assert process.returncode in (0, 6), said
        if process.returncode:
            assert "being written by another process" in said
    done = {venue for venue, code in ended.items() if code == 0}
    assert done
    assert {key.venue for key in Lake(lake).datasets()} == done
    assert Lake(lake).damaged() == []
    for venue in ended.keys() - done:
        Lake(lake).import_folder(tmp_path / venue)
    assert {key.venue for key in Lake(lake).datasets()} == set(ended)


def test_readers_never_see_an_import_half_way(tmp_path):
    """Another thread of control reads after every touch of the disk by the writer."""
    lake = Lake(tmp_path / "lake")
    lake.write(BEFORE)
    seen = set()
    for moment in range(1, 1_000):
        with suppress(PowerCut), stopping_at(moment, clean=False):
            lake.write(ADDED)
        seen.add((lake.read_key(SPOT).height, lake.rows(FUNDING)))
        if (72, 2) in seen:
            break
    assert seen == {(48, 0), (72, 2)}
