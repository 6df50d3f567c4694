"""Forecasts as of this hour, or the reason why there are none.

Every hour one row of inputs becomes features, forecasts and the three readings of C, by the code
that also scans history. Where models must not be trusted every forecast is NaN, so a policy holds
its last intent for the grace period and then falls towards the static hedge; the reason and since
when it holds are part of the answer. What to hedge is not decided here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig, RejectData
from counterpoise.features.catalog import FEATURES
from counterpoise.features.engine import Live
from counterpoise.signals.bounds import PHASE, RANGES, Bounds
from counterpoise.signals.bundle import NETWORK, Bundle
from counterpoise.signals.drift import Drift, DriftLimits, Measures, stale
from counterpoise.signals.live_calibration import Calibration
from counterpoise.signals.lstm_forward import LiveEnsemble
from counterpoise.signals.outputs import Outputs
from counterpoise.units import HOUR_MS, stamp, to_ms

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: Targets behind C.
UP, PAYS = "direction.4h", "hedge_pays.4h"
#: Group of a bundle's tensors that holds ``drift.reference`` of its training rows.
REFERENCE = "reference"
#: Hours without any reason against them before forecasts are used again.
CALM_H = 3
#: Hours beyond its horizon that an outcome may come late.
_LATE_H = 168


@dataclass(frozen=True)
class Signals:
    """What is forecast at one tick.

    Attributes
    ----------
    ts_ms : int
    values, lower, upper : dict of str to float
        Forecast of every target of the bundle and the interval of what it is about: of the return
        for a probability; a quantile has an upper bound alone, which is its forecast. All NaN in
        fallback.
    literal, bearish, hedge_value : float
        C in its three readings: P(up), 1 − P(up), P(hedge pays); NaN in fallback, or where the
        bundle has no such target.
    fallback : str or None
        Why nothing may be used, in plain words; None where the values stand.
    since_ms : int or None
        First tick of this fallback.
    unknown : tuple of str
        Targets without a value.
    measures : Measures
        How far this tick is from the training.
    """

    ts_ms: int
    values: dict[str, float]
    lower: dict[str, float]
    upper: dict[str, float]
    literal: float
    bearish: float
    hedge_value: float
    fallback: str | None
    since_ms: int | None
    unknown: tuple[str, ...]
    measures: Measures


class _Hold:
    """Fallback with memory: at once into it, out of it only after some calm hours."""

    def __init__(self, calm_h: int) -> None:
        self._calm_h = calm_h
        self._clear = 0
        self.alarm = False
        self.reason: str | None = None
        self.since_ms: int | None = None

    def update(self, reason: str, ts_ms: int, *, alarm: bool) -> str | None:
        """Take the reason of this tick, empty for none; return what to say.

        What is no ``alarm``, a warm-up, is over when it is over.
        """
        if reason:
            self.since_ms = ts_ms if self.reason is None else self.since_ms
            self.reason, self._clear, self.alarm = reason, 0, alarm
            return reason
        if self.reason is None:
            return None
        self._clear += 1
        if self._clear > self._calm_h or not self.alarm:
            self.reason = self.since_ms = None
            self.alarm = False
            return None
        return f"{self.reason}; clear for {self._clear} of {self._calm_h} h"


class LiveSignals:
    """Forecasts per hour, with their memory and their doubts.

    Feed it history first: until it has seen ``warm_up_h`` ticks, and until the training of its
    models has ended, it is in fallback.

    Parameters
    ----------
    bundle : Bundle
        With ``tensors["reference"]`` from ``drift.reference``.
    limits : DriftLimits, optional
    calm_h : int
        Ticks in a row without a reason before a fallback ends.
    up, pays : str
        Targets behind C: P(up) and P(hedge pays).

    Attributes
    ----------
    inputs : tuple of str
        C columns a row must hold, in this order (see ``features.engine.column``).
    warm_up_h : int
        The longest warm-up of a feature, or the drift window if that is longer.

    Raises
    ------
    FixConfig
        The bundle has no reference, or bounds without the features they need.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: DriftLimits | None = None,
        calm_h: int = CALM_H,
        up: str = UP,
        pays: str = PAYS,
    ) -> None:
        limits = limits or DriftLimits()
        self._outputs = Outputs(bundle)
        if REFERENCE not in bundle.tensors:
            fix = f"save drift.reference of the training rows as tensors[{REFERENCE!r}]"
            raise FixConfig("bundle tensors", list(bundle.tensors), REFERENCE, fix)
        self._features = Live(bundle.features)
        self.inputs = self._features.inputs
        self._bars = np.array(
            [i for i, name in enumerate(self.inputs) if name.startswith(("spot.", "perp."))],
            np.intp,
        )
        reference = bundle.tensors[REFERENCE]
        self._drift = Drift(reference, bundle.features, limits)
        self._limits = limits
        self._ensemble = LiveEnsemble(bundle.networks) if self._outputs.columns else None
        self._read = bundle.tensors[NETWORK]["columns"] if self._outputs.columns else None
        warm_ups = [FEATURES[name].warm_up for name in bundle.features]
        self.warm_up_h = max(*warm_ups, int(reference["window"][0]))
        self._trained_ms, self._expires_ms = to_ms(bundle.trained_to), to_ms(bundle.expires)
        self._place = {name: k for k, name in enumerate(self._outputs.names)}
        self._up, self._pays = self._place.get(up), self._place.get(pays)
        self._calibration = {
            target.name: Calibration(target.horizon_h, limits)
            for target in bundle.targets
            if target.output == "probability"
        }
        self._z = dict.fromkeys(self._calibration, float("nan"))
        kept = max(target.horizon_h for target in bundle.targets) + _LATE_H
        self._recent = np.full((kept, len(self._place)), np.nan)
        self._bounds = {
            target.name: Bounds.of(target.output, target.horizon_h, bundle.tensors[target.bounds])
            for target in bundle.targets
            if target.bounds
        }
        self._ranges, self._phase = _bounded_by(bundle, self._bounds)
        self._hold = _Hold(calm_h)
        self._ts_ms: int | None = None
        self._newest_ms: int | None = None
        self._seen = 0

    def update(
        self,
        row: Floats,
        *,
        ts_ms: int,
        newest_ms: int | None = None,
        known: Mapping[str, float] | None = None,
    ) -> Signals:
        """Take the inputs of one hour, return the forecasts as of it.

        Parameters
        ----------
        row : float64 (C,)
            Values of ``inputs`` known at the tick; NaN where there is none.
        ts_ms : int
            The tick: the hour after the last one given.
        newest_ms : int, optional
            When the newest market input was known; by default the last tick with a bar in its row.
        known : mapping of str to float, optional
            What became of each target's tick its horizon before, known now: the return for a
            probability. The bounds move by it; what is not told moves nothing.

        Returns
        -------
        Signals

        Raises
        ------
        RejectData
            A tick that does not follow the last one, or an input from after its tick. Nothing was
            taken.
        """
        self._check_clock(ts_ms, newest_ms)
        features = self._features.update(row)
        measures = self._drift.update(features)
        ensemble = None
        if self._ensemble is not None:
            ensemble = self._ensemble.update(features[self._read])[None, :]
        raw = self._outputs.rows(features[None, :], ensemble)[0]
        lower, upper = self._bound(raw, features, ts_ms, known or {})
        self._ts_ms, self._seen = ts_ms, self._seen + 1
        self._note_newest(row, newest_ms)
        # Forecasts of hours the models were trained on say nothing about their calibration.
        at = ts_ms // HOUR_MS % len(self._recent)
        self._recent[at] = raw if ts_ms >= self._trained_ms else np.nan
        warming = ts_ms < self._trained_ms or self._seen < self.warm_up_h
        fallback = self._hold.update(self._reason(features, measures), ts_ms, alarm=not warming)
        if fallback is not None:
            raw, lower, upper = (np.full_like(raw, np.nan) for _ in range(3))
        values, names = raw.tolist(), self._outputs.names
        literal = float("nan") if self._up is None else values[self._up]
        return Signals(
            ts_ms=ts_ms,
            values=dict(zip(names, values, strict=True)),
            lower=dict(zip(names, lower.tolist(), strict=True)),
            upper=dict(zip(names, upper.tolist(), strict=True)),
            literal=literal,
            bearish=1.0 - literal,
            hedge_value=float("nan") if self._pays is None else values[self._pays],
            fallback=fallback,
            since_ms=self._hold.since_ms,
            unknown=tuple(name for name, k in self._place.items() if math.isnan(values[k])),
            measures=measures,
        )

    def outcome(self, target: str, ts_ms: int, happened: float) -> None:
        """Tell what became of a forecast: the rolling calibration rests on it.

        Parameters
        ----------
        target : str
            A probability of the bundle.
        ts_ms : int
            Tick of the forecast. It counts once, whether it was in fallback or not; one the models
            were trained on does not count.
        happened : float
            0 or 1; NaN where it cannot be said.

        Raises
        ------
        FixConfig
            No such target.
        RejectData
            A tick not seen, seen too long ago or not over yet; or no such outcome.
        """
        if target not in self._calibration:
            known = f"one of {', '.join(self._calibration)}"
            raise FixConfig("target", target, known, "name a probability of the bundle")
        horizon_h = self._calibration[target].horizon_h
        oldest = min(self._seen, len(self._recent)) - 1
        back, off = divmod((self._ts_ms or 0) - ts_ms, HOUR_MS)
        if off or not horizon_h <= back <= oldest:
            told = f"a tick seen, {horizon_h} to {len(self._recent) - 1} h before the last one"
            raise _refuse_tick("ts_ms of outcome", stamp(ts_ms), told, "tell outcomes once over")
        if happened not in {0.0, 1.0} and not math.isnan(happened):
            raise _refuse_tick("outcome", happened, "0, 1 or NaN", "measure it as the label does")
        values, place = self._recent[ts_ms // HOUR_MS % len(self._recent)], self._place[target]
        self._z[target] = self._calibration[target].update(float(values[place]), happened)
        values[place] = np.nan

    def _bound(
        self, raw: Floats, features: Floats, ts_ms: int, known: Mapping[str, float]
    ) -> tuple[Floats, Floats]:
        """Bounds of every target; the adaptive bound of a quantile replaces it in ``raw``."""
        lower, upper = np.full(len(raw), np.nan), np.full(len(raw), np.nan)
        # Hours of the training have moved the bounds already.
        if ts_ms < self._trained_ms:
            return lower, upper
        before = self._trained_ms - HOUR_MS if self._seen == 0 else self._ts_ms or 0
        missed = (ts_ms - max(before, self._trained_ms - HOUR_MS)) // HOUR_MS - 1
        ranges, phase = features[None, self._ranges], features[self._phase]
        for name, bounds in self._bounds.items():
            if missed > 0:
                bounds.skip(missed)
            k = self._place[name]
            happened = np.array([known.get(name, np.nan)])
            low, high = bounds.scan(raw[k : k + 1], happened, ranges, phase)
            lower[k], upper[k] = low[0], high[0]
            if bounds.output == "quantile":
                raw[k] = high[0]
        return lower, upper

    def drift_index(self) -> dict[str, float]:
        """Population stability index of every feature over the window; NaN until it is full."""
        return self._drift.drift_index()

    def calibration_z(self) -> dict[str, float]:
        """Standard errors between mean forecast and mean outcome; NaN before enough are known."""
        return dict(self._z)

    def _check_clock(self, ts_ms: int, newest_ms: int | None) -> None:
        if ts_ms % HOUR_MS:
            raise _refuse_tick("ts_ms", ts_ms, "a full hour", "round it to the decision clock")
        if self._ts_ms is not None and ts_ms != self._ts_ms + HOUR_MS:
            told = f"{stamp(self._ts_ms + HOUR_MS)}, the hour after the last tick"
            fix = "give every hour once and in order, with NaN where nothing is known"
            raise _refuse_tick("ts_ms", stamp(ts_ms), told, fix)
        if newest_ms is not None and newest_ms > ts_ms:
            told = f"nothing from after {stamp(ts_ms)}"
            raise _refuse_tick("newest_ms", stamp(newest_ms), told, "give only what was known then")

    def _note_newest(self, row: Floats, newest_ms: int | None) -> None:
        if newest_ms is not None:
            self._newest_ms = newest_ms
        elif not len(self._bars) or not np.isnan(row[self._bars]).all():
            self._newest_ms = self._ts_ms

    def _reason(self, features: Floats, measures: Measures) -> str:
        """Why this tick must not be used; empty where it may. The gravest reason comes first."""
        ts_ms = self._ts_ms or 0
        if ts_ms >= self._expires_ms:
            return f"expired: the models were to be used until {stamp(self._expires_ms)}"
        if ts_ms < self._trained_ms:
            return f"warm-up: the models have seen what happened until {stamp(self._trained_ms)}"
        if self._seen < self.warm_up_h:
            return f"warm-up: {self._seen} of {self.warm_up_h} h seen"
        newest = self._newest_ms
        age_h = float("nan") if newest is None else (ts_ms - newest) / HOUR_MS
        held = self._hold.alarm
        return (
            stale(age_h, self._limits)
            or self._drift.reason(features, measures, held=held)
            or self._miscalibrated(held)
        )

    def _miscalibrated(self, held: bool) -> str:
        for target, calibration in self._calibration.items():
            if reason := calibration.reason(self._z[target], held=held):
                return f"{reason}; target {target}"
        return ""


def _bounded_by(bundle: Bundle, bounds: Mapping[str, Bounds]) -> tuple[Places, Places]:
    """Places of the features that scale a return and that part the hours; 0 where not needed."""
    place = {name: f for f, name in enumerate(bundle.features)}
    needed: set[str] = set()
    for one in bounds.values():
        needed |= set(RANGES) if one.output == "probability" else set()
        needed |= {PHASE} if len(one.phases) > 1 else set()
    if absent := sorted(needed - set(place)):
        fix = "train a bundle that holds them"
        raise FixConfig("bundle features", absent, "features the bounds rest on", fix)
    return (
        np.array([place.get(name, 0) for name in RANGES], np.intp),
        np.array([place.get(PHASE, 0)], np.intp),
    )


def _refuse_tick(place: str, value: object, expected: str, next_step: str) -> RejectData:
    return RejectData("live ticks", place, value, expected, next_step)
