"""One step: what it may never do, whatever it is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision import Reason, decide
from counterpoise.decision.step import (
    Decision,
    Limits,
    initial_state,
    remember,
    rests,
    step,
)

LIMITS = Limits(max_ratio=1.0, fallback_ratio=0.8, grace_ticks=2.0, leverage=2.0, leverage_max=3.0)
NAN = float("nan")


def one(
    short: float = 0.0,
    band: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.8),
    *,
    exposure: float = 1000.0,
    price: float = 2000.0,
    equity: float | None = None,
    state: np.ndarray | None = None,
    limits: Limits = LIMITS,
) -> Decision:
    """Decide for one venue."""
    return decide(
        initial_state(1) if state is None else state,
        short_eth=np.array([short]),
        price=np.array([price]),
        equity=np.array([short * price / 2 if equity is None else equity]),
        exposure_eth=exposure,
        band=band,
        weights=np.array([1.0]),
        limits=limits,
        step_eth=np.array([0.001]),
        min_notional_usd=np.array([20.0]),
    )


def test_a_static_hedge_goes_to_its_ratio_and_rests() -> None:
    first = one()
    assert first.target_eth[0] == pytest.approx(800.0)
    assert Reason.RAISE in first.reasons
    second = one(800.0, state=first.state)
    assert second.reasons == Reason.IN_BAND
    assert second.target_eth[0] == 800.0


def test_outside_its_band_the_hedge_goes_where_the_intent_says() -> None:
    band = (0.75, 0.85, 0.80, 0.85)
    assert one(700.0, band).target_eth[0] == pytest.approx(800.0)
    assert one(900.0, band).target_eth[0] == pytest.approx(850.0)
    assert one(760.0, band).target_eth[0] == 760.0


def test_a_missing_signal_is_held_then_raises_to_the_static_hedge_and_never_lowers() -> None:
    unknown = (NAN, NAN, NAN, NAN)
    state = one(500.0, (0.5, 0.5, 0.5, 0.5)).state
    for _ in range(2):
        held = one(500.0, unknown, state=state)
        assert Reason.HELD in held.reasons
        assert held.target_eth[0] == 500.0
        state = held.state
    fallen = one(500.0, unknown, state=state)
    assert Reason.FALLBACK in fallen.reasons
    assert fallen.target_eth[0] == pytest.approx(800.0)
    above = one(950.0, unknown, state=state)
    assert above.target_eth[0] == 950.0


def test_an_order_below_the_minimum_is_not_sent_but_a_reduction_is() -> None:
    adds = one(0.0, (0.8, 0.8, 0.8, 0.8), exposure=0.01)  # 16 USD
    assert adds.target_eth[0] == 0.0
    assert Reason.BELOW_MINIMUM in adds.reasons
    reduces = one(0.009, (0.8, 0.8, 0.8, 0.8), exposure=0.01)  # 2 USD
    assert reduces.target_eth[0] == pytest.approx(0.008)


def test_margin_is_topped_up_above_the_highest_leverage_and_released_below_the_lowest() -> None:
    band = (0.8, 0.8, 0.8, 0.8)
    notional = 800.0 * 2000.0
    thin = one(800.0, band, equity=notional / 3.5)
    fat = one(800.0, band, equity=notional / 1.2)
    calm = one(800.0, band, equity=notional / 2.5)
    assert Reason.TOP_UP in thin.reasons
    assert Reason.RELEASE in fat.reasons
    assert thin.collateral_usd[0] == fat.collateral_usd[0] == notional / 2
    assert calm.collateral_usd[0] == notional / 2.5


def test_the_decision_leaves_its_inputs_as_they_were() -> None:
    state = initial_state(1)
    before = state.copy()
    one(state=state)
    np.testing.assert_array_equal(state, before)


@pytest.mark.parametrize("exposure", [0.0, -1.0, NAN, float("inf")])
def test_no_decision_on_an_unknown_exposure(exposure: float) -> None:
    with pytest.raises(ValueError, match="exposure_eth"):
        one(exposure=exposure)


def test_no_decision_on_an_unknown_position() -> None:
    with pytest.raises(ValueError, match="confirm the position"):
        one(NAN)


ratios = st.floats(0.0, 1.5)


@st.composite
def bands(draw: st.DrawFn) -> tuple[float, float, float, float]:
    lo, hi = sorted((draw(ratios), draw(ratios)))
    share = st.floats(0.0, 1.0)
    inside = [lo + (hi - lo) * draw(share) for _ in range(2)]
    return lo, hi, min(max(inside[0], lo), hi), min(max(inside[1], lo), hi)


unknowns = st.sampled_from([None, (NAN, NAN, NAN, NAN)])


@settings(max_examples=500, deadline=None)
@given(bands(), unknowns, st.floats(0.0, 2_000.0), st.floats(1.0, 1e6), st.floats(0.2, 1.2))
def test_the_cap_holds_after_every_decision_and_nothing_is_nan(
    band: tuple[float, float, float, float],
    unknown: tuple[float, float, float, float] | None,
    short: float,
    exposure: float,
    cap: float,
) -> None:
    short = round(short, 3)
    decided = one(short, unknown or band, exposure=exposure, limits=LIMITS._replace(max_ratio=cap))
    assert np.isfinite(decided.target_eth).all()
    assert np.isfinite(decided.collateral_usd).all()
    assert 0.0 <= decided.target_eth[0] <= cap * exposure * (1 + 1e-9) + 1e-9


@settings(max_examples=300, deadline=None)
@given(bands(), st.floats(0.0, 1.2), st.sampled_from([10.0, 1000.0]))
def test_scaling_the_exposure_scales_the_decision(
    band: tuple[float, float, float, float], ratio: float, factor: float
) -> None:
    """With filters far away, the hedge of k times the coins is k times the hedge."""

    def relative(exposure: float) -> float:
        decided = decide(
            initial_state(1),
            short_eth=np.array([ratio * exposure]),
            price=np.array([2000.0]),
            equity=np.array([ratio * exposure * 1000.0]),
            exposure_eth=exposure,
            band=band,
            weights=np.array([1.0]),
            limits=LIMITS,
            step_eth=np.array([1e-9]),
            min_notional_usd=np.array([0.0]),
        )
        return float(decided.target_eth[0]) / exposure

    assert relative(1_000.0 * factor) == pytest.approx(relative(1_000.0), abs=1e-9)


def test_a_switch_between_venues_that_cannot_open_one_leg_closes_none() -> None:
    decided = decide(
        initial_state(2),
        short_eth=np.array([0.10, 0.0]),
        price=np.array([2000.0, 2000.0]),
        equity=np.array([100.0, 0.0]),
        exposure_eth=0.125,
        band=(0.5, 0.9, 0.5, 0.9),
        weights=np.array([0.5, 0.5]),
        limits=LIMITS,
        step_eth=np.array([0.01, 0.01]),
        min_notional_usd=np.array([20.0, 150.0]),
    )
    assert decided.target_eth.tolist() == [0.10, 0.0]
    assert Reason.SWITCH | Reason.BELOW_MINIMUM in decided.reasons


shares = st.floats(0.0, 1.2)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.floats(0.0, 900.0), min_size=1, max_size=2),
    st.tuples(shares, shares),
    st.floats(0.3, 1.0),
    st.floats(0.2, 0.8),
    st.floats(0.0, 2e6),
)
def test_what_rests_is_what_step_leaves_alone(
    short: list[float], edges: tuple[float, float], margin: float, weight: float, debt: float
) -> None:
    """A driver may skip step where ``rests`` says so, and only the intent is remembered."""
    lo, hi = sorted(edges)
    short_eth = np.array(short)
    price = np.full(len(short), 2000.0)
    equity = short_eth * price * margin
    weights = np.array([1.0] if len(short) == 1 else [weight, 1 - weight])
    debt_usd = np.full(len(short), debt)
    steps, least = np.full(len(short), 0.001), np.full(len(short), 20.0)
    if not rests(
        short_eth, price, equity, 1000.0, lo, hi, lo, hi, weights, LIMITS, steps, debt_usd
    ):
        return
    state, remembered = initial_state(len(short)), initial_state(len(short))
    target, collateral = np.empty(len(short)), np.empty(len(short))
    flags, *band = step(
        *(state, short_eth, price, equity, 1000.0, lo, hi, lo, hi, weights, LIMITS, steps, least),
        *(debt_usd, 0.0, np.ones(len(short)), target, collateral),
    )
    remember(remembered, lo, hi, lo, hi, weights)
    assert Reason(flags) == Reason.IN_BAND
    assert target.tolist() == short
    assert collateral.tolist() == equity.tolist()
    assert band == [lo, hi]
    assert state.tolist() == remembered.tolist()
