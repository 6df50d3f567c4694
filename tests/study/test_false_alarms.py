"""Where there is nothing to find, the street finds something as often as it says: one time in 20.

Two hundred generated markets in which the price is a martingale and volatility clusters as ETH's
does. On each, the product's own steps run from tables to p-value. What is counted must lie in the
central 95 % of a binomial law around 5 %.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from counterpoise.signals.confidence import auc
from counterpoise.study.inference import stationary_indices
from tests.study.false_alarms import (
    DIRECTION_DAYS,
    DIRECTION_REFIT_MONTHS,
    MARKETS,
    TIMING_DAYS,
    Direction,
    expected,
    no_direction,
    useless_timing,
)
from tests.study.street import auc_interval

Floats = NDArray[np.float64]
Timing = tuple[Counter[str], Counter[str]]

#: Metrics whose p-values are as honest as they claim; the drawdown's are too large.
HONEST = ("mean", "vol", "ce5", "ce20", "cvar95")


@pytest.fixture(scope="module")
def timing() -> Timing:
    return useless_timing(MARKETS, TIMING_DAYS)


@pytest.mark.xdist_group("false_alarms_of_timing")
@pytest.mark.parametrize("metric", HONEST)
def test_two_useless_timings_of_one_size_are_told_apart_one_time_in_twenty(
    timing: Timing, metric: str
) -> None:
    low, high = expected(MARKETS)
    assert low <= timing[0][metric] <= high


@pytest.mark.xdist_group("false_alarms_of_timing")
def test_their_drawdowns_are_told_apart_less_often_than_that(
    timing: Timing,
) -> None:
    assert timing[0]["max_drawdown"] <= expected(MARKETS)[1]


@pytest.mark.xdist_group("false_alarms_of_timing")
@pytest.mark.parametrize("metric", [*HONEST, "max_drawdown"])
def test_a_useless_timing_is_not_called_better_than_its_static_hedge_too_often(
    timing: Timing, metric: str
) -> None:
    """Half of the two-sided rate at most: timing on nothing only adds variance."""
    assert timing[1][metric] <= expected(MARKETS, 0.025)[1]


@pytest.fixture(scope="module")
def direction() -> Direction:
    return no_direction(MARKETS, DIRECTION_DAYS, DIRECTION_REFIT_MONTHS)


@pytest.mark.xdist_group("false_alarms_of_direction")
def test_a_trained_direction_model_is_no_better_than_a_coin_on_a_martingale(
    direction: Direction,
) -> None:
    standard_error = np.std(direction.aucs) / np.sqrt(MARKETS)
    assert np.mean(direction.aucs) == pytest.approx(0.5, abs=3.0 * standard_error)
    low, high = expected(MARKETS)
    assert low <= direction.missed <= high


@pytest.mark.xdist_group("false_alarms_of_direction")
def test_hedging_by_such_a_model_earns_something_one_time_in_twenty(direction: Direction) -> None:
    low, high = expected(MARKETS)
    assert low <= direction.paid <= high


@pytest.mark.long
def test_the_rate_holds_when_the_model_is_refitted_every_month() -> None:
    found = no_direction(MARKETS, DIRECTION_DAYS, refit_months=1)
    low, high = expected(MARKETS)
    assert low <= found.missed <= high
    assert low <= found.paid <= high


@pytest.mark.long
def test_three_months_are_too_few_for_the_interval_of_an_auc() -> None:
    """A score that follows the price is not independent of the outcomes it is judged on.

    Over a year the effect is gone; over three months a true half is left out twice too often.
    """
    found = no_direction(MARKETS, days=240, refit_months=1)
    assert expected(MARKETS)[1] < found.missed < 40


@pytest.mark.long
@pytest.mark.parametrize("metric", HONEST)
def test_the_rates_hold_on_histories_as_long_as_the_study_s(
    long_timing: Timing, metric: str
) -> None:
    low, high = expected(MARKETS)
    assert low <= long_timing[0][metric] <= high
    assert long_timing[1][metric] <= expected(MARKETS, 0.025)[1]


@pytest.fixture(scope="module")
def long_timing() -> Timing:
    return useless_timing(MARKETS, days=1430)


def pairs(generator: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Small scores with ties and outcomes, some unknown."""
    for _ in range(5):
        score = np.round(generator.normal(size=240), 1)
        outcome = (generator.random(240) < 0.5) * 1.0
        outcome[generator.random(240) < 0.1] = np.nan
        yield score, outcome


def test_the_interval_of_an_auc_is_that_of_resampled_days() -> None:
    """The counts it works with give what ranking every resample anew would."""
    for score, outcome in pairs(np.random.default_rng(2)):
        value, low, high = auc_interval(score, outcome, block_days=2.0, draws=50, seed=3)
        drawn = []
        for rows in stationary_indices(10, 2.0, 50, 3):
            hours = (rows[:, None] * 24 + np.arange(24)).ravel()
            kept = hours[np.isfinite(outcome[hours])]
            drawn.append(auc(score[kept], outcome[kept]))
        kept = np.isfinite(outcome)
        assert value == pytest.approx(auc(score[kept], outcome[kept]))
        half = np.quantile(np.abs(np.array(drawn) - value), 0.95)
        assert (low, high) == pytest.approx((value - half, value + half))
