"""What a trader really did, valued like a policy: fills in, :class:`SimulatedPath` out.

Position, prices and fees are the fills' own; bars, funding and the cost of capital are those every
policy meets. Nothing is decided, clipped or liquidated here. Specification: docs/actual.md.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.moment import LINKS
from counterpoise.errors import FixConfig, NotEnoughData, RejectData
from counterpoise.market.fills import Fills
from counterpoise.market.timeline import Timeline
from counterpoise.simulation.account import SimulatedPath
from counterpoise.simulation.arena import Arena
from counterpoise.simulation.prices import prices_of
from counterpoise.units import HOUR_MS, HOURS_PER_YEAR, stamp

Floats = NDArray[np.float64]

#: How far outside the bar of its hour a fill's price may lie, share.
BAR_TOLERANCE = 1e-3
#: Share of fills outside their bars above which stamps or market must be wrong.
STRANGE_SHARE = 0.5


def replay(
    fills: Fills, where: Arena, venues: Sequence[str], opening_short_eth: float = 0.0
) -> SimulatedPath:
    """Value fills over an arena, by tick.

    Parameters
    ----------
    fills : Fills
        Those before the first tick make up the position it opens with; those from the last tick on
        are not used.
    where : Arena
    venues : sequence of str
        Names of the arena's V venues, in its order.
    opening_short_eth : float
        Short held before the first fill, ETH, on the venue of that fill; negative is long.

    Returns
    -------
    SimulatedPath
        ``slippage`` is the fill's price against the close of its hour, of either sign; ``lo`` and
        ``hi`` are NaN, ``reasons`` and ``liquidations`` 0, ``margin_low`` NaN. ``short_eth`` is
        negative where the position was long.

    Raises
    ------
    FixConfig
        Fills of a venue that is not in the arena.
    NotEnoughData
        No tick of the arena has prices.
    """
    market, ticks = where.market, len(where.ts_ms)
    strange = sorted(set(fills.venue.tolist()) - set(venues))
    if strange:
        raise FixConfig(
            "venue.names",
            list(venues),
            f"the venues of the fills too: {', '.join(strange)}",
            "add them and import their bars and funding",
        )
    prices = prices_of(market, False)
    if not prices.priced.any():
        raise NotEnoughData(
            f"no hour from {stamp(int(where.ts_ms[0]))} to {stamp(int(where.ts_ms[-1]))} has "
            "prices, so the fills cannot be valued. Next: import bars of that span."
        )
    # A fill belongs to the bar it happened in, which closes at the first tick after it.
    tick = np.searchsorted(where.ts_ms, fills.ts_ms, side="right")
    venue = np.array([list(venues).index(name) for name in fills.venue], dtype=np.int64)
    change = fills.short_change_eth
    opening = np.zeros(len(venues))
    opening[venue[0]] = opening_short_eth
    earlier = tick == 0
    np.add.at(opening, venue[earlier], change[earlier])

    inside = ~earlier & (tick < ticks)
    tick, venue, change = tick[inside], venue[inside], change[inside]
    first_known = int(np.argmax(prices.priced))
    close = prices.perp_last.copy()
    close[:first_known] = close[first_known]
    added = np.zeros(market.perp.shape)
    np.add.at(added, (tick, venue), change)
    held = opening + np.cumsum(added, axis=0)
    into = np.vstack([opening, held[:-1]])

    spot_moved = np.where(prices.marks, prices.spot_last - prices.spot_before, 0.0)
    perp_moved = np.where(prices.marks[:, None], prices.perp_last - prices.perp_before, 0.0)
    exposure_into = np.concatenate([market.exposure_eth[:1], market.exposure_eth[:-1]])
    posted_usd = np.abs(held) * close / where.watch.leverage[:, None]
    posted_eth = np.zeros_like(posted_usd)

    pnl = np.zeros((ticks, 7))
    pnl[:, 0] = (exposure_into - into.sum(axis=1)) * spot_moved
    pnl[:, 1] = -(into * (perp_moved - spot_moved[:, None])).sum(axis=1)
    pnl[:, 2] = (held * prices.funding).sum(axis=1)
    np.subtract.at(pnl[:, 3], tick, fills.fee_usd[inside])
    np.add.at(pnl[:, 4], tick, change * (fills.price_usd[inside] - close[tick, venue]))
    traded = np.zeros(ticks)
    np.add.at(traded, tick, np.abs(change))

    won = np.cumsum(pnl[:, 2:5].sum(axis=1) - (into * perp_moved).sum(axis=1))
    if where.account.coin_value > 0.0:
        posted_eth = posted_usd / (where.account.coin_value * close)
        paid_in, owed = np.zeros(ticks), np.maximum(-won, 0.0)
    else:
        paid_in, owed = posted_usd.sum(axis=1) - won, np.zeros(ticks)
    coins_usd = np.nan_to_num(prices.spot_last) * posted_eth.sum(axis=1)
    yearly_usd = where.costs.capital_cost_per_year * (paid_in + owed)
    yearly_usd += where.costs.eth_cost_per_year * coins_usd
    pnl[1:, 5] = -yearly_usd[:-1] / HOURS_PER_YEAR
    unknown = np.full(ticks, np.nan)
    spot_open = prices.spot_before.copy()
    spot_open[first_known] = prices.spot_last[first_known]
    return SimulatedPath(
        ts_ms=where.ts_ms,
        pnl=pnl,
        short_eth=held,
        collateral_usd=posted_usd,
        traded_eth=traded,
        lo=unknown,
        hi=unknown,
        reasons=np.zeros(ticks, dtype=np.int64),
        exposure_eth=market.exposure_eth,
        exposure_mean_eth=exposure_into,
        spot=prices.spot_last,
        spot_open=spot_open,
        posted_eth=posted_eth,
        paid_in_usd=paid_in,
        margin_low=unknown,
        coming=np.zeros_like(posted_eth),
        chain=np.full((ticks, LINKS), np.nan),
        liquidations=0,
    )


def remarks(fills: Fills, path: SimulatedPath) -> tuple[str, ...]:
    """Say what of the fills lies outside the path, and where the hedge was no hedge.

    Parameters
    ----------
    fills : Fills
    path : SimulatedPath
        Their :func:`replay`, by tick.
    """
    said = []
    earlier = int((fills.ts_ms < path.ts_ms[0]).sum())
    later = int((fills.ts_ms >= path.ts_ms[-1]).sum())
    if earlier:
        said.append(
            f"{earlier} fills before {stamp(int(path.ts_ms[0]))} UTC are in the position the "
            "comparison opens with, not in its P&L"
        )
    if later:
        said.append(f"{later} fills from {stamp(int(path.ts_ms[-1]))} UTC on are not used")
    short = path.short_eth.sum(axis=1)
    rounding = 1e-9 * max(1.0, float(np.abs(short).max()))
    long, over = short < -rounding, short > path.exposure_eth + rounding
    for wrong, what, unless in (
        (
            long,
            "net long",
            "If it was not, a short from before the first fill is missing: --actual-opening-short",
        ),
        (
            over,
            "short of more than the exposure",
            "If it was not, the exposure is too small: --exposure",
        ),
    ):
        if wrong.any():
            excess = np.where(short < 0, -short, short - path.exposure_eth)
            most = int(np.argmax(np.where(wrong, excess, -np.inf)))
            said.append(
                f"the position was {what} in {int(wrong.sum())} of {len(short)} hours, most at "
                f"{stamp(int(path.ts_ms[most]))} UTC: {short[most]:,.3f} ETH short of "
                f"{path.exposure_eth[most]:,.3f} held. {unless}"
            )
    return tuple(said)


def refuse_strange_prices(fills: Fills, timeline: Timeline) -> tuple[str, ...]:
    """Compare the fills' prices with the bars they happened in.

    Parameters
    ----------
    fills : Fills
    timeline : Timeline
        Its bars; a missing or doubted bar says nothing.

    Returns
    -------
    tuple of str
        A sentence where some prices lie more than 0.1 % outside their bar.

    Raises
    ------
    RejectData
        Most of them do: the stamps are in another zone, or the market is another one.
    """
    tick = np.searchsorted(timeline.ts_ms, fills.ts_ms, side="right")
    seen = (tick < len(timeline.ts_ms)) & np.isin(fills.venue, timeline.venues)
    seen &= fills.ts_ms >= timeline.ts_ms[0] - HOUR_MS
    rows = np.flatnonzero(seen)
    venue = np.array([timeline.venues.index(fills.venue[row]) for row in rows], dtype=np.int64)
    low, high = (bar[tick[rows], venue] for bar in (timeline.perp.low, timeline.perp.high))
    known = np.isfinite(low) & np.isfinite(high)
    price = fills.price_usd[rows]
    outside = known & ((price < low * (1 - BAR_TOLERANCE)) | (price > high * (1 + BAR_TOLERANCE)))
    if not outside.any():
        return ()
    one = int(np.flatnonzero(outside)[0])
    count, of = int(outside.sum()), int(known.sum())
    example = (
        f"{price[one]:,.2f} at {stamp(int(fills.ts_ms[rows[one]]))} UTC, where the bar has "
        f"{low[one]:,.2f} to {high[one]:,.2f}"
    )
    if count > STRANGE_SHARE * of:
        raise RejectData(
            "--actual",
            f"{count} of {of} fills",
            example,
            "prices inside the bars of their hours",
            "check the zone of the times, and that the lake is of the venue of the fills",
        )
    return (f"{count} of {of} fills lie outside the bar of their hour, the first {example}",)
