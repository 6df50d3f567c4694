"""A hash of what a feature means, so that a model can tell whether its inputs still mean the same.

It covers name, formula, unit, inputs and theirs, parameters, window and the recursion's own code;
not comments and docstrings, and not functions the recursion calls.
"""

import ast
import hashlib
import inspect
import json
import textwrap
from functools import cache

from counterpoise.features.catalog import FEATURES, Feature, feeding
from counterpoise.features.feature import Update


@cache
def _code(update: Update) -> str:
    """Code of a recursion, whatever its layout, comments and docstring."""
    function = getattr(update, "py_func", update)
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _meaning(part: str) -> object:
    source = feeding(part)
    if source is None:
        return part
    said = (source.formula, source.unit) if isinstance(source, Feature) else ()
    memory = [*(repr(value) for value in source.memory.head), source.memory.ring]
    inputs = [_meaning(inner) for inner in source.inputs]
    return [part, said, memory, repr(source.memory.empty), _code(source.update), inputs]


def fingerprint(name: str) -> str:
    """SHA-256 of what a feature of the catalog means, in hex.

    Raises
    ------
    FixConfig
        A name the catalog does not have.
    """
    FEATURES[name]
    return hashlib.sha256(json.dumps(_meaning(f"feature.{name}")).encode()).hexdigest()
