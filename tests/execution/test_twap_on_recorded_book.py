"""A schedule on the recorded book of Binance USD-M, against one market order."""

import pytest

from tests.execution.recorded_book import ethereum, report, runs


@pytest.fixture(scope="module")
def market(real_data):
    return ethereum(real_data)


@pytest.mark.parametrize("strict", [False, True])
def test_500_eth_cost_at_most_half_of_a_market_order(market, strict):
    found = runs(market, urgency=0.2, count=2, strict=strict)
    assert len(found) == 4
    for run in found:
        assert run.cost.filled_eth == 500.0
        assert run.cost.opportunity_usd == 0.0
        parts = run.cost.spread_usd + run.cost.impact_usd + run.cost.delay_usd
        assert parts + run.cost.fee_usd == pytest.approx(run.cost.total_usd)
        # 2 bps is the maker's fee: the market order pays 5 and what it walks.
        assert run.bps(run.cost.fee_usd) >= 2.0 - 0.01
        assert run.market_bps > 5.0
    assert report(found, draws=100)["pair ratio"][0] <= 0.5
