"""Which days a study compares: whole UTC days on which every forecast is out of sample.

One window holds for every policy. Nothing here reads a price or a policy.
"""

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import NotEnoughData
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.units import DAY_MS, HOUR_MS, stamp, to_ms

#: Fewest days a comparison is worth.
FEWEST_DAYS = 60


def ready_midnights(
    timeline: Timeline, forecasts: Forecasts, settings: Settings
) -> NDArray[np.intp]:
    """Midnight ticks at which every forecast exists, in order; at least one.

    Raises
    ------
    NotEnoughData
        There is none.
    """
    signals = [
        forecasts.p_up_4h,
        forecasts.p_hedge_pays_4h,
        forecasts.vol_24h,
        forecasts.vol_24h_har,
        forecasts.rho,
    ]
    known = np.all(np.isfinite(np.stack(signals)), axis=0)
    ready = np.flatnonzero((timeline.ts_ms % DAY_MS == 0) & known)
    if not len(ready):
        raise NotEnoughData(
            f"the lake holds {len(timeline.ts_ms) / 24:.0f} days, which is too short to train "
            f"(signals.min_train_days = {settings.signals.min_train_days}) and calibrate the "
            "forecasts. Next: import more history or lower signals.min_train_days."
        )
    return ready


def window(timeline: Timeline, forecasts: Forecasts, settings: Settings) -> tuple[int, int]:
    """First and last (exclusive) tick of the comparison, whole UTC days.

    The default start is the first midnight after ``study.burn_in_days`` of history at which every
    forecast exists.

    Raises
    ------
    NotEnoughData
        Forecasts begin too late, or fewer than 60 days are left.
    """
    midnights = np.flatnonzero(timeline.ts_ms % DAY_MS == 0)
    ready = ready_midnights(timeline, forecasts, settings)
    first = int(ready[0])
    if settings.study.start is None:
        burnt_in = int(timeline.ts_ms[0]) + settings.study.burn_in_days * DAY_MS
        later = midnights[timeline.ts_ms[midnights] >= burnt_in]
        first = max(first, int(later[0]) if len(later) else int(midnights[-1]))
    if settings.study.start is not None:
        wanted = to_ms(settings.study.start)
        if wanted < int(timeline.ts_ms[first]):
            raise NotEnoughData(
                f"--from {stamp(wanted)} lies before the first out-of-sample forecast at "
                f"{stamp(int(timeline.ts_ms[first]))}. Next: start there or later."
            )
        if wanted > int(timeline.ts_ms[midnights[-1]]):
            raise NotEnoughData(
                f"--from {stamp(wanted)} lies after the last whole day of the data, which ends "
                f"{stamp(int(timeline.ts_ms[midnights[-1]]))}. Next: start earlier."
            )
        first = int(midnights[timeline.ts_ms[midnights] >= wanted][0])
    last = int(midnights[-1]) + 1
    refuse_too_few_days(timeline, first, last)
    return first, last


def refuse_too_few_days(timeline: Timeline, first: int, last: int) -> None:
    """Refuse ticks ``[first, last)`` that are fewer days than a comparison is worth.

    Raises
    ------
    NotEnoughData
        Fewer than 60 days.
    """
    days = (last - 1 - first) // 24
    if days < FEWEST_DAYS:
        raise NotEnoughData(
            f"{max(days, 0)} whole days from {stamp(int(timeline.ts_ms[first]))} to "
            f"{stamp(int(timeline.ts_ms[last - 1]))} are too few to compare (at least "
            f"{FEWEST_DAYS}). Next: widen --from .. --to or import more history."
        )


def span_notes(timeline: Timeline, settings: Settings, first: int, last: int) -> tuple[str, ...]:
    """Sentences on where the window of :func:`window` differs from the span asked for."""
    notes = []
    start, end = settings.study.start, settings.study.end
    begins, ends = int(timeline.ts_ms[first]), int(timeline.ts_ms[last - 1])
    if start is not None and to_ms(start) != begins:
        notes.append(
            f"--from {stamp(to_ms(start))} is inside a day; whole days are compared, "
            f"from {stamp(begins)} UTC on"
        )
    data_end = int(timeline.ts_ms[-1])
    if end is not None and to_ms(end) - data_end >= HOUR_MS:
        notes.append(
            f"--to {stamp(to_ms(end))} lies after the data, which end {stamp(data_end)}; "
            f"the comparison ends {stamp(ends)} UTC"
        )
    elif end is not None and to_ms(end) != ends:
        notes.append(
            f"--to {stamp(to_ms(end))} is inside a day; whole days are compared, "
            f"to {stamp(ends)} UTC"
        )
    return tuple(notes)
