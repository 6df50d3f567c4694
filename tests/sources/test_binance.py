"""Binance's archive and REST against the truth that its server was made from."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.endpoints import BinanceSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData, RetryLater
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.sources.binance import Binance
from counterpoise.sources.binance_units import Where
from counterpoise.sources.contract import RefusedContent, Request, Unit
from counterpoise.sources.fetch import fetch
from counterpoise.sources.transport import Reply, Transport
from counterpoise.units import DAY_MS, HOUR_MS, MINUTE_MS, to_ms
from tests.sources.binance_server import EIGHT_HOURS, Venue, bar, settlement, zipped
from tests.sources.server import Answer, Asked, Server, json_answer

BARS = {"klines": "perp_bars", "spot": "spot_bars", "mark": "mark_bars", "premium": "premium_bars"}


def ms(*date: int) -> int:
    return to_ms(datetime(*date, tzinfo=UTC))


NOW = ms(2024, 3, 5, 10) + 17 * MINUTE_MS
BEGIN, MARCH = ms(2024, 1, 30), ms(2024, 3, 1)


class Direct(Transport):
    """The transport without its sockets, where only what is asked for matters."""

    venue: Venue

    def _once(self, method, url, params, body):
        query = {name: str(value) for name, value in params.items()}
        got = self.venue.answer(Asked(method, urlsplit(url).path, query, {}, b""))
        return Reply(got.status, {}, got.content)


@pytest.fixture(scope="module")
def running():
    with Server(lambda _: Answer(500)) as one:
        yield one


@pytest.fixture
def stand(running):
    """Put a venue or a script behind the server, and return the source that asks it."""

    def put(answer, attempts=1):
        running.answer = getattr(answer, "answer", answer)
        running.asked.clear()
        made = SourceSettings(
            attempts=attempts,
            timeout_s=5.0,
            binance=BinanceSource(
                archive_url=running.url, futures_url=running.url, spot_url=running.url
            ),
        )
        return Binance(
            made, Transport(made, per_minute=1e9, setting="sources.binance", sleep=lambda _: None)
        )

    yield put
    running._faults.clear()


def request(*kinds, first=BEGIN, last=NOW, interval="1h"):
    return Request("ETHUSDT", kinds, interval, first, last)


def table_of(source, one, now=NOW):
    """Rows of a request, unit by unit, with no engine."""
    found = []
    waiting = list(source.plan(one, now))
    while waiting:
        unit = waiting.pop(0)
        content = source.download(unit)
        if content is None:
            waiting = [*source.instead(unit), *waiting]
        else:
            found += source.read(unit, content).table.rows()
    return found


def truth(kind, first, last, step=HOUR_MS):
    """Bars as the lake has them, from the function the server was made from."""
    kept = [1, 2, 3, 4] if kind in ("mark", "premium") else [1, 2, 3, 4, 5, 7, 8, 9, 10]
    rows = [bar(kind, at, step) for at in range(first, last, step)]
    return [(row[0], *(str(row[at]) for at in kept)) for row in rows]


@pytest.mark.parametrize("kind", BARS)
@pytest.mark.parametrize("headed", [True, False])
def test_months_days_and_today_are_the_truth(stand, kind, headed):
    source = stand(Venue(NOW, headed=headed))
    units = source.plan(request(kind), NOW)
    dates = [unit.name.rpartition("/")[2] for unit in units]
    assert dates == [
        "2024-01-30",
        "2024-01-31",
        "2024-02",
        *[f"2024-03-0{day}" for day in range(1, 5)],
        "rest-20240305T000000-20240305T100000",
    ]
    assert [unit.final for unit in units] == [True] * 7 + [False]
    for before, after in pairwise(units):
        assert before.last_ms == after.first_ms
    assert table_of(source, request(kind)) == truth(kind, ms(2024, 1, 30), ms(2024, 3, 5, 10))


def test_microseconds_of_newer_spot_files_are_the_same_hours(stand):
    now = ms(2025, 2, 3)
    source = stand(Venue(now))
    one = request("spot", first=ms(2024, 12, 1), last=ms(2025, 2, 1))
    assert table_of(source, one, now) == truth("spot", ms(2024, 12, 1), ms(2025, 2, 1))


@pytest.mark.parametrize("absent", [set(), {"ETHUSDT-fundingRate-2024-02.zip"}])
def test_settlements_of_the_archive_and_of_rest_are_the_truth(stand, absent):
    source = stand(Venue(NOW, absent=absent))
    one = request("funding", first=ms(2024, 2, 3))
    assert source.plan(one, NOW)[0].name.endswith("2024-02"), "months only, so from its start"
    rows = table_of(source, one)
    assert [row[:2] for row in rows] == [
        (at, settlement(at)[1]) for at in range(ms(2024, 2, 1), NOW, EIGHT_HOURS)
    ]


DIRECT = Direct(SourceSettings(attempts=1), per_minute=1e12, setting="sources.binance")


@settings(max_examples=6)
@given(
    cuts=st.lists(st.integers(1, 9 * 24), max_size=4, unique=True),
    page_rows=st.sampled_from([2, 7, 24, 1500]),
    absent=st.sets(st.sampled_from(["03-01", "03-02", "02-28", "02"])),
    kind=st.sampled_from(["klines", "spot", "funding"]),
)
def test_any_split_of_a_span_into_requests_gives_the_same_table(
    tmp_path_factory, cuts, page_rows, absent, kind
):
    names = {f"ETHUSDT-{what}-2024-{date}.zip" for date in absent for what in ("1h", "fundingRate")}
    first, last = ms(2024, 2, 25), ms(2024, 3, 5)
    edges = [first, *sorted(first + cut * HOUR_MS for cut in cuts if cut < 9 * 24), last]
    source = Binance(SourceSettings(), DIRECT)
    lakes = []
    for bounds, venue in (
        ([(first, last)], Venue(NOW)),
        (list(pairwise(edges)), Venue(NOW, page_rows=page_rows, absent=names)),
    ):
        lake = Lake(tmp_path_factory.mktemp("lake"))
        DIRECT.venue = venue
        for begin, end in bounds:
            report = fetch(
                lake, "binance", source, request(kind, first=begin, last=end), parallel=2
            )
            assert (report.refused, report.later, report.missing) == ([], [], [])
        (key,) = lake.datasets()
        # The archive knows the interval of a settlement and REST its mark price.
        known = ["ts", "funding_rate"] if kind == "funding" else lake.read_key(key).columns
        lakes.append(lake.read_span(key, first, last).select(known))
    assert lakes[0].height > 0
    assert lakes[1].equals(lakes[0])


@pytest.mark.parametrize("page_rows", [2, 3, 50])
def test_pages_of_settlements_overlap_by_one_stamp_and_none_is_lost(page_rows):
    DIRECT.venue = Venue(NOW, page_rows=page_rows, absent={"ETHUSDT-fundingRate-2024-02.zip"})
    source = Binance(SourceSettings(), DIRECT)
    rows = table_of(source, request("funding", first=ms(2024, 2, 1)))
    assert [row[0] for row in rows] == list(range(ms(2024, 2, 1), NOW, EIGHT_HOURS))


@pytest.mark.parametrize("kind", ["klines", "funding"])
def test_a_page_that_comes_again_for_ever_comes_to_an_end(stand, running, kind):
    venue = Venue(NOW)
    rows = {
        "/fapi/v1/klines": [bar("klines", ms(2024, 3, 5) + n * HOUR_MS, HOUR_MS) for n in range(3)],
        "/fapi/v1/fundingRate": venue._settlements(ms(2024, 3, 1), ms(2024, 3, 2)),
    }

    def stuck(asked):
        return json_answer(rows[asked.path]) if asked.path in rows else venue.answer(asked)

    source = stand(stuck)
    unit = source.plan(request(kind), NOW)[-1]
    content = source.download(unit)
    assert 2 <= len(content.splitlines()) <= 3
    assert running.paths().count(next(path for path in rows if kind[:4] in path)) <= 3


def window(kind="klines"):
    key = DatasetKey(BARS.get(kind, "funding"), "binance", "ETHUSDT", "1h")
    return Unit(f"binance/{kind}/ETHUSDT/1h/rest-a-b", key, ms(2024, 3, 5), NOW, final=False)


@pytest.mark.parametrize("body", [b'{"code": 0}', b"5", b"null", b'"text"'])
def test_an_answer_that_is_no_list_is_refused_with_its_bytes(stand, body):
    with pytest.raises(RefusedContent, match="a JSON list") as refused:
        stand(lambda _: Answer(200, body)).download(window())
    assert refused.value.content == body


@pytest.mark.parametrize("row", ["x", [], ["x"], {}, None, [None], [float("inf")], [float("nan")]])
def test_a_row_without_a_time_is_refused(stand, row):
    with pytest.raises(RejectData, match="a row that begins with its time"):
        stand(lambda _: json_answer([row])).download(window())


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"{}", b"[]", b"null", b"7"])
def test_another_service_at_the_address_is_said_so(stand, body):
    source = stand(lambda _: Answer(200, body))
    with pytest.raises(RejectData, match="the time of Binance: whole reply"):
        source.now_ms()
    with pytest.raises(RejectData, match="the symbols of Binance: whole reply"):
        source.plan(request("klines"), NOW)


@pytest.mark.parametrize("at", [10**30, -5, "9" * 40, "soon", True, [1]])
def test_a_time_that_cannot_be_is_refused(stand, at):
    with pytest.raises(RejectData, match="the time of Binance: serverTime"):
        stand(lambda _: json_answer({"serverTime": at})).now_ms()
    listed = {"symbols": [{"symbol": "ETHUSDT", "onboardDate": at}]}
    with pytest.raises(RejectData, match="the symbols of Binance: onboardDate of ETHUSDT"):
        stand(lambda _: json_answer(listed)).plan(request("klines"), NOW)


def test_a_file_published_anew_while_it_is_fetched_is_read_as_it_is_now(stand):
    venue, asked = Venue(NOW), []

    def answer(one):
        asked.append(one.path)
        if asked.count(one.path) == 1 and one.path.endswith(".CHECKSUM"):
            return Answer(200, f"{'0' * 64}  {one.path.rpartition('/')[2][:-9]}\n".encode())
        return venue.answer(one)

    found = table_of(stand(answer), request("klines", first=ms(2024, 3, 1), last=ms(2024, 3, 2)))
    assert found == truth("klines", ms(2024, 3, 1), ms(2024, 3, 2))


def test_an_unknown_symbol_is_named_with_a_near_one(stand):
    source = stand(Venue(NOW))
    with pytest.raises(FixConfig, match=r"symbol = 'ETHUSD': .*did you mean ETHUSDT\?"):
        source.plan(Request("ETHUSD", ("klines",), "1h", 0, NOW), NOW)
    with pytest.raises(FixConfig, match=r"symbol = 'NOPE': .*such as ETHUSDT"):
        source.plan(Request("NOPE", ("spot",), "1h", 0, NOW), NOW)
    assert source.plan(Request("ethusdt", ("klines",), "1h", 0, NOW), NOW)[0].key.symbol == (
        "ETHUSDT"
    )


def test_intervals_and_spans_that_cannot_be(stand):
    source = stand(Venue(NOW))
    with pytest.raises(FixConfig, match="interval = '7m'"):
        source.plan(request("klines", interval="7m"), NOW)
    assert source.plan(request("klines", first=NOW + DAY_MS, last=NOW + 2 * DAY_MS), NOW) == []
    early = source.plan(request("klines", first=0), NOW)
    assert early[0].first_ms == ms(2024, 1, 1), "nothing before the symbol was listed"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(451, b"{}"), FixConfig, r"an address that may be asked from here \(status 451\)"),
        (Answer(403, b"<html>"), FixConfig, r"status 403"),
        (json_answer({"code": -1003, "msg": "Too many requests"}, 400), RetryLater, "Too many"),
        (json_answer({"code": -1102, "msg": "Mandatory"}, 400), RejectData, "status 400: Mandat"),
        (Answer(400, b"[]"), RejectData, "status 400"),
        (Answer(429), RetryLater, "status 429"),
    ],
)
def test_refusals_of_the_venue_are_told_by_what_to_do_next(stand, answer, error, says):
    with pytest.raises(error, match=says):
        stand(lambda _: answer).now_ms()


def day(stand, kind="klines"):
    source = stand(Venue(NOW))
    return source, source.plan(request(kind, first=ms(2024, 3, 1), last=ms(2024, 3, 2)), NOW)[0]


def klines_text(first=MARCH, step=HOUR_MS, count=24, unit=1):
    rows = [bar("klines", first + n * step, step) for n in range(count)]
    return [
        ",".join(str(value * unit if at in (0, 6) else value) for at, value in enumerate(row))
        for row in rows
    ]


BAD_KLINES = {
    "of another symbol": ("BTCUSDT-1h-2024-03-01.csv", klines_text(), "a file of ETHUSDT"),
    "mixed units": (None, klines_text(count=1) + klines_text(unit=1000)[1:], "row 1, column open"),
    "another interval": (None, klines_text(step=MINUTE_MS), "row 0, column close_time"),
    "another header": (None, ["open,close", *klines_text()], "first line|header"),
    "a foreign header": (None, ["x" + ",y" * 11, *klines_text()], "header"),
    "eleven columns": (None, [row[:-2] for row in klines_text()], "first line"),
    "a time that is none": (None, [*klines_text()[:2], "x" * 9 + ",1" * 11], "row 2, column open"),
    "too many columns": (None, [*klines_text(), klines_text()[0] + ",1"], "whole file"),
    "html": (None, ["<html><body>not found</body></html>"], "first line"),
    "nothing": (None, [""], "no rows"),
}


@pytest.mark.parametrize("name", BAD_KLINES)
def test_a_file_that_is_another_one_is_refused_with_its_place(stand, name):
    source, unit = day(stand)
    member, lines, says = BAD_KLINES[name]
    with pytest.raises(RejectData, match=says):
        source.read(unit, zipped(member or "ETHUSDT-1h-2024-03-01.csv", lines))


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("metrics", lambda text: text.replace("ETHUSDT", "BTCUSDT", 3), "row 0, column symbol"),
        ("metrics", lambda text: text.replace(":05:00", ":06:30", 1), "column create_time"),
        ("metrics", lambda text: text.replace("2024-03-01 01:05:00", "soon"), "column create_time"),
        ("metrics", lambda text: text.replace("create_time", "time"), "header"),
        ("depth", lambda text: text.replace("percentage", "band"), "header"),
        ("depth", lambda text: text.replace("2024-03-01 01:", "2024-13-01 01:"), "timestamp"),
    ],
)
def test_rows_of_other_files_are_refused_with_their_place(stand, kind, change, says):
    source, unit = day(stand, kind)
    text = source._file(unit, Where.of(unit))
    lines = change(_unzipped(text)).split("\n")[:-1]
    with pytest.raises(RejectData, match=says):
        source.read(unit, zipped("ETHUSDT-x.csv", lines))


def _unzipped(content):
    from counterpoise.sources.binance_files import unzip

    return unzip(content, "x").decode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"symbol": "BTCUSDT"}, "row 1, symbol: got 'BTCUSDT'"),
        ({"fundingRate": "0.5", "fundingTime": ms(2024, 3, 5)}, "row 1: .*what another row of"),
        ({"fundingTime": "soon"}, "column fundingTime"),
        ({"fundingTime": None}, "column fundingTime"),
        ({"fundingTime": ms(2024, 3, 5, 3) + 61_000}, "minute after a whole hour"),
    ],
)
def test_settlements_that_are_others_or_quarrel_are_refused(stand, change, says):
    good = {"symbol": "ETHUSDT", "fundingTime": ms(2024, 3, 5), "fundingRate": "0.0001"}
    source = stand(Venue(NOW))
    content = json.dumps([good, good | change]).encode()
    with pytest.raises(RejectData, match=says):
        source.read(window("funding"), content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"5", "a list of rows"),
        (b"{}", "a list of rows"),
        (b"[[1, 2]]", "row 0: .*12 values"),
        (b'["x"]', "row 0: .*12 values"),
        (b"<html>", "page 0: .*a JSON document"),
    ],
)
def test_pages_that_hold_no_rows_are_refused(stand, content, says):
    source = stand(Venue(NOW))
    with pytest.raises(RejectData, match=says):
        source.read(window(), content)


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{'0' * 64}  BTCUSDT-1h-2024-03-01.zip", f"{'0' * 63}  ETHUSDT-1h-2024-03-01.zip"],
)
def test_a_checksum_of_another_file_is_refused(stand, text):
    source, unit = day(stand)
    venue = Venue(NOW)
    source = stand(
        lambda asked: (
            Answer(200, text.encode()) if asked.path.endswith(".CHECKSUM") else venue.answer(asked)
        )
    )
    with pytest.raises(RejectData, match=r"2024-03-01\.CHECKSUM: first line"):
        source.download(unit)
