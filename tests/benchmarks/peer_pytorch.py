"""The network of ``signals/lstm.py`` in PyTorch, one fold and seed after another.

Runs in the peer's own environment, where counterpoise does not exist. As a careful user would
write it: inputs standardised once a fold, a fused optimiser, masks made once.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

VALIDATED = 512


class Data:
    """Scaled inputs and outcomes of one fold, and the rows to draw from and to look at."""

    def __init__(self, X: np.ndarray, Y: np.ndarray, stop: int, told: dict[str, Any]) -> None:
        recipe = told["recipe"]
        cut = int(stop * (1.0 - recipe["validation_share"]))
        rows = np.arange(0, len(X), 4)
        fit = rows[rows < cut - recipe["purge_h"]]
        later = rows[(rows >= cut) & (rows < stop)]
        learned = X[: cut - recipe["purge_h"]]
        z = (X - np.nanmean(learned, axis=0)) / np.nanstd(learned, axis=0)
        unknown = np.isnan(X).mean(axis=1)
        z = np.column_stack([np.clip(np.nan_to_num(z), -5.0, 5.0), unknown])
        front = np.zeros((1, z.shape[1]))
        front[0, -1] = 1.0
        continuous = np.array([loss != "logistic" for loss in told["losses"]])
        center = np.where(continuous, np.nanmean(Y[fit], axis=0), 0.0)
        spread = np.where(continuous, np.nanstd(Y[fit], axis=0), 1.0)
        y = (Y - center) / spread
        self.table = torch.tensor(np.concatenate([front, z]), dtype=torch.float32)
        self.y = torch.tensor(np.nan_to_num(y), dtype=torch.float32)
        self.known = torch.tensor(np.isfinite(y), dtype=torch.float32)
        self.rows = torch.tensor(rows)
        self.fit = len(fit)
        picked = np.linspace(0, len(later) - 1, VALIDATED).astype(int)
        self.validation = torch.tensor(later[picked])
        self.back = torch.arange(recipe["length"]).flip(0) * recipe["stride_h"]

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences (L, B, F + 1), outcomes (B, K) and which of them are known."""
        places = (rows[None, :] + 1 - self.back[:, None]).clamp(min=0)
        return self.table[places], self.y[rows], self.known[rows]


class Layer(nn.Module):
    """PyTorch's own layer, with one bias as ours: the other stays 0."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden)
        nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)
        nn.init.zeros_(self.lstm.bias_ih_l0)
        with torch.no_grad():
            self.lstm.bias_ih_l0[hidden : 2 * hidden] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.lstm(x)[1][0][0]
        return last


class Loop(nn.Module):
    """A loop over the steps, all inputs projected before it."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        size = hidden**-0.5
        self.inputs = nn.Parameter(torch.empty(features, 4 * hidden).uniform_(-size, size))
        self.recurrent = nn.Parameter(torch.empty(hidden, 4 * hidden).uniform_(-size, size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        with torch.no_grad():
            self.bias[hidden : 2 * hidden] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        size = self.recurrent.shape[0]
        h = c = torch.zeros(x.shape[1], size)
        for z in (x @ self.inputs + self.bias).unbind():
            # Gates in the order input, forget, out, cell: one sigmoid for three of them.
            gates = torch.addmm(z, h, self.recurrent)
            i, f, o = torch.sigmoid(gates[:, : 3 * size]).split(size, dim=1)
            c = torch.addcmul(f * c, i, torch.tanh(gates[:, 3 * size :]))
            h = o * torch.tanh(c)
        return h


class Network(nn.Module):
    """The recurrence, its heads and the straight way from the newest hour to them."""

    def __init__(self, layer: str, features: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.recurrence = (Layer if layer == "nn.LSTM" else Loop)(features, hidden)
        self.out = nn.Linear(hidden, heads)
        nn.init.zeros_(self.out.bias)
        self.skip = nn.Linear(features, heads, bias=False)
        nn.init.zeros_(self.skip.weight)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.out(self.recurrence(x)) + self.skip(x[-1])
        return said


def loss_of(
    network: Network, batch: tuple[Tensor, Tensor, Tensor], ends: tuple[int, int], levels: Tensor
) -> Tensor:
    """Sum over heads of their mean losses; logistic heads come first, then squared ones."""
    x, y, known = batch
    said = network(x)
    logistic, squared = ends
    error = y - said
    tail = error[:, squared:]
    each = torch.cat(
        [
            nn.functional.softplus(said[:, :logistic]) - y[:, :logistic] * said[:, :logistic],
            0.5 * error[:, logistic:squared].square(),
            (tail.square() + 1e-4).sqrt() + (2.0 * levels - 1.0) * tail,
        ],
        dim=1,
    )
    return ((each * known).sum(dim=0) / known.sum(dim=0).clamp(min=1.0)).sum()


def train(data: Data, seed: int, layer: str, checks: int, told: dict[str, Any]) -> float:
    """Train one network; its best validation loss."""
    recipe, losses = told["recipe"], told["losses"]
    ends = (losses.count("logistic"), losses.count("logistic") + losses.count("squared"))
    levels = torch.tensor(told["quantiles"][ends[1] :])
    draws = torch.Generator().manual_seed(seed)
    network = Network(layer, data.table.shape[1], recipe["hidden"], len(losses))
    optimiser = torch.optim.AdamW(
        [weights for weights in network.parameters() if weights.requires_grad],
        lr=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )
    best, kept = float("inf"), {}
    for _ in range(checks):
        for _ in range(recipe["steps"]):
            picked = data.rows[torch.randint(data.fit, (recipe["batch"],), generator=draws)]
            loss = loss_of(network, data.batch(picked), ends, levels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            seen = float(loss_of(network, data.batch(data.validation), ends, levels))
        if seen < best:
            best = seen
            kept = {name: values.clone() for name, values in network.state_dict().items()}
    assert kept
    return best


def main() -> None:
    """``peer_pytorch FOLDER LAYER THREADS WORKERS NETWORKS CHECKS``; prints JSON."""
    folder, layer, *numbers = sys.argv[1:]
    threads, workers, networks, checks = map(int, numbers)
    torch.set_num_threads(threads)
    X, Y = np.load(Path(folder) / "X.npy"), np.load(Path(folder) / "Y.npy")
    told = json.loads((Path(folder) / "told.json").read_text(encoding="utf-8"))
    # Kernels chosen and memory pools filled before the clock starts.
    train(Data(X, Y, told["stops"][0], told), 0, layer, 1, told)
    start = time.perf_counter()
    folds = told["stops"][: -(-networks // len(told["seeds"]))]
    with ThreadPoolExecutor(workers) as pool:
        ready = [Data(X, Y, stop, told) for stop in folds]
        pairs = [(data, seed) for data in ready for seed in told["seeds"]]
        found = list(pool.map(lambda pair: train(*pair, layer, checks, told), pairs))
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - start,
                "loss": float(np.mean(found)),
                "version": torch.__version__.partition("+")[0],
            }
        )
    )


if __name__ == "__main__":
    main()
