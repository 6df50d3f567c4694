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
from counterpoise.signals.lstm_network import Network
from counterpoise.signals.trees import Forest, read

Output = Literal["value", "probability", "quantile"]
Link = Literal["identity", "logistic", "exp"]
Tensors = Mapping[str, Mapping[str, NDArray[Any]]]

#: What a run or a model may be called: it becomes the name of a file.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
#: What a target may be called: ``direction.4h``.
TARGET = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

#: Group of tensors that says which features, by place, a text of the bundle was trained on.
COLUMNS = "columns"
#: Group that holds ``columns``, the places of what the networks read; each is ``lstm-K``.
NETWORK = "lstm"
#: Arrays of a linear group, see ``Part``.
LINEAR = ("by", "value", "first", "intercept", "columns", "mean", "scale", "weights")


@dataclass(frozen=True)
class Part:
    """One model, or a few that are added up, then sent through a link.

    Attributes
    ----------
    terms : tuple of str
        ``trees.NAME`` of ``texts``, ``linear.NAME`` of ``tensors`` or ``lstm.K``, head K of the
        networks. A linear group holds one line or one for each value of a feature: ``by`` (1,) its
        place or -1, ``value`` (G,), ``intercept`` (G,), ``first`` (G + 1,) where the coefficients
        of each line begin in ``columns``, ``mean``, ``scale`` and ``weights``.
    link : str
        What the sum goes through. A text of a probability brings its own logistic function.
    offset : str
        A feature that is added, ``factor`` times; empty: none.
    factor : float
    """

    terms: tuple[str, ...] = ()
    link: Link = "identity"
    offset: str = ""
    factor: float = 0.0


@dataclass(frozen=True)
class Member:
    """One voice of a blend: the mean of its parts, of their log odds in a probability.

    Attributes
    ----------
    name : str
    weight : float
        At least 0. A member that is NaN is silent, and the others share its weight; where all
        those with weight are silent, the others speak with one voice each.
    parts : tuple of Part
    """

    name: str
    weight: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Target:
    """How one forecast is made.

    Attributes
    ----------
    name : str
    horizon_h : int
        Hours the forecast looks ahead.
    members : tuple of Member
        Blended into the score.
    output : str
        ``value``: the score. ``probability``: the score through the calibrator, held in [0, 1].
        ``quantile``: the score, which the adaptive bound then replaces.
    calibrator : str
        Group of ``tensors`` that maps the score (see ``outputs.calibrator_tensors``); empty: none.
    bounds : str
        Group of ``tensors`` with the memory of the bounds (see ``bounds``); empty: none.
    """

    name: str
    horizon_h: int
    members: tuple[Member, ...]
    output: Output = "value"
    calibrator: str = ""
    bounds: str = ""


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
        Groups of arrays by name, all finite: lines, calibrators, networks, the memory of bounds,
        the reference of the drift gate.

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
        for name in (self.run, *self.texts, *self.tensors):
            if not NAME.fullmatch(name):
                raise _refuse("name", name, "small letters, digits, - and _, at most 64")
        for name in targets:
            if not TARGET.fullmatch(name):
                raise _refuse("target name", name, "small letters, digits, . - and _, at most 64")
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
        for places in (*self.tensors.get(COLUMNS, {}).values(), *self._network_columns()):
            self._check_places("columns", places)
        # Made here, so that what cannot be read is refused now.
        _ = self.forest, self.networks
        for target in self.targets:
            self._check(target)

    def _network_columns(self) -> tuple[NDArray[Any], ...]:
        return tuple(self.tensors.get(NETWORK, {}).values())

    def _check_places(self, key: str, places: NDArray[Any]) -> None:
        count = len(self.features)
        if places.ndim != 1 or places.dtype.kind not in "iu":
            raise _refuse(key, f"{places.dtype} {places.shape}", "places of features")
        if len(places) and not (places.min() >= 0 and places.max() < count):
            raise _refuse(key, places.tolist(), f"places of features, 0 to {count - 1}")

    def _check(self, target: Target) -> None:
        key = f"target {target.name}"
        if target.horizon_h < 1:
            raise _refuse(f"{key} horizon_h", target.horizon_h, "1 or more")
        if target.output not in get_args(Output):
            raise _refuse(f"{key} output", target.output, " or ".join(get_args(Output)))
        names = [member.name for member in target.members]
        if not names or len(set(names)) < len(names):
            raise _refuse(f"{key} members", names, "one or more, each once")
        for member in target.members:
            if not (np.isfinite(member.weight) and member.weight >= 0.0):
                told = "a finite number of 0 or more"
                raise _refuse(f"{key} weight of {member.name}", member.weight, told)
            if not member.parts:
                raise _refuse(f"{key} parts of {member.name}", "none", "one or more")
            for part in member.parts:
                self._check_part(f"{key} part of {member.name}", part)
        if target.calibrator and target.output != "probability":
            raise _refuse(f"{key} calibrator", target.calibrator, "none: it is no probability")
        if target.calibrator:
            self._check_calibrator(target.calibrator)
        if target.bounds and target.bounds not in self.tensors:
            raise _refuse(f"{key} bounds", target.bounds, "a group of tensors")

    def _check_part(self, key: str, part: Part) -> None:
        if part.link not in get_args(Link):
            raise _refuse(f"{key} link", part.link, " or ".join(get_args(Link)))
        if not part.terms and not part.offset:
            raise _refuse(key, "nothing", "a model, an offset or both")
        if part.offset and part.offset not in self.features:
            raise _refuse(f"{key} offset", part.offset, "a feature of the bundle")
        if not np.isfinite(part.factor):
            raise _refuse(f"{key} factor", part.factor, "a finite number")
        for term in part.terms:
            kind, _, name = term.partition(".")
            known = {
                "trees": name in self.texts,
                "linear": set(self.tensors.get(name, {})) == set(LINEAR),
                "lstm": name.isdecimal() and int(name) < self.heads,
            }
            if not known.get(kind, False):
                there = [f"trees.{text}" for text in self.texts]
                raise _refuse(key, term, f"linear.NAME, lstm.K of the networks or one of {there}")
            if kind == "linear":
                self._check_linear(name)

    def _check_linear(self, name: str) -> None:
        group = self.tensors[name]
        lines, first = group["intercept"].shape, group["first"]
        count = group["columns"].shape
        shapes = {key: values.shape for key, values in group.items()}
        wanted = dict.fromkeys(("columns", "mean", "scale", "weights"), count)
        wanted |= {"by": (1,), "value": lines, "intercept": lines}
        wanted |= {"first": (lines[0] + 1 if len(lines) == 1 else 0,)}
        if shapes != wanted:
            raise _refuse(f"tensors.{name}", shapes, f"{wanted}")
        ends = len(first) > 1 and first[0] == 0 and first[-1] == count[0]
        if not ends or (np.diff(first) < 0).any() or first.dtype.kind != "i":
            raise _refuse(f"tensors.{name}.first", first.tolist(), "where each line begins")
        self._check_places(f"tensors.{name}.columns", group["columns"])
        by = int(group["by"][0])
        if not -1 <= by < len(self.features) or (by < 0 and lines != (1,)):
            raise _refuse(f"tensors.{name}.by", by, "-1 with one line, or the place of a feature")

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
        if not self.texts:
            return None
        return read(self.texts, columns=self.tensors.get(COLUMNS), features=len(self.features))

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """Networks of the ensemble, in order; none without any."""
        if NETWORK not in self.tensors:
            return ()
        found: list[Network] = []
        while (group := f"{NETWORK}-{len(found)}") in self.tensors:
            try:
                found.append(Network.from_tensors(self.tensors[group]))
            except (KeyError, ValueError) as wrong:
                raise _refuse(f"tensors.{group}", str(wrong), "the arrays of a network") from None
        width = sum(len(places) for places in self._network_columns())
        for network in found:
            if network.inputs.shape[0] != width + 1 or network.out.shape != found[0].out.shape:
                told = f"networks of one shape that read {width} features"
                raise _refuse(f"tensors.{NETWORK}", network.inputs.shape, told)
        return tuple(found)

    @property
    def heads(self) -> int:
        """Forecasts of the networks; 0 without any."""
        return self.networks[0].out.shape[1] if self.networks else 0
