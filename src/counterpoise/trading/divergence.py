"""The same days in two drivers: where they must agree, and where and why they do not.

The simulator trades at the close of a bar by a cost model; the event-driven drivers work orders
through quotes. Targets must be equal, positions equal to a step when a schedule is over; what is
left is how the fills came about, and it is named. Page: docs/backtest.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.units import BPS

Floats = NDArray[np.float64]
#: What the simulator books in the tick that decides; a driver is looked at before its fills.
_COST_OF_ORDERS = ("fees", "slippage")


@dataclass(frozen=True)
class Driven:
    """What an event-driven driver did; T ticks, each after its decision and before its fills.

    Attributes
    ----------
    ts_ms : int64 (T,)
        Ticks of the decision clock.
    target_eth : float64 (T,)
        Short decided on; NaN where nothing was.
    short_eth : float64 (T,)
        Short held: what the schedules of the hour before reached.
    pnl_usd : float64 (T,)
        P&L of the hedge after all costs since the beginning, at the closes of the tick.
    fees_usd, funding_usd, capital_usd, traded_eth : float64 (T,)
        Paid, received, cost of capital, and size of all fills, since the beginning.
    """

    ts_ms: NDArray[np.int64]
    target_eth: Floats
    short_eth: Floats
    pnl_usd: Floats
    fees_usd: Floats
    funding_usd: Floats
    capital_usd: Floats
    traded_eth: Floats


@dataclass(frozen=True)
class Row:
    """One thing compared.

    Attributes
    ----------
    what : str
    simulated, driven : float
    difference : float
        In ``unit``.
    unit : str
    why : str
        What of it the simulator does not model.
    """

    what: str
    simulated: float
    driven: float
    difference: float
    unit: str
    why: str = ""


@dataclass(frozen=True)
class Divergence:
    """Two drivers over one span.

    Attributes
    ----------
    since_ms, hours : int
        First tick counted, and hours from it to the last one.
    targets_differ : int
        Decisions whose targets differ by more than half a size step.
    reached_differ : int
        Hours at whose end the short differs from the simulator's by more than a size step.
    pnl_bps : float
        Difference of the P&L, basis points of the exposure's value.
    rows : tuple of Row
    """

    since_ms: int
    hours: int
    targets_differ: int
    reached_differ: int
    pnl_bps: float
    rows: tuple[Row, ...]


def in_place(path: SimulatedPath, driven: Driven, step_eth: float) -> int | None:
    """First tick into which both hold the same short: the opening is over; None where it never is.

    Parameters
    ----------
    path, driven, step_eth
        As of :func:`diverge`.
    """
    off = np.abs(driven.short_eth[1:-1] - path.short_eth[:-2, 0])
    same = np.flatnonzero((off <= 1.5 * step_eth) & (path.short_eth[:-2, 0] > 0.0))
    return int(same[0]) + 1 if len(same) else None


def diverge(
    path: SimulatedPath, driven: Driven, step_eth: float, since: int | None = None
) -> Divergence:
    """Compare a driver with the simulator, tick by tick.

    Parameters
    ----------
    path : SimulatedPath
        By tick, of one venue, over the same ticks.
    driven : Driven
    step_eth : float
    since : int, optional
        Tick from which on both are counted; by default everything is, what opened the hedge
        included.

    Raises
    ------
    ValueError
        Other ticks.
    """
    if not np.array_equal(path.ts_ms, driven.ts_ms):
        raise ValueError("the two drivers saw different ticks")
    first = 0 if since is None else since
    simulated = path.short_eth[:, 0]
    off = np.abs(driven.target_eth - simulated)[first:]
    # What is held into a tick is what the schedule of the hour before reached.
    reached = np.abs(driven.short_eth[1:] - simulated[:-1])[first:]
    exposed = float(np.nanmean((path.exposure_eth * path.spot)[first:]))
    in_bps = 1.0 / (exposed * BPS)

    def gone(since_start: Floats) -> float:
        """Change of what is counted since the beginning."""
        return float(since_start[-1] - (0.0 if since is None else since_start[since]))

    parts = dict(zip(COMPONENTS, path.pnl.T, strict=True))
    orders = np.asarray(sum(parts[name] for name in _COST_OF_ORDERS))
    hedge = path.total - path.exposure_mean_eth * np.diff(path.spot, prepend=path.spot[0])
    simulated_usd = gone(np.cumsum(hedge) - orders)
    driven_usd = gone(driven.pnl_usd)

    def before_orders(of_tick: Floats) -> float:
        return gone(np.cumsum(of_tick) - of_tick)

    def money(what: str, ours: float, theirs: float, why: str) -> Row:
        return Row(what, ours, theirs, (theirs - ours) * in_bps, "bp of exposure", why)

    costs = (
        money(
            "fees, those of liquidations included",
            before_orders(parts["fees"]) + gone(np.cumsum(parts["liquidation"])),
            -gone(driven.fees_usd),
            "the share that took is an outcome here, a setting there",
        ),
        money(
            "funding",
            gone(np.cumsum(parts["funding"])),
            gone(driven.funding_usd),
            "paid on the position at the settlement, which a schedule may still be moving",
        ),
        money(
            "cost of capital",
            gone(np.cumsum(parts["capital"])),
            -gone(driven.capital_usd),
            "collateral follows equity, which follows the fills",
        ),
    )
    slippage = before_orders(parts["slippage"])
    rest = (driven_usd - simulated_usd) - math.fsum(row.driven - row.simulated for row in costs)
    ours, theirs = before_orders(path.traded_eth), gone(driven.traded_eth)
    return Divergence(
        since_ms=int(path.ts_ms[first]),
        hours=len(path.ts_ms) - 1 - first,
        targets_differ=int((off > 0.5 * step_eth).sum()),
        reached_differ=int((reached > 1.5 * step_eth).sum()),
        pnl_bps=(driven_usd - simulated_usd) * in_bps,
        rows=(
            Row(
                "largest difference of a target",
                float(np.nanmax(simulated[first:])),
                float(np.nanmax(driven.target_eth[first:])),
                float(np.nanmax(off)),
                "ETH",
            ),
            Row(
                "largest difference of a position when its hour ends",
                float(simulated[first:-1].max()),
                float(np.nanmax(driven.short_eth[first + 1 :])),
                float(np.nanmax(reached)),
                "ETH",
                "a schedule that could not be finished, or an hour without quotes",
            ),
            Row("traded", ours, theirs, theirs - ours, "ETH"),
            money("P&L of the hedge", simulated_usd, driven_usd, "the sum of the lines below"),
            *costs,
            money(
                "price of the fills against the close",
                slippage,
                slippage + rest,
                "a cost model there; spread, queue and what the price did meanwhile here",
            ),
        ),
    )
