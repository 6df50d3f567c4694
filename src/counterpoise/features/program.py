"""All recursions of one tick behind one compiled call: Python is entered once, not 60 times.

It calls the machine code that scans history, by its address: nothing is compiled a second way and
nothing can differ. What is computed, and in which order, is the ``engine``'s business.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.features.feature import Feature, Floats, Shared

Places = NDArray[np.int64]

#: Most inputs of a recursion; one branch of ``_tick`` each.
MOST_INPUTS = 6
# numba's own parts, which its stubs know only in part.
_types: Any = numba.types
_cgutils: Any = cgutils
_VALUES = _types.float64[::1]


def _calling(_typing: Any, address: Any, state: Any, x: Any, out: Any) -> Any:
    """Call the compiled recursion at an address; what it raises is passed on."""
    taken = (state, x, out)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        convention = context.call_conv
        pointer = convention.get_function_type(_types.none, taken).as_pointer()
        code = builder.inttoptr(args[0], pointer)
        status, _ = convention.call_function(builder, code, _types.none, taken, args[1:])
        with _cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return _types.void(address, *taken), generate


_call: Any = intrinsic(_calling)


@njit
def _tick(
    now: Floats, states: Floats, code: Places, state_at: Places, first: Places, place: Places
) -> None:
    """Run every part in order; ``now`` holds the columns of the row, then one value per part."""
    made = now.shape[0] - code.shape[0]
    for p in range(code.shape[0]):
        state = states[state_at[p] : state_at[p + 1]]
        out = now[made + p : made + p + 1]
        inputs = place[first[p] : first[p + 1]]
        count = inputs.shape[0]
        a = now[inputs[0] : inputs[0] + 1]
        if count == 1:
            _call(code[p], state, (a,), out)
            continue
        b = now[inputs[1] : inputs[1] + 1]
        if count == 2:
            _call(code[p], state, (a, b), out)
            continue
        c = now[inputs[2] : inputs[2] + 1]
        if count == 3:
            _call(code[p], state, (a, b, c), out)
            continue
        d = now[inputs[3] : inputs[3] + 1]
        if count == 4:
            _call(code[p], state, (a, b, c, d), out)
            continue
        e = now[inputs[4] : inputs[4] + 1]
        if count == 5:
            _call(code[p], state, (a, b, c, d, e), out)
            continue
        f = now[inputs[5] : inputs[5] + 1]
        _call(code[p], state, (a, b, c, d, e, f), out)


def _address(part: str, source: Feature | Shared) -> int:
    """Where the machine code of a recursion lies, compiled or read from the cache if need be."""
    count = len(source.inputs)
    if not 1 <= count <= MOST_INPUTS:
        raise FixConfig(
            f"inputs of {part}",
            count,
            f"1 to {MOST_INPUTS}",
            "split the feature, or add a branch to features/program.py",
        )
    signature = _types.void(_VALUES, _types.UniTuple(_VALUES, count), _VALUES)
    compiled = cast(Any, source.update).get_compile_result(signature)
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


class Program:
    """Parts with their memory, run one tick at a time.

    Parameters
    ----------
    columns : sequence of str
        C names a row holds.
    parts : mapping of str to Feature or Shared
        By the name an input would call it, each after what it feeds on.

    Attributes
    ----------
    now : float64 (C + P,)
        The row, to be written before :meth:`run`; then the values of the P parts.

    Raises
    ------
    FixConfig
        A part with no input, or with more than :data:`MOST_INPUTS`.
    """

    def __init__(self, columns: Sequence[str], parts: Mapping[str, Feature | Shared]) -> None:
        places = {name: i for i, name in enumerate([*columns, *parts])}
        self.now = np.full(len(places), np.nan)
        memories = [source.memory.fresh() for source in parts.values()]
        inputs = [[places[name] for name in source.inputs] for source in parts.values()]

        def starts(sizes: list[int]) -> Places:
            return np.cumsum([0, *sizes], dtype=np.int64)

        # The code at an address lives as long as the function it belongs to.
        self._parts = dict(parts)
        self._states = np.concatenate([*memories, np.empty(0)])
        code = np.array([_address(*part) for part in parts.items()], np.int64)
        place = np.array([at for row in inputs for at in row], np.int64)
        state_at = starts([len(memory) for memory in memories])
        self._plan = (code, state_at, starts([len(row) for row in inputs]), place)

    def run(self) -> None:
        """Take ``now`` as the row of the next tick and compute every part."""
        _tick(self.now, self._states, *self._plan)
