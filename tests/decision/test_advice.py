"""Advice for a position: the numbers of each row, from a market made by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest

from counterpoise.config import Settings, load_settings
from counterpoise.decision.advice import Advice, advise
from counterpoise.errors import FixConfig
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from tests.random_timeline import random_timeline

HOURS = 24 * 30 + 1
PRICE = 2_000.0


def market() -> Timeline:
    """Thirty days that end at 2,000 USD, with 1 bp settled last and 8 h between settlements."""
    timeline = random_timeline(HOURS, seed=3)
    spot, perp = timeline.spot.close.copy(), timeline.perp.close.copy()
    spot[-1] = perp[-1, 0] = PRICE
    last = timeline.funding_last.copy()
    last[-1] = 1e-4
    return replace(
        timeline,
        spot=replace(timeline.spot, close=spot),
        perp=replace(timeline.perp, close=perp),
        funding_last=last,
    )


def forecasts(timeline: Timeline, **changed: float) -> Forecasts:
    values = {
        "p_up_4h": 0.78,
        "p_hedge_pays_4h": 0.5,
        "vol_24h": 0.6,
        "vol_24h_har": 0.6,
        "rv_24h": 0.6,
        "rv_168h": 0.6,
        "funding_next": 2e-4,
        "rho": 0.45,
    } | changed
    arrays = {
        field.name: np.full(HOURS, values.get(field.name, np.nan))
        for field in fields(Forecasts)
        if field.name not in ("ts_ms", "folds")
    }
    return Forecasts(ts_ms=timeline.ts_ms, **arrays)


def rows(
    short: float = 600.0, settings: Settings | None = None, **changed: float
) -> dict[str, Advice]:
    timeline = market()
    found = advise(
        timeline, forecasts(timeline, **changed), settings or load_settings(), short_eth=short
    )
    assert found.price_usd == PRICE
    return {row.policy: row for row in found.rows}


def test_the_formula_row_is_the_worked_example() -> None:
    row = rows()["formula_literal"]
    assert row.rule_target == pytest.approx(0.72793, abs=1e-5)
    assert "C = P(up) over 4 h = 0.78 and ρ = +0.45 give S/L = 72.8%" in row.because


def test_the_full_hedge_row() -> None:
    row = rows()["full"]
    assert (row.lo, row.hi, row.target_eth, row.order_eth) == (1.0, 1.0, 1000.0, 400.0)
    assert row.order_usd == 800_000.0
    assert row.margin.amount == 1_000_000.0
    assert row.funding_day_last_usd == pytest.approx(1000 * PRICE * 1e-4 * 3)
    assert row.funding_day_forecast_usd == pytest.approx(1000 * PRICE * 2e-4 * 3)
    assert row.order_cost_usd > 800_000 * 3.75e-4  # impact comes on top of fee and spread
    assert row.because.startswith("Sell: 60.0% hedged is below 100.0%")


def test_volatility_timing_at_usual_volatility_leaves_fifteen_percent_open() -> None:
    row = rows()["volatility_timed"]
    assert row.acted_on
    assert row.rule_target == pytest.approx(0.85)
    assert row.target_ratio == pytest.approx(0.80)  # the nearest edge of its band
    assert "60% a year" in row.because
    assert "so 15% may stay unhedged" in row.because


def test_where_i_stand_changes_nothing_and_says_what_it_assumes() -> None:
    row = rows()["as_is"]
    assert (row.order_eth, row.order_usd, row.order_cost_usd) == (0.0, 0.0, 0.0)
    assert "give --margin" in row.because


def test_a_clipped_formula_says_so() -> None:
    row = rows(rho=-0.517, p_up_4h=0.3)["formula_literal"]
    assert row.rule_target == pytest.approx(1.2537, abs=1e-4)
    assert "clipped to the cap of 100%" in row.because
    assert row.target_eth <= 1000.0


def test_a_missing_signal_falls_back_and_never_prints_nan() -> None:
    row = rows(short=950.0, vol_24h=float("nan"))["volatility_timed"]
    assert row.reasons == ("IN_BAND", "FALLBACK")
    assert row.target_eth == 950.0
    assert "nan" not in row.because
    assert "falls back" in row.because


def test_coin_margined_orders_are_whole_contracts() -> None:
    settings = load_settings(overrides={"capital": {"collateral": "coin-margined"}})
    row = rows(settings=settings)["formula_literal"]
    assert (row.order_usd / 10) == pytest.approx(round(row.order_usd / 10), abs=1e-6)


def test_a_short_that_cannot_be_is_refused() -> None:
    with pytest.raises(FixConfig, match="--short"):
        rows(short=-5.0)
    with pytest.raises(FixConfig, match="--short"):
        rows(short=20_000.0)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"other_maintenance": -1.0, "posted": 1e6}, "--other-maintenance"),
        ({"other_pnl": float("nan"), "posted": 1e6}, "--other-pnl"),
        ({"other_pnl": -1.0}, "--margin"),
    ],
)
def test_other_positions_that_make_no_sense_are_refused(given: dict, key: str) -> None:
    timeline = market()
    with pytest.raises(FixConfig, match=f"^{key} = "):
        advise(timeline, forecasts(timeline), load_settings(), short_eth=600.0, **given)


def test_other_positions_count_where_i_stand_and_nowhere_else() -> None:
    timeline = market()
    alone, shared = (
        advise(
            timeline,
            forecasts(timeline),
            load_settings(),
            short_eth=600.0,
            posted=400_000.0,
            other_maintenance=needed,
        ).rows
        for needed in (0.0, 50_000.0)
    )
    assert [row.margin for row in alone[:-1]] == [row.margin for row in shared[:-1]]
    # In tier 3 (0.65 %, cum 950) a USD of margin moves it by 1 / (600·1.0065).
    moved = alone[-1].margin.liquidation_price_usd - shared[-1].margin.liquidation_price_usd
    assert moved == pytest.approx(50_000 / (600 * 1.0065))
