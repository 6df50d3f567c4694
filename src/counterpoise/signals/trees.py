"""Every booster of a bundle in one compiled walk: one row in microseconds, many rows the same way.

Models come as LightGBM text and forecasts equal LightGBM's own: a raw score to the last bit, a
probability to the last bits of ``exp``. Nothing is trained here, and what LightGBM can do but our
models never do (categories, several classes, averaged or linear trees) is refused, not guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig, RejectData

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

#: Objectives whose forecast is the raw score itself.
IDENTITY = ("regression", "regression_l1", "huber", "quantile")
#: A text that names more is damaged.
MOST_FEATURES = 100_000
#: LightGBM reads values this small as zero.
_ZERO = float(np.float32(1e-35))
#: Trees walked side by side: the processor waits for eight memory reads at once.
_LANES = 8
# How a node reads its feature, and where in the widened row that reading stands. Every node then
# asks the same question, reading <= threshold: NaN answers no, minus infinity yes.
_NAN_IS_ZERO, _ZERO_GOES_RIGHT, _ZERO_GOES_LEFT, _NAN_GOES_RIGHT, _NAN_GOES_LEFT = range(5)
_READINGS = 5
_NO_MISSING, _ZERO_MISSING, _NAN_MISSING = range(3)


@njit
def _widen(row: Floats, wide: Floats) -> None:
    """Write the five readings of every feature, one after the other."""
    count = row.shape[0]
    for f in range(count):
        value = row[f]
        if -_ZERO <= value <= _ZERO:
            value = 0.0
        unknown = np.isnan(value)
        missing = unknown or value == 0.0
        wide[_NAN_IS_ZERO * count + f] = 0.0 if unknown else value
        wide[_ZERO_GOES_RIGHT * count + f] = np.nan if missing else value
        wide[_ZERO_GOES_LEFT * count + f] = -np.inf if missing else value
        wide[_NAN_GOES_RIGHT * count + f] = value
        wide[_NAN_GOES_LEFT * count + f] = -np.inf if unknown else value


@njit
def _walk(
    X: Floats,
    slot: Ints,
    threshold: Floats,
    child: Ints,
    value: Floats,
    root: Ints,
    depth: Ints,
    first: Ints,
    sigmoid: Floats,
    out: Floats,
) -> None:
    """Forecasts of all boosters for all rows; ``out`` is (N, B)."""
    wide = np.empty(_READINGS * X.shape[1])
    at = np.empty(root.shape[0], np.int32)
    for n in range(X.shape[0]):
        _widen(X[n], wide)
        at[:] = root
        for group in range(depth.shape[0]):
            start = group * _LANES
            for _ in range(depth[group]):
                # A leaf leads to itself, so lanes that are done wait for the deepest.
                for lane in range(start, start + _LANES):
                    node = at[lane]
                    at[lane] = child[2 * node + (wide[slot[node]] <= threshold[node])]
        for b in range(sigmoid.shape[0]):
            score = 0.0  # added tree after tree, as LightGBM does
            for tree in range(first[b], first[b + 1]):
                score += value[at[tree]]
            if sigmoid[b] > 0.0:
                score = 1.0 / (1.0 + np.exp(-sigmoid[b] * score))
            out[n, b] = score


@dataclass(frozen=True)
class Forest:
    """Boosters ready to forecast; made by :func:`read`.

    Attributes
    ----------
    names : tuple of str
        B boosters, in the order of the forecasts.
    features : int
        F values of a row.
    trees : int
        Of all boosters together.
    """

    names: tuple[str, ...]
    features: int
    trees: int
    _arrays: tuple[Ints, Floats, Ints, Floats, Ints, Ints, Ints, Floats]

    def row(self, x: Floats) -> Floats:
        """Forecast of every booster for one row: (F,) to (B,). NaN is a value of its own."""
        return cast(Floats, self.rows(x.reshape(1, -1))[0])

    def rows(self, X: Floats) -> Floats:
        """Forecasts of every booster for many rows: (N, F) to (N, B), each row as if alone.

        Raises
        ------
        ValueError
            Rows of another length.
        """
        if X.ndim != 2 or X.shape[1] != self.features:
            raise ValueError(f"a row holds {self.features} features, got shape {X.shape}")
        out = np.empty((len(X), len(self.names)))
        _walk(np.ascontiguousarray(X, np.float64), *self._arrays, out)
        return out


@dataclass(frozen=True)
class _Text:
    """LightGBM text of one booster, with refusals that say where."""

    name: str
    text: str

    def refuse(self, place: str, value: object, expected: str) -> RejectData:
        return RejectData(self.name, place, value, expected, "train the model again and save it")

    def fields(self, part: str) -> dict[str, str]:
        lines = (line.partition("=") for line in part.splitlines())
        return {key: value for key, sign, value in lines if sign}

    def parts(self) -> tuple[dict[str, str], list[dict[str, str]]]:
        """Fields of the head, and of each tree."""
        body, end, _ = self.text.partition("\nend of trees\n")
        if not end:
            raise self.refuse("end", self.text[-40:], "the line 'end of trees'")
        head, *trees = body.split("\nTree=")
        fields = self.fields(head)
        announced = len(fields.get("tree_sizes", "").split())
        if not trees or announced != len(trees):
            raise self.refuse("tree_sizes", announced, f"the {len(trees)} trees that follow")
        if "average_output" in head.splitlines():
            raise self.refuse("average_output", True, "boosted trees, not averaged ones")
        for key, only in (("num_class", "1"), ("num_tree_per_iteration", "1")):
            if fields.get(key) != only:
                raise self.refuse(key, fields.get(key), only)
        return fields, [self.fields(tree) for tree in trees]

    def sigmoid(self, head: dict[str, str]) -> float:
        """Slope of the logistic map of a ``binary`` model; 0 where the score is the forecast."""
        kind, *options = head.get("objective", "").split() or [""]
        if kind == "binary" and len(options) == 1 and options[0].startswith("sigmoid:"):
            slope = self.numbers("objective", options[0].removeprefix("sigmoid:"), 1)[0]
            if slope > 0.0:
                return float(slope)
        elif kind in IDENTITY and "sqrt" not in options:
            return 0.0
        expected = f"binary, or {', '.join(IDENTITY)} of the label as it is"
        raise self.refuse("objective", head.get("objective"), expected)

    def numbers(self, place: str, text: str | None, count: int) -> Floats:
        """Numbers of one line, none of them NaN."""
        try:
            found = np.array([float(part) for part in (text or "").split()])
        except ValueError:
            raise self.refuse(place, text, "numbers") from None
        if len(found) != count or np.isnan(found).any():
            raise self.refuse(place, text, f"{count} numbers, none of them NaN")
        return found

    def whole(self, place: str, text: str | None, count: int) -> Ints:
        """Whole numbers of one line."""
        found = self.numbers(place, text, count)
        if not (np.abs(found) < 2**31).all() or (found % 1.0 != 0.0).any():
            raise self.refuse(place, text, f"{count} whole numbers")
        return found.astype(np.int32)


@dataclass(frozen=True)
class _Tree:
    """One tree in places of its own: inner nodes first, then leaves, each leaf its own child."""

    slot: Ints
    threshold: Floats
    child: Ints
    value: Floats
    depth: int


_READING = {
    (_NO_MISSING, 0): _NAN_IS_ZERO,
    (_NO_MISSING, 1): _NAN_IS_ZERO,
    (_ZERO_MISSING, 0): _ZERO_GOES_RIGHT,
    (_ZERO_MISSING, 1): _ZERO_GOES_LEFT,
    (_NAN_MISSING, 0): _NAN_GOES_RIGHT,
    (_NAN_MISSING, 1): _NAN_GOES_LEFT,
}


def _tree(
    source: _Text, number: int, fields: dict[str, str], columns: Ints, features: int
) -> _Tree:
    def place(key: str) -> str:
        return f"tree {number}, {key}"

    def whole(key: str, count: int) -> Ints:
        return source.whole(place(key), fields.get(key), count)

    leaves = int(whole("num_leaves", 1)[0])
    if leaves < 1:
        raise source.refuse(place("num_leaves"), leaves, "1 or more")
    for key in ("num_cat", "is_linear"):
        if whole(key, 1)[0] != 0:
            raise source.refuse(place(key), fields[key], "0: numbers in, one number a leaf out")
    inner = leaves - 1
    leaf_value = source.numbers(place("leaf_value"), fields.get("leaf_value"), leaves)
    if not np.isfinite(leaf_value).all():
        raise source.refuse(place("leaf_value"), fields["leaf_value"], "finite numbers")
    feature, decision = whole("split_feature", inner), whole("decision_type", inner)
    threshold = source.numbers(place("threshold"), fields.get("threshold"), inner)
    children = np.column_stack([whole("right_child", inner), whole("left_child", inner)])
    if ((feature < 0) | (feature >= len(columns))).any():
        raise source.refuse(place("split_feature"), feature.max(), f"0 to {len(columns) - 1}")
    if (unknown := [int(d) for d in decision if d & 1 or d >> 2 not in range(3)]) != []:
        raise source.refuse(place("decision_type"), unknown[0], "a split of numbers")
    # In the text a leaf is ~leaf, and every node comes after its parent.
    places = np.where(children < 0, inner + ~children, children)
    after = (children < 0) | (children > np.arange(inner)[:, None])
    if not after.all() or sorted(places.ravel()) != list(range(1, inner + leaves)):
        raise source.refuse(place("left_child"), fields.get("left_child"), "one binary tree")
    levels = np.zeros(inner + leaves, np.int32)
    for node in range(inner):
        levels[places[node]] = levels[node] + 1
    reading = np.array([_READING[d >> 2, d >> 1 & 1] for d in decision.tolist()], np.int32)
    own = np.repeat(np.arange(inner, inner + leaves), 2)
    return _Tree(
        np.concatenate([reading * features + columns[feature], np.zeros(leaves)]).astype(np.int32),
        np.concatenate([threshold, np.zeros(leaves)]),
        np.concatenate([places.ravel(), own]).astype(np.int32),
        np.concatenate([np.zeros(inner), leaf_value]),
        int(levels.max()),
    )


@dataclass(frozen=True)
class _Parsed:
    """A text in its fields, and how many features it was trained on."""

    source: _Text
    head: dict[str, str]
    trees: list[dict[str, str]]
    width: int


def _parsed(source: _Text) -> _Parsed:
    head, trees = source.parts()
    highest = int(source.whole("max_feature_idx", head.get("max_feature_idx"), 1)[0])
    if not 0 <= highest < MOST_FEATURES:
        raise source.refuse("max_feature_idx", highest, f"0 to {MOST_FEATURES - 1}")
    return _Parsed(source, head, trees, highest + 1)


def read(
    texts: Mapping[str, str],
    *,
    columns: Mapping[str, NDArray[np.integer]] | None = None,
    features: int | None = None,
) -> Forest:
    """Make boosters ready to forecast together.

    Parameters
    ----------
    texts : mapping of str to str
        LightGBM text by name. Objective ``binary`` or one of :data:`IDENTITY`.
    columns : mapping of str to int (K,), optional
        Places in a row of the K features a text was trained on, in its order; a text that is not
        named reads every value of a row.
    features : int, optional
        Values of a row; by default as many as the texts were trained on.

    Raises
    ------
    RejectData
        A text that is damaged, or says something this walk does not do; it names the line.
    FixConfig
        No text, texts of different numbers of features, or columns that are not those of a text.
    """
    parsed = [_parsed(_Text(name, text)) for name, text in texts.items()]
    columns = columns or {}
    widths = {one.source.name: one.width for one in parsed}
    free = {widths[name] for name in texts if name not in columns}
    if features is None and len(free) == 1:
        (features,) = free
    if features is None or any(width != features for width in free):
        told = widths or "no model"
        raise FixConfig("models", told, "one number of features", "save models trained together")
    trees: list[_Tree] = []
    first, sigmoid = [0], []
    for one in parsed:
        name = one.source.name
        places = np.asarray(columns.get(name, np.arange(features)), np.int32)
        if places.shape != (one.width,) or not ((places >= 0) & (places < features)).all():
            expected = f"the places of its {one.width} features in a row of {features}"
            raise FixConfig(f"columns of {name}", places.tolist(), expected, "save it again")
        sigmoid.append(one.source.sigmoid(one.head))
        trees += [
            _tree(one.source, i, fields, places, features) for i, fields in enumerate(one.trees)
        ]
        first.append(len(trees))
    sizes = np.array([len(tree.slot) for tree in trees])
    begin = np.concatenate([[0], np.cumsum(sizes)])
    # Lanes without a tree rest on the last node, which is a leaf.
    idle = -len(trees) % _LANES
    root = np.concatenate([begin[:-1], np.full(idle, begin[-1] - 1)]).astype(np.int32)
    depths = np.array([*(tree.depth for tree in trees), *[0] * idle], np.int32)
    children = [tree.child + at for tree, at in zip(trees, begin[:-1].tolist(), strict=True)]
    arrays = (
        np.concatenate([tree.slot for tree in trees]),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate(children).astype(np.int32),
        np.concatenate([tree.value for tree in trees]),
        root,
        np.asarray(depths.reshape(-1, _LANES).max(axis=1)),
        np.array(first, np.int32),
        np.array(sigmoid),
    )
    return Forest(tuple(texts), features, len(trees), arrays)


def contributions(text: str, X: Floats) -> Floats:
    """What each feature added to the raw score of each row, by LightGBM's TreeSHAP.

    Parameters
    ----------
    text : str
        LightGBM text of one booster.
    X : float64 (N, F)

    Returns
    -------
    float64 (N, F + 1)
        The last column is the score without any feature; a row sums to its raw score (log odds for
        ``binary``). Milliseconds a call: for explanations, not for every tick.
    """
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    found = booster.predict(np.ascontiguousarray(X), pred_contrib=True, num_threads=1)
    return np.asarray(found, dtype=np.float64)
