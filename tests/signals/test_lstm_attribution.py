"""Contributions of inputs add up to the forecast, and point at what moved it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from counterpoise.signals.lstm import train
from counterpoise.signals.lstm_attribution import attribute
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.lstm_network import Network
from tests.signals.planted import FOLDS, HEADS, RECIPE, planted


@cache
def networks() -> tuple[Network, ...]:
    data = planted()
    return tuple(train(data.X, data.Y, data.rows, HEADS, FOLDS[2:], recipe=RECIPE, seeds=(0, 1)))


def usual_hours(network: Network) -> np.ndarray:
    """A history in which every input is always at its training mean."""
    hours = (network.length - 1) * network.stride_h + 1
    return np.repeat(network.mean[None].astype(np.float64), hours, axis=0)


def moved(X: np.ndarray, row: int) -> np.ndarray:
    """What each head says beyond what it says of usual hours; the two networks scale alike."""
    one, other = networks()
    np.testing.assert_array_equal(one.mean, other.mean)
    usual = usual_hours(one)
    said = forecast(networks(), X, slice(row, row + 1))[0]
    return said - forecast(networks(), usual, slice(len(usual) - 1, len(usual)))[0]


@pytest.mark.parametrize("row", [0, 5, 8_410, 9_000, 9_437, 9_999])
def test_contributions_add_up_to_within_a_hundredth(row: int) -> None:
    X = planted().X
    X[8_998:9_001, 1] = np.nan
    X[9_437 - 20, 0] = 1e4
    for head in range(len(HEADS)):
        found = attribute(networks(), X, row, head)
        assert found.shape == (4,)
        difference = moved(X, row)[head]
        assert abs(found.sum() - difference) <= 0.01 * abs(difference)


def test_the_input_that_moves_the_outcome_is_named() -> None:
    X = planted().X
    for row in range(9_000, 9_400, 40):
        share = np.abs([attribute(networks(), X, row, head) for head in range(len(HEADS))]).mean(
            axis=0
        )
        if np.abs(X[row - 20, 0] - 2.0) > 2.0:
            assert share[0] > share[1:].sum()


def test_what_is_linear_is_attributed_exactly() -> None:
    X, row, head = planted().X, 9_000, 1
    X[row, 3] = np.nan
    rng = np.random.default_rng(3)
    linear = [
        replace(
            one,
            out=np.zeros_like(one.out),
            skip=rng.normal(size=one.skip.shape).astype(np.float32),
        )
        for one in networks()
    ]
    expected = []
    for one in linear:
        z = np.append((X[row, :3] - one.mean[:3]) / one.scale[:3], 0.25)
        expected.append(one.spread[head] * z * one.skip[[0, 1, 2, 4], head])
    np.testing.assert_allclose(
        attribute(linear, X, row, head), np.mean(expected, axis=0), rtol=1e-4, atol=1e-6
    )


def test_usual_hours_and_an_input_that_never_moved_contribute_nothing() -> None:
    still = [
        replace(one, scale=np.array([*one.scale[:3], np.inf], np.float32)) for one in networks()
    ]
    found = attribute(still, planted().X, 9_000, 0)
    assert found[3] == 0.0
    assert (found[:3] != 0.0).all()
    usual = usual_hours(networks()[0])
    np.testing.assert_array_equal(attribute(networks(), usual, len(usual) - 1, 0), 0.0)


def test_later_hours_do_not_change_a_contribution() -> None:
    X = planted().X
    before = attribute(networks(), X, 9_000, 2)
    X[9_001:] = np.nan
    np.testing.assert_array_equal(attribute(networks(), X, 9_000, 2), before)
