"""The past the venue tells of, and our own fetching from it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from counterpoise.cli import run_command
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.denied import Denied
from counterpoise.rehearsal.history import History
from counterpoise.units import DAY_MS, HOUR_MS, to_ms
from tests.rehearsal.steady import SYMBOL, ready, venue

START = datetime(2024, 1, 1, tzinfo=UTC)
FIRST = to_ms(START)
NOW = FIRST + 19 * DAY_MS + 10 * HOUR_MS + 17 * 60_000


@pytest.fixture(scope="module")
def tables() -> dict[DatasetKey, pl.DataFrame]:
    return generate(3, START, 31, with_gaps=False)


@pytest.fixture(scope="module")
def history(tables: dict[DatasetKey, pl.DataFrame]) -> History:
    return History(tables)


def opens(rows: list[list[Any]]) -> list[int]:
    return [row[0] for row in rows]


def test_no_bar_is_told_before_it_has_closed(history: History) -> None:
    for interval, step in (("1h", HOUR_MS), ("4h", 4 * HOUR_MS), ("1d", DAY_MS)):
        rows = history.klines("perp_bars", SYMBOL, interval, (None, None), 1500, NOW)
        assert rows[-1][6] + 1 <= NOW < rows[-1][6] + 1 + step
        assert opens(rows) == list(range(FIRST, rows[-1][0] + 1, step))


def test_a_day_is_made_of_its_hours(history: History) -> None:
    span = (FIRST + DAY_MS, FIRST + 2 * DAY_MS - 1)
    hours = history.klines("perp_bars", SYMBOL, "1h", span, 1500, NOW)
    (day,) = history.klines("perp_bars", SYMBOL, "1d", span, 1500, NOW)
    assert len(hours) == 24
    assert day[1] == hours[0][1]
    assert day[2] == max((row[2] for row in hours), key=float)
    assert day[3] == min((row[3] for row in hours), key=float)
    assert day[4] == hours[-1][4]
    assert float(day[5]) == pytest.approx(sum(float(row[5]) for row in hours), abs=0.02)


def test_weeks_begin_on_mondays(history: History) -> None:
    weeks = history.klines("perp_bars", SYMBOL, "1w", (None, None), 10, NOW)
    assert [datetime.fromtimestamp(at / 1000, UTC).weekday() for at in opens(weeks)] == [0, 0]


def test_pages_begin_where_they_are_asked_to(history: History) -> None:
    first = history.klines("mark_bars", SYMBOL, "1h", (FIRST, None), 10, NOW)
    newest = history.klines("mark_bars", SYMBOL, "1h", (None, None), 10, NOW)
    assert opens(first) == [FIRST + n * HOUR_MS for n in range(10)]
    assert newest[-1][0] == NOW // HOUR_MS * HOUR_MS - HOUR_MS
    assert history.klines("premium_bars", SYMBOL, "1h", (None, None), 10, NOW) == []
    with pytest.raises(Denied, match="-1120"):
        history.klines("mark_bars", SYMBOL, "7m", (None, None), 10, NOW)


def test_data_fetch_brings_the_same_tables(
    tables: dict[DatasetKey, pl.DataFrame], history: History, tmp_path: Path
) -> None:
    async def run() -> int:
        async with venue(history=history, now_ms=NOW) as binance:
            await ready(binance)
            url = json.dumps(binance.url_http)
            settings = tmp_path / "settings.toml"
            settings.write_text(
                f"lake = {json.dumps(str(tmp_path / 'lake'))}\n[sources]\nattempts = 1\n"
                f"[sources.binance]\narchive_url = {url}\nfutures_url = {url}\nspot_url = {url}\n"
                "weight_per_minute = 100000.0\n"
            )
            words = ["data", "fetch", "binance", "--kinds", "klines,spot,mark,funding"]
            span = ["--from", "2024-01-17", "--to", "2024-01-20T10:00"]
            given = [*words, "--config", str(settings), *span]
            return await asyncio.to_thread(run_command, given)

    assert asyncio.run(run()) == 0
    lake = Lake(tmp_path / "lake")
    begin, end = FIRST + 16 * DAY_MS, FIRST + 19 * DAY_MS + 10 * HOUR_MS
    for table, columns in {
        "perp_bars": ["ts", "open", "high", "low", "close", "volume"],
        "spot_bars": ["ts", "open", "high", "low", "close", "volume", "trades"],
        "mark_bars": ["ts", "open", "high", "low", "close"],
    }.items():
        key = DatasetKey(table, "binance", SYMBOL, "1h")
        stamps = pl.col("ts").dt.epoch("ms")
        wanted = tables[key].filter((stamps >= begin) & (stamps < end)).select(columns)
        assert_frame_equal(lake.read_key(key).select(columns), wanted, abs_tol=0.006)
    funding = lake.read_key(DatasetKey("funding", "binance", SYMBOL, "8h"))
    settled = tables[DatasetKey("funding", "binance", SYMBOL, "8h")]
    settled = settled.filter(pl.col("ts").dt.epoch("ms") <= NOW)
    assert_frame_equal(
        funding.select("ts", "funding_rate"), settled.select("ts", "funding_rate"), abs_tol=1e-8
    )
