"""Killed anywhere and started again: position and journal are what they would be, nothing twice.

Thousands of schedules of a whole run (journal, controller, exchange) on simulated time.
"""

from collections import Counter

import pytest

from tests.execution.killed_schedule import Schedule


def played(seed: int) -> Schedule:
    schedule = Schedule(seed)
    try:
        schedule.play()
    except Exception as error:
        error.add_note(f"seed {seed}: {schedule.run.phases}")
        raise
    return schedule


def test_a_run_killed_at_any_moment_goes_on_where_it_was() -> None:
    phases: Counter[str] = Counter()
    for seed in range(300):
        phases.update(played(seed).run.phases)
    assert phases.total() > 600


@pytest.mark.long
def test_a_run_killed_in_twenty_thousand_schedules_goes_on_where_it_was() -> None:
    for seed in range(300, 20_300):
        played(seed)
