"""What a study hedges: holdings, flows and loans over its window, for the page and the results.

It reads an :class:`ExposurePath` at its ends and words it. Rewards, interest and the penalties of
lenders are the same under every policy, so they are told here and are in no policy's P&L.
"""

import math
from dataclasses import dataclass

import numpy as np

from counterpoise.config import Settings
from counterpoise.exposure.path import ExposurePath, HoldingPath, exposure_path
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.arena import Arena
from counterpoise.study.page import escape, number, paragraph, percent, table
from counterpoise.units import stamp


@dataclass(frozen=True)
class HeldRow:
    """One holding over the window.

    Attributes
    ----------
    name : str
    amount : float
        Tokens, as stated.
    eth_per_token : float
        At the first tick.
    first_eth, last_eth : float
        Delta at both ends.
    yield_per_year : float
    debt_usd, debt_eth : float
        Owed at the first tick.
    liquidation_price_usd, liquidation_ratio : float
        Of the loan at the first tick: ETH price, or share of the rate; NaN without one.
    liquidated : str
        When the lender took over; empty if never.
    loss_usd : float
        Equity that cost.
    """

    name: str
    amount: float
    eth_per_token: float
    first_eth: float
    last_eth: float
    yield_per_year: float
    debt_usd: float
    debt_eth: float
    liquidation_price_usd: float
    liquidation_ratio: float
    liquidated: str
    loss_usd: float


@dataclass(frozen=True)
class Hedged:
    """What a study hedges.

    Attributes
    ----------
    begin, end : str
        First and last tick, UTC.
    first_eth, last_eth, lowest_eth, highest_eth, mean_eth : float
        Exposure over the window.
    flow_count, flow_eth : int and float
        Number and sum of the flows after the first tick.
    holdings : tuple of HeldRow
    notes : tuple of str
    """

    begin: str
    end: str
    first_eth: float
    last_eth: float
    lowest_eth: float
    highest_eth: float
    mean_eth: float
    flow_count: int
    flow_eth: float
    holdings: tuple[HeldRow, ...]
    notes: tuple[str, ...]


def hedged_in(settings: Settings, timeline: Timeline, where: Arena) -> Hedged:
    """What is hedged over the window of an arena."""
    return hedged_of(exposure_path(settings, timeline, where.first, where.last))


def hedged_of(path: ExposurePath) -> Hedged:
    """Read a path at both ends of its window."""
    first, last = path.first, path.last - 1
    inside = (path.flows.ts_ms > path.ts_ms[first]) & (path.flows.ts_ms <= path.ts_ms[last])
    exposure = path.exposure_eth[first : path.last]
    return Hedged(
        begin=stamp(int(path.ts_ms[first])),
        end=stamp(int(path.ts_ms[last])),
        first_eth=float(exposure[0]),
        last_eth=float(exposure[-1]),
        lowest_eth=float(exposure.min()),
        highest_eth=float(exposure.max()),
        mean_eth=float(exposure.mean()),
        flow_count=int(np.count_nonzero(inside)),
        flow_eth=float(path.flows.eth[inside].sum()),
        holdings=tuple(_row(one, first, last) for one in path.holdings),
        notes=path.notes,
    )


def _row(one: HoldingPath, first: int, last: int) -> HeldRow:
    taken = one.liquidation if one.liquidation and one.liquidation.tick <= last else None
    return HeldRow(
        name=one.name,
        amount=one.settings.amount,
        eth_per_token=float(one.eth_per_token[first]),
        first_eth=float(one.delta_eth[first]),
        last_eth=float(one.delta_eth[last]),
        yield_per_year=one.settings.yield_per_year,
        debt_usd=float(one.debt_usd[first]),
        debt_eth=float(one.debt_eth[first]),
        liquidation_price_usd=float(one.liquidation_price_usd[first]),
        liquidation_ratio=float(one.liquidation_ratio[first]),
        liquidated="" if taken is None else stamp(taken.ts_ms),
        loss_usd=0.0 if taken is None else taken.loss_usd,
    )


def hedged_html(hedged: Hedged) -> str:
    """Return the part of the page that says what is hedged."""
    moved = f"{number(hedged.first_eth)} ETH at {hedged.begin}, {number(hedged.last_eth)} ETH at "
    moved += f"{hedged.end}"
    if hedged.lowest_eth != hedged.highest_eth:
        moved += f", between {number(hedged.lowest_eth)} and {number(hedged.highest_eth)} ETH"
    if hedged.flow_count:
        moved += f"; flows in the window: {hedged.flow_count}, in sum "
        moved += f"{number(hedged.flow_eth, sign=True)} ETH"
    head = ["Holding", "Taken over", "Tokens", "ETH per token", "First delta", "Last delta"]
    head += ["Yield /yr", "Owed at first", "Lender's limit", "Lost, USD"]
    rows = [
        [
            escape(row.name),
            escape(row.liquidated or "–"),
            number(row.amount),
            number(row.eth_per_token, 4),
            number(row.first_eth),
            number(row.last_eth),
            percent(row.yield_per_year) if row.yield_per_year else "–",
            _owed(row),
            _limit(row),
            number(row.loss_usd, 0) if row.liquidated else "–",
        ]
        for row in hedged.holdings
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in hedged.notes)
    return "\n".join(
        part
        for part in (
            paragraph(f"{moved}."),
            table(head, rows, left=2),
            f"<ul>{notes}</ul>" if notes else "",
            paragraph(
                "Rewards, interest and a lender's penalty are the same under every policy and in "
                "no policy's P&L.",
                "note",
            )
            if any(row.yield_per_year or row.debt_usd or row.debt_eth for row in hedged.holdings)
            else "",
        )
        if part
    )


def _owed(row: HeldRow) -> str:
    if row.debt_usd:
        return f"{number(row.debt_usd, 0)} USD"
    return f"{number(row.debt_eth)} ETH" if row.debt_eth else "–"


def _limit(row: HeldRow) -> str:
    if math.isfinite(row.liquidation_price_usd):
        return f"{number(row.liquidation_price_usd)} USD"
    return (
        f"{number(row.liquidation_ratio, 4)} × rate"
        if math.isfinite(row.liquidation_ratio)
        else "–"
    )
