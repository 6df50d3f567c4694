"""One step: what it may never do, whatever it is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.decision import Reason, decide
from counterpoise.decision import moment as rows
from counterpoise.decision.decide import Decision, flat, limits_from, quiet_moment, rules_from
from counterpoise.decision.decide import moment_of as moment_of_numbers
from counterpoise.decision.moment import Limits, Moment, initial_state
from counterpoise.decision.step import remember, rests, step
from counterpoise.risk.guard_rules import NO_GUARD, GuardRules, initial_memory, unbound

LIMITS = Limits(max_ratio=1.0, fallback_ratio=0.8, grace_ticks=2.0)
NAN = float("nan")


def moment_of(exposure: float, *, price: float = 2000.0, now: float = 0.0) -> Moment:
    """A moment at which only the intent speaks."""
    return quiet_moment(exposure_eth=exposure, spot=price, leverage=2.0, leverage_max=3.0, now=now)


def one(
    short: float = 0.0,
    band: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.8),
    *,
    exposure: float = 1000.0,
    price: float = 2000.0,
    equity: float | None = None,
    state: np.ndarray | None = None,
    limits: Limits = LIMITS,
    moment: Moment | None = None,
) -> Decision:
    """Decide for one venue."""
    return decide(
        initial_state(1) if state is None else state,
        initial_memory(),
        short_eth=np.array([short]),
        price=np.array([price]),
        equity=np.array([short * price / 2 if equity is None else equity]),
        band=band,
        weights=np.array([1.0]),
        moment=moment_of(exposure, price=price) if moment is None else moment,
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


def test_a_desk_unpacks_every_number_into_its_own_field() -> None:
    """A field that moves would otherwise be read as its neighbour."""
    numbers = np.arange(1.0, 17.0)
    moment = moment_of_numbers(numbers)
    assert moment == Moment(*numbers[:11], True, *numbers[12:15], True)
    assert limits_from(numbers) == Limits(*numbers[:12])
    assert len(Limits._fields) == 12
    fours = [tuple(np.arange(k, k + 4.0)) for k in (8.0, 12.0, 16.0, 20.0)]
    rules = GuardRules(True, *np.arange(2.0, 8.0), *fours, *np.arange(24.0, 28.0))
    assert flat(rules) == [1.0, *np.arange(2.0, 28.0)]
    assert rules_from(np.array(flat(rules))) == rules


@pytest.mark.parametrize("exposure", [NAN, float("inf")])
def test_nothing_moves_on_an_unknown_exposure(exposure: float) -> None:
    decided = one(500.0, exposure=exposure)
    assert decided.reasons == Reason.HALTED | Reason.NO_POSITION
    assert decided.target_eth[0] == 500.0
    assert decided.collateral_usd[0] == 500_000.0


def test_nothing_moves_on_an_unknown_position_and_its_last_target_stands() -> None:
    state = one(500.0).state
    decided = one(NAN, equity=1e6, state=state)
    assert decided.reasons == Reason.HALTED | Reason.NO_POSITION
    assert decided.target_eth[0] == 800.0
    assert decided.collateral_usd[0] == 1e6


@pytest.mark.parametrize("price", [NAN, 0.0, -1.0, float("inf")])
def test_nothing_moves_on_a_price_that_is_none(price: float) -> None:
    decided = one(500.0, price=price, equity=1e6)
    assert decided.reasons == Reason.HALTED | Reason.STALE_MARK
    assert decided.target_eth[0] == 500.0


def test_nothing_moves_on_a_mark_that_is_too_old() -> None:
    limits = LIMITS._replace(mark_max_age_s=60.0)
    fresh = one(500.0, limits=limits, moment=moment_of(1000.0)._replace(mark_age_s=60.0))
    stale = one(500.0, limits=limits, moment=moment_of(1000.0)._replace(mark_age_s=60.5))
    unknown = one(500.0, limits=limits, moment=moment_of(1000.0)._replace(mark_age_s=NAN))
    assert fresh.target_eth[0] == 800.0
    assert stale.reasons == unknown.reasons == Reason.HALTED | Reason.STALE_MARK
    assert stale.target_eth[0] == 500.0


def test_nothing_moves_when_the_clock_jumps_back_and_all_goes_on_when_it_is_right_again() -> None:
    state = one(500.0, moment=moment_of(1000.0, now=10.0)).state
    back = one(500.0, state=state, moment=moment_of(1000.0, now=9.99))
    assert back.reasons == Reason.HALTED | Reason.CLOCK_BACK
    assert back.target_eth[0] == 500.0
    again = one(500.0, state=back.state, moment=moment_of(1000.0, now=10.0))
    assert again.target_eth[0] == 800.0


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
            initial_memory(),
            short_eth=np.array([ratio * exposure]),
            price=np.array([2000.0]),
            equity=np.array([ratio * exposure * 1000.0]),
            band=band,
            weights=np.array([1.0]),
            moment=moment_of(exposure),
            limits=LIMITS,
            step_eth=np.array([1e-9]),
            min_notional_usd=np.array([0.0]),
        )
        return float(decided.target_eth[0]) / exposure

    assert relative(1_000.0 * factor) == pytest.approx(relative(1_000.0), abs=1e-9)


def test_a_switch_between_venues_that_cannot_open_one_leg_closes_none() -> None:
    decided = decide(
        initial_state(2),
        initial_memory(),
        short_eth=np.array([0.10, 0.0]),
        price=np.array([2000.0, 2000.0]),
        equity=np.array([100.0, 0.0]),
        band=(0.5, 0.9, 0.5, 0.9),
        weights=np.array([0.5, 0.5]),
        moment=moment_of(0.125),
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
    venues = len(short)
    book = np.zeros((rows.DECISION_ROWS, venues))
    book[rows.SHORT], book[rows.PRICE] = short, 2000.0
    book[rows.EQUITY] = book[rows.SHORT] * 2000.0 * margin
    book[rows.SHARE] = [1.0] if venues == 1 else [weight, 1 - weight]
    book[rows.DEBT], book[rows.STEP], book[rows.MINIMUM] = debt, 0.001, 20.0
    book[rows.UNIT] = 1.0
    moment, bound = moment_of(1000.0)._replace(available=0.0), unbound()
    row = (lo, hi, lo, hi)
    flags = rests(initial_memory(), book, moment, *row, LIMITS, NO_GUARD, bound)
    if flags < 0:
        return
    state, remembered = initial_state(venues), initial_state(venues)
    weights, equity = book[rows.SHARE].copy(), book[rows.EQUITY].copy()
    reasons, *band = step(
        state, initial_memory(), book, moment, *row, LIMITS, NO_GUARD, bound, np.empty(rows.LINKS)
    )
    remember(remembered, *row, weights)
    remembered[rows.STATE_NOW] = remembered[rows.STATE_MINUTE] = moment.now
    remembered[rows.STATE_WEIGHTS + venues :] = short
    assert Reason(reasons) == Reason(flags) == Reason.IN_BAND
    assert book[rows.TARGET].tolist() == short
    assert book[rows.COLLATERAL].tolist() == equity.tolist()
    assert band == [lo, hi]
    assert state.tolist() == remembered.tolist()
