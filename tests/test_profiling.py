"""The profile: what stages cost, that they add up, and that nobody pays who did not ask."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from counterpoise.profiling import OTHER, Profile, peak_memory_bytes, profiled, stage


class Clock:
    """A clock that only moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(time, "perf_counter", one)
    return one


def seconds(profile: Profile | None) -> dict[str, float]:
    assert profile is not None
    return {one.name: one.seconds for one in profile.stages}


def test_a_stage_inside_another_counts_for_itself_alone(clock: Clock) -> None:
    with profiled() as profile:
        clock.now += 1
        with stage("study"):
            clock.now += 2
            with stage("bootstrap"):
                clock.now += 4
            clock.now += 8
        clock.now += 16
        assert seconds(profile) == {"study": 10, "bootstrap": 4, OTHER: 17}


def test_stages_come_in_the_order_of_their_first_call_and_count_their_calls(clock: Clock) -> None:
    @stage("simulate")
    def simulate() -> int:
        clock.now += 1
        return 3

    with profiled() as profile:
        with stage("read"):
            clock.now += 1
        found = [simulate(), simulate()]
        with stage("read"):
            clock.now += 1
    assert found == [3, 3]
    assert profile is not None
    assert [(one.name, one.seconds, one.calls) for one in profile.stages] == [
        ("read", 2, 2),
        ("simulate", 2, 2),
        (OTHER, 0, 1),
    ]


def test_stages_add_up_to_the_time_that_passed_even_when_one_fails(clock: Clock) -> None:
    @stage("breaks")
    def breaks() -> float:
        clock.now += 3
        return 1 / 0

    with profiled() as profile:
        with pytest.raises(ZeroDivisionError):
            breaks()
        clock.now += 2
        assert seconds(profile) == {"breaks": 3, OTHER: 2}


def test_nothing_is_timed_without_a_profile_and_after_it(clock: Clock) -> None:
    with profiled(wanted=False) as none, stage("unseen"):
        clock.now += 1
    assert none is None
    with profiled() as profile:
        pass
    with stage("too late"):
        clock.now += 1
    assert profile is not None
    assert "too late" not in {one.name for one in profile.stages}


def test_a_thread_does_not_write_into_its_parents_stages(clock: Clock) -> None:
    def work() -> None:
        with stage("in a thread"):
            clock.now += 1

    with profiled() as profile, stage("training"), ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
        assert seconds(profile) == {"training": 1, OTHER: 0}


def test_peak_memory_remembers_what_was_given_back() -> None:
    before = peak_memory_bytes()
    held = np.ones(before // 8 + 8_000_000)
    raised = peak_memory_bytes()
    del held
    assert raised >= before + 60_000_000
    assert peak_memory_bytes() >= raised
