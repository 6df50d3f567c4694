"""The engine over real HTTP: what is stored, asked for, set aside, missing and told."""

import re
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterpoise.cli import run_command
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.manifest import writing
from counterpoise.sources.spool import load_left
from counterpoise.units import DAY_MS, HOUR_MS, MINUTE_MS, to_ms
from tests.sources.binance_server import EIGHT_HOURS, Venue, bar, settings_of, settlement, zipped
from tests.sources.server import Answer, Server


def ms(*date: int) -> int:
    return to_ms(datetime(*date, tzinfo=UTC))


NOW = ms(2024, 3, 5, 10) + 17 * MINUTE_MS
SPAN = ("--from", "2024-01-30", "--to", "2024-03-05T10:00")
WHOLE = ("--from", "2024-01-01", "--to", "2024-03-01")
MONTH = "ETHUSDT-1h-2024-02.zip"


class Everything(set[str]):
    """Names of all files there can be."""

    def __contains__(self, _: object) -> bool:
        return True


class Stage:
    """Venues behind one server, each under a path of its own, and a lake for each.

    Attributes
    ----------
    lake : Path
        Of the venue that was put up last.
    asked : list of str
        Paths that were asked of it.
    """

    def __init__(self, folder: Path, server: Server, number: int) -> None:
        self._server, self._folder = server, folder
        self._prefix = f"/venue{number}"
        self.lake = folder / "lake"
        self.asked: list[str] = []

    def put(self, venue, before=lambda path, number: None):
        """Put a venue up; ``before`` may answer instead, by path and number of the request."""

        def answer(asked):
            if not asked.path.startswith(f"{self._prefix}/"):
                return Answer(410)
            path = asked.path.removeprefix(self._prefix)
            self.asked.append(path)
            instead = before(path, len(self.asked))
            return instead or venue.answer(replace(asked, path=path))

        self._server.answer = answer
        self.asked.clear()

    def settings(self, *, attempts=1):
        """Return a settings file of the lake and the server."""
        file = self._folder / "settings.toml"
        text = settings_of(f"{self._server.url}{self._prefix}", str(self.lake))
        file.write_text(text.replace("attempts = 3", f"attempts = {attempts}"))
        return str(file)

    def fetch(self, kinds, *more, span=SPAN):
        """Exit code of the command."""
        words = ["data", "fetch", "binance", "--kinds", kinds, "--config", self.settings()]
        return run_command([*words, *span, *more])


def files(lake: Path) -> dict[str, bytes]:
    """Every file below a lake's folder."""
    return {
        str(path.relative_to(lake)): path.read_bytes()
        for path in sorted(lake.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def server():
    with Server(lambda _: Answer(500)) as one:
        yield one


@pytest.fixture
def stage(tmp_path, server):
    return Stage(tmp_path, server, time.monotonic_ns())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, server):
    """Files of a lake after a run in which nothing went wrong."""
    stage = Stage(tmp_path_factory.mktemp("plain"), server, 0)
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding") == 0
    return files(stage.lake)


def bars(kind, first, last):
    """Opening time and close of the bars of a span, as the venue has them."""
    return [(at, float(bar(kind, at, HOUR_MS)[4])) for at in range(first, last, HOUR_MS)]


def stored(lake, table="perp_bars", interval="1h"):
    """Opening time and close of the bars a lake has."""
    got = Lake(lake).read_key(DatasetKey(table, "binance", "ETHUSDT", interval))
    return list(zip(got["ts"].dt.epoch("ms").to_list(), got["close"].to_list(), strict=True))


@pytest.mark.parametrize("absent", [set(), Everything()])
def test_archive_and_rest_are_the_truth(stage, absent):
    stage.put(Venue(NOW + 90 * DAY_MS, absent=absent))
    span = ("--from", "2024-02-01", "--to", "2024-03-05")
    assert stage.fetch("klines,spot,mark,premium,funding", span=span) == 0
    for kind, table in (("klines", "perp"), ("spot", "spot"), ("mark", "mark")):
        expected = bars(kind, ms(2024, 2, 1), ms(2024, 3, 5))
        assert stored(stage.lake, f"{table}_bars") == expected
    funding = Lake(stage.lake).read_key(DatasetKey("funding", "binance", "ETHUSDT", "8h"))
    times = range(ms(2024, 2, 1), ms(2024, 4, 1), EIGHT_HOURS)
    assert funding["ts"].dt.epoch("ms").to_list() == list(times)
    assert funding["funding_rate"].to_list() == [float(settlement(at)[1]) for at in times]
    assert sorted(path.name for path in stage.lake.iterdir() if "=" not in path.name) == [
        "fetched.json",
        "manifest.json",
    ], "no download stays"


def test_what_was_fetched_is_not_asked_for_again(stage, capfd):
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding", span=WHOLE) == 0
    assert "The lake changed." in capfd.readouterr().out
    before = files(stage.lake)
    assert len([path for path in stage.asked if path.startswith("/data/")]) == 8
    stage.asked.clear()
    assert stage.fetch("klines,funding", span=WHOLE) == 0
    assert stage.asked == ["/fapi/v1/time", "/fapi/v1/exchangeInfo"]
    told = capfd.readouterr().out
    assert "4 units were fetched before." in told
    assert "Nothing new; the lake is as it was." in told
    assert files(stage.lake) == before


def test_without_the_ledger_everything_is_fetched_again_and_found_to_be_there(stage, capfd):
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding") == 0
    before = files(stage.lake)
    (stage.lake / "fetched.json").unlink()
    capfd.readouterr()
    assert stage.fetch("klines,funding") == 0
    assert "Nothing new; the lake is as it was." in capfd.readouterr().out
    assert files(stage.lake) == before


def test_the_newest_hours_are_asked_for_each_time_and_nothing_else(stage):
    venue = Venue(NOW)
    stage.put(venue)
    assert stage.fetch("klines", span=("--from", "2024-03-01")) == 0
    stage.asked.clear()
    venue.now_ms += 3 * HOUR_MS
    assert stage.fetch("klines", span=("--from", "2024-03-01")) == 0
    assert stage.asked == ["/fapi/v1/time", "/fapi/v1/exchangeInfo", "/fapi/v1/klines"]
    assert stored(stage.lake) == bars("klines", ms(2024, 3, 1), ms(2024, 3, 5, 13))


def test_a_month_that_is_not_published_yet_is_fetched_by_days(stage):
    stage.put(Venue(NOW, absent={MONTH}))
    assert stage.fetch("klines") == 0
    daily = [path for path in stage.asked if "/daily/" in path and path.endswith(".zip")]
    assert len([path for path in daily if "2024-02-" in path]) == 29
    assert stored(stage.lake) == bars("klines", ms(2024, 1, 30), ms(2024, 3, 5, 10))


def test_a_day_the_archive_lacks_is_asked_of_rest(stage):
    stage.put(Venue(NOW, absent={"ETHUSDT-1h-2024-03-02.zip"}))
    assert stage.fetch("klines") == 0
    assert stage.asked.count("/fapi/v1/klines") == 2
    assert stored(stage.lake) == bars("klines", ms(2024, 1, 30), ms(2024, 3, 5, 10))
    stage.asked.clear()
    assert stage.fetch("klines") == 0
    assert stage.asked.count("/fapi/v1/klines") == 1, "only the newest hours"


def test_a_month_that_will_never_be_published_is_asked_of_rest_at_once(stage):
    stage.put(Venue(NOW + 90 * DAY_MS, absent={MONTH}))
    assert stage.fetch("klines", span=WHOLE) == 0
    assert not [path for path in stage.asked if "/daily/" in path]
    assert stored(stage.lake) == bars("klines", ms(2024, 1, 1), ms(2024, 3, 1))


def test_a_day_nobody_has_is_reported_as_missing(stage, capfd):
    stage.put(Venue(NOW, absent={"ETHUSDT-metrics-2024-03-02.zip"}))
    assert stage.fetch("metrics", span=("--from", "2024-03-01", "--to", "2024-03-04")) == 0
    told = capfd.readouterr().out
    assert "missing at the source: " in told
    assert "from 2024-03-02 00:00 to 2024-03-03 00:05" in told
    metrics = Lake(stage.lake).read_key(DatasetKey("futures_metrics", "binance", "ETHUSDT", "5m"))
    day, five = 288 * 5 * MINUTE_MS, 5 * MINUTE_MS
    assert metrics["ts"].dt.epoch("ms").to_list() == [
        at + five
        for first in (ms(2024, 3, 1), ms(2024, 3, 3))
        for at in range(first, first + day, five)
    ]


def damaged(kind):
    """A venue whose file of February is bad in one way, and what the reason says."""
    venue = Venue(NOW)
    path = f"/data/futures/um/monthly/klines/ETHUSDT/1h/{MONTH}"
    good = venue._file(path)
    assert good is not None
    if kind == "checksum":
        venue.checksums[MONTH] = "0" * 64
        return venue, good, "which is published beside it"
    if kind == "truncated":
        venue.changed[MONTH] = good[:-100]
        return venue, good[:-100], "a zip of one file"
    rows = [bar("klines", at, HOUR_MS) for at in range(ms(2024, 2, 1), ms(2024, 3, 1), HOUR_MS)]
    change = {
        "another month": [bar("klines", row[0] - 31 * DAY_MS, HOUR_MS) for row in rows],
        "repeated": [*rows[:9], *rows[8:]],
        "in another order": [*rows[:9], rows[10], rows[9], *rows[11:]],
        "impossible": [*rows[:9], [*rows[9][:2], "1.00", *rows[9][3:]], *rows[10:]],
    }[kind]
    lines = [",".join(map(str, row)) for row in change]
    venue.changed[MONTH] = zipped(MONTH.replace("zip", "csv"), lines)
    says = {
        "another month": "row 0, column ts: .*within the unit's own span",
        "repeated": "rows 8 and 9, column ts",
        "in another order": "row 10",
        "impossible": "row 9, column high",
    }[kind]
    return venue, venue.changed[MONTH], says


@pytest.mark.parametrize(
    "kind",
    ["checksum", "truncated", "another month", "repeated", "in another order", "impossible"],
)
def test_a_bad_file_is_set_aside_with_its_reason_and_all_others_are_stored(
    stage, capfd, undisturbed, kind
):
    venue, content, says = damaged(kind)
    stage.put(venue)
    assert stage.fetch("klines,funding") == 4
    told = capfd.readouterr().out
    assert "set aside: " in told
    assert "1 units were refused; the rest is in the lake." in told
    path = stage.lake / "quarantine" / "binance" / "klines" / "ETHUSDT" / "1h" / "2024-02"
    assert path.read_bytes() == content
    reason = path.with_name("2024-02.reason.txt").read_text()
    assert re.search(says, reason)
    assert stored(stage.lake) == [
        *bars("klines", ms(2024, 1, 30), ms(2024, 2, 1)),
        *bars("klines", ms(2024, 3, 1), ms(2024, 3, 5, 10)),
    ]
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding") == 0
    assert files(stage.lake) == undisturbed


def test_a_file_published_anew_is_noticed_where_that_is_asked_for(stage, capfd):
    venue = Venue(NOW)
    stage.put(venue)
    assert stage.fetch("klines", span=WHOLE) == 0
    rows = [bar("klines", at, HOUR_MS) for at in range(ms(2024, 2, 1), ms(2024, 3, 1), HOUR_MS)]
    before = files(stage.lake)
    anew = zipped(MONTH.replace("zip", "csv"), [",".join(map(str, row)) for row in rows])
    venue.changed[MONTH] = anew
    stage.asked.clear()
    assert stage.fetch("klines", span=WHOLE) == 0
    assert stage.asked == ["/fapi/v1/time", "/fapi/v1/exchangeInfo"]
    capfd.readouterr()
    assert stage.fetch("klines", "--verify", span=WHOLE) == 0
    told = capfd.readouterr().out
    assert "binance/klines/ETHUSDT/1h/2024-02 was published anew" in told
    assert "2024-01 was" not in told
    after = files(stage.lake)
    assert {name for name in after if after[name] != before.get(name)} == {"fetched.json"}
    stage.asked.clear()
    assert stage.fetch("klines", "--verify", span=WHOLE) == 0
    assert [path[-16:] for path in stage.asked[2:]] == ["-01.zip.CHECKSUM", "-02.zip.CHECKSUM"]


def test_a_checksum_that_is_none_is_told_and_the_others_are_verified(stage, capfd):
    venue = Venue(NOW)
    stage.put(venue)
    assert stage.fetch("klines", span=WHOLE) == 0
    before = files(stage.lake)

    def garbled(path, _):
        return Answer(200, b"<html>") if path.endswith("2024-01.zip.CHECKSUM") else None

    stage.put(venue, garbled)
    assert stage.fetch("klines", "--verify", span=WHOLE) == 0
    told = capfd.readouterr().out
    assert "what was published anew is unknown: binance/klines/ETHUSDT/1h/2024-01" in told
    assert "2 units were fetched before." in told
    assert files(stage.lake) == before


@pytest.mark.parametrize("healed_by", ["the same file", "the month", "nobody"])
def test_a_day_that_was_left_is_noted_until_it_is_there(stage, healed_by):
    venue, lost = Venue(ms(2024, 3, 5, 10)), "ETHUSDT-1h-2024-03-02.zip"
    venue.checksums[lost] = "0" * 64
    stage.put(venue)
    span = ("--from", "2024-02-28", "--to", "2024-03-05")
    assert stage.fetch("klines,funding", span=span) == 4
    (name, left), *more = load_left(stage.lake).items()
    assert (name, more) == ("binance/klines/ETHUSDT/1h/2024-03-02", [])
    assert (left.first_ms, left.last_ms) == (ms(2024, 3, 2), ms(2024, 3, 3))
    if healed_by == "the month":
        stage.put(replace(venue, now_ms=ms(2024, 4, 3)))
        assert stage.fetch("klines", span=("--from", "2024-03-01", "--to", "2024-04-01")) == 0
    elif healed_by == "the same file":
        stage.put(Venue(venue.now_ms))
        assert stage.fetch("klines", span=span) == 0
    else:
        assert stage.fetch("klines", span=("--from", "2024-03-04", "--to", "2024-03-05")) == 0
    assert bool(load_left(stage.lake)) == (healed_by == "nobody")


def test_an_import_under_way_is_waited_for(stage, undisturbed, monkeypatch):
    stage.put(Venue(NOW))
    waits = []
    with ExitStack() as importing:
        importing.enter_context(writing(stage.lake))

        def wait(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                importing.close()

        monkeypatch.setattr("counterpoise.sources.fetch.sleep", wait)
        assert stage.fetch("klines,funding") == 0
        assert waits == [0.2, 0.5, 1.0]
    assert files(stage.lake) == undisturbed


def test_an_import_that_does_not_end_leaves_the_downloads_for_later(
    stage, undisturbed, monkeypatch, capfd
):
    stage.put(Venue(NOW))
    monkeypatch.setattr("counterpoise.sources.fetch.sleep", lambda _: None)
    with writing(stage.lake):
        assert stage.fetch("klines,funding") == 6
        assert "is being written by another process" in capfd.readouterr().err
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding") == 0
    assert not [path for path in stage.asked if "/2024-02-" in path], "nothing is downloaded twice"
    assert files(stage.lake) == undisturbed


def test_nothing_is_noted_of_a_dataset_without_a_row(stage):
    stage.put(Venue(NOW), lambda path, _: Answer(503) if path.startswith("/data/") else None)
    assert stage.fetch("klines", span=WHOLE) == 6
    assert not stage.lake.exists()


def test_new_values_under_an_old_name_are_refused_until_they_are_asked_for(stage, capfd):
    venue = Venue(NOW)
    stage.put(venue)
    assert stage.fetch("klines", span=WHOLE) == 0
    rows = [bar("klines", at, HOUR_MS) for at in range(ms(2024, 2, 1), ms(2024, 3, 1), HOUR_MS)]
    rows[5][4] = "2999.99"
    rows[5][3] = "2990.00"
    anew = zipped(MONTH.replace("zip", "csv"), [",".join(map(str, row)) for row in rows])
    venue.changed[MONTH] = anew
    old = stored(stage.lake)
    assert stage.fetch("klines", "--verify", span=WHOLE) == 4
    assert stored(stage.lake) == old
    assert (stage.lake / "quarantine/binance/klines/ETHUSDT/1h/2024-02").read_bytes() == anew
    assert stage.fetch("klines", "--verify", "--replace", span=WHOLE) == 0
    changed = [pair for pair in stored(stage.lake) if pair not in old]
    assert changed == [(ms(2024, 2, 1, 5), 2999.99)]
    assert not (stage.lake / "quarantine").exists()
    capfd.readouterr()


def test_a_clock_that_is_wrong_is_noted_and_that_of_the_venue_is_used(stage, capfd):
    stage.put(Venue(NOW))
    assert stage.fetch("klines", span=("--from", "2024-03-05")) == 0
    told = capfd.readouterr().out
    assert " s ahead of that of binance; the latter was used. Next: set the clock." in told
    assert stored(stage.lake)[-1][0] == ms(2024, 3, 5, 9), "the last complete hour of the venue"
    stage.put(Venue(round(time.time() * 1000)))
    day = datetime.fromtimestamp(time.time() - 86_400, UTC).date().isoformat()
    assert stage.fetch("klines", span=("--from", day)) == 0
    assert "this machine's clock" not in capfd.readouterr().out


def test_a_service_that_is_down_is_one_line_and_nothing_is_made(stage, capfd):
    stage.put(Venue(NOW), before=lambda *_: Answer(503))
    assert stage.fetch("klines") == 6
    told = capfd.readouterr()
    assert "/fapi/v1/time: status 503 (1 try). Next: run this again later" in told.err
    assert told.err.count("\n") == 1
    assert not stage.lake.exists()


@pytest.mark.parametrize("good", [4, 9])
def test_a_service_that_goes_down_leaves_what_came_before_and_a_list(
    stage, capfd, undisturbed, good
):
    stage.put(Venue(NOW), before=lambda _, number: Answer(500) if number > good else None)
    assert stage.fetch("klines,funding", "--parallel", "1") == 6
    told = capfd.readouterr().out
    assert "to be tried again: binance/klines/ETHUSDT/1h/" in told
    assert "not asked for: the source did not answer before" in told
    assert "units are left. Next: run this again later." in told
    assert len(stage.asked) < 20, "three in a row are enough to stop asking"
    whole = [(2024, 1, 31), (2024, 2, 1), (2024, 3, 1), (2024, 3, 2)]
    end = ms(*whole[(good - 2) // 2 - 1])
    assert stored(stage.lake) == bars("klines", ms(2024, 1, 30), end)
    stage.put(Venue(NOW))
    assert stage.fetch("klines,funding") == 0
    assert files(stage.lake) == undisturbed


def test_a_clock_that_does_not_answer_halfway_is_one_unit_to_be_tried_again(stage, capfd):
    def before(path, number):
        return Answer(500) if path == "/fapi/v1/time" and number > 1 else None

    stage.put(Venue(NOW, absent={MONTH}), before)
    assert stage.fetch("klines") == 6
    assert "to be tried again: binance/klines/ETHUSDT/1h/2024-02: " in capfd.readouterr().out
    assert stored(stage.lake) == [
        *bars("klines", ms(2024, 1, 30), ms(2024, 2, 1)),
        *bars("klines", ms(2024, 3, 1), ms(2024, 3, 5, 10)),
    ]


def test_a_lake_of_made_up_data_is_not_fetched_into(stage, generated_lake, capfd):
    stage.put(Venue(NOW))
    assert stage.fetch("klines", "--lake", str(generated_lake.path)) == 3
    assert "the two are never mixed" in capfd.readouterr().err
    assert stage.asked == []
