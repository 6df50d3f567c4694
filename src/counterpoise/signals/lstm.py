"""The network: one LSTM for every target, all folds and seeds trained by one program.

JAX, float32, on whatever device JAX finds. A network reads every fourth hour of the last days and
ends in one head per target, each with the loss of its question. Networks differ in their fold and
seed only, so one compiled program trains them all: side by side in one batch on an accelerator,
one per core on a CPU. Each stops early on the newest part of its own past. Forecasts are made by
``lstm_forward``.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from counterpoise.signals.lstm_network import LARGEST_INPUT, Head, Network, Recipe
from counterpoise.signals.recurrence import last_hidden
from counterpoise.signals.walkforward import Split

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: A standard deviation this small beside the mean, or in itself, is one of rounding.
SMALLEST, TINY = 1e-6, 1e-30
#: Rows of the validation slice that are looked at, evenly spaced.
VALIDATED = 512


class Weights(eqx.Module):
    """Parameters of one network; with a leading axis, of many."""

    inputs: jax.Array
    recurrent: jax.Array
    bias: jax.Array
    out: jax.Array
    out_bias: jax.Array
    skip: jax.Array


def _loss(
    weights: Weights, x: jax.Array, y: jax.Array, kinds: jax.Array, levels: jax.Array
) -> jax.Array:
    """Sum over heads of their mean losses; x (L, B, F), y (B, K) with NaN where unknown."""
    h = last_hidden(x, weights.inputs, weights.recurrent, weights.bias)
    said = h @ weights.out + x[-1] @ weights.skip + weights.out_bias
    known = jnp.isfinite(y)
    y = jnp.where(known, y, 0.0)
    error = y - said
    # The absolute losses are rounded near zero, so that their gradient is one of size.
    rounded = jnp.sqrt(error * error + 1e-4)
    tilted = 0.5 * rounded + (levels - 0.5) * error
    each = jnp.select(
        [kinds == 0, kinds == 1],
        [jax.nn.softplus(said) - y * said, 0.5 * error * error],
        2.0 * tilted,
    )
    count = known.sum(axis=0)
    return jnp.where(count > 0, (each * known).sum(axis=0) / jnp.maximum(count, 1), 0.0).sum()


_KINDS: dict[str, int] = {"logistic": 0, "squared": 1, "absolute": 2, "pinball": 2}


def _table(X: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
    """Standardised inputs and the share unknown, (T + 1, F + 1); unknown inputs at the mean."""
    known = jnp.isfinite(X)
    z = jnp.where(known, (jnp.where(known, X, 0.0) - mean) / scale, 0.0)
    z = jnp.clip(z, -LARGEST_INPUT, LARGEST_INPUT)
    unknown = 1.0 - known.mean(axis=1, keepdims=True, dtype=jnp.float32)
    # Hours before history read the row in front, where nothing is known.
    return jnp.pad(jnp.concatenate([z, unknown], axis=1), ((1, 0), (0, 0))).at[0, -1].set(1.0)


def _sequences(table: jax.Array, rows: jax.Array, recipe: Recipe) -> jax.Array:
    """Sequences that end at some rows of history, the oldest step first; (L, B, F + 1)."""
    back = jnp.arange(recipe.length)[::-1] * recipe.stride_h
    return table[jnp.maximum(rows[None, :] + 1 - back[:, None], 0)]


@dataclass(frozen=True)
class _Fold:
    """What the networks of one fold are scaled by and draw from.

    It draws from ``fit`` of the sampled rows, the first of them at ``first``.
    """

    first: int
    fit: int
    validation: NDArray[np.int32]
    mean: Singles
    scale: Singles
    center: Singles
    spread: Singles
    absent: tuple[int, ...]


def _moves(mean: Floats, deviation: Floats) -> NDArray[np.bool_]:
    """Whether values differ by more than float32 can tell apart."""
    return deviation > np.maximum(SMALLEST * np.abs(mean), TINY)


def _fold(
    X: Floats,
    Y: Floats,
    rows: NDArray[np.int32],
    heads: Sequence[Head],
    split: Split,
    recipe: Recipe,
) -> _Fold:
    """Scales of the rows a fold learns from; ``rows`` are all sampled rows of history, in order."""
    first, stop = np.searchsorted(rows, [split.train.start, split.train.stop])
    inside = rows[first:stop]
    cut = split.train.start + int(
        (split.train.stop - split.train.start) * (1.0 - recipe.validation_share)
    )
    fit = int(np.searchsorted(inside, cut - recipe.purge_h))
    later = inside[np.searchsorted(inside, cut) :]
    learned = X[split.train.start : max(cut - recipe.purge_h, split.train.start + 1)]
    known = np.isfinite(learned)
    absent = ~known.any(axis=0)
    filled = np.where(known, learned, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    mean = filled.sum(axis=0) / count
    variance = (np.where(known, learned - mean, 0.0) ** 2).sum(axis=0) / count
    scale = np.sqrt(variance)
    # An input that never moved says nothing: it stays at 0 once scaled by this.
    scale[~_moves(mean, scale)] = np.inf
    outcome = Y[inside[:fit]]
    center, spread = np.zeros(len(heads)), np.ones(len(heads))
    for k, head in enumerate(heads):
        y = outcome[np.isfinite(outcome[:, k]), k]
        if head.loss != "logistic" and len(y):
            center[k] = y.mean()
            if _moves(center[k], y.std()):
                spread[k] = y.std()
    picked = np.linspace(0, max(len(later) - 1, 0), VALIDATED).astype(int)
    validation = later[picked] if len(later) else np.zeros(VALIDATED, np.int32)
    single = partial(np.asarray, dtype=np.float32)
    return _Fold(
        int(first),
        fit,
        validation.astype(np.int32),
        single(mean),
        single(scale),
        single(center),
        single(spread),
        tuple(map(int, np.flatnonzero(absent))),
    )


def _initial(key: jax.Array, features: int, heads: int, hidden: int) -> Weights:
    first, second, third = jax.random.split(key, 3)
    size = 1.0 / np.sqrt(hidden)

    def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, shape, jnp.float32, -size, size)

    bias = jnp.zeros(4 * hidden).at[hidden : 2 * hidden].set(1.0)
    return Weights(
        uniform(first, (features, 4 * hidden)),
        uniform(second, (hidden, 4 * hidden)),
        bias,
        uniform(third, (hidden, heads)),
        jnp.zeros(heads),
        jnp.zeros((features, heads)),
    )


class _Shared(eqx.Module):
    """What every network reads."""

    X: jax.Array
    Y: jax.Array
    rows: jax.Array
    kinds: jax.Array
    levels: jax.Array


class _Given(eqx.Module):
    """What differs between networks before they learn; each array has one row per network."""

    key: jax.Array
    first: jax.Array
    fit: jax.Array
    validation: jax.Array
    mean: jax.Array
    scale: jax.Array
    center: jax.Array
    spread: jax.Array


class _State(eqx.Module):
    """Everything that changes while the networks learn; each array has one row per network."""

    weights: Weights
    optimiser: optax.OptState
    best: Weights
    best_loss: jax.Array
    best_check: jax.Array
    stale: jax.Array


def _rate(recipe: Recipe) -> optax.GradientTransformation:
    return optax.adamw(recipe.learning_rate, weight_decay=recipe.weight_decay)


@partial(jax.jit, static_argnames="recipe")
def _begin(shared: _Shared, given: _Given, recipe: Recipe) -> tuple[jax.Array, _State]:
    """Tables and untrained states of some networks."""
    width, heads = shared.X.shape[1] + 1, shared.Y.shape[1]

    def one(mine: _Given) -> tuple[jax.Array, _State]:
        weights = _initial(mine.key, width, heads, recipe.hidden)
        none = jnp.zeros((), jnp.int32)
        state = _State(
            weights,
            _rate(recipe).init(weights),
            weights,
            jnp.full((), jnp.inf, jnp.float32),
            none,
            none,
        )
        return _table(shared.X, mine.mean, mine.scale), state

    return jax.vmap(one)(given)


@partial(jax.jit, static_argnames="recipe")
def _learn(
    shared: _Shared,
    given: _Given,
    tables: jax.Array,
    states: _State,
    number: jax.Array,
    recipe: Recipe,
) -> _State:
    """Steps up to the next look at the validation rows, and the look."""
    rate = _rate(recipe)

    def one(mine: _Given, table: jax.Array, state: _State) -> _State:
        def loss_of(weights: Weights, picked: jax.Array) -> jax.Array:
            y = (shared.Y[picked] - mine.center) / mine.spread
            return _loss(weights, _sequences(table, picked, recipe), y, shared.kinds, shared.levels)

        def step(
            carry: tuple[Weights, optax.OptState], index: jax.Array
        ) -> tuple[tuple[Weights, optax.OptState], None]:
            weights, optimiser = carry
            key = jax.random.fold_in(mine.key, number * recipe.steps + index)
            drawn = (jax.random.uniform(key, (recipe.batch,)) * mine.fit).astype(jnp.int32)
            picked = shared.rows[mine.first + jnp.minimum(drawn, mine.fit - 1)]
            gradient = jax.grad(loss_of)(weights, picked)
            change, optimiser = rate.update(gradient, optimiser, weights)
            return (optax.apply_updates(weights, change), optimiser), None

        (weights, optimiser), _ = jax.lax.scan(
            step, (state.weights, state.optimiser), jnp.arange(recipe.steps)
        )
        loss = loss_of(weights, mine.validation)
        running = state.stale < recipe.patience
        better = running & (loss < state.best_loss)
        return _State(
            weights,
            optimiser,
            jax.tree.map(lambda new, old: jnp.where(better, new, old), weights, state.best),
            jnp.where(better, loss, state.best_loss),
            jnp.where(better, number + 1, state.best_check),
            jnp.where(better, 0, state.stale + running),
        )

    return jax.vmap(one)(given, tables, states)


def _finish(shared: _Shared, given: _Given, recipe: Recipe) -> _State:
    """Train some networks until each has stopped."""
    states: _State
    tables, states = _begin(shared, given, recipe)
    for number in range(recipe.checks):
        states = _learn(shared, given, tables, states, jnp.asarray(number, jnp.int32), recipe)
        if bool((states.stale >= recipe.patience).all()):
            break
    return states


def train(
    X: Floats,
    Y: Floats,
    rows: NDArray[np.int64],
    heads: Sequence[Head],
    folds: Sequence[Split],
    *,
    recipe: Recipe | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    together: bool | None = None,
) -> list[Network]:
    """Train a network for each fold and seed.

    Parameters
    ----------
    X : float64 (T, F)
        Inputs of consecutive hours; NaN where one is unknown.
    Y : float64 (T, K)
        Outcomes, known by the end of each fold's training rows; NaN where one is not.
    rows : int64 (R,)
        Rows that may be learned from, in order.
    heads : sequence of Head
        One per column of Y.
    folds : sequence of Split
        Outcomes are learned within the training rows; sequences reach back to before them.
    recipe : Recipe, optional
    seeds : sequence of int
    together : bool, optional
        All networks in one batch, or one at a time on each core, where it fits the cache. Without
        it, together unless JAX runs on the CPU. Both learn the same to rounding.

    Returns
    -------
    list of Network
        Fold after fold, seed after seed. A fold with fewer than two batches of rows to learn from
        has none.
    """
    recipe = recipe or Recipe()
    sampled = np.asarray(rows, np.int32)
    told = [_fold(X, Y, sampled, heads, split, recipe) for split in folds]
    able = [n for n, one in enumerate(told) if one.fit >= 2 * recipe.batch]
    pairs = [(n, seed) for n in able for seed in seeds]
    if together is None:
        together = jax.default_backend() != "cpu"
    shared = _Shared(
        jnp.asarray(X, jnp.float32),
        jnp.asarray(Y, jnp.float32),
        jnp.asarray(sampled),
        jnp.asarray([_KINDS[head.loss] for head in heads]),
        jnp.asarray(
            [0.5 if head.loss == "absolute" else head.quantile for head in heads], jnp.float32
        ),
    )

    def finished(group: Sequence[tuple[int, int]]) -> list[Network]:
        def stacked(name: str) -> jax.Array:
            return jnp.asarray(np.stack([getattr(told[n], name) for n, _ in group]))

        # A fold's networks start alike whatever other folds are trained beside them.
        keys = [jax.random.fold_in(jax.random.key(seed), folds[n].train.stop) for n, seed in group]
        given = _Given(jnp.stack(keys), *(stacked(name) for name in _GIVEN))
        states = jax.tree.map(np.asarray, _finish(shared, given, recipe))
        return [_network(told[n], n, seed, recipe, states, i) for i, (n, seed) in enumerate(group)]

    groups = [pairs] if together and pairs else [[pair] for pair in pairs]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [network for group in pool.map(finished, groups) for network in group]


_GIVEN = ("first", "fit", "validation", "mean", "scale", "center", "spread")
_WEIGHTS = ("inputs", "recurrent", "bias", "out", "out_bias", "skip")


def _network(
    told: _Fold, fold: int, seed: int, recipe: Recipe, states: _State, place: int
) -> Network:
    """The network at one place of finished states."""
    return Network(
        **{name: np.ascontiguousarray(getattr(states.best, name)[place]) for name in _WEIGHTS},
        mean=told.mean,
        scale=told.scale,
        center=told.center,
        spread=told.spread,
        length=recipe.length,
        stride_h=recipe.stride_h,
        fold=fold,
        seed=seed,
        checks=int(states.best_check[place]),
        validation_loss=float(states.best_loss[place]),
        absent=told.absent,
    )
