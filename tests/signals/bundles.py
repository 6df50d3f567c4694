"""A small bundle with one of everything, trained on random rows."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from counterpoise.signals import boosting
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.bundle import Bundle, Member, Output, Part, Target
from counterpoise.signals.confidence import Isotonic, Platt
from counterpoise.signals.linear import FittedLinear, Line
from counterpoise.signals.lstm_network import Network
from counterpoise.signals.outputs import calibrator_tensors, linear_tensors

FEATURES = ("return_1h", "log_rv_24h", "basis", "funding_last", "hour_sin")
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@cache
def text(objective: str, seed: int) -> str:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, len(FEATURES)))
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nan_to_num(X[:, 0]) + rng.normal(size=600)
    y = (y > 0) * 1.0 if objective == "binary" else y
    return boosting.train(X, y, Recipe(objective, 8, 0.1, 5, 20, 1.0, 1.0, 1), seed=seed)


#: A line on two features.
HAR = FittedLinear(
    None,
    {
        float("nan"): Line(
            np.array([1, 4]), np.array([0.1, 0.0]), np.array([2.0, 1.0]), np.array([-1.0, 0.5, 0.2])
        )
    },
    False,
)


def network(seed: int, inputs: int = 2) -> Network:
    """Three cells and two heads, drawn by chance."""
    rng = np.random.default_rng(seed)
    shapes = {"inputs": (inputs + 1, 12), "recurrent": (3, 12), "bias": (12,), "out": (3, 2)}
    shapes |= {"out_bias": (2,), "skip": (inputs + 1, 2), "mean": (inputs,), "center": (2,)}
    drawn = {name: rng.normal(size=size).astype(np.float32) for name, size in shapes.items()}
    ones = {"scale": np.ones(inputs, np.float32), "spread": np.ones(2, np.float32)}
    return Network(
        **drawn, **ones, length=4, stride_h=2, fold=0, seed=seed, checks=1, validation_loss=0.5
    )


def alone(
    name: str, hours: int, part: Part, output: Output = "value", calibrator: str = ""
) -> Target:
    """A target with one voice."""
    return Target(name, hours, (Member("only", 1.0, (part,)),), output, calibrator)


def bundle(run: str = "run-1", **changed: object) -> Bundle:
    whole: dict[str, object] = {
        "run": run,
        "created_at": NOW - timedelta(days=1),
        "targets": (
            alone("direction.4h", 4, Part(("trees.up",)), "probability", "up_calibrator"),
            alone("hedge_pays.4h", 4, Part(("trees.pays",)), "probability", "pays_calibrator"),
            Target(
                "volatility.24h",
                24,
                (
                    Member("har", 0.25, (Part(("linear.har",)),)),
                    Member("trees", 0.75, (Part(("trees.vol", "linear.har")),)),
                ),
            ),
            alone("funding.next", 8, Part(("linear.har",))),
        ),
        "features": FEATURES,
        "trained_from": NOW - timedelta(days=900),
        "trained_to": NOW - timedelta(days=2),
        "expires": NOW + timedelta(days=45),
        "data_sha256": "ab" * 32,
        "metrics": {"auc": 0.54, "unknown": float("nan")},
        "texts": {
            "up": text("binary", 1),
            "pays": text("binary", 2),
            "vol": text("regression", 3),
        },
        "tensors": {
            "har": linear_tensors(HAR, np.arange(len(FEATURES))),
            "up_calibrator": calibrator_tensors(Platt(1.5, 0.1)),
            "pays_calibrator": calibrator_tensors(
                Isotonic(np.array([0.3, 0.5, 0.6]), np.array([0.4, 0.5, 0.55]))
            ),
            "lstm": {"columns": np.array([0, 3])},
            "lstm-0": network(0).to_tensors(),
            "lstm-1": network(1).to_tensors(),
        },
    }
    return Bundle(**(whole | changed))  # type: ignore[arg-type]
