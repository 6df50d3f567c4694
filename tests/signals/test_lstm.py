"""The network learns what needs memory, from its past alone, the same every time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load, save

from counterpoise.signals.lstm import VALIDATED, _sequences, _table, train
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.lstm_network import Head, Network, Recipe
from counterpoise.signals.recurrence import forward, last_hidden
from counterpoise.signals.walkforward import Split
from tests.signals.planted import BACK_H, FOLDS, HEADS, RECIPE, Planted, planted

ARRAYS = (
    *("inputs", "recurrent", "bias", "out", "out_bias", "skip"),
    *("mean", "scale", "center", "spread"),
)
MIDDLE = FOLDS[1:2]
#: First row of the middle fold that its stop looks at, and the last row learned from, plus one.
CUT = 8 + int((6_700 - 8) * 0.8)
LEARNED = CUT - RECIPE.purge_h


def taught(
    data: Planted,
    folds: Sequence[Split] = MIDDLE,
    *,
    recipe: Recipe = RECIPE,
    seeds: tuple[int, ...] = (0,),
    heads: tuple[Head, ...] = HEADS,
    together: bool = False,
) -> list[Network]:
    return train(
        data.X, data.Y, data.rows, heads, folds, recipe=recipe, seeds=seeds, together=together
    )


@cache
def usual() -> Network:
    """The network of the middle fold on unchanged data."""
    (network,) = taught(planted())
    return network


@cache
def everyone() -> tuple[Network, ...]:
    """Every fold and two seeds."""
    return tuple(taught(planted(), FOLDS, seeds=(0, 1)))


def same(one: Network, other: Network) -> bool:
    """Equal to the last bit in everything but the number of the fold."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS) and (
        (one.seed, one.checks, one.validation_loss, one.absent)
        == (other.seed, other.checks, other.validation_loss, other.absent)
    )


def test_the_hand_written_backward_pass_is_the_derivative_of_the_forward_pass() -> None:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    x, weights, pull = draw(7, 9, 5), (draw(5, 12), draw(3, 12), draw(12)), draw(9, 3)
    by_hand = jax.grad(lambda w: (last_hidden(x, *w) * pull).sum())(weights)
    by_jax = jax.grad(lambda w: (forward(x, *w)[0] * pull).sum())(weights)
    for ours, theirs in zip(by_hand, by_jax, strict=True):
        assert np.abs(theirs).max() > 0.01
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_seed_gives_the_same_network_every_time_and_another_seed_another() -> None:
    again = taught(planted(), FOLDS, seeds=(0, 1))
    assert len(again) == 6
    assert [(n.fold, n.seed) for n in again] == [(f, s) for f in range(3) for s in (0, 1)]
    assert all(same(one, other) for one, other in zip(everyone(), again, strict=True))
    assert not np.allclose(again[0].inputs, again[1].inputs)


def test_a_network_does_not_depend_on_the_folds_and_seeds_beside_it() -> None:
    (found,) = [n for n in everyone() if (n.fold, n.seed) == (1, 0)]
    assert same(found, usual())


def test_it_learns_what_happened_five_steps_before() -> None:
    data = planted()
    after = slice(FOLDS[2].train.stop, len(data.X))
    mine = [n for n in everyone() if n.fold == 2]
    said = forecast(mine, data.X, after)

    def linear(outcome: np.ndarray) -> np.ndarray:
        known = np.isfinite(outcome[: after.start])
        newest = np.column_stack([np.nan_to_num(data.X, nan=2.0), np.ones(len(data.X))])
        fitted, *_ = np.linalg.lstsq(newest[: after.start][known], outcome[: after.start][known])
        return newest[after] @ fitted

    def explained(outcome: np.ndarray, told: np.ndarray) -> float:
        known = np.isfinite(outcome)
        return float(np.corrcoef(outcome[known], told[known])[0, 1] ** 2)

    for k in range(1, len(HEADS)):
        assert explained(data.Y[after, k], said[:, k]) > 0.7
        assert explained(data.Y[after, k], linear(data.Y[:, k])) < 0.05
    # Log odds, a standardised mean, a median and an upper quantile, each in its own units.
    known = np.isfinite(data.Y[after]).all(axis=1)
    truth = data.Y[after][known]
    assert ((said[known, 0] > 0) == truth[:, 0]).mean() > 0.85
    assert abs((truth[:, 1] - said[known, 1]).mean()) < 0.2
    assert 0.4 < (truth[:, 2] < said[known, 2]).mean() < 0.6
    assert 0.8 < (truth[:, 3] < said[known, 3]).mean() < 0.97


def test_nothing_after_the_training_rows_changes_a_network() -> None:
    data = planted()
    stop = MIDDLE[0].train.stop
    data.X[stop:] = 1e6
    data.Y[stop:] = -1e6
    assert same(taught(data)[0], usual())


def test_outcomes_in_the_purge_and_before_the_training_rows_are_not_learned() -> None:
    data = planted()
    data.Y[LEARNED:CUT] = -1e6
    data.Y[:8] = -1e6
    assert same(taught(data)[0], usual())


@pytest.mark.parametrize("row", [(LEARNED - 1) // 4 * 4, CUT + 3 - (CUT + 3) % 4])
def test_the_edges_of_the_purge_are_where_they_are_said_to_be(row: int) -> None:
    """The row before it is learned from, the row after it is looked at."""
    assert row % 4 == 0
    data = planted()
    data.Y[row] = 1e3
    assert not same(taught(data)[0], usual())


def test_the_stop_looks_at_the_newest_training_rows_and_keeps_the_best_look() -> None:
    data = planted()
    # From here on the validation rows say the opposite of what is learned: the first look is best.
    newest = slice(CUT, MIDDLE[0].train.stop)
    data.Y[newest, 0] = 1.0 - data.Y[newest, 0]
    data.Y[newest, 1:] = 2.0 * np.array([5.0, 0.0, 0.0]) - data.Y[newest, 1:]
    (stopped,) = taught(data)
    (first_look,) = taught(data, recipe=replace(RECIPE, checks=1))
    assert stopped.checks == first_look.checks == 1 < usual().checks
    assert same(stopped, first_look)
    assert stopped.validation_loss > usual().validation_loss


def test_one_batch_of_all_networks_learns_what_each_learns_alone() -> None:
    """One that has stopped ignores the looks that others still need."""
    data = planted()
    # Rounding grows with every step: few of them, and large.
    jumpy = replace(RECIPE, steps=3, checks=12, learning_rate=0.05, patience=1)
    together = taught(data, FOLDS, recipe=jumpy, together=True)
    alone = taught(data, FOLDS, recipe=jumpy)
    for found, expected in zip(together, alone, strict=True):
        assert (found.fold, found.seed) == (expected.fold, expected.seed)
        assert found.checks == expected.checks
        for name in ARRAYS:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=0, atol=1e-4
            )
    # The first to stop had looks before it that it must not take.
    assert len({n.checks for n in alone}) > 1


def test_the_validation_loss_is_that_of_the_network_kept() -> None:
    data, network = planted(), usual()
    rows = data.rows[(data.rows >= CUT) & (data.rows < MIDDLE[0].train.stop)]
    picked = rows[np.linspace(0, len(rows) - 1, VALIDATED).astype(int)]
    said = (forecast([network], data.X, slice(0, 6_700))[picked] - network.center) / network.spread
    y = (data.Y[picked] - network.center) / network.spread
    error = y - said
    total = np.nanmean(np.logaddexp(0.0, said[:, 0]) - y[:, 0] * said[:, 0])
    total += np.nanmean(0.5 * error[:, 1] ** 2)
    total += np.nanmean(np.abs(error[:, 2]))
    total += np.nanmean(np.abs(error[:, 3]) + 0.8 * error[:, 3])
    # The absolute losses are rounded near zero.
    assert network.validation_loss == pytest.approx(total, abs=5e-3)


def _absent(data: Planted) -> None:
    data.X[:, 2] = np.nan


def _constant(data: Planted) -> None:
    data.X[:, 2] = 0.1


def _later(data: Planted) -> None:
    data.X[:, 2] = np.nan
    data.X[LEARNED:, 2] = 7.0


@pytest.mark.parametrize(("change", "absent"), [(_absent, (2,)), (_constant, ()), (_later, (2,))])
def test_an_input_that_is_absent_or_never_moves_says_nothing(
    change: Callable[[Planted], None], absent: tuple[int, ...]
) -> None:
    data = planted()
    change(data)
    (network,) = taught(data)
    assert network.absent == absent
    assert np.isinf(network.scale[2])
    before = forecast([network], data.X, slice(6_700, 6_800))
    assert np.isfinite(before).all()
    known = np.isfinite(data.X[6_600:, 2])
    data.X[6_600:, 2][known] += 100.0
    np.testing.assert_array_equal(forecast([network], data.X, slice(6_700, 6_800)), before)


def test_hours_are_read_alike_while_learning_and_afterwards() -> None:
    """From the first hour of history on: the hours before it are unknown to both."""
    X, network = planted().X, usual()
    rows = np.array([0, 1, 5, 27, 28, 6_000])
    table = _table(jnp.asarray(X, jnp.float32), network.mean, network.scale)
    x = _sequences(table, jnp.asarray(rows), RECIPE)
    h, _ = forward(x, *map(jnp.asarray, (network.inputs, network.recurrent, network.bias)))
    said = h @ network.out + x[-1] @ network.skip + network.out_bias
    np.testing.assert_allclose(
        network.center + network.spread * said,
        forecast([network], X, slice(0, 6_001))[rows],
        rtol=1e-5,
        atol=1e-5,
    )


def test_unknown_inputs_are_taken_for_their_mean_and_their_share_is_told() -> None:
    data, network = planted(), usual()
    holed, filled = data.X.copy(), data.X.copy()
    holed[6_740, 1], filled[6_740, 1] = np.nan, network.mean[1]
    silent = replace(
        network,
        inputs=np.concatenate([network.inputs[:-1], np.zeros((1, 16), np.float32)]),
        skip=np.concatenate([network.skip[:-1], np.zeros((1, 4), np.float32)]),
    )
    here = slice(6_740, 6_741)
    np.testing.assert_array_equal(forecast([silent], holed, here), forecast([silent], filled, here))
    assert (forecast([network], holed, here) != forecast([network], filled, here)).all()


def test_a_fold_with_fewer_than_two_batches_to_learn_from_has_no_network() -> None:
    data = planted()
    # 128 sampled rows before the purge, and one less.
    enough = 8 + round((4 * 128 + RECIPE.purge_h) / 0.8)
    folds = [Split(slice(8, stop), slice(stop, stop + 1)) for stop in (enough - 8, enough, 2_000)]
    assert [network.fold for network in taught(data, folds)] == [1, 2]
    assert taught(data, folds[:1]) == []


def test_heads_whose_outcomes_are_all_alike_or_unknown_stay_finite() -> None:
    data = planted()
    data.Y[:, 0] = 1.0
    data.Y[:, 1] = 0.1
    data.Y[:, 3] = np.nan
    (network,) = taught(data)
    said = forecast([network], data.X, slice(6_700, 7_000))
    assert np.isfinite(said).all()
    assert np.isfinite(network.validation_loss)
    assert (said[:, 0] > 1.0).all()
    np.testing.assert_allclose(said[:, 1], 0.1, atol=0.2)
    assert network.spread[1] == 1.0
    known = np.isfinite(data.Y[6_700:7_000, 2])
    assert np.corrcoef(said[known, 2], data.Y[6_700:7_000, 2][known])[0, 1] > 0.8


def test_a_network_survives_its_way_through_a_file() -> None:
    network = replace(usual(), absent=(1, 3))
    again = Network.from_tensors(load(save(network.to_tensors())))
    assert same(network, again)
    assert (again.length, again.stride_h, again.fold) == (8, 4, network.fold)
    assert all(getattr(again, name).dtype == np.float32 for name in ARRAYS)


def test_the_planted_signal_lies_where_the_steps_of_a_sequence_are() -> None:
    assert BACK_H == 5 * RECIPE.stride_h < RECIPE.length * RECIPE.stride_h
