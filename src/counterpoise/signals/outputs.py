"""From features to the score of every target: the same compiled code for one row and for many.

Boosters, lines and the networks' heads make parts, parts make members, members are blended as the
bundle says, and a probability goes through its calibrator. Bounds are the business of ``bounds``,
whether a value may be used that of ``live``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.signals.bundle import Bundle, Link, Part
from counterpoise.signals.confidence import HIGHEST, LOWEST, Isotonic, Platt
from counterpoise.signals.linear import LARGEST_INPUT, FittedLinear

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_LINKS: dict[Link, int] = {"identity": 0, "logistic": 1, "exp": 2}
_LOGISTIC, _EXP = _LINKS["logistic"], _LINKS["exp"]
_UNCALIBRATED, _PLATT, _ISOTONIC = range(3)


def calibrator_tensors(calibrator: Platt | Isotonic) -> dict[str, Floats]:
    """Arrays of a calibrator, as a bundle keeps them.

    Examples
    --------
    >>> calibrator_tensors(Platt(slope=0.5, intercept=-0.25))
    {'slope': array([0.5]), 'intercept': array([-0.25])}
    """
    if isinstance(calibrator, Platt):
        return {
            "slope": np.array([calibrator.slope]),
            "intercept": np.array([calibrator.intercept]),
        }
    return {"scores": calibrator.scores, "probabilities": calibrator.probabilities}


def linear_tensors(fitted: FittedLinear, places: Places) -> dict[str, NDArray[np.generic]]:
    """Arrays of a linear model, as a bundle keeps them.

    Parameters
    ----------
    fitted : FittedLinear
        With a line or more.
    places : int64 (F,)
        Where each feature of the training stands in the bundle; -1 where it does not.
    """
    lines = list(fitted.lines.values())
    sizes = [len(line.columns) for line in lines]
    values = [0.0] if fitted.by is None else list(fitted.lines)
    return {
        "by": np.array([-1 if fitted.by is None else places[fitted.by]], np.int64),
        "value": np.array(values, np.float64),
        "first": np.cumsum([0, *sizes], dtype=np.int64),
        "intercept": np.array([line.weights[0] for line in lines]),
        "columns": np.concatenate([places[line.columns] for line in lines]).astype(np.int64),
        "mean": np.concatenate([line.mean for line in lines]),
        "scale": np.concatenate([line.scale for line in lines]),
        "weights": np.concatenate([line.weights[1:] for line in lines]),
    }


@njit
def _linear(
    X: Floats,
    by: Places,
    line_at: Places,
    value: Floats,
    intercept: Floats,
    first: Places,
    column: Places,
    mean: Floats,
    scale: Floats,
    weight: Floats,
    made: Floats,
    at: int,
) -> None:
    """Linear models into the columns of ``made`` from ``at`` on; NaN where an input is unknown."""
    for n in range(X.shape[0]):
        for model in range(by.shape[0]):
            line = line_at[model]
            if by[model] >= 0:
                group = np.rint(X[n, by[model]] * 1e6) / 1e6
                line = -1
                for k in range(line_at[model], line_at[model + 1]):
                    if value[k] == group:
                        line = k
            total = np.nan
            if line >= 0:
                total = intercept[line]
                for i in range(first[line], first[line + 1]):
                    z = (X[n, column[i]] - mean[i]) / scale[i]
                    if z > LARGEST_INPUT:
                        z = LARGEST_INPUT
                    elif z < -LARGEST_INPUT:
                        z = -LARGEST_INPUT
                    total += weight[i] * z
            made[n, at + model] = total


#: Called with unpacked arrays, which a type checker cannot count.
_into: Callable[..., None] = _linear


@njit
def _calibrated(score: float, kind: int, points: Floats) -> float:
    """One score through ``confidence.Platt`` or ``confidence.Isotonic``."""
    if kind == _UNCALIBRATED:
        return min(max(score, 0.0), 1.0)
    if kind == _PLATT:
        safe = min(max(score, 1e-6), 1.0 - 1e-6)
        odds = points[1] + points[0] * np.log(safe / (1.0 - safe))
        mapped: float = 1.0 / (1.0 + np.exp(-odds))
    else:
        count = points.shape[0] // 2
        mapped = np.interp(score, points[:count], points[count:])
    return min(max(mapped, LOWEST), HIGHEST)


@njit
def _parts(
    made: Floats,
    X: Floats,
    first: Places,
    term: Places,
    link: Places,
    offset: Places,
    factor: Floats,
    out: Floats,
) -> None:
    """Parts from what the models made (N, M); ``out`` is (N, P)."""
    for n in range(made.shape[0]):
        for p in range(link.shape[0]):
            total = 0.0
            if offset[p] >= 0:
                total = factor[p] * X[n, offset[p]]
            for i in range(first[p], first[p + 1]):
                total += made[n, term[i]]
            if link[p] == _LOGISTIC:
                total = 1.0 / (1.0 + np.exp(-total))
            elif link[p] == _EXP:
                total = np.exp(total)
            out[n, p] = total


@njit
def _mean(parts: Floats, odds: bool) -> float:
    """Mean of a member's parts, of their log odds where asked; NaN where one is NaN."""
    if parts.shape[0] == 1:
        return float(parts[0])
    total = 0.0
    for p in range(parts.shape[0]):
        value = parts[p]
        if odds and not np.isnan(value):
            safe = min(max(value, 1e-6), 1.0 - 1e-6)
            value = np.log(safe / (1.0 - safe))
        total += value
    mean = total / parts.shape[0]
    return float(1.0 / (1.0 + np.exp(-mean))) if odds else mean


@njit
def _blend(
    parts: Floats,
    member_first: Places,
    part_first: Places,
    weight: Floats,
    odds: Places,
    members: Floats,
    out: Floats,
) -> None:
    """Members (N, M) from parts (N, P), and scores (N, K) from members: ``stack.blend``'s rule."""
    for n in range(parts.shape[0]):
        for k in range(odds.shape[0]):
            total, mixed, heard, rest = 0.0, 0.0, 0, 0.0
            for m in range(member_first[k], member_first[k + 1]):
                said = _mean(parts[n, part_first[m] : part_first[m + 1]], odds[k] > 0)
                members[n, m] = said
                if np.isfinite(said):
                    total += weight[m]
                    mixed += weight[m] * said
                    heard += 1
                    rest += said
            if total > 0.0:
                out[n, k] = mixed / total
            else:
                # Those with weight are silent: the others speak with one voice each.
                out[n, k] = rest / heard if heard > 0 else np.nan


@njit
def _values(
    scores: Floats, odds: Places, calibrator: Places, at: Places, points: Floats, out: Floats
) -> None:
    for n in range(scores.shape[0]):
        for k in range(odds.shape[0]):
            out[n, k] = scores[n, k]
            if odds[k] > 0 and not np.isnan(scores[n, k]):
                out[n, k] = _calibrated(scores[n, k], calibrator[k], points[at[k] : at[k + 1]])


@dataclass(frozen=True)
class Made:
    """Everything on the way to the values of N rows.

    Attributes
    ----------
    parts : float64 (N, P)
        Parts of all members of all targets, in order.
    members : float64 (N, M)
    scores : float64 (N, K)
        Blends.
    values : float64 (N, K)
        Calibrated where they are probabilities; the rest are the scores.
    """

    parts: Floats
    members: Floats
    scores: Floats
    values: Floats


def _lines(groups: list[Mapping[str, NDArray[Any]]]) -> tuple[NDArray[Any], ...]:
    """Linear models one after the other, as :func:`_linear` takes them."""

    def joined(key: str, kind: type) -> NDArray[Any]:
        return np.concatenate([np.empty(0, kind), *(g[key] for g in groups)]).astype(kind)

    # Where a line begins among all coefficients: its own place, and those of the models before.
    begin = np.cumsum([0, *(len(group["columns"]) for group in groups)])
    first = [group["first"][:-1] + at for group, at in zip(groups, begin[:-1], strict=True)]
    return (
        joined("by", np.int64),
        np.cumsum([0, *(len(group["value"]) for group in groups)], dtype=np.int64),
        joined("value", np.float64),
        joined("intercept", np.float64),
        np.concatenate([*first, begin[-1:]]).astype(np.int64),
        joined("columns", np.int64),
        *(joined(key, np.float64) for key in ("mean", "scale", "weights")),
    )


class Outputs:
    """Targets of a bundle, for rows of its features.

    Parameters
    ----------
    bundle : Bundle

    Attributes
    ----------
    names : tuple of str
        K targets, in the order of the values.
    columns : int
        How many heads of the networks the targets read; 0 for none.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.names = tuple(target.name for target in bundle.targets)
        self._forest = bundle.forest
        members = [member for target in bundle.targets for member in target.members]
        parts = [part for member in members for part in member.parts]
        terms = [term for part in parts for term in part.terms]
        linear = list(dict.fromkeys(term for term in terms if term.startswith("linear.")))
        asked = [int(term[5:]) for term in terms if term.startswith("lstm.")]
        self.columns = max(asked, default=-1) + 1
        # Where each model's forecast stands in a row of them: boosters, lines, heads.
        boosters = [f"trees.{name}" for name in (self._forest.names if self._forest else ())]
        order = [*boosters, *linear, *(f"lstm.{k}" for k in range(self.columns))]
        self._linear_at = slice(len(boosters), len(boosters) + len(linear))
        self._models = len(order)
        self._lines = _lines([bundle.tensors[name.removeprefix("linear.")] for name in linear])
        place = {model: i for i, model in enumerate(order)}
        self._of_parts = _plan_of(parts, place, bundle.features)
        odds = np.array([target.output == "probability" for target in bundle.targets], np.int64)
        self._of_members = (
            np.cumsum([0, *(len(target.members) for target in bundle.targets)], dtype=np.int64),
            np.cumsum([0, *(len(member.parts) for member in members)], dtype=np.int64),
            np.array([member.weight for member in members], np.float64),
            odds,
        )
        self._width = (len(parts), len(members))
        calibrators, points = [], []
        for target in bundle.targets:
            group = bundle.tensors.get(target.calibrator, {})
            keys = ("slope", "intercept") if "slope" in group else ("scores", "probabilities")
            kind = _UNCALIBRATED if not group else _PLATT if "slope" in group else _ISOTONIC
            calibrators.append(kind)
            points.append(np.concatenate([group[key] for key in keys]) if group else np.empty(0))
        self._of_values = (
            odds,
            np.array(calibrators, np.int64),
            np.cumsum([0, *(len(values) for values in points)], dtype=np.int64),
            np.concatenate(points).astype(np.float64),
        )

    def rows(self, X: Floats, ensemble: Floats | None = None) -> Floats:
        """Every target for many rows, each as if alone; see :meth:`made`. Shape (N, K)."""
        return self.made(X, ensemble).values

    def made(self, X: Floats, ensemble: Floats | None = None) -> Made:
        """Every target for many rows, with the way there.

        Parameters
        ----------
        X : float64 (N, F)
            Features of the bundle, in its order; NaN where one is unknown.
        ensemble : float64 (N, columns or more), optional
            What the networks say; needed where a target reads them.

        Raises
        ------
        FixConfig
            A target reads the networks, and nothing is given or too few heads.
        """
        if self.columns and (ensemble is None or ensemble.shape[1] < self.columns):
            given = 0 if ensemble is None else ensemble.shape[1]
            fix = "give the ensemble the bundle was trained with"
            raise FixConfig("ensemble", given, f"{self.columns} forecasts a row", fix)
        X = np.ascontiguousarray(X, np.float64)
        made = np.empty((len(X), self._models))
        if self._forest is not None:
            made[:, : self._linear_at.start] = self._forest.rows(X)
        if self._linear_at.start < self._linear_at.stop:
            _into(X, *self._lines, made, self._linear_at.start)
        if ensemble is not None and self.columns:
            made[:, self._linear_at.stop :] = ensemble[:, : self.columns]
        parts = np.empty((len(X), self._width[0]))
        _parts(made, X, *self._of_parts, parts)
        members = np.empty((len(X), self._width[1]))
        scores, values = (np.empty((len(X), len(self.names))) for _ in range(2))
        _blend(parts, *self._of_members, members, scores)
        _values(scores, *self._of_values, values)
        return Made(parts, members, scores, values)


def _plan_of(
    parts: list[Part], place: dict[str, int], features: tuple[str, ...]
) -> tuple[Places, Places, Places, Places, Floats]:
    """Parts as arrays: where their terms begin, terms, links, offsets and factors."""
    at = {name: i for i, name in enumerate(features)}
    return (
        np.cumsum([0, *(len(part.terms) for part in parts)], dtype=np.int64),
        np.array([place[term] for part in parts for term in part.terms], np.int64),
        np.array([_LINKS[part.link] for part in parts], np.int64),
        np.array([at[part.offset] if part.offset else -1 for part in parts], np.int64),
        np.array([part.factor for part in parts], np.float64),
    )
