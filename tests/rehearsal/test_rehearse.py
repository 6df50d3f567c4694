"""The command ``rehearse`` from its start to its page: real processes, real connections."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from counterpoise.execution.records import FillBooked
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.synthetic import generate
from counterpoise.rehearsal.checks import realised_usd
from counterpoise.watch.heartbeat import Heartbeat, read_heartbeat

DAYS = 40
RECORDING = "binance_usdm_ethusdt_20240808_raw_ws.jsonl.gz"
#: A market slow enough to be met within a schedule, on the lake that is named next.
SLOWLY = ("--hours", "3", "--speed", "200", "--lake")
RECORDED = datetime(2024, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rehearsed")
    Lake(path).write(generate(21, days=DAYS, symbol="ETHUSDT"), synthetic=True)
    return path


def begun(out: Path, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    """Start the command as a person does, with settings from the environment."""
    command = [sys.executable, "-c", "from counterpoise.cli import main; main()", "rehearse"]
    return subprocess.Popen(
        [*command, "--out", str(out), "--policy", "static_eth", *arguments],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def beat_when(process: "subprocess.Popen[str]", state: Path, holds) -> Heartbeat:
    """The first heartbeat of which something holds."""
    until = time.monotonic() + 240.0
    while process.poll() is None and time.monotonic() < until:
        beat = read_heartbeat(state)
        if beat is not None and holds(beat):
            return beat
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


def test_hours_are_played_to_the_target_and_everything_adds_up(lake, tmp_path) -> None:
    arguments = ("--lake", str(lake), "--hours", "1", "--speed", "2400", "--json")
    process = begun(tmp_path, *arguments)
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    told = json.loads(out)
    assert told["rehearsal"]
    assert told["passed"]
    assert [check["name"] for check in told["checks"] if not check["ok"]] == []
    assert told["short_eth"] == pytest.approx(800.0)
    assert told["tracking"]["hours"][-1]["outside"] is False
    # It begins without a hedge, and a schedule takes its time.
    assert 0 < told["tracking"]["outside_s"] < told["tracking"]["whole_s"]
    assert told["decisions"][0]["because"]
    assert told["orders"]["placed"] >= told["orders"]["whole"] + told["orders"]["part"] > 0
    cost = told["costs"][0]
    parts = ("spread_usd", "impact_usd", "delay_usd", "fee_usd", "opportunity_usd")
    assert sum(cost[part] for part in parts) == pytest.approx(cost["total_usd"])
    assert cost["slippage_usd"] + cost["fee_usd"] + cost["opportunity_usd"] == pytest.approx(
        cost["total_usd"]
    )
    assert 0 < cost["participation"] < 1
    assert told["latencies_ms"]["event_to_order_p50"] > 0
    assert told["fees_usd"] == pytest.approx(sum(fill["fee_usd"] for fill in told["fills"]))
    page = Path(told["page"]).read_text(encoding="utf-8")
    for said in ("This was a rehearsal", "no order left it", told["decisions"][0]["because"]):
        assert said in page
    assert "<script src" not in page
    assert "<link" not in page


def test_a_signal_ends_it_in_order_while_a_schedule_is_worked(lake, tmp_path) -> None:
    # Two at a time: most of a start is waiting.
    runs = {
        number: (
            tmp_path / number.name / "state",
            begun(tmp_path / number.name, *SLOWLY, str(lake)),
        )
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    for number, (state, process) in runs.items():
        beat_when(process, state, lambda beat: beat.twap_side and beat.twap_filled > 0)
        process.send_signal(number)
    for state, process in runs.values():
        out, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        assert "6 of 6 hold" in out
        assert "1 under way" in out
        with Reader(state / "journal.sqlite") as reader:
            with reader.snapshot() as connection:
                assert verify(connection).findings == ()
            assert {order.kind for order in reader.unsettled_orders()} <= {"stop"}
            assert reader.working_plans()
            assert 0 < sum(fill.size for fill in reader.fills(0)) < 800


def test_a_recorded_book_is_traded(real_data, real_lake, tmp_path) -> None:
    began = RECORDED - timedelta(days=DAYS)
    span = pl.col("ts").is_between(began, RECORDED)
    keys = [
        DatasetKey(table, "binance", "ETHUSDT", interval)
        for table, interval in (("perp_bars", "1h"), ("spot_bars", "1h"), ("funding", "8h"))
    ]
    part = {key: real_lake.read_key(key).filter(span) for key in keys}
    lake = tmp_path / "lake"
    Lake(lake).write(part)
    process = begun(
        tmp_path,
        *("--lake", str(lake), "--recording", str(real_data / "l2" / RECORDING)),
        *("--speed", "60", "--json"),
        COUNTERPOISE_TWAP__HORIZON_MAX_S="120",
    )
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    told = json.loads(out)
    assert (told["passed"], told["made_up"]) == (True, False)
    assert told["short_eth"] > 100.0
    # The book ends with a settlement, booked although no hour passes after it.
    assert told["funding_usd"] > 0.0


def fill(side: str, price: float, size: float) -> FillBooked:
    return FillBooked(0, "a", "1", 1, side, price, size, 0.0, True, price, 0.0)


def test_what_was_closed_is_realised_at_average_cost_also_through_zero() -> None:
    fills = [fill("sell", 100.0, 2.0), fill("buy", 90.0, 3.0), fill("sell", 95.0, 1.0)]
    # Two closed at a gain of 10 each, then one long from 90 sold at 95.
    assert realised_usd(fills) == pytest.approx(25.0)
