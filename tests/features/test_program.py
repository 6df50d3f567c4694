"""One compiled call a tick does what a call per recursion does, for any number of inputs."""

import numpy as np
import pytest

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig
from counterpoise.features.feature import Floats, Memory, Shared
from counterpoise.features.program import MOST_INPUTS, Program


@njit
def weighed(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Inputs by place and ticks so far: shows every input, its order, and the memory."""
    for t in range(out.shape[0]):
        state[0] += 1.0
        out[t] = state[0]
        weight = 10.0
        for values in x:
            out[t] += weight * values[t]
            weight *= 10.0


@njit
def inverse(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Raises on 0."""
    out[0] = 1.0 / x[0][0]


@pytest.mark.parametrize("count", range(1, MOST_INPUTS + 1))
def test_every_number_of_inputs_arrives_in_its_order(count: int) -> None:
    columns = [f"c{i}" for i in range(count)]
    part = Shared(tuple(reversed(columns)), weighed, Memory((0.0,)))
    program = Program(columns, {"shared.sum": part, "shared.again": part})
    for tick in (1.0, 2.0):
        row = tick + np.arange(count)
        program.now[:count] = row
        program.run()
        expected = tick + sum(10.0 ** (i + 1) * value for i, value in enumerate(row[::-1]))
        assert program.now[count:].tolist() == [expected, expected]


def test_a_part_feeds_on_the_parts_before_it() -> None:
    parts = {
        "shared.a": Shared(("c",), weighed, Memory((0.0,))),
        "shared.b": Shared(("shared.a", "c"), weighed, Memory((5.0,), 3)),
    }
    program = Program(["c"], parts)
    program.now[0] = 2.0
    program.run()
    assert program.now.tolist() == [2.0, 21.0, 6.0 + 210.0 + 200.0]


def test_what_a_recursion_raises_reaches_the_caller() -> None:
    program = Program(["c"], {"shared.inverse": Shared(("c",), inverse, Memory())})
    program.now[0] = 0.0
    with pytest.raises(ZeroDivisionError):
        program.run()
    program.now[0] = 4.0
    program.run()
    assert program.now[1] == 0.25


@pytest.mark.parametrize("count", [0, MOST_INPUTS + 1])
def test_a_part_with_too_many_inputs_or_none_is_refused(count: int) -> None:
    columns = [f"c{i}" for i in range(count)]
    with pytest.raises(FixConfig, match=rf"inputs of shared\.sum = {count}: expected 1 to"):
        Program(columns, {"shared.sum": Shared(tuple(columns), weighed, Memory((0.0,)))})
