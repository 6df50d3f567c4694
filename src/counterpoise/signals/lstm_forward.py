"""What a network says: one compiled forward pass for history and for live, equal to the last bit.

Each hour is scaled and projected once, when it arrives; a forecast then runs the recurrence over
the projected hours it looks back on. The cost of a forecast does not grow with history.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.signals.lstm_network import LARGEST_INPUT, Network

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_CUT = np.float32(LARGEST_INPUT)
_ONE, _HALF, _ZERO = np.float32(1.0), np.float32(0.5), np.float32(0.0)
#: Beyond this the hyperbolic tangent is 1 in float32.
_FLAT = np.float32(7.90531110763549805)
# Rational approximation of tanh, within 5e-7 of it everywhere.
_A = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_B = tuple(
    np.float32(c)
    for c in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)


@njit
def _tanh(x: Any) -> Any:
    x = min(max(x, -_FLAT), _FLAT)
    s = x * x
    p = _A[6] * s + _A[5]
    p = p * s + _A[4]
    p = p * s + _A[3]
    p = p * s + _A[2]
    p = p * s + _A[1]
    p = p * s + _A[0]
    q = _B[3] * s + _B[2]
    q = q * s + _B[1]
    q = q * s + _B[0]
    return x * p / q


@njit
def project(
    row: Singles, mean: Singles, scale: Singles, inputs: Singles, bias: Singles, out: Singles
) -> None:
    """Scale one hour and project it; ``out`` is as wide as ``inputs`` and ``bias``."""
    count, width = row.shape[0], out.shape[0]
    for k in range(width):
        out[k] = bias[k]
    unknown = _ZERO
    for f in range(count):
        if not np.isfinite(row[f]):
            unknown += _ONE
            continue
        z = min(max((row[f] - mean[f]) / scale[f], -_CUT), _CUT)
        for k in range(width):
            out[k] += z * inputs[f, k]
    share = unknown / np.float32(count)
    for k in range(width):
        out[k] += share * inputs[count, k]


@njit
def recur(
    projected: Singles,
    newest: int,
    length: int,
    stride: int,
    recurrent: Singles,
    out: Singles,
    gates: Singles,
    h: Singles,
    c: Singles,
    said: Singles,
) -> None:
    """Run the recurrence over a ring of projected hours that ends at ``newest``.

    Parameters
    ----------
    projected : float32 (R, 4H + K)
        A ring, R >= (length - 1) * stride + 1: what each hour says to the gates, and to the heads.
    newest : int
        Place of the hour of the forecast.
    gates, h, c : float32 (4H,), (H,), (H,)
        Room to work in.
    said : float32 (K,)
        Outputs of the heads.
    """
    size, ring = h.shape[0], projected.shape[0]
    for j in range(size):
        h[j] = _ZERO
        c[j] = _ZERO
    for step in range(length):
        place = (newest - (length - 1 - step) * stride) % ring
        for k in range(4 * size):
            gates[k] = projected[place, k]
        for j in range(size):
            left = h[j]
            for k in range(4 * size):
                gates[k] += left * recurrent[j, k]
        for k in range(2 * size):
            gates[k] = _HALF + _HALF * _tanh(_HALF * gates[k])
        for k in range(2 * size, 3 * size):
            gates[k] = _tanh(gates[k])
        for k in range(3 * size, 4 * size):
            gates[k] = _HALF + _HALF * _tanh(_HALF * gates[k])
        for j in range(size):
            c[j] = gates[size + j] * c[j] + gates[j] * gates[2 * size + j]
        for j in range(size):
            h[j] = gates[3 * size + j] * _tanh(c[j])
    for m in range(said.shape[0]):
        said[m] = projected[newest, 4 * size + m]
    for j in range(size):
        for m in range(said.shape[0]):
            said[m] += h[j] * out[j, m]


@njit
def tick(
    row: Singles,
    position: int,
    ring: Singles,
    mean: Singles,
    scale: Singles,
    inputs: Singles,
    recurrent: Singles,
    bias: Singles,
    out: Singles,
    length: int,
    stride: int,
    gates: Singles,
    h: Singles,
    c: Singles,
    said: Singles,
) -> None:
    """Take one hour into every network's ring and let each speak; ``said`` is (N, K)."""
    for n in range(ring.shape[0]):
        project(row, mean[n], scale[n], inputs[n], bias[n], ring[n, position])
        recur(
            ring[n], position, length, stride, recurrent[n], out[n], gates, h, c,
            said[n],
        )  # fmt: skip


@njit
def scan(
    rows: Singles,
    skip: int,
    position: int,
    ring: Singles,
    mean: Singles,
    scale: Singles,
    inputs: Singles,
    recurrent: Singles,
    bias: Singles,
    out: Singles,
    length: int,
    stride: int,
    gates: Singles,
    h: Singles,
    c: Singles,
    said: Singles,
) -> None:
    """Take many hours; the networks speak from row ``skip`` on. ``said`` is (rows - skip, N, K)."""
    for t in range(rows.shape[0]):
        if t < skip:
            for n in range(ring.shape[0]):
                project(rows[t], mean[n], scale[n], inputs[n], bias[n], ring[n, position])
        else:
            tick(
                rows[t], position, ring, mean, scale, inputs, recurrent, bias, out,
                length, stride, gates, h, c, said[t - skip],
            )  # fmt: skip
        position = (position + 1) % ring.shape[1]


#: Called with unpacked weights, which a type checker cannot count.
_tick: Callable[..., None] = tick
_scan: Callable[..., None] = scan


class LiveEnsemble:
    """Networks of one fold, hour by hour; their mean is the forecast.

    Parameters
    ----------
    networks : sequence of Network
        Of equal shape.

    Attributes
    ----------
    heads : int
        K values of a forecast.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        first = networks[0]
        self.heads = first.out.shape[1]
        self._length, self._stride = first.length, first.stride_h

        def stacked(name: str) -> Singles:
            arrays: list[Singles] = [getattr(one, name) for one in networks]
            return np.ascontiguousarray(np.stack(arrays))

        # Gates and heads read the hour in one product: (F + 1, 4H + K).
        wide = np.concatenate([stacked("inputs"), stacked("skip")], axis=2)
        shift = np.concatenate([stacked("bias"), stacked("out_bias")], axis=1)
        self._weights = (
            *(stacked("mean"), stacked("scale"), np.ascontiguousarray(wide)),
            *(stacked("recurrent"), np.ascontiguousarray(shift), stacked("out")),
        )
        self._center, self._spread = stacked("center"), stacked("spread")
        hidden = first.recurrent.shape[0]
        window = (self._length - 1) * self._stride + 1
        # Before history every input is unknown.
        unknown = wide[:, -1] + shift
        self._ring = np.ascontiguousarray(np.repeat(unknown[:, None, :], window, axis=1))
        self._position = 0
        self._room = (
            np.empty(4 * hidden, np.float32),
            np.empty(hidden, np.float32),
            np.empty(hidden, np.float32),
        )
        self._said = np.empty((len(networks), self.heads), np.float32)

    def update(self, row: Floats) -> Floats:
        """Take one hour, return the forecast as of it.

        Parameters
        ----------
        row : float64 (F,)
            Inputs, NaN where unknown.

        Returns
        -------
        float64 (K,)
            Log odds of logistic heads, values of the others; the mean over the networks.
        """
        _tick(
            row.astype(np.float32),
            self._position,
            self._ring,
            *self._weights,
            self._length,
            self._stride,
            *self._room,
            self._said,
        )
        self._position = (self._position + 1) % self._ring.shape[1]
        return np.asarray(self._outcomes(self._said[None])[0])

    def rows(self, X: Floats, skip: int) -> Floats:
        """Take many hours at once; forecasts of those from ``skip`` on, (N - skip, K)."""
        said = np.empty((len(X) - skip, *self._said.shape), np.float32)
        _scan(
            np.ascontiguousarray(X, dtype=np.float32),
            skip,
            self._position,
            self._ring,
            *self._weights,
            self._length,
            self._stride,
            *self._room,
            said,
        )
        self._position = (self._position + len(X)) % self._ring.shape[1]
        return self._outcomes(said)

    def _outcomes(self, said: Singles) -> Floats:
        """Means over networks in the units of the outcomes; ``said`` is (N, networks, K)."""
        values = self._center + self._spread * said
        return np.asarray(values.astype(np.float64).mean(axis=1))


def forecast(networks: Sequence[Network], X: Floats, rows: slice) -> Floats:
    """Forecasts of some rows by the networks of one fold.

    Parameters
    ----------
    networks : sequence of Network
    X : float64 (N, F)
        Consecutive hours from the first of history.
    rows : slice
        Within X.

    Returns
    -------
    float64 (rows, K)
    """
    ensemble = LiveEnsemble(networks)
    first = max(rows.start - (networks[0].length - 1) * networks[0].stride_h, 0)
    return ensemble.rows(X[first : rows.stop], rows.start - first)
