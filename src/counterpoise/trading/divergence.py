"""The same day in two drivers: where they must agree, and where and why they do not.

The simulator trades at the close of a bar by a cost model; the event-driven drivers work orders
through quotes. Targets must be equal, positions equal to a step when a schedule is over; what is
left is how the fills came about, and it is named.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.units import BPS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Driven:
    """What an event-driven driver did, at T ticks; see ``backtest.Backtested``."""

    ts_ms: NDArray[np.int64]
    target_eth: Floats
    short_eth: Floats
    pnl_usd: Floats
    fees_usd: float
    funding_usd: float
    capital_usd: float
    traded_eth: float


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
    targets_differ : int
        Decisions whose targets differ by more than half a size step.
    reached_differ : int
        Hours at whose end the short differs from the simulator's by more than a size step.
    pnl_bps : float
        Difference of the P&L, basis points of the exposure's value.
    rows : tuple of Row
    """

    targets_differ: int
    reached_differ: int
    pnl_bps: float
    rows: tuple[Row, ...]


def diverge(path: SimulatedPath, driven: Driven, step_eth: float) -> Divergence:
    """Compare a driver with the simulator, tick by tick.

    Parameters
    ----------
    path : SimulatedPath
        By tick, of one venue, over the same ticks.
    driven : Driven
    step_eth : float

    Raises
    ------
    ValueError
        Other ticks.
    """
    if not np.array_equal(path.ts_ms, driven.ts_ms):
        raise ValueError("the two drivers saw different ticks")
    simulated = path.short_eth[:, 0]
    decided = np.isfinite(driven.target_eth)
    off = np.abs(driven.target_eth - simulated)
    # What is held into a tick is what the schedule of the hour before reached.
    reached = np.abs(driven.short_eth[1:] - simulated[:-1])
    hedge = path.total - path.exposure_mean_eth * np.diff(path.spot, prepend=path.spot[0])
    parts = dict(zip(COMPONENTS, path.pnl.sum(axis=0).tolist(), strict=True))
    simulated_usd = float(hedge.sum())
    driven_usd = float(driven.pnl_usd[decided][-1]) if decided.any() else math.nan
    exposed = float(np.nanmean(path.exposure_eth * path.spot))
    in_bps = 1.0 / (exposed * BPS)

    def money(what: str, ours: float, theirs: float, why: str) -> Row:
        return Row(what, ours, theirs, (theirs - ours) * in_bps, "bp of exposure", why)

    rows = (
        Row(
            "largest difference of a target",
            float(np.nanmax(simulated)),
            float(np.nanmax(driven.target_eth)),
            float(np.nanmax(off)),
            "ETH",
        ),
        Row(
            "largest difference of a position when its hour ends",
            float(simulated[-1]),
            float(driven.short_eth[-1]),
            float(np.nanmax(reached)) if len(reached) else 0.0,
            "ETH",
            "a schedule that could not be finished, or an hour without quotes",
        ),
        Row(
            "traded",
            float(path.traded_eth.sum()),
            driven.traded_eth,
            driven.traded_eth - float(path.traded_eth.sum()),
            "ETH",
        ),
        money("hedge P&L, all of it", simulated_usd, driven_usd, "the sum of the lines below"),
        money(
            "fees",
            parts["fees"],
            -driven.fees_usd,
            "the share that took is an outcome here, a setting there",
        ),
        money(
            "funding",
            parts["funding"],
            driven.funding_usd,
            "paid on the position at the settlement, which a schedule may still be moving",
        ),
        money(
            "cost of capital",
            parts["capital"],
            -driven.capital_usd,
            "collateral follows equity, which follows the fills",
        ),
    )
    rest = (driven_usd - simulated_usd) - sum((row.driven - row.simulated) for row in rows[4:])
    price = money(
        "price of the fills against the close",
        parts["slippage"],
        parts["slippage"] + rest,
        "a cost model there; spread, queue and what the price did meanwhile here",
    )
    return Divergence(
        targets_differ=int((off[decided] > 0.5 * step_eth).sum()),
        reached_differ=int((reached > 1.5 * step_eth).sum()),
        pnl_bps=(driven_usd - simulated_usd) * in_bps,
        rows=(*rows, price),
    )
