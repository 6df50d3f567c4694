"""Perpetual bars that spot does not believe: wicks, wrong closes, another market altogether."""

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import RejectData
from counterpoise.market.timeline import Bars, Suspect
from counterpoise.units import HOUR_MS, stamp

Floats = NDArray[np.float64]
Millis = NDArray[np.int64]

#: A perpetual's extreme this far outside the spot extreme of the same hour is not believed.
SUSPECT_SHARE = 0.10
#: Share of hours in which perpetual and spot may disagree before it is another market.
STRANGE_SHARE = 0.01


def suspect_extremes(
    venue: str, perp: Bars, spot: Bars, ts_ms: Millis
) -> tuple[NDArray[np.bool_], list[Suspect]]:
    """Perpetual bars whose high or low the spot bar of the same hour contradicts.

    Parameters
    ----------
    venue : str
    perp, spot : Bars
        Both (T,), on the clock ``ts_ms``.
    ts_ms : int64 (T,)

    Returns
    -------
    doubted : bool (T,)
        More than :data:`SUSPECT_SHARE` above the spot high or below the spot low.
    suspects : list of Suspect
        In time order.
    """
    above = spot.high * (1 + SUSPECT_SHARE)
    below = spot.low * (1 - SUSPECT_SHARE)
    too_high, too_low = perp.high > above, perp.low < below
    treatment = "high and low left empty, mark high bounded by spot"
    suspects = [
        Suspect(int(ts_ms[tick]), venue, name, float(values[tick]), float(bound[tick]), treatment)
        for name, values, bound, flags in (
            ("high", perp.high, above, too_high),
            ("low", perp.low, below, too_low),
        )
        for tick in np.flatnonzero(flags)
    ]
    return too_high | too_low, sorted(suspects, key=lambda suspect: (suspect.ts_ms, suspect.column))


def without_strangers(
    market: str, perp: Bars, spot: Bars, ts_ms: Millis
) -> tuple[Bars, NDArray[np.bool_], list[str]]:
    """Bars without those whose close lies far outside the spot bar: each becomes a missing bar.

    Parameters
    ----------
    market : str
        Venue and symbol, for messages.
    perp, spot : Bars
        (T,) each, on one clock.
    ts_ms : int64 (T,)
        Close of each bar.

    Returns
    -------
    perp : Bars
    strange : bool (T,)
    notes : list of str
        One sentence per bar left out.

    Raises
    ------
    RejectData
        More than one bar in a hundred does: it is another market, or another unit.
    """
    strange = (perp.close > spot.high * (1 + SUSPECT_SHARE)) | (
        perp.close < spot.low * (1 - SUSPECT_SHARE)
    )
    if not strange.any():
        return perp, strange, []
    both = int((np.isfinite(perp.close) & np.isfinite(spot.close)).sum())
    first = int(np.flatnonzero(strange)[0])
    opened = stamp(int(ts_ms[first]) - HOUR_MS)
    if int(strange.sum()) > both * STRANGE_SHARE:
        raise RejectData(
            f"perp_bars {market}",
            f"bar that opened {opened}, column close",
            float(perp.close[first]),
            f"a price within {SUSPECT_SHARE:.0%} of the spot bar ({spot.close[first]:g}), as all "
            f"but 1 % of hours are; {int(strange.sum()):,} of {both:,} are not",
            "check symbol and unit of the table and import it again",
        )
    notes = [
        f"{market} perpetual close {perp.close[tick]:g} of the bar that opened "
        f"{stamp(int(ts_ms[tick]) - HOUR_MS)} lies more than {SUSPECT_SHARE:.0%} outside the "
        "spot bar: the whole bar is left out as missing"
        for tick in np.flatnonzero(strange)
    ]
    columns = (perp.open, perp.high, perp.low, perp.close, perp.volume)
    return Bars(*(np.where(strange, np.nan, values) for values in columns)), strange, notes
