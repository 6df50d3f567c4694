"""Prices and settings by hand, for the tests of this house."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.config import Settings, load_settings
from counterpoise.market.timeline import Timeline
from counterpoise.units import stamp
from tests.random_timeline import random_timeline

LOAN = {"liquidation_threshold": 0.83, "liquidation_penalty": 0.05}


def priced(
    close: Sequence[float], low: Sequence[float] | None = None, opens: Sequence[float] | None = None
) -> Timeline:
    """Hours with these spot closes, lows (default: the closes) and opens (the close before)."""
    timeline = random_timeline(len(close), seed=1)
    closes = np.array(close, dtype=float)
    lows = closes if low is None else np.array(low, dtype=float)
    begins = np.concatenate((closes[:1], closes[:-1])) if opens is None else np.array(opens)
    highs = np.fmax(closes, begins)
    spot = replace(timeline.spot, open=begins, high=highs, low=lows, close=closes)
    return replace(timeline, spot=spot)


def holding(*tables: dict[str, Any], flows: Path | None = None) -> Settings:
    """Settings with these holdings."""
    return load_settings(overrides={"exposure": {"holdings": list(tables), "flows": flows}})


def at(timeline: Timeline, tick: int) -> str:
    """Moment of a tick as a file writes it."""
    return stamp(int(timeline.ts_ms[tick])).replace(" ", "T") + ":00Z"


def written(folder: Path, name: str, columns: str, rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file."""
    file = folder / name
    lines = [columns, *(",".join(str(value) for value in row) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
