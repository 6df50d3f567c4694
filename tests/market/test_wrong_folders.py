"""A folder of the wrong thing is refused before it is read, and nothing in it is passed over."""

import os
import shutil
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from counterpoise.errors import CounterpoiseError, FixConfig, RejectData
from counterpoise.market import layouts
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey, scan
from tests.market.bad_files import GOOD, SPOT_CSV, SPOT_PARQUET, text
from tests.market.small_tables import bars, contents

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
FIFTY_GB = 50 << 30
NOBODY = 65_534


@pytest.fixture
def lake(tmp_path):
    """A lake with one table."""
    lake = Lake(tmp_path / "lake")
    lake.write({SPOT: bars([2_000])})
    return lake


@pytest.fixture
def folder(tmp_path):
    """A folder with one good table."""
    folder = tmp_path / "tables"
    (folder / "klines").mkdir(parents=True)
    (folder / SPOT_CSV).write_text(GOOD)
    return folder


def refusal(lake, folder, error=RejectData):
    """What the import is refused with, at once and without a trace in the lake."""
    before = contents(lake.path)
    began = time.perf_counter()
    with pytest.raises(error) as refused:
        lake.import_folder(folder)
    assert time.perf_counter() - began < 5.0
    assert contents(lake.path) == before
    assert str(refused.value).isprintable()
    return str(refused.value)


@contextmanager
def as_nobody():
    """Without the rights of the administrator, for whom no file is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public():
    """A folder that everybody may use, with a good table that is theirs."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o777)
    with as_nobody():
        (root / "tables/klines").mkdir(parents=True)
        (root / "tables" / SPOT_CSV).write_text(GOOD)
    yield root
    for path in (root, *root.rglob("*")):
        path.chmod(0o777)
    shutil.rmtree(root)


@pytest.mark.parametrize("begin", [b"", GOOD.encode(), b"PAR1"])
@pytest.mark.parametrize("name", [SPOT_CSV, SPOT_PARQUET, SPOT_CSV + ".gz"])
def test_fifty_gigabytes_under_the_name_of_a_table_are_not_read(lake, folder, name, begin):
    (folder / name).write_bytes(begin)
    os.truncate(folder / name, FIFTY_GB)
    assert f"{name}: whole file: got '53,687,091,200 bytes'" in refusal(lake, folder)


def test_fifty_gigabytes_of_something_else_are_not_read(lake, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for n in range(50):
        (films / f"film{n}.mkv").touch()
        os.truncate(films / f"film{n}.mkv", FIFTY_GB // 50)
    message = refusal(lake, films)
    assert "50 entries" in message
    assert "film0.mkv (not a .parquet, .csv or .csv.gz file)" in message
    assert "rename the files to this layout" in message


def test_fifty_gigabytes_of_tables_are_too_many_at_once(lake, folder):
    for n in range(1, 61):
        path = folder / f"klines/binance_spot_ethusdt_{n}m.csv"
        path.write_text(GOOD)
        os.truncate(path, FIFTY_GB // 60)
    message = refusal(lake, folder, FixConfig)
    assert "in 61 tables" in message
    assert "import its folders one by one" in message


def test_of_many_large_tables_none_is_read_before_all_have_the_right_columns(
    lake, folder, monkeypatch
):
    for n in range(1, 31):
        path = folder / f"klines/binance_spot_ethusdt_{n}m.csv"
        path.write_text(text(bars(range(2_000, 4_000))))
        os.truncate(path, 100 << 20)
    (folder / "klines/okx_spot_ethusdt_1h.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr(layouts, "read_columns", pytest.fail)
    assert "klines/okx_spot_ethusdt_1h.csv: column ts" in refusal(lake, folder)


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_a_folder_with_more_entries_than_an_import_is_refused_while_it_is_listed(
    lake, folder, kind, monkeypatch
):
    monkeypatch.setattr(layouts, "MAX_ENTRIES", 500)
    for n in range(600):
        path = folder / f"{n}"
        path.touch() if kind == "files" else path.mkdir()
    assert "at most 500 files and folders" in refusal(lake, folder, FixConfig)


def test_the_limit_on_entries_leaves_room_for_any_import():
    assert layouts.MAX_ENTRIES == 20_000


def test_a_folder_with_the_name_of_a_table_is_not_passed_over(lake, folder):
    part = folder / SPOT_PARQUET / "part-0.parquet"
    part.parent.mkdir()
    bars([2_000]).write_parquet(part)
    message = refusal(lake, folder)
    assert f"{SPOT_PARQUET}: whole file: got 'a folder'" in message
    assert "write the table as one file" in message


def test_links_that_go_in_circles_end(lake, folder):
    (folder / "klines/again").symlink_to(folder)
    assert ("klines/again", "a link to a folder") in {
        (entry.path, entry.reason) for entry in scan(folder)[1]
    }
    lake.import_folder(folder)
    (folder / SPOT_PARQUET).symlink_to(Path(SPOT_PARQUET).name)
    assert f"{SPOT_PARQUET}: whole file: got 'a link to nothing'" in refusal(lake, folder)


def test_a_link_to_a_folder_is_told_where_nothing_else_is_there(lake, folder, tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/klines").symlink_to(folder / "klines")
    assert "klines (a link to a folder)" in refusal(lake, tmp_path / "beside")


def test_a_link_to_a_table_is_the_table(lake, folder, tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/binance_perp_ethusdt_1h.csv").symlink_to(folder / SPOT_CSV)
    assert lake.import_folder(tmp_path / "beside").files[0].rows_new == 24


def test_a_link_to_nothing_is_refused(lake, folder):
    (folder / SPOT_PARQUET).symlink_to("/nowhere")
    assert "got 'a link to nothing'" in refusal(lake, folder)


def test_pipes_sockets_and_devices_are_no_tables_and_are_not_opened(lake, folder):
    os.mkfifo(folder / SPOT_PARQUET)
    assert f"{SPOT_PARQUET}: whole file: got 'a pipe'" in refusal(lake, folder)
    (folder / SPOT_PARQUET).unlink()
    (folder / SPOT_PARQUET).symlink_to("/dev/zero")
    assert f"{SPOT_PARQUET}: whole file: got 'a device'" in refusal(lake, folder)
    (folder / SPOT_PARQUET).unlink()
    here = os.getcwd()
    os.chdir(folder / "klines")  # a socket's name must be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(Path(SPOT_PARQUET).name)
            assert f"{SPOT_PARQUET}: whole file: got 'a socket'" in refusal(lake, folder)
    finally:
        os.chdir(here)


def test_pipes_with_other_names_do_not_matter(lake, folder):
    os.mkfifo(folder / "pipe")
    assert lake.import_folder(folder).changed


def test_a_file_that_may_not_be_read_is_refused(public):
    (public / "tables" / SPOT_CSV).chmod(0o000)
    with as_nobody(), pytest.raises(RejectData, match="change its permissions") as refused:
        Lake(public / "lake").import_folder(public / "tables")
    assert f"{SPOT_CSV}: whole file: got 'Permission denied'" in str(refused.value)
    assert not (public / "lake").exists()


def test_a_folder_that_may_not_be_read_is_not_passed_over(public):
    (public / "tables/funding").mkdir(mode=0o000)
    with as_nobody(), pytest.raises(RejectData, match="whole folder: got 'Permission denied'"):
        Lake(public / "lake").import_folder(public / "tables")
    assert not (public / "lake").exists()


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_lake_that_may_not_be_written_is_a_wrong_setting(public, mode):
    lake = Lake(public / "lake")
    with as_nobody():
        lake.import_folder(public / "tables")
        (public / "tables" / SPOT_CSV).write_text(GOOD + "2024-03-02T00:00:00Z,1,1,1,1,1\n")
    before = contents(lake.path)
    for path in (lake.path, *lake.path.rglob("*/")):
        path.chmod(mode)
    with as_nobody(), pytest.raises(FixConfig, match="Permission denied"):
        lake.import_folder(public / "tables")
    for path in (lake.path, *lake.path.rglob("*/")):
        path.chmod(0o777)
    assert contents(lake.path) == before


def test_what_a_read_only_lake_holds_already_can_be_imported_and_read(public):
    lake = Lake(public / "lake")
    with as_nobody():
        lake.import_folder(public / "tables")
    for path in (lake.path, *lake.path.rglob("*")):
        path.chmod(0o555)
    with as_nobody():
        assert not lake.import_folder(public / "tables").changed
        assert lake.read_key(SPOT).height == 24


def test_a_lake_that_may_not_be_read_is_a_wrong_setting(public):
    lake = Lake(public / "lake")
    with as_nobody():
        lake.import_folder(public / "tables")
    lake.path.chmod(0o000)
    with as_nobody(), pytest.raises(FixConfig, match="Permission denied"):
        lake.datasets()


def test_a_live_file_that_may_not_be_read_is_refused_by_name(public):
    lake = Lake(public / "lake")
    with as_nobody():
        lake.import_folder(public / "tables")
    live = lake.path / lake.datasets()[SPOT].files[0].path
    live.chmod(0o000)
    with as_nobody(), pytest.raises(RejectData, match="got 'Permission denied'") as refused:
        lake.read_key(SPOT)
    assert live.name in str(refused.value)


@pytest.mark.parametrize("name", ["a\nb.csv", "\x1b[31mred.csv", os.fsdecode(b"\xff\xfe.csv")])
def test_names_a_terminal_would_act_on_are_shown_escaped(lake, folder, name):
    (folder / name).write_text("")
    assert all(entry.path.isprintable() for entry in lake.import_folder(folder).skipped)


@pytest.mark.parametrize("name", ["no such folder", "x" * 5_000, "tables/klines"])
def test_what_is_no_folder_is_a_wrong_argument(lake, folder, name):
    path = folder.parent / name
    if path.name == "klines":
        path = folder / SPOT_CSV
    with pytest.raises(CounterpoiseError) as refused:
        lake.import_folder(path)
    assert refused.value.exit_code == 3
    assert "an existing folder" in str(refused.value)
    assert len(str(refused.value)) < 500
