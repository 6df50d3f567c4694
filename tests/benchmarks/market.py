"""The bars and policies that the simulator and its peer are both given.

The orders of the peer are those our simulator placed on these bars, so both trade the same; they
are prepared before anything is timed.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.config import Settings
from counterpoise.hedging import Intent
from counterpoise.market.timeline import Bars, Timeline
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.simulate import simulate

Floats = NDArray[np.float64]

HOURS, WARM_UP_H, POLICIES = 48_000, 200, 128
HALF_WIDTH = 0.05


def random_market() -> Timeline:
    """Five and a half years of hourly bars without gaps, funding every 8 h."""
    rng = np.random.default_rng(0)
    spot = 1_800 * np.exp(np.cumsum(rng.normal(0, 0.008, HOURS)))
    perp = (spot * (1 + rng.normal(0, 3e-4, HOURS)))[:, None]
    none = np.full((HOURS, 1), np.nan)
    settled = np.where(np.arange(HOURS) % 8 == 0, 1e-4, np.nan)[:, None]
    return Timeline(
        ts_ms=1_577_836_800_000 + 3_600_000 * np.arange(HOURS, dtype=np.int64),
        venues=("binance",),
        spot=Bars(spot, spot * 1.002, spot * 0.998, spot, np.full(HOURS, 1e4)),
        perp=Bars(perp, perp * 1.002, perp * 0.998, perp, np.full((HOURS, 1), 5e4)),
        mark_high=perp * 1.002,
        funding_settled=settled,
        funding_mark=none,
        funding_last=np.full((HOURS, 1), 1e-4),
        funding_interval_h=np.full((HOURS, 1), 8.0),
        daily={},
        suspects=(),
        notes=(),
        synthetic=True,
    )


def random_targets() -> Floats:
    """Hedge ratios that wander between 0.6 and 1, one row per policy; (POLICIES, HOURS)."""
    steps = np.random.default_rng(1).normal(size=(POLICIES, HOURS))
    return 0.8 + 0.1 * np.clip(steps.cumsum(axis=1) / 50, -2, 2)


def intent_of(target: Floats) -> Intent:
    """Band of 0.05 around a target, to its nearest edge."""
    return Intent.around(target, HALF_WIDTH, venues=1, cap=1.0)


@dataclass(frozen=True)
class Given:
    """What our side starts from."""

    where: Arena
    targets: Floats


def ours(folder: Path) -> Given:
    """Arena and targets; the targets are read from ``folder``, as the peer's orders are."""
    # The peer is given orders, not margin: collateral is there when it is asked for.
    settings = Settings(capital={"transfer_h": 0})
    where = arena(random_market(), settings, WARM_UP_H, HOURS)
    return Given(where, np.load(folder / "targets.npy"))


def prepare(folder: Path) -> dict[str, float]:
    """Write targets, bars and the orders that follow them; return what a check needs.

    ``bars.npy`` (T,) perpetual closes, ``orders.npy`` (T, P) signed ETH of each order of the
    perpetual, NaN where there is none.
    """
    targets = random_targets()
    np.save(folder / "targets.npy", targets)
    given = ours(folder)
    orders = np.full((len(given.where.ts_ms), POLICIES), np.nan)
    for p, path in enumerate(simulate(given.where, map(intent_of, targets))):
        if path.liquidations:
            raise SystemExit("a peer cannot follow a liquidation: change the bars")
        orders[:, p] = -np.diff(path.short_eth[:, 0], prepend=0.0)
    orders[orders == 0.0] = np.nan
    np.save(folder / "bars.npy", given.where.market.perp[:, 0])
    np.save(folder / "orders.npy", orders)
    return {"traded_eth": float(np.nansum(np.abs(orders)))}
