"""FRED's files and ALFRED's first releases: dates, blanks, revisions, and a key nobody sees."""

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from counterpoise.cli import run_command
from counterpoise.endpoints import FredSource
from counterpoise.errors import FixConfig
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO
from counterpoise.market.releases import RELEASES, released_ms
from counterpoise.sources.contract import Request
from counterpoise.sources.fetch import fetch
from counterpoise.sources.fred import IDS, Fred
from counterpoise.units import DAY_MS, to_ms
from tests.sources.server import Answer, Fault, Server, json_answer, not_there

FIRST = date(2024, 1, 2)
NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
DATED = {"Date": "Fri, 15 Mar 2024 12:00:00 GMT"}
KEY = "abcdef0123456789abcdef0123456789"


def ms(day):
    """Return the midnight of a day."""
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


class Service:
    """Serves one series: a value a business day, blank on one holiday.

    Attributes
    ----------
    revised : dict of date to float
        Values that are told now; the first releases stay.
    """

    def __init__(self, name="us10y_pct"):
        self.id = IDS[name]
        self.revised = {}
        self.holiday = date(2024, 1, 15)
        days = [FIRST + timedelta(days=n) for n in range(70)]
        self.days = [day for day in days if day.weekday() < 5]

    def value(self, day):
        """Return the value of a day as text; a point where there is none."""
        return "." if day == self.holiday else f"{4 + day.toordinal() % 17 / 100:.2f}"

    def answer(self, asked):
        """Answer as FRED does, and as ALFRED does."""
        if asked.path == "/":
            return Answer(200, b"", DATED)
        if asked.path == "/graph/fredgraph.csv" and asked.query["id"] == self.id:
            first, last = asked.query["cosd"], asked.query["coed"]
            rows = [
                f"{day},{self.revised.get(day, self.value(day))}"
                for day in self.days
                if first <= str(day) <= last
            ]
            text = "\n".join([f"observation_date,{self.id}", *rows]) + "\n"
            return Answer(200, text.encode(), DATED)
        if asked.path == "/fred/series/observations":
            if asked.query["api_key"] != KEY:
                told = {"error_code": 400, "error_message": "Bad Request. api_key is not known."}
                return json_answer(told, 400)
            begin = int(asked.query["offset"])
            rows = [
                {
                    "realtime_start": str(day + timedelta(days=9)),
                    "realtime_end": "9999-12-31",
                    "date": str(day),
                    "value": self.value(day),
                }
                for day in self.days
            ]
            reply = json_answer({"observations": rows[begin : begin + int(asked.query["limit"])]})
            return Answer(200, reply.content, DATED)
        return not_there()


@pytest.fixture
def made(quick, monkeypatch):
    """Return a function that makes the source at an address, with or without a key."""

    def make(url, key=None):
        monkeypatch.delenv("FRED_API_KEY", raising=False)
        if key:
            monkeypatch.setenv("FRED_API_KEY", key)
        mine = FredSource(csv_url=url, api_url=url, requests_per_minute=100_000)
        return Fred(quick.model_copy(update={"fred": mine}))

    return make


def request(*names):
    """Return a request for series over the whole history."""
    return Request("US", names, "1h", ms(FIRST), 1 << 53)


def test_a_file_becomes_values_at_their_release(made, tmp_path):
    service, lake = Service(), Lake(tmp_path)
    with Server(service.answer) as server:
        report = fetch(lake, "fred", made(server.url), request("us10y_pct"), parallel=1)
    assert not report.refused
    table = lake.read_key(MACRO)
    there = [day for day in service.days if day != service.holiday]
    about = [ms(day) for day in there]
    assert table["ts"].dt.epoch("ms").to_list() == about
    assert table["value"].to_list() == [float(service.value(day)) for day in there]
    expected = released_ms("us10y_pct", table["ts"].dt.epoch("ms").to_numpy())
    assert table["known_at"].dt.epoch("ms").to_list() == expected.tolist()
    assert min(known - at for known, at in zip(expected, about, strict=True)) >= 2 * DAY_MS


def test_first_releases_are_known_when_they_were_out(made, tmp_path):
    service, lake = Service("cpi_monthly"), Lake(tmp_path)
    with Server(service.answer) as server:
        fetch(lake, "fred", made(server.url, KEY), request("cpi_monthly"), parallel=1)
    table = lake.read_key(MACRO)
    about = table["ts"].dt.epoch("ms").to_numpy()
    known = table["known_at"].dt.epoch("ms").to_numpy()
    assert (known == released_ms("cpi_monthly", about)).all()
    assert (known >= about + 11 * DAY_MS).all()


def test_a_release_later_than_the_rule_is_believed(made, tmp_path):
    """Nine days after the observation, where the rule of the series says two business days."""
    service, lake = Service("us10y_pct"), Lake(tmp_path)
    with Server(service.answer) as server:
        fetch(lake, "fred", made(server.url, KEY), request("us10y_pct"), parallel=1)
    table = lake.read_key(MACRO)
    late = (table["known_at"] - table["ts"]).dt.total_days()
    assert set(late) == {11}


def test_what_was_revised_keeps_the_value_of_the_first_day(made, tmp_path):
    service, lake = Service(), Lake(tmp_path)
    day = service.days[20]
    with Server(service.answer) as server:
        fetch(lake, "fred", made(server.url), request("us10y_pct"), parallel=1)
        before = lake.read_key(MACRO)
        service.revised[day] = "9.99"
        again = fetch(lake, "fred", made(server.url), request("us10y_pct"), parallel=1)
        assert [one.rows_revised for one in again.datasets] == [1]
        assert lake.read_key(MACRO).equals(before)
        fetch(lake, "fred", made(server.url), request("us10y_pct"), parallel=1, replace=True)
    after = lake.read_key(MACRO)
    assert after.filter(pl.col("ts").dt.date() == day)["value"].to_list() == [9.99]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>down</html>", "header"),
        (b"", "header"),
        (b"observation_date,DGS2\n2024-01-02,4.1\n", "header"),
        (b"observation_date,DGS10\n02/01/2024,4.1\n", "row 0"),
        (b"observation_date,DGS10\n2024-01-02,4.1,7\n", "row 0"),
        (b"observation_date,DGS10\n2024-01-02,x\n", "column value"),
        (b"observation_date,DGS10\n2024-01-03,4.1\n2024-01-02,4.2\n", "ts"),
        (b"observation_date,DGS10\n2024-01-02,4.1\n2024-01-02,4.2\n", "ts"),
        (b"observation_date,DGS10\n2034-01-02,4.1\n", "ts"),
        (b"\xff\xfe\x00", "whole file"),
    ],
)
def test_a_file_that_is_none_is_set_aside_with_its_place(made, tmp_path, content, told):
    service, lake = Service(), Lake(tmp_path)
    with Server(service.answer) as server:
        server.fault("/graph", Answer(200, content))
        names = request("us10y_pct")
        report = fetch(lake, "fred", made(server.url), names, parallel=1)
        assert [told in one.reason for one in report.refused] == [True], report.refused
        assert not lake.datasets()
        # The same window is read at the next fetch, and leaves quarantine.
        assert not fetch(lake, "fred", made(server.url), names, parallel=1).refused
    assert lake.read_key(MACRO).height == len(service.days) - 1


def test_a_series_it_does_not_have_does_not_stop_the_others(made, tmp_path):
    lake = Lake(tmp_path)
    with Server(Service().answer) as server:
        names = request("us2y_pct", "us10y_pct")
        report = fetch(lake, "fred", made(server.url), names, parallel=2)
    assert len(report.refused) == 1
    assert "status 404" in report.refused[0].reason
    assert "DGS2" in report.refused[0].reason
    assert set(lake.read_key(MACRO)["series"]) == {"us10y_pct"}


def test_an_unknown_key_is_refused_and_no_key_is_ever_printed(made, tmp_path, capsys, monkeypatch):
    with Server(Service().answer) as server:
        with pytest.raises(FixConfig, match="FRED_API_KEY") as refused:
            made(server.url, "f" * 32).download(
                made(server.url, "f" * 32).plan(request("us10y_pct"), to_ms(NOW))[0]
            )
        assert "f" * 32 not in str(refused.value)
        file = tmp_path / "counterpoise.toml"
        url = json.dumps(server.url)
        file.write_text(
            f"lake = {json.dumps(str(tmp_path / 'lake'))}\n[sources]\nattempts = 1\n"
            f"[sources.fred]\ncsv_url = {url}\napi_url = {url}\n"
        )
        monkeypatch.setenv("FRED_API_KEY", KEY)
        command = ["data", "fetch", "fred", "--kinds", "us10y_pct", "--config", str(file)]
        server.fault("/fred", Answer(500, f"failed for {KEY}".encode()))
        assert run_command(command) == 6
        server.fault("/fred", Fault("close"))
        assert run_command(command) == 6
        server.fault("/fred", Answer(404, f"no {KEY}".encode()))
        assert run_command(command) == 4
        assert run_command(command) == 0
    told = capsys.readouterr()
    assert KEY not in told.out + told.err
    for path in (tmp_path / "lake").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_every_series_the_product_dates_has_its_name_at_fred():
    assert set(IDS) == set(RELEASES)
