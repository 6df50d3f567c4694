"""What two datasets of one asset show beside each other: wicks, shifted clocks, truncated bars.

One is looked at, the other is the reference: spot of the largest venue for perpetuals and other
spot, the perpetual of the same venue for its mark price.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoise.market.asof import spans_of
from counterpoise.market.assemble import SPOT_VENUE, base_asset
from counterpoise.market.layouts import DatasetKey
from counterpoise.market.suspects import SUSPECT_SHARE, suspect_extremes
from counterpoise.market.tables import interval_ms
from counterpoise.market.timeline import Bars
from counterpoise.quality.findings import Finding, finding
from counterpoise.quality.inventory import stamps_of
from counterpoise.units import DAY_MS, HOUR_MS

Floats = NDArray[np.float64]

#: A price level this far off, for most rows of a segment, is another market or unit.
LEVEL = 0.05
#: Bars in a row that are so far off; in the worst hours of the markets it was one or two.
LEVEL_BARS = 24
#: Length of a segment whose clock is judged, and bars it needs.
SEGMENT_MS = 7 * DAY_MS
SEGMENT_BARS = 60
#: Time zones are up to 14 hours from UTC.
HOURS = tuple(range(-14, 15))
#: A shift must explain this much, and leave less than this share of it unshifted.
EXPLAINED, LEFT = 0.5, 0.5
#: Prices of one moment that differ by so much for one bar and no longer: a mark price from its
#: perpetual, two perpetuals, a perpetual from spot.
OF_ONE_VENUE, OF_ONE_KIND, OF_ONE_ASSET = 0.002, 0.005, 0.01
#: And by so many times what such bars usually differ by.
TIMES = 20.0
#: A close that leaps so far, so many times the usual, and is back a bar later by this much.
SPIKE, SPIKE_TIMES, BACK = 0.05, 20.0, 0.8
#: Share of such a leap that another market must show for it to be the market's.
SHARED = 1 / 3
#: A leap that no other market of the lake was there to show; crashes of an hour stay below.
UNSEEN = 0.2
#: Relative difference between a bar and the shorter ones it is made of.
PRICE_TOLERANCE, FLOW_TOLERANCE = 1e-6, 1e-3


def wicks(
    key: DatasetKey, table: pl.DataFrame, reference: DatasetKey, other: pl.DataFrame
) -> Iterator[Finding]:
    """Highs and lows that the reference's bar contradicts."""
    if key.table != "perp_bars" or reference.table != "spot_bars":
        return
    both, step = table.join(other, on="ts", suffix=":other"), interval_ms(key.interval)
    stamps = stamps_of(both)
    perp, spot = _bars(both, ""), _bars(both, ":other")
    for suspect in suspect_extremes(key.venue, perp, spot, stamps + step)[1]:
        yield finding(
            key,
            "suspect bar",
            "warning",
            [suspect.ts_ms - step],
            f"{suspect.column} {suspect.value:g} lies more than {SUSPECT_SHARE:.0%} outside the "
            f"spot bar of that time (bound {suspect.bound:g})",
            suspect.treatment if key.interval == "1h" else "used as stored",
        )


def clocks(
    key: DatasetKey, table: pl.DataFrame, reference: DatasetKey, other: pl.DataFrame
) -> Iterator[Finding]:
    """Spans in which returns fit those of the reference some bars earlier or later."""
    step = interval_ms(key.interval)
    if key.interval != reference.interval or step < HOUR_MS // 60:
        return
    ours, theirs = stamps_of(table), stamps_of(other)
    begin, end = max(ours[0], theirs[0]) - DAY_MS, min(ours[-1], theirs[-1]) + DAY_MS
    if end - begin < SEGMENT_BARS * step:
        return
    grid = np.arange(begin // step * step, end, step, dtype=np.int64)
    a, b = _returns(grid, ours, table), _returns(grid, theirs, other)
    lags = sorted({-2, -1, 0, 1, 2} | {h * HOUR_MS // step for h in HOURS if h * HOUR_MS >= step})
    lags = sorted(set(lags) | {-lag for lag in lags})
    length = max(SEGMENT_MS // step, SEGMENT_BARS + SEGMENT_BARS // 2)
    starts = np.arange(0, len(grid), length)
    scores = np.stack([_scores(a, b, lag, starts) for lag in lags])
    best, at_zero = scores.argmax(axis=0), scores[lags.index(0)]
    top = scores.max(axis=0)
    shifted = (top > EXPLAINED) & (at_zero < LEFT * top)
    lag_of = np.array(lags)[best]
    for lag in np.unique(lag_of[shifted]):
        for first, last in spans_of(shifted & (lag_of == lag)):
            span = int(grid[starts[first]]), int(grid[min(starts[last] + length, len(grid)) - 1])
            span = max(span[0], int(ours[0])), min(span[1], int(ours[-1]))
            rows = ours[(ours >= span[0]) & (ours <= span[1])]
            whole = " (time zone, or summer time)" if lag * step % HOUR_MS == 0 else ""
            yield finding(
                key,
                "time zone slip" if whole else "misaligned",
                "warning",
                rows,
                f"returns run {_hours(abs(int(lag)) * step)} {'behind' if lag > 0 else 'ahead of'} "
                f"{reference}{whole}: correlation {top[first : last + 1].mean():.2f} there, "
                f"{at_zero[first : last + 1].mean():.2f} at the same time",
                "used as stored, and the basis is wrong: import it anew with UTC openings",
            )


def days(
    key: DatasetKey, table: pl.DataFrame, reference: DatasetKey, other: pl.DataFrame
) -> Iterator[Finding]:
    """Spans in which the daily price of a chain is the close of spot of another day."""
    close = other.group_by(pl.col("ts").dt.truncate("1d")).agg(pl.col("close").last()).sort("ts")
    both = close.join(table.select("ts", "ether_price_usd"), on="ts", how="left").sort("ts")
    a, b = (
        np.diff(np.log(both[name].fill_null(float("nan")).to_numpy()), prepend=np.nan)
        for name in ("ether_price_usd", "close")
    )
    starts = np.arange(0, both.height, SEGMENT_BARS + SEGMENT_BARS // 2)
    at_zero = _scores(a, b, 0, starts)
    stamps, ours = stamps_of(both), stamps_of(table)
    for lag in (-1, 1):
        shifted = _scores(a, b, lag, starts)
        wrong = (shifted > EXPLAINED) & (at_zero < LEFT * shifted)
        for first, last in spans_of(wrong):
            end = starts[last + 1] if last + 1 < len(starts) else both.height
            inside = (ours >= stamps[starts[first]]) & (ours <= stamps[end - 1])
            yield finding(
                key,
                "time zone slip",
                "warning",
                ours[inside],
                f"ether_price_usd is the close of {reference} one day "
                f"{'before' if lag > 0 else 'after'} its own",
                "used as stored, and known a day off: import it anew with UTC days",
            )


def levels(
    key: DatasetKey, table: pl.DataFrame, reference: DatasetKey, other: pl.DataFrame
) -> Iterator[Finding]:
    """Prices of another market or unit; bars that ended early or began late; dislocations."""
    both = table.join(other, on="ts", suffix=":other").sort("ts")
    if both.height < SEGMENT_BARS:
        return
    stamps, step = stamps_of(both), interval_ms(key.interval)
    opens, closes = (
        np.log(both[name].to_numpy() / both[f"{name}:other"].to_numpy())
        for name in ("open", "close")
    )
    level = float(np.median(closes))
    if abs(level) > LEVEL:
        yield finding(
            key,
            "other market",
            "warning",
            stamps[np.abs(closes) > LEVEL],
            f"prices are {np.exp(level):.4g} times those of {reference}",
            "used as stored, and the basis is wrong: check symbol and unit",
        )
        return
    told = np.zeros(both.height, np.bool_)
    for first, last in spans_of(np.abs(closes) > LEVEL):
        if last - first + 1 >= LEVEL_BARS:
            told[max(first - 2, 0) : last + 3] = True
            times = float(np.exp(np.median(closes[first : last + 1])))
            yield finding(
                key,
                "other market",
                "warning",
                stamps[first : last + 1],
                f"prices are {times:.4g} times those of {reference} for {last - first + 1} bars",
                "used as stored, and the basis is wrong: check symbol and unit of these rows",
            )
    least = (
        OF_ONE_VENUE
        if key.venue == reference.venue and reference.table == "perp_bars"
        else OF_ONE_KIND
        if key.table == reference.table
        else OF_ONE_ASSET
    )
    # The close before an open and the open after a close, where there is no hole between.
    near_open, near_close = np.full((2, both.height), np.nan)
    follows = np.diff(stamps) == step
    near_open[1:][follows] = _alone(closes)[:-1][follows]
    near_close[:-1][follows] = _alone(opens)[1:][follows]
    for name, off, near in (
        ("open", _alone(opens), near_open),
        ("close", _alone(closes), near_close),
    ):
        size = np.abs(off)
        usual = TIMES * float(np.median(size))
        # An open far off after a close that was not is a bar that began late, and so on.
        truncated = (size > max(least, usual)) & (np.abs(near) <= size / 3) & ~told
        for row in np.flatnonzero(truncated):
            own = _broken(both, int(row), name)
            yield finding(
                key if own else reference,
                "truncated bar",
                "warning",
                [stamps[row]],
                f"{name} differs by {off[row]:+.2%} from that of "
                f"{reference if own else key}, where the bars around it agree: the bar "
                f"{'begins late' if name == 'open' else 'ends early'}",
                "used as stored",
            )
        if name == "close":
            for row in np.flatnonzero((size > max(OF_ONE_ASSET, usual)) & ~truncated & ~told):
                yield finding(
                    key,
                    "dislocation",
                    "info",
                    [stamps[row]],
                    f"close lies {closes[row]:+.2%} from that of {reference}, the bars around it "
                    f"{closes[row] - off[row]:+.2%}",
                    "used as stored: the basis was so, or one of the two stood still",
                )


def spikes(
    key: DatasetKey, table: pl.DataFrame, others: Iterable[pl.DataFrame]
) -> Iterator[Finding]:
    """Closes that leap and are back a bar later, where no other market of the interval does so."""
    if table.height < SEGMENT_BARS:
        return
    stamps, step = stamps_of(table), interval_ms(key.interval)
    change = np.diff(np.log(table["close"].to_numpy()))
    here, back = change[:-1], change[1:]
    usual = float(np.median(np.abs(change)))
    leapt = np.abs(here) > max(SPIKE, SPIKE_TIMES * usual)
    leapt &= (np.abs(here + back) < (1 - BACK) * np.abs(here)) & (
        stamps[2:] - stamps[:-2] == 2 * step
    )
    seen = np.zeros(len(leapt), np.bool_)
    for other in others if leapt.any() else ():
        theirs = stamps_of(other)
        found = np.clip(np.searchsorted(theirs, stamps[1:-1]), 1, len(theirs) - 1)
        moved = np.log(other["close"].to_numpy()[found] / other["close"].to_numpy()[found - 1])
        there = theirs[found] == stamps[1:-1]
        seen |= there
        leapt &= ~(there & (moved * np.sign(here) > SHARED * np.abs(here)))
    leapt &= seen | (np.abs(here) > UNSEEN)
    for row in np.flatnonzero(leapt) + 1:
        before, close, after = (float(table["close"][int(row) + n]) for n in (-1, 0, 1))
        yield finding(
            key,
            "outlier",
            "warning",
            [stamps[row]],
            f"close {close:g} between {before:g} and {after:g}, where no other market moved"
            if seen[row - 1]
            else f"close {close:g} between {before:g} and {after:g}; the lake has no other market "
            "of that hour",
            "used as stored, unless spot of that hour contradicts it",
        )


def parts(
    key: DatasetKey, table: pl.DataFrame, finer: DatasetKey, made: pl.DataFrame
) -> Iterator[Finding]:
    """Bars that are not what their own shorter bars make."""
    both = table.join(made, on="ts", suffix=":made")
    columns = [name for name in table.columns[2:] if both[name].dtype.is_numeric()]
    off = {}
    for name in columns:
        tolerance = PRICE_TOLERANCE if name in ("open", "high", "low", "close") else FLOW_TOLERANCE
        a, b = both[name].cast(pl.Float64), both[f"{name}:made"].cast(pl.Float64)
        beyond = (a - b).abs() > tolerance * b.abs()
        off[name] = beyond.fill_null(False).to_numpy()
    rows = np.any(list(off.values()), axis=0)
    if rows.any():
        counts = ", ".join(
            f"{name} {int(flags.sum())}" for name, flags in off.items() if any(flags)
        )
        few = rows.mean() < 0.01
        yield finding(
            key,
            "other than its parts",
            "info" if few else "warning",
            stamps_of(both)[rows],
            f"{int(rows.sum())} of {both.height} bars are not what the bars of {finer.interval} "
            f"make ({counts})",
            "each interval is used as stored",
        )


def references_of(key: DatasetKey, keys: Sequence[DatasetKey]) -> list[DatasetKey]:
    """Datasets of the same asset that a dataset of bars is held against."""

    def nearest(table: str, venue: str) -> list[DatasetKey]:
        found = [
            one
            for one in keys
            if (one.table, one.venue) == (table, venue)
            and one != key
            and base_asset(one.symbol) == base_asset(key.symbol)
            and interval_ms(key.interval) % interval_ms(one.interval) == 0
        ]
        # The same interval first, else the longest that divides it.
        return sorted(found, key=lambda one: (-interval_ms(one.interval), one.symbol))[:1]

    spot, perpetual = nearest("spot_bars", SPOT_VENUE), nearest("perp_bars", SPOT_VENUE)
    if key.table == "mark_bars":
        return nearest("perp_bars", key.venue) or spot
    if key.venue == SPOT_VENUE:
        return spot if key.table == "perp_bars" else []
    return spot + (perpetual if key.table == "perp_bars" else [])


def _bars(both: pl.DataFrame, suffix: str) -> Bars:
    first, high, low, last = (
        both[f"{name}{suffix}"].to_numpy() for name in ("open", "high", "low", "close")
    )
    return Bars(first, high, low, last, volume=np.full(both.height, np.nan))


def _returns(grid: NDArray[np.int64], stamps: NDArray[np.int64], table: pl.DataFrame) -> Floats:
    prices = np.full(len(grid), np.nan)
    place = (stamps - grid[0]) // max(int(grid[1] - grid[0]), 1)
    inside = (place >= 0) & (place < len(grid))
    prices[place[inside]] = np.log(table["close"].to_numpy()[inside])
    return np.diff(prices, prepend=np.nan)


def _scores(a: Floats, b: Floats, lag: int, starts: NDArray[np.int64]) -> Floats:
    """Correlation of ``a`` at t + lag with ``b`` at t, by segment; 0 where there are few bars."""
    moved = np.full(len(a), np.nan)
    if lag >= 0:
        moved[: len(a) - lag] = a[lag:]
    else:
        moved[-lag:] = a[:lag]
    both = np.isfinite(moved) & np.isfinite(b)
    x, y = np.where(both, moved, 0.0), np.where(both, b, 0.0)
    sums = [np.add.reduceat(v, starts) for v in (both.astype(float), x, y, x * x, y * y, x * y)]
    n, sx, sy, sxx, syy, sxy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))
    return np.where((n >= SEGMENT_BARS) & np.isfinite(score), score, 0.0)


def _alone(values: Floats) -> Floats:
    """What each value differs by from the median of the two before it and the two after it."""
    around = np.pad(values, 2, mode="edge")
    n = len(values)
    return np.asarray(values - np.median([around[k : k + n] for k in (0, 1, 3, 4)], axis=0))


def _broken(both: pl.DataFrame, row: int, name: str) -> bool:
    """Whether the dataset's own bars break off there more than the reference's do."""
    first, second = (row - 1, row) if name == "open" else (row, row + 1)
    if first < 0 or second >= both.height:
        return True

    def leap(suffix: str) -> float:
        return abs(float(np.log(both[f"open{suffix}"][second] / both[f"close{suffix}"][first])))

    return leap("") >= leap(":other")


def _hours(ms: int) -> str:
    return f"{ms / HOUR_MS:g} h" if ms >= HOUR_MS else f"{ms / 60_000:g} min"
