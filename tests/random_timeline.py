"""A small random timeline: volatility clusters, sticky funding, gaps. It carries no signal."""

import numpy as np

from counterpoise.market.timeline import Bars, Timeline
from counterpoise.units import DAY_MS, HOUR_MS

START_MS = 1_577_836_800_000  # 2020-01-01 00:00 UTC


def random_timeline(
    hours: int, *, seed: int = 0, gap_share: float = 0.0, start_ms: int = START_MS
) -> Timeline:
    """One venue, funding every 8 h, daily series stepping at midnight."""
    rng = np.random.default_rng(seed)
    ts_ms = start_ms + HOUR_MS * np.arange(hours, dtype=np.int64)
    log_vol = np.zeros(hours)
    shocks = 0.08 * rng.normal(size=hours)
    for t in range(1, hours):
        log_vol[t] = 0.99 * log_vol[t - 1] + shocks[t]
    close = 200 * np.exp(np.cumsum(0.007 * np.exp(log_vol) * rng.standard_t(5, hours)))
    open_ = np.concatenate([[200.0], close[:-1]])
    reach = 1 + np.abs(0.003 * rng.normal(size=(2, hours)))
    high, low = np.maximum(open_, close) * reach[0], np.minimum(open_, close) / reach[1]
    volume = 1000 * np.exp(rng.normal(size=hours))
    prices = [open_, high, low, close, volume]
    gaps = rng.random(hours) < gap_share
    spot = Bars(*(np.where(gaps, np.nan, values) for values in prices))
    premium = 1 + 3e-4 * rng.normal(size=hours)
    perp = Bars(*(np.where(gaps, np.nan, values * premium)[:, None] for values in prices))

    settled, last = np.full(hours, np.nan), np.full(hours, np.nan)
    rate = 1e-4
    for t in range(hours):
        if ts_ms[t] // HOUR_MS % 8 == 0:
            rate = 2e-5 + 0.8 * rate + 5e-5 * rng.normal()
            settled[t] = rate
        last[t] = last[t - 1] if t and np.isnan(settled[t]) else settled[t]

    days, day_of_row = np.unique(ts_ms // DAY_MS, return_inverse=True)

    def daily(level: float, step: float) -> np.ndarray:
        return (level * np.exp(np.cumsum(step * rng.normal(size=len(days)))))[day_of_row]

    unknown = np.full((hours, 1), np.nan)
    return Timeline(
        ts_ms=ts_ms,
        venues=("binance",),
        spot=spot,
        perp=perp,
        mark_high=perp.high,
        funding_settled=settled[:, None],
        funding_mark=unknown,
        funding_last=last[:, None],
        funding_interval_h=np.full((hours, 1), 8.0),
        daily={
            "gas_used": daily(1e11, 0.02),
            "gas_limit_avg": daily(3e7, 0.001),
            "avg_gas_price_wei": daily(3e10, 0.1),
            "entry_queue_eth": daily(3e5, 0.1),
            "vix_close": daily(20, 0.05),
            "broad_usd_index": daily(120, 0.003),
            "us10y_pct": daily(4, 0.01),
        },
        suspects=(),
        notes=(),
        synthetic=True,
    )


def cut(timeline: Timeline, ticks: int) -> Timeline:
    """What a trader had after the first ``ticks`` ticks."""

    def bars(whole: Bars) -> Bars:
        return Bars(*(getattr(whole, name)[:ticks] for name in Bars.__dataclass_fields__))

    return Timeline(
        ts_ms=timeline.ts_ms[:ticks],
        venues=timeline.venues,
        spot=bars(timeline.spot),
        perp=bars(timeline.perp),
        mark_high=timeline.mark_high[:ticks],
        funding_settled=timeline.funding_settled[:ticks],
        funding_mark=timeline.funding_mark[:ticks],
        funding_last=timeline.funding_last[:ticks],
        funding_interval_h=timeline.funding_interval_h[:ticks],
        daily={name: values[:ticks] for name, values in timeline.daily.items()},
        hourly={name: values[:ticks] for name, values in timeline.hourly.items()},
        events={name: values[:ticks] for name, values in timeline.events.items()},
        suspects=timeline.suspects,
        notes=timeline.notes,
        synthetic=timeline.synthetic,
    )
