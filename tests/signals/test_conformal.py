"""Adaptive bounds: steps by hand, live as history, coverage held against any world."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.signals import conformal
from counterpoise.signals.conformal import bound, fresh, interval, track

NUMBERS = st.floats(-5.0, 5.0)


def test_steps_by_hand() -> None:
    # Tail a quarter, step 0.4: out by 0.3 when outside, in by 0.1 when not. Outcomes two later.
    center = np.array([0.0, 0.0, 10.0, 10.0, np.nan, 0.0, 0.0, 0.0])
    scale = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0, np.nan, 10.0])
    outcome = np.array([3.0, 3.0, 11.0, np.nan, 5.0, 0.0, 0.0, 0.0])
    told = {"delay": 2, "tail": 0.25, "rate": 0.4, "multiple": 1.0}
    upper = bound(center, scale, outcome, upper=True, **told)  # type: ignore[arg-type]
    # Tick 2 learns that 3 was above 1: 1.3. Tick 3, that 3 was above 2: 1.6. Tick 4, that 11 was
    # below 11.3: 1.5. Ticks 5 and 6 learn nothing: no outcome, then no bound. Tick 7: 0 < 1.5.
    expected = [1.0, 2.0, 11.3, 11.6, np.nan, 1.5, np.nan, 14.0]
    np.testing.assert_allclose(upper, expected, rtol=1e-12)
    lower = bound(center, scale, outcome, upper=False, **told)  # type: ignore[arg-type]
    # Nothing ever lies below: 1, 0.9, 0.8, and 0.7 for ticks 5 to 6, 0.6.
    expected = [-1.0, -2.0, 9.1, 9.2, np.nan, -0.7, np.nan, -6.0]
    np.testing.assert_allclose(lower, expected, rtol=1e-12)


def test_an_outcome_on_the_bound_is_inside() -> None:
    flat, one = np.zeros(3), np.ones(3)
    for upper, outcome in ((True, one), (False, -one)):
        found = bound(flat, one, outcome, delay=1, tail=0.5, rate=0.2, upper=upper, multiple=1.0)
        assert abs(found[1]) == pytest.approx(0.9)


SERIES = arrays(float, st.integers(1, 60), elements=st.one_of(NUMBERS, st.just(np.nan)))


@given(
    center=SERIES,
    delay=st.integers(1, 70),
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    upper=st.booleans(),
)
def test_tick_by_tick_and_in_pieces_is_history_to_the_last_bit(
    center: np.ndarray, delay: int, seed: int, cuts: list[int], upper: bool
) -> None:
    rng = np.random.default_rng(seed)
    size = len(center)
    scale = np.where(rng.random(size) < 0.1, np.nan, rng.gamma(2.0, size=size))
    outcome = np.where(rng.random(size) < 0.1, np.nan, rng.normal(size=size))
    told = {"delay": delay, "tail": 0.1, "rate": 0.3, "upper": upper, "multiple": 1.2}
    whole = bound(center, scale, outcome, **told)  # type: ignore[arg-type]
    known = conformal.delayed(outcome, delay)
    for edges in (list(range(size + 1)), sorted({0, size, *(min(c, size) for c in cuts)})):
        state = fresh(**told)  # type: ignore[arg-type]
        pieces = np.empty(size)
        for start, stop in pairwise(edges):
            track(
                state, center[start:stop], scale[start:stop], known[start:stop], pieces[start:stop]
            )
        assert pieces.tobytes() == whole.tobytes()
    unknown = np.isnan(center) | np.isnan(scale)
    assert np.array_equal(np.isnan(whole), unknown)


@given(delay=st.integers(1, 40), cut=st.integers(0, 199), seed=st.integers(0, 99))
def test_what_is_not_known_yet_changes_no_bound(delay: int, cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    center, outcome = rng.normal(size=(2, 200))
    scale = rng.gamma(2.0, size=200)
    told = {"delay": delay, "level": 0.8, "rate": 0.2}
    before = interval(center, scale, outcome, **told)  # type: ignore[arg-type]
    # At tick ``cut`` the outcome of the tick ``delay`` before is the newest.
    outcome[max(cut - delay + 1, 0) :] += 100.0
    center[cut + 1 :] = rng.normal(size=200)[cut + 1 :]
    after = interval(center, scale, outcome, **told)  # type: ignore[arg-type]
    for one, other in ((before.lower, after.lower), (before.upper, after.upper)):
        assert one[: cut + 1].tobytes() == other[: cut + 1].tobytes()


def test_the_newest_known_outcome_moves_the_bound() -> None:
    center, scale, outcome = np.zeros(50), np.ones(50), np.zeros(50)
    told = {"delay": 6, "tail": 0.1, "rate": 0.2, "upper": True, "multiple": 1.0}
    before = bound(center, scale, outcome, **told)  # type: ignore[arg-type]
    outcome[20] = 9.0
    after = bound(center, scale, outcome, **told)  # type: ignore[arg-type]
    assert np.flatnonzero(before != after).tolist() == list(range(26, 50))
    np.testing.assert_allclose((after - before)[26:], 0.2)


def spite(ticks: int, delay: int, tail: float, rate: float, upper: bool, seed: int) -> tuple:
    """Outcomes chosen in sight of each bound, within 3 scales of the forecast."""
    rng = np.random.default_rng(seed)
    state = fresh(delay=delay, tail=tail, rate=rate, upper=upper, multiple=1.0)
    side = 1.0 if upper else -1.0
    center, scale = rng.normal(size=ticks), rng.gamma(2.0, size=ticks) + 0.1
    outcome, out = np.full(ticks, np.nan), np.empty(ticks)
    mood = rng.integers(0, 3)
    for t in range(ticks):
        known = np.array([outcome[t - delay] if t >= delay else np.nan])
        track(state, center[t : t + 1], scale[t : t + 1], known, out[t : t + 1])
        if rng.random() < 0.02:
            mood = rng.integers(0, 3)
        far, near = center[t] + side * 3.0 * scale[t], center[t] - side * 3.0 * scale[t]
        # Always outside where it can be, always inside, or at random.
        outcome[t] = (far, near, rng.uniform(min(far, near), max(far, near)))[mood]
        if rng.random() < 0.05:
            outcome[t] = np.nan
    return out, outcome, float(state[0])


@settings(max_examples=60)
@given(
    ticks=st.integers(50, 600),
    delay=st.integers(1, 30),
    tail=st.sampled_from([0.01, 0.05, 0.2, 0.5]),
    rate=st.sampled_from([0.01, 0.1, 0.5]),
    upper=st.booleans(),
    seed=st.integers(0, 9999),
)
def test_the_share_outside_is_the_tail_whatever_the_world_does(
    ticks: int, delay: int, tail: float, rate: float, upper: bool, seed: int
) -> None:
    out, outcome, last = spite(ticks, delay, tail, rate, upper, seed)
    judged = np.isfinite(outcome)
    outside = (outcome > out if upper else outcome < out)[judged]
    count = int(judged.sum())
    # The outcomes of the last ``delay`` ticks are not known yet: each may miss by a whole.
    slack = delay * max(tail, 1.0 - tail)
    assert abs(outside.mean() - tail) <= (abs(last - 1.0) / rate + slack) / count + 1e-9
    # And the multiple cannot run away from outcomes that stay within three scales.
    reach = rate * (delay + 1)
    assert -3.0 - reach <= last <= 3.0 + reach


def test_coverage_is_held_while_the_world_drifts() -> None:
    rng = np.random.default_rng(8)
    ticks = 12_000
    spread = np.exp(1.2 * np.sin(np.arange(ticks) / 900.0))
    outcome = np.where(np.arange(ticks) % 5 == 0, 2.0, 1.0) * spread * rng.standard_t(4, ticks)
    outcome += 0.5 * np.linspace(0, 3, ticks)
    center, scale = np.zeros(ticks), np.ones(ticks)
    found = interval(center, scale, outcome, delay=24, level=0.9, rate=0.3)
    inside = (outcome >= found.lower) & (outcome <= found.upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.015)
    for part in np.array_split(inside, 6):
        assert part.mean() == pytest.approx(0.9, abs=0.04)
    still = interval(center, scale, outcome, delay=24, level=0.9, rate=0.0)
    assert ((outcome >= still.lower) & (outcome <= still.upper)).mean() < 0.75
    # Each side holds its own half, though the middle moves up.
    assert (outcome > found.upper).mean() == pytest.approx(0.05, abs=0.01)
    assert (outcome < found.lower).mean() == pytest.approx(0.05, abs=0.01)


def test_an_interval_starts_where_a_bell_curve_would() -> None:
    found = interval(np.array([7.0]), np.array([2.0]), np.zeros(1), delay=3, level=0.9, rate=0.1)
    assert found.upper[0] == pytest.approx(7.0 + 2.0 * 1.6448536269514722, rel=1e-12)
    assert found.lower[0] == pytest.approx(7.0 - 2.0 * 1.6448536269514722, rel=1e-12)


@pytest.mark.parametrize("size", [0, 1, 3, 8])
def test_a_history_shorter_than_the_delay_keeps_its_first_bound(size: int) -> None:
    found = bound(
        np.zeros(size),
        np.ones(size),
        np.full(size, 9.0),
        delay=10,
        tail=0.1,
        rate=0.5,
        upper=True,
        multiple=1.5,
    )
    np.testing.assert_array_equal(found, np.full(size, 1.5))
