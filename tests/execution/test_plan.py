"""Horizon and slices of a schedule."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig
from counterpoise.execution.events import Quote
from counterpoise.execution.plan import HOUR_NS, SECOND_NS, Filters, horizon_s, plan_schedule
from counterpoise.run_settings import TwapSettings
from counterpoise.venues import venues

GRID = Filters(0.001, 0.01, 20.0)
HOUR_BEGINS = 472_222 * HOUR_NS
GIVEN = {"urgency": 0.0, "sigma_day": 0.04, "volume_day_eth": 2.3e6}


def planned(size: float, now_ns: int = HOUR_BEGINS, **other):
    settings = other.pop("settings", TwapSettings())
    side = other.pop("side", "sell")
    mid = other.pop("mid", 3000.0)
    quote = Quote(now_ns, mid - 0.005, 1.0, mid + 0.005, 1.0)
    numbers = {**GIVEN, "seed": 1, **other}
    return plan_schedule(
        1, 2, side, size, quote, now_ns, filters=GRID, settings=settings, **numbers
    )


def test_filters_are_those_of_the_contract():
    assert Filters.of(venues["binance"][-1]) == GRID
    with pytest.raises(FixConfig, match="step_eth"):
        Filters.of(venues["binance-coin-m"][-1])


def test_horizon_by_hand():
    settings = TwapSettings(risk_aversion=20, participation=1)
    days = (3 * 0.7 * (500 / 2.3e6) / (20 * 0.04)) ** (2 / 3)
    assert horizon_s(500, settings=settings, **GIVEN) == pytest.approx(days * 86_400)


def test_horizon_is_the_minimum_of_its_own_trade_off():
    """No other horizon has a lower impact plus half aversion times variance."""
    days = horizon_s(500, settings=TwapSettings(), **GIVEN) / 86_400
    share = 500 / 2.3e6

    def cost(t: float) -> float:
        return 0.7 * 0.04 * share / math.sqrt(t) + 20 / 2 * 0.04**2 * t / 3

    assert cost(days) < min(cost(days * 0.9), cost(days * 1.1))


@given(
    size=st.floats(0.1, 5_000),
    urgency=st.floats(0, 1),
    sigma=st.floats(0.005, 0.3),
    factor=st.floats(1.01, 10),
)
def test_more_to_do_takes_longer_and_more_risk_or_urgency_less_long(size, urgency, sigma, factor):
    settings = TwapSettings()

    def horizon(**changed):
        now = {"size_eth": size, "sigma_day": sigma, "urgency": urgency, "volume_day_eth": 2e6}
        return horizon_s(**{**now, **changed}, settings=settings)

    base = horizon()
    assert settings.horizon_min_s <= base <= settings.horizon_max_s
    assert horizon(size_eth=size * factor) >= base
    assert horizon(sigma_day=sigma * factor) <= base
    assert horizon(urgency=min(1, urgency * factor)) <= base


@given(
    steps=st.integers(1, 3_000_000),
    second=st.integers(0, 3_599),
    urgency=st.floats(0, 1),
    side=st.sampled_from(["sell", "buy"]),
    seed=st.integers(0, 2**63),
    jitter=st.floats(0, 0.9),
)
def test_slices_add_up_on_the_grid_and_end_before_the_bar(
    steps, second, urgency, side, seed, jitter
):
    settings = TwapSettings(jitter=jitter)
    now = HOUR_BEGINS + second * SECOND_NS
    plan = planned(GRID.eth(steps), now, side=side, urgency=urgency, seed=seed, settings=settings)
    until, ends = plan.plan["until"], plan.plan["ends_ns"]
    assert until[-1] == steps
    assert GRID.steps(plan.size) == steps
    assert Decimal(repr(plan.size)) % Decimal("0.001") == 0
    sizes = [after - before for before, after in zip([0, *until], until, strict=False)]
    least = GRID.least_steps(3000.0, side == "buy")
    assert all(size == 0 or size >= min(least, steps) for size in sizes)
    assert plan.status == ("working" if steps >= least else "abandoned")
    assert ends == sorted(ends)
    assert now < ends[0]
    bar_end = HOUR_BEGINS + HOUR_NS - round(settings.bar_margin_s * SECOND_NS)
    over = plan.plan["over_ns"]
    assert over == max(bar_end, now + round(settings.horizon_min_s * SECOND_NS))
    assert ends[-1] <= over + 1


def test_a_seed_gives_one_schedule_and_another_seed_another():
    one, same, other = planned(500.0), planned(500.0), planned(500.0, seed=2)
    assert one == same
    assert one.plan["until"] != other.plan["until"]
    assert one.plan["ends_ns"] != other.plan["ends_ns"]
    assert one.plan["until"][-1] == other.plan["until"][-1]


def test_an_unknown_urgency_is_none():
    assert planned(10.0, urgency=math.nan) == planned(10.0, urgency=0.0)


def test_an_order_too_small_for_the_venue_says_so():
    plan = planned(0.006)
    assert plan.status == "abandoned"
    assert "20.0 USD" in plan.plan["why"]
    assert planned(0.006, side="buy").status == "working"


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("size", {"size": 0.0}),
        ("size", {"size": math.nan}),
        ("size", {"size": 1.0005}),
        ("sigma_day", {"sigma_day": 0.0}),
        ("volume_day_eth", {"volume_day_eth": math.inf}),
        ("urgency", {"urgency": 1.1}),
    ],
)
def test_what_is_no_order_is_refused_by_name(key, changed):
    with pytest.raises(FixConfig, match=key):
        planned(**{"size": 1.0, **changed})


@given(steps=st.integers(0, 10**9), ticks=st.integers(1, 10**8))
def test_grid_numbers_are_the_decimal_ones(steps, ticks):
    assert Decimal(repr(GRID.eth(steps))) == steps * Decimal("0.001")
    assert Decimal(repr(GRID.usd(ticks))) == ticks * Decimal("0.01")
    assert GRID.steps(GRID.eth(steps)) == steps
    assert GRID.ticks(GRID.usd(ticks)) == ticks


@given(mid=st.floats(10, 1e5), bps=st.floats(0.1, 1000))
def test_a_worst_price_is_never_worse_than_its_protection(mid, bps):
    assume(mid * bps > 200)
    sell = GRID.usd(GRID.limit_ticks("sell", mid, bps))
    buy = GRID.usd(GRID.limit_ticks("buy", mid, bps))
    assert sell >= mid * (1 - bps * 1e-4) - 1e-7
    assert buy <= mid * (1 + bps * 1e-4) + 1e-7
    assert sell < mid < buy


def test_filters_that_are_none_are_refused():
    with pytest.raises(FixConfig, match="tick_usd"):
        replace(GRID, tick_usd=0.0)
