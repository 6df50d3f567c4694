"""The document's formula, its worked example, its domain and its band."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig
from counterpoise.hedging.formula import (
    formula_hedge,
    hedge_ratio,
    mean_variance_ratio,
    no_trade_half_width,
)


@pytest.mark.parametrize(
    ("confidence", "short"), [(0.78, 727.93), (0.5, 653.06), (0.22, 592.15), (1.0, 800.0)]
)
def test_worked_examples(confidence: float, short: float) -> None:
    hedge = formula_hedge(1000, 0.8, 0.45, confidence)
    assert round(hedge.short_eth, 2) == short
    assert not hedge.clipped


def test_denominator_of_the_worked_example() -> None:
    assert formula_hedge(1000, 0.8, 0.45, 0.78).denominator == pytest.approx(1.099)


def test_a_negative_correlation_asks_for_more_than_is_held_and_is_clipped() -> None:
    hedge = formula_hedge(1000, 0.8, -0.517, 0.3)
    assert round(hedge.unclipped_eth) == 1254
    assert hedge.short_eth == 1000.0
    assert hedge.clipped


unit = st.floats(0.0, 1.0)
correlations = st.floats(-0.999, 1.0)


@given(st.floats(0.0, 1e6), unit, correlations, unit)
def test_the_short_stays_inside_its_bounds(
    exposure: float, beta: float, rho: float, confidence: float
) -> None:
    hedge = formula_hedge(exposure, beta, rho, confidence)
    assert 0.0 <= hedge.short_eth <= exposure
    assert hedge.unclipped_eth >= exposure * beta / 2 * (1 - 1e-12)


@given(st.floats(1.0, 1e5), unit, correlations, unit)
def test_sensitivities_are_the_derivatives(
    exposure: float, beta: float, rho: float, confidence: float
) -> None:
    if 1 + rho * (1 - confidence) < 0.05:
        return  # finite differences say nothing next to the pole
    hedge = formula_hedge(exposure, beta, rho, confidence)
    step = 1e-6
    point = {"exposure": exposure, "beta": beta, "rho": rho, "confidence": confidence}

    def at(**moved: float) -> float:
        q = point | moved
        return q["exposure"] * float(hedge_ratio(q["beta"], q["rho"], q["confidence"]))

    for name, value in point.items():
        numeric = (at(**{name: value + step}) - at(**{name: value - step})) / (2 * step)
        assert hedge.per_unit[name] == pytest.approx(numeric, rel=1e-3, abs=1e-3 * exposure)


@given(st.floats(1.0, 1e5), unit, correlations)
def test_full_confidence_gives_the_base_ratio(exposure: float, beta: float, rho: float) -> None:
    assert formula_hedge(exposure, beta, rho, 1.0).short_eth == pytest.approx(exposure * beta)


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ((math.nan, 0.8, 0.4, 0.5), "--exposure"),
        ((1000, 1.2, 0.4, 0.5), "--beta"),
        ((1000, 0.8, math.inf, 0.5), "--rho"),
        ((1000, 0.8, 0.4, -0.1), "--confidence"),
        ((1000, 0.8, -1.0, 0.0), "--rho, --confidence"),
    ],
)
def test_what_is_outside_its_domain_is_refused_by_name(
    given_: tuple[float, float, float, float], key: str
) -> None:
    with pytest.raises(FixConfig) as refused:
        formula_hedge(*given_)
    assert refused.value.key == key


@pytest.mark.parametrize(("p_up", "ratio"), [(0.53, 0.874), (0.55, 0.790), (0.60, 0.580)])
def test_mean_variance_ratio_of_the_worked_example(p_up: float, ratio: float) -> None:
    sigma = 0.019
    mean = (2 * p_up - 1) * sigma * math.sqrt(2 / math.pi)
    assert mean_variance_ratio(1.0, 0.0, mean, 20, sigma**2) == pytest.approx(ratio, abs=5e-4)


def test_no_trade_band_of_the_worked_example() -> None:
    width = no_trade_half_width(5.5e-4, np.array(0.05**2 * 365), 20.0, np.array(0.79))
    assert float(width) == pytest.approx(0.036, abs=5e-4)


def test_the_no_trade_band_minimises_simulated_cost_plus_risk() -> None:
    """Loss at the formula's width is 104 bp a year and worse at half and at twice the width."""
    rng = np.random.default_rng(3)
    cost, risk_aversion, variance, daily = 5.5e-4, 20.0, 0.79, 0.05
    per_day = 24
    moves = rng.normal(0, daily / math.sqrt(per_day), 365 * per_day * 40)
    best = float(
        no_trade_half_width(cost, np.array(daily**2 * 365), risk_aversion, np.array(variance))
    )

    def yearly_loss(width: float) -> float:
        off, traded, square = 0.0, 0.0, 0.0
        for move in moves:
            off += move
            if abs(off) > width:
                traded += abs(off) - width
                off = math.copysign(width, off)
            square += off * off
        years = len(moves) / per_day / 365
        return cost * traded / years + risk_aversion / 2 * variance * square / len(moves)

    at_best = yearly_loss(best)
    assert at_best == pytest.approx(103.8e-4, rel=0.06)
    assert at_best < yearly_loss(best / 2)
    assert at_best < yearly_loss(best * 2)
