"""FRED's daily series as CSV; with a key, ALFRED's first releases with the day they came out.

A CSV file holds the values of today, revisions included, under the day they describe; when they are
taken to be known is the table of lags in ``market.releases``. With ``FRED_API_KEY`` in the
environment each value is the one published first, known from the day it was. The key is sent to the
service and appears nowhere else.
"""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType

import numpy as np
import polars as pl

from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.columns import TS
from counterpoise.market.layouts import MACRO
from counterpoise.market.releases import RELEASES, released_ms
from counterpoise.sources.contract import SOURCES, Read, Request, Unit
from counterpoise.sources.pages import AGAIN, documents, on_one_line, rows_of
from counterpoise.sources.transport import Reply, Transport
from counterpoise.units import DAY_MS, from_ms

KEY = "FRED_API_KEY"
#: FRED's name of each series.
IDS = {
    "us10y_pct": "DGS10",
    "us2y_pct": "DGS2",
    "us30y_pct": "DGS30",
    "t10y2y_pct": "T10Y2Y",
    "vix_close": "VIXCLS",
    "sp500_close": "SP500",
    "us_hy_oas_pct": "BAMLH0A0HYM2",
    "broad_usd_index": "DTWEXBGS",
    "wti_usd": "DCOILWTICO",
    "fed_balance_sheet_weekly_musd": "WALCL",
    "on_rrp_busd": "RRPONTSYD",
    "fedfunds_monthly_pct": "FEDFUNDS",
    "cpi_monthly": "CPIAUCSL",
    "m2_monthly_busd": "M2SL",
}
#: A release of a day in New York is surely public when the next day but one begins in UTC.
RELEASE_DAY_MS = 2 * DAY_MS
#: A first vintage so much later than the release is the beginning of the archive.
ARCHIVE_LATER_MS = 60 * DAY_MS
#: Rows ALFRED gives at once.
LIMIT = 100_000


class Fred:
    """The source ``fred``; parameters are the settings and, for tests, a transport."""

    kinds: Mapping[str, str] = MappingProxyType(
        {name: f"{IDS[name]}: {release.source}" for name, release in RELEASES.items()}
    )
    default_kinds = tuple(RELEASES)
    revises = True

    def __init__(self, settings: SourceSettings, transport: Transport | None = None) -> None:
        self._csv_url, self._api_url = settings.fred.csv_url, settings.fred.api_url
        self._key = os.environ.get(KEY, "").strip()
        per_minute = settings.fred.requests_per_minute
        self._csv = transport or Transport(
            settings, per_minute=per_minute, setting="sources.fred.csv_url"
        )
        self._api = transport or Transport(
            settings, per_minute=per_minute, setting="sources.fred.api_url", secret=True
        )

    def now_ms(self) -> int:
        """Return the service's time, by the date it puts on its replies."""
        url, transport = (self._api_url, self._api) if self._key else (self._csv_url, self._csv)
        told = transport.get(f"{url}/").date_ms
        if told is None:
            raise RejectData(url, "header Date", "nothing", "the time of the service", AGAIN)
        return told

    def plan(self, request: Request, now_ms: int) -> list[Unit]:
        """One window a series; values may still be revised, so none is final."""
        last = min(request.last_ms, now_ms) // DAY_MS * DAY_MS + DAY_MS
        first = request.first_ms // DAY_MS * DAY_MS
        how = "alfred" if self._key else "csv"
        span = f"{from_ms(first):%Y%m%d}-{from_ms(last):%Y%m%d}"
        return [
            Unit(f"fred/{how}/{name}/{span}", MACRO, first, last, final=False)
            for name in request.kinds
        ]

    def download(self, unit: Unit) -> bytes:
        """Return the CSV file, or the pages of first releases, of one series."""
        how, name = unit.name.split("/")[1:3]
        series = IDS[name]
        first, last = from_ms(unit.first_ms).date(), from_ms(unit.last_ms - 1).date()
        if how == "csv":
            params: dict[str, str | int] = {"id": series, "cosd": str(first), "coed": str(last)}
            reply = self._csv.get(f"{self._csv_url}/graph/fredgraph.csv", params)
            self._refuse(reply, name, unit)
            return reply.content
        lines: list[bytes] = []
        while True:
            params = {
                "series_id": series,
                "api_key": self._key,
                "file_type": "json",
                # The first release of each observation.
                "output_type": 4,
                "observation_start": str(first),
                "observation_end": str(last),
                "realtime_start": "1776-07-04",
                "realtime_end": "9999-12-31",
                "limit": LIMIT,
                "offset": LIMIT * len(lines),
            }
            reply = self._api.get(f"{self._api_url}/fred/series/observations", params)
            self._refuse(reply, name, unit)
            rows = rows_of(reply.json(unit.name), "observations", ["date"], unit.name)
            lines.append(on_one_line(reply.content))
            if len(rows) < LIMIT:
                return b"\n".join(lines)

    def _refuse(self, reply: Reply, name: str, unit: Unit) -> None:
        if reply.status == 200:
            return
        told = reply.content[:200].decode("utf-8", "replace").replace(self._key or "\0", "(key)")
        if reply.status in (400, 403) and "api_key" in told:
            raise FixConfig(KEY, "(not shown)", "a key that ALFRED knows", f"mend or unset {KEY}")
        expected = f"the series {IDS[name]}"
        raise RejectData(unit.name, f"status {reply.status}", told[:80], expected, AGAIN)

    def instead(self, unit: Unit) -> Sequence[Unit]:
        """Nothing: FRED is all there is."""
        return ()

    def published(self, unit: Unit) -> None:
        """Nothing: FRED publishes no checksums."""

    def read(self, unit: Unit, content: bytes) -> Read:
        """One row per observation; holidays' blanks are none."""
        how, name = unit.name.split("/")[1:3]
        if how == "csv":
            return Read(_read_csv(content, name, unit.name))
        return Read(_read_first_releases(content, name, unit.name))


def _read_csv(content: bytes, name: str, unit: str) -> pl.DataFrame:
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as broken:
        raise RejectData(unit, "whole file", str(broken), "a CSV file", AGAIN) from None
    expected = ["observation_date", IDS[name]]
    if not rows or [rows[0][0] if rows[0] else "", *rows[0][1:]] not in (
        expected,
        ["DATE", IDS[name]],
    ):
        shown = ",".join(rows[0])[:80] if rows else ""
        raise RejectData(unit, "header", shown, ",".join(expected), AGAIN)
    found: list[tuple[int, str]] = []
    for number, row in enumerate(rows[1:]):
        if len(row) != 2:
            raise RejectData(unit, f"row {number}", ",".join(row), "a date and a value", AGAIN)
        if row[1].strip() not in ("", "."):
            found.append((_day_ms(row[0], unit, f"row {number}"), row[1]))
    return pl.DataFrame(
        {
            "ts": [at for at, _ in found],
            "series": [name] * len(found),
            "value": [value for _, value in found],
        },
        schema={"ts": pl.Int64, "series": pl.String, "value": pl.String},
    )


def _read_first_releases(content: bytes, name: str, unit: str) -> pl.DataFrame:
    found: list[tuple[int, str, int]] = []
    for page in documents(content, unit):
        for row in rows_of(page, "observations", ["date", "value", "realtime_start"], unit):
            if str(row["value"]).strip() in ("", "."):
                continue
            place = f"observation {row['date']}"
            at = _day_ms(row["date"], unit, place)
            out = _day_ms(row["realtime_start"], unit, place)
            found.append((at, str(row["value"]), out + RELEASE_DAY_MS))
    about = np.array([at for at, _, _ in found], np.int64)
    # A vintage is the day FRED had it; the rule of lags is never later than it is safe to be.
    rule = released_ms(name, about)
    vintage = np.array([out for _, _, out in found], np.int64)
    known = np.maximum(rule, vintage)
    if RELEASES[name].cadence == "business-daily":
        # Prices of a market are not revised: such a late vintage is when ALFRED began to keep it.
        known = np.where(vintage - rule > ARCHIVE_LATER_MS, rule, known)
    table = pl.DataFrame(
        {"ts": about, "series": [name] * len(found), "value": [value for _, value, _ in found]},
        schema={"ts": pl.Int64, "series": pl.String, "value": pl.String},
    )
    return table.with_columns(pl.Series("known_at", known).cast(TS))


def _day_ms(text: object, unit: str, place: str) -> int:
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        raise RejectData(unit, place, text, "a date such as 2024-01-31", AGAIN) from None
    return (
        round((datetime(day.year, day.month, day.day) - datetime(1970, 1, 1)).total_seconds())
        * 1000
    )


_make: Callable[[SourceSettings], Fred] = Fred
SOURCES.add("fred", _make)
