"""Fast numbers move a band within their bound and no further; what is unknown moves nothing."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from counterpoise.config import load_settings
from counterpoise.decision.fast_band import (
    Band,
    FastRule,
    Timing,
    expected_funding_8h,
    fast_rule,
    moved_band,
    timing,
)

CAP = 1.0
ratios = st.floats(0.0, CAP)
rates = st.floats(-0.01, 0.01)
unknowns = st.sampled_from([math.nan, math.inf, -math.inf])
rules = st.builds(
    FastRule,
    carry_bound=st.floats(0.0, 0.2),
    risk_aversion=st.floats(0.1, 1_000.0),
    delay_s=st.floats(0.0, 300.0),
    flow=st.floats(0.1, 100.0),
)


@st.composite
def bands(draw: st.DrawFn) -> Band:
    """A band as an intent has it: destinations inside."""
    lo, one, other, hi = sorted(draw(st.lists(ratios, min_size=4, max_size=4)))
    return lo, hi, *draw(st.sampled_from([(one, other), (lo, hi), (other, one)]))


@given(bands(), rates, rates, st.floats(0.001, 0.2), rules)
def test_every_edge_moves_by_one_shift_within_the_bound_and_the_caps(
    band, running, expected, sigma, rule
) -> None:
    moved = moved_band(
        band, running_8h=running, expected_8h=expected, sigma_day=sigma, cap=CAP, rule=rule
    )
    for before, after in zip(band, moved, strict=True):
        assert abs(after - before) <= rule.carry_bound + 1e-15
        assert 0.0 <= after <= CAP
        # More funding than expected never lowers the short, less never raises it.
        assert (after - before) * (running - expected) >= 0.0
    lo, hi, to_lo, to_hi = moved
    assert lo <= to_lo <= hi
    assert lo <= to_hi <= hi
    shift = (running - expected) / (rule.risk_aversion * sigma**2 / 3.0)
    shift = math.copysign(min(abs(shift), rule.carry_bound), shift)
    for before, after in zip(band, moved, strict=True):
        assert after == pytest.approx(min(max(before + shift, 0.0), CAP), abs=1e-12)


@given(bands(), rates, rates, st.floats(0.001, 0.2), rules, st.integers(0, 2), unknowns)
def test_what_is_unknown_moves_nothing(band, running, expected, sigma, rule, which, gone) -> None:
    given_ = [running, expected, sigma]
    given_[which] = gone
    running, expected, sigma = given_
    moved = moved_band(
        band, running_8h=running, expected_8h=expected, sigma_day=sigma, cap=CAP, rule=rule
    )
    assert moved == band


@given(bands(), st.integers(0, 3), rules)
def test_an_unknown_band_stays_unknown(band, which, rule) -> None:
    edges = list(band)
    edges[which] = math.nan
    moved = moved_band(
        tuple(edges), running_8h=0.01, expected_8h=0.0, sigma_day=0.03, cap=CAP, rule=rule
    )
    assert [repr(edge) for edge in moved] == [repr(edge) for edge in edges]


@given(st.floats(CAP, 2.0), st.floats(-1.0, 0.0), rates, rules)
def test_an_edge_outside_is_not_taken_further(above, below, running, rule) -> None:
    def moved(edge: float) -> float:
        return moved_band(
            (edge,) * 4, running_8h=running, expected_8h=0.0, sigma_day=0.03, cap=CAP, rule=rule
        )[0]

    assert moved(above) <= above
    assert moved(below) >= below


@given(bands(), rates, rates, st.floats(0.001, 0.2))
def test_it_is_off_by_default(band, running, expected, sigma) -> None:
    rule = fast_rule(load_settings())
    assert rule == FastRule()
    moved = moved_band(
        band, running_8h=running, expected_8h=expected, sigma_day=sigma, cap=CAP, rule=rule
    )
    assert moved == band


@given(
    st.sampled_from(["sell", "buy"]),
    st.floats(-1e3, 1e3) | unknowns,
    st.floats(-10.0, 10.0) | unknowns,
    st.floats(0.0, 1e4) | st.just(math.nan),
    st.booleans(),
    rules,
)
def test_a_move_waits_for_a_while_at_most_and_never_where_it_is_forced(
    side, flow, lean, waited, forced, rule
) -> None:
    found = timing(side, flow=flow, microprice_usd=lean, waited_s=waited, forced=forced, rule=rule)
    assert not (found.wait and found.hurry)
    if forced or not waited < rule.delay_s:
        assert not found.wait
    if forced or math.isnan(flow) or math.isnan(lean) or math.isnan(waited) or not rule.delay_s:
        assert found == Timing(False, False)
    # The other side of the same market is of the opposite mind.
    other = timing(
        "buy" if side == "sell" else "sell",
        flow=-flow,
        microprice_usd=-lean,
        waited_s=waited,
        forced=forced,
        rule=rule,
    )
    assert other == found


def test_a_sale_waits_while_buyers_push_and_hurries_from_sellers() -> None:
    rule = FastRule(delay_s=10.0, flow=3.0)

    def of(flow: float, lean: float, waited: float) -> Timing:
        return timing(
            "sell", flow=flow, microprice_usd=lean, waited_s=waited, forced=False, rule=rule
        )

    assert of(3.0, 0.01, 0.0) == Timing(True, False)
    assert of(3.0, 0.01, 9.9) == Timing(True, False)
    assert of(3.0, 0.01, 10.0) == Timing(False, False)
    assert of(2.9, 0.01, 0.0) == Timing(False, False)
    assert of(-3.0, -0.01, 0.0) == Timing(False, True)
    # A flow that the book does not lean to says nothing.
    assert of(3.0, -0.01, 0.0) == of(-3.0, 0.01, 0.0) == of(3.0, 0.0, 0.0) == Timing(False, False)


@given(rates, st.integers(8, 720))
def test_what_a_row_expects_is_its_cost_turned_round(rate, horizon_h) -> None:
    assume(rate != 0.0)
    cost = -rate / 8.0 * horizon_h
    assert expected_funding_8h(cost, horizon_h) == pytest.approx(rate)
