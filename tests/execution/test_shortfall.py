"""Implementation shortfall, and the cost model fitted to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import NotEnoughData
from counterpoise.execution.records import Plan, Shortfall
from counterpoise.execution.shortfall import FEWEST, PricedFill, calibrate, shortfall


def plan(schedule_id=1, side="sell", size=10.0, **memory):
    given = {"urgency": 0.0, "sigma_day": 0.04, "volume_day_eth": 2e6, **memory}
    return Plan(0, schedule_id, 1, side, size, 3000.0, 0, 1, "done", given)


def test_by_hand():
    """Sold 4 at 2999 (mid 2998.5, sent at 2999.5) and 2 at 3001 by taking; 4 are left at 2990."""
    fills = [
        PricedFill(2999.0, 4.0, 2.4, True, 2999.5, 2998.5),
        PricedFill(3001.0, 2.0, 3.0, False, 3002.0, 3002.0),
    ]
    cost = shortfall(plan(), fills, 6.0, 2990.0, 5)
    assert cost.delay_usd == pytest.approx(0.5 * 4 - 2.0 * 2)
    assert cost.impact_usd == pytest.approx(1.0 * 4)
    assert cost.spread_usd == pytest.approx(-0.5 * 4 + 1.0 * 2)
    assert cost.fee_usd == pytest.approx(5.4)
    assert cost.opportunity_usd == pytest.approx(40.0)
    assert cost.total_usd == pytest.approx(4 * 1.0 - 2 * 1.0 + 5.4 + 40.0)
    assert cost.average_price == pytest.approx((4 * 2999 + 2 * 3001) / 6)
    assert cost.maker_share == pytest.approx(4 / 6)


prices = st.floats(1_000, 5_000)


@given(
    side=st.sampled_from(["sell", "buy"]),
    rows=st.lists(
        st.tuples(prices, st.floats(0.001, 50), st.floats(-5, 5), st.booleans(), prices, prices),
        max_size=8,
    ),
    extra=st.floats(0, 50),
    mid=prices,
)
def test_parts_add_up_to_what_was_paid_beyond_the_arrival_mid(side, rows, extra, mid):
    fills = [PricedFill(*row) for row in rows]
    filled = sum(fill.size for fill in fills)
    cost = shortfall(plan(side=side, size=filled + extra), fills, filled, mid, 0)
    parts = cost.spread_usd + cost.impact_usd + cost.delay_usd
    assert parts + cost.fee_usd + cost.opportunity_usd == cost.total_usd
    sign = 1 if side == "sell" else -1
    paid = sum(sign * (3000.0 - fill.price) * fill.size + fill.fee_usd for fill in fills)
    left = sign * (3000.0 - mid) * (cost.size - filled)
    assert cost.total_usd == pytest.approx(paid + left, abs=1e-6)


def worked(count, chance, half_spread_bps=0.8, share=0.4, impact=0.6, urgency=None):
    """Schedules of the simulator's own model, with noise of market moves."""
    costs, plans = [], []
    for number in range(count):
        u = chance.uniform(0, 1) if urgency is None else urgency
        size, price = chance.uniform(10, 900), 3000.0
        crossed = share + (1 - share) * u
        notional = size * price
        moved = impact * 0.04 * np.sqrt(size / 2e6) * notional
        noise = chance.normal(0, 1e-4) * notional
        plans.append(plan(number, size=size, urgency=u))
        spread = notional * crossed * half_spread_bps * 1e-4
        costs.append(
            Shortfall(
                *(0, number, "sell", size, size, price, price, spread),
                *(moved * 0.7, moved * 0.3 + noise, 1.0, 0.0, 0.0, 1 - crossed),
            )
        )
    return costs, plans


def test_a_planted_cost_model_is_found():
    model = calibrate(*worked(400, np.random.default_rng(0)))
    assert model.schedules == 400
    assert model.half_spread_bps.value == pytest.approx(0.8, abs=1e-9)
    assert model.taker_share.value == pytest.approx(0.4, abs=1e-9)
    low, high = model.impact_coefficient.low, model.impact_coefficient.high
    assert low < 0.6 < high
    assert high - low < 0.5


def test_values_stay_within_the_settings_but_intervals_tell_all():
    model = calibrate(*worked(60, np.random.default_rng(1), impact=-3.0))
    assert model.impact_coefficient.value == 0.0
    assert model.impact_coefficient.high < 0.0


def test_too_little_is_refused_with_its_reason():
    chance = np.random.default_rng(2)
    with pytest.raises(NotEnoughData, match=f"expected {FEWEST}"):
        calibrate(*worked(FEWEST - 1, chance))
    with pytest.raises(NotEnoughData, match="crossed"):
        calibrate(*worked(40, chance, share=0.0, urgency=0.0))
    with pytest.raises(NotEnoughData, match="urgency 1"):
        calibrate(*worked(40, chance, urgency=1.0))
    costs, plans = worked(40, chance)
    with pytest.raises(NotEnoughData, match="20 schedules"):
        calibrate(costs, plans[:20])
