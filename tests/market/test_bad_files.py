"""Every bad file is refused with its name, place and next step, and the lake keeps every byte."""

import gzip
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from counterpoise.errors import RejectData
from counterpoise.market import foreign_files
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.parquet_guard import Description, ParquetGuard, Undecodable
from counterpoise.units import to_ms
from tests.market.bad_files import (
    BAD_CSV,
    BAD_FUNDING,
    BAD_PARQUET,
    FUNDING_CSV,
    GOOD,
    SPOT_CSV,
    SPOT_PARQUET,
    parquet,
    text,
)
from tests.market.small_tables import MIDNIGHT, bars, contents, settlements

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")


@pytest.fixture
def lake(tmp_path):
    """A lake that holds something to lose."""
    lake = Lake(tmp_path / "lake")
    lake.write({DatasetKey("funding", "binance", "ETHUSDT", "8h"): settlements([0.0001])})
    return lake


def given(tmp_path, name, content):
    """A folder with one file, beside a good one that must not be taken either."""
    folder = tmp_path / "tables"
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "binance_perp_ethusdt_1h.csv").write_text(GOOD)
    return folder


def refusal(lake, folder):
    """What an import of the folder is refused with; the lake must not change by a byte."""
    before = contents(lake.path)
    with pytest.raises(RejectData) as refused:
        lake.import_folder(folder)
    assert contents(lake.path) == before
    return str(refused.value)


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_csv_file_is_refused_with_its_place(tmp_path, lake, kind):
    content, words = BAD_CSV[kind]
    message = refusal(lake, given(tmp_path, SPOT_CSV, content))
    assert message.startswith(f"{SPOT_CSV}: ")
    assert "Next: " in message
    assert message.isprintable()
    assert len(message) < 1_000
    for said in words:
        assert said in message


@pytest.mark.parametrize("kind", BAD_FUNDING)
def test_bad_funding_is_refused_with_its_place(tmp_path, lake, kind):
    content, words = BAD_FUNDING[kind]
    message = refusal(lake, given(tmp_path, FUNDING_CSV, content))
    assert message.startswith(f"{FUNDING_CSV}: ")
    for said in words:
        assert said in message


@pytest.mark.parametrize("kind", BAD_PARQUET)
def test_a_bad_parquet_file_is_refused_with_its_place(tmp_path, lake, kind, capfd):
    content, words = BAD_PARQUET[kind]
    message = refusal(lake, given(tmp_path, SPOT_PARQUET, content))
    assert message.startswith(f"{SPOT_PARQUET}: ")
    for said in words:
        assert said in message
    # A reader that dies over a damaged file must not talk over the message.
    assert capfd.readouterr().err == ""


GOOD_BARS = bars(range(2_000, 2_024))
WRITTEN = {
    "windows line ends": GOOD.replace("\n", "\r\n"),
    "a mark before the first letter": b"\xef\xbb\xbf" + GOOD.encode(),
    "quoted fields": "\n".join(
        ",".join(f'"{field}"' for field in line.split(",")) for line in GOOD.splitlines()
    )
    + "\n",
    "the time of Calcutta": text(
        GOOD_BARS.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Kolkata"))
    ),
    "the time of New York": text(
        GOOD_BARS.with_columns(pl.col("ts").dt.convert_time_zone("America/New_York"))
    ),
    "milliseconds": text(GOOD_BARS.with_columns(ts=pl.col("ts").dt.epoch("ms"))),
    "columns in another order": text(GOOD_BARS.select(sorted(GOOD_BARS.columns))),
    "gzip": gzip.compress(GOOD.encode()),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_the_same_bars_written_in_another_way_are_the_same_bars(tmp_path, lake, way):
    lake.import_folder(given(tmp_path, SPOT_CSV, WRITTEN[way]))
    assert lake.read_key(SPOT).select(GOOD_BARS.columns).equals(GOOD_BARS)


def test_a_gzip_file_may_say_so_in_its_name(tmp_path, lake):
    lake.import_folder(given(tmp_path, SPOT_CSV + ".gz", gzip.compress(GOOD.encode())))
    assert lake.read_key(SPOT).select(GOOD_BARS.columns).equals(GOOD_BARS)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, lake, monkeypatch):
    monkeypatch.setattr(foreign_files, "MOST_BYTES", 1_000)
    folder = given(tmp_path, SPOT_CSV, gzip.compress(GOOD.encode()))
    (folder / "binance_perp_ethusdt_1h.csv").unlink()
    message = refusal(lake, folder)
    assert "at most 1,000 bytes when unpacked" in message


def test_more_rows_than_fit_are_refused(tmp_path, lake, monkeypatch):
    monkeypatch.setattr(foreign_files, "MOST_ROWS", 20)
    assert "row 21" in refusal(lake, given(tmp_path, SPOT_CSV, GOOD))


def test_a_long_table_read_in_parts_is_the_table(tmp_path, lake, monkeypatch):
    monkeypatch.setattr(foreign_files, "_CHUNK_ROWS", 5)
    lake.import_folder(given(tmp_path, SPOT_CSV, GOOD))
    assert lake.read_key(SPOT).select(GOOD_BARS.columns).equals(GOOD_BARS)


def test_columns_without_a_place_are_not_read_but_told(tmp_path, lake):
    folder = given(tmp_path, SPOT_CSV, text(GOOD_BARS.with_columns(note=pl.lit("a\x1b[31mb"))))
    report = lake.import_folder(folder)
    assert report.files[-1].ignored_columns == ("note",)


def test_files_of_one_import_that_contradict_each_other_are_refused(tmp_path, lake):
    folder = given(tmp_path, SPOT_CSV, GOOD)
    GOOD_BARS.with_columns(volume=pl.lit(11.0)).write_parquet(folder / SPOT_PARQUET)
    before = contents(lake.path)
    for replace in (False, True):
        with pytest.raises(RejectData, match="keep the file that is right") as refused:
            lake.import_folder(folder, replace=replace)
        assert f"got 11.0, expected the value of {SPOT_CSV} 10.0" in str(refused.value)
    assert contents(lake.path) == before


def test_a_file_that_ends_its_reader_is_refused_by_name(tmp_path, lake, monkeypatch):
    folder = given(tmp_path, SPOT_PARQUET, parquet(GOOD_BARS))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    message = refusal(lake, folder)
    assert message.startswith(f"{SPOT_PARQUET}: whole file: got 'decoding it ended the reader")


def test_the_guard_goes_on_after_a_file_that_ended_it(tmp_path):
    path = tmp_path / "bars.parquet"
    GOOD_BARS.write_parquet(path)
    with ParquetGuard() as guard:
        assert guard.describe(path) == Description(tuple(GOOD_BARS.columns), 24)
        child = guard._child
        child.kill()
        child.wait()
        with pytest.raises(Undecodable):
            guard.decode(path, ["close"])
        guard.decode(path, ["close"])
        assert guard._child.pid != child.pid
        later = guard._child
    assert later.poll() is not None


NOON = MIDNIGHT + timedelta(hours=12)


@pytest.mark.parametrize(
    ("clock", "row"),
    [
        (NOON, None),
        (NOON - timedelta(minutes=1), None),
        (NOON - timedelta(minutes=2), 11),
        (NOON - timedelta(hours=1), 11),
        (datetime(2001, 9, 9, tzinfo=UTC), 0),
    ],
)
def test_a_bar_that_has_not_closed_yet_by_this_clock_is_refused(tmp_path, lake, clock, row):
    folder = given(tmp_path, SPOT_CSV, text(bars(range(2_000, 2_012))))
    (folder / "binance_perp_ethusdt_1h.csv").unlink()
    before = contents(lake.path)
    if row is None:
        assert lake.import_folder(folder, now_ms=to_ms(clock)).changed
        return
    with pytest.raises(RejectData, match="or set the clock right") as refused:
        lake.import_folder(folder, now_ms=to_ms(clock))
    assert f"row {row}, column ts" in str(refused.value)
    assert contents(lake.path) == before
