"""A model from the user's own Python file, held to the two calls of every model.

The file is executed as it is, with the rights of whoever runs it. What comes back from it is
checked at every call; whether it looks ahead is the audit's business (``appraisal``).
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig
from counterpoise.own_file import line_in, read_own_file, refuse_name, run_own_file
from counterpoise.signals.model import Fitted, Kind, Model

Floats = NDArray[np.float64]

EXAMPLE = "docs/examples/own_model.py"
FIT = "fit(X, y, seed)"
PREDICT = "predict(X, rows)"


def _accepts(call: object, arguments: int) -> bool:
    """Whether something can be called with so many arguments."""
    if not callable(call):
        return False
    try:
        inspect.signature(call).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:
        # Compiled code shows no signature; the call itself will tell.
        return True
    return True


def _locked(values: Floats) -> Floats:
    """View that cannot be written to: what a model changed would be the next one's past."""
    seen = values.view()
    seen.flags.writeable = False
    return seen


@dataclass(frozen=True)
class _Asked:
    """Runs a call of the file and tells of its failure by file and line."""

    file: Path

    def __call__[T](self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            raise FixConfig(
                f"{self.file} line {line_in(self.file, error)}",
                f"{type(error).__name__}: {error}",
                f"{what} to work; features may be NaN, and X and y may not be written to",
                "mend that line",
            ) from error

    def refuse(self, value: object, expected: str) -> FixConfig:
        return FixConfig(
            f"{self.file} {PREDICT}", value, expected, f"mend it there, as in {EXAMPLE}"
        )


@dataclass(frozen=True)
class CheckedFitted:
    """A user's fitted model; every answer is checked.

    Attributes
    ----------
    fitted : Fitted
        What the user's ``fit`` returned.
    kind : str
    asked : callable
    """

    fitted: Fitted
    kind: Kind
    asked: _Asked

    def predict(self, X: Floats, rows: slice) -> Floats:
        """Forecasts of some rows; as of :class:`~counterpoise.signals.model.Fitted`.

        Raises
        ------
        FixConfig
            The call fails, or its answer is not float64 of one value a row, is infinite, or is no
            probability where one is asked for.
        """
        wanted = rows.stop - rows.start
        found: object = self.asked(
            f"{PREDICT} for {wanted} rows", lambda: self.fitted.predict(_locked(X), rows)
        )
        if not isinstance(found, np.ndarray):
            raise self.asked.refuse(type(found).__name__, "a numpy array")
        if found.dtype != np.float64 or found.shape != (wanted,):
            raise self.asked.refuse(
                f"{found.dtype} of shape {found.shape}",
                f"float64 of shape ({wanted},), one forecast for each of the rows",
            )
        if np.isinf(found).any():
            row = int(np.flatnonzero(np.isinf(found))[0])
            raise self.asked.refuse(
                f"{found[row]} at row {rows.start + row}", "finite forecasts, NaN where unknown"
            )
        outside = (found < 0.0) | (found > 1.0)
        if self.kind == "probability" and outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise self.asked.refuse(
                f"{found[row]:g} at row {rows.start + row}", "probabilities from 0 to 1"
            )
        return found


@dataclass
class OwnModel:
    """A user's model under the name it gave itself.

    Attributes
    ----------
    name : str
    model : Model
        The ``model`` of the file.
    kind : str
        What its forecasts are held to: ``probability``, ``value`` or ``quantile``.
    file : Path
    source : str
        Text of the file, so that a report says what it judged.
    meaning : str
        What tells two versions apart: comments and layout do not.
    """

    name: str
    model: Model
    kind: Kind
    file: Path
    source: str
    meaning: str

    def fit(self, X: Floats, y: Floats, seed: int) -> CheckedFitted:
        """Learn from the past; as of :class:`~counterpoise.signals.model.Model`.

        Raises
        ------
        FixConfig
            The call fails, or returns nothing that can ``predict(X, rows)``.
        """
        asked = _Asked(self.file)
        fitted: object = asked(
            f"{FIT} on {len(y)} hours", lambda: self.model.fit(_locked(X), _locked(y), seed)
        )
        if not _accepts(getattr(fitted, "predict", None), 2):
            raise FixConfig(
                f"{self.file} {FIT}",
                type(fitted).__name__,
                f"it to return an object with {PREDICT}",
                f"return one, as in {EXAMPLE}",
            )
        return CheckedFitted(cast(Fitted, fitted), self.kind, asked)


def load_model(file: Path, kind: Kind) -> OwnModel:
    """Model of a Python file: the object it calls ``model``.

    Parameters
    ----------
    file : Path
        Run once. It defines ``model`` with a ``name`` and ``fit(X, y, seed)``; see
        ``docs/examples/own_model.py``.
    kind : str
        What the target asks for.

    Returns
    -------
    OwnModel
        Its calls get arrays that cannot be written to, and what they return is checked.

    Raises
    ------
    FixConfig
        The file cannot be read or run, defines no ``model``, or one without a proper ``name`` or
        ``fit``.
    """
    text = read_own_file("--model", file, "a Python file")
    names = run_own_file(file, text)
    if "model" not in names:
        raise FixConfig(
            "--model",
            str(file),
            f"a file that defines model, an object with a name and {FIT}",
            f"end it with model = ..., as in {EXAMPLE}",
        )
    model = names["model"]
    place = f"{file} model"
    if inspect.isclass(model):
        raise FixConfig(
            place, f"the class {model.__name__}", "an object", f"write model = {model.__name__}()"
        )
    if not _accepts(getattr(model, "fit", None), 3):
        raise FixConfig(
            place,
            type(model).__name__,
            f"an object with {FIT} that returns one with {PREDICT}",
            f"give it that method, as in {EXAMPLE}",
        )
    name = getattr(model, "name", None)
    refuse_name(f"{place}: name", name, f"name it there, as in {EXAMPLE}")
    return OwnModel(
        name=str(name),
        model=cast(Model, model),
        kind=kind,
        file=file,
        source=text,
        meaning=f"{name} of {ast.dump(ast.parse(text))}",
    )
