"""Other histories share their first ticks with the true one, to the byte, and nothing more."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.appraisal.cuts import another_future, lake_until, since, until
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from counterpoise.units import HOUR_MS, from_ms
from tests.hedging.test_user_policy import arrays
from tests.random_timeline import cut, random_timeline

HOURS = 24 * 20


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return random_timeline(HOURS, seed=3, gap_share=0.02)


@settings(max_examples=15)
@given(ticks=st.integers(1, HOURS))
def test_a_timeline_cut_is_the_one_of_that_time(timeline: Timeline, ticks: int) -> None:
    found, expected = arrays(until(timeline, ticks)), arrays(cut(timeline, ticks))
    assert found.keys() == expected.keys()
    for place, values in found.items():
        assert values.tobytes() == expected[place].tobytes(), place


@settings(max_examples=15)
@given(ticks=st.integers(1, HOURS - 48), seed=st.integers(0, 99))
def test_another_future_has_the_same_past_and_clock(
    timeline: Timeline, ticks: int, seed: int
) -> None:
    whole, other = arrays(timeline), arrays(another_future(timeline, ticks, seed))
    assert whole.keys() == other.keys()
    for place, values in other.items():
        assert values[:ticks].tobytes() == whole[place][:ticks].tobytes(), place
        same = values[ticks:] == whole[place][ticks:]
        assert same.all() if place == ".ts_ms" else same.mean() < 0.05, place


def test_history_begun_later_keeps_its_end(timeline: Timeline) -> None:
    whole, later = arrays(timeline), arrays(since(timeline, 100))
    for place, values in later.items():
        assert values.tobytes() == whole[place][100:].tobytes(), place


def test_tables_known_at_a_moment_give_the_timeline_of_that_moment(
    generated_lake: Lake, tmp_path: Path
) -> None:
    whole = build_timeline(generated_lake)
    ticks = 2001
    last_ms = int(whole.ts_ms[ticks - 1])
    shorter = lake_until(generated_lake, tmp_path / "cut", last_ms)
    assert shorter.synthetic
    for key in shorter.datasets():
        newest = shorter.read_key(key)["known_at"].max()
        assert newest <= from_ms(last_ms)
        later = generated_lake.read_key(key).filter(pl.col("known_at") > from_ms(last_ms))
        assert shorter.rows(key) + len(later) == generated_lake.rows(key)
    found, expected = arrays(build_timeline(shorter)), arrays(cut(whole, ticks))
    assert found[".ts_ms"][-1] == last_ms == whole.ts_ms[0] + 2000 * HOUR_MS
    for place, values in found.items():
        np.testing.assert_array_equal(values, expected[place], err_msg=place)
