"""An import happens wholly or not at all, and doing it twice changes nothing."""

import fcntl
import hashlib
import io
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from counterpoise.errors import FixConfig, NotEnoughData, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from tests.market.small_tables import MIDNIGHT, bars, contents, settlements

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")


@contextmanager
def locked(folder):
    """Hold the lock of a lake as another process would."""
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def read(lake, key=SPOT):
    return lake.read_key(key)


def test_what_is_read_is_what_was_written(lake):
    lake.write({SPOT: bars(range(100, 130), start=datetime(2023, 12, 31, 12, tzinfo=UTC))})
    table = lake.read("spot_bars", venue="binance", symbol="ETHUSDT", interval="1h")
    assert table["close"].to_list() == list(range(100, 130))
    assert (lake.path / "table=spot_bars/venue=binance/symbol=ETHUSDT/interval=1h").is_dir()
    assert [file.period for file in lake.datasets()[SPOT].files] == ["2023", "2024"]


SECONDS = DatasetKey("perp_bars", "binance", "ETHUSDT", "1s")


def test_bars_of_a_second_are_kept_by_month_and_only_touched_months_are_written(lake):
    second = timedelta(seconds=1)
    january = bars(
        range(100, 110), start=datetime(2024, 1, 31, 23, 59, 50, tzinfo=UTC), step=second
    )
    lake.write({SECONDS: january})
    february = bars([110, 111], start=datetime(2024, 2, 1, tzinfo=UTC), step=second)
    before = contents(lake.path)
    lake.write({SECONDS: february})
    assert [file.period for file in lake.datasets()[SECONDS].files] == ["2024-01", "2024-02"]
    after = contents(lake.path)
    kept = [name for name in before if name.endswith(".parquet")]
    assert len(kept) == 1
    assert "month=01" in kept[0]
    assert after[kept[0]] == before[kept[0]]
    assert read(lake, SECONDS)["close"].to_list() == list(range(100, 112))
    later = bars([112], start=datetime(2024, 2, 1, 0, 0, 2, tzinfo=UTC), step=second)
    lake.write({SECONDS: later})
    assert read(lake, SECONDS)["close"].to_list() == list(range(100, 113))


def test_a_span_is_read_from_its_own_files(lake):
    start = datetime(2023, 12, 31, 22, tzinfo=UTC)
    lake.write({SPOT: bars(range(100, 110), start=start)})
    first = round(start.timestamp() * 1000)
    hour = 3_600_000
    span = lake.read_span(SPOT, first + hour, first + 3 * hour)
    assert span["close"].to_list() == [101, 102]
    old, new = lake.datasets()[SPOT].files
    (lake.path / old.path).unlink()
    assert lake.read_span(SPOT, new.first_ms, new.first_ms + hour)["close"].to_list() == [102]
    nothing = lake.read_span(SPOT, 0, hour)
    assert nothing.height == 0
    assert nothing.columns == lake.read_span(SPOT, new.first_ms, new.last_ms).columns
    assert lake.read_span(SECONDS, 0, first + 9 * hour).height == 0


def test_one_settlement_under_two_stamps_is_refused_across_the_end_of_a_year(lake):
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    before = midnight - timedelta(milliseconds=3)
    lake.write({FUNDING: settlements([0.0001], start=before)})
    with pytest.raises(RejectData, match="more than a minute after"):
        lake.write({FUNDING: settlements([0.0001], start=midnight)})


def test_a_lake_of_the_first_version_is_read_and_written(lake):
    lake.write({SPOT: bars([100, 101]), FUNDING: settlements([0.0001])})

    def as_of_version_one(raw):
        raw["version"] = 1
        for dataset in raw["datasets"]:
            for file in dataset["files"]:
                file["year"] = int(file.pop("period"))

    table = read(lake)
    rewritten(lake, as_of_version_one)
    assert read(lake).equals(table)
    report = lake.write({SPOT: bars([100, 101, 102])})
    assert [(f.rows_new, f.rows_unchanged) for f in report.files] == [(1, 2)]
    assert json.loads((lake.path / "manifest.json").read_text())["version"] == 2


def test_a_column_added_to_a_schema_is_empty_in_files_from_before(lake):
    """Events of an older version have no ``withdrawn_at``; new ones merge with them."""
    key = DatasetKey("events", "calendar", "ETH", "1d")
    events = pl.DataFrame(
        {
            "ts": [MIDNIGHT + timedelta(days=30)],
            "name": ["Dencun"],
            "class": ["network-upgrade"],
            "announced_at": [MIDNIGHT],
            "source": ["a blog"],
        }
    )
    lake.write({key: events})
    file = lake.datasets()[key].files[0]
    old = pl.read_parquet(lake.path / file.path, hive_partitioning=False).drop("withdrawn_at")
    buffer = io.BytesIO()
    old.write_parquet(buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = f"{file.path.rpartition('/')[0]}/part-{digest[:16]}.parquet"
    (lake.path / path).write_bytes(buffer.getvalue())

    def as_written_then(raw):
        entry(raw)["files"][0] |= {"path": path, "bytes": len(buffer.getvalue()), "sha256": digest}

    rewritten(lake, as_written_then)
    assert read(lake, key)["withdrawn_at"].to_list() == [None]
    withdrawn = events.with_columns(pl.lit(MIDNIGHT + timedelta(days=2)).alias("withdrawn_at"))
    assert lake.write({key: withdrawn}).files[0].rows_merged == 1
    assert read(lake, key)["withdrawn_at"].to_list() == [MIDNIGHT + timedelta(days=2)]


def test_importing_again_changes_no_byte(lake):
    tables = {SPOT: bars(range(100, 140)), FUNDING: settlements([0.0001, 0.0002])}
    assert lake.write(tables).changed
    before = contents(lake.path)
    again = lake.write(tables)
    assert not again.changed
    assert contents(lake.path) == before
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
    assert contents(parts.path) == contents(whole.path)


def test_a_file_with_more_columns_fills_the_empty_places(lake):
    plain = bars([100, 101, 102])
    lake.write({SPOT: plain})
    report = lake.write({SPOT: plain[1:].with_columns(quote_volume=pl.lit(1000.0))})
    assert report.files[0].rows_merged == 2
    assert read(lake)["quote_volume"].to_list() == [None, 1000.0, 1000.0]


def test_a_contradiction_is_refused_naming_both_values(lake):
    lake.write({SPOT: bars([100, 101, 102])})
    before = contents(lake.path)
    with pytest.raises(RejectData, match="import again with --replace") as refused:
        lake.write({SPOT: bars([100, 101.5, 102.5])})
    message = str(refused.value)
    assert "ts 2024-03-01T01:00:00+00:00, column open" in message
    assert "got 101.5, expected the stored value 101.0; 1 more rows differ" in message
    assert contents(lake.path) == before


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


def test_a_second_writer_is_told_to_come_back(lake):
    lake.write({SPOT: bars([100])})
    with locked(lake.path), pytest.raises(RetryLater, match="being written by another process"):
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


def rewritten(lake, change):
    """Change the manifest's JSON in place."""
    manifest = lake.path / "manifest.json"
    raw = json.loads(manifest.read_text())
    change(raw)
    manifest.write_text(json.dumps(raw))


def test_a_lake_of_a_newer_version_is_left_to_that_version(lake):
    lake.write({SPOT: bars([100])})
    rewritten(lake, lambda raw: raw.update(version=3))
    before = contents(lake.path)
    with pytest.raises(FixConfig, match="update counterpoise"):
        lake.datasets()
    with pytest.raises(FixConfig, match="update counterpoise"):
        lake.write({SPOT: bars([100, 101])})
    assert contents(lake.path) == before


def entry(raw):
    """First dataset of a manifest."""
    return raw["datasets"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(version="1"),
        lambda raw: raw.update(version=0),
        lambda raw: raw.pop("datasets"),
        lambda raw: raw.update(datasets=5),
        lambda raw: raw["datasets"].append(entry(raw)),
        lambda raw: entry(raw).update(files=[]),
        lambda raw: entry(raw)["key"].update(table="spot_bards"),
        lambda raw: entry(raw)["key"].update(interval="hourly"),
        lambda raw: entry(raw)["key"].pop("venue"),
        lambda raw: entry(raw)["files"][0].update(path="../../../etc/hostname"),
        lambda raw: entry(raw)["files"][0].update(rows="many"),
        lambda raw: entry(raw)["files"][0].update(sha256="0" * 64),
    ],
)
def test_a_manifest_no_import_writes_is_refused_and_nothing_is_swept(lake, change):
    lake.write({SPOT: bars([100])})
    rewritten(lake, change)
    before = contents(lake.path)
    for act in (lake.datasets, lambda: lake.write({SPOT: bars([100, 101])})):
        with pytest.raises(RejectData, match="or import the data again into a new lake"):
            act()
    assert contents(lake.path) == before


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_manifest_is_refused_and_nothing_is_swept(lake, damage):
    lake.write({SPOT: bars([100])})
    (lake.path / "manifest.json").write_bytes(damage)
    before = contents(lake.path)
    for act in (lake.datasets, lambda: lake.write({SPOT: bars([100, 101])})):
        with pytest.raises(RejectData, match=r"manifest\.json: whole file"):
            act()
    assert contents(lake.path) == before


def test_tables_without_their_manifest_are_not_taken_for_litter(lake):
    lake.write({SPOT: bars([100])})
    (lake.path / "manifest.json").unlink()
    before = contents(lake.path)
    for act in (lake.datasets, lambda: lake.write({FUNDING: settlements([0.0001])})):
        with pytest.raises(RejectData, match=r"manifest\.json: whole file: got 'no file'"):
            act()
    assert contents(lake.path) == before


def test_only_what_an_import_wrote_is_ever_swept(lake):
    lake.write({SPOT: bars([100])})
    beside = lake.path / lake.datasets()[SPOT].files[0].path
    mine = [lake.path / "table=spot_bars/notes.txt", beside.with_name("part-copy.parquet")]
    for path in (*mine, beside.with_name("part-0123456789abcdef.parquet")):
        path.write_bytes(b"mine")
    lake.write({SPOT: bars([100, 101])})
    assert all(path.read_bytes() == b"mine" for path in mine)
    assert not beside.with_name("part-0123456789abcdef.parquet").exists()


def test_the_years_of_a_dataset_may_lie_on_any_path(tmp_path):
    odd = Lake(tmp_path / "my lake é 湖 [x]*? $HOME" / "deeper")
    odd.write({SPOT: bars([100, 101])})
    assert read(odd)["close"].to_list() == [100, 101]
    assert odd.damaged() == []


def test_one_settlement_under_two_stamps_is_not_paid_twice(lake):
    lake.write({FUNDING: settlements([0.0001, 0.0002])})
    late = settlements([0.0001], start=MIDNIGHT + timedelta(milliseconds=12))
    before = contents(lake.path)
    with pytest.raises(RejectData, match="keep one stamp of each settlement") as refused:
        lake.write({FUNDING: late})
    assert "joined with the stored rows, row 1, column ts" in str(refused.value)
    assert contents(lake.path) == before
    with pytest.raises(RejectData, match="row 1, column ts"):
        lake.write({FUNDING: pl.concat([settlements([0.0001]), late])})


def test_funding_comes_with_its_interval(lake):
    lake.write({FUNDING: settlements([0.0001] * 3, step=timedelta(hours=4))})
    assert read(lake, FUNDING)["interval_h"].to_list() == [8.0, 4.0, 4.0]
    assert read(lake, FUNDING)["ts"][0] == MIDNIGHT


@pytest.mark.parametrize("inside", ["", "sub"])
def test_a_lake_cannot_be_a_file(tmp_path, inside):
    (tmp_path / "taken").write_text("")
    lake = Lake(tmp_path / "taken" / inside)
    for act in (lake.datasets, lambda: lake.write({SPOT: bars([100])})):
        with pytest.raises(FixConfig, match="Not a directory"):
            act()


def test_a_lake_whose_name_is_too_long_is_a_wrong_setting(tmp_path):
    lake = Lake(tmp_path / ("x" * 5_000))
    for act in (lake.datasets, lambda: lake.write({SPOT: bars([100])})):
        with pytest.raises(FixConfig, match="File name too long"):
            act()
    assert list(tmp_path.iterdir()) == []
