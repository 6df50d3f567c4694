"""Quotes of a second, against plain Python that keeps the last of each second."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import RejectData
from counterpoise.sources import zipped_rows
from counterpoise.sources.quote_bars import read_book_ticker
from counterpoise.units import DAY_MS
from tests.sources.binance_server import zipped
from tests.sources.test_trade_bars import Damage, zipped_text

FIRST = 19_700 * DAY_MS
HEAD = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
)
COLUMNS = HEAD.split(",")

#: Milliseconds since the change before, bid in cents, spread in cents (not above 0 is no market),
#: quantities in 10^-3, and how far the id moved on.
Changes = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 40), st.integers(0, 5_000)),
        st.integers(0, 10**7),
        st.sampled_from([1, 1, 1, 1, 25, 0, -1]),
        st.integers(0, 10**8),
        st.integers(0, 10**8),
        st.sampled_from([1, 1, 1, 7, 0]),
    ),
    min_size=1,
    max_size=60,
)


def rows(changes, *, micro=False):
    """Lines of a file of changes; the two clocks differ by some ms, as they do at the venue."""
    lines, at, number = [], FIRST, 10**12
    for gap, bid, spread, bid_size, ask_size, step in changes:
        at += gap
        number += step
        ask = max(bid + spread, 0)
        stamp, sent = (at * 1000 + 7, at * 1000 + 9_000) if micro else (at, at + 9)
        sizes = f"{bid_size / 1000:.3f}", f"{ask_size / 1000:.3f}"
        lines.append(
            f"{number},{bid / 100:.2f},{sizes[0]},{ask / 100:.2f},{sizes[1]},{stamp},{sent}"
        )
    return lines


def oracle(lines):
    """Bars by second, and how many rows repeat an id and how many are no market."""
    seconds: dict[int, dict[str, float]] = {}
    repeated = crossed = 0
    before = None
    for row in csv.reader(lines):
        one = dict(zip(COLUMNS, row, strict=True))
        repeated += one["update_id"] == before
        before = one["update_id"]
        bid, ask = float(one["best_bid_price"]), float(one["best_ask_price"])
        if bid == 0 or bid >= ask:
            crossed += 1
            continue
        stamp = int(one["transaction_time"])
        stamp = stamp // 1000 if stamp >= 10**14 else stamp
        ts = stamp // 1000 * 1000
        updates = seconds.get(ts, {"updates": 0})["updates"] + 1
        seconds[ts] = {
            "ts": ts,
            "bid": bid,
            "bid_eth": float(one["best_bid_qty"]),
            "ask": ask,
            "ask_eth": float(one["best_ask_qty"]),
            "updates": updates,
        }
    return list(seconds.values()), repeated, crossed


def read(lines, *, chunk=None):
    content = lines if isinstance(lines, bytes) else zipped("x.csv", lines)
    with pytest.MonkeyPatch.context() as patch:
        if chunk is not None:
            patch.setattr(zipped_rows, "CHUNK", chunk)
        return read_book_ticker(content, "u", FIRST, FIRST + DAY_MS)


def told(repeated, crossed):
    notes = []
    if repeated:
        notes.append(f"{repeated} rows repeat an update id; the last of each counts")
    if crossed:
        notes.append(f"{crossed} quotes with no bid below the ask left out")
    return tuple(notes)


@settings(max_examples=60)
@given(
    changes=Changes,
    chunk=st.integers(110, 900),
    headed=st.booleans(),
    micro=st.booleans(),
    returns=st.booleans(),
)
def test_the_last_quote_of_each_second_is_kept_however_the_file_is_written(
    changes, chunk, headed, micro, returns
):
    body = rows(changes, micro=micro)
    end = "\r" if returns else ""
    got = read([line + end for line in ([HEAD] if headed else []) + body], chunk=chunk)
    bars, repeated, crossed = oracle(body)
    assert list(got.table.iter_rows(named=True)) == bars
    assert got.notes == told(repeated, crossed)


GOOD = [
    f"7,3000.00,1.5,3000.01,10,{FIRST},{FIRST + 5}",
    f"8,3001.00,0.25,3001.01,13,{FIRST + 400},{FIRST + 405}",
    f"9,3002.00,2,3002.01,14,{FIRST + 1400},{FIRST + 1405}",
]


@pytest.mark.parametrize(
    ("place", "change", "column", "expected"),
    [
        (2, {0: "7"}, "update_id", "out of order"),
        (1, {0: "-8"}, "update_id", "a whole number"),
        (1, {1: "-1"}, "best_bid_price", "a number"),
        (1, {1: ""}, "best_bid_price", "a number"),
        (1, {2: "x"}, "best_bid_qty", "a number"),
        (1, {3: "3e3"}, "best_ask_price", "a number"),
        (1, {4: "1.0.0"}, "best_ask_qty", "a number"),
        (1, {5: str(FIRST - 1)}, "transaction_time", "not before the time of the row before"),
        (0, {5: str(FIRST - 1)}, "transaction_time", "within the file's own day"),
        (2, {5: str(FIRST + DAY_MS)}, "transaction_time", "within the file's own day"),
        (1, {5: str(FIRST * 1000 + 400_000)}, "transaction_time", "one unit in the whole file"),
        (1, {5: "soon"}, "transaction_time", "a time in milliseconds"),
        (1, {6: ""}, "event_time", "the end of the row"),
        (1, {6: "5,6"}, "event_time", "the end of the row"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_place(place, change, column, expected):
    lines = list(GOOD)
    fields = lines[place].split(",")
    for at, text in change.items():
        fields[at] = text
    lines[place] = ",".join(fields)
    with pytest.raises(RejectData, match=expected) as refused:
        read(lines)
    assert refused.value.place == f"row {place}, column {column}"
    assert repr(lines[place]) in str(refused.value)


@pytest.mark.parametrize("line", ["", ",", HEAD, "9"])
def test_a_line_between_rows_that_is_none_is_refused(line):
    with pytest.raises(RejectData, match="row 2, column update_id"):
        read([*GOOD[:2], line, GOOD[2]])


@pytest.mark.parametrize(
    ("lines", "says"),
    [([""], "first line"), ([HEAD], "no rows"), ([HEAD[7:], *GOOD], "a header with update_id")],
)
def test_a_file_without_rows_or_of_another_kind_is_refused(lines, says):
    with pytest.raises(RejectData, match=says):
        read(lines)


def test_a_day_without_a_market_is_no_rows_and_said_so():
    got = read([f"{n},0.00,0,0.00,0,{FIRST + n},{FIRST + n}" for n in range(5)])
    assert got.table.height == 0
    assert got.notes == ("5 quotes with no bid below the ask left out",)


WHOLE = rows([(37 * n % 900, 300_000 + n, 1, 10 + n, 20 + n, 1) for n in range(50)])


@settings(max_examples=300)
@given(damage=Damage, cut=st.none() | st.floats(0, 1, exclude_max=True))
def test_a_damaged_zip_is_refused_or_harmless(damage, cut):
    content = bytearray(zipped("x.csv", WHOLE))
    for place, byte in damage:
        content[int(place * len(content))] = byte
    if cut is not None:
        del content[int(cut * len(content)) :]
    try:
        got = read(bytes(content))
    except RejectData:
        return
    assert got.table.equals(read(WHOLE).table)


@settings(max_examples=300)
@given(damage=Damage)
def test_a_damaged_text_is_refused_or_read_as_it_stands(damage):
    text = bytearray("\n".join(WHOLE[:12]).encode())
    for place, byte in damage:
        text[int(place * len(text))] = byte
    text = text.decode("latin-1")
    try:
        got = read(zipped_text(text))
    except RejectData:
        return
    bars, repeated, crossed = oracle(text.split("\n"))
    assert list(got.table.iter_rows(named=True)) == bars
    assert got.notes == told(repeated, crossed)
