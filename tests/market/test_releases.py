"""A macro value is not used before the day it was printed."""

from datetime import UTC, date, datetime

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
        ("broad_usd_index", (2024, 6, 24), date(2024, 7, 2)),
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


@given(st.sampled_from(sorted(RELEASES)), st.integers(3_653, 25_000), st.integers(0, 40))
def test_no_series_is_known_within_two_days_and_order_is_kept(series, day, later):
    stamps = np.array([day, day + later]) * DAY_MS
    first, second = released_ms(series, stamps)
    assert first >= stamps[0] + 2 * DAY_MS
    assert second >= first
