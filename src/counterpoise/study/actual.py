"""What the user did, in dollars, beside what the machine and a static hedge would have done.

Totals over the window with their parts, and how sure the differences are where there are days
enough. The fills are valued in ``simulation.actual``; nothing here touches a price.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings, StudySettings
from counterpoise.errors import NotEnoughData
from counterpoise.hedging import RECOMMENDED, Intent, Policy, Situation, policies
from counterpoise.market.fills import Fills
from counterpoise.market.timeline import Timeline
from counterpoise.signals.forecasts import Forecasts
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.simulation.actual import refuse_strange_prices, remarks, replay
from counterpoise.simulation.arena import Arena, arena, contracts_of
from counterpoise.simulation.simulate import simulate, to_days
from counterpoise.study.inference import paired_bootstrap
from counterpoise.study.window import FEWEST_DAYS, ready_midnights
from counterpoise.units import DAY_MS, DAYS_PER_YEAR, HOUR_MS, json_ready, stamp, to_ms
from counterpoise.venues.costs import one_way_cost

Floats = NDArray[np.float64]

#: Name of the row in every table, and of its matched static hedge in the ledger.
ACTUAL, MATCHED = "actual", "matched_static"


@dataclass(frozen=True)
class Actual:
    """What the user did: fills, and the short (ETH) that was held before the first of them."""

    fills: Fills
    opening_short_eth: float = 0.0


@dataclass(frozen=True)
class LedgerRow:
    """One way to hedge over the window: USD by component, their total, and ETH traded."""

    name: str
    label: str
    usd: Mapping[str, float]
    total_usd: float
    traded_eth: float
    mean_ratio: float


@dataclass(frozen=True)
class UsdDifference:
    """What was done minus another row, USD over the window; 95 % interval, NaN on few days."""

    against: str
    difference_usd: float
    low_usd: float
    high_usd: float


@dataclass(frozen=True)
class Ledger:
    """What was done against what would have been, in dollars.

    Attributes
    ----------
    first_ms, last_ms : int
        Midnights between which everything is counted.
    days, fills : int
        Whole UTC days, and fills among them.
    opening_short_eth : float
        Short at the first midnight: given, and from earlier fills.
    sold_eth, bought_eth, notional_usd : float
        Of the fills in the window.
    slippage_bps : float
        Slippage over notional, basis points; negative is a cost, NaN without a fill.
    rows : tuple of LedgerRow
        What was done, the recommended policy, the static hedge of the mean ratio of what was done.
    differences : tuple of UsdDifference
        Against each other row.
    notes : tuple of str
        What was read and what is odd about it, one sentence each.
    """

    first_ms: int
    last_ms: int
    days: int
    fills: int
    opening_short_eth: float
    sold_eth: float
    bought_eth: float
    notional_usd: float
    slippage_bps: float
    rows: tuple[LedgerRow, ...]
    differences: tuple[UsdDifference, ...]
    notes: tuple[str, ...]


def _no_intent(situation: Situation) -> Intent:
    raise TypeError(f"what was done has no intent, at any of {situation.ticks} ticks")


#: What was done, as the tables list it.
ROW = Policy(ACTUAL, "what you did", "actual", _no_intent, place="--actual")


def actual_window(
    actual: Actual, timeline: Timeline, forecasts: Forecasts, settings: Settings
) -> tuple[int, int, tuple[str, ...]]:
    """First and last (exclusive) tick of a comparison with what was done, whole UTC days.

    From the day of the first fill to the day of the last, unless ``study.start`` or ``study.end``
    say otherwise, and never before every forecast exists.

    Returns
    -------
    first, last : int
    notes : tuple of str
        Where the lake is shorter than the fills, and prices outside their bars.

    Raises
    ------
    NotEnoughData
        No whole day is left, or ``study.start`` is before the first forecast.
    RejectData
        Most fills lie outside the bars of their hours.
    """
    ts_ms, fills = timeline.ts_ms, actual.fills
    ready_ms = int(ts_ms[ready_midnights(timeline, forecasts, settings)[0]])
    first_fill, last_fill = int(fills.ts_ms[0]), int(fills.ts_ms[-1])
    notes = []
    if settings.study.start is None:
        begin = first_fill // DAY_MS * DAY_MS
        if begin < ready_ms:
            notes.append(
                f"the first fill is of {stamp(first_fill)} UTC, the comparison begins "
                f"{stamp(ready_ms)} with the first out-of-sample forecast"
            )
            begin = ready_ms
    else:
        begin = -(-to_ms(settings.study.start) // DAY_MS) * DAY_MS
        if begin < ready_ms:
            raise NotEnoughData(
                f"--from {stamp(begin)} lies before the first out-of-sample forecast at "
                f"{stamp(ready_ms)}. Next: start there or later."
            )
    end = int(ts_ms[-1]) // DAY_MS * DAY_MS
    if settings.study.end is None:
        wanted = (last_fill // DAY_MS + 1) * DAY_MS
        if wanted > end:
            notes.append(
                f"the last fill is of {stamp(last_fill)} UTC, the comparison ends {stamp(end)} "
                "with the data"
            )
        end = min(wanted, end)
    if end <= begin:
        raise NotEnoughData(
            f"the fills are of {stamp(first_fill)} to {stamp(last_fill)} UTC; of that span no "
            f"whole day lies between the first out-of-sample forecast at {stamp(ready_ms)} and the "
            f"end of the comparison at {stamp(end)}. Next: import the bars of those days and of "
            "the training before them, or change --from .. --to."
        )
    notes += refuse_strange_prices(fills, timeline)
    first, last = ((moment - int(ts_ms[0])) // HOUR_MS for moment in (begin, end))
    return first, last + 1, tuple(notes)


def _row(name: str, label: str, daily: SimulatedPath) -> LedgerRow:
    usd = dict(zip(COMPONENTS, (float(part) for part in daily.pnl.sum(axis=0)), strict=True))
    return LedgerRow(
        name,
        label,
        usd,
        float(daily.total.sum()),
        float(daily.traded_eth.sum()),
        float(daily.ratio.mean()),
    )


def is_short(actual: Actual, timeline: Timeline, forecasts: Forecasts, settings: Settings) -> bool:
    """Whether :func:`actual_window` holds fewer days than a comparison of policies is worth."""
    first, last, _ = actual_window(actual, timeline, forecasts, settings)
    return (last - 1 - first) // 24 < FEWEST_DAYS


def ledger_of(
    actual: Actual,
    path: SimulatedPath,
    situation: Situation,
    where: Arena,
    notes: tuple[str, ...] = (),
) -> Ledger:
    """Totals of what was done, of the recommended policy and of a static hedge of the same size.

    Parameters
    ----------
    actual : Actual
    path : SimulatedPath
        Its replay, by tick.
    situation, where
        For the other two, simulated over the same ticks.
    notes : tuple of str
        Of the window.
    """
    fills, study, cap = actual.fills, situation.settings.study, situation.settings.hedge.max_ratio
    daily = to_days(path)
    mean_ratio = float(daily.ratio.mean())
    matched = float(np.clip(mean_ratio, 0.0, cap))
    recommended = policies[RECOMMENDED]
    intents = (
        recommended.build(situation),
        situation.around(np.full(situation.ticks, matched), 0.0),
    )
    names = (
        (ACTUAL, ROW.label),
        (RECOMMENDED, recommended.label),
        (MATCHED, f"static in ETH at your mean S/L of {matched:.3f}"),
    )
    paths = (daily, *simulate(where, intents, daily=True))
    if matched != mean_ratio:
        notes += (
            f"your mean S/L of {mean_ratio:.3f} lies outside 0 to {cap:g}; the static hedge beside "
            f"it has {matched:g}",
        )

    within = (fills.ts_ms >= path.ts_ms[0]) & (fills.ts_ms < path.ts_ms[-1])
    size, sold = fills.size_eth[within], fills.side[within] < 0
    notional = float(size @ fills.price_usd[within])
    slippage = float(path.pnl[:, COMPONENTS.index("slippage")].sum())
    return Ledger(
        first_ms=int(path.ts_ms[0]),
        last_ms=int(path.ts_ms[-1]),
        days=len(daily.ts_ms),
        fills=int(within.sum()),
        opening_short_eth=float(path.short_eth[0].sum()),
        sold_eth=float(size[sold].sum()),
        bought_eth=float(size[~sold].sum()),
        notional_usd=notional,
        slippage_bps=1e4 * slippage / notional if notional else float("nan"),
        rows=tuple(
            LedgerRow(
                name,
                label,
                dict(zip(COMPONENTS, one.pnl.sum(axis=0).tolist(), strict=True)),
                float(one.total.sum()),
                float(one.traded_eth.sum()),
                float(one.ratio.mean()),
            )
            for (name, label), one in zip(names, paths, strict=True)
        ),
        differences=tuple(
            _difference(name, daily.total, one.total, study)
            for (name, _), one in zip(names[1:], paths[1:], strict=True)
        ),
        notes=(*fills.notes, *notes, *remarks(fills, path)),
    )


def ledger_alone(
    actual: Actual, timeline: Timeline, forecasts: Forecasts, settings: Settings
) -> Ledger:
    """The ledger without a study, on however few days; no interval below 60.

    Parameters
    ----------
    actual : Actual
    timeline, forecasts
        Of the whole history; :func:`actual_window` says what of it counts.
    settings : Settings

    Raises
    ------
    NotEnoughData, FixConfig, RejectData
        From :func:`actual_window`, the simulator and the replay.
    """
    first, last, notes = actual_window(actual, timeline, forecasts, settings)
    where = arena(timeline, settings, first, last)
    contract = contracts_of(settings, int(where.ts_ms[0]))[0]
    situation = Situation(timeline, forecasts, settings, one_way_cost(settings.costs, contract))
    path = replay(actual.fills, where, timeline.venues, actual.opening_short_eth)
    return ledger_of(actual, path, situation, where, notes)


def _difference(
    against: str, usd: Floats, other_usd: Floats, study: StudySettings
) -> UsdDifference:
    """Difference of two totals; its interval is that of the mean day, times the days."""
    days, low, high = len(usd), float("nan"), float("nan")
    if days >= FEWEST_DAYS:
        found = paired_bootstrap(usd, other_usd, draws=study.draws, seed=study.seed)["mean"]
        low, high = (end * days / DAYS_PER_YEAR for end in (found.low, found.high))
    return UsdDifference(against, float(usd.sum() - other_usd.sum()), low, high)


def ledger_json(ledger: Ledger) -> dict[str, Any]:
    """Everything of a ledger as plain values; keys as in docs/results.md."""
    found = asdict(ledger)
    rows = {row.pop("name"): row for row in found.pop("rows")}
    differences = {row.pop("against"): row for row in found.pop("differences")}
    begin, end = stamp(found.pop("first_ms")), stamp(found.pop("last_ms"))
    plain: dict[str, Any] = json_ready(
        {"from": begin, "to": end, **found, "rows": rows, "differences": differences}
    )
    return plain
