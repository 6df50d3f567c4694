"""Bars of a second from trades, against the same sums in plain Python over the same text."""

import csv
import io
import zipfile
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import RejectData
from counterpoise.sources import zipped_rows
from counterpoise.sources.trade_bars import bars_of_trades, read_agg_trades
from counterpoise.units import DAY_MS
from tests.sources.binance_server import zipped

FIRST = 19_900 * DAY_MS
HEAD = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
COLUMNS = HEAD.split(",")

#: Milliseconds since the trade before, price in cents, quantity in 10^-8, single trades, whether
#: the buyer was the maker, and how far the id moved on.
Trades = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 40), st.integers(0, 5_000)),
        st.integers(1, 10**7),
        st.integers(1, 10**11),
        st.integers(1, 9),
        st.booleans(),
        st.sampled_from([1, 1, 1, 1, 3]),
    ),
    min_size=1,
    max_size=60,
)


def rows(trades, *, micro=False, best=False, start=7):
    """Lines of a file of trades, numbers as the venue writes them."""
    lines, at, number, single = [], FIRST, start, 100
    for gap, cents, size, count, maker, step in trades:
        at += gap
        stamp = at * 1000 + gap % 1000 if micro else at
        last = single + count - 1
        size_text = f"{Decimal(size) / 10**8:.8f}".rstrip("0").rstrip(".")
        fields = [number, f"{Decimal(cents) / 100:.2f}", size_text, single, last, stamp, maker]
        lines.append(",".join(str(field) for field in [*fields, *([True] if best else [])]))
        number, single = number + step, last + 1
    if micro:
        lines.sort(key=lambda line: int(line.split(",")[5]))
        for place, line in enumerate(lines):
            lines[place] = ",".join([str(start + 3 * place), *line.split(",")[1:]])
    return lines


def oracle(lines):
    """Bars by second, from csv and exact fractions, with nothing of the product."""
    seconds = defaultdict(list)
    for row in csv.reader(lines):
        if row[0] == COLUMNS[0]:
            continue
        one = dict(zip(COLUMNS, row, strict=False))
        stamp = int(one["transact_time"])
        stamp = stamp // 1000 if stamp >= 10**14 else stamp
        seconds[stamp // 1000 * 1000].append(one)
    bars = []
    for ts, trades in sorted(seconds.items()):
        prices = [Fraction(one["price"]) for one in trades]
        sizes = [Fraction(one["quantity"]) for one in trades]
        taken = [one["is_buyer_maker"].lower() == "false" for one in trades]
        values = [price * size for price, size in zip(prices, sizes, strict=True)]
        counts = [int(one["last_trade_id"]) - int(one["first_trade_id"]) + 1 for one in trades]
        bars.append(
            {
                "ts": ts,
                "open": float(prices[0]),
                "high": float(max(prices)),
                "low": float(min(prices)),
                "close": float(prices[-1]),
                "volume": float(sum(sizes)),
                "quote_volume": pytest.approx(float(sum(values)), rel=1e-12),
                "trades": sum(counts),
                "taker_buy_base": float(
                    sum(size for size, one in zip(sizes, taken, strict=True) if one)
                ),
                "taker_buy_quote": pytest.approx(
                    float(sum(value for value, one in zip(values, taken, strict=True) if one)),
                    rel=1e-12,
                ),
            }
        )
    return bars


def zipped_text(text: str) -> bytes:
    """Zip of a text as it is, without a newline at its end."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", text.encode("latin-1"))
    return buffer.getvalue()


def read(lines, *, chunk=None):
    content = lines if isinstance(lines, bytes) else zipped("x.csv", lines)
    with pytest.MonkeyPatch.context() as patch:
        if chunk is not None:
            patch.setattr(zipped_rows, "CHUNK", chunk)
        return read_agg_trades(content, "u", FIRST, FIRST + DAY_MS)


@settings(max_examples=60)
@given(
    trades=Trades,
    chunk=st.integers(110, 900),
    headed=st.booleans(),
    micro=st.booleans(),
    best=st.booleans(),
    returns=st.booleans(),
)
def test_bars_are_the_sums_of_their_trades_however_the_file_is_written(
    trades, chunk, headed, micro, best, returns
):
    body = rows(trades, micro=micro, best=best)
    head = [HEAD + (",is_best_match" if best else "")] if headed else []
    end = "\r" if returns else ""
    got = read([line + end for line in head + body], chunk=chunk)
    assert list(got.table.iter_rows(named=True)) == oracle(body)
    assert got.table.equals(read(body).table)


@settings(max_examples=50)
@given(trades=Trades)
def test_missing_ids_are_counted_and_placed(trades):
    lines = rows(trades)
    ids = [int(line.split(",")[0]) for line in lines]
    holes = ids[-1] - ids[0] + 1 - len(ids)
    notes = read(lines).notes
    if not holes:
        assert notes == ()
        return
    place = next(n for n in range(1, len(ids)) if ids[n] != ids[n - 1] + 1)
    assert notes == (f"{holes} ids of aggregated trades are missing, the first before row {place}",)


@settings(max_examples=50)
@given(trades=Trades)
def test_single_trades_give_the_bars_of_the_same_trades_in_a_file(trades):
    trades = [(*one[:3], 1, *one[4:]) for one in trades]
    lines = rows(trades)
    fields = [line.split(",") for line in lines]
    got = bars_of_trades(
        np.array([int(one[5]) for one in fields]),
        np.array([float(one[1]) for one in fields]),
        np.array([float(one[2]) for one in fields]),
        np.array([one[6] == "False" for one in fields]),
    )
    assert got.equals(read(lines).table)


def test_no_trades_are_no_bars():
    nothing = np.empty(0)
    got = bars_of_trades(nothing.astype(np.int64), nothing, nothing, nothing.astype(np.bool_))
    assert got.height == 0
    assert got.columns == read(GOOD).table.columns


def test_a_volume_does_not_depend_on_the_order_of_its_trades():
    sizes = ["0.1", "0.2", "1000000.00000001", "0.3", "0.00000001"]
    forth = [f"{n},3000.00,{size},{n},{n},{FIRST},false" for n, size in enumerate(sizes)]
    back = [f"{n},3000.00,{size},{n},{n},{FIRST},false" for n, size in enumerate(sizes[::-1])]
    assert read(forth).table["volume"].to_list() == [1000000.60000002]
    assert read(back).table["volume"].to_list() == [1000000.60000002]


GOOD = [
    f"7,3000.00,1.5,10,12,{FIRST},true",
    f"8,3001.00,0.25,13,13,{FIRST + 400},false",
    f"9,3002.00,2,14,15,{FIRST + 1400},true",
]


@pytest.mark.parametrize(
    ("place", "change", "column", "expected"),
    [
        (1, {0: "7"}, "agg_trade_id", "repeated or out of order"),
        (2, {0: "6"}, "agg_trade_id", "repeated or out of order"),
        (1, {0: "-8"}, "agg_trade_id", "a whole number"),
        (1, {0: "8.0"}, "agg_trade_id", "a whole number"),
        (1, {0: "1" * 19}, "agg_trade_id", "a whole number"),
        (0, {1: "0.00"}, "price", "a price above 0"),
        (1, {1: "-3000"}, "price", "a price above 0"),
        (1, {1: "3e3"}, "price", "a price above 0"),
        (1, {1: "nan"}, "price", "a price above 0"),
        (1, {1: "3.0.0"}, "price", "a price above 0"),
        (1, {1: ""}, "price", "a price above 0"),
        (1, {1: "."}, "price", "a price above 0"),
        (2, {2: "0"}, "quantity", "at most 8 decimals"),
        (2, {2: "0.000000001"}, "quantity", "at most 8 decimals"),
        (2, {2: "999999999999"}, "quantity", "at most 8 decimals"),
        (1, {3: "x"}, "first_trade_id", "a whole number"),
        (1, {3: "14"}, "last_trade_id", "not less than first_trade_id"),
        (1, {5: str(FIRST - 1)}, "transact_time", "not before the time of the row before"),
        (0, {5: str(FIRST - 1)}, "transact_time", "within the file's own day"),
        (2, {5: str(FIRST + DAY_MS)}, "transact_time", "within the file's own day"),
        (1, {5: str(FIRST * 1000 + 400_000)}, "transact_time", "one unit in the whole file"),
        (1, {5: ""}, "transact_time", "a time in milliseconds"),
        (1, {6: "yes"}, "is_buyer_maker", "true or false"),
        (2, {6: "tru"}, "is_buyer_maker", "true or false"),
        (1, {6: "true,true"}, "is_best_match", "as many columns"),
        (1, {6: "true,"}, "is_best_match", "as many columns"),
        (1, {6: "true,true,true"}, "is_best_match", "as many columns"),
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


@pytest.mark.parametrize("line", ["", ",", " ", HEAD, "9"])
def test_a_line_between_rows_that_is_none_is_refused(line):
    with pytest.raises(RejectData, match="row 2, column agg_trade_id"):
        read([*GOOD[:2], line, GOOD[2]])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([""], "first line"),
        ([HEAD], "no rows"),
        (["price,quantity", *GOOD], "a header with agg_trade_id"),
        (["<html>"], "a header with agg_trade_id"),
    ],
)
def test_a_file_without_rows_or_of_another_kind_is_refused(lines, says):
    with pytest.raises(RejectData, match=says):
        read(lines)


def test_what_is_no_zip_of_one_file_is_refused():
    for content in (b"", b"PK", b"<html>", zipped("x.txt", GOOD)):
        with pytest.raises(RejectData, match="whole zip"):
            read(content)


def test_a_last_line_without_its_end_counts_and_one_cut_short_does_not():
    text = "\n".join(GOOD)
    whole = read(GOOD).table
    assert read(zipped_text(text)).table.equals(whole)
    for cut in range(1, len(GOOD[2])):
        with pytest.raises(RejectData, match="row 2"):
            read(zipped_text(text[:-cut]))


Damage = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3
)
WHOLE = rows([(37 * n % 900, 300_000 + n, 10**8 + n, 2, n % 3 == 0, 1) for n in range(50)])


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
    assert list(got.table.iter_rows(named=True)) == oracle(text.split("\n"))
