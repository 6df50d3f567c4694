"""Forecasts of a growing market are those of the whole one, and a changed past is not trusted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from counterpoise.config import Settings, SignalSettings
from counterpoise.signals import boosting
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.growing import GrowingForecasts, goes_on
from counterpoise.signals.training import forecast
from tests.random_timeline import cut, random_timeline

SETTINGS = Settings(signals=SignalSettings(min_train_days=60))
#: The hours around the start of a month, 2020-05-01 00:00.
MONTH = 121 * 24


@pytest.fixture(scope="module")
def timeline():
    return random_timeline(MONTH + 40, seed=5, gap_share=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


def same(one: Forecasts, other: Forecasts) -> bool:
    """Equal to the byte, refits included."""
    return all(
        a == b if isinstance(a, tuple) else a.tobytes() == b.tobytes()
        for a, b in zip(
            (getattr(one, field.name) for field in dataclasses.fields(one)),
            (getattr(other, field.name) for field in dataclasses.fields(other)),
            strict=True,
        )
    )


def test_hour_by_hour_the_forecasts_are_those_of_the_whole_history(timeline, folder) -> None:
    growing = GrowingForecasts(SETTINGS, folder)
    for ticks in (MONTH - 30, MONTH - 1, MONTH, MONTH + 1, MONTH + 2, MONTH + 30):
        seen = cut(timeline, ticks)
        assert same(growing.of(seen), forecast(seen, SETTINGS, model_folder=folder))


def test_what_refits_that_are_over_said_is_not_said_again(timeline, folder, monkeypatch) -> None:
    growing = GrowingForecasts(SETTINGS, folder)
    growing.of(cut(timeline, MONTH + 1))
    read = []
    plain = boosting.predict
    monkeypatch.setattr(boosting, "predict", lambda text, X: read.append(len(X)) or plain(text, X))
    growing.of(cut(timeline, MONTH + 2))
    # Three targets, each with the two rows of the month that has begun.
    assert read == [2, 2, 2]


def test_a_past_that_has_changed_is_forecast_anew(timeline, folder) -> None:
    growing = GrowingForecasts(SETTINGS, folder)
    growing.of(cut(timeline, MONTH + 1))
    changed = cut(timeline, MONTH + 2)
    close = changed.spot.close.copy()
    close[MONTH - 200] *= 1.01
    changed = dataclasses.replace(changed, spot=dataclasses.replace(changed.spot, close=close))
    assert not goes_on(changed, cut(timeline, MONTH + 1))
    assert same(growing.of(changed), forecast(changed, SETTINGS, model_folder=folder))


def test_a_timeline_goes_on_from_its_beginnings_only(timeline) -> None:
    assert goes_on(timeline, timeline)
    assert goes_on(timeline, cut(timeline, 100))
    assert not goes_on(cut(timeline, 100), timeline)
    assert not goes_on(timeline, dataclasses.replace(timeline, venues=("dydx",)))
    gas = dict(timeline.daily, vix_close=np.nan_to_num(timeline.daily["vix_close"]) + 1.0)
    assert not goes_on(timeline, dataclasses.replace(timeline, daily=gas))
    assert not goes_on(timeline, dataclasses.replace(timeline, hourly={"open": timeline.spot.open}))
