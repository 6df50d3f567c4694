"""The page and the results say what was hedged, and what a lender took of it."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import load_settings
from counterpoise.exposure.path import exposure_path
from counterpoise.study.hedged import hedged_html, hedged_of
from tests.exposure.held import LOAN, at, holding, priced, written


def test_both_ends_flows_loans_and_losses_are_told(tmp_path: Path) -> None:
    timeline = priced([1_500.0, 1_500.0, 1_400.0, 1_200.0, 1_300.0, 1_300.0])
    rows = [(at(timeline, 0), 5), (at(timeline, 2), 20), (at(timeline, 4), -10)]
    flows = written(tmp_path, "flows.csv", "ts,eth", [*rows, ("2030-01-01T00:00:00Z", 1)])
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1e6, **LOAN}
    loop = {"asset": "steth", "amount": 100.0, "debt_eth": 50.0, **LOAN}
    path = exposure_path(holding(loan, loop, flows=flows), timeline, 1, 5)
    found = hedged_of(path)
    assert (found.begin, found.end) == ("2020-01-01 01:00", "2020-01-01 04:00")
    assert (found.first_eth, found.highest_eth) == (1055.0, 1075.0)
    assert found.last_eth == pytest.approx(128.5 + 50 + 15)
    assert found.mean_eth == pytest.approx((1055 + 1075 + 203.5 + 193.5) / 4, rel=1e-12)
    assert (found.flow_count, found.flow_eth) == (2, 10.0)
    first, second = found.holdings
    assert (first.liquidated, first.first_eth) == ("2020-01-01 03:00", 1000.0)
    assert first.loss_usd == pytest.approx(50_000.0)
    assert (second.liquidated, second.loss_usd) == ("", 0.0)
    assert second.liquidation_ratio == pytest.approx(50 / 83)
    html = hedged_html(found)
    for words in (
        "1,055.00 ETH at 2020-01-01 01:00, 193.50 ETH at 2020-01-01 04:00",
        "flows in the window: 2, in sum +10.00 ETH",
        "1,204.82 USD",
        "0.6024 × rate",
        "50,000",
        "flows before 2020-01-01 01:00: 1, in sum +5 ETH",
        "in no policy's P&amp;L",
    ):
        assert words in html.replace("&#x27;", "'"), words


def test_a_liquidation_after_the_window_is_none_of_its_business() -> None:
    timeline = priced([1_500.0, 1_400.0, 1_300.0, 1_100.0])
    loan = {"asset": "eth", "amount": 1000.0, "debt_usd": 1e6, **LOAN}
    (row,) = hedged_of(exposure_path(holding(loan), timeline, 0, 3)).holdings
    assert (row.liquidated, row.last_eth) == ("", 1000.0)


def test_a_constant_exposure_needs_one_line() -> None:
    found = hedged_of(exposure_path(load_settings(), priced([2_000.0] * 3)))
    html = hedged_html(found)
    assert "1,000.00 ETH at 2020-01-01 00:00, 1,000.00 ETH at 2020-01-01 02:00." in html
    assert "between" not in html
    assert "<ul>" not in html
    assert np.isnan(found.holdings[0].liquidation_price_usd)


def test_a_name_from_a_file_stays_text(tmp_path: Path) -> None:
    timeline = priced([2_000.0] * 3)
    flows = written(tmp_path, "a<b>.csv", "ts,eth,x", [(at(timeline, 1), 1, "y")])
    settings = load_settings(overrides={"exposure": {"flows": flows}})
    html = hedged_html(hedged_of(exposure_path(settings, timeline)))
    assert "a&lt;b&gt;.csv" in html
    assert "<b>" not in html


def test_rewards_make_the_last_exposure_larger_than_the_first() -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    table = {"asset": "steth", "amount": 1000.0, "as_of": start, "yield_per_year": 0.03}
    found = hedged_of(exposure_path(holding(table), priced([2_000.0] * 3)))
    assert found.first_eth == 1000.0
    assert found.last_eth == pytest.approx(1000 * 1.03 ** (2 / 8760), rel=1e-14)
    assert "3.00 %" in hedged_html(found)
