"""Gradient-boosted trees, reproducible to the bit: same rows, same forecasts, cached or fresh.

Models exist as LightGBM text only, and every forecast is made by a booster parsed from that text,
so a model read from the cache cannot differ from the one just trained. Which rows to train on is
the walk-forward's business.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.profiling import stage

Floats = NDArray[np.float64]

_SEAL = "counterpoise_sha256="


@dataclass(frozen=True)
class Recipe:
    """How one target is learned.

    Attributes
    ----------
    objective : str
        LightGBM's name: ``binary``, ``regression``, ``regression_l1`` or ``quantile``.
    rounds : int
        Trees.
    learning_rate : float
    leaves : int
        Most leaves of a tree.
    min_leaf_rows : int
        Fewest training rows in a leaf: what keeps weak signals from being memorised.
    feature_share : float
        Share of the features each tree may look at.
    l2 : float
        Ridge on the leaf values.
    stride : int
        Every how many rows to train: neighbours share most of a long label.
    quantile : float or None
        Read by ``quantile``.
    half_life_h : float or None
        Age at which a row counts half; None: all count alike.
    """

    objective: str
    rounds: int
    learning_rate: float
    leaves: int
    min_leaf_rows: int
    feature_share: float
    l2: float
    stride: int
    quantile: float | None = None
    half_life_h: float | None = None


#: Features every model sees, in this order. A list of its own, not the catalog: with other inputs
#: the recipes below would be new trials.
INPUTS = (
    *("return_1h", "return_4h", "return_24h", "momentum_24h_168h"),
    *("log_rv_6h", "log_rv_24h", "log_rv_72h", "log_rv_168h", "log_rv_720h"),
    *("downside_share_24h", "jump_share_24h", "log_parkinson_24h"),
    *("basis", "basis_zscore", "funding_last", "funding_momentum", "volume_surprise"),
    *("gas_over_target", "gas_price_change", "entry_queue_change"),
    *("vix_change", "dollar_change", "us10y_change"),
    *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"),
)

# Chosen on 2020-01 to 2023-12 by out-of-sample AUC and R², among 14 recipes each.
DIRECTION = Recipe("binary", 100, 0.03, 7, 600, 0.5, 10.0, 1)
HEDGE_PAYS = DIRECTION
VOLATILITY = Recipe("regression", 150, 0.04, 15, 300, 0.5, 5.0, 3)


def _parameters(recipe: Recipe, seed: int, threads: int) -> dict[str, object]:
    level = {} if recipe.quantile is None else {"alpha": recipe.quantile}
    return level | {
        "objective": recipe.objective,
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.leaves,
        "min_data_in_leaf": recipe.min_leaf_rows,
        "feature_fraction": recipe.feature_share,
        "lambda_l2": recipe.l2,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }


def train(
    X: Floats,
    y: Floats,
    recipe: Recipe,
    *,
    seed: int,
    threads: int = 1,
    weight: Floats | None = None,
) -> str:
    """Train a booster and return it as LightGBM text.

    Parameters
    ----------
    X : float64 (N, F)
        NaN is a value of its own: LightGBM learns which side of a split it belongs to.
    y : float64 (N,)
        Finite; 0 or 1 for ``binary``.
    recipe : Recipe
    seed : int
    threads : int
        Changes the time, not the result. One is fastest on these small tables as soon as another
        process wants a core: LightGBM's threads wait for each other at every node.
    weight : float64 (N,), optional
        What each row counts.
    """
    import lightgbm

    parameters = _parameters(recipe, seed, threads)
    rows = lightgbm.Dataset(np.ascontiguousarray(X), y, weight=weight, params=parameters)
    return str(lightgbm.train(parameters, rows, recipe.rounds).model_to_string())


@stage("forecast")
def predict(text: str, X: Floats) -> Floats:
    """Forecasts of a model in LightGBM text: probability for ``binary``; shape (N,)."""
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    return np.asarray(booster.predict(np.ascontiguousarray(X), num_threads=1), dtype=np.float64)


def cache_key(
    X: Floats, y: Floats, recipe: Recipe, *, seed: int, weight: Floats | None = None
) -> str:
    """SHA-256 of everything a model depends on: rows, labels, parameters, LightGBM's version."""
    parameters = _parameters(recipe, seed, threads=0) | {"rounds": recipe.rounds}
    digest = hashlib.sha256(json.dumps([parameters, X.shape], sort_keys=True).encode())
    digest.update(version("lightgbm").encode())
    digest.update(np.ascontiguousarray(X).tobytes())
    digest.update(np.ascontiguousarray(y).tobytes())
    if weight is not None:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _read(file: Path) -> str | None:
    """Text of a cached model; None where there is none or its seal is broken."""
    try:
        text, _, seal = file.read_text(encoding="utf-8").rpartition(_SEAL)
    except (OSError, UnicodeDecodeError):
        return None
    return text if seal.strip() == hashlib.sha256(text.encode()).hexdigest() else None


def _write(file: Path, text: str) -> None:
    """Keep a model; a cache that cannot be written costs time later, not the study now."""
    # One name for each model: what a killed run leaves, the next one overwrites. Two runs that
    # write the same model at once spoil it at worst, and the seal tells.
    partial = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as out:
            out.write(text + _SEAL + hashlib.sha256(text.encode()).hexdigest() + "\n")
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def train_or_read(
    X: Floats,
    y: Floats,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None,
    weight: Floats | None = None,
) -> str:
    """Model text from ``folder`` where it was trained before, else train and keep it there.

    A file that is damaged is trained again; without a folder nothing is kept.

    Parameters
    ----------
    X, y, recipe, seed, weight
        As for :func:`train`.
    folder : Path or None
        Cache of model texts; created where missing.
    """
    if folder is None:
        return train(X, y, recipe, seed=seed, weight=weight)
    file = folder / f"{cache_key(X, y, recipe, seed=seed, weight=weight)}.txt"
    text = _read(file)
    if text is None:
        text = train(X, y, recipe, seed=seed, weight=weight)
        _write(file, text)
    return text
