"""A good file, spoilt at random: it is taken as what it says, or refused without a trace.

The oracle reads the spoilt file on its own (standard library for CSV) and says what a table of it
would be; an import that succeeds must have stored exactly that.
"""

import csv
import io
import math
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from counterpoise.errors import RejectData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from tests.market.bad_files import SPOT_CSV, SPOT_PARQUET, parquet, text
from tests.market.small_tables import bars, contents

SPOT = DatasetKey("spot_bars", "binance", "ETHUSDT", "1h")
COLUMNS = ("open", "high", "low", "close", "volume")
HOUR = timedelta(hours=1)
FRAME = bars(range(2_000, 2_012))
CSV, PARQUET = text(FRAME).encode(), parquet(FRAME)
#: One edit: where, how many bytes go, what comes instead.
EDITS = st.tuples(
    st.integers(0, 10_000),
    st.integers(0, 40),
    st.one_of(
        st.binary(max_size=4),
        st.sampled_from(
            [b",", b"\n", b'"', b"-", b"e9", b"nan", b"inf", b"\r\n", b" ", b"\xef\xbb"]
        ),
        st.sampled_from(CSV.splitlines(keepends=True)),
        st.text("0123456789.+-:TZ,\n", max_size=30).map(str.encode),
    ),
)


def spoilt(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return the content after the edits, in order."""
    for where, gone, come in edits:
        at = where % (len(content) + 1)
        content = content[:at] + come + content[at + gone :]
    return content


def possible(rows: list[dict]) -> bool:
    """Whether rows can be hourly bars in order: the rules in plain words, without the product."""
    for row in rows:
        o, h, low, c, v = (row[name] for name in COLUMNS)
        if not all(math.isfinite(value) for value in (o, h, low, c, v)):
            return False
        if not (0 < low <= min(o, c) and max(o, c) <= h and v >= 0):
            return False
        if row["ts"] != row["ts"].replace(minute=0, second=0, microsecond=0):
            return False
    return bool(rows) and all(one["ts"] < other["ts"] for one, other in pairwise(rows))


def read_csv(content: bytes) -> list[dict]:
    """Rows of a CSV file by the standard library; ValueError where it has none."""
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    rows = []
    for fields in lines[1:]:
        if len(fields) != len(lines[0]):
            raise ValueError(fields)
        named = dict(zip(lines[0], (field.strip() for field in fields), strict=True))
        if named["ts"].lstrip("-").isdigit():
            moment = datetime.fromtimestamp(int(named["ts"]) / 1000, tz=UTC)
        else:
            moment = datetime.fromisoformat(named["ts"])
        if moment.tzinfo is None:
            raise ValueError(named["ts"])
        row = {name: float(named[name]) for name in COLUMNS}
        rows.append({"ts": moment.astimezone(UTC)} | row)
    return rows


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A lake with something to lose."""
    lake = Lake(tmp_path_factory.mktemp("held"))
    lake.write({DatasetKey("spot_bars", "binance", "BTCUSDT", "1h"): bars([100])})
    return lake.path


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def outcome(held: Path, name: str, content: bytes) -> list[dict] | None:
    """Rows the lake holds after the import of one file; None where it was refused in one line."""
    root = Path(tempfile.mkdtemp(dir=held.parent))
    (root / "tables").mkdir()
    (root / "tables" / Path(name).name).write_bytes(content)
    lake = Lake(shutil.copytree(held, root / "lake"))
    before = contents(lake.path)
    said = None
    try:
        lake.import_folder(root / "tables")
    except RejectData as refused:
        said = str(refused)
    if said is None:
        return lake.read_key(SPOT).select("ts", *COLUMNS).to_dicts()
    assert contents(lake.path) == before
    assert said.isprintable()
    assert "Next: " in said
    return None


SLOW = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SLOW
@given(edits=st.lists(EDITS, min_size=1, max_size=3))
def test_a_spoilt_csv_file_is_taken_as_it_says_or_refused(held, edits):
    content = spoilt(CSV, edits)
    taken = outcome(held, SPOT_CSV, content)
    if taken is None:
        return
    expected = read_csv(content)
    assert possible(expected)
    assert taken == expected


@settings(SLOW, max_examples=60)
@given(
    first=st.integers(0, 10**5),
    prices=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8),
    volumes=st.lists(st.floats(0, 1e9), min_size=8, max_size=8),
    gaps=st.lists(st.integers(1, 50), min_size=8, max_size=8),
)
def test_every_good_csv_file_is_taken_to_the_last_bit(held, first, prices, volumes, gaps):
    moments = [datetime(2015, 7, 30, tzinfo=UTC) + first * HOUR]
    for gap in gaps:
        moments.append(moments[-1] + gap * HOUR)
    assume(moments[-1] < datetime(2026, 1, 1, tzinfo=UTC))
    frame = pl.DataFrame(
        {
            "ts": pl.Series(moments[: len(prices)]).cast(pl.Datetime("ms", "UTC")),
            "open": prices,
            "high": [price * 1.01 for price in prices],
            "low": [price * 0.99 for price in prices],
            "close": prices,
            "volume": volumes[: len(prices)],
        }
    )
    taken = outcome(held, SPOT_CSV, text(frame).encode())
    assert taken == frame.to_dicts()


@settings(SLOW, max_examples=20)
@given(edits=st.lists(EDITS, min_size=1, max_size=2))
def test_a_spoilt_parquet_file_is_taken_as_it_says_or_refused(held, edits):
    content = spoilt(PARQUET, edits)
    taken = outcome(held, SPOT_PARQUET, content)
    if taken is None:
        return
    assert possible(taken)
    # What passed the guard can be read again here without harm.
    again = pl.read_parquet(content, columns=["ts", *COLUMNS])
    assert taken == again.to_dicts()


@pytest.mark.parametrize("at", range(0, len(PARQUET), len(PARQUET) // 12))
def test_parquet_cut_anywhere_is_refused(held, at):
    assert outcome(held, SPOT_PARQUET, PARQUET[:at]) is None


def test_csv_cut_anywhere_but_at_a_line_is_refused(held):
    for at in range(0, len(CSV), 7):
        taken = outcome(held, SPOT_CSV, CSV[:at])
        assert (taken is None) is not CSV[:at].endswith(b"\n") or at < len(CSV.split(b"\n")[0]) + 2
