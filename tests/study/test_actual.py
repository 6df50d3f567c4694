"""What was done beside what would have been: the same days, the same coins, sums that add up."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.hedging.own import refuse_clashes
from counterpoise.market.fills import Fills
from counterpoise.signals.forecasts import Forecasts
from counterpoise.study.actual import (
    ACTUAL,
    MATCHED,
    ROW,
    Actual,
    Ledger,
    actual_window,
    ledger_alone,
    ledger_json,
)
from counterpoise.study.ledger_section import ledger_section
from counterpoise.units import DAY_MS
from tests.random_timeline import START_MS, random_timeline

READY_DAY, DAYS = 50, 130
TIMELINE = random_timeline(24 * DAYS + 1, seed=8)
SETTINGS = Settings(study={"draws": 200})


def forecasts() -> Forecasts:
    """Constant forecasts, known from day 50 on."""
    known = TIMELINE.ts_ms >= START_MS + READY_DAY * DAY_MS
    names = [name for name in Forecasts.__dataclass_fields__ if name not in ("ts_ms", "folds")]
    return Forecasts(ts_ms=TIMELINE.ts_ms, **{name: np.where(known, 0.5, np.nan) for name in names})


def done(*rows: tuple[float, float]) -> Actual:
    """Fills from (days since the start, ETH sold or minus bought) at the close of their hour."""
    ts_ms = np.array([START_MS + round(day * DAY_MS) for day, _ in rows])
    tick = np.searchsorted(TIMELINE.ts_ms, ts_ms, side="right")
    close = TIMELINE.perp.close[np.minimum(tick, 24 * DAYS), 0]
    sold = np.array([size for _, size in rows], dtype=float)
    return Actual(
        Fills(
            ts_ms,
            -np.sign(sold),
            close,
            np.abs(sold),
            5e-4 * close * np.abs(sold),
            np.array(["binance"] * len(rows)),
            np.arange(len(rows)).astype(np.str_),
            ("fills.csv: read",),
        )
    )


def days_of(actual: Actual, **study: object) -> tuple[float, float, tuple[str, ...]]:
    settings = Settings(study=study)
    first, last, notes = actual_window(actual, TIMELINE, forecasts(), settings)
    begin, end = ((int(TIMELINE.ts_ms[tick]) - START_MS) / DAY_MS for tick in (first, last - 1))
    return begin, end, notes


def test_the_days_of_the_fills_are_compared_whole() -> None:
    assert days_of(done((60.3, 1.0), (65.9, 1.0))) == (60.0, 66.0, ())
    # A fill on the stroke of midnight is of the day that begins.
    assert days_of(done((60.0, 1.0), (66.0, 1.0))) == (60.0, 67.0, ())


def test_no_day_before_the_forecasts_or_after_the_bars_is_compared() -> None:
    begin, end, notes = days_of(done((3.2, 1.0), (500.0, -1.0)))
    assert (begin, end) == (READY_DAY, DAYS)
    assert "the comparison begins 2020-02-20 00:00 with the first out-of-sample" in notes[0]
    assert "the comparison ends 2020-05-10 00:00 with the data" in notes[1]
    for days in ((1.0, 2.0), (300.0, 301.0)):
        with pytest.raises(NotEnoughData, match="no whole day"):
            days_of(done(*((day, 1.0) for day in days)))


def test_from_and_to_win_over_the_span_of_the_fills() -> None:
    fills = done((60.3, 1.0), (65.9, 1.0))
    assert days_of(fills, start="2020-02-25T06:00:00Z", end="2020-04-01")[:2] == (56.0, DAYS)
    with pytest.raises(NotEnoughData, match="before the first out-of-sample forecast"):
        days_of(fills, start="2020-01-05")


def test_prices_of_another_market_are_refused_before_anything_is_compared() -> None:
    fills = done((60.3, 1.0), (65.9, 1.0)).fills
    with pytest.raises(RejectData, match="2 of 2 fills"):
        days_of(Actual(replace(fills, price_usd=fills.price_usd * 1.2)))


def ledger(actual: Actual) -> Ledger:
    return ledger_alone(actual, TIMELINE, forecasts(), SETTINGS)


def test_a_static_hedge_done_by_hand_is_its_own_match() -> None:
    """800 ETH sold in the first hour at its close: the static hedge but for an hour and the fee."""
    held = ledger(done((60.0 + 0.5 / 24, 800.0), (129.5, 0.001)))
    own, _, static = held.rows
    assert (own.name, static.name) == (ACTUAL, MATCHED)
    assert own.mean_ratio == pytest.approx(static.mean_ratio, abs=1e-6)
    assert own.usd["slippage"] == pytest.approx(0.0, abs=1e-6)
    assert own.usd["fees"] == pytest.approx(
        -5e-4 * 800 * TIMELINE.perp.close[60 * 24 + 1, 0], rel=1e-5
    )
    assert own.usd["funding"] == pytest.approx(static.usd["funding"], rel=0.02)
    assert own.usd["basis"] == pytest.approx(static.usd["basis"], abs=500.0)
    assert held.fills == 2
    assert held.days == 70


def test_rows_add_up_and_differences_are_theirs() -> None:
    held = ledger(done((60.2, 900.0), (80.0, -300.0), (100.0, 100.0), (125.9, -700.0)))
    for row in held.rows:
        assert sum(row.usd.values()) == pytest.approx(row.total_usd, abs=1e-6)
    own, *others = held.rows
    for found, other in zip(held.differences, others, strict=True):
        assert found.against == other.name
        assert found.difference_usd == pytest.approx(own.total_usd - other.total_usd)
        assert found.low_usd < found.difference_usd < found.high_usd
    assert (held.sold_eth, held.bought_eth) == (1000.0, 1000.0)
    assert own.traded_eth == 2000.0
    assert held.slippage_bps == pytest.approx(0.0, abs=1e-9)


def test_few_days_give_sums_without_intervals() -> None:
    held = ledger(done((60.2, 900.0), (64.0, -900.0)))
    assert held.days == 5
    assert all(np.isnan((found.low_usd, found.high_usd)).all() for found in held.differences)
    assert ledger_json(held)["rows"][ACTUAL]["traded_eth"] == 1800.0


def test_a_position_no_static_hedge_can_match_is_said() -> None:
    held = ledger(done((60.2, 2000.0), (64.0, -1.0)))
    assert held.rows[2].mean_ratio == pytest.approx(1.0)
    assert any("lies outside 0 to 1" in note for note in held.notes)
    assert any("short of more than the exposure" in note for note in held.notes)


def test_no_policy_of_ones_own_takes_the_name_of_what_was_done() -> None:
    with pytest.raises(FixConfig, match="other than that of --actual"):
        refuse_clashes((ROW, replace(ROW, name="Actual", place="mine.py:3")))


def test_the_page_says_what_was_read_and_what_it_came_to() -> None:
    held = ledger(done((60.2, 900.0), (64.0, -900.0)))
    page = ledger_section(replace(held, notes=("<b>fills.csv</b>: read",)), "<table></table>")
    for words in ("2 fills from 2020-03-01", "900.0 ETH sold", "matched_static", "&lt;b&gt;"):
        assert words in page
    assert "<b>fills" not in page
