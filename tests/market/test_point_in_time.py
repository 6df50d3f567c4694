"""Cutting the lake at a moment leaves every tick up to it as it was, to the last byte."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Bars
from counterpoise.units import from_ms


def arrays(timeline, ticks):
    """Every array of the timeline up to a tick, as bytes by name."""
    found = {}
    for field in dataclasses.fields(timeline):
        value = getattr(timeline, field.name)
        if isinstance(value, Bars):
            for part in dataclasses.fields(value):
                found[f"{field.name}.{part.name}"] = getattr(value, part.name)
        elif isinstance(value, dict):
            found |= {f"{field.name}.{name}": values for name, values in value.items()}
        elif isinstance(value, np.ndarray):
            found[field.name] = value
    return {name: np.ascontiguousarray(values[:ticks]).tobytes() for name, values in found.items()}


def cut_lake(tables, cut, folder, *, synthetic):
    """Return a lake of what was known at ``cut``."""
    known = {key: table.filter(pl.col("known_at") <= cut) for key, table in tables.items()}
    lake = Lake(folder)
    lake.write({key: t for key, t in known.items() if t.height}, synthetic=synthetic)
    return lake


@pytest.fixture(scope="module")
def stored(generated_lake):
    return {key: generated_lake.read_key(key) for key in generated_lake.datasets()}


@pytest.fixture(scope="module")
def whole(generated_lake):
    return build_timeline(generated_lake, ("binance", "bybit"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tick=st.integers(10, 149 * 24))
def test_the_future_changes_nothing_in_a_generated_market(stored, whole, tick):
    with tempfile.TemporaryDirectory() as folder:
        lake = cut_lake(stored, from_ms(int(whole.ts_ms[tick])), Path(folder), synthetic=True)
        cut = build_timeline(lake, ("binance", "bybit"))
    # The last tick is absent where its own bars are among the missing ones of both venues.
    ticks = len(cut.ts_ms)
    assert tick <= ticks <= tick + 1
    assert arrays(cut, ticks) == arrays(whole, ticks)
    assert cut.suspects == tuple(s for s in whole.suspects if s.ts_ms <= cut.ts_ms[-1])


@pytest.mark.parametrize("tick", [73, 1_755, 12_345, 30_000, 44_000])
def test_the_future_changes_nothing_in_the_real_market(real_lake, tmp_path, tick):
    whole = build_timeline(real_lake)
    keys = [
        key
        for key in real_lake.datasets()
        if key.interval in ("1h", "8h", "1d")
        and (key.symbol != "BTCUSDT" or key.table == "spot_bars")
    ]
    tables = {key: real_lake.read_key(key) for key in keys}
    lake = cut_lake(tables, from_ms(int(whole.ts_ms[tick])), tmp_path / "cut", synthetic=False)
    cut = build_timeline(lake)
    assert np.isfinite(cut.hourly["btc_close"]).any()
    assert len(cut.ts_ms) == tick + 1
    assert arrays(cut, tick + 1) == arrays(whole, tick + 1)
