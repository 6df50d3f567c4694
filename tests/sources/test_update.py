"""One command brings every feed up to now, and one that fails does not stop the others."""

import json
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from counterpoise.cli import run_command
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.units import DAY_MS, HOUR_MS, from_ms
from tests.sources.binance_server import Venue, settings_of
from tests.sources.server import Answer, Server

PERP = DatasetKey("perp_bars", "binance", "ETHUSDT", "1h")
#: The second table of spot bars.
BTC = "spot_bars binance BTCUSDT 1h"
MARKET = ("spot_bars", BTC, "perp_bars", "mark_bars", "premium_bars", "funding")


@pytest.fixture
def venue():
    """Return a venue that is about now and was listed nine days ago."""
    now = round(time.time() * 1000)
    return Venue(now_ms=now, first_ms=(now - 9 * DAY_MS) // DAY_MS * DAY_MS)


@pytest.fixture
def closed():
    """Return a server that answers nothing but 503."""
    with Server(lambda asked: Answer(503, b"down")) as server:
        yield server


@pytest.fixture
def fred():
    """Return a server that has a value of every series for each day of a week but weekends."""

    def answer(asked):
        if asked.path == "/":
            return Answer(200)
        first, last = (date.fromisoformat(asked.query[name]) for name in ("cosd", "coed"))
        days = [first + timedelta(days=n) for n in range((last - first).days)]
        rows = [f"{day},{4 + day.toordinal() % 17 / 100:.2f}" for day in days if day.weekday() < 5]
        text = "\n".join([f"observation_date,{asked.query['id']}", *rows]) + "\n"
        return Answer(200, text.encode())

    with Server(answer) as server:
        yield server


def written(tmp_path, venue_url, fred_url):
    """Return a settings file that points at the two servers."""
    file = tmp_path / "counterpoise.toml"
    fred = json.dumps(fred_url)
    text = settings_of(venue_url, str(tmp_path / "lake")).replace("attempts = 3", "attempts = 1")
    file.write_text(
        f"{text}[sources.fred]\ncsv_url = {fred}\napi_url = {fred}\n"
        "requests_per_minute = 100000.0\n"
    )
    return file


def standing(file, capsys, *more):
    """Run the command; its exit code, and what it says of each dataset, by table or :data:`BTC`."""
    code = run_command(["update", "--config", str(file), "--json", *more])
    told = json.loads(capsys.readouterr().out)
    named = [one["dataset"] for one in told]
    keys = [name if name == BTC else name.split()[0] for name in named]
    assert len(set(keys)) == len(keys)
    return code, dict(zip(keys, told, strict=True))


def test_everything_that_answers_is_fresh_and_what_does_not_is_named(
    tmp_path, capsys, venue, closed
):
    with venue.server() as server:
        file = written(tmp_path, server.url, closed.url)
        code, first = standing(file, capsys)
        assert code == 6
        for table in MARKET:
            assert first[table]["fresh"], first[table]
            assert first[table]["rows_new"] > 0
        assert first["events"]["fresh"]
        macro = first["macro_daily"]
        assert not macro["fresh"]
        assert "status 503" in macro["reason"]
        assert "sources.fred.csv_url" in macro["reason"]
        asked = len(server.asked)
        code, second = standing(file, capsys)
        assert {second[table]["rows_new"] for table in MARKET} == {0}
        # A clock, a listing and a tail of each feed: nothing of the past is asked for again.
        assert len(server.asked) - asked <= 8 * len(MARKET)


def test_an_update_goes_on_from_the_newest_row(tmp_path, capsys, venue, closed):
    with venue.server() as server:
        file = written(tmp_path, server.url, closed.url)
        earlier, venue.now_ms = venue.now_ms, venue.now_ms - 3 * DAY_MS
        standing(file, capsys)
        venue.now_ms = earlier
        _, told = standing(file, capsys)
    lake = Lake(Path(tmp_path / "lake"))
    stamps = lake.read_key(PERP)["ts"].dt.epoch("ms").to_list()
    assert stamps == list(range(venue.first_ms, earlier // HOUR_MS * HOUR_MS, HOUR_MS))
    assert told["perp_bars"]["rows_new"] == 72


def without(venue, name, answer):
    """Answer as a venue does, but for files of a name."""

    def answered(asked):
        return answer if name in asked.path else venue.answer(asked)

    return answered


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (Answer(503, b"down"), 6, "status 503"),
        (Answer(200, b"0" * 64 + b"  other.zip"), 4, "64 hexadecimal digits and ETHUSDT-1h-"),
    ],
)
def test_a_hole_behind_the_newest_row_is_told_and_filled_next_time(
    tmp_path, capsys, venue, fred, answer, code, says
):
    with venue.server() as server:
        file = written(tmp_path, server.url, fred.url)
        lost = f"{from_ms(venue.first_ms + 2 * DAY_MS):%Y-%m-%d}"
        server.answer = without(venue, f"um/daily/klines/ETHUSDT/1h/ETHUSDT-1h-{lost}", answer)
        for _ in range(2):
            got, told = standing(file, capsys)
            assert got == code
            perp = told["perp_bars"]
            assert perp["fresh"]
            assert perp["refused" if code == 4 else "later"]
            assert says in perp["reason"]
        assert run_command(["update", "--config", str(file)]) == code
        out = capsys.readouterr().out
        assert "INCOMPLETE" in out
        assert "1 of 10 feeds are fresh but lack older rows" in out
        server.answer = venue.answer
        got, told = standing(file, capsys)
        assert (got, told["perp_bars"]["rows_new"]) == (0, 24)
        # A release that its table of lags puts into the future is not known yet.
        assert max(one["newest_known_ms"] or 0 for one in told.values()) <= time.time() * 1000
        asked = len(server.asked)
        assert standing(file, capsys)[0] == 0
        assert not [one for one in server.paths()[asked:] if lost in one]
    stamps = Lake(tmp_path / "lake").read_key(PERP)["ts"].dt.epoch("ms").to_list()
    assert stamps == list(range(venue.first_ms, venue.now_ms // HOUR_MS * HOUR_MS, HOUR_MS))
    assert not (tmp_path / "lake" / "unfetched.json").exists()


def test_a_venue_that_stopped_is_not_fresh(tmp_path, capsys, venue, closed):
    venue.now_ms -= 5 * DAY_MS
    with venue.server() as server:
        code, told = standing(written(tmp_path, server.url, closed.url), capsys)
    assert code == 6
    assert not told["perp_bars"]["fresh"]
    assert told["perp_bars"]["reason"].startswith("the source has nothing after 20")


def test_the_table_ends_with_what_is_not_fresh(tmp_path, capsys, venue, closed):
    with venue.server() as server:
        file = written(tmp_path, server.url, closed.url)
        assert run_command(["update", "--config", str(file)]) == 6
    out = capsys.readouterr().out
    assert "perp_bars binance ETHUSDT 1h" in out
    assert "NOT FRESH" in out
    assert "sources.ethereum.beacon_url" in out
    assert "feeds are not fresh. Next: see the reasons above." in out


def test_a_refused_file_is_told_and_exits_as_refused(tmp_path, capsys, venue, closed):
    with venue.server() as server:
        name = next(
            path.rpartition("/")[2]
            for path in _archive_files(server, tmp_path, capsys, closed)
            if "-1h-" in path and "klines" in path
        )
        venue.checksums[name] = "0" * 64
        file = written(tmp_path / "again", server.url, closed.url)
        code, told = standing(file, capsys)
    assert code == 4
    assert told["perp_bars"]["refused"] or told["spot_bars"]["refused"]


def _archive_files(server, tmp_path, capsys, closed):
    """Names of the archive's files that an update of an empty lake takes."""
    (tmp_path / "again").mkdir()
    (tmp_path / "probe").mkdir()
    standing(written(tmp_path / "probe", server.url, closed.url), capsys)
    return [path for path in server.paths() if path.endswith(".zip")]
