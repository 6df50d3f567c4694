"""What the network is asked, how it is built, and what is kept of one: plain data and arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Loss = Literal["logistic", "squared", "absolute", "pinball"]

#: Standardised inputs are cut off here.
LARGEST_INPUT = 5.0


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
