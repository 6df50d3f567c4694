"""A macro value is not used before the day it was printed."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.market.releases import RELEASES, released_ms, us_federal_holidays
from counterpoise.units import DAY_MS, from_ms, to_ms


def known(series, *day):
    return from_ms(
        int(released_ms(series, np.array([to_ms(datetime(*day, tzinfo=UTC))]))[0])
    ).date()


@pytest.mark.parametrize(
    ("series", "observed", "expected"),
    [
        ("us10y_pct", (2024, 6, 24), date(2024, 6, 26)),  # Monday: H.15 prints on Tuesday
        ("us10y_pct", (2024, 6, 28), date(2024, 7, 2)),  # Friday: prints on Monday
        (
            "vix_close",
            (2024, 7, 3),
            date(2024, 7, 8),
        ),  # the day before Independence Day, a Thursday
        ("us10y_pct", (2024, 8, 30), date(2024, 9, 4)),  # Friday before Labor Day
        ("broad_usd_index", (2024, 6, 24), date(2024, 7, 2)),  # Monday: printed a week later
        ("broad_usd_index", (2024, 6, 28), date(2024, 7, 2)),  # Friday: printed with it
        ("broad_usd_index", (2022, 1, 10), date(2022, 1, 19)),  # the Monday after is a holiday
        ("broad_usd_index", (2022, 1, 14), date(2022, 1, 19)),
        ("broad_usd_index", (2018, 12, 17), date(2018, 12, 27)),  # Monday and Tuesday closed
        ("broad_usd_index", (2024, 3, 25), date(2024, 4, 2)),  # Good Friday is no holiday here
        ("wti_usd", (2024, 6, 24), date(2024, 6, 28)),  # Monday: printed on Wednesday
        ("wti_usd", (2024, 6, 25), date(2024, 7, 8)),  # Tuesday: next week's, 4 July within
        ("wti_usd", (2024, 6, 28), date(2024, 7, 8)),
        ("wti_usd", (2019, 12, 23), date(2019, 12, 31)),  # closed on the 24th and 25th
        ("fedfunds_monthly_pct", (2024, 6, 1), date(2024, 7, 6)),
        ("fed_balance_sheet_weekly_musd", (2024, 6, 26), date(2024, 6, 28)),
    ],
)
def test_values_wait_for_their_release(series, observed, expected):
    assert known(series, *observed) == expected


@pytest.mark.parametrize(
    ("observed", "printed"),
    [
        # Consumer price releases that came late (BLS schedule): month described, day printed.
        ((2014, 1, 1), date(2014, 2, 20)),
        ((2013, 12, 1), date(2014, 1, 16)),
        ((2020, 1, 1), date(2020, 2, 13)),
    ],
)
def test_consumer_prices_wait_even_for_late_prints(observed, printed):
    assert known("cpi_monthly", *observed) > printed


def test_holidays_of_a_year_that_has_every_rule():
    assert us_federal_holidays(2021) == [
        date(2021, 1, 1),
        date(2021, 1, 18),
        date(2021, 2, 15),
        date(2021, 5, 31),
        date(2021, 6, 18),
        date(2021, 7, 5),
        date(2021, 9, 6),
        date(2021, 10, 11),
        date(2021, 11, 11),
        date(2021, 11, 25),
        date(2021, 12, 24),
    ]


#: Mondays from 2015 to 2025 on which federal offices were closed, from the published calendars.
CLOSED_MONDAYS = {
    *("2015-01-19", "2015-02-16", "2015-05-25", "2015-09-07", "2015-10-12"),
    *("2016-01-18", "2016-02-15", "2016-05-30", "2016-07-04", "2016-09-05", "2016-10-10"),
    *("2016-12-26", "2017-01-02", "2017-01-16", "2017-02-20", "2017-05-29", "2017-09-04"),
    *("2017-10-09", "2017-12-25", "2018-01-01", "2018-01-15", "2018-02-19", "2018-05-28"),
    *("2018-09-03", "2018-10-08", "2018-11-12", "2018-12-24", "2019-01-21", "2019-02-18"),
    *("2019-05-27", "2019-09-02", "2019-10-14", "2019-11-11", "2020-01-20", "2020-02-17"),
    *("2020-05-25", "2020-09-07", "2020-10-12", "2021-01-18", "2021-02-15", "2021-05-31"),
    *("2021-07-05", "2021-09-06", "2021-10-11", "2022-01-17", "2022-02-21", "2022-05-30"),
    *("2022-06-20", "2022-07-04", "2022-09-05", "2022-10-10", "2022-12-26", "2023-01-02"),
    *("2023-01-16", "2023-02-20", "2023-05-29", "2023-06-19", "2023-09-04", "2023-10-09"),
    *("2023-12-25", "2024-01-01", "2024-01-15", "2024-02-19", "2024-05-27", "2024-09-02"),
    *("2024-10-14", "2024-11-11", "2025-01-20", "2025-02-17", "2025-05-26", "2025-09-01"),
    *("2025-10-13",),
}
#: Tuesdays and Wednesdays of the same years that were holidays.
CLOSED_MIDWEEK = {
    *("2015-11-11", "2018-07-04", "2018-12-25", "2019-01-01", "2019-12-25", "2020-01-01"),
    *("2020-11-11", "2023-07-04", "2024-06-19", "2024-12-25", "2025-01-01", "2025-11-11"),
}
NEW_YORK = ZoneInfo("America/New_York")
DECADE = [
    day for day in (date(2015, 1, 1) + timedelta(days=n) for n in range(3_998)) if day.weekday() < 5
]


def released_at(series, observed):
    midnight = datetime.combine(observed, time(), UTC)
    return from_ms(int(released_ms(series, np.array([to_ms(midnight)]))[0]))


def printed_by_the_fed(observed):
    day = observed + timedelta(days=7 - observed.weekday())
    if day.isoformat() in CLOSED_MONDAYS:
        day += timedelta(days=1)
    if day.isoformat() in CLOSED_MIDWEEK:
        day += timedelta(days=1)
    return datetime.combine(day, time(16, 15), NEW_YORK)


def printed_by_the_energy_agency(observed):
    """On Wednesday; a day later after a closed Monday; by Friday after later holidays."""
    monday = observed + timedelta(days=-observed.weekday() % 7)
    tuesday, wednesday = monday + timedelta(days=1), monday + timedelta(days=2)
    late = 1 if monday.isoformat() in CLOSED_MONDAYS else 0
    # So on the Fridays 2019-01-04, 2019-12-27 and 2020-01-03.
    if {tuesday.isoformat(), wednesday.isoformat()} & CLOSED_MIDWEEK:
        late = 2
    return datetime.combine(wednesday + timedelta(days=late), time(13), NEW_YORK)


@pytest.mark.parametrize(
    ("series", "printed"),
    [("broad_usd_index", printed_by_the_fed), ("wti_usd", printed_by_the_energy_agency)],
)
def test_no_weekly_value_of_a_decade_is_known_before_it_was_printed(series, printed):
    early = [day for day in DECADE if released_at(series, day) <= printed(day)]
    assert early == []


def test_every_closed_monday_of_a_decade_delays_the_dollar_index():
    ordinary = timedelta(days=4)  # from Friday to the Tuesday after
    for closed in map(date.fromisoformat, sorted(CLOSED_MONDAYS)):
        friday = closed - timedelta(days=3)
        assert released_at("broad_usd_index", friday).date() > friday + ordinary


@pytest.mark.parametrize("series", ["broad_usd_index", "wti_usd"])
def test_a_weekly_value_lives_until_the_next_release_replaces_it(series):
    days = np.arange("2015-01-01", "2025-12-12", dtype="datetime64[D]")
    known = released_ms(series, days.astype("datetime64[ms]").astype(np.int64))
    assert np.all(np.diff(known) >= 0)
    assert np.diff(known).max() <= RELEASES[series].stale_days * DAY_MS


@given(st.sampled_from(sorted(RELEASES)), st.integers(3_653, 25_000), st.integers(0, 40))
def test_no_series_is_known_within_two_days_and_order_is_kept(series, day, later):
    stamps = np.array([day, day + later]) * DAY_MS
    first, second = released_ms(series, stamps)
    assert first >= stamps[0] + 2 * DAY_MS
    assert second >= first
