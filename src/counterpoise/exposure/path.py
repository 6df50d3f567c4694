"""The exposure over time: every holding's delta at each tick, its own liquidation, and the flows.

Everything is point in time: a deposit counts from its moment on, a rate from when it was known, a
liquidation from the close of the bar that caused it. No hedge and no P&L is computed here. The
formulas are in docs/exposure.md.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.exposure.inputs import NO_FLOWS, Flows, read_flows, read_rates
from counterpoise.holdings import HoldingSettings
from counterpoise.market.asof import as_of
from counterpoise.market.timeline import Timeline
from counterpoise.risk.loan import after_liquidation, liquidation_price_usd, liquidation_ratio
from counterpoise.units import DAY_MS, DAYS_PER_YEAR, HOUR_MS, stamp, to_ms

Floats = NDArray[np.float64]
Millis = NDArray[np.int64]

#: Rates are published daily; one carried on for longer than this is said.
RATE_STALE_MS = 7 * DAY_MS
_FOREVER_MS = 2**62


@dataclass(frozen=True)
class OwnLiquidation:
    """A lender takes over a holding's collateral.

    Attributes
    ----------
    tick : int
        Tick of the timeline at which it is known: the close of the bar it happened in.
    ts_ms : int
    price_usd : float
        ETH price it happened at.
    repaid_eth, left_eth : float
        Debt repaid and collateral left, ETH at that price.
    loss_usd : float
        Equity lost to the penalty.
    """

    tick: int
    ts_ms: int
    price_usd: float
    repaid_eth: float
    left_eth: float
    loss_usd: float


@dataclass(frozen=True)
class HoldingPath:
    """One holding over the T ticks of a timeline.

    Attributes
    ----------
    name : str
        Asset, numbered where it is held more than once.
    settings : HoldingSettings
    stated : int
        Tick at which amount and debt are as stated; its bars are watched after it.
    eth_per_token : float64 (T,)
        ETH a stated token stands for, growth included; NaN before a rate was known.
    collateral_eth : float64 (T,)
        ETH all of them stand for; after a liquidation what is left.
    debt_usd, debt_eth : float64 (T,)
        Owed, interest included; 0 without, and after a liquidation.
    delta_eth : float64 (T,)
        Change of the equity in USD per USD of ETH price: collateral minus debt in ETH.
    liquidation : OwnLiquidation or None
    """

    name: str
    settings: HoldingSettings
    stated: int
    eth_per_token: Floats
    collateral_eth: Floats
    debt_usd: Floats
    debt_eth: Floats
    delta_eth: Floats
    liquidation: OwnLiquidation | None

    @property
    def liquidation_price_usd(self) -> Floats:
        """ETH price at which the lender liquidates, USD (T,); NaN without a stablecoin debt."""
        return self._where_owed(self.debt_usd, liquidation_price_usd)

    @property
    def liquidation_ratio(self) -> Floats:
        """Share of its rate at which the lender liquidates (T,); NaN without a debt in ETH."""
        return self._where_owed(self.debt_eth, liquidation_ratio)

    def _where_owed(self, debt: Floats, rule: Callable[[Floats, Floats, float], Floats]) -> Floats:
        found = np.full(len(debt), np.nan)
        threshold, owed = self.settings.liquidation_threshold, debt > 0
        if threshold is not None:
            found[owed] = rule(debt[owed], self.collateral_eth[owed], threshold)
        return found


@dataclass(frozen=True)
class ExposurePath:
    """What is being hedged at each of the T ticks of a timeline.

    Attributes
    ----------
    ts_ms : int64 (T,)
    first, last : int
        Ticks the exposure is wanted for, ``last`` exclusive: it is positive throughout them.
    exposure_eth : float64 (T,)
        Sum of the deltas and the flows.
    holdings : tuple of HoldingPath
        H of them.
    flow_eth : float64 (T,)
        Sum of the flows up to each tick.
    flows : Flows
        As they were read, those outside the timeline included.
    notes : tuple of str
        What was assumed, carried on or seen outside the span, in plain sentences.
    """

    ts_ms: Millis
    first: int
    last: int
    exposure_eth: Floats
    holdings: tuple[HoldingPath, ...]
    flow_eth: Floats
    flows: Flows
    notes: tuple[str, ...]

    @property
    def delta_eth(self) -> Floats:
        """Delta of each holding, ETH (T, H)."""
        return np.stack([one.delta_eth for one in self.holdings], axis=1)


def exposure_path(
    settings: Settings, timeline: Timeline, first: int = 0, last: int | None = None
) -> ExposurePath:
    """What is being hedged at every tick of a timeline, for a study of ticks ``[first, last)``.

    Parameters
    ----------
    settings : Settings
        Section ``exposure``.
    timeline : Timeline
    first, last : int
        Ticks the exposure is wanted for. A loan stands from its ``as_of`` or from ``first``,
        whichever is earlier: no bar before that can liquidate it.

    Returns
    -------
    ExposurePath
        Over the whole timeline; finite and positive in ``[first, last)``.

    Raises
    ------
    FixConfig
        A file that is missing, a loan that could not have stood where it begins, an exposure that
        falls to zero.
    RejectData
        A bad row in a file of flows or rates.
    NotEnoughData
        A rate that was not known when the span begins.
    """
    path = unchecked_path(settings, timeline, first, last)
    span = slice(path.first, path.last)
    for place, one in enumerate(path.holdings):
        unknown = np.isnan(one.delta_eth[span])
        if unknown.any():
            known = np.flatnonzero(~np.isnan(one.delta_eth))
            since = "never known"
            if len(known):
                since = f"known from {stamp(int(path.ts_ms[known[0]]))} on"
            raise NotEnoughData(
                f"the rate of {one.name} (exposure.holdings[{place}], {one.settings.rate_file}) is "
                f"{since}, and the exposure is wanted from "
                f"{stamp(int(path.ts_ms[path.first]))} on. Next: add earlier rates, or start later "
                "with --from."
            )
        if sentence := past_its_liquidation(one, timeline):
            raise FixConfig(
                f"exposure.holdings[{place}]",
                one.name,
                f"a loan that could stand where it begins: {sentence}",
                "state the debt of that time, set as_of, or start later with --from",
            )
    nothing = np.flatnonzero(~(path.exposure_eth[span] > 0))
    if len(nothing):
        tick = path.first + int(nothing[0])
        parts = [f"{one.name} {one.delta_eth[tick]:,.6g}" for one in path.holdings]
        parts.append(f"flows {path.flow_eth[tick]:+,.6g}")
        raise FixConfig(
            "exposure",
            f"{path.exposure_eth[tick]:,.6g} ETH at {stamp(int(path.ts_ms[tick]))}",
            f"more than 0 ETH at every hour that is looked at ({', '.join(parts)})",
            "mend the flows or holdings, or look at another span with --from .. --to",
        )
    return replace(path, notes=(*path.notes, *_flows_outside(path)))


def unchecked_path(
    settings: Settings, timeline: Timeline, first: int = 0, last: int | None = None
) -> ExposurePath:
    """The same, as it comes out: it may be unknown, zero, or begin with a loan past its limit."""
    given, ts_ms = settings.exposure, timeline.ts_ms
    last = len(ts_ms) if last is None else last
    flows = NO_FLOWS if given.flows is None else read_flows(given.flows)
    flow_eth = flows.until(ts_ms)
    notes = [*flows.notes]
    stated = given.holdings or (HoldingSettings(asset="eth", amount=given.eth),)
    seen: Counter[str] = Counter()
    holdings = []
    for place, one in enumerate(stated):
        seen[one.asset] += 1
        name = one.asset if seen[one.asset] == 1 else f"{one.asset} {seen[one.asset]}"
        held, said = _holding(name, one, f"exposure.holdings[{place}]", timeline, first, last)
        holdings.append(held)
        notes += said
    deltas = np.stack([one.delta_eth for one in holdings], axis=1)
    exposure_eth = deltas.sum(axis=1) + flow_eth
    return ExposurePath(
        ts_ms, first, last, exposure_eth, tuple(holdings), flow_eth, flows, tuple(notes)
    )


def past_its_liquidation(one: HoldingPath, timeline: Timeline) -> str:
    """Say that a loan is past its liquidation price where it is stated; empty where it is not."""
    price, ratio = one.liquidation_price_usd[one.stated], one.liquidation_ratio[one.stated]
    close, when = timeline.spot.close[one.stated], stamp(int(timeline.ts_ms[one.stated]))
    if close <= price:
        return f"at {when} ETH is {close:,.2f} USD and {one.name} is liquidated at {price:,.2f}"
    if ratio >= 1.0:
        owed, held = one.debt_eth[one.stated], one.collateral_eth[one.stated]
        return (
            f"at {when} {one.name} owes {owed:,.6g} ETH against {held:,.6g}, more than "
            f"liquidation_threshold = {one.settings.liquidation_threshold} of it"
        )
    return ""


def _flows_outside(path: ExposurePath) -> list[str]:
    """Say which flows lie before and after the span."""
    flows = path.flows
    begin, end = int(path.ts_ms[path.first]), int(path.ts_ms[path.last - 1])
    early, late = flows.ts_ms < begin, flows.ts_ms > end
    said = []
    if early.any():
        said.append(
            f"flows before {stamp(begin)}: {int(early.sum())}, in sum "
            f"{flows.eth[early].sum():+,.6g} ETH, counted from the first hour on"
        )
    if late.any():
        said.append(
            f"flows after {stamp(end)}: {int(late.sum())}, in sum "
            f"{flows.eth[late].sum():+,.6g} ETH, not counted"
        )
    return said


def _growth(one: HoldingSettings, rate_per_year: float, ts_ms: Millis) -> Floats:
    """(1 + rate)^years since ``as_of``; shape (T,)."""
    if one.as_of is None:
        return np.ones(len(ts_ms))
    years = (ts_ms - to_ms(one.as_of)) / (DAYS_PER_YEAR * DAY_MS)
    return np.asarray((1.0 + rate_per_year) ** years)


def _rate(
    one: HoldingSettings, name: str, key: str, ts_ms: Millis, span: slice
) -> tuple[Floats, list[str]]:
    """ETH per token known at each tick, and what is said about it."""
    if one.rate_file is None:
        return np.full(len(ts_ms), one.eth_per_token or 1.0), []
    rows = read_rates(one.rate_file, f"{key}.rate_file")
    known = rows["known_at"].dt.epoch("ms").to_numpy()
    rate = as_of(rows, "eth_per_token", ts_ms, _FOREVER_MS)
    newest = np.searchsorted(np.sort(known), ts_ms, side="right") - 1
    age_ms = np.where(newest >= 0, ts_ms - np.sort(known)[np.maximum(newest, 0)], 0)[span]
    if age_ms.max() <= RATE_STALE_MS:
        return rate, []
    oldest = span.start + int(age_ms.argmax())
    return rate, [
        f"the rate of {name} is carried on for up to {age_ms.max() / DAY_MS:,.1f} days, until "
        f"{stamp(int(ts_ms[oldest]))}"
    ]


def _holding(
    name: str, one: HoldingSettings, key: str, timeline: Timeline, first: int, last: int
) -> tuple[HoldingPath, list[str]]:
    """One holding over the timeline, its own liquidation included, and what is said about it."""
    ts_ms = timeline.ts_ms
    rate, said = _rate(one, name, key, ts_ms, slice(first, last))
    eth_per_token = rate * _growth(one, one.yield_per_year, ts_ms)
    collateral = one.amount * eth_per_token
    interest = _growth(one, one.interest_per_year, ts_ms)
    debt_usd, debt_eth = (one.debt_usd or 0.0) * interest, (one.debt_eth or 0.0) * interest
    stated = first
    if one.as_of is not None:
        stated = min(first, int(np.searchsorted(ts_ms, to_ms(one.as_of))))
        begin = int(ts_ms[stated])
        if one.owes and to_ms(one.as_of) > begin:
            said.append(
                f"the loan of {name}, stated as of {stamp(to_ms(one.as_of))}, is taken to stand "
                f"since {stamp(begin)}"
            )
        elif one.owes and begin - to_ms(one.as_of) >= HOUR_MS:
            said.append(
                f"the loan of {name}, stated as of {stamp(to_ms(one.as_of))}, is watched from "
                f"{stamp(begin)} on, the first hour of the lake"
            )
    delta = collateral - debt_eth
    held = HoldingPath(
        name, one, stated, eth_per_token, collateral, debt_usd, debt_eth, delta, None
    )
    return (_liquidated(held, timeline) if one.owes else held), said


def _liquidated(one: HoldingPath, timeline: Timeline) -> HoldingPath:
    """The same holding, liquidated at the first bar after it was stated that reaches its limit."""
    spot, debt_eth = timeline.spot, one.debt_eth
    # The extremes of a doubted bar are unknown; its open and close are not.
    low = np.fmin(spot.low, np.fmin(spot.open, spot.close))
    price_limit = one.liquidation_price_usd
    reached = (low <= price_limit) | (one.liquidation_ratio >= 1.0)
    reached[: one.stated + 1] = False
    if not reached.any():
        return one
    tick = int(reached.argmax())
    if one.settings.debt_usd is not None:
        # A bar that opens below the limit, as after a gap, gives its open and no better.
        price = float(np.fmin(price_limit[tick], spot.open[tick]))
        repaid = float(one.debt_usd[tick]) / price
    else:
        closes = spot.close[: tick + 1]
        price = float(closes[np.isfinite(closes)][-1])
        repaid = float(debt_eth[tick])
    penalty = one.settings.liquidation_penalty or 0.0
    left, lost = after_liquidation(float(one.collateral_eth[tick]), repaid, penalty)
    collateral = one.collateral_eth.copy()
    collateral[tick:] *= left / collateral[tick]
    before = np.arange(len(collateral)) < tick
    return replace(
        one,
        collateral_eth=collateral,
        debt_usd=np.where(before, one.debt_usd, 0.0),
        debt_eth=np.where(before, debt_eth, 0.0),
        delta_eth=np.where(before, one.delta_eth, collateral),
        liquidation=OwnLiquidation(
            tick, int(timeline.ts_ms[tick]), price, repaid, left, lost * price
        ),
    )
