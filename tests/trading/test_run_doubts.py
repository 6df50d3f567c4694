"""A trained run that finds the inputs unusable takes the intent of an hour, and nothing else."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings
from counterpoise.market.assemble import build_timeline
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.current import current
from counterpoise.signals.final import live_targets
from counterpoise.signals.retrain import train_live
from counterpoise.signals.store import save
from counterpoise.trading.bringing import FromPast
from counterpoise.trading.hour_desk import HourDesk
from counterpoise.trading.run_doubts import RunDoubts
from counterpoise.units import HOUR_MS
from tests.random_timeline import cut
from tests.trading.test_hour_desk import assert_same, settings_of

TRAINED = 3300


@pytest.fixture(scope="module")
def timeline(generated_lake) -> Timeline:
    return build_timeline(generated_lake)


@pytest.fixture(scope="module")
def bundle(timeline, tmp_path_factory) -> Bundle:
    """Trained on the beginning of the market."""
    return train_live(
        cut(timeline, TRAINED),
        settings_of(tmp_path_factory.mktemp("training")),
        created_at=datetime(2021, 5, 19, tzinfo=UTC),
        keys=("volatility.24h",),
        network=False,
    )


@pytest.fixture
def settings(tmp_path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def folder(bundle, settings) -> Path:
    """Runs of a lake, with one in it."""
    return save(settings.lake / "models", bundle).parent


def silent(timeline: Timeline, hours: int) -> Timeline:
    """The same market, whose last bars have not come."""

    def without(bars: Bars) -> Bars:
        def last(values: np.ndarray) -> np.ndarray:
            values = values.copy()
            values[len(values) - hours :] = np.nan
            return values

        return Bars(*(last(getattr(bars, name)) for name in Bars.__dataclass_fields__))

    return replace(timeline, spot=without(timeline.spot), perp=without(timeline.perp))


def test_without_a_run_nothing_is_doubted(timeline, tmp_path) -> None:
    assert RunDoubts(tmp_path, settings_of(tmp_path)).at(timeline) == ("", "")


def test_hour_by_hour_it_says_what_signals_now_says(timeline, settings, folder, bundle) -> None:
    doubts = RunDoubts(folder, settings)
    told = set()
    for ticks in range(TRAINED + 1, TRAINED + 12):
        # Nothing comes for some hours, and then all of it.
        seen = cut(timeline, ticks)
        seen = silent(seen, ticks - TRAINED - 3) if 5 <= ticks - TRAINED < 9 else seen
        fallback = current(bundle, live_targets(settings), seen)["fallback"]
        assert doubts.at(seen) == (f"run {bundle.run}: {fallback}" if fallback else "", "")
        told.add(bool(fallback))
    assert told == {False, True}


def test_a_run_that_is_over_doubts_nothing_and_says_so(timeline, settings, folder) -> None:
    later = replace(timeline, ts_ms=timeline.ts_ms + 90 * 24 * HOUR_MS)
    doubt, note = RunDoubts(folder, settings).at(later)
    assert doubt == ""
    assert "expires" in note
    following = RunDoubts(folder, settings)
    following.at(cut(timeline, TRAINED + 1))
    doubt, note = following.at(later)
    assert doubt == ""
    assert "was to be used until" in note


def test_a_doubt_takes_the_intent_and_leaves_prices_and_guard(
    timeline, settings, folder, bundle, generated_lake
) -> None:
    desk = HourDesk(settings, FromPast(settings, generated_lake))
    known = desk.hour(int(timeline.ts_ms[TRAINED + 4])).signals
    assert math.isfinite(known.lo)
    # A newer run, trained on a world in which every feature was far higher.
    seen = bundle.tensors["reference"]
    higher = {**seen, "low": seen["low"] + 1e12, "high": seen["high"] + 1e12}
    other = replace(
        bundle,
        run="20210520-000000-00000000",
        created_at=datetime(2021, 5, 20, tzinfo=UTC),
        tensors={**bundle.tensors, "reference": higher},
    )
    save(folder, other)
    doubted = desk.hour(int(timeline.ts_ms[TRAINED + 4])).signals
    assert doubted.why.startswith("run 20210520-000000-00000000: out of distribution")
    taken = ("lo", "hi", "to_lo", "to_hi", "target")
    assert all(math.isnan(getattr(doubted, name)) for name in taken)
    assert_same(replace(doubted, why="", **{name: getattr(known, name) for name in taken}), known)


def test_a_run_that_cannot_be_read_doubts_nothing_and_says_so(timeline, settings, folder) -> None:
    (manifest,) = folder.glob("*/manifest.json")
    manifest.write_text("{}", encoding="utf-8")
    doubt, note = RunDoubts(folder, settings).at(cut(timeline, TRAINED + 5))
    assert doubt == ""
    assert note.startswith("the trained run doubts nothing: ")
