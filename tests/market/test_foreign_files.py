"""A folder of downloaded files becomes a lake, and every file that does not is named."""

import time

import pytest

from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO, DatasetKey
from tests.market.small_tables import bars, settlements


@pytest.fixture
def folder(tmp_path):
    """Spot and perpetual bars as Parquet, funding as CSV, and things nobody asked for."""
    root = tmp_path / "downloads"
    for name in ("klines", "funding", "l2"):
        (root / name).mkdir(parents=True)
    bars([100, 101]).write_parquet(root / "klines/binance_spot_ethusdt_1h.parquet")
    bars([101, 102]).write_parquet(root / "klines/binance_perp_ethusdt_1h.parquet")
    settlements([0.0001]).write_csv(root / "funding/dydx_v3_ethusd_1h.csv", datetime_format="%+")
    (root / "l2/book.jsonl.gz").write_bytes(b"")
    (root / "README.md").write_text("notes")
    return root


def test_names_say_what_files_hold_and_the_rest_is_listed(folder, tmp_path):
    report = Lake(tmp_path / "lake").import_folder(folder)
    assert [(f.table, f.venue, f.symbol, f.interval, f.rows_new) for f in report.files] == [
        ("funding", "dydx_v3", "ETHUSD", "1h", 1),
        ("perp_bars", "binance", "ETHUSDT", "1h", 2),
        ("spot_bars", "binance", "ETHUSDT", "1h", 2),
    ]
    assert {entry.path for entry in report.skipped} == {"README.md", "l2/book.jsonl.gz"}
    assert all(entry.reason for entry in report.skipped)


def test_csv_and_parquet_of_the_same_rows_agree(folder, tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.import_folder(folder)
    bars([100, 101]).write_csv(
        folder / "klines/binance_spot_ethusdt_1h.csv", datetime_format="%Y-%m-%dT%H:%M:%S%:z"
    )
    assert not lake.import_folder(folder).changed


def test_a_subfolder_may_be_named_itself(folder, tmp_path):
    report = Lake(tmp_path / "lake").import_folder(folder / "funding")
    assert [f.file for f in report.files] == ["dydx_v3_ethusd_1h.csv"]


def test_a_folder_with_nothing_known_says_what_it_looked_for(folder, tmp_path):
    with pytest.raises(RejectData, match=r"klines/binance_perp_ethusdt_1h\.parquet"):
        Lake(tmp_path / "lake").import_folder(folder / "l2")


def test_a_folder_that_is_not_there_or_is_a_file_is_a_wrong_argument(folder, tmp_path):
    for wrong in (tmp_path / "nowhere", folder / "README.md"):
        with pytest.raises(FixConfig, match="an existing folder"):
            Lake(tmp_path / "lake").import_folder(wrong)


def test_one_bad_file_keeps_the_whole_folder_out(folder, tmp_path):
    settlements([0.2]).write_csv(folder / "funding/okx_ethusdt_8h.csv", datetime_format="%+")
    lake = Lake(tmp_path / "lake")
    with pytest.raises(RejectData) as refused:
        lake.import_folder(folder)
    assert refused.value.file == "funding/okx_ethusdt_8h.csv"
    assert not lake.datasets()


@pytest.mark.parametrize("damage", [b"PAR1 but not really", b"PAR1"])
def test_a_broken_parquet_file_is_named(folder, tmp_path, damage):
    (folder / "klines/binance_spot_ethusdt_1h.parquet").write_bytes(damage)
    with pytest.raises(RejectData, match="a readable parquet file"):
        Lake(tmp_path / "lake").import_folder(folder)


def test_a_half_downloaded_parquet_file_is_named(folder, tmp_path):
    path = folder / "klines/binance_spot_ethusdt_1h.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RejectData, match="a readable parquet file"):
        Lake(tmp_path / "lake").import_folder(folder)


def test_columns_without_a_place_are_reported(folder, tmp_path):
    path = folder / "klines/binance_spot_ethusdt_1h.parquet"
    bars([100, 101]).with_columns(vwap=100.0).write_parquet(path)
    report = Lake(tmp_path / "lake").import_folder(folder)
    assert report.files[-1].ignored_columns == ("vwap",)


def macro(folder, text):
    (folder / "macro").mkdir()
    (folder / "macro/fred_daily.csv").write_text(text)


def test_holidays_are_not_observations(folder, tmp_path):
    macro(
        folder,
        "ts,us10y_pct,vix_close\n"
        "2024-07-03T00:00:00Z,4.36,12.09\n"
        "2024-07-04T00:00:00Z,.,\n"
        "2024-07-05T00:00:00Z,4.28,12.48\n",
    )
    lake = Lake(tmp_path / "lake")
    lake.import_folder(folder)
    table = lake.read_key(MACRO)
    assert table.select("series", "value").sort("series", "value").rows() == [
        ("us10y_pct", 4.28),
        ("us10y_pct", 4.36),
        ("vix_close", 12.09),
        ("vix_close", 12.48),
    ]


def test_a_bad_macro_value_is_named_where_the_file_has_it(folder, tmp_path):
    macro(folder, "ts,us10y_pct,vix_close\n2024-07-03T00:00:00Z,4.36,12\n2024-07-05T00:00:00Z,,x\n")
    with pytest.raises(RejectData) as refused:
        Lake(tmp_path / "lake").import_folder(folder)
    assert refused.value.place == "row 1, column vix_close"


def test_the_walk_is_bounded(folder, tmp_path):
    deep = folder / "a/b/c/klines"
    deep.mkdir(parents=True)
    bars([100]).write_parquet(deep / "binance_spot_ethusdt_1h.parquet")
    report = Lake(tmp_path / "lake").import_folder(folder)
    assert len(report.files) == 3
    assert "a/b/c" in {entry.path for entry in report.skipped}


def test_progress_is_told_file_by_file(folder, tmp_path):
    told = []
    Lake(tmp_path / "lake").import_folder(folder, progress=lambda *step: told.append(step))
    assert told == [
        (0, 3, "funding/dydx_v3_ethusd_1h.csv"),
        (1, 3, "klines/binance_perp_ethusdt_1h.parquet"),
        (2, 3, "klines/binance_spot_ethusdt_1h.parquet"),
    ]


def test_the_real_folder_comes_in_whole_fast_and_once(real_data, tmp_path):
    lake = Lake(tmp_path / "lake")
    began = time.perf_counter()
    report = lake.import_folder(real_data)
    assert time.perf_counter() - began < 20.0
    rows = {f.file: f.rows_new + f.rows_merged for f in report.files}
    assert len(rows) == 24
    assert rows["klines/binance_perp_ethusdt_1h.parquet"] == 48_184
    assert rows["klines/binance_spot_ethusdt_1h_taker_flow.parquet"] == 9_920
    assert rows["funding/hyperliquid_ethusd_1h.parquet"] == 18_174
    # The taker-flow file repeats known spot bars and only adds columns to them.
    spot = lake.read_key(DatasetKey("spot_bars", "binance", "ETHUSDT", "1h"))
    assert (spot.height, spot["trades"].count()) == (68_960, 9_920)
    assert not lake.import_folder(real_data).changed
