"""An import happens wholly or not at all, and doing it twice changes nothing."""

import fcntl
import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from counterpoise.errors import FixConfig, NotEnoughData, RejectData, RetryLater
from counterpoise.market import lake as lake_module
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from tests.market.small_tables import MIDNIGHT, bars, settlements

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def contents(lake):
    """Every file of the lake and its bytes."""
    return {
        str(path.relative_to(lake.path)): path.read_bytes()
        for path in sorted(lake.path.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def read(lake, key=SPOT):
    return lake.read_key(key)


def test_what_is_read_is_what_was_written(lake):
    lake.write({SPOT: bars(range(100, 130), start=datetime(2023, 12, 31, 12, tzinfo=UTC))})
    table = lake.read("spot_bars", venue="binance", symbol="ETHUSDT", interval="1h")
    assert table["close"].to_list() == list(range(100, 130))
    assert (lake.path / "table=spot_bars/venue=binance/symbol=ETHUSDT/interval=1h").is_dir()
    assert [file.year for file in lake.datasets()[SPOT].files] == [2023, 2024]


def test_importing_again_changes_no_byte(lake):
    tables = {SPOT: bars(range(100, 140)), FUNDING: settlements([0.0001, 0.0002])}
    assert lake.write(tables).changed
    before = contents(lake)
    again = lake.write(tables)
    assert not again.changed
    assert contents(lake) == before
    assert [(f.rows_new, f.rows_merged, f.rows_unchanged) for f in again.files] == [
        (0, 0, 40),
        (0, 0, 2),
    ]


def test_bytes_do_not_depend_on_how_the_rows_arrived(tmp_path):
    whole, parts = Lake(tmp_path / "whole"), Lake(tmp_path / "parts")
    table = bars(range(100, 140))
    whole.write({SPOT: table})
    for part in (table[20:], table[:25], table[10:30]):
        parts.write({SPOT: part})
    assert contents(parts) == contents(whole)


def test_a_file_with_more_columns_fills_the_empty_places(lake):
    plain = bars([100, 101, 102])
    lake.write({SPOT: plain})
    report = lake.write({SPOT: plain[1:].with_columns(quote_volume=pl.lit(1000.0))})
    assert report.files[0].rows_merged == 2
    assert read(lake)["quote_volume"].to_list() == [None, 1000.0, 1000.0]


def test_a_contradiction_is_refused_naming_both_values(lake):
    lake.write({SPOT: bars([100, 101, 102])})
    before = contents(lake)
    with pytest.raises(RejectData, match="import again with --replace") as refused:
        lake.write({SPOT: bars([100, 101.5, 102.5])})
    message = str(refused.value)
    assert "ts 2024-03-01T01:00:00+00:00, column open" in message
    assert "got 101.5, expected the stored value 101.0; 1 more rows differ" in message
    assert contents(lake) == before


def test_replacing_lets_the_new_value_win_and_keeps_the_rest(lake):
    lake.write({SPOT: bars([100, 101, 102]).with_columns(trades=pl.lit(7))})
    report = lake.write({SPOT: bars([100, 105, 102])}, replace=True)
    assert report.files[0].rows_merged == 1
    assert read(lake)["close"].to_list() == [100, 105, 102]
    assert read(lake)["trades"].to_list() == [7, 7, 7]


def test_one_bad_table_keeps_all_the_others_out(lake):
    with pytest.raises(RejectData):
        lake.write({SPOT: bars([100]), FUNDING: settlements([0.5])})
    assert not lake.datasets()


def test_an_interrupted_import_leaves_the_old_lake_and_its_litter_is_swept(lake, monkeypatch):
    lake.write({SPOT: bars([100, 101])})
    before = contents(lake)

    def power_cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(lake_module, "save_manifest", power_cut)
        with pytest.raises(KeyboardInterrupt):
            lake.write({SPOT: bars([100, 101, 102]), FUNDING: settlements([0.0001])})
    assert len(contents(lake)) > len(before)
    assert read(lake)["close"].to_list() == [100, 101]
    lake.write({SPOT: bars([100, 101])})
    assert contents(lake) == before


def test_a_second_writer_is_told_to_come_back(lake):
    lake.write({SPOT: bars([100])})
    with (lake.path / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RetryLater, match="being written by another process"):
            lake.write({SPOT: bars([100, 101])})
    assert lake.write({SPOT: bars([100, 101])}).changed


@pytest.mark.parametrize("first", [True, False])
def test_generated_and_real_data_never_share_a_lake(lake, first):
    lake.write({SPOT: bars([100])}, synthetic=first)
    assert lake.synthetic is first
    with pytest.raises(FixConfig, match="never mixed"):
        lake.write({FUNDING: settlements([0.0001])}, synthetic=not first)


def test_a_truncated_or_missing_file_is_refused_not_read(lake):
    lake.write({SPOT: bars(range(100, 150))})
    path = lake.path / lake.datasets()[SPOT].files[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(RejectData, match=f"got '{len(whole) - 20} bytes'"):
        read(lake)
    path.unlink()
    with pytest.raises(RejectData, match="no file"):
        read(lake)


def test_flipped_bits_are_found_by_the_digest(lake):
    lake.write({SPOT: bars(range(100, 150))})
    file = lake.datasets()[SPOT].files[0]
    path = lake.path / file.path
    assert lake.damaged() == []
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(bytes(data))
    assert lake.damaged() == [(SPOT, file)]


def test_what_is_missing_is_answered_with_what_is_there(lake):
    with pytest.raises(NotEnoughData, match="It has: nothing yet"):
        read(lake)
    lake.write({SPOT: bars([100, 101])})
    with pytest.raises(NotEnoughData) as missing:
        lake.read("spot_bars", venue="kraken", symbol="ETHUSD", interval="1h")
    assert "has no spot_bars kraken ETHUSD 1h" in str(missing.value)
    assert "spot_bars binance ETHUSDT 1h (2024-03-01 00:00 to 2024-03-01 01:00)" in str(
        missing.value
    )


def test_a_manifest_of_a_newer_version_or_a_damaged_one_is_refused(lake):
    lake.write({SPOT: bars([100])})
    manifest = lake.path / "manifest.json"
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(raw | {"version": 2}))
    with pytest.raises(FixConfig, match="update counterpoise"):
        lake.datasets()
    manifest.write_text("{")
    with pytest.raises(RejectData):
        lake.datasets()


def test_funding_comes_with_its_interval(lake):
    lake.write({FUNDING: settlements([0.0001] * 3, step=timedelta(hours=4))})
    assert read(lake, FUNDING)["interval_h"].to_list() == [8.0, 4.0, 4.0]
    assert read(lake, FUNDING)["ts"][0] == MIDNIGHT


def test_a_lake_cannot_be_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FixConfig, match="a folder that can be made"):
        Lake(tmp_path / "taken").write({SPOT: bars([100])})
