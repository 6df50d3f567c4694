"""Why a forecast is what it is: what each feature added to it, as data.

Trees by TreeSHAP, lines by weight times standardised input, networks by their own attribution, all
through the weights of the blend. What is explained is the blend before calibration and bounds: of a
value itself, where contributions and base add up to it; of a probability the weighted mean of its
members' log odds, of a quantile that of their logarithms, which the blend follows but does not
equal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.signals import trees
from counterpoise.signals.bundle import COLUMNS, NETWORK, Bundle, Output, Part, Target
from counterpoise.signals.linear import LARGEST_INPUT
from counterpoise.signals.lstm_forward import forecast
from counterpoise.signals.outputs import Outputs

Floats = NDArray[np.float64]

UNITS: dict[Output, str] = {"value": "value", "probability": "log odds", "quantile": "logarithm"}
#: Said where a network's part cannot be told from feature to feature.
NOT_EVALUATED = "network: not evaluated"


@dataclass(frozen=True)
class Explained:
    """One forecast, taken apart.

    Attributes
    ----------
    target : str
    unit : str
        Of all numbers here.
    score : float
        ``base`` and all contributions together; NaN where every member is silent.
    base : float
        What the models say of an average hour.
    contributions : dict of str to float
        By feature, the largest first; those that added nothing are left out.
    notes : tuple of str
        What was not evaluated.
    """

    target: str
    unit: str
    score: float
    base: float
    contributions: dict[str, float]
    notes: tuple[str, ...]

    def top(self, count: int) -> dict[str, float]:
        """The largest contributions."""
        return dict(list(self.contributions.items())[:count])


def _line(bundle: Bundle, name: str, x: Floats) -> tuple[Floats, float]:
    """Contributions (F,) and base of a linear model."""
    group = bundle.tensors[name]
    line = 0
    if group["by"][0] >= 0:
        line = int(np.flatnonzero(group["value"] == np.round(x[group["by"][0]], 6))[0])
    inside = slice(*group["first"][line : line + 2])
    columns = group["columns"][inside]
    z = (x[columns] - group["mean"][inside]) / group["scale"][inside]
    found = np.zeros(len(x))
    np.add.at(found, columns, group["weights"][inside] * np.clip(z, -LARGEST_INPUT, LARGEST_INPUT))
    return found, float(group["intercept"][line])


def _trees(bundle: Bundle, name: str, x: Floats) -> tuple[Floats, float]:
    columns = bundle.tensors.get(COLUMNS, {}).get(name, np.arange(len(x)))
    told = trees.contributions(bundle.texts[name], x[None, columns])[0]
    found = np.zeros(len(x))
    found[columns] = told[:-1]
    return found, float(told[-1])


class Explainer:
    """Takes the forecasts of one hour apart.

    Parameters
    ----------
    bundle : Bundle
    X : float64 (N, F)
        Features of the bundle over consecutive hours; the networks look back from the row.
    row : int
        The hour to explain.
    """

    def __init__(self, bundle: Bundle, X: Floats, row: int) -> None:
        self._bundle, self._x, self._row = bundle, X[row], row
        self._outputs = Outputs(bundle)
        self._columns = bundle.tensors.get(NETWORK, {}).get("columns", np.empty(0, np.int64))
        self._seen = np.ascontiguousarray(X[:, self._columns])
        self._said = None
        if self._outputs.columns:
            self._said = forecast(bundle.networks, self._seen, slice(row, row + 1))
        self._made = self._outputs.made(X[row : row + 1], self._said)

    def _head(self, head: int, notes: set[str]) -> tuple[Floats, float]:
        """Contributions and base of a head of the networks; all of it is base if not evaluated."""
        found = np.zeros(len(self._x))
        whole = 0.0 if self._said is None else float(self._said[0, head])
        try:
            from counterpoise.signals.lstm_attribution import attribute
        except ImportError:
            notes.add(NOT_EVALUATED)
            return found, whole
        told = attribute(self._bundle.networks, self._seen, self._row, head)
        found[self._columns] = told
        return found, whole - float(np.sum(told))

    def _part(self, part: Part, notes: set[str]) -> tuple[Floats, float]:
        total, base = np.zeros(len(self._x)), 0.0
        if part.offset:
            place = self._bundle.features.index(part.offset)
            total[place] += part.factor * self._x[place]
        for term in part.terms:
            kind, _, name = term.partition(".")
            if kind == "lstm":
                found, start = self._head(int(name), notes)
            else:
                read = _line if kind == "linear" else _trees
                found, start = read(self._bundle, name, self._x)
            total, base = total + found, base + start
        return total, base

    def explain(self, name: str) -> Explained:
        """Take one target apart.

        Raises
        ------
        FixConfig
            No such target.
        """
        if name not in self._outputs.names:
            told = f"one of {', '.join(self._outputs.names)}"
            raise FixConfig("target", name, told, "name one of these")
        k = self._outputs.names.index(name)
        targets = self._bundle.targets
        first = sum(len(target.members) for target in targets[:k])
        said = self._made.members[0, first : first + len(targets[k].members)]
        return self._explained(targets[k], np.isfinite(said))

    def _explained(self, target: Target, spoke: NDArray[np.bool_]) -> Explained:
        unit, nan = UNITS[target.output], float("nan")
        if not spoke.any():
            return Explained(target.name, unit, nan, nan, {}, ("every model is silent",))
        weights = np.array([member.weight for member in target.members]) * spoke
        if not weights.any():
            weights = spoke * 1.0
        total, base = np.zeros(len(self._x)), 0.0
        notes: set[str] = set()
        for member, share in zip(target.members, weights / weights.sum(), strict=True):
            if share == 0.0:
                continue
            for part in member.parts:
                found, start = self._part(part, notes)
                total += share / len(member.parts) * found
                base += share / len(member.parts) * start
        order = np.argsort(-np.abs(total), kind="stable")
        told = {self._bundle.features[f]: float(total[f]) for f in order if total[f] != 0.0}
        score = base + float(total.sum())
        return Explained(target.name, unit, float(score), float(base), told, tuple(sorted(notes)))
