"""ρ: from daily sums and daily returns, once a day, shrunk towards the long run."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.market.timeline import Timeline
from counterpoise.signals.correlation import daily_changes, funding_correlation
from counterpoise.units import DAY_MS
from tests.random_timeline import START_MS, cut, random_timeline

SMALL = random_timeline(24 * 90, seed=6)


def daily_table(timeline: Timeline) -> pl.DataFrame:
    """Daily changes by polars, from the definition."""
    hours = pl.DataFrame(
        {
            "ts": timeline.ts_ms,
            "settled": timeline.funding_settled[:, 0],
            "close": timeline.spot.close,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    days = hours.group_by_dynamic("ts", every="1d").agg(
        pl.col("settled").fill_nan(None).sum(), pl.col("close").first()
    )
    return days.with_columns(
        (pl.col("settled") - pl.col("settled").shift(1)).alias("change"),
        (pl.col("close").shift(-1) / pl.col("close")).log().alias("log_return"),
    ).drop_nulls(["change", "log_return"])


def test_rho_equals_numpy_on_the_thirty_days_before_each_midnight() -> None:
    days = daily_table(SMALL)
    found = funding_correlation(SMALL, window_days=30, prior_days=60.0)
    a, b = days["change"].to_numpy(), days["log_return"].to_numpy()
    for count in (30, 45, 80):
        midnight = int(days["ts"].dt.epoch("ms")[count - 1]) + DAY_MS
        row = int((midnight - START_MS) // 3_600_000)
        recent = np.corrcoef(a[count - 30 : count], b[count - 30 : count])[0, 1]
        long_run = np.corrcoef(a[:count], b[:count])[0, 1]
        np.testing.assert_allclose(found.raw[row], recent, atol=1e-12)
        np.testing.assert_allclose(found.shrunk[row], (recent + 2 * long_run) / 3, atol=1e-12)


def test_rho_stands_for_one_day_and_changes_at_midnight_only() -> None:
    found = funding_correlation(SMALL, window_days=30, prior_days=60.0)
    changed = np.flatnonzero(np.diff(found.raw[24 * 31 :]) != 0) + 24 * 31 + 1
    assert len(changed) > 50
    assert (SMALL.ts_ms[changed] % DAY_MS == 0).all()


def test_funding_that_rises_with_price_has_rho_one() -> None:
    midnights = np.arange(0, len(SMALL.ts_ms), 24)
    moves = np.diff(np.log(SMALL.spot.close[midnights]))
    settled = np.full((len(SMALL.ts_ms), 1), np.nan)
    # The day's sum of funding is the log price at the day's end: its change is the day's return.
    for day, level in enumerate(np.cumsum(moves)):
        settled[24 * day + np.array([0, 8, 16])] = level / 3
    aligned = dataclasses.replace(SMALL, funding_settled=settled)
    found = funding_correlation(aligned, window_days=30, prior_days=60.0)
    np.testing.assert_allclose(found.raw[24 * 40 :], 1.0, atol=1e-9)
    np.testing.assert_allclose(found.shrunk[24 * 40 :], 1.0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(ticks=st.integers(1, 24 * 90 - 1))
def test_rho_knows_nothing_of_the_day_that_is_running(ticks: int) -> None:
    whole = funding_correlation(SMALL, window_days=30, prior_days=60.0)
    early = funding_correlation(cut(SMALL, ticks), window_days=30, prior_days=60.0)
    assert early.raw.tobytes() == whole.raw[:ticks].tobytes()
    assert early.shrunk.tobytes() == whole.shrunk[:ticks].tobytes()


def test_a_day_without_its_midnight_close_is_left_out_of_the_estimate() -> None:
    close = SMALL.spot.close.copy()
    close[24 * 50] = np.nan
    gappy = dataclasses.replace(SMALL, spot=dataclasses.replace(SMALL.spot, close=close))
    _, _, log_return = daily_changes(gappy)
    assert list(np.flatnonzero(np.isnan(log_return))) == [49, 50]
    days = daily_table(SMALL).with_row_index("day", offset=1)
    kept = days.filter(pl.col("day").is_between(31, 60) & ~pl.col("day").is_in([49, 50]))
    expected = np.corrcoef(kept["change"].to_numpy(), kept["log_return"].to_numpy())[0, 1]
    found = funding_correlation(gappy, window_days=30, prior_days=60.0)
    np.testing.assert_allclose(found.raw[24 * 61], expected, atol=1e-12)


def test_a_clock_that_starts_at_noon_begins_with_the_first_whole_day() -> None:
    noon = random_timeline(24 * 20, start_ms=START_MS + DAY_MS // 2)
    rows, _, _ = daily_changes(noon)
    first = datetime.fromtimestamp(noon.ts_ms[rows[0]] / 1000, tz=UTC)
    assert (first.day, first.hour) == (3, 0)


def test_ten_days_are_the_least_that_give_a_correlation() -> None:
    found = funding_correlation(SMALL, window_days=30, prior_days=60.0)
    # The first day has no day before it to change from: ten changes end at midnight 11.
    assert np.isnan(found.raw[: 24 * 11]).all()
    assert np.isfinite(found.raw[24 * 11 :]).all()
