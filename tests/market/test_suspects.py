"""What spot does not believe: one wrong close is a gap, many are another market."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.merge import merge
from counterpoise.market.suspects import without_strangers
from counterpoise.market.synthetic import generate
from counterpoise.market.timeline import Bars
from tests.random_timeline import random_timeline

HOURS = 500


def flat(bars: Bars) -> Bars:
    return Bars(*(getattr(bars, name)[:, 0] for name in Bars.__dataclass_fields__))


def test_a_close_far_from_spot_makes_the_whole_bar_missing_and_is_told() -> None:
    timeline = random_timeline(HOURS)
    perp = flat(timeline.perp)
    close = perp.close.copy()
    close[200] *= 1000
    kept, strange, notes = without_strangers(
        "binance ETHUSDT", replace(perp, close=close), timeline.spot, timeline.ts_ms
    )
    assert np.flatnonzero(strange).tolist() == [200]
    assert all(np.isnan(getattr(kept, name)[200]) for name in Bars.__dataclass_fields__)
    np.testing.assert_array_equal(np.delete(kept.close, 200), np.delete(close, 200))
    assert len(notes) == 1
    assert "left out as missing" in notes[0]


def test_another_market_or_unit_is_refused() -> None:
    timeline = random_timeline(HOURS)
    perp = flat(timeline.perp)
    cents = replace(perp, close=perp.close * 100)
    with pytest.raises(RejectData, match="check symbol and unit"):
        without_strangers("binance ETHUSDT", cents, timeline.spot, timeline.ts_ms)


def test_only_markets_of_eth_are_hedged(tmp_path) -> None:
    with pytest.raises(FixConfig, match="a market of ETH"):
        build_timeline(Lake(tmp_path), symbol="BTCUSDT")


def test_a_changed_byte_of_the_lake_is_refused(tmp_path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(generate(1, days=5), synthetic=True)
    file = next(lake.path.glob("table=perp_bars/**/*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))
    with pytest.raises(RejectData, match="what was written"):
        build_timeline(lake)


def test_a_history_without_funding_is_not_simulated_as_free(tmp_path) -> None:
    from counterpoise.config import load_settings
    from counterpoise.simulation.arena import arena

    timeline = random_timeline(HOURS)
    unknown = timeline.funding_last.copy()
    unknown[300:] = np.nan
    with pytest.raises(NotEnoughData, match="binance funding is missing for 200 of 400 hours"):
        arena(replace(timeline, funding_last=unknown), load_settings(), 100, HOURS)


def test_a_newer_release_rule_is_no_contradiction(tmp_path) -> None:
    """Stored values agree, only ``known_at`` follows another rule: the new rule holds."""
    lake = Lake(tmp_path / "lake")
    lake.write(generate(1, days=5), synthetic=True)
    key = next(key for key in lake.datasets() if key.table == "macro_daily")
    stored = lake.read_key(key)
    ruled = stored.with_columns(pl.col("known_at") + pl.duration(hours=1))
    merged = merge(stored, ruled, key, "f", replacing=False)
    assert merged.table["known_at"].to_list() == ruled["known_at"].to_list()
    assert merged.rows_merged == stored.height
