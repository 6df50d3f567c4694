"""What a network says: the same as while it learned, and the same live as over history."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from counterpoise.signals.lstm_forward import LiveEnsemble, forecast
from counterpoise.signals.lstm_network import LARGEST_INPUT, Network
from counterpoise.signals.recurrence import forward

FEATURES, HIDDEN, HEADS, LENGTH, STRIDE = 6, 5, 3, 7, 3
WINDOW = (LENGTH - 1) * STRIDE + 1


def network(seed: int) -> Network:
    """Any network: what is tested here does not depend on where weights come from."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Network(
        inputs=draw(FEATURES + 1, 4 * HIDDEN),
        recurrent=draw(HIDDEN, 4 * HIDDEN),
        bias=draw(4 * HIDDEN),
        out=draw(HIDDEN, HEADS),
        out_bias=draw(HEADS),
        skip=draw(FEATURES + 1, HEADS),
        mean=draw(FEATURES),
        scale=np.array([1.0, 0.5, 2.0, np.inf, 1.0, 0.1], np.float32),
        center=np.array([0.0, 3.0, -1.0], np.float32),
        spread=np.array([1.0, 2.0, 0.5], np.float32),
        length=LENGTH,
        stride_h=STRIDE,
        fold=0,
        seed=seed,
        checks=1,
        validation_loss=0.0,
    )


NETWORKS = [network(seed) for seed in range(3)]


def hours() -> np.ndarray:
    """Inputs with holes, an infinity, an hour of nothing and outliers."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(120, FEATURES))
    X[rng.random(X.shape) < 0.1] = np.nan
    X[40] = np.nan
    X[50, 1], X[60, 2] = np.inf, -np.inf
    X[70:75] *= 1e3
    return X


def by_jax(one: Network, X: np.ndarray, row: int) -> np.ndarray:
    """The forecast of one row by the recurrence that learns, inputs scaled in plain numpy."""
    front = np.full((WINDOW, FEATURES), np.nan)
    window = np.concatenate([front, X])[row + 1 : row + WINDOW + 1][::STRIDE].astype(np.float32)
    known = np.isfinite(window)
    z = np.where(known, (np.where(known, window, 0) - one.mean) / one.scale, 0)
    z = np.clip(z, -LARGEST_INPUT, LARGEST_INPUT)
    x = np.column_stack([z, 1 - known.mean(axis=1)]).astype(np.float32)
    h, _ = forward(
        jnp.asarray(x[:, None]), *map(jnp.asarray, (one.inputs, one.recurrent, one.bias))
    )
    return one.center + one.spread * (h[0] @ one.out + x[-1] @ one.skip + one.out_bias)


def live(networks: list[Network], X: np.ndarray) -> np.ndarray:
    ensemble = LiveEnsemble(networks)
    return np.stack([ensemble.update(row) for row in X])


def test_the_compiled_forecast_is_that_of_the_recurrence_that_learns() -> None:
    X = hours()
    said = forecast(NETWORKS, X, slice(0, len(X)))
    assert said.shape == (len(X), HEADS)
    for row in (0, 1, WINDOW - 2, WINDOW - 1, WINDOW, 40, 50, 60, 72, 119):
        expected = np.mean([by_jax(one, X, row) for one in NETWORKS], axis=0)
        np.testing.assert_allclose(said[row], expected, rtol=1e-5, atol=1e-5)
    alone = forecast(NETWORKS[:1], X, slice(0, len(X)))
    assert np.abs(alone - said).max() > 0.1


def test_live_hour_by_hour_is_history_to_the_last_bit() -> None:
    X = hours()
    said = forecast(NETWORKS, X, slice(0, len(X)))
    np.testing.assert_array_equal(live(NETWORKS, X), said)
    # Rows of a wider table are not contiguous.
    wide = np.asfortranarray(np.repeat(X, 2, axis=1))[:, ::2]
    np.testing.assert_array_equal(live(NETWORKS, wide), said)


@pytest.mark.parametrize("start", [0, 1, WINDOW - 2, WINDOW - 1, WINDOW, 77, 119])
def test_a_part_of_history_says_what_all_of_it_says(start: int) -> None:
    X = hours()
    said = forecast(NETWORKS, X, slice(0, len(X)))
    np.testing.assert_array_equal(forecast(NETWORKS, X, slice(start, 120)), said[start:])


@pytest.mark.parametrize("cut", [1, WINDOW, 55, 119])
def test_what_comes_later_changes_no_forecast(cut: int) -> None:
    X = hours()
    said = forecast(NETWORKS, X, slice(0, len(X)))
    np.testing.assert_array_equal(forecast(NETWORKS, X[:cut], slice(0, cut)), said[:cut])
    X[cut:] = 1e6
    np.testing.assert_array_equal(forecast(NETWORKS, X, slice(0, len(X)))[:cut], said[:cut])


def test_a_forecast_looks_back_on_its_steps_and_no_other_hour() -> None:
    X, row = hours(), 100
    said = forecast(NETWORKS, X, slice(row, row + 1))
    for back in range(WINDOW + STRIDE):
        changed = X.copy()
        changed[row - back, 0] = 2.0 + (np.nan_to_num(X[row - back, 0]) < 0)
        moved = (forecast(NETWORKS, changed, slice(row, row + 1)) != said).any()
        assert moved == (back % STRIDE == 0 and back < WINDOW)


def test_hours_before_history_are_hours_of_which_nothing_is_known() -> None:
    X = hours()[:30]
    silence = np.full((WINDOW, FEATURES), np.nan)
    padded = forecast(NETWORKS, np.concatenate([silence, X]), slice(WINDOW, WINDOW + 30))
    np.testing.assert_array_equal(padded, forecast(NETWORKS, X, slice(0, 30)))


def test_many_hours_at_once_and_one_at_a_time_go_on_from_each_other() -> None:
    X = hours()
    said = forecast(NETWORKS, X, slice(0, len(X)))
    ensemble = LiveEnsemble(NETWORKS)
    assert ensemble.rows(X[:33], 33).shape == (0, HEADS)
    mixed = [ensemble.update(X[33])[None], ensemble.rows(X[34:90], 6)]
    mixed.append(np.stack([ensemble.update(row) for row in X[90:]]))
    np.testing.assert_array_equal(
        np.concatenate(mixed), np.concatenate([said[33:34], said[40:90], said[90:]])
    )


def test_an_ensemble_is_the_mean_of_its_networks_each_in_its_own_units() -> None:
    X = hours()
    one, other = NETWORKS[0], replace(NETWORKS[1], center=NETWORKS[1].center + np.float32(8.0))
    parts = [forecast([each], X, slice(0, len(X))) for each in (one, other)]
    both = forecast([one, other], X, slice(0, len(X)))
    np.testing.assert_allclose(both, (parts[0] + parts[1]) / 2, rtol=1e-12, atol=1e-12)
