"""Whether scheduled events matter to a hedger: the market inside windows around them, and outside.

The windows of a class are held against the same windows shifted by whole weeks within their year:
as many of them, as far apart, on the same weekdays and hours. What is measured describes what took
place; no feature and no policy reads it, and nothing here knows what an event was about.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.compiled import njit
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.market.calendar import CLASSES
from counterpoise.market.event_clock import event_times
from counterpoise.market.timeline import Timeline
from counterpoise.study.inference import holm
from counterpoise.units import BPS, HOUR_MS, HOURS_PER_YEAR, stamp

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Measures of a window, in the order of the kernel's columns, and the series each rests on.
MEASURES = {
    "hedge_effectiveness": 0,
    "spot_vol": 0,
    "basis_mean_bps": 2,
    "basis_sd_bps": 2,
    "funding_mean_bps": 3,
    "funding_sd_bps": 3,
    "worst_rise": 0,
    "worst_fall": 0,
}
#: Fewer events than these say nothing that a p-value could be put to.
FEWEST_EVENTS = 5
#: Longest window on either side: beyond a month it is no longer about the event.
MOST_HOURS = 720
WEEK_H = 168
DAY_H = 24
#: Weeks of a stretch that windows are shifted within, so that a year is compared with itself.
YEAR_WEEKS = 52
_FEWEST_DRAWS = 100


@dataclass(frozen=True)
class Measured:
    """One measure of the hours around the events of a class.

    Attributes
    ----------
    name : str
        A key of ``MEASURES``.
    inside, outside : float
        Its value in the windows, and in all other hours.
    usual : float
        Its mean over the shifted windows: what as many hours of those weekdays show by chance.
    difference, low, high : float
        ``inside`` − ``usual``, and the ends of its 95 % interval.
    p, p_holm : float
        Two-sided p-value, and Holm's over all classes and measures; NaN where events are too few.
    events : int
        Events whose window holds any value of it.
    """

    name: str
    inside: float
    outside: float
    usual: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    events: int

    @property
    def significant(self) -> bool:
        """Whether it differs from the usual at 5 %, all classes and measures counted."""
        return self.p_holm <= 0.05


@dataclass(frozen=True)
class EventEffect:
    """The market around the events of one class.

    Attributes
    ----------
    kind : str
        Class of the calendar.
    events, windows : int
        Events inside the data, and windows once overlapping ones are merged.
    hours_inside, hours_outside : int
        Hours with a return of spot and perpetual.
    first_ms, last_ms : int
        Span of the data, UTC.
    shift_h : int
        Hours the windows are shifted by, or a multiple of them: a week, or a day where the data
        are shorter than a year.
    measures : tuple of Measured
        In the order of ``MEASURES``.
    """

    kind: str
    events: int
    windows: int
    hours_inside: int
    hours_outside: int
    first_ms: int
    last_ms: int
    shift_h: int
    measures: tuple[Measured, ...]

    @property
    def too_few(self) -> bool:
        """Whether there are too few events for a p-value."""
        return self.events < FEWEST_EVENTS

    def measure(self, name: str) -> Measured:
        """Return the measure of this name."""
        return self.measures[list(MEASURES).index(name)]


@njit
def _describe(series: Floats, rows: Indices) -> Floats:
    """Every measure of some hours; NaN where fewer than two values are known.

    ``series`` (4, T) = spot return, spot minus perpetual return, basis, funding per 8 h.
    """
    count = np.zeros(4)
    total = np.zeros(4)
    for row in rows:
        for k in range(4):
            value = series[k, row]
            if not np.isnan(value):
                count[k] += 1.0
                total[k] += value
    squares = np.zeros(4)
    rise, fall = -np.inf, np.inf
    for row in rows:
        for k in range(4):
            value = series[k, row]
            if not np.isnan(value):
                squares[k] += (value - total[k] / count[k]) ** 2
        if not np.isnan(series[0, row]):
            rise = max(rise, series[0, row])
            fall = min(fall, series[0, row])
    out = np.full(8, np.nan)
    if count[0] >= 2.0 and squares[0] > 0.0:
        out[0] = 1.0 - squares[1] / squares[0]
        out[1] = np.sqrt(squares[0] / (count[0] - 1.0) * HOURS_PER_YEAR)
        out[6], out[7] = rise, fall
    for k in (2, 3):
        if count[k] >= 2.0:
            out[2 * k - 2] = total[k] / count[k] / BPS
            out[2 * k - 1] = np.sqrt(squares[k] / (count[k] - 1.0)) / BPS
    return out


@njit
def _rows_around(at: Indices, before: int, after: int, held: Indices, mark: int) -> Indices:
    """Hours of all windows, each once; those beyond the ends of ``held`` do not exist.

    ``held`` (T,) is scratch space: rows that hold ``mark`` are already taken.
    """
    rows = np.empty(at.shape[0] * (before + after), np.int64)
    count = 0
    for centre in at:
        first = max(centre - before + 1, 0)
        for row in range(first, min(centre + after + 1, held.shape[0])):
            if held[row] != mark:
                held[row] = mark
                rows[count] = row
                count += 1
    return rows[:count]


@njit
def _shifted(series: Floats, landed: Indices, before: int, after: int) -> Floats:
    """Measures (draws, 8) of the windows around ``landed`` (draws, N)."""
    out = np.empty((landed.shape[0], 8))
    held = np.full(series.shape[1], -1, np.int64)
    for draw in range(landed.shape[0]):
        rows = _rows_around(landed[draw], before, after, held, draw)
        out[draw] = _describe(series, rows)
    return out


def event_windows(
    timeline: Timeline,
    *,
    before_h: int = 24,
    after_h: int = 24,
    draws: int = 10_000,
    seed: int = 11,
) -> tuple[EventEffect, ...]:
    """Hedge, volatility, basis and funding around the events of each class, and elsewhere.

    Parameters
    ----------
    timeline : Timeline
        With a calendar; spot and the first venue's perpetual are measured.
    before_h, after_h : int
        Hours before and after an event that belong to it; an hour belongs by its close, so that a
        window is ``before_h + after_h`` hours, the hour in which the event falls among those after.
    draws : int
        Shifts drawn.
    seed : int
        Seed of the generator; the same seed gives the same numbers.

    Returns
    -------
    tuple of EventEffect
        One per class of the calendar, in its order. Hedge effectiveness is that of a full hedge,
        1 − Var(spot − perpetual)/Var(spot) of hourly returns; ``spot_vol`` is annualised; basis is
        perpetual/spot − 1 at the close; funding is per 8 h, whatever the interval; ``worst_rise``
        and ``worst_fall`` are the largest and the smallest hourly return of spot.

    Raises
    ------
    FixConfig
        Hours that are negative, none, more than 720, or leave nothing outside; fewer than 100
        draws.
    NotEnoughData
        No calendar, no hour with both prices, or no event inside the data.

    Notes
    -----
    The windows of events that took effect are laid where they were; overlapping ones of a class
    are merged, and an event near one of another class belongs to both, so classes are not
    independent of each other. Hours without a price are left out, never filled.

    The null hypothesis is that the moments of the events are arbitrary. The history is cut into
    stretches of about a year, and in each the windows move together by a random number of whole
    weeks, round its end to its beginning: number, spacing, weekday and hour of the day are kept,
    and an event of a calm year is compared with that year. One shift of the whole history has
    too few weeks to be drawn from for Holm's correction (287 in five and a half years, against 24
    tests), and holds the dates of calm years against rough ones. Data shorter than a year are
    shifted by whole days, as one stretch.

    The statistic is the measure inside the windows, its centre the mean of the shifted ones, its
    p-value two-sided, (1 + shifts at least as far from the centre)/(1 + draws). The interval is the
    difference ± the distance that 95 % of the shifts stay within; it excludes 0 exactly when
    p ≤ 0.05. It says how far chance alone reaches, and takes the spread around events to be that of
    other hours: where events raise volatility it is too narrow. Shifting some windows onto others
    of their class makes the test a little conservative. Where the perpetual or the spot of a shift
    is wholly unknown the shift counts as further out.
    """
    _check(before_h, after_h, draws)
    if not timeline.events:
        # The calendar is of real events, and a lake of generated data refuses it.
        step = (
            "name a lake of real data" if timeline.synthetic else "counterpoise data fetch events"
        )
        raise NotEnoughData(f"the lake holds no calendar of events. Next: {step}.")
    series, ts_ms = _series(timeline)
    found = []
    for number, kind in enumerate(CLASSES):
        times = event_times(timeline.events, timeline.ts_ms, kind)
        at = (times[(ts_ms[0] <= times) & (times <= ts_ms[-1])] - ts_ms[0]) // HOUR_MS
        rng = np.random.default_rng([seed, number])
        found.append(_effect(kind, series, at, ts_ms, (before_h, after_h), draws, rng))
    if not any(one.events for one in found):
        raise NotEnoughData(
            f"no event of the calendar falls inside the data, {_span(ts_ms)}. "
            "Next: import data around events, or add your own to sources.events.file."
        )
    known = [one.p for effect in found for one in effect.measures if np.isfinite(one.p)]
    adjusted = iter(holm(known).tolist())
    return tuple(
        replace(
            effect,
            measures=tuple(
                replace(one, p_holm=next(adjusted)) if np.isfinite(one.p) else one
                for one in effect.measures
            ),
        )
        for effect in found
    )


def _check(before_h: int, after_h: int, draws: int) -> None:
    for option, hours in (("--before", before_h), ("--after", after_h)):
        if not 0 <= hours <= MOST_HOURS:
            expected = f"hours from 0 to {MOST_HOURS}"
            raise FixConfig(option, hours, expected, "24 is the default")
    if before_h + after_h == 0:
        raise FixConfig("--after", after_h, "a window of at least an hour", "24 is the default")
    if draws < _FEWEST_DRAWS:
        expected = f"at least {_FEWEST_DRAWS}"
        raise FixConfig("study.draws", draws, expected, "raise it; 10000 is the default")


def _span(ts_ms: NDArray[np.int64]) -> str:
    return f"{stamp(int(ts_ms[0]))} to {stamp(int(ts_ms[-1]))}"


def _series(timeline: Timeline) -> tuple[Floats, NDArray[np.int64]]:
    """Spot return, what a full hedge leaves of it, basis and funding (4, T), and their hours.

    From the first hour with both prices to the last.
    """
    spot, perp = timeline.spot.close, timeline.perp.close[:, 0]
    both = np.flatnonzero(np.isfinite(spot) & np.isfinite(perp))
    if not both.size:
        raise NotEnoughData(
            f"no hour has a price of both spot and {timeline.venues[0]} perpetual. "
            "Next: import bars of one span for both."
        )
    span = slice(both[0], both[-1] + 1)
    spot, perp = spot[span], perp[span]
    of_spot, of_perp = np.full((2, len(spot)), np.nan)
    of_spot[1:], of_perp[1:] = spot[1:] / spot[:-1] - 1.0, perp[1:] / perp[:-1] - 1.0
    left = of_spot - of_perp
    of_spot[np.isnan(left)] = np.nan
    per_8h = timeline.funding_settled[span, 0] * 8.0 / timeline.funding_interval_h[span, 0]
    return np.stack([of_spot, left, perp / spot - 1.0, per_8h]), timeline.ts_ms[span]


@dataclass(frozen=True)
class _Stretches:
    """Where windows may go: stretches of about a year, in hours from the first.

    The last week, or day, may be cut short: its missing hours are unknown ones.
    """

    step: int
    begin: Indices
    length: Indices

    @classmethod
    def of(cls, hours: int) -> "_Stretches":
        step = WEEK_H if hours >= YEAR_WEEKS * WEEK_H else DAY_H
        steps = -(-hours // step)
        pieces = max(steps // YEAR_WEEKS, 1) if step == WEEK_H else 1
        edges = step * np.rint(np.linspace(0, steps, pieces + 1)).astype(np.int64)
        return cls(step, edges[:-1], np.diff(edges))

    def draw(self, at: Indices, draws: int, rng: np.random.Generator) -> Indices:
        """Hours at which events land in each draw (draws, N); those of a stretch move together."""
        number = np.searchsorted(self.begin, at, side="right") - 1
        steps = rng.integers(0, self.length // self.step, (draws, len(self.length)))
        begin, length = self.begin[number], self.length[number]
        landed = begin + (at - begin + self.step * steps[:, number]) % length
        return np.asarray(landed, np.int64)


def _effect(
    kind: str,
    series: Floats,
    at: Indices,
    ts_ms: NDArray[np.int64],
    hours: tuple[int, int],
    draws: int,
    rng: np.random.Generator,
) -> EventEffect:
    """Measure one class, before Holm's correction."""
    ticks, known = len(ts_ms), np.isfinite(series)
    held = np.full(ticks, -1, np.int64)
    before, after = hours
    rows = [_rows_around(at[i : i + 1], before, after, held, i) for i in range(len(at))]
    # (N, 4): which series are known anywhere in the window of each event.
    covered = np.array([known[:, own].any(axis=1) for own in rows], bool).reshape(-1, len(series))
    seen = covered.any(axis=1)
    at, covered = at[seen], covered[seen]
    inside = np.zeros(ticks, bool)
    inside[_rows_around(at, before, after, held, len(rows))] = True
    if inside.all():
        raise FixConfig(
            "--before, --after",
            list(hours),
            f"hours outside the windows of {kind} events",
            "choose fewer hours",
        )
    within = _describe(series, np.flatnonzero(inside))
    without = _describe(series, np.flatnonzero(~inside))
    stretches = _Stretches.of(ticks)
    shifted = np.empty((0, len(MEASURES)))
    if len(at) >= FEWEST_EVENTS:
        shifted = _shifted(series, stretches.draw(at, draws, rng), before, after)
    return EventEffect(
        kind=kind,
        events=len(at),
        windows=1 + int(np.count_nonzero(np.diff(at) >= before + after)) if len(at) else 0,
        hours_inside=int(np.count_nonzero(known[0] & inside)),
        hours_outside=int(np.count_nonzero(known[0] & ~inside)),
        first_ms=int(ts_ms[0]),
        last_ms=int(ts_ms[-1]),
        shift_h=stretches.step,
        measures=tuple(
            _measured(
                name,
                float(within[column]),
                float(without[column]),
                shifted[:, column],
                int(covered[:, MEASURES[name]].sum()),
            )
            for column, name in enumerate(MEASURES)
        ),
    )


def _measured(name: str, inside: float, outside: float, shifted: Floats, events: int) -> Measured:
    """Hold one measure against its value in the shifted windows."""
    unknown = float("nan")
    usual = difference = half = p = unknown
    drawn = np.isfinite(shifted)
    if events >= FEWEST_EVENTS and np.isfinite(inside) and drawn.any():
        usual = float(shifted[drawn].mean())
        difference = inside - usual
        distance = np.sort(np.where(drawn, np.abs(shifted - usual), np.inf))
        # A shift back to where the windows were is as far, whatever the order of its sum.
        reached = abs(difference) * (1.0 - 1e-9)
        draws = len(shifted)
        p = (1 + int(np.count_nonzero(distance >= reached))) / (1 + draws)
        half = float(distance[-(-19 * (draws + 1) // 20) - 1])
    return Measured(
        name,
        inside,
        outside,
        usual,
        difference,
        difference - half,
        difference + half,
        p,
        unknown,
        events,
    )
