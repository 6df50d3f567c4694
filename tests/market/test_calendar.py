"""The calendar says what was scheduled and since when that was known, and knows no future."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import RejectData
from counterpoise.market.assemble import build_timeline
from counterpoise.market.calendar import CLASSES, load_calendar
from counterpoise.market.event_clock import event_clock, names_of
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS
from counterpoise.market.schemas import SPECS
from counterpoise.market.synthetic import generate
from counterpoise.market.tables import validate
from counterpoise.units import HOUR_MS, to_ms

#: Beacon Chain genesis and the seconds of an epoch (consensus specifications).
GENESIS, EPOCH_S = datetime(2020, 12, 1, 12, 0, 23, tzinfo=UTC), 384
SHIPPED = load_calendar()


def moment(name: str) -> datetime:
    return SHIPPED.filter(pl.col("name") == name)["ts"][0]


def known(table: pl.DataFrame) -> pl.DataFrame:
    return validate(table, SPECS["events"], "calendar")


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("Beacon Chain genesis", 0),
        ("Altair (epoch 74,240)", 74_240),
        ("Bellatrix (epoch 144,896)", 144_896),
        ("Shapella (epoch 194,048)", 194_048),
        ("Dencun (epoch 269,568)", 269_568),
        ("Pectra (epoch 364,032)", 364_032),
        ("Fusaka (epoch 411,392)", 411_392),
    ],
)
def test_upgrades_of_the_beacon_chain_are_at_the_start_of_their_epoch(name, epoch):
    assert moment(name) == GENESIS + timedelta(seconds=EPOCH_S * epoch)


def test_every_year_has_eight_scheduled_meetings_with_a_statement_at_two_in_new_york():
    meetings = SHIPPED.filter(pl.col("name") == "FOMC statement")
    local = [ts.astimezone(ZoneInfo("America/New_York")) for ts in meetings["ts"]]
    assert {(ts.hour, ts.minute) for ts in local} == {(14, 0)}
    # All but two were on a Wednesday: after the elections of 2020 and 2024, on Thursday.
    thursdays = [ts.date().isoformat() for ts in local if ts.weekday() != 2]
    assert thursdays == ["2020-11-05", "2024-11-07"]
    years = [ts.year for ts in local]
    assert {year: years.count(year) for year in years} == dict.fromkeys(range(2020, 2027), 8)


def test_the_meeting_given_up_in_march_2020_was_believed_until_the_sunday_before():
    row = SHIPPED.filter(pl.col("withdrawn_at").is_not_null()).row(0, named=True)
    assert row["ts"] == datetime(2020, 3, 18, 18, tzinfo=UTC)
    assert row["withdrawn_at"] == datetime(2020, 3, 15, 21, tzinfo=UTC)


def test_the_shipped_calendar_is_a_valid_table_and_names_its_sources():
    table = known(SHIPPED)
    assert set(table["class"]) == set(CLASSES)
    assert (table["known_at"] <= table["ts"]).all()
    assert table["source"].str.len_chars().min() > 10


def test_the_page_lists_every_event_that_is_shipped():
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    for row in SHIPPED.iter_rows(named=True):
        line = f"| {row['ts']:%Y-%m-%d %H:%M} | {row['class']} | {row['name']} | "
        assert f"{line}{row['announced_at']:%Y-%m-%d}" in page, row


def ticks(first: datetime, hours: int) -> np.ndarray:
    return to_ms(first) + HOUR_MS * np.arange(hours, dtype=np.int64)


def at(clock, kind, first, when):
    """Hours to the next and since the last event at one moment."""
    tick = round((when - first) / timedelta(hours=1))
    return tuple(float(clock[name][tick]) for name in names_of(kind))


def test_an_event_exists_from_its_announcement_and_a_withdrawn_one_until_then():
    first = datetime(2020, 3, 1, tzinfo=UTC)
    clock = event_clock(known(SHIPPED), ticks(first, 24 * 30))

    def macro(day, hour):
        return at(clock, "macro", first, datetime(2020, 3, day, hour, tzinfo=UTC))

    # The cut of 3 March, at 15:00 UTC, was announced by no one before.
    assert macro(3, 14)[0] == 15 * 24 + 4
    assert macro(3, 15) == (15 * 24 + 3, 0.0)
    # On Sunday 15 March the meeting of the 18th is given up; the next is on 29 April.
    assert macro(15, 20)[0] == 3 * 24 - 2
    assert macro(15, 21) == (45 * 24 - 3, 0.0)
    assert macro(18, 18)[1] == 3 * 24 - 3
    # Purchases without limit, on the Monday after at 08:00 in New York.
    assert macro(23, 11)[1] == 8 * 24 - 10
    assert macro(23, 12) == (37 * 24 + 6, 0.0)


def test_without_an_announced_event_the_next_one_is_infinitely_far():
    first = datetime(2023, 1, 1, tzinfo=UTC)
    clock = event_clock(known(SHIPPED), ticks(first, 24 * 120))
    shapella = moment("Shapella (epoch 194,048)")
    announced = datetime(2023, 3, 29, tzinfo=UTC)
    before = announced - timedelta(hours=1)
    assert at(clock, "network-upgrade", first, before)[0] == np.inf
    assert at(clock, "network-upgrade", first, announced)[0] == pytest.approx(
        (shapella - announced) / timedelta(hours=1), abs=1e-3
    )


hours = st.integers(0, 500)
some_events = st.lists(
    st.tuples(st.sampled_from(CLASSES), hours, hours, st.none() | hours), min_size=1, max_size=8
)


@given(some_events, st.integers(1, 499))
def test_cutting_the_announcements_at_a_tick_leaves_every_tick_before_as_it_was(drawn, cut):
    first = datetime(2024, 1, 1, tzinfo=UTC)
    rows = []
    for place, (kind, announced, ahead, gone) in enumerate(drawn):
        effective = announced + ahead
        withdrawn = None if gone is None or gone > ahead else announced + gone
        rows.append((kind, f"event {place}", announced, effective, withdrawn))
    table = pl.DataFrame(
        {
            "ts": [first + timedelta(hours=row[3]) for row in rows],
            "name": [row[1] for row in rows],
            "class": [row[0] for row in rows],
            "announced_at": [first + timedelta(hours=row[2]) for row in rows],
            "source": ["a test"] * len(rows),
            "withdrawn_at": [
                None if row[4] is None else first + timedelta(hours=row[4]) for row in rows
            ],
        }
    ).sort("ts")
    clock = event_clock(known(table), ticks(first, 500))
    boundary = first + timedelta(hours=cut)
    seen = table.filter(pl.col("announced_at") < boundary).with_columns(
        pl.when(pl.col("withdrawn_at") < boundary).then("withdrawn_at").alias("withdrawn_at")
    )
    if seen.height == 0:
        for name in clock:
            assert np.isinf(clock[name][:cut]).all()
        return
    then = event_clock(known(seen), ticks(first, 500))
    for name in clock:
        assert then[name][:cut].tobytes() == clock[name][:cut].tobytes(), name


def test_a_lake_with_a_calendar_puts_it_on_the_timeline_and_one_without_does_not(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.write(generate(3, days=40), synthetic=True)
    assert build_timeline(lake).events == {}
    lake.write({EVENTS: SHIPPED}, synthetic=True)
    timeline = build_timeline(lake)
    assert set(timeline.events) == {name for kind in CLASSES for name in names_of(kind)}
    assert all(len(values) == len(timeline.ts_ms) for values in timeline.events.values())


OWN = """
[[event]]
name = "My protocol's upgrade"
class = "network-upgrade"
announced_at = 2024-02-01
effective_at = 2024-02-20T12:00:00Z
source = "our forum"
"""


def written(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_users_events_stand_beside_the_shipped_ones(tmp_path):
    table = load_calendar(written(tmp_path, OWN))
    assert table.height == SHIPPED.height + 1
    mine = table.filter(pl.col("source") == "our forum").row(0, named=True)
    assert mine["announced_at"] == datetime(2024, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("class", "clas"), r"event 1 \(\"My protocol's upgrade\"\): got 'clas', expected.*class"),
        (("network-upgrade", "upgrade"), "key class: got 'upgrade', expected 'network-upgrade'"),
        (("2024-02-01", "2024-03-01"), "not before announced_at = 2024-03-01"),
        (("2024-02-01", "1706745600"), "not a number"),
        (('source = "our forum"', ""), "key source: got 'nothing'"),
        (("[[event]]", "[event]"), "whole file"),
        (("[[event]]", "[[event"), "expected TOML"),
    ],
)
def test_an_event_that_is_none_is_refused_with_its_place(tmp_path, change, says):
    with pytest.raises(RejectData, match=says):
        load_calendar(written(tmp_path, OWN.replace(*change, 1)))


def test_one_event_twice_is_refused_naming_both_calendars(tmp_path):
    with pytest.raises(RejectData, match="each event once"):
        load_calendar(written(tmp_path, OWN + OWN))
    shipped = OWN.replace("My protocol's upgrade", "FOMC statement").replace(
        "2024-02-20T12:00:00Z", "2024-03-20T18:00:00Z"
    )
    with pytest.raises(RejectData, match="the shipped calendar already"):
        load_calendar(written(tmp_path, shipped))


def test_a_withdrawal_after_the_event_is_refused(tmp_path):
    late = OWN + "withdrawn_at = 2024-02-21\n"
    with pytest.raises(RejectData, match="what took place was not withdrawn"):
        load_calendar(written(tmp_path, late))
