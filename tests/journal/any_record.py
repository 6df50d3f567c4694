"""Any record at all, for properties that hold whatever a machine writes."""

from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from counterpoise.journal.tables import LAYOUTS, Run

_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: _INT64,
    float: st.floats(),
    str: _TEXT,
    bool: st.booleans(),
    dict[str, float]: st.dictionaries(_TEXT, st.floats(), max_size=3),
    dict[str, Any]: st.dictionaries(
        _TEXT, st.none() | st.floats() | _INT64 | st.lists(_TEXT, max_size=2), max_size=3
    ),
    tuple[float, ...]: st.lists(st.floats(), max_size=4).map(tuple),
}


def _any_of(kind: type) -> st.SearchStrategy[Any]:
    given = {
        name: _BY_TYPE[hint] if hint in _BY_TYPE else st.sampled_from(get_args(hint))
        for name, hint in get_type_hints(kind).items()
    }
    return st.builds(kind, **given)


#: Any record of any class; numbers and ids are whatever, so the store refuses some.
ANY_RECORD = st.one_of([_any_of(kind) for kind in LAYOUTS if kind is not Run])
