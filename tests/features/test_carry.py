"""Predicted funding follows the venue's dated rule and has never seen the settled rate."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.features.engine import Live, compute
from counterpoise.venues import contract_at
from tests.features.market import market

SMALL = market(240, seed=7)
NAMES = ("premium_elapsed", "predicted_funding", "funding_elapsed")


def with_basis(basis: np.ndarray, interval_h: float = 8.0, venue: str = "binance"):
    """Predictions of a market whose basis is given, from midnight UTC on."""
    ticks = len(basis)
    spot = dataclasses.replace(SMALL.spot, close=np.full(ticks, 2_000.0))
    perp = dataclasses.replace(SMALL.perp, close=2_000.0 * (1 + basis)[:, None])
    return compute(
        dataclasses.replace(
            SMALL,
            ts_ms=SMALL.ts_ms[:ticks],
            venues=(venue,),
            spot=spot,
            perp=perp,
            funding_interval_h=np.full((ticks, 1), interval_h),
        ),
        NAMES,
    )


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(-5.0, 5.0))
def test_predicted_funding_does_not_depend_on_any_settled_rate(factor: float) -> None:
    changed = dataclasses.replace(
        SMALL,
        funding_settled=factor * SMALL.funding_settled,
        funding_last=factor * SMALL.funding_last,
    )
    assert compute(changed, NAMES).values.tobytes() == compute(SMALL, NAMES).values.tobytes()


def test_the_mean_premium_weighs_late_hours_more_and_starts_again_at_a_settlement() -> None:
    basis = np.array([0.0, 3e-4, 0.0, 0.0, 0.0, 0.0, 0.0, 8e-4, 5e-4])
    found = with_basis(basis)["premium_elapsed"]
    expected = [0.0, 2 * 3e-4 / 3, 2 * 3e-4 / 6, (2 * 3e-4 + 8 * 8e-4) / 36, 5e-4]
    np.testing.assert_allclose(found[[0, 1, 2, 7, 8]], expected, rtol=1e-9, atol=1e-15)


def test_a_missing_hour_is_left_out_of_the_mean_premium() -> None:
    basis = np.array([1e-4, np.nan, 4e-4])
    found = with_basis(basis)["premium_elapsed"]
    assert np.isnan(found[1])
    assert found[2] == pytest.approx((1e-4 + 3 * 4e-4) / 4)


def test_an_hourly_interval_has_one_print() -> None:
    basis = np.array([1e-4, -2e-4, 3e-4])
    np.testing.assert_allclose(with_basis(basis, 1.0)["premium_elapsed"], basis, rtol=1e-9)


def test_a_calm_premium_predicts_exactly_the_default_rate() -> None:
    found = with_basis(np.full(8, 3e-4))["predicted_funding"]
    assert np.array_equal(found, np.full(8, 1e-4))


@settings(max_examples=50, deadline=None)
@given(basis=st.floats(-0.05, 0.05), interval_h=st.sampled_from([1.0, 2.0, 4.0, 8.0]))
def test_prediction_is_the_rule_in_force_whatever_the_interval(
    basis: float, interval_h: float
) -> None:
    rule = contract_at("binance", int(SMALL.ts_ms[0])).funding
    per_interval = dataclasses.replace(rule, interval_h=int(interval_h)).rate(basis)
    found = with_basis(np.full(1, basis), interval_h)["predicted_funding"][0]
    assert found == pytest.approx(per_interval * 8 / interval_h, rel=1e-9, abs=1e-12)


def test_a_venue_without_a_damper_adds_its_default_rate() -> None:
    found = with_basis(np.full(3, 3e-4), 1.0, "dydx")["predicted_funding"]
    np.testing.assert_allclose(found, 4e-4, rtol=1e-9)


def test_a_venue_without_a_known_rule_has_no_prediction() -> None:
    found = with_basis(np.full(3, 3e-4), 8.0, "mexc")
    assert np.isnan(found["predicted_funding"]).all()
    assert np.isfinite(found["premium_elapsed"]).all()


def test_the_elapsed_share_runs_from_zero_at_every_settlement() -> None:
    found = with_basis(np.zeros(17))["funding_elapsed"]
    np.testing.assert_allclose(found, np.arange(17) % 8 / 8)


def test_without_an_interval_the_running_mean_is_unknown_and_starts_again() -> None:
    live = Live(["premium_elapsed"])
    assert live.inputs == ("perp.close", "spot.close", "clock_h", "funding_interval_h")
    values = [
        live.update(np.array([perp, 1_000.0, 480_000.0 + hour, interval]))[0]
        for hour, (perp, interval) in enumerate([(1_001.0, 8.0), (1_002.0, np.nan), (1_004.0, 8.0)])
    ]
    assert values[0] == pytest.approx(1e-3)
    assert np.isnan(values[1])
    assert values[2] == pytest.approx(4e-3)
