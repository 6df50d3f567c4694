"""Dynamic against fixed leverage: the race itself, and margin at equal liquidation probability."""

from dataclasses import replace

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.errors import NotEnoughData
from counterpoise.hedging import Situation
from counterpoise.signals.forecasts import Forecasts
from counterpoise.stress.leverage import FIXED, QUANTILES, Runner, margin_at, race
from tests.random_timeline import random_timeline

HOURS = 24 * 240


def situation_of(hours: int, **settings: object) -> Situation:
    unknown = np.full(hours, np.nan)
    forecasts = Forecasts(**dict.fromkeys(Forecasts.__dataclass_fields__, unknown))
    return Situation(
        random_timeline(hours, seed=11), forecasts, Settings(**settings), one_way_cost=5e-4
    )


@pytest.fixture(scope="module")
def runners() -> tuple[Runner, ...]:
    return race(situation_of(HOURS, capital={"transfer_h": 6}))


def test_every_rule_runs_over_the_same_windows(runners: tuple[Runner, ...]) -> None:
    assert {one.transfer_h for one in runners} == {6, 24}
    assert {one.period for one in runners} == {"selection"}
    for hours in (6, 24):
        rules = [one for one in runners if one.transfer_h == hours]
        assert [one.level for one in rules if one.rule == "fixed"] == list(FIXED)
        assert [one.level for one in rules if one.rule == "dynamic"] == list(QUANTILES)
        assert len({one.windows for one in rules}) == 1
        assert rules[0].windows > 50


def test_more_leverage_ties_up_less_and_is_liquidated_more(runners: tuple[Runner, ...]) -> None:
    for hours in (6, 24):
        fixed = [one for one in runners if (one.transfer_h, one.rule) == (hours, "fixed")]
        margins = [one.margin for one in fixed]
        assert margins == sorted(margins, reverse=True)
        # A top-up goes to level ÷ 1.25, and margin moves between the two.
        assert all(1.0 / one.level < one.margin < 1.4 * 1.25 / one.level for one in fixed)
        assert fixed[0].liquidated == 0.0
        assert fixed[-1].liquidated > 0.2
        assert fixed[-1].episodes >= 1
    slow = [one for one in runners if one.transfer_h == 24 and one.rule == "fixed"]
    quick = [one for one in runners if one.transfer_h == 6 and one.rule == "fixed"]
    assert all(s.liquidated >= q.liquidated for s, q in zip(slow, quick, strict=True))


def test_a_higher_quantile_ties_up_more_and_is_liquidated_less(
    runners: tuple[Runner, ...],
) -> None:
    for hours in (6, 24):
        dynamic = [one for one in runners if (one.transfer_h, one.rule) == (hours, "dynamic")]
        assert dynamic[0].margin < dynamic[1].margin < dynamic[2].margin
        assert dynamic[0].liquidated >= dynamic[1].liquidated >= dynamic[2].liquidated


def test_margin_at_equal_probability_is_interpolated() -> None:
    def fixed(level: float, liquidated: float, margin: float) -> Runner:
        return Runner("fixed", level, 1, "holdout", 100, liquidated, 1, margin, 0.0)

    grid = (fixed(2.0, 0.0, 0.6), fixed(4.0, 0.1, 0.3), fixed(8.0, 0.3, 0.2))
    like = replace(grid[0], rule="dynamic", level=0.99)
    # Half-way from 0.1 to 0.3 in probability is half-way from 0.3 to 0.2 in margin.
    assert margin_at(grid, replace(like, liquidated=0.2)) == pytest.approx(0.25)
    assert margin_at(grid, replace(like, liquidated=0.1)) == 0.3
    # As rare as the fullest: between 0 and 0.1 nothing is rarer than 0.
    assert margin_at(grid, replace(like, liquidated=0.0)) == 0.6
    assert margin_at(grid, replace(like, liquidated=0.9)) == 0.2
    assert np.isnan(margin_at(grid[1:], replace(like, liquidated=0.05)))
    assert np.isnan(margin_at(grid, replace(like, period="selection")))


def test_too_little_history_is_said() -> None:
    with pytest.raises(NotEnoughData, match="four months"):
        race(situation_of(24 * 60))
