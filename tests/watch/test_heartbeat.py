"""A heartbeat is read back as it was written, whole or not at all."""

import math
import os
import threading
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterpoise.watch.heartbeat import (
    FILE,
    LIGHTS,
    Heartbeat,
    Light,
    process_lives,
    read_heartbeat,
    write_heartbeat,
)

BEAT = Heartbeat(
    ts_ms=1_700_000_000_123,
    pid=os.getpid(),
    mode="paper",
    venue="binance",
    symbol="ETHUSDT",
    started_ms=1_699_999_999_000,
    exposure_eth=100.0,
    short_eth=80.0,
    lo=0.75,
    hi=0.85,
    ratio=0.8,
    mark=2_000.0,
    liquidation=2_500.0,
    reason="volatility is calm: σ ↓",
    lights={name: Light(True) for name in LIGHTS},
    latencies_ms={"quote to order": 1.5},
)
numbers = st.floats(allow_infinity=False).map(lambda number: number + 0.0)  # JSON has no -0
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
beats = st.builds(
    Heartbeat,
    **{
        field.name: {"int": st.integers(0, 2**53), "float": numbers, "str": texts}[
            getattr(field.type, "__name__", field.type)
        ]
        for field in fields(Heartbeat)
        if field.name not in ("lights", "latencies_ms")
    },
    lights=st.dictionaries(texts, st.builds(Light, st.booleans(), texts), max_size=3),
    latencies_ms=st.dictionaries(texts, numbers, max_size=3),
)


@given(beats)
def test_it_is_read_as_it_was_written(tmp_path_factory, beat):
    state = tmp_path_factory.mktemp("state")
    write_heartbeat(state, beat)
    assert repr(read_heartbeat(state)) == repr(beat)
    assert [file.name for file in state.iterdir()] == [FILE]


@given(st.integers(0, 2_000), st.binary(max_size=20))
@example(769, b"}")
def test_half_a_file_is_none(tmp_path_factory, length, more):
    state = tmp_path_factory.mktemp("state")
    write_heartbeat(state, BEAT)
    whole = (state / FILE).read_bytes()
    broken = whole[: min(length, len(whole) - 1)] + more
    (state / FILE).write_bytes(broken)
    found = read_heartbeat(state)
    assert found is None or broken.rstrip() == whole


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", '{"ts_ms": "x"}', '{"lights": 3}', "[" * 9999]
)
def test_another_file_is_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert read_heartbeat(tmp_path) is None
    assert read_heartbeat(tmp_path / "nowhere") is None


def test_a_reader_never_sees_a_half_written_one(tmp_path):
    write_heartbeat(tmp_path, BEAT)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            write_heartbeat(tmp_path, BEAT)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [read_heartbeat(tmp_path) for _ in range(500)]
    finally:
        ended.set()
        writer.join()
    assert None not in seen


def test_the_distance_to_liquidation_is_a_fraction_of_the_mark():
    assert BEAT.liquidation_distance == 0.25
    none = Heartbeat(1, 2, "paper", "binance", "ETHUSDT", 1, mark=2_000.0, liquidation=0.0)
    assert math.isnan(none.liquidation_distance)


def test_processes_are_told_apart():
    assert process_lives(os.getpid())
    assert process_lives(1)
    assert not process_lives(0)
    assert not process_lives(2**22 + 1)
