"""Numbers of a rehearsal: how closely the hedge was kept, by what orders, at what cost."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from counterpoise.config import Settings
from counterpoise.execution.records import (
    AlertRaised,
    FillBooked,
    FundingBooked,
    Mode,
    Moved,
    OrderSent,
    OrderState,
)
from counterpoise.journal.reading import Reader
from counterpoise.journal.tables import Run
from counterpoise.market.lake import Lake
from counterpoise.rehearsal.at_venue import AtVenue
from counterpoise.rehearsal.checks import STOP, Check, checks_of
from counterpoise.rehearsal.costs import Cost, costs_of
from counterpoise.rehearsal.stage import Script
from counterpoise.rehearsal.tracking import Tracking, tracking
from counterpoise.units import BPS, NS_PER_MS, stamp
from counterpoise.venues import contract_at
from counterpoise.watch.heartbeat import Heartbeat

#: Sizes that differ by less are the same, ETH.
_SAME = 1e-9
#: The venue's words within a refusal, as NautilusTrader passes it on.
_MESSAGE = re.compile(r"""'msg': (['"])(.*?)\1""")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision in words."""

    ts_ms: int
    cause: str
    short_eth: float
    target_eth: float
    lo: float
    hi: float
    because: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What became of the orders of schedules, in counts; shares are of the size filled.

    Attributes
    ----------
    placed, whole, part, cancelled, refused, expired, other : int
        ``whole`` and ``part`` were filled so far; ``cancelled`` to ``other`` were not filled.
    maker_share : float
    refusals : dict of str to int
        The venue's words, and how often.
    """

    placed: int
    whole: int
    part: int
    cancelled: int
    refused: int
    expired: int
    other: int
    maker_share: float
    refusals: dict[str, int]


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that rested: its trigger, and what became of it."""

    ts_ms: int
    client_id: str
    side: str
    size: float
    trigger: float
    status: str


@dataclass(frozen=True)
class Summary:
    """A rehearsal in numbers.

    Attributes
    ----------
    market : str
        What was played, in words.
    made_up : bool
        Whether its prices were.
    policy, run_id, version : str
    first_ms, end_ms : int
        Of the market's clock.
    speed : float
    fees_usd, funding_usd : float
        Paid and received.
    under_way : int
        Schedules that had not ended: no shortfall of theirs is known.
    latencies_ms : dict of str to float
        Wall time by what was measured.
    """

    market: str
    made_up: bool
    policy: str
    run_id: str
    version: str
    first_ms: int
    end_ms: int
    speed: float
    exposure_eth: float
    short_eth: float
    target_eth: float
    wallet_usd: float
    fees_usd: float
    funding_usd: float
    tracking: Tracking
    decisions: tuple[Decided, ...]
    orders: Orders
    costs: tuple[Cost, ...]
    under_way: int
    fundings: tuple[FundingBooked, ...]
    latencies_ms: Mapping[str, float]
    alerts: tuple[AlertRaised, ...]
    modes: tuple[Mode, ...]
    stops: tuple[Stop, ...]
    moves: tuple[Moved, ...]
    checks: tuple[Check, ...]
    fills: tuple[FillBooked, ...] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"rehearsal": True, "passed": self.passed} | asdict(self)

    def lines(self) -> list[str]:
        """For a terminal."""
        kept, orders = self.tracking, self.orders
        total = sum(cost.total_usd for cost in self.costs)
        notional = sum(cost.notional_usd for cost in self.costs)
        in_bps = f" ({total / notional / BPS:+.2f} bp)" if notional else ""
        held = kept.hours[-1].ratio if kept.hours else math.nan
        told = [
            f"played       {self.market}, {stamp(self.first_ms)} to {stamp(self.end_ms)} UTC",
            f"hedge        {self.short_eth:.3f} ETH short of {self.exposure_eth:.3f} long "
            f"({100 * held:.1f} %), target {self.target_eth:.3f}",
            f"tracking     {100 * kept.mean_error:.2f} % of the exposure off target on average, "
            f"outside the band {kept.outside_s / 60:.0f} of {kept.whole_s / 60:.0f} minutes",
            f"decisions    {len(self.decisions)}",
            f"orders       {orders.placed} placed, {orders.whole + orders.part} filled, "
            f"{orders.cancelled} cancelled, {orders.refused} refused; "
            f"maker share {100 * orders.maker_share:.0f} %",
            f"cost         {total:,.2f} USD{in_bps} of {len(self.costs)} schedules that ended, "
            f"{self.under_way} under way",
            f"paid         {self.fees_usd:,.2f} USD of fees, received {self.funding_usd:,.2f} USD "
            "of funding",
            f"alerts       {len(self.alerts)}",
        ]
        failed = [check for check in self.checks if not check.ok]
        told += [f"FAILED       {check.name}: {check.said}" for check in failed]
        return [*told, f"checks       {len(self.checks) - len(failed)} of {len(self.checks)} hold"]


def summary_of(
    reader: Reader, account: AtVenue, script: Script, settings: Settings, beat: Heartbeat | None
) -> Summary:
    """Numbers from the journal, the venue and the last heartbeat.

    Parameters
    ----------
    reader : Reader
    account : AtVenue
        At the end.
    script : Script
        What was played.
    settings : Settings
        Its costs are the model that shortfalls are held against.
    beat : Heartbeat or None
        The last one: latencies, and the market's time at the end.
    """
    contract = contract_at(settings.venue.names[0], script.first_ms)
    decisions, fills = reader.decisions(0), tuple(reader.fills(0))
    sent, states = reader.records(OrderSent), reader.records(OrderState)
    end_ms = 0 if beat is None else beat.market_ts_ms
    kept = tracking(decisions, fills, end_ms, contract.step_eth)
    fundings = tuple(reader.records(FundingBooked))
    run = reader.records(Run)[-1]
    made_up = script.recording is None and Lake(script.lake).synthetic
    last = decisions[-1] if decisions else None
    return Summary(
        market=_played(script, made_up),
        made_up=made_up,
        policy=settings.hedge.policy,
        run_id=run.run_id,
        version=run.version,
        first_ms=script.first_ms,
        end_ms=max(end_ms, kept.steps[-1].ts_ms if kept.steps else script.first_ms),
        speed=script.speed,
        exposure_eth=math.nan if last is None else last.exposure_eth,
        short_eth=account.short_eth,
        target_eth=math.nan if last is None else last.target_eth,
        wallet_usd=account.wallet_usd,
        fees_usd=sum(fill.fee_usd for fill in fills),
        funding_usd=sum(one.usd for one in fundings),
        tracking=kept,
        decisions=tuple(
            Decided(
                one.ts_ns // NS_PER_MS,
                one.cause,
                one.short_eth,
                one.target_eth,
                one.lo,
                one.hi,
                one.because,
            )
            for one in decisions
        ),
        orders=_orders(sent, states, fills),
        costs=costs_of(reader, account, settings, contract),
        under_way=len(reader.working_plans()),
        fundings=fundings,
        latencies_ms=({} if beat is None else dict(beat.latencies_ms))
        | _answers(sent, states, script.speed),
        alerts=tuple(reader.alerts(0)),
        modes=tuple(reader.records(Mode)),
        stops=_stops(sent, states, account),
        moves=tuple(reader.records(Moved)),
        checks=checks_of(reader, account, script.wallet_usd),
        fills=fills,
    )


def _played(script: Script, made_up: bool) -> str:
    if script.recording is not None:
        return f"the recorded book {script.recording.name}"
    return "a made-up market" if made_up else "the hourly bars of the lake"


def _orders(
    sent: Sequence[OrderSent], states: Sequence[OrderState], fills: Sequence[FillBooked]
) -> Orders:
    orders = [order for order in sent if order.kind != STOP]
    filled: defaultdict[str, float] = defaultdict(float)
    for fill in fills:
        filled[fill.client_id] += fill.size
    last = {state.client_id: state for state in states}
    ends: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    for order in orders:
        state = last.get(order.client_id)
        if filled[order.client_id] > order.size - _SAME:
            ends["whole"] += 1
        elif filled[order.client_id] > 0:
            ends["part"] += 1
        else:
            ends[state.status if state is not None else "pending"] += 1
        if state is not None and state.status == "rejected":
            said = _MESSAGE.search(state.reason)
            refusals[said[2] if said else state.reason or f"code {state.code}"] += 1
    whole = sum(fill.size for fill in fills)
    maker = sum(fill.size for fill in fills if fill.maker)
    ended = ("whole", "part", "canceled", "rejected", "expired")
    return Orders(
        placed=len(orders),
        whole=ends["whole"],
        part=ends["part"],
        cancelled=ends["canceled"],
        refused=ends["rejected"],
        expired=ends["expired"],
        other=len(orders) - sum(ends[name] for name in ended),
        maker_share=maker / whole if whole else math.nan,
        refusals=dict(refusals.most_common()),
    )


def _answers(
    sent: Sequence[OrderSent], states: Sequence[OrderState], speed: float
) -> dict[str, float]:
    """Wall time from an order's record to the venue's first word about it, ms."""
    first: dict[str, int] = {}
    for state in states:
        first.setdefault(state.client_id, state.ts_ns)
    waits = [
        (first[order.client_id] - order.ts_ns) / NS_PER_MS / speed
        for order in sent
        if order.client_id in first
    ]
    if not waits:
        return {}
    middle, late = np.percentile(waits, [50.0, 99.0])
    return {"order_to_answer_p50": float(middle), "order_to_answer_p99": float(late)}


def _stops(
    sent: Sequence[OrderSent], states: Sequence[OrderState], account: AtVenue
) -> tuple[Stop, ...]:
    said = {state.client_id: state.status for state in states}
    there = dict(account.stops)
    return tuple(
        Stop(
            order.ts_ns // NS_PER_MS,
            order.client_id,
            order.side,
            order.size,
            order.trigger,
            f"{said.get(order.client_id, 'pending')}; at the venue "
            f"{there.get(order.client_id, 'unknown')}",
        )
        for order in sent
        if order.kind == STOP
    )
