"""Training the network against a loop in PyTorch, and what one hour costs it live.

Every measurement runs in a process of its own; ours and the peer's take turns, so that a busy
minute of the machine hits both.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import ROOT, Entry, median, run_process

PEER_PYTHON = ROOT / ".venv-pytorch" / "bin" / "python"
#: The peer's ways: its own layer or a loop over the steps; threads inside an operation; networks
#: trained at once.
WAYS = tuple(
    (layer, *threads) for layer in ("nn.LSTM", "loop") for threads in ((1, 1), (2, 1), (1, 2))
)
ROUNDS = 3
HOURS, FEATURES, HEADS = 48_000, 35, 11
LOSSES = ("logistic",) * 3 + ("squared",) * 4 + ("absolute",) * 2 + ("pinball",) * 2
QUANTILES = (0.5,) * 9 + (0.95, 0.99)
STOPS = tuple(int(stop) for stop in np.linspace(16_000, 44_000, 8))
SEEDS = (0, 1)
#: Looks at the validation rows, of every network: nobody saves time by stopping early.
CHECKS = 10
#: Of four networks, to find the peer's fastest way.
PROBED_CHECKS = 2
CALLS, COLD, LIMIT_US = 20_000, 1_000, 100.0


def prepare(folder: Path) -> dict[str, object]:
    """Inputs and outcomes of the real size, with something to learn in them, and the settings."""
    from counterpoise.signals.lstm_network import Recipe

    rng = np.random.default_rng(0)
    X = rng.normal(size=(HOURS, FEATURES)).cumsum(axis=0)
    X[24:] -= X[:-24].copy()
    X /= X.std(axis=0)
    mixed = X @ rng.normal(size=(FEATURES, HEADS)) / FEATURES**0.5
    mixed[40:] += X[:-40, :HEADS]
    Y = mixed + 2.0 * rng.normal(size=mixed.shape)
    Y[:, :3] = Y[:, :3] > 0
    X[rng.random(X.shape) < 0.02] = np.nan
    Y[rng.random(Y.shape) < 0.02] = np.nan
    np.save(folder / "X.npy", X)
    np.save(folder / "Y.npy", Y)
    recipe = Recipe(checks=CHECKS, patience=CHECKS)
    told = {"recipe": asdict(recipe), "stops": STOPS, "seeds": SEEDS}
    told |= {"losses": LOSSES, "quantiles": QUANTILES}
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    return {}


def training(folder: Path) -> dict[str, object]:
    """Seconds of a first training, compiled on the way, and of a second one."""
    from counterpoise.signals.lstm import train
    from counterpoise.signals.lstm_network import Head, Recipe
    from counterpoise.signals.walkforward import Split

    X, Y = np.load(folder / "X.npy"), np.load(folder / "Y.npy")
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    heads = [Head(str(k), LOSSES[k], QUANTILES[k]) for k in range(HEADS)]
    folds = [Split(slice(0, stop), slice(stop, stop + 1)) for stop in STOPS]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        networks = train(
            X, Y, np.arange(0, HOURS, 4), heads, folds,
            recipe=Recipe(**told["recipe"]), seeds=SEEDS,
        )  # fmt: skip
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": seconds,
        "networks": len(networks),
        "loss": float(np.mean([network.validation_loss for network in networks])),
    }


def live(folder: Path) -> dict[str, object]:
    """Median microseconds of an hour of five networks, called from Python."""
    from counterpoise.signals.lstm_forward import LiveEnsemble
    from counterpoise.signals.lstm_network import Network, Recipe

    recipe, rng = Recipe(), np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    networks = [
        Network(
            inputs=draw(FEATURES + 1, 4 * recipe.hidden),
            recurrent=draw(recipe.hidden, 4 * recipe.hidden),
            bias=draw(4 * recipe.hidden),
            out=draw(recipe.hidden, HEADS),
            out_bias=draw(HEADS),
            skip=draw(FEATURES + 1, HEADS),
            mean=draw(FEATURES),
            scale=np.exp(draw(FEATURES)),
            center=draw(HEADS),
            spread=np.exp(draw(HEADS)),
            length=recipe.length,
            stride_h=recipe.stride_h,
            fold=0,
            seed=seed,
            checks=1,
            validation_loss=0.0,
        )
        for seed in range(5)
    ]
    ensemble = LiveEnsemble(networks)
    rows = np.load(folder / "X.npy")[:CALLS]
    taken = np.empty(len(rows))
    for n, row in enumerate(rows):
        start = time.perf_counter_ns()
        ensemble.update(row)
        taken[n] = time.perf_counter_ns() - start
    return {"us": float(np.median(taken[COLD:])) / 1e3}


def _ours(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.lstm", what, folder]
    found: dict[str, Any] = json.loads(run_process(command).printed)
    return found


def _peer(folder: Path, way: tuple[str, int, int], networks: int, checks: int) -> dict[str, Any]:
    command = [PEER_PYTHON, "-m", "tests.benchmarks.peer_pytorch", folder]
    asked = [*map(str, way), str(networks), str(checks)]
    found: dict[str, Any] = json.loads(run_process([*command, *asked]).printed)
    return found


def lstm() -> dict[str, Entry]:
    """Seconds of the peer's fastest way over ours, and microseconds of an hour live."""
    every = len(STOPS) * len(SEEDS)
    with tempfile.TemporaryDirectory(prefix="counterpoise-bench-") as name:
        folder = Path(name)
        _ours("prepare", folder)
        probes: dict[tuple[str, int, int], list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, taken in probes.items():
                taken.append(_peer(folder, way, 4, PROBED_CHECKS)["seconds"])
        fastest = min(probes, key=lambda way: min(probes[way]))
        ours: list[float] = []
        again: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            mine = _ours("training", folder)
            peer = _peer(folder, fastest, every, CHECKS)
            if mine["networks"] != every or abs(mine["loss"] / peer["loss"] - 1.0) > 0.02:
                raise SystemExit(f"ours ended at {mine}, the peer at {peer}: not one work")
            ours.append(mine["seconds"][0])
            again.append(mine["seconds"][1])
            theirs.append(peer["seconds"])
        us = _ours("live", folder)["us"]
    layer, threads, workers = fastest
    ratio = median(theirs) / median(ours)
    told = (
        f"PyTorch {peer['version']}, {layer}, {threads} thread(s) in each of {workers} "
        f"worker(s), {median(theirs):.1f} s (ours {median(ours):.1f} s, {median(again):.1f} s "
        "once compiled)"
    )
    return {
        "lstm_vs_pytorch": Entry(ratio, "×", told, ratio),
        "lstm_us_p50": Entry(us, "µs", f"the limit, {LIMIT_US:.0f} µs", LIMIT_US / us),
    }


def main() -> None:
    """``lstm WHAT FOLDER``: one measurement in this process, as JSON."""
    parts = {part.__name__: part for part in (prepare, training, live)}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
