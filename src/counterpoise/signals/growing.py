"""Forecasts of a market that grows by the hour: what refits that are over said is not said again.

The forecasts are those of ``training.forecast`` over the whole history, to the byte. When an hour
of the past has changed, all of them are made anew; nothing is ever taken over on trust.
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.config import Settings
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.signals.training import Said, forecast


class GrowingForecasts:
    """Walk-forward forecasts of a timeline that goes on, hour after hour.

    Parameters
    ----------
    settings : Settings
    model_folder : Path, optional
        Cache of trained models; without it the month's models are trained every hour.
    """

    def __init__(self, settings: Settings, model_folder: Path | None = None) -> None:
        self._settings, self._folder = settings, model_folder
        self._before: Timeline | None = None
        self._said: Said = {}

    def of(self, timeline: Timeline) -> Forecasts:
        """Forecasts of a timeline, as ``training.forecast`` gives them.

        Raises
        ------
        NotEnoughData
            As ``training.forecast``.
        """
        if self._before is None or not goes_on(timeline, self._before):
            self._said = {}
        found = forecast(timeline, self._settings, model_folder=self._folder, said=self._said)
        # The refit in force has not said all: its rows grow with the clock.
        ticks = len(timeline.ts_ms)
        self._said = {key: rows for key, rows in self._said.items() if key[1].predict.stop < ticks}
        self._before = timeline
        return found


def goes_on(timeline: Timeline, before: Timeline) -> bool:
    """Whether a timeline begins with all that another one holds, an unknown being no other.

    Parameters
    ----------
    timeline, before : Timeline
    """
    if timeline.venues != before.venues:
        return False
    ticks, held = len(before.ts_ms), dict(_arrays(timeline))
    known = dict(_arrays(before))
    return held.keys() == known.keys() and all(
        np.array_equal(held[name][:ticks], values, equal_nan=True) for name, values in known.items()
    )


def _arrays(held: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a timeline, by a name of its own."""
    if isinstance(held, np.ndarray):
        yield name, held
    elif isinstance(held, dict):
        for key, value in held.items():
            yield from _arrays(value, f"{name}.{key}")
    elif isinstance(held, Timeline | Bars):
        for field in fields(held):
            yield from _arrays(getattr(held, field.name), f"{name}.{field.name}")
