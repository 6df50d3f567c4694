"""Every catalogued feature passes; one that knows tomorrow, or never forgets, is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoise.appraisal.checks import Audit
from counterpoise.appraisal.feature_audit import FeatureSet, audit_features, catalogued
from counterpoise.appraisal.own_feature import load_feature
from counterpoise.errors import FixConfig
from counterpoise.features.catalog import FEATURES
from counterpoise.features.coverage import coverage
from counterpoise.features.engine import compute
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline
from tests.random_timeline import random_timeline


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return random_timeline(24 * 150, seed=6, gap_share=0.002)


def audited(timeline: Timeline, make, warm_up: int = 0) -> Audit:
    """Audit of one feature made from the spot closes."""

    def column(given: Timeline) -> np.ndarray:
        return make(given.spot.close)[:, None]

    return audit_features(timeline, FeatureSet(("mine",), (warm_up,), column))


def smoothed(close: np.ndarray, span: float) -> np.ndarray:
    """Exponentially weighted mean of the known closes."""
    out, mean = np.full(len(close), np.nan), np.nan
    for t, value in enumerate(close):
        if np.isfinite(value):
            mean = value if np.isnan(mean) else mean + (value - mean) * 2 / (span + 1)
        out[t] = mean
    return out


def test_the_catalogue_passes_on_tables_and_timeline(generated_lake: Lake) -> None:
    timeline = build_timeline(generated_lake)
    found = audit_features(timeline, catalogued(), lake=generated_lake, build=build_timeline)
    assert found.failures() == ()
    assert found.verdict == "PASS"
    states = {row.name: row for row in coverage(timeline, compute(timeline))}
    for name in FEATURES:
        looks = found.of(name, "look-ahead")
        if states[name].state == "not evaluated":
            assert (looks.verdict, looks.finding) == ("NOT EVALUATED", states[name].reason)
            continue
        assert looks.verdict == "PASS"
        assert looks.finding.endswith("8 cuts, 8 other futures, 2 cuts of the tables")
        warm_up = found.of(name, "warm-up")
        assert warm_up.value <= FEATURES[name].warm_up + 720


def test_progress_ends_where_it_said(timeline: Timeline) -> None:
    told: list[tuple[str, int, int]] = []
    audit_features(timeline, catalogued(["basis"]), progress=lambda *now: told.append(now))
    assert [done for _, done, _ in told] == list(range(1, told[-1][2] + 1))


def test_a_centred_window_is_caught_with_its_tick_and_both_values(timeline: Timeline) -> None:
    def centred(close: np.ndarray) -> np.ndarray:
        padded = np.concatenate([np.full(3, np.nan), close, np.full(3, np.nan)])
        return np.lib.stride_tricks.sliding_window_view(padded, 7).mean(axis=1)

    found = audited(timeline, centred, warm_up=3)
    check = found.of("mine", "look-ahead")
    assert found.verdict == check.verdict == "FAIL"
    # A cut takes the last three values, eight times; another future changes them.
    assert check.value <= 8 * 3 * 2
    assert "is nan without the hours after tick" in check.finding
    assert "it uses what was not yet known" in check.finding


@pytest.mark.parametrize(
    "make",
    [
        lambda close: close - np.nanmean(close),
        lambda close: close / np.nanmax(close),
        lambda close: np.append(close[1:], 0.0),
        lambda close: np.full(len(close), np.nanstd(close)) * (np.arange(len(close)) % 7),
    ],
    ids=["mean of all", "highest of all", "next close", "spread of all"],
)
def test_whatever_uses_later_hours_is_caught(timeline: Timeline, make) -> None:
    assert audited(timeline, make).of("mine", "look-ahead").verdict == "FAIL"


def test_what_looks_ahead_in_the_tables_is_caught_where_they_are_cut(
    generated_lake: Lake,
) -> None:
    def early(lake: Lake) -> Timeline:
        """A join that takes each close an hour before it was known."""
        timeline = build_timeline(lake)
        close = np.append(timeline.spot.close[1:], np.nan)
        return replace(timeline, spot=replace(timeline.spot, close=close))

    features = catalogued(["log_rv_24h", "hour_sin"])
    timeline = early(generated_lake)
    assert audit_features(timeline, features).verdict == "PASS"
    found = audit_features(timeline, features, lake=generated_lake, build=early)
    check = found.of("log_rv_24h", "look-ahead")
    assert check.verdict == "FAIL"
    assert "from the tables known until tick" in check.finding
    assert found.of("hour_sin", "look-ahead").verdict == "PASS"


def test_a_memory_that_decays_says_how_long_and_one_that_does_not_fails(
    timeline: Timeline,
) -> None:
    short = audited(timeline, lambda close: smoothed(close, 48.0)).of("mine", "warm-up")
    assert short.verdict == "PASS"
    # From a distance of some standard deviations to a hundredth of one at (1 - 2/49) an hour.
    assert 48 < short.value < 300
    assert "standard deviations" in short.finding
    long = audited(timeline, lambda close: smoothed(close, 1500.0)).of("mine", "warm-up")
    assert long.verdict == "FAIL"
    assert long.value > 720
    assert "remembers where history began for longer than 720 h" in long.finding
    total = audited(timeline, np.nancumsum).of("mine", "warm-up")
    assert total.verdict == "FAIL"


def test_what_tells_nothing_is_named_not_failed(timeline: Timeline) -> None:
    constant = audited(timeline, lambda close: np.full(len(close), 7.0))
    assert constant.verdict == "PASS"
    assert constant.of("mine", "varies").verdict == "NOT EVALUATED"
    assert "constant 7" in constant.of("mine", "varies").finding
    unknown = audited(timeline, lambda close: np.full(len(close), np.nan))
    assert unknown.verdict == "NOT EVALUATED"
    assert {check.finding for check in unknown.checks} == {"it is never known"}


def test_a_short_history_says_nothing_of_the_warm_up() -> None:
    found = audited(random_timeline(24 * 20), lambda close: close)
    assert found.of("mine", "look-ahead").verdict == "PASS"
    assert found.of("mine", "warm-up").verdict == "NOT EVALUATED"
    assert "needs 1440 h of history" in found.of("mine", "warm-up").finding


# --- a feature from a file -----------------------------------------------------------------------


def own(folder: Path, text: str) -> FeatureSet:
    file = folder / "my_range.py"
    file.write_text(text, encoding="utf-8")
    return load_feature(file)


def test_a_feature_from_a_file_is_audited_under_its_name(
    timeline: Timeline, tmp_path: Path
) -> None:
    text = "warm_up = 1\ndef feature(timeline):\n    return timeline.spot.high / timeline.spot.low"
    features = own(tmp_path, text)
    assert (features.names, features.warm_up) == (("my_range",), (1,))
    expected = timeline.spot.high / timeline.spot.low
    np.testing.assert_array_equal(features(timeline)[:, 0], expected)
    assert audit_features(timeline, features).verdict == "PASS"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "a file that defines feature(timeline)"),
        ("warm_up = -1\ndef feature(t): ...", "warm_up = -1: expected whole hours >= 0"),
        ("warm_up = '1'\ndef feature(t): ...", "whole hours >= 0"),
    ],
)
def test_a_file_without_a_feature_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FixConfig) as refused:
        own(tmp_path, text)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return timeline.close", "line 2"),
        ("return timeline.spot.close[1:]", "float64 of shape (3599, 1)"),
        ("return timeline.ts_ms", "int64 of shape (3600, 1)"),
        ("return 1.0", "float64 of shape ()"),
    ],
)
def test_a_feature_that_is_no_number_per_tick_is_refused(
    timeline: Timeline, tmp_path: Path, body: str, told: str
) -> None:
    features = own(tmp_path, f"def feature(timeline):\n    {body}")
    with pytest.raises(FixConfig) as refused:
        features(timeline)
    assert told in str(refused.value)
    assert "my_range" in str(refused.value)
