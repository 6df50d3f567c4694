"""Quotes inside bars: what they promise of the bar they are in."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import FixConfig
from counterpoise.market.columns import TS
from counterpoise.market.quote_path import middle_path, quote_path
from counterpoise.units import HOUR_MS

START = datetime(2024, 1, 1, tzinfo=UTC)


def bars_of(rows, hours=None) -> pl.DataFrame:
    """Bars from (open, high, low, close) in ticks of a cent."""
    hours = range(len(rows)) if hours is None else hours
    stamps = pl.Series([START + timedelta(hours=hour) for hour in hours]).cast(TS)
    columns = dict(zip(("open", "high", "low", "close"), np.array(rows).T / 100, strict=True))
    return pl.DataFrame({"ts": stamps, **columns})


@st.composite
def bar(draw):
    low = draw(st.integers(100_000, 400_000))
    high = low + draw(st.integers(0, 20_000))
    inside = st.integers(low, high)
    return draw(inside), high, low, draw(inside)


@given(st.lists(bar(), min_size=1, max_size=4), st.sampled_from([1, 10, 60, 300, 1200, 3600]))
def test_every_bar_is_walked_from_its_extremes_to_its_close(rows, every_s) -> None:
    paths = middle_path(bars_of(rows), every_s, 0.01).reshape(len(rows), -1)
    assert paths.shape[1] == 3600 // every_s
    for (_, high, low, close), path in zip(rows, paths, strict=True):
        assert path[-1] == close
        assert low <= path.min() <= path.max() <= high
        if every_s < 3600:
            assert (path.min(), path.max()) == (low, high)


@given(st.lists(bar(), min_size=1, max_size=3), st.floats(0, 20))
def test_the_last_middle_is_the_close_and_the_quotes_are_on_the_grid(rows, half) -> None:
    quotes = quote_path(bars_of(rows), 300, half)
    middle = ((quotes.bid + quotes.ask) / 2).reshape(len(rows), -1)
    closes = np.array([row[3] for row in rows]) / 100
    np.testing.assert_allclose(middle[:, -1], closes, rtol=0, atol=1e-9)
    for side in (quotes.bid, quotes.ask):
        assert (side == np.round(side, 2)).all()
    spread = quotes.ask - quotes.bid
    assert (spread >= 0.02 - 1e-9).all()
    assert (
        np.abs(spread - np.maximum(2 * half * 1e-4 * (quotes.bid + spread / 2), 0.02)) <= 0.011
    ).all()


def test_times_are_just_before_the_ends_and_a_missing_bar_is_a_gap() -> None:
    quotes = quote_path(bars_of([(1, 3, 1, 2)] * 2, hours=[0, 2]), 900, 0.0, top_eth=3.5)
    first_ms = round(START.timestamp() * 1000)
    ends = [900_000, 1_800_000, 2_700_000, HOUR_MS]
    expected = [first_ms + 2 * HOUR_MS * hour + end - 1 for hour in range(2) for end in ends]
    assert quotes.ts_ms.tolist() == expected
    assert set(quotes.bid_size) == set(quotes.ask_size) == {3.5}


def test_a_falling_bar_sees_its_high_first() -> None:
    rising, falling = (10, 30, 0, 20), (20, 30, 0, 10)
    paths = middle_path(bars_of([rising, falling]), 1200, 0.01).reshape(2, 3).tolist()
    assert paths == [[0, 30, 20], [30, 0, 10]]


@pytest.mark.parametrize(
    ("every_s", "half", "top"), [(7, 1, 1), (1800, 1, 1), (0, 1, 1), (60, -1, 1), (60, 1, 0)]
)
def test_what_makes_no_path_is_refused(every_s, half, top) -> None:
    with pytest.raises(FixConfig):
        quote_path(bars_of([(1, 3, 1, 2)]), every_s, half, top_eth=top)
