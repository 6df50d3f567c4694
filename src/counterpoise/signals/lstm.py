"""The network: one LSTM for every target, all folds and seeds trained by one program.

JAX, float32, on whatever device JAX finds. A network reads every fourth hour of the last days and
ends in one head per target, each with the loss of its question. Networks differ in their fold and
seed only, so they are trained side by side as one batched computation; each stops early on the
newest part of its own past. The backward pass is written by hand: gates are kept, and every weight
gradient is one product after the scan. Forecasts are made by ``lstm_forward``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from counterpoise.signals.walkforward import Split

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Loss = Literal["logistic", "squared", "absolute", "pinball"]

#: Standardised inputs are cut off here.
LARGEST_INPUT = 5.0
#: Rows of the validation slice that are looked at, evenly spaced.
VALIDATED = 512


@dataclass(frozen=True)
class Head:
    """One question of the network.

    Attributes
    ----------
    name : str
    loss : str
        ``logistic`` learns log odds; the others standardised outcomes.
    quantile : float
        Read by ``pinball``.
    """

    name: str
    loss: Loss
    quantile: float = 0.5


@dataclass(frozen=True)
class Recipe:
    """How networks are built and trained.

    Attributes
    ----------
    hidden : int
        Cells.
    length, stride_h : int
        Steps of a sequence and the hours between them.
    batch, steps, checks, patience : int
        Rows of a step; steps between two looks at the validation rows; most looks; looks without
        progress before a stop. The same for every fold, so that none depends on another.
    learning_rate, weight_decay : float
    validation_share : float
        Newest part of the training rows, kept for the stop.
    purge_h : int
        Hours between what is learned and what the stop looks at: the longest horizon.
    """

    hidden: int = 8
    length: int = 24
    stride_h: int = 4
    batch: int = 512
    steps: int = 30
    checks: int = 20
    patience: int = 3
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    validation_share: float = 0.2
    purge_h: int = 168


class Weights(eqx.Module):
    """Parameters of one network; with a leading axis, of many."""

    inputs: jax.Array
    recurrent: jax.Array
    bias: jax.Array
    out: jax.Array
    out_bias: jax.Array
    skip: jax.Array


@dataclass(frozen=True)
class Network:
    """A trained network with what its inputs and outputs are scaled by.

    Attributes
    ----------
    inputs : float32 (F + 1, 4H)
        The last row is of the share of inputs unknown. Gates in the order input, forget, cell, out.
    recurrent : float32 (H, 4H)
    bias : float32 (4H,)
    out : float32 (H, K)
    out_bias : float32 (K,)
    skip : float32 (F + 1, K)
        From the newest hour straight to the heads: what is linear need not pass the cells.
    mean, scale : float32 (F,)
        Of the inputs over the rows learned from.
    center, spread : float32 (K,)
        Of the outcomes; 0 and 1 for log odds.
    length, stride_h : int
    fold, seed : int
    checks : int
        Looks until the best validation loss.
    validation_loss : float
    absent : tuple of int
        Inputs never known over the rows learned from: not evaluated.
    """

    inputs: Singles
    recurrent: Singles
    bias: Singles
    out: Singles
    out_bias: Singles
    skip: Singles
    mean: Singles
    scale: Singles
    center: Singles
    spread: Singles
    length: int
    stride_h: int
    fold: int
    seed: int
    checks: int
    validation_loss: float
    absent: tuple[int, ...] = field(default=())

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Arrays of the network, as a store keeps them."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        arrays["shape"] = np.array(
            [self.length, self.stride_h, self.fold, self.seed, self.checks], np.int64
        )
        arrays["validation_loss"] = np.array([self.validation_loss])
        arrays["absent"] = np.array(self.absent, np.int64)
        return arrays

    @staticmethod
    def from_tensors(tensors: Mapping[str, NDArray[Any]]) -> "Network":
        """The network that gave these arrays."""
        length, stride_h, fold, seed, checks = map(int, tensors["shape"])
        return Network(
            **{name: np.asarray(tensors[name], np.float32) for name in _ARRAYS},
            length=length,
            stride_h=stride_h,
            fold=fold,
            seed=seed,
            checks=checks,
            validation_loss=float(tensors["validation_loss"][0]),
            absent=tuple(map(int, tensors["absent"])),
        )


_ARRAYS = (
    *("inputs", "recurrent", "bias", "out", "out_bias", "skip"),
    *("mean", "scale", "center", "spread"),
)


@jax.custom_vjp
def last_hidden(
    x: jax.Array, inputs: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> jax.Array:
    """Hidden state after the last step.

    Parameters
    ----------
    x : float32 (L, B, F)
        Sequences, the oldest step first. Data: its gradient is not formed.
    inputs : float32 (F, 4H)
    recurrent : float32 (H, 4H)
    bias : float32 (4H,)

    Returns
    -------
    float32 (B, H)
    """
    return _forward(x, inputs, recurrent, bias)[0]


def _forward(
    x: jax.Array, inputs: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    size = recurrent.shape[0]
    projected = x @ inputs + bias
    start = jnp.zeros((x.shape[1], size), x.dtype)

    def step(
        carry: tuple[jax.Array, jax.Array], z: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
        h, c = carry
        z = z + h @ recurrent
        gates = jax.nn.sigmoid(z)
        i, f, o = gates[:, :size], gates[:, size : 2 * size], gates[:, 3 * size :]
        g = jnp.tanh(z[:, 2 * size : 3 * size])
        c_new = f * c + i * g
        squashed = jnp.tanh(c_new)
        return (o * squashed, c_new), (h, c, i, f, g, o, squashed)

    (h, _), kept = jax.lax.scan(step, (start, start), projected)
    return h, kept


def _last_hidden_fwd(
    x: jax.Array, inputs: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[Any, ...]]:
    h, kept = _forward(x, inputs, recurrent, bias)
    return h, (x, recurrent, kept)


def _last_hidden_bwd(
    saved: tuple[Any, ...], dh: jax.Array
) -> tuple[None, jax.Array, jax.Array, jax.Array]:
    x, recurrent, kept = saved

    def step(
        carry: tuple[jax.Array, jax.Array], now: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        dh, dc = carry
        _, c, i, f, g, o, squashed = now
        dc = dc + dh * o * (1.0 - squashed * squashed)
        dz = jnp.concatenate(
            [
                dc * g * i * (1.0 - i),
                dc * c * f * (1.0 - f),
                dc * i * (1.0 - g * g),
                dh * squashed * o * (1.0 - o),
            ],
            axis=1,
        )
        return (dz @ recurrent.T, dc * f), dz

    _, dz = jax.lax.scan(step, (dh, jnp.zeros_like(dh)), kept, reverse=True)
    steps, rows, width = dz.shape
    flat = dz.reshape(steps * rows, width)
    before = kept[0].reshape(steps * rows, -1)
    return (
        None,
        x.reshape(steps * rows, -1).T @ flat,
        before.T @ flat,
        flat.sum(axis=0),
    )


last_hidden.defvjp(_last_hidden_fwd, _last_hidden_bwd)


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


def _sequences(
    X: jax.Array, rows: jax.Array, mean: jax.Array, scale: jax.Array, steps: jax.Array
) -> jax.Array:
    """Standardised sequences that end at some rows; (L, B, F + 1), unknown inputs at the mean."""
    # Rows before history point at a row of NaN put in front.
    places = jnp.maximum(rows[None, :] + 1 - steps[:, None], 0)
    raw = X[places]
    known = jnp.isfinite(raw)
    z = jnp.where(known, (jnp.where(known, raw, 0.0) - mean) / scale, 0.0)
    z = jnp.clip(z, -LARGEST_INPUT, LARGEST_INPUT)
    unknown = 1.0 - known.mean(axis=2, keepdims=True, dtype=jnp.float32)
    return jnp.concatenate([z, unknown], axis=2)


@dataclass(frozen=True)
class _Fold:
    """What the networks of one fold are scaled by and draw from."""

    fit: int
    validation: NDArray[np.int32]
    mean: Singles
    scale: Singles
    center: Singles
    spread: Singles
    absent: tuple[int, ...]


def _fold(
    X: Floats,
    Y: Floats,
    rows: NDArray[np.int32],
    heads: Sequence[Head],
    split: Split,
    recipe: Recipe,
) -> _Fold:
    """Scales of the rows a fold learns from; ``rows`` are all sampled rows of history, in order."""
    inside = rows[rows < split.train.stop]
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
    scale[~(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300))] = np.inf
    outcome = Y[inside[:fit]]
    center, spread = np.zeros(len(heads)), np.ones(len(heads))
    for k, head in enumerate(heads):
        y = outcome[np.isfinite(outcome[:, k]), k]
        if head.loss != "logistic" and len(y) and y.std() > 0:
            center[k], spread[k] = y.mean(), y.std()
    picked = np.linspace(0, max(len(later) - 1, 0), VALIDATED).astype(int)
    validation = later[picked] if len(later) else np.zeros(VALIDATED, np.int32)
    single = partial(np.asarray, dtype=np.float32)
    return _Fold(
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


class _State(eqx.Module):
    """Everything that changes while the networks learn; each array has one row per network."""

    weights: Weights
    optimiser: optax.OptState
    key: jax.Array
    best: Weights
    best_loss: jax.Array
    best_check: jax.Array
    stale: jax.Array


def train(
    X: Floats,
    Y: Floats,
    rows: NDArray[np.int64],
    heads: Sequence[Head],
    folds: Sequence[Split],
    *,
    recipe: Recipe | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> list[Network]:
    """Train a network for each fold and seed, all at once.

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
        Training rows of each fold begin with history.
    recipe : Recipe, optional
    seeds : sequence of int

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
    if not able:
        return []
    pairs = [(n, seed) for n in able for seed in seeds]

    def stacked(name: str) -> jax.Array:
        return jnp.asarray(np.stack([getattr(told[n], name) for n, _ in pairs]))

    front = np.full((1, X.shape[1]), np.nan)
    held = jnp.asarray(np.concatenate([front, X]), jnp.float32)
    outcomes = jnp.asarray(Y, jnp.float32)
    steps = jnp.arange(recipe.length)[::-1] * recipe.stride_h
    kinds = jnp.asarray([_KINDS[head.loss] for head in heads])
    levels = jnp.asarray(
        [0.5 if head.loss == "absolute" else head.quantile for head in heads], jnp.float32
    )
    mean, scale = stacked("mean"), stacked("scale")
    center, spread = stacked("center"), stacked("spread")
    fit, validation = stacked("fit"), stacked("validation")
    sample = jnp.asarray(sampled)
    width = X.shape[1] + 1
    # A fold's networks start alike whatever other folds are trained beside them.
    keys = jnp.stack(
        [jax.random.fold_in(jax.random.key(seed), folds[n].train.stop) for n, seed in pairs]
    )
    weights = jax.vmap(lambda key: _initial(key, width, len(heads), recipe.hidden))(keys)
    rate = optax.adamw(recipe.learning_rate, weight_decay=recipe.weight_decay)
    optimiser = jax.vmap(rate.init)(weights)

    def loss_of(
        weights: Weights,
        picked: jax.Array,
        mean: jax.Array,
        scale: jax.Array,
        center: jax.Array,
        spread: jax.Array,
    ) -> jax.Array:
        x = _sequences(held, picked, mean, scale, steps)
        y = (outcomes[picked] - center) / spread
        return _loss(weights, x, y, kinds, levels)

    def one_step(
        weights: Weights,
        state: optax.OptState,
        key: jax.Array,
        fit: jax.Array,
        *scales: jax.Array,
    ) -> tuple[Weights, optax.OptState]:
        drawn = jax.random.uniform(key, (recipe.batch,))
        picked = sample[jnp.minimum((drawn * fit).astype(jnp.int32), fit - 1)]
        gradient = jax.grad(loss_of)(weights, picked, *scales)
        change, state = rate.update(gradient, state, weights)
        return optax.apply_updates(weights, change), state

    scales = (mean, scale, center, spread)

    @jax.jit
    def learn(state: _State, number: jax.Array) -> _State:
        def step(
            carry: tuple[Weights, optax.OptState], index: jax.Array
        ) -> tuple[tuple[Weights, optax.OptState], None]:
            keys = jax.vmap(jax.random.fold_in, (0, None))(state.key, number * recipe.steps + index)
            return jax.vmap(one_step)(*carry, keys, fit, *scales), None

        carry = (state.weights, state.optimiser)
        (weights, optimiser), _ = jax.lax.scan(step, carry, jnp.arange(recipe.steps))
        loss = jax.vmap(loss_of)(weights, validation, *scales)
        better = (loss < state.best_loss) & (state.stale < recipe.patience)
        best = jax.tree.map(
            lambda new, old: jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            weights,
            state.best,
        )
        return _State(
            weights,
            optimiser,
            state.key,
            best,
            jnp.where(better, loss, state.best_loss),
            jnp.where(better, number + 1, state.best_check),
            jnp.where(
                better, 0, jnp.where(state.stale < recipe.patience, state.stale + 1, state.stale)
            ),
        )

    count = len(pairs)
    state = _State(
        weights,
        optimiser,
        keys,
        weights,
        jnp.full(count, jnp.inf),
        jnp.zeros(count, jnp.int32),
        jnp.zeros(count, jnp.int32),
    )
    for number in range(recipe.checks):
        state = learn(state, jnp.asarray(number))
        if bool((state.stale >= recipe.patience).all()):
            break
    arrays = {
        name: np.asarray(getattr(state.best, name))
        for name in ("inputs", "recurrent", "bias", "out", "out_bias", "skip")
    }
    return [
        Network(
            **{name: np.ascontiguousarray(values[i]) for name, values in arrays.items()},
            mean=told[n].mean,
            scale=told[n].scale,
            center=told[n].center,
            spread=told[n].spread,
            length=recipe.length,
            stride_h=recipe.stride_h,
            fold=n,
            seed=seed,
            checks=int(state.best_check[i]),
            validation_loss=float(state.best_loss[i]),
            absent=told[n].absent,
        )
        for i, (n, seed) in enumerate(pairs)
    ]
