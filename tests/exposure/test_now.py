"""The exposure at one moment, as a table and as the L of the advice."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import load_settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.now import exposure_now
from tests.exposure.held import LOAN, at, holding, priced, written

START = datetime(2020, 1, 1, tzinfo=UTC)


def test_value_debt_and_distance_of_each_holding() -> None:
    timeline = priced([1_900.0, 1_950.0, 2_000.0])
    found = exposure_now(
        holding(
            {"asset": "wsteth", "amount": 500.0, "eth_per_token": 1.2, "debt_usd": 6e5, **LOAN},
            {"asset": "steth", "amount": 100.0, "debt_eth": 41.5, **LOAN},
            {"asset": "eth", "amount": 50.0},
        ),
        timeline,
    )
    assert found.price_usd == 2_000.0
    assert found.exposure_eth == pytest.approx(600 + 58.5 + 50)
    wrapped, looped, plain = found.holdings
    assert (wrapped.delta_eth, wrapped.value_usd) == (600.0, 600_000.0)
    assert wrapped.liquidation_price_usd == pytest.approx(1204.8193, abs=1e-4)
    assert wrapped.distance == pytest.approx(1 - 1204.8193 / 2000, abs=1e-7)
    assert (looped.delta_eth, looped.value_usd) == (58.5, 117_000.0)
    assert (looped.liquidation_ratio, looped.distance) == (0.5, 0.5)
    assert np.isnan([plain.liquidation_price_usd, plain.liquidation_ratio, plain.distance]).all()
    assert found.warnings == ()


def test_flows_up_to_now_count_and_later_ones_are_told(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 4)
    rows = [(at(timeline, 1), 100), (at(timeline, 3), -20), ("2031-01-01T00:00:00Z", 7)]
    file = written(tmp_path, "flows.csv", "ts,eth", rows)
    settings = load_settings(overrides={"exposure": {"eth": 1.0, "flows": file}})
    found = exposure_now(settings, timeline)
    assert found.exposure_eth == 81.0
    assert (found.flow_count, found.flow_eth) == (2, 80.0)
    assert (found.later_flow_count, found.later_flow_eth) == (1, 7.0)
    earlier = exposure_now(settings, timeline, 2)
    assert (earlier.exposure_eth, earlier.later_flow_eth) == (101.0, -13.0)


def test_a_loan_stated_today_is_not_judged_by_yesterday() -> None:
    timeline = priced([1_000.0, 1_100.0, 2_000.0])
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1e6, **LOAN}
    found = exposure_now(holding(loan), timeline)
    assert (found.exposure_eth, found.warnings) == (1000.0, ())


def test_a_loan_that_the_prices_have_ended_since_is_what_is_left_of_it_and_told() -> None:
    timeline = priced([1_500.0, 1_200.0, 2_000.0])
    loan = {"asset": "wsteth", "amount": 800.0, "eth_per_token": 1.25, "debt_usd": 1e6, **LOAN}
    found = exposure_now(holding(loan | {"as_of": START}), timeline)
    (one,) = found.holdings
    assert found.exposure_eth == pytest.approx(128.5)
    assert (one.amount, one.eth_per_token) == (pytest.approx(128.5 / 1.25), 1.25)
    assert (one.debt_usd, one.value_usd) == (0.0, pytest.approx(257_000.0))
    assert np.isnan(one.distance)
    assert one.liquidation is not None
    assert "wsteth was liquidated at 2020-01-01 01:00 at 1,204.82 USD" in found.warnings[0]
    before = exposure_now(holding(loan | {"as_of": START}), timeline, 0)
    assert (before.exposure_eth, before.holdings[0].liquidation) == (1000.0, None)


def test_a_loan_past_its_limit_is_shown_with_a_warning() -> None:
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1e6, **LOAN}
    found = exposure_now(holding(loan), priced([1_500.0, 1_100.0]))
    assert found.exposure_eth == 1000.0
    assert found.holdings[0].distance < 0
    assert "eth is liquidated at 1,204.82: the lender can take its collateral" in found.warnings[0]


def test_no_exposure_no_rate_and_no_price_are_refused(tmp_path: Path) -> None:
    timeline = priced([2_000.0, 2_000.0])
    file = written(tmp_path, "flows.csv", "ts,eth", [(at(timeline, 0), -1000)])
    with pytest.raises(FixConfig, match=r"0 ETH at 2020-01-01 01:00.*--exposure"):
        exposure_now(load_settings(overrides={"exposure": {"flows": file}}), timeline)
    late = written(tmp_path, "reth.csv", "ts,eth_per_token", [("2024-01-01T00:00:00Z", 1.1)])
    with pytest.raises(NotEnoughData, match=r"rate of reth .* is not known at 2020-01-01 01:00"):
        exposure_now(holding({"asset": "reth", "amount": 1.0, "rate_file": late}), timeline)
    with pytest.raises(NotEnoughData, match="no hour has a spot price"):
        exposure_now(load_settings(), priced([float("nan")] * 2))


def test_the_advice_hedges_what_the_holdings_amount_to() -> None:
    from counterpoise.decision.advice import advise
    from tests.decision.test_advice import forecasts, market

    timeline = market()
    settings = holding(
        {"asset": "wsteth", "amount": 500.0, "eth_per_token": 1.2},
        {"asset": "steth", "amount": 500.0, "debt_eth": 100.0, **LOAN},
    )
    found = advise(timeline, forecasts(timeline), settings, short_eth=600.0)
    rows = {row.policy: row for row in found.rows}
    assert found.exposure_eth == 1000.0
    assert [one.name for one in found.held.holdings] == ["wsteth", "steth"]
    assert rows["full"].order_eth == 400.0
    assert rows["as_is"].target_ratio == 0.6
