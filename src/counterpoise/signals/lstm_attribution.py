"""Which inputs moved a forecast of the network: integrated gradients.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017: the gradient along
the straight line from a baseline to the inputs, averaged, times the distance. The baseline is an
hour of which every input is known and at its training mean; the contributions add up to what the
forecast differs by from that of the baseline.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from counterpoise.signals.lstm_network import LARGEST_INPUT, Network
from counterpoise.signals.recurrence import forward

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Points of the line.
STEPS = 64


@jax.jit
def _mean_gradient(
    x: jax.Array,
    inputs: jax.Array,
    recurrent: jax.Array,
    bias: jax.Array,
    out: jax.Array,
    skip: jax.Array,
) -> jax.Array:
    """Gradient of one head with respect to a sequence (L, F), mean over the line to it from 0."""

    def head(points: jax.Array) -> jax.Array:
        h, _ = forward(points, inputs, recurrent, bias)
        return (h @ out + points[-1] @ skip).sum()

    # Midpoints: the error falls with the square of their number.
    shares = (jnp.arange(STEPS, dtype=x.dtype) + 0.5) / STEPS
    gradient: jax.Array = jax.grad(head)(x[:, None, :] * shares[None, :, None]).mean(axis=1)
    return gradient


def _read(network: Network, X: Floats, row: int) -> tuple[Singles, NDArray[np.bool_]]:
    """What a network reads for the forecast of a row, and which inputs were unknown.

    Returns
    -------
    float32 (L, F + 1)
        The oldest step first.
    bool (L, F)
    """
    places = row - np.arange(network.length)[::-1] * network.stride_h
    raw = np.where((places >= 0)[:, None], X[np.maximum(places, 0)], np.nan).astype(np.float32)
    unknown = ~np.isfinite(raw)
    z = (np.where(unknown, network.mean, raw) - network.mean) / network.scale
    z = np.clip(z, -LARGEST_INPUT, LARGEST_INPUT)
    return np.column_stack([z, unknown.mean(axis=1)]).astype(np.float32), unknown


def attribute(networks: Sequence[Network], X: Floats, row: int, head: int) -> Floats:
    """Contribution of each input to one forecast, over all steps the network looked back on.

    Parameters
    ----------
    networks : sequence of Network
        Of one fold; the result is their mean.
    X : float64 (N, F)
        Consecutive hours from the first of history.
    row : int
        Hour of the forecast.
    head : int

    Returns
    -------
    float64 (F,)
        In the units of the head's output, log odds for a logistic one. What an hour says by having
        unknown inputs is divided among those.
    """
    total = np.zeros(X.shape[1])
    for network in networks:
        x, unknown = _read(network, X, row)
        single = partial(jnp.asarray, dtype=jnp.float32)
        gradient = _mean_gradient(
            single(x),
            *map(single, (network.inputs, network.recurrent, network.bias)),
            single(network.out[:, head]),
            single(network.skip[:, head]),
        )
        each = x.astype(np.float64) * np.asarray(gradient, np.float64)
        silent = unknown * (each[:, -1] / np.maximum(unknown.sum(axis=1), 1))[:, None]
        total += float(network.spread[head]) * (each[:, :-1] + silent).sum(axis=0)
    return total / len(networks)
