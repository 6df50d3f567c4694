"""When a macro observation becomes public, series by series.

FRED stamps a value with the day it describes, not the day it appeared; joining on that stamp would
read tomorrow's newspaper. The lags here are conservative: late by hours, never early. Unusual
delays (a government shutdown) are not modelled; a source that knows better brings ``known_at``.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from counterpoise.units import DAY_MS

FIRST_HOLIDAY_YEAR, LAST_HOLIDAY_YEAR = 1990, 2060


@dataclass(frozen=True)
class Release:
    """How a macro series is published.

    Attributes
    ----------
    lag_business_days : int
        US business days from observation, or from the end of its week where ``week_ends`` is
        given, to the midnight (UTC) at which it is surely public.
    lag_days : int
        Calendar days, for series that are published monthly; exclusive with the above.
    stale_days : int
        Age after ``known_at`` beyond which the value says nothing about today.
    cadence : str
        ``business-daily``, ``weekly`` or ``monthly``.
    source : str
        The release this lag covers.
    week_ends : int or None
        Weekday (Monday is 0) of the last observation a weekly release holds; the days of that week
        all become known together. None where each observation is released by itself.
    """

    lag_business_days: int
    lag_days: int
    stale_days: int
    cadence: str
    source: str
    week_ends: int | None = None


MONDAY, SUNDAY = 0, 6

_H15 = Release(2, 0, 7, "business-daily", "Fed H.15, next business day 16:15 New York")
_CLOSE = Release(2, 0, 7, "business-daily", "market close, on FRED the next business day")

#: Every macro series the product can date, by column name.
RELEASES: dict[str, Release] = {
    "us10y_pct": _H15,
    "us2y_pct": _H15,
    "us30y_pct": _H15,
    "t10y2y_pct": _H15,
    "vix_close": _CLOSE,
    "sp500_close": _CLOSE,
    "us_hy_oas_pct": Release(2, 0, 7, "business-daily", "ICE BofA, next business day"),
    # Released on the first business day after the week at 16:15 New York, known at the midnight
    # that begins the second.
    "broad_usd_index": Release(
        2, 0, 14, "business-daily", "Fed H.10, Monday 16:15, or the next business day", SUNDAY
    ),
    # Released on Wednesday with the days up to Monday; on Thursday after a holiday from Monday on,
    # and by Friday when Christmas or New Year's Day is that Wednesday. The fourth business day
    # after that Monday begins after each of these.
    "wti_usd": Release(
        4, 0, 14, "business-daily", "EIA, Wednesday; one or two days later by holidays", MONDAY
    ),
    "fed_balance_sheet_weekly_musd": Release(2, 0, 14, "weekly", "Fed H.4.1, Thursday 16:30"),
    "on_rrp_busd": Release(2, 0, 7, "business-daily", "New York Fed, same day"),
    "fedfunds_monthly_pct": Release(0, 35, 100, "monthly", "Fed H.15, first days of next month"),
    "cpi_monthly": Release(0, 60, 100, "monthly", "BLS, mid next month; 50 days in 2014-02"),
    "m2_monthly_busd": Release(0, 60, 100, "monthly", "Fed H.6, fourth Tuesday of next month"),
}


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """Return the nth (from 1; -1 is the last) given weekday of a month."""
    if nth > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
    last = date(year, month + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def us_federal_holidays(year: int) -> list[date]:
    """US federal holidays of a year, as observed (5 U.S.C. 6103).

    Examples
    --------
    >>> us_federal_holidays(2025)[0].isoformat(), len(us_federal_holidays(2025))
    ('2025-01-01', 11)
    """
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    if year >= 2021:
        fixed.append(date(year, 6, 19))
    # A Sunday holiday is kept on Monday; a Saturday one closes Friday's government offices.
    observed = [day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed]
    floating = [
        _nth_weekday(year, 1, 0, 3),
        _nth_weekday(year, 2, 0, 3),
        _nth_weekday(year, 5, 0, -1),
        _nth_weekday(year, 9, 0, 1),
        _nth_weekday(year, 10, 0, 2),
        _nth_weekday(year, 11, 3, 4),
    ]
    return sorted(observed + floating)


#: Days on which the President closed federal agencies, beside the holidays of the law. Whether a
#: release came out on such a day is uncertain, so none is taken to have.
CLOSED_BY_ORDER = (
    date(2001, 12, 24),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2007, 12, 24),
    date(2008, 12, 26),
    date(2012, 12, 24),
    date(2014, 12, 26),
    date(2018, 12, 5),
    date(2018, 12, 24),
    date(2019, 12, 24),
    date(2020, 12, 24),
    date(2024, 12, 24),
    date(2025, 1, 9),
)

_HOLIDAYS = np.array(
    [
        day.isoformat()
        for year in range(FIRST_HOLIDAY_YEAR, LAST_HOLIDAY_YEAR + 1)
        for day in us_federal_holidays(year)
    ]
    + [day.isoformat() for day in CLOSED_BY_ORDER],
    dtype="datetime64[D]",
)


def released_ms(series: str, observed_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Moment (ms) from which an observation counts as known.

    Parameters
    ----------
    series : str
        A key of :data:`RELEASES`.
    observed_ms : int64 (N,)
        Observation stamps, midnight UTC of the day (or first day of the month) described.

    Returns
    -------
    int64 (N,)

    Examples
    --------
    Friday 2024-06-28 is published on Monday, and surely known at Tuesday 00:00 UTC:

    >>> friday = np.array([1719532800000])
    >>> np.datetime_as_string(released_ms("us10y_pct", friday).astype("datetime64[ms]"), unit="D")
    array(['2024-07-02'], dtype='<U28')

    The broad dollar index of Monday 2022-01-10 waits for the end of its week, and for the Tuesday
    after Martin Luther King's birthday:

    >>> monday = np.array([1641772800000])
    >>> known = released_ms("broad_usd_index", monday)
    >>> np.datetime_as_string(known.astype("datetime64[ms]"), unit="D")
    array(['2022-01-19'], dtype='<U28')
    """
    release = RELEASES[series]
    days = observed_ms.astype("datetime64[ms]").astype("datetime64[D]")
    if not release.lag_business_days:
        return observed_ms + release.lag_days * DAY_MS
    if release.week_ends is None:
        # Rolled forward first, so that a value stamped on a weekend waits for Monday's release.
        begin = np.busday_offset(days, 0, roll="forward", holidays=_HOLIDAYS)
    else:
        # 1970-01-01 was a Thursday. From a week's end that is no business day, count from the one
        # before it: the first business day after it is then the first after the week.
        weekday = (days.astype(np.int64) + 3) % 7
        week_end = days + (release.week_ends - weekday) % 7
        begin = np.busday_offset(week_end, 0, roll="backward", holidays=_HOLIDAYS)
    known = np.busday_offset(begin, release.lag_business_days, holidays=_HOLIDAYS)
    return np.asarray(known.astype("datetime64[ms]").astype(np.int64))
