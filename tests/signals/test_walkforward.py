"""A model never learns from what overlaps, or comes too close to, what it forecasts."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.signals.walkforward import month_starts, splits
from counterpoise.units import HOUR_MS, from_ms, to_ms

START_MS = to_ms(datetime(2020, 1, 1, tzinfo=UTC))


@settings(max_examples=60, deadline=None)
@given(
    offset=st.integers(0, 24 * 800),
    hours=st.integers(1, 24 * 700),
    horizon_h=st.integers(1, 168),
    embargo_h=st.integers(24, 168),
    min_train_days=st.integers(60, 300),
    first_row=st.integers(0, 3000),
)
def test_purge_embargo_and_coverage_hold_for_any_clock(
    offset: int, hours: int, horizon_h: int, embargo_h: int, min_train_days: int, first_row: int
) -> None:
    ts_ms = START_MS + HOUR_MS * (offset + np.arange(hours, dtype=np.int64))
    found = list(
        splits(
            ts_ms,
            horizon_h=horizon_h,
            embargo_h=embargo_h,
            min_train_days=min_train_days,
            first_row=first_row,
        )
    )
    covered = np.zeros(hours, dtype=int)
    for split in found:
        refit = ts_ms[split.predict.start]
        covered[split.predict] += 1
        assert split.train.start == first_row < split.train.stop
        last_label_end = ts_ms[split.train.stop - 1] + horizon_h * HOUR_MS
        assert last_label_end + embargo_h * HOUR_MS == refit
        assert refit - ts_ms[first_row] >= min_train_days * 24 * HOUR_MS
        moment = from_ms(int(refit))
        assert (moment.day, moment.hour) == (1, 0)
    if found:
        first = found[0].predict.start
        assert (covered[first:] == 1).all()
        assert (covered[:first] == 0).all()


def test_refits_are_the_month_starts_after_the_first_ninety_days() -> None:
    ts_ms = START_MS + HOUR_MS * np.arange(24 * 150, dtype=np.int64)
    found = splits(ts_ms, horizon_h=4, embargo_h=24, min_train_days=90)
    refits = [from_ms(int(ts_ms[s.predict.start])).strftime("%m-%d") for s in found]
    assert refits == ["04-01", "05-01"]


def test_a_month_that_begins_before_the_clock_is_no_refit() -> None:
    ts_ms = START_MS + HOUR_MS * np.arange(24 * 40, dtype=np.int64)
    assert [from_ms(int(ts_ms[row])).month for row in month_starts(ts_ms)] == [2]


def test_a_clock_with_a_hole_is_refused() -> None:
    ts_ms = START_MS + HOUR_MS * np.array([0, 1, 3], dtype=np.int64)
    with pytest.raises(ValueError, match="consecutive hours"):
        list(splits(ts_ms, horizon_h=4, embargo_h=24, min_train_days=60))
