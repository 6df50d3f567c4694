"""A small bundle with one of everything, trained on random rows."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from counterpoise.signals import boosting
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.bundle import Bundle, Part, Target
from counterpoise.signals.confidence import Isotonic, Platt
from counterpoise.signals.outputs import calibrator_tensors

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


def bundle(run: str = "run-1", **changed: object) -> Bundle:
    whole: dict[str, object] = {
        "run": run,
        "created_at": NOW - timedelta(days=1),
        "targets": (
            Target("p_up_4h", 4, (Part("trees.up"),), "probability", "up_calibrator"),
            Target("p_hedge_pays_4h", 4, (Part("trees.pays"),), "probability", "pays_calibrator"),
            Target(
                "vol_24h",
                24,
                (Part("linear.har"), Part("trees.vol", 0.5)),
                "log_variance",
                factor=1.25,
            ),
            Target("funding_next", 8, (Part("linear.har", -2.0),)),
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
            "har": {"coefficients": np.array([-1.0, 0.0, 0.5, 0.0, 0.0, 0.25])},
            "up_calibrator": calibrator_tensors(Platt(1.5, 0.1)),
            "pays_calibrator": calibrator_tensors(
                Isotonic(np.array([0.3, 0.5, 0.6]), np.array([0.4, 0.5, 0.55]))
            ),
            "lstm": {
                "w": np.arange(12, dtype=np.float32).reshape(3, 4),
                "order": np.array([2, 0, 1]),
                "scalar": np.array(0.5),
            },
        },
    }
    return Bundle(**(whole | changed))  # type: ignore[arg-type]
