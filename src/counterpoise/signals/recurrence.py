"""The recurrence of the network and its backward pass, written by hand.

Gates are kept from the way forward, so nothing is computed twice, and the gradient of each weight
is one product over all steps after the scan.
"""

from typing import Any

import jax
import jax.numpy as jnp


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
    return forward(x, inputs, recurrent, bias)[0]


def forward(
    x: jax.Array, inputs: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """As :func:`last_hidden`, with what the backward pass reads of each step."""
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
    h, kept = forward(x, inputs, recurrent, bias)
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
