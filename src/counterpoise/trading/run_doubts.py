"""What the newest trained run says against an hour: inputs unlike its training, stale, misleading.

Its forecasts are not traded on; its doubts are. A run that cannot be used doubts nothing, and that
is said.
"""

from collections import deque
from pathlib import Path

from counterpoise.config import Settings
from counterpoise.errors import CounterpoiseError
from counterpoise.market.timeline import Timeline
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.final import live_targets
from counterpoise.signals.growing import goes_on
from counterpoise.signals.live import LiveSignals
from counterpoise.signals.replay import replay, start_row
from counterpoise.signals.store import features_of, list_runs, load
from counterpoise.signals.targets import Target
from counterpoise.units import from_ms


class RunDoubts:
    """Hour after hour, whether the newest run finds the inputs usable.

    Parameters
    ----------
    folder : Path
        Of the runs (``signals train``).
    settings : Settings
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._following: _Following | None = None

    def at(self, timeline: Timeline) -> tuple[str, str]:
        """Why the last tick's forecasts must not be used, and what else is worth knowing.

        Returns
        -------
        doubt, note : str
            Both empty where there is no run, or nothing to say against the hour.
        """
        try:
            runs = list_runs(self._folder)
            if not runs:
                return "", ""
            following = self._following
            if following is None or following.path != runs[-1].path:
                following = self._following = self._follow(runs[-1].path, timeline)
            return following.at(timeline)
        except CounterpoiseError as unusable:
            self._following = None
            return "", f"the trained run doubts nothing: {unusable}"

    def _follow(self, path: Path, timeline: Timeline) -> "_Following":
        now = from_ms(int(timeline.ts_ms[-1]))
        bundle = load(path, features=features_of(path), now=now)
        known = live_targets(self._settings)
        targets = {one.name: known[one.name] for one in bundle.targets if one.name in known}
        return _Following(path, bundle, targets)


class _Following:
    """One run, fed every hour once."""

    def __init__(self, path: Path, bundle: Bundle, targets: dict[str, Target]) -> None:
        self.path = path
        self._bundle, self._targets = bundle, targets
        self._live = LiveSignals(bundle)
        self._start = 0
        self._before: Timeline | None = None
        self._said = ("", "")

    def at(self, timeline: Timeline) -> tuple[str, str]:
        """Feed what came since the last time; what is said against the last tick."""
        if from_ms(int(timeline.ts_ms[-1])) >= self._bundle.expires:
            expires = f"{self._bundle.expires:%Y-%m-%d}"
            return "", f"run {self._bundle.run} was to be used until {expires}"
        fed = None
        if self._before is not None and goes_on(timeline, self._before):
            fed = len(self._before.ts_ms)
        else:
            self._live = LiveSignals(self._bundle)
            self._start = start_row(self._live, self._bundle, timeline)
        hours = replay(self._live, self._targets, timeline, start=self._start, fed=fed)
        for signals in deque(hours, maxlen=1):
            warming = (signals.fallback or "").startswith("warm-up")
            told = f"run {self._bundle.run}: {signals.fallback}" if signals.fallback else ""
            self._said = ("", told) if warming else (told, "")
        self._before = timeline
        return self._said
