"""Files of the holder are taken whole, or refused with the place that is wrong."""

from pathlib import Path

import polars as pl
import pytest

from counterpoise.errors import FixConfig, RejectData
from counterpoise.exposure.inputs import read_flows, read_rates
from tests.exposure.held import written

GOOD = "2024-01-01T00:00:00Z"
LATER = "2024-02-01T08:30:00+01:00"

BAD_FLOWS = {
    "no zone": (
        "ts,eth",
        [(GOOD, 1), ("2024-02-01 08:30", 2)],
        "row 1, column ts",
        "with its zone",
    ),
    "no time": ("ts,eth", [(GOOD, 1), ("soon", 2)], "row 1, column ts", "with its zone"),
    "empty time": ("ts,eth", [(GOOD, 1), ("", 2)], "row 1, column ts", "a time in every row"),
    "seconds": ("ts,eth", [(1704067200, 1)], "row 0, column ts", "milliseconds since 1970"),
    "no number": ("ts,eth", [(GOOD, 1), (LATER, "ten")], "row 1, column eth", "a number"),
    "empty": ("ts,eth", [(GOOD, 1), (LATER, "")], "row 1, column eth", "a value in every row"),
    "infinite": ("ts,eth", [(GOOD, "inf")], "row 0, column eth", "a finite number"),
    "back in time": ("ts,eth", [(LATER, 1), (GOOD, 2)], "row 1, column ts", "not before that of"),
    "no column": ("ts,amount", [(GOOD, 1)], "column eth", "the columns ts, eth"),
    "no rows": ("ts,eth", [], "whole file", "at least one row"),
    "ragged": ("ts,eth", [(GOOD, 1, 2, 3)], "whole file", "a readable csv file"),
}


@pytest.mark.parametrize("name", BAD_FLOWS)
def test_a_bad_flow_is_refused_with_file_place_and_next_step(tmp_path: Path, name: str) -> None:
    columns, rows, place, expected = BAD_FLOWS[name]
    file = written(tmp_path, "flows.csv", columns, rows)
    with pytest.raises(RejectData) as refused:
        read_flows(file)
    message = str(refused.value)
    for words in ("flows.csv", place, expected, "Next: "):
        assert words in message


RATES = "ts,eth_per_token"
BAD_RATES = {
    "dollars": (RATES, [(GOOD, 1.1), (LATER, 2650.0)], "row 1, column eth_per_token", "at most 10"),
    "wei": (RATES, [(GOOD, 1.1e18)], "row 0, column eth_per_token", "wei by 1e18"),
    "zero": (RATES, [(GOOD, 0)], "row 0, column eth_per_token", "more than 0"),
    "twice": (RATES, [(GOOD, 1.1), (GOOD, 1.2)], "rows 0 and 1, column ts", "each ts once"),
    "unsorted": (RATES, [(LATER, 1.1), (GOOD, 1.2)], "row 1, column ts", "after the row before"),
    "known early": (
        "ts,known_at,eth_per_token",
        [(LATER, GOOD, 1.1)],
        "row 0, column known_at",
        "not before ts",
    ),
}


@pytest.mark.parametrize("name", BAD_RATES)
def test_a_bad_rate_is_refused_with_file_place_and_next_step(tmp_path: Path, name: str) -> None:
    columns, rows, place, expected = BAD_RATES[name]
    file = written(tmp_path, "reth.csv", columns, rows)
    with pytest.raises(RejectData) as refused:
        read_rates(file, "exposure.holdings[0].rate_file")
    message = str(refused.value)
    for words in ("reth.csv", place, expected, "Next: "):
        assert words in message


def test_an_empty_or_truncated_file_is_refused(tmp_path: Path) -> None:
    empty, half = tmp_path / "flows.csv", tmp_path / "half.parquet"
    empty.write_bytes(b"")
    moments = pl.Series([1_704_067_200_000]).cast(pl.Datetime("ms", "UTC"))
    pl.DataFrame({"ts": moments, "eth": [1.0]}).write_parquet(half)
    half.write_bytes(half.read_bytes()[:60])
    for file in (empty, half):
        with pytest.raises(RejectData, match=rf"{file.name}: whole file: .*a readable"):
            read_flows(file)


def test_a_file_that_is_not_there_or_of_another_kind_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(FixConfig, match=r"exposure\.flows = .*absent\.csv.*an existing file"):
        read_flows(tmp_path / "absent.csv")
    (tmp_path / "flows.xlsx").write_bytes(b"x")
    with pytest.raises(FixConfig, match=r"a \.csv or \.parquet file"):
        read_flows(tmp_path / "flows.xlsx")
    with pytest.raises(FixConfig, match=r"holdings\[2\]\.rate_file"):
        read_rates(tmp_path, "exposure.holdings[2].rate_file")


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    text = written(tmp_path, "flows.csv", "ts,eth", [(GOOD, 100), (LATER, -2.5)])
    table = tmp_path / "flows.parquet"
    stamps = pl.Series([1_704_067_200_000, 1_706_772_600_000])
    moments = stamps.cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone("Asia/Tokyo")
    pl.DataFrame({"ts": moments, "eth": [100.0, -2.5]}).write_parquet(table)
    one, other = read_flows(text), read_flows(table)
    assert one.ts_ms.tolist() == other.ts_ms.tolist() == [1_704_067_200_000, 1_706_772_600_000]
    assert one.eth.tolist() == other.eth.tolist() == [100.0, -2.5]


def test_two_equal_flows_both_count_and_that_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, "flows.csv", "ts,eth,memo", [(GOOD, 32, "a"), (GOOD, 32, "b")])
    flows = read_flows(file)
    assert flows.eth.sum() == 64.0
    assert flows.notes == (
        "flows.csv: 2 rows equal another in ts and eth, and each is counted",
        "flows.csv: columns not used: memo",
    )


def test_a_rate_is_known_at_its_moment_unless_the_file_says_later(tmp_path: Path) -> None:
    plain = read_rates(written(tmp_path, "a.csv", RATES, [(GOOD, 1.1)]), "k")
    assert plain["known_at"].to_list() == plain["ts"].to_list()
    late = written(tmp_path, "b.csv", "ts,known_at,eth_per_token", [(GOOD, LATER, 1.1)])
    assert read_rates(late, "k")["known_at"].dt.epoch("ms").to_list() == [1_706_772_600_000]
