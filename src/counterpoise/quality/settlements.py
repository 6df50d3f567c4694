"""What funding shows: its grid and unit, rates beyond the usual, and the premium it came from.

Venues make funding from the premium of the perpetual over its index, averaged over the interval
before the settlement with weights that grow to its end: ``F = P + clamp(I - P, -0.05 %, +0.05 %)``
per 8 hours, with I = 0.01 %.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.asof import spans_of
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.settlement import settlement_interval_h
from counterpoise.market.synthetic_perpetual import average_premium
from counterpoise.quality.findings import Finding, finding
from counterpoise.quality.inventory import stamps_of
from counterpoise.units import DAY_MS, HOUR_MS, stamp

Floats = NDArray[np.float64]
Millis = NDArray[np.int64]

#: Interest of 8 hours, and how far the premium may be from it before funding moves.
INTEREST, CLAMP = 1e-4, 5e-4
#: Typical size of a rate of 8 hours; a median outside has the wrong unit or interval.
TYPICAL = (2e-6, 2e-3)
#: Rates of 8 hours beyond this are rare enough to name.
EXTREME = 2e-3
#: Extremes so near to each other are one episode.
EPISODE_MS = 3 * DAY_MS
#: Rates that come so many times apart are defaults, and may repeat.
POPULAR = 3
FROZEN_ROWS = 6
FROZEN_MS = 2 * DAY_MS
#: Rows needed before units, sign and shift are judged.
ENOUGH = 100
#: How much better another settlement must fit; on the real venues the right one fits best over any
#: 200 settlements, by 0.01 or more.
BETTER = 0.02
#: Settlements that are judged together.
SEGMENT = 200
#: Slack of a single rate beyond the premium's own range, per 8 hours.
SLACK = 5e-4


def grid(key: DatasetKey, funding: pl.DataFrame) -> Iterator[Finding]:
    """Changes of the interval, unusual hours, and hours that change while the interval stays."""
    stamps = stamps_of(funding)
    hours = np.round(np.diff(stamps) / HOUR_MS).astype(np.int64)
    runs = [(a, b) for value in np.unique(hours) for a, b in spans_of(hours == value) if b - a >= 2]
    runs.sort()
    for (first, last), (begin, _) in pairwise(runs):
        if hours[first] != hours[begin]:
            yield finding(
                key,
                "new interval",
                "info",
                [stamps[last + 1], stamps[begin]],
                f"settles every {hours[first]} h until {stamp(int(stamps[last + 1]))}, every "
                f"{hours[begin]} h from {stamp(int(stamps[begin]))}",
                "rates are per their own interval, read from the stamps",
                rows=0,
            )
    spacing = max(runs, key=lambda run: run[1] - run[0], default=None)
    if spacing is None or (step := int(hours[spacing[0]])) == 1:
        return
    phase = stamps // HOUR_MS % step
    usual = int(np.bincount(phase).argmax())
    inside = np.zeros(len(stamps), np.bool_)
    for first, last in runs:
        inside[first : last + 2] |= hours[first] == step
    for first, last in spans_of(inside & (phase != usual)):
        yield finding(
            key,
            "time zone slip",
            "warning",
            stamps[first : last + 1],
            f"{last - first + 1} settlements lie {(int(phase[first]) - usual) % step} h after the "
            f"hours the other ones keep",
            "charged when they are stamped; import them anew in UTC",
        )
    if usual:
        listed = ", ".join(f"{hour:02d}" for hour in range(usual, 24, step))
        yield finding(
            key,
            "settlement hours",
            "info",
            [stamps[0], stamps[-1]],
            f"settles at {listed} UTC, where most venues settle at 00, 08 and 16",
            "charged at its own hours; if the venue has others, the stamps are off",
            rows=funding.height,
        )


def rates(key: DatasetKey, funding: pl.DataFrame) -> Iterator[Finding]:
    """Units, frozen feeds and extremes."""
    stamps, rate = stamps_of(funding), _per_8h(key, funding)
    median = float(np.median(np.abs(rate)))
    if funding.height >= ENOUGH and not TYPICAL[0] <= median <= TYPICAL[1]:
        yield finding(
            key,
            "unit",
            "warning",
            [stamps[0], stamps[-1]],
            f"half of the rates exceed {median:.3g} per 8 h; {INTEREST:g} is usual. They may be in "
            "percent, or of another interval",
            "used as stored, and costs rest on it: check the source",
            rows=funding.height,
        )
        return
    repeats = np.concatenate(([False], rate[1:] == rate[:-1]))
    values, times = np.unique(rate[~repeats], return_counts=True)
    repeats &= ~np.isin(rate, values[times >= POPULAR]) & (np.abs(rate - INTEREST) > 1e-9)
    for first, last in spans_of(repeats):
        if last - first + 2 >= FROZEN_ROWS and stamps[last] - stamps[first - 1] >= FROZEN_MS:
            yield finding(
                key,
                "frozen",
                "warning",
                stamps[first - 1 : last + 1],
                f"the rate is {funding['funding_rate'][first]:g} for {last - first + 2} "
                "settlements in a row",
                "charged as stored; leave these out of any conclusion",
            )
    beyond = np.flatnonzero(np.abs(rate) > EXTREME)
    if len(beyond):
        worst = beyond[int(np.argmax(np.abs(rate[beyond])))]
        episodes = 1 + int((np.diff(stamps[beyond]) > EPISODE_MS).sum())
        yield finding(
            key,
            "extreme",
            "info",
            stamps[beyond],
            f"{len(beyond)} settlements beyond {EXTREME:.1%} per 8 h ({episodes} episodes), the "
            f"largest {rate[worst]:+.3%} at {stamp(int(stamps[worst]))}",
            "charged as stored; caps of venues are dated, and were wider before",
        )


def prices(key: DatasetKey, funding: pl.DataFrame, bars: pl.DataFrame) -> Iterator[Finding]:
    """Mark prices of settlements that are not this market's."""
    both = funding.filter(pl.col("mark_price").is_not_null()).join(
        bars.select(pl.col("known_at").alias("ts"), "high", "low"), on="ts"
    )
    mark = both["mark_price"].to_numpy()
    off = (mark > both["high"].to_numpy() * 1.03) | (mark < both["low"].to_numpy() * 0.97)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        yield finding(
            key,
            "other market",
            "warning",
            stamps_of(both)[off],
            f"mark_price of {int(off.sum())} settlements lies more than 3% outside the bar before "
            f"it; {mark[row]:g} at {stamp(int(stamps_of(both)[row]))}",
            "used as stored for the cash of funding: check symbol and unit",
        )


def own_premium(key: DatasetKey, funding: pl.DataFrame) -> Iterator[Finding]:
    """Rates that the premium published in the same row does not make."""
    premium = funding["premium"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    rate = _per_8h(key, funding)
    # Bands of the clamp have changed over the years; no rate is further off than one.
    off = np.abs(rate - (premium + np.clip(INTEREST - premium, -CLAMP, CLAMP))) > 1.1 * CLAMP
    # The interval of the first row is a guess.
    rows = np.flatnonzero(off)[np.flatnonzero(off) > 0]
    if len(rows):
        row = int(rows[0])
        stamps = stamps_of(funding)
        yield finding(
            key,
            "premium",
            "warning",
            stamps[rows],
            f"{len(rows)} rates are not what their own premium makes: {rate[row]:+.3%} per 8 h "
            f"with a premium of {premium[row]:+.3%} at {stamp(int(stamps[row]))}",
            "charged as stored; check the rows at the source",
        )


def against_premium(
    key: DatasetKey, funding: pl.DataFrame, premium: Mapping[str, Floats | Millis]
) -> Iterator[Finding]:
    """Funding that does not come from the premium: its sign, its hours, single rates.

    Parameters
    ----------
    key : DatasetKey
    funding : DataFrame (N, ...)
    premium : mapping
        ``known_ms`` (T,) ascending, and ``value`` (T,): the premium, hour by hour.
    """
    stamps, rate = stamps_of(funding), _per_8h(key, funding)
    hours = np.maximum(1, np.round(_intervals(key, funding))).astype(np.int64)
    mean, low, high = _before(premium, stamps, hours)
    moving = np.isfinite(mean) & (np.abs(rate - INTEREST) > 1e-6)
    told = np.zeros(len(stamps), np.bool_)
    if moving.sum() >= ENOUGH:
        spacing = int(np.median(np.diff(stamps)))
        beside = {
            side: _before(premium, stamps + n * spacing, hours)[0]
            for n, side in ((-1, "earlier"), (1, "later"))
        }
        for kind, chosen in _misfits(rate, mean, beside, moving):
            told |= chosen
            here = _correlation(rate, mean, chosen & moving)
            if kind == "against":
                text = f"rates run against the premium they came from (correlation {here:.2f})"
                why = "the sign may be that of the other side"
            else:
                there = _correlation(rate, beside[kind], chosen & moving)
                text = (
                    f"rates fit the premium one settlement {kind} (correlation {there:.2f}, and "
                    f"{here:.2f} where they are stamped)"
                )
                why = "the stamps may be off by one"
            treatment = f"charged as stored; {why}: check the source"
            yield finding(key, "premium", "warning", stamps[chosen & moving], text, treatment)
    due = mean + np.clip(INTEREST - mean, -CLAMP, CLAMP)
    slack = SLACK + (high - low)
    off = np.isfinite(mean) & (np.abs(rate - due) > slack) & ~told
    for first, last in spans_of(off):
        row = first + int(np.argmax(np.abs(rate - due)[first : last + 1]))
        one = (
            f"rate {rate[row]:+.3%} per 8 h, where a premium between {low[row]:+.3%} and "
            f"{high[row]:+.3%} makes {due[row]:+.3%}"
        )
        many = f"{last - first + 1} rates in a row did not come from the premium; at worst, a "
        yield finding(
            key,
            "premium",
            "warning",
            stamps[first : last + 1],
            one if first == last else many + one,
            "charged as stored; check the rows at the source",
        )


def _misfits(
    rate: Floats, mean: Floats, beside: Mapping[str, Floats], moving: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Rows whose rates run against the premium, or fit it one settlement off: segments, or all."""

    def judged(chosen: NDArray[np.bool_]) -> tuple[str, bool]:
        """What is wrong, if anything, and whether the premium fits best where it is."""
        here = _correlation(rate, mean, chosen)
        there, side = max((_correlation(rate, one, chosen), side) for side, one in beside.items())
        wrong = "against" if here < -0.2 else side if there > here + BETTER else ""
        return wrong, here > max(there, 0.2)

    count = max(len(rate) // SEGMENT, 1)
    segments = np.arange(len(rate)) * count // len(rate)
    verdicts: list[str] = []
    sound = False
    for number in range(count):
        chosen = moving & (segments == number)
        # Too few to judge are as the segment before, whose fault they would share.
        wrong, plain = verdicts[-1] if verdicts else "", False
        if chosen.sum() >= ENOUGH:
            wrong, plain = judged(chosen)
        verdicts.append(wrong)
        sound |= plain
    if not sound and (whole := judged(moving)[0]):
        verdicts = [whole] * count
    for kind in sorted(set(verdicts) - {""}):
        for first, last in spans_of(np.array([one == kind for one in verdicts])):
            yield kind, (segments >= first) & (segments <= last)


def _intervals(key: DatasetKey, funding: pl.DataFrame) -> Floats:
    return settlement_interval_h(funding, key.interval)["interval_h"].to_numpy()


def _per_8h(key: DatasetKey, funding: pl.DataFrame) -> Floats:
    return np.asarray(funding["funding_rate"].to_numpy() * 8.0 / _intervals(key, funding))


def _before(
    premium: Mapping[str, Floats | Millis], stamps: Millis, hours: Millis
) -> tuple[Floats, Floats, Floats]:
    """Average, least and greatest premium of the hours before each settlement; NaN where some lack.

    The range takes one hour more on the early side: an hour's close stands for what was around it.
    """
    known, value = np.asarray(premium["known_ms"]), np.asarray(premium["value"], np.float64)
    first = np.searchsorted(known, stamps - hours * HOUR_MS, side="right")
    last = np.searchsorted(known, stamps, side="right")
    complete = (last - first == hours) & (first > 0)
    mean, low, high = np.full((3, len(stamps)), np.nan)
    for row in np.flatnonzero(complete):
        around = value[first[row] - 1 : last[row]]
        low[row], high[row] = around.min(), around.max()
        mean[row] = average_premium(around[1:])
    return mean, low, high


def _correlation(a: Floats, b: Floats, chosen: NDArray[np.bool_]) -> float:
    both = chosen & np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or a[both].std() == 0 or b[both].std() == 0:
        return 0.0
    return float(np.corrcoef(a[both], b[both])[0, 1])
