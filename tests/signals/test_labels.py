"""Outcomes: measured over their stated horizon, unknown at gaps and at the end."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.market.timeline import Timeline
from counterpoise.signals import labels
from counterpoise.signals.labels import Label
from tests.random_timeline import cut, random_timeline

SMALL = random_timeline(400, seed=8, gap_share=0.03)
COST = np.full(400, 0.0008)

EVERY: dict[str, Callable[[Timeline], Label]] = {
    "direction": labels.direction,
    "hedge_pays": lambda tl: labels.hedge_pays(tl, np.full(len(tl.ts_ms), 0.0008)),
    "log_variance": labels.log_variance,
    "next_funding": labels.next_funding,
}


def with_spot(close: list[float]) -> Timeline:
    base = cut(random_timeline(100), len(close))
    return dataclasses.replace(base, spot=dataclasses.replace(base.spot, close=np.array(close)))


def test_direction_compares_closes_four_hours_apart_and_a_tie_is_no_rise() -> None:
    label = labels.direction(with_spot([100, 101, 102, np.nan, 101, 101, 99, 98]))
    assert np.array_equal(label.values, [1, 0, 0] + [np.nan] * 5, equal_nan=True)
    assert label.horizon_h == 4


def test_a_short_pays_when_the_fall_and_the_funding_exceed_the_round_trip() -> None:
    base = cut(random_timeline(100), 9)
    perp = dataclasses.replace(base.perp, close=np.full((9, 1), 100.0))
    settled = np.full((9, 1), np.nan)
    settled[4] = 0.001
    flat = dataclasses.replace(
        base, perp=perp, funding_settled=settled, funding_last=np.full((9, 1), 1e-4)
    )
    # Funding settled at tick 4 reaches shorts held from ticks 0 to 3; at tick 4 it is past.
    for cost, expected in ((0.0009, [1, 1, 1, 1, 0]), (0.0011, [0, 0, 0, 0, 0])):
        label = labels.hedge_pays(flat, np.full(9, cost))
        assert np.array_equal(label.values[:5], expected)
    falling = dataclasses.replace(
        flat, perp=dataclasses.replace(perp, close=np.linspace(100, 99.2, 9)[:, None])
    )
    # Four ticks of the fall earn 0.4 %.
    assert labels.hedge_pays(falling, np.full(9, 0.003)).values[4] == 1
    assert labels.hedge_pays(falling, np.full(9, 0.005)).values[4] == 0


def test_variance_of_a_steady_climb_is_its_squared_step_annualised() -> None:
    label = labels.log_variance(with_spot(list(100 * 1.01 ** np.arange(30))))
    expected = np.log(8760 * np.log(1.01) ** 2)
    np.testing.assert_allclose(label.values[:6], expected, rtol=1e-12)
    assert np.isnan(label.values[6:]).all()


def test_variance_equals_a_plain_loop_over_the_next_returns() -> None:
    label = labels.log_variance(SMALL)
    close = SMALL.spot.close
    for t in range(len(close)):
        steps = [
            np.log(close[s] / close[s - 1])
            for s in range(t + 1, t + 25)
            if s < len(close) and np.isfinite(close[s] * close[s - 1])
        ]
        if t + 24 >= len(close) or len(steps) < 20:
            assert np.isnan(label.values[t])
        else:
            variance = 8760 * np.mean(np.square(steps))
            assert label.values[t] == pytest.approx(np.log(variance), rel=1e-12)


def test_next_funding_is_strictly_after_the_tick() -> None:
    settled = np.full(20, np.nan)
    settled[[3, 11]] = 1e-4, 2e-4
    timeline = dataclasses.replace(cut(random_timeline(100), 20), funding_settled=settled[:, None])
    expected = [1e-4] * 3 + [2e-4] * 8 + [np.nan] * 9
    assert np.array_equal(labels.next_funding(timeline).values, expected, equal_nan=True)


def test_a_settlement_more_than_eight_hours_away_is_not_the_next_one() -> None:
    settled = np.full(20, np.nan)
    settled[12] = 1e-4
    timeline = dataclasses.replace(cut(random_timeline(100), 20), funding_settled=settled[:, None])
    assert np.array_equal(
        np.flatnonzero(np.isfinite(labels.next_funding(timeline).values)), range(4, 12)
    )


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(EVERY)), ticks=st.integers(30, 399))
def test_a_label_is_known_at_its_horizon_and_not_before(name: str, ticks: int) -> None:
    whole, early = EVERY[name](SMALL), EVERY[name](cut(SMALL, ticks))
    told = ticks - whole.horizon_h
    assert early.values[:told].tobytes() == whole.values[:told].tobytes()
    if name != "next_funding":
        assert np.isnan(early.values[max(told, 0) :]).all()
