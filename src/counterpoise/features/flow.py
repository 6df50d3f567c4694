"""Who trades and how much is open: takers, open interest, the book's two sides, the base fee.

Their inputs come with a fetch (``timeline.hourly``); a lake of imported bars has none of them. What
``x``, ``state`` and ``out`` are, and how gaps are kept, is said in ``feature``.
"""

import numpy as np

from counterpoise.compiled import njit
from counterpoise.features.feature import KNOWN_SHARE, Floats, Memory, add
from counterpoise.features.volatility import known_or_zero, summed


@njit
def log_change(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Log of a value over the value as many ticks ago as the ring is long.

    ``x`` = (value,); head = [position]. A gap enters the ring; a value of 0 has no logarithm.

    Formula: ln(x_t / x_{t−h}).
    Unit: natural log of a ratio.
    Pitfall: overlapping windows: neighbouring hours share all but one.
    Source: SCIENCE §6.
    """
    ring = state[1:]
    window = ring.shape[0]
    position = int(state[0])
    for t in range(out.shape[0]):
        level = np.log(x[0][t]) if x[0][t] > 0.0 else np.nan
        out[t] = level - ring[position]
        ring[position] = level
        position += 1
        if position == window:
            position = 0
    state[0] = position


add(
    "open_interest_change_24h",
    "hourly.open_interest_eth",
    log_change,
    Memory((0.0,), 24),
    warm_up=24,
    unit="log ratio",
    known_at="reading",
    formula="ln(OI_t / OI_(t-24h)), in ETH",
    pitfall="rises with new longs and new shorts alike; one venue's only",
)
add(
    "base_fee_change_24h",
    "hourly.base_fee_mean_wei",
    log_change,
    Memory((0.0,), 24),
    warm_up=24,
    unit="log ratio",
    known_at="reading",
    formula="ln(b_t / b_(t-24h)), b the mean base fee of the last hour known",
    pitfall="none before London (2021-08-05); blobs took demand away in 2024-03",
)


@njit
def gas_above_target(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the gas limit that blocks used, minus ½: above 0 the base fee rises.

    ``x`` = (mean gas used over limit,); no state.

    Formula: u/limit − ½, mean of an hour's blocks.
    Unit: fraction.
    Pitfall: the base fee pulls it back to 0 within minutes; only the mean of many hours moves.
    Source: EIP-1559.
    """
    for t in range(out.shape[0]):
        out[t] = x[0][t] - 0.5


add(
    "gas_over_target_1h",
    "hourly.gas_used_ratio",
    gas_above_target,
    Memory(),
    warm_up=0,
    unit="fraction",
    known_at="reading",
    formula="gas used / gas limit − ½, mean over the blocks of the last hour known",
    pitfall="the base fee pulls it back to 0 within minutes",
)


@njit
def taker_share(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Share of the ring's volume that takers bought.

    ``x`` = (taker buys, volume), both in ETH; head = [position, hours known]; the thirds of the
    ring hold buys, volume, and 1 for every hour known.

    Formula: Σ buys / Σ volume, at least 5/6 of the hours known.
    Unit: share, 0 to 1.
    Pitfall: venues publish buys over sells as "ratio"; this is buys over both.
    Source: SCIENCE §6.
    """
    window = (state.shape[0] - 2) // 3
    buys, volumes = state[2 : 2 + window], state[2 + window : 2 + 2 * window]
    flags = state[2 + 2 * window :]
    position, known = int(state[0]), state[1]
    for t in range(out.shape[0]):
        both_known = x[0][t] + x[1][t]
        _, flag = known_or_zero(both_known)
        buys[position] = x[0][t] if flag > 0.0 else 0.0
        volumes[position] = x[1][t] if flag > 0.0 else 0.0
        known += flag - flags[position]
        flags[position] = flag
        position += 1
        if position == window:
            position = 0
        total = summed(volumes)
        if flag == 0.0 or known < KNOWN_SHARE * window or total <= 0.0:
            out[t] = np.nan
        else:
            out[t] = summed(buys) / total
    state[0], state[1] = position, known


add(
    "taker_buy_share_24h",
    "hourly.taker_buy_base perp.volume",
    taker_share,
    Memory((0.0, 0.0), 3 * 24, 0.0),
    warm_up=19,
    unit="share",
    known_at="bar close",
    formula="Σ taker buys / Σ volume of the perpetual over 24 h",
    pitfall="a taker may hedge a maker's fill elsewhere: not a sentiment",
)


@njit
def imbalance(state: Floats, x: tuple[Floats, ...], out: Floats) -> None:
    """Bids minus asks over both, within a band around the mid.

    ``x`` = (depth of the bids, depth of the asks) in ETH; no state.

    Formula: (B − A)/(B + A).
    Unit: −1 to 1.
    Pitfall: a snapshot some seconds old; orders far from the mid are cancelled at will.
    Source: SCIENCE §6.
    """
    bids, asks = x
    for t in range(out.shape[0]):
        both = bids[t] + asks[t]
        out[t] = (bids[t] - asks[t]) / both if both > 0.0 else np.nan


add(
    "depth_imbalance_1pct",
    "hourly.bid_depth_eth hourly.ask_depth_eth",
    imbalance,
    Memory(),
    warm_up=0,
    unit="share",
    known_at="reading",
    formula="(B − A)/(B + A), depth within 1 % of the mid",
    pitfall="a snapshot some seconds old; far orders are cancelled at will",
)
