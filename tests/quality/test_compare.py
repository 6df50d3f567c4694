"""Two sources of one truth: where they agree nothing is said, where they differ it is by row."""

import json
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.cli import run_command
from counterpoise.errors import FixConfig
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.quality.aggregate import coarser
from counterpoise.quality.compare import compare
from counterpoise.units import to_ms
from tests.market.small_tables import MIDNIGHT, bars, settlements

HOURLY = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
MINUTES = DatasetKey("perp_bars", "binance", "ETHUSDT", "1m")
FUNDING = DatasetKey("funding", "binance", "ETHUSDT", "8h")
OTHER = DatasetKey("funding", "bybit", "ETHUSDT", "8h")


@pytest.fixture
def stored(tmp_path):
    """Return a function that stores tables and reads them back as the lake keeps them."""

    def store(tables, name="lake"):
        lake = Lake(tmp_path / name)
        lake.write(tables)
        return lake

    return store


def walk(n):
    """Return closes that never repeat a step."""
    return [100.0 + (7 * k * k % 31) / 10 for k in range(n)]


def compared(lake, a, b, tolerance=1e-9):
    """Compare two datasets of a lake."""
    return compare(("A", "B"), (a, lake.read_key(a)), (b, lake.read_key(b)), tolerance)


def test_minutes_make_the_hours_they_are_in(stored):
    minutes = bars(walk(600), step=timedelta(minutes=1))
    lake = stored({MINUTES: minutes})
    hours = coarser("perp_bars", lake.read_key(MINUTES), "1m", "1h").drop("known_at")
    for row in range(10):
        part = minutes[60 * row : 60 * row + 60]
        assert hours["open"][row] == part["open"][0]
        assert hours["high"][row] == max(part["high"])
        assert hours["low"][row] == min(part["low"])
        assert hours["close"][row] == part["close"][59]
        assert hours["volume"][row] == pytest.approx(sum(part["volume"]))
    lake.write({HOURLY: hours})
    assert compared(lake, HOURLY, MINUTES).same


def test_an_hour_that_lacks_a_minute_is_not_made(stored):
    minutes = bars(walk(180), step=timedelta(minutes=1))
    lake = stored({MINUTES: pl.concat([minutes[:70], minutes[71:]])})
    made = coarser("perp_bars", lake.read_key(MINUTES), "1m", "1h")
    assert [stamp.hour for stamp in made["ts"]] == [0, 2]


def test_every_kind_of_difference_is_told_with_its_row(stored):
    rates = [1e-4 * (1 + n % 5) for n in range(60)]
    theirs = settlements(rates)
    theirs[10, "funding_rate"] = 9e-4
    ours = settlements(rates)
    lake = stored({FUNDING: pl.concat([ours[:20], ours[21:]]), OTHER: theirs[1:50]})
    found = compared(lake, FUNDING, OTHER)
    assert (found.both, found.only_a, found.only_b) == (48, 0, 1)
    assert found.only_b_ms == [to_ms(MIDNIGHT + timedelta(hours=8 * 20))]
    rate = found.columns[0]
    assert (rate.name, rate.rows) == ("funding_rate", 1)
    (row,) = rate.examples
    assert (row.ts_ms, row.a, row.b) == (to_ms(MIDNIGHT + timedelta(hours=80)), 1e-4, 9e-4)
    assert not found.same


def test_another_unit_shows_as_a_factor_and_a_late_clock_as_a_lag(stored):
    rates = [1e-4 * (1 + (n * n) % 11) for n in range(200)]
    late = settlements([0.0, *rates[:-1]])
    lake = stored({FUNDING: settlements(rates), OTHER: late})
    assert compared(lake, FUNDING, OTHER).lag == 1
    scaled = settlements([0.1 * rate for rate in rates])
    lake.write({OTHER: scaled}, replace=True)
    found = compared(lake, FUNDING, OTHER)
    assert found.lag is None
    assert found.columns[0].factor == pytest.approx(0.1)


@given(
    values=st.lists(st.floats(1e-5, 1e-2), min_size=2, max_size=40),
    wrong=st.sets(st.integers(0, 39), max_size=5),
    tolerance=st.floats(0, 1e-3),
)
def test_exactly_the_rows_beyond_the_tolerance_differ(values, wrong, tolerance):
    table = settlements(values).with_columns(
        known_at="ts", interval_h=pl.lit(8.0), mark_price=None, premium=None
    )
    chosen = sorted(row for row in wrong if row < len(values))
    factor = pl.when(pl.int_range(len(values)).is_in(chosen)).then(1.01).otherwise(1.0)
    other = table.with_columns(pl.col("funding_rate") * factor)
    found = compare(("A", "B"), (FUNDING, table), (OTHER, other), tolerance)
    stamps = table["ts"].dt.epoch("ms").to_list()
    rate = next(column for column in found.columns if column.name == "funding_rate")
    assert [row.ts_ms for row in rate.examples] == [stamps[row] for row in chosen]
    assert found.same == (not chosen)


def test_no_common_span_is_not_the_same(stored):
    lake = stored({FUNDING: settlements([1e-4] * 4)})
    lake.write({OTHER: settlements([1e-4] * 4, start=MIDNIGHT + timedelta(days=9))})
    found = compared(lake, FUNDING, OTHER)
    assert (found.both, found.first_ms, found.same) == (0, None, False)


def test_tables_without_anything_in_common_are_refused(stored):
    lake = stored({FUNDING: settlements([1e-4] * 4), HOURLY: bars(walk(4))})
    with pytest.raises(FixConfig, match="a dataset of perp_bars"):
        compared(lake, HOURLY, FUNDING)


def test_the_command_takes_datasets_files_and_lakes(stored, tmp_path, capsys):
    table = settlements([1e-4, 2e-4, 3e-4, 4e-4])
    lake = stored({FUNDING: table})
    other = stored({FUNDING: table.with_columns(pl.col("funding_rate") * 2)}, "other")
    (tmp_path / "funding").mkdir()
    file = tmp_path / "funding" / "binance_ethusdt_8h.parquet"
    table.write_parquet(file)
    name = "funding/binance/ETHUSDT/8h"
    at = ["--lake", str(lake.path)]
    assert run_command(["data", "diff", name, str(file), *at]) == 0
    assert "The same." in capsys.readouterr().out
    assert run_command(["data", "diff", name, f"{other.path}:{name}", *at, "--json"]) == 4
    (told,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert told["columns"][0]["rows"] == 4
    assert run_command(["data", "diff", str(lake.path), str(other.path)]) == 4
    assert "They differ." in capsys.readouterr().out
    assert run_command(["data", "diff", name, "funding/nowhere/ETHUSDT/8h", *at]) == 3
    assert "a side to compare = 'funding/nowhere/ETHUSDT/8h'" in capsys.readouterr().err


def test_check_prints_the_rows_of_a_finding(stored, capsys):
    perp = bars([100.0 + n % 7 for n in range(30)]).with_columns(
        pl.when(pl.int_range(30) == 2).then(150.0).otherwise("high").alias("high")
    )
    spot = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
    lake = stored({HOURLY: perp, spot: bars([100.0 + n % 7 for n in range(30)])})
    assert run_command(["data", "check", "--lake", str(lake.path), "--rows"]) == 0
    out = capsys.readouterr().out
    assert "2024-03-01 02:00:00: open 102.0, high 150.0" in out
    assert "1 findings: 1 warning." in out
