"""Everything a live forecast needs, as one value: models, how they make targets, where they end.

A bundle is checked when it is made, so that what is saved can be loaded. Files are the business of
``store``, numbers that of ``outputs``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES
from counterpoise.signals.trees import Forest, read

Output = Literal["value", "log_variance", "probability"]
Tensors = Mapping[str, Mapping[str, NDArray[Any]]]

#: What a run, a model or a target may be called: it becomes the name of a file.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Part:
    """One model's share in a target.

    Attributes
    ----------
    model : str
        ``trees.NAME`` of ``texts``, ``linear.NAME`` of ``tensors`` (``coefficients`` (F + 1,),
        intercept first, a feature of coefficient 0 is not read; ``fill`` (F,), optional, stands
        for unknown features), or ``lstm.K``: column K of the ensemble's forecasts.
    weight : float
        What its forecast is multiplied by before all parts are added.
    """

    model: str
    weight: float = 1.0


@dataclass(frozen=True)
class Target:
    """How one forecast is made of models.

    Attributes
    ----------
    name : str
    horizon_h : int
        Hours the forecast looks ahead.
    parts : tuple of Part
        Added up to the score.
    output : str
        ``value``: the score itself. ``log_variance``: volatility = ``factor`` · exp(score / 2).
        ``probability``: the score through the calibrator, held in [0, 1].
    calibrator : str
        Group of ``tensors`` that maps the score (see ``outputs.calibrator_tensors``); empty: none.
    factor : float
        Smearing factor of a ``log_variance``; 1 elsewhere.
    """

    name: str
    horizon_h: int
    parts: tuple[Part, ...]
    output: Output = "value"
    calibrator: str = ""
    factor: float = 1.0


def _refuse(key: str, value: object, expected: str) -> FixConfig:
    return FixConfig(f"bundle {key}", value, expected, "correct what makes the bundle")


@dataclass(frozen=True)
class Bundle:
    """Models of one run with all that is needed to use them, and to refuse to.

    Attributes
    ----------
    run : str
        Its name, unique in the store: small letters, digits, ``-`` and ``_``.
    created_at : datetime
    targets : tuple of Target
    features : tuple of str
        F names of the catalog, in the order of a row.
    trained_from, trained_to : datetime
        First and last moment any label or feature of the training reached.
    expires : datetime
        From then on the models are too old to use.
    data_sha256 : str
        Fingerprint of the data trained on.
    metrics : mapping of str to float
        How good the models were out of sample; NaN where unknown.
    texts : mapping of str to str
        LightGBM text by name.
    tensors : mapping of str to mapping of str to ndarray
        Groups of arrays by name, all finite: linear coefficients, calibrators, LSTM weights,
        conformal state, the reference of the drift gate.

    Raises
    ------
    FixConfig
        Something that could not be loaded again, or makes no sense.
    """

    run: str
    created_at: datetime
    targets: tuple[Target, ...]
    features: tuple[str, ...]
    trained_from: datetime
    trained_to: datetime
    expires: datetime
    data_sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)

    def __post_init__(self) -> None:
        targets = [target.name for target in self.targets]
        for name in (self.run, *targets, *self.texts, *self.tensors):
            if not NAME.fullmatch(name):
                raise _refuse("name", name, "small letters, digits, - and _, at most 64")
        if not targets or len(set(targets)) < len(targets):
            raise _refuse("targets", targets, "one or more, each once")
        if not self.features or len(set(self.features)) < len(self.features):
            raise _refuse("features", self.features, "one or more, each once")
        for feature in self.features:
            FEATURES[feature]
        for key in ("created_at", "trained_from", "trained_to", "expires"):
            if getattr(self, key).tzinfo is None:
                raise _refuse(key, getattr(self, key), "a moment with a time zone")
        if not self.trained_from <= self.trained_to < self.expires:
            raise _refuse("expires", self.expires, f"after trained_to, {self.trained_to}")
        if not _SHA256.fullmatch(self.data_sha256):
            raise _refuse("data_sha256", self.data_sha256, "64 hexadecimal digits")
        for group, arrays in self.tensors.items():
            for name, values in arrays.items():
                if values.dtype.kind not in "fiub":
                    raise _refuse(f"tensors.{group}.{name}", values.dtype, "numbers")
                if not np.isfinite(values).all():
                    raise _refuse(f"tensors.{group}.{name}", "NaN or infinite", "finite numbers")
        if self.forest is not None and self.forest.features != len(self.features):
            raise _refuse("texts", self.forest.features, f"{len(self.features)} features")
        for target in self.targets:
            self._check(target)

    def _check(self, target: Target) -> None:
        key = f"target {target.name}"
        if target.horizon_h < 1:
            raise _refuse(f"{key} horizon_h", target.horizon_h, "1 or more")
        if target.output not in get_args(Output):
            raise _refuse(f"{key} output", target.output, " or ".join(get_args(Output)))
        if not target.parts:
            raise _refuse(f"{key} parts", "none", "one or more")
        for part in target.parts:
            kind, _, name = part.model.partition(".")
            known = {
                "trees": name in self.texts,
                "linear": "coefficients" in self.tensors.get(name, {}),
                "lstm": name.isdecimal(),
            }
            if not known.get(kind, False):
                there = [f"trees.{text}" for text in self.texts]
                raise _refuse(f"{key} part", part.model, f"linear.NAME, lstm.K or one of {there}")
            if not np.isfinite(part.weight):
                raise _refuse(f"{key} weight of {part.model}", part.weight, "a finite number")
            if kind == "linear":
                self._check_linear(name)
        if target.calibrator and target.output != "probability":
            raise _refuse(f"{key} calibrator", target.calibrator, "none: it is no probability")
        if target.calibrator:
            self._check_calibrator(target.calibrator)
        if not (np.isfinite(target.factor) and target.factor > 0.0):
            raise _refuse(f"{key} factor", target.factor, "a number above 0")

    def _check_linear(self, name: str) -> None:
        group, count = self.tensors[name], len(self.features)
        if group["coefficients"].shape != (count + 1,):
            expected = f"({count + 1},): the intercept, then one for each feature"
            raise _refuse(f"tensors.{name}.coefficients", group["coefficients"].shape, expected)
        if "fill" in group and group["fill"].shape != (count,):
            raise _refuse(f"tensors.{name}.fill", group["fill"].shape, f"({count},)")

    def _check_calibrator(self, name: str) -> None:
        group = {key: values.shape for key, values in self.tensors.get(name, {}).items()}
        if set(group) == {"slope", "intercept"} and set(group.values()) == {(1,)}:
            return
        if set(group) == {"scores", "probabilities"} and len(set(group.values())) == 1:
            scores = self.tensors[name]["scores"]
            if scores.ndim == 1 and len(scores) and (np.diff(scores) >= 0).all():
                return
        raise _refuse(f"calibrator {name}", group, "what outputs.calibrator_tensors gives")

    @cached_property
    def forest(self) -> Forest | None:
        """All boosters, ready to forecast; None without any."""
        return read(self.texts) if self.texts else None
